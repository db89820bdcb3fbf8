//! The functions that an adapted module has beside its own.
//!
//! In order of their index: the host's functions, the module's own, then five helpers,
//! a wrapper for each import, one for each entry, and one that enters twice.

use wasm_encoder::{
    BlockType, CodeSection, Function, FunctionSection, Instruction as I, MemArg, MemArgTarget,
    TypeSection, ValType,
};

use super::{
    Unfit,
    rewrite::{NO_RESULT, SHIFT, map_at},
    survey::{Entered, Imported, Survey},
};
use crate::direct::{Entry, Export, Import, Link, MANY, MAP_START, Word};

/// Types behind the module's own.
#[derive(Clone, Copy)]
enum Type {
    /// `(i32) -> i64`
    Ask,
    /// `(i32, i32) -> ()`
    Tell,
    /// `(i64) -> ()`
    Settle,
    /// `(i32, i32, i32) -> ()`
    Bulk,
    /// `() -> ()`
    Plain,
    /// `(i64) -> i32`
    Enter,
}

/// In the order of their index.
#[derive(Clone, Copy)]
enum Helper {
    /// `(wanted: i64)`: allocates what the host wants until it has all.
    Settle,
    /// `(at: i32, length: i32)`: marks a range.
    Mark,
    /// `memory.fill`, marked.
    Fill,
    /// `memory.copy`, marked.
    Copy,
    /// Frees what the last entry returned.
    Free,
}

const HELPERS: u32 = 5;

pub(super) struct Wrappers<'a> {
    survey: &'a Survey,
}

impl<'a> Wrappers<'a> {
    pub(super) fn new(survey: &'a Survey) -> Self {
        Self { survey }
    }

    fn ty(&self, ty: Type) -> u32 {
        self.survey.types.len() as u32 + ty as u32
    }

    pub(super) fn types(&self, types: &mut TypeSection) {
        use ValType::{I32, I64};
        types.ty().function([I32], [I64]);
        types.ty().function([I32, I32], []);
        types.ty().function([I64], []);
        types.ty().function([I32, I32, I32], []);
        types.ty().function([], []);
        types.ty().function([I64], [I32]);
    }

    /// Of each of the host's functions.
    pub(super) fn link_type(&self) -> u32 {
        self.ty(Type::Ask)
    }

    fn helper(&self, helper: Helper) -> u32 {
        Link::ALL.len() as u32 + self.survey.functions.len() as u32 + helper as u32
    }

    pub(super) fn fill(&self) -> u32 {
        self.helper(Helper::Fill)
    }

    pub(super) fn copy(&self) -> u32 {
        self.helper(Helper::Copy)
    }

    /// Where a function of the module is now.
    pub(super) fn function(&self, index: u32) -> u32 {
        let imports = self.survey.imports.len() as u32;
        if index < imports {
            self.helper(Helper::Settle) + HELPERS + index
        } else {
            Link::ALL.len() as u32 + (index - imports)
        }
    }

    /// What the host enters, and a function of the plugin's that it only has to know of.
    pub(super) fn exports(&self) -> impl Iterator<Item = (Export, u32)> {
        let first = self.helper(Helper::Settle) + HELPERS + self.survey.imports.len() as u32;
        let entries = self.survey.entries.iter();
        let entries = entries.map(|entered| Export::Entry(entered.entry));
        let both = self.both().map(|_| Export::OpenAndRequest);
        let blocks = self.survey.blocks.map(|blocks| self.function(blocks));
        let blocks = blocks.map(|blocks| (Export::Blocks, blocks));
        entries.chain(both).zip(first..).chain(blocks)
    }

    /// What is entered in a row: what opens a session returns nothing that is to be freed.
    fn both(&self) -> Option<(&Entered, &Entered)> {
        let find = |wanted| {
            self.survey
                .entries
                .iter()
                .find(|entered| entered.entry == wanted)
        };
        let open = find(Entry::Open).filter(|open| open.post_return.is_none());
        open.zip(find(Entry::Request))
    }

