//! Writes a module anew: its own functions with marks at every store, then the
//! wrappers.

use wasm_encoder::{
    BlockType, CodeSection, ExportKind, ExportSection, Function, FunctionSection, ImportSection,
    Instruction, MemArg, MemArgTarget, MemorySection, MemoryType, Module, NameMap, NameSection,
    TypeSection, ValType,
    reencode::{Error, Reencode, utils},
};
use wasmparser::{FunctionBody, Operator, Parser};

use super::{Unfit, allowed, survey::Survey, wrappers::Wrappers};
use crate::{
    compile::lines::Moved,
    direct::{Export, Link, MAP_BLOCK, MAP_START},
};

/// The memory that the map and the slots are in.
pub(super) const MAP: u32 = 1;
const MEMORY: u32 = 0;

/// A module as it was written.
pub(super) struct Written {
    pub(super) module: Vec<u8>,
    /// Where its instructions came from, if that was asked.
    pub(super) moved: Option<Moved>,
}

/// `names` are those of the module's functions; the last tells whether it is noted where
/// instructions come from.
pub(super) fn rewrite(
    module: &[u8],
    survey: &Survey,
    (map_pages, names, traced): (u64, &[(u32, &str)], bool),
) -> Result<Written, Unfit> {
    let code = super::code_range(module)?;
    let mut rewriter = Rewriter {
        survey,
        wrappers: Wrappers::new(survey),
        map_pages,
        seen: 0,
        code_at: code.map_or(0, |range| range.start),
        moved: traced.then(Moved::default),
    };
    let mut adapted = Module::new();
    rewriter.parse_core_module(&mut adapted, Parser::new(0), module)?;
    adapted.section(&rewriter.names(names));
    Ok(Written {
        module: adapted.finish(),
        moved: rewriter.moved,
    })
}

struct Rewriter<'a> {
    survey: &'a Survey,
    wrappers: Wrappers<'a>,
    map_pages: u64,
    /// Bodies of the module's own functions so far.
    seen: usize,
    /// Where the code section begins.
    code_at: u64,
    moved: Option<Moved>,
}

