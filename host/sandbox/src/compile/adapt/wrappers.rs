//! The functions that an adapted module has beside its own.
//!
//! In order of their index: the host's functions, the module's own, then four helpers,
//! a wrapper for each import, and one for each entry.

use wasm_encoder::{
    CodeSection, Function, FunctionSection, Instruction as I, TypeSection, ValType,
};

use super::{
    Unfit,
    rewrite::{NO_RESULT, SHIFT, map_at},
    survey::{Entered, Imported, Survey},
};
use crate::direct::{Entry, Link, MAP_START};

/// Types behind the module's own.
#[derive(Clone, Copy)]
enum Type {
    /// `(i32) -> i64`
    Ask,
    /// `(i32, i32) -> ()`
    Tell,
    /// `(i64) -> ()`
    Enter,
    /// `(i32, i32, i32) -> ()`
    Bulk,
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
}

const HELPERS: u32 = 4;

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
    }

    pub(super) fn link_type(&self, link: Link) -> u32 {
        self.ty(match link {
            Link::Call | Link::CallWaiting | Link::Give => Type::Ask,
            Link::Returned => Type::Tell,
        })
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

    pub(super) fn entries(&self) -> impl Iterator<Item = (Entry, u32)> {
        let first = self.helper(Helper::Settle) + HELPERS + self.survey.imports.len() as u32;
        let entries = self.survey.entries.iter().map(|entered| entered.entry);
        entries.zip(first..)
    }

    pub(super) fn declare(&self, functions: &mut FunctionSection) {
        for ty in [Type::Enter, Type::Tell, Type::Bulk, Type::Bulk] {
            functions.function(self.ty(ty));
        }
        for imported in &self.survey.imports {
            functions.function(imported.type_index);
        }
        for _ in &self.survey.entries {
            functions.function(self.ty(Type::Enter));
        }
    }

    pub(super) fn define(&self, code: &mut CodeSection) -> Result<(), Unfit> {
        code.function(&self.settle());
        code.function(&mark());
        for last in [I::MemoryFill(0), COPY] {
            code.function(&self.marked(&last));
        }
        for imported in &self.survey.imports {
            code.function(&self.import(imported)?);
        }
        for entered in &self.survey.entries {
            code.function(&self.entry(entered)?);
        }
        Ok(())
    }

    /// The wanted block is its alignment in the upper half and its length in the lower.
    fn settle(&self) -> Function {
        let mut function = Function::new([]);
        for instruction in [
            I::Block(NO_RESULT),
            I::Loop(NO_RESULT),
            I::LocalGet(0),
            I::I64Eqz,
            I::BrIf(1),
            I::I32Const(0),
            I::I32Const(0),
            I::LocalGet(0),
            I::I64Const(32),
            I::I64ShrU,
            I::I32WrapI64,
            I::LocalGet(0),
            I::I32WrapI64,
            I::Call(self.function(self.survey.realloc)),
            I::Call(Link::Give as u32),
            I::LocalSet(0),
            I::Br(0),
            I::End,
            I::End,
            I::End,
        ] {
            function.instruction(&instruction);
        }
        function
    }

    /// `(at, value or from, length)`
    fn marked(&self, last: &I<'_>) -> Function {
        let mut function = Function::new([]);
        function
            .instruction(&I::LocalGet(0))
            .instruction(&I::LocalGet(2))
            .instruction(&I::Call(self.helper(Helper::Mark)))
            .instruction(&I::LocalGet(0))
            .instruction(&I::LocalGet(1))
            .instruction(&I::LocalGet(2))
            .instruction(last)
            .instruction(&I::End);
        function
    }

    fn import(&self, imported: &Imported) -> Result<Function, Unfit> {
        let ty = self.survey.func_type(imported.type_index)?;
        let link = if imported.import.waits() {
            Link::CallWaiting
        } else {
            Link::Call
        };
        let mut function = Function::new([]);
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
        let ty = self.survey.func_type(entered.type_index)?;
        const RESULT: u32 = 1;
        let mut function = Function::new([(1, ValType::I32)]);
        function
            .instruction(&I::LocalGet(0))
            .instruction(&I::Call(self.helper(Helper::Settle)));
        for (nth, param) in ty.params().iter().enumerate() {
            load(&mut function, nth, *param)?;
        }
        function.instruction(&I::Call(self.function(entered.function)));
        match ty.results() {
            [] => {}
            [wasmparser::ValType::I32] => {
                function
                    .instruction(&I::LocalSet(RESULT))
                    .instruction(&I::I32Const(entered.entry as i32))
                    .instruction(&I::LocalGet(RESULT))
                    .instruction(&I::Call(Link::Returned as u32));
                if let Some(post_return) = entered.post_return {
                    function
                        .instruction(&I::LocalGet(RESULT))
                        .instruction(&I::Call(self.function(post_return)));
                }
            }
            _ => return Err(STRANGE),
        }
        function.instruction(&I::End);
        Ok(function)
    }
}

const STRANGE: Unfit = Unfit::Has("a function of a type that the contract does not have");

const COPY: I<'_> = I::MemoryCopy {
    src_mem: 0,
    dst_mem: 0,
};

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