    pub(super) fn declare(&self, functions: &mut FunctionSection) {
        for ty in [
            Type::Settle,
            Type::Tell,
            Type::Bulk,
            Type::Bulk,
            Type::Plain,
        ] {
            functions.function(self.ty(ty));
        }
        for imported in &self.survey.imports {
            functions.function(imported.type_index);
        }
        let both = usize::from(self.both().is_some());
        for _ in 0..self.survey.entries.len() + both {
            functions.function(self.ty(Type::Enter));
        }
    }

    pub(super) fn define(&self, code: &mut CodeSection) -> Result<(), Unfit> {
        code.function(&self.settle());
        code.function(&mark());
        code.function(&self.marked(&[], &I::MemoryFill(0)));
        code.function(&self.marked(&short_copies(), &COPY));
        code.function(&self.free());
        for imported in &self.survey.imports {
            code.function(&self.import(imported)?);
        }
        for entered in &self.survey.entries {
            code.function(&self.entry(entered)?);
        }
        if let Some((open, request)) = self.both() {
            code.function(&self.open_and_request(open, request)?);
        }
        Ok(())
    }

    /// The wanted block is its alignment in the upper half and its length in the lower;
    /// several are asked for with [`MANY`].
    fn settle(&self) -> Function {
        let upper = [I::LocalGet(0), I::I64Const(32), I::I64ShrU, I::I32WrapI64];
        let lower = [I::LocalGet(0), I::I32WrapI64];
        let mut function = Function::new([]);
        let mut add = |instructions: &[I<'_>]| {
            for instruction in instructions {
                function.instruction(instruction);
            }
        };
        add(&[I::Block(NO_RESULT), I::Loop(NO_RESULT)]);
        add(&[I::LocalGet(0), I::I64Eqz, I::BrIf(1)]);
        if let Some(blocks) = self.survey.blocks {
            let result = BlockType::Result(ValType::I32);
            let count = [I::I32Const((MANY >> 32) as u32 as i32), I::I32Xor];
            add(&[I::LocalGet(0), I::I64Const(0), I::I64LtS, I::If(result)]);
            add(&upper);
            add(&count);
            add(&lower);
            add(&[I::Call(self.function(blocks)), I::Else]);
        }
        add(&[I::I32Const(0), I::I32Const(0)]);
        add(&upper);
        add(&lower);
        add(&[I::Call(self.function(self.survey.realloc))]);
        if self.survey.blocks.is_some() {
            add(&[I::End]);
        }
        add(&[I::Call(Link::Give as u32), I::LocalSet(0), I::Br(0)]);
        add(&[I::End, I::End, I::End]);
        function
    }

    /// What is not freed when the host has taken it is freed when it next enters, if it does.
    fn free(&self) -> Function {
        const OWED_BY: u32 = 0;
        let mut function = Function::new([(1, ValType::I32)]);
        get(&mut function, Word::OwedBy);
        function
            .instruction(&I::LocalTee(OWED_BY))
            .instruction(&I::I32Eqz)
            .instruction(&I::If(NO_RESULT))
            .instruction(&I::Return)
            .instruction(&I::End);
        set(&mut function, Word::OwedBy, &I::I32Const(0));
        set(&mut function, Word::Frees, &I::I32Const(1));
        for entered in &self.survey.entries {
            let Some(post_return) = entered.post_return else {
                continue;
            };
            function
                .instruction(&I::LocalGet(OWED_BY))
                .instruction(&I::I32Const(entered.entry as i32 + 1))
                .instruction(&I::I32Eq)
                .instruction(&I::If(NO_RESULT));
            get(&mut function, Word::Owed);
            function
                .instruction(&I::Call(self.function(post_return)))
                .instruction(&I::End);
        }
        set(&mut function, Word::Frees, &I::I32Const(0));
        function.instruction(&I::End);
        function
    }