impl Reencode for Rewriter<'_> {
    type Error = Unfit;

    /// What was an import is a wrapper now.
    fn function_index(&mut self, function: u32) -> Result<u32, Error<Unfit>> {
        Ok(self.wrappers.function(function))
    }

    /// The plugin has one memory; the other is the host's.
    fn memory_index(&mut self, memory: u32) -> Result<u32, Error<Unfit>> {
        match memory {
            MEMORY => Ok(MEMORY),
            _ => Err(Error::UserError(Unfit::Has("another memory"))),
        }
    }

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: wasmparser::TypeSectionReader<'_>,
    ) -> Result<(), Error<Unfit>> {
        utils::parse_type_section(self, types, section)?;
        self.wrappers.types(types);
        Ok(())
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        _: wasmparser::ImportSectionReader<'_>,
    ) -> Result<(), Error<Unfit>> {
        for link in Link::ALL {
            let ty = self.wrappers.link_type();
            imports.import(
                Link::MODULE,
                link.name(),
                wasm_encoder::EntityType::Function(ty),
            );
        }
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Result<(), Error<Unfit>> {
        utils::parse_function_section(self, functions, section)?;
        self.wrappers.declare(functions);
        Ok(())
    }

    fn parse_memory_section(
        &mut self,
        memories: &mut MemorySection,
        section: wasmparser::MemorySectionReader<'_>,
    ) -> Result<(), Error<Unfit>> {
        utils::parse_memory_section(self, memories, section)?;
        memories.memory(MemoryType {
            minimum: self.map_pages,
            maximum: Some(self.map_pages),
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        _: wasmparser::ExportSectionReader<'_>,
    ) -> Result<(), Error<Unfit>> {
        exports.export(&Export::Memory.name(), ExportKind::Memory, MEMORY);
        exports.export(&Export::Map.name(), ExportKind::Memory, MAP);
        for (nth, global) in (0..).zip(&self.survey.mutable_globals) {
            exports.export(&Export::Global(nth).name(), ExportKind::Global, *global);
        }
        for (export, function) in self.wrappers.exports() {
            exports.export(&export.name(), ExportKind::Func, function);
        }
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: wasmparser::CodeSectionReader<'_>,
    ) -> Result<(), Error<Unfit>> {
        utils::parse_code_section(self, code, section)?;
        self.wrappers.define(code).map_err(Error::UserError)
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), Error<Unfit>> {
        let mut marked = self.begin(&body)?;
        let mut operators = body.get_operators_reader()?;
        let mut came = Vec::new();
        while !operators.eof() {
            if self.moved.is_some() {
                let before = operators.original_position().saturating_sub(self.code_at);
                came.push((marked.function.byte_len() as u32, before as u32));
            }
            let operator = operators.read()?;
            allowed::check(&operator).map_err(Error::UserError)?;
            self.translate(&mut marked, operator)?;
        }
        if let Some(moved) = &mut self.moved {
            moved.functions.push(came);
        }
        self.seen += 1;
        code.function(&marked.function);
        Ok(())
    }

    fn parse_custom_section(
        &mut self,
        _: &mut Module,
        _: wasmparser::CustomSectionReader<'_>,
    ) -> Result<(), Error<Unfit>> {
        Ok(())
    }
}

/// A function on its way, with locals for what a mark would lose from the stack.
struct Marked {
    function: Function,
    address: u32,
}

/// The locals behind the address, one for each type that is stored.
const KEPT: [ValType; 5] = [
    ValType::I32,
    ValType::I64,
    ValType::F32,
    ValType::F64,
    ValType::V128,
];

impl Rewriter<'_> {
    /// Functions by their names, for who reads where a trap was.
    fn names(&self, names: &[(u32, &str)]) -> NameSection {
        let imports = self.survey.imports.iter();
        let imports = (0..).zip(imports).map(|(nth, imported)| {
            let name = format!("host call {}", imported.import.words());
            (self.wrappers.function(nth), name)
        });
        let own = names
            .iter()
            .filter(|(nth, _)| {
                let nth = (*nth as usize).checked_sub(self.survey.imports.len());
                nth.is_some_and(|nth| nth < self.survey.functions.len())
            })
            .map(|(nth, name)| (self.wrappers.function(*nth), (*name).to_owned()));
        let mut all: Vec<(u32, String)> = own.chain(imports).collect();
        all.sort_unstable_by_key(|(nth, _)| *nth);
        all.dedup_by_key(|(nth, _)| *nth);
        let mut functions = NameMap::new();
        for (nth, name) in &all {
            functions.append(*nth, name);
        }
        let mut section = NameSection::new();
        section.functions(&functions);
        section
    }

    fn begin(&mut self, body: &FunctionBody<'_>) -> Result<Marked, Error<Unfit>> {
        const MISSING: Unfit = Unfit::Has("a function without a type");
        let type_index = self.survey.functions.get(self.seen);
        let type_index = *type_index.ok_or(Error::UserError(MISSING))?;
        let params = self
            .survey
            .func_type(type_index)
            .map_err(Error::UserError)?;
        let mut count = params.params().len() as u32;
        let mut locals = Vec::new();
        for run in body.get_locals_reader()? {
            let (length, ty) = run?;
            count = count.saturating_add(length);
            locals.push((length, self.val_type(ty)?));
        }
        if stores(body)? {
            locals.push((1, ValType::I32));
            locals.extend(KEPT.map(|ty| (1, ty)));
        }
        Ok(Marked {
            function: Function::new(locals),
            address: count,
        })
    }

    fn translate(
        &mut self,
        marked: &mut Marked,
        operator: Operator<'_>,
    ) -> Result<(), Error<Unfit>> {
        if let Some((ty, offset)) = stored(&operator) {
            marked.mark(ty, offset);
        }
        let function = &mut marked.function;
        match operator {
            Operator::MemoryFill { .. } => {
                function.instruction(&Instruction::Call(self.wrappers.fill()));
            }
            Operator::MemoryCopy { .. } => {
                function.instruction(&Instruction::Call(self.wrappers.copy()));
            }
            other => {
                function.instruction(&self.instruction(other)?);
            }
        }
        Ok(())
    }
}

impl Marked {
    /// With an address and a value on the stack, before they are stored.
    fn mark(&mut self, ty: ValType, offset: u64) {
        let nth = KEPT.iter().position(|kept| *kept == ty).unwrap_or_default();
        let value = self.address + 1 + nth as u32;
        self.function
            .instruction(&Instruction::LocalSet(value))
            .instruction(&Instruction::LocalTee(self.address))
            .instruction(&Instruction::LocalGet(self.address));
        if offset != 0 {
            // An address that wraps is one that the store itself traps for.
            self.function
                .instruction(&Instruction::I32Const(offset as u32 as i32))
                .instruction(&Instruction::I32Add);
        }
        self.function
            .instruction(&Instruction::I32Const(SHIFT))
            .instruction(&Instruction::I32ShrU)
            .instruction(&Instruction::I32Const(1))
            .instruction(&Instruction::I32Store8(map_at(MAP_START)))
            .instruction(&Instruction::LocalGet(value));
    }
}

pub(super) const SHIFT: i32 = MAP_BLOCK.trailing_zeros() as i32;

/// In the memory of map and slots.
pub(super) fn map_at(offset: usize) -> MemArg {
    MemArg {
        offset: offset as u64,
        align: 0,
        target: MemArgTarget::Memory(MAP),
        ordering: None,
    }
}

pub(super) const NO_RESULT: BlockType = BlockType::Empty;

fn stores(body: &FunctionBody<'_>) -> Result<bool, Error<Unfit>> {
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        if stored(&operators.read()?).is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a store has on top of the stack, and its offset.
fn stored(operator: &Operator<'_>) -> Option<(ValType, u64)> {
    use Operator as Op;
    let (ty, memarg) = match operator {
        Op::I32Store { memarg } | Op::I32Store8 { memarg } | Op::I32Store16 { memarg } => {
            (ValType::I32, memarg)
        }
        Op::I64Store { memarg }
        | Op::I64Store8 { memarg }
        | Op::I64Store16 { memarg }
        | Op::I64Store32 { memarg } => (ValType::I64, memarg),
        Op::F32Store { memarg } => (ValType::F32, memarg),
        Op::F64Store { memarg } => (ValType::F64, memarg),
        Op::V128Store { memarg }
        | Op::V128Store8Lane { memarg, .. }
        | Op::V128Store16Lane { memarg, .. }
        | Op::V128Store32Lane { memarg, .. }
        | Op::V128Store64Lane { memarg, .. } => (ValType::V128, memarg),
        _ => return None,
    };
    Some((ty, memarg.offset))
}