    /// `(at, value or from, length)`. What is `quick` returns where it did it all.
    fn marked(&self, quick: &[I<'_>], whole: &I<'_>) -> Function {
        let mut function = Function::new([]);
        function
            .instruction(&I::LocalGet(0))
            .instruction(&I::LocalGet(2))
            .instruction(&I::Call(self.helper(Helper::Mark)));
        for instruction in quick {
            function.instruction(instruction);
        }
        function
            .instruction(&I::LocalGet(0))
            .instruction(&I::LocalGet(1))
            .instruction(&I::LocalGet(2))
            .instruction(whole)
            .instruction(&I::End);
        function
    }

    fn import(&self, imported: &Imported) -> Result<Function, Unfit> {
        let ty = self.survey.func_type(imported.type_index)?;
        let mut function = Function::new([]);
        match imported.import {
            // The guest's own number for a session is its handle.
            Import::SessionNew | Import::SessionRep => {
                function.instruction(&I::LocalGet(0)).instruction(&I::End);
                return Ok(function);
            }
            // Of another message the host says what is wrong.
            Import::MessageDrop => {
                get(&mut function, Word::Lent);
                function
                    .instruction(&I::LocalGet(0))
                    .instruction(&I::I32Eq)
                    .instruction(&I::LocalGet(0))
                    .instruction(&I::I32Const(0))
                    .instruction(&I::I32Ne)
                    .instruction(&I::I32And)
                    .instruction(&I::If(NO_RESULT));
                set(&mut function, Word::Lent, &I::I32Const(0));
                function.instruction(&I::Return).instruction(&I::End);
            }
            _ => {}
        }
        let link = if imported.import.waits() {
            Link::CallWaiting
        } else {
            Link::Call
        };
        for (nth, param) in (0..).zip(ty.params()) {
            let at = map_at(nth as usize * 8);
            function
                .instruction(&I::I32Const(0))
                .instruction(&I::LocalGet(nth))
                .instruction(&match param {
                    wasmparser::ValType::I32 => I::I32Store(at),
                    wasmparser::ValType::I64 => I::I64Store(at),
                    wasmparser::ValType::F32 => I::F32Store(at),
                    wasmparser::ValType::F64 => I::F64Store(at),
                    _ => return Err(STRANGE),
                });
        }
        function
            .instruction(&I::I32Const(imported.import as i32))
            .instruction(&I::Call(link as u32))
            .instruction(&I::Call(self.helper(Helper::Settle)));
        for (nth, result) in ty.results().iter().enumerate() {
            load(&mut function, nth, *result)?;
        }
        function.instruction(&I::End);
        Ok(function)
    }

    fn entry(&self, entered: &Entered) -> Result<Function, Unfit> {
        const RESULT: u32 = 1;
        let mut function = Function::new([(1, ValType::I32)]);
        self.begin(&mut function);
        self.call(&mut function, entered, None)?;
        let ty = self.survey.func_type(entered.type_index)?;
        match ty.results() {
            [] => {
                function.instruction(&I::I32Const(0));
            }
            [wasmparser::ValType::I32] => owe(&mut function, entered, RESULT),
            _ => return Err(STRANGE),
        }
        function.instruction(&I::End);
        Ok(function)
    }

    /// What opens a session, and then what is asked about the request; the message is lent
    /// from the beginning.
    fn open_and_request(&self, open: &Entered, request: &Entered) -> Result<Function, Unfit> {
        const SESSION: u32 = 1;
        const RESULT: u32 = 2;
        let mut function = Function::new([(2, ValType::I32)]);
        self.begin(&mut function);
        self.call(&mut function, open, None)?;
        function.instruction(&I::LocalSet(SESSION));
        set(&mut function, Word::Session, &I::LocalGet(SESSION));
        set(&mut function, Word::Opened, &I::I32Const(1));
        self.call(&mut function, request, Some(SESSION))?;
        owe(&mut function, request, RESULT);
        function.instruction(&I::End);
        Ok(function)
    }

    fn begin(&self, function: &mut Function) {
        function
            .instruction(&I::Call(self.helper(Helper::Free)))
            .instruction(&I::LocalGet(0))
            .instruction(&I::Call(self.helper(Helper::Settle)));
    }

    /// With arguments from the slots; or of a session that is only just open, with the
    /// message that is lent.
    fn call(
        &self,
        function: &mut Function,
        entered: &Entered,
        session: Option<u32>,
    ) -> Result<(), Unfit> {
        if let Some(session) = session {
            function.instruction(&I::LocalGet(session));
            get(function, Word::Lent);
        } else {
            let ty = self.survey.func_type(entered.type_index)?;
            for (nth, param) in ty.params().iter().enumerate() {
                load(function, nth, *param)?;
            }
        }
        function.instruction(&I::Call(self.function(entered.function)));
        Ok(())
    }
}

/// Returns the result that is on the stack, and keeps in mind that it is to be freed.
fn owe(function: &mut Function, entered: &Entered, result: u32) {
    function.instruction(&I::LocalSet(result));
    if entered.post_return.is_some() {
        let number = I::I32Const(entered.entry as i32 + 1);
        set(function, Word::OwedBy, &number);
        set(function, Word::Owed, &I::LocalGet(result));
    }
    function.instruction(&I::LocalGet(result));
}

fn get(function: &mut Function, word: Word) {
    function
        .instruction(&I::I32Const(0))
        .instruction(&I::I32Load(map_at(word as usize)));
}

fn set(function: &mut Function, word: Word, value: &I<'_>) {
    function
        .instruction(&I::I32Const(0))
        .instruction(value)
        .instruction(&I::I32Store(map_at(word as usize)));
}

const STRANGE: Unfit = Unfit::Has("a function of a type that the contract does not have");

const COPY: I<'_> = I::MemoryCopy {
    src_mem: 0,
    dst_mem: 0,
};

/// Most of what is copied is a short text, and `memory.copy` calls the host. From 4 to 16
/// bytes are read in two words, which may overlap, before either is written. What would wrap
/// is left to the instruction, which traps.
fn short_copies() -> Vec<I<'static>> {
    const LONGEST: i32 = 16;
    let own = MemArg {
        target: MemArgTarget::Memory(0),
        ..map_at(0)
    };
    let both = |width: i32, read: I<'static>, write: I<'static>| {
        let end = |base: u32| {
            [
                I::LocalGet(base),
                I::LocalGet(2),
                I::I32Add,
                I::I32Const(width),
                I::I32Sub,
            ]
        };
        let mut all = vec![
            I::LocalGet(2),
            I::I32Const(width),
            I::I32Sub,
            I::I32Const(width),
            I::I32LeU,
        ];
        for base in [0, 1] {
            all.extend([
                I::LocalGet(base),
                I::I32Const(-LONGEST),
                I::I32LtU,
                I::I32And,
            ]);
        }
        all.extend([
            I::If(NO_RESULT),
            I::LocalGet(0),
            I::LocalGet(1),
            read.clone(),
        ]);
        all.extend(end(0));
        all.extend(end(1));
        all.extend([read, write.clone()]);
        all.extend([write, I::Return, I::End]);
        all
    };
    let mut all = both(8, I::I64Load(own), I::I64Store(own));
    all.extend(both(4, I::I32Load(own), I::I32Store(own)));
    all
}

fn load(function: &mut Function, slot: usize, ty: wasmparser::ValType) -> Result<(), Unfit> {
    let at = map_at(slot * 8);
    function
        .instruction(&I::I32Const(0))
        .instruction(&match ty {
            wasmparser::ValType::I32 => I::I32Load(at),
            wasmparser::ValType::I64 => I::I64Load(at),
            wasmparser::ValType::F32 => I::F32Load(at),
            wasmparser::ValType::F64 => I::F64Load(at),
            _ => return Err(STRANGE),
        });
    Ok(())
}

/// `(at, length)`. A range that wraps is one that the instruction itself traps for.
fn mark() -> Function {
    const LAST: u32 = 1;
    let mut function = Function::new([]);
    for instruction in [
        I::LocalGet(1),
        I::I32Eqz,
        I::If(NO_RESULT),
        I::Return,
        I::End,
        // From here on: the first block and the last.
        I::LocalGet(0),
        I::LocalGet(1),
        I::I32Add,
        I::I32Const(1),
        I::I32Sub,
        I::I32Const(SHIFT),
        I::I32ShrU,
        I::LocalSet(LAST),
        I::LocalGet(0),
        I::I32Const(SHIFT),
        I::I32ShrU,
        I::LocalSet(0),
        I::Loop(NO_RESULT),
        I::LocalGet(0),
        I::I32Const(1),
        I::I32Store8(map_at(MAP_START)),
        I::LocalGet(0),
        I::LocalGet(LAST),
        I::I32GeU,
        I::If(NO_RESULT),
        I::Return,
        I::End,
        I::LocalGet(0),
        I::I32Const(1),
        I::I32Add,
        I::LocalSet(0),
        I::Br(0),
        I::End,
        I::End,
    ] {
        function.instruction(&instruction);
    }
    function
}
