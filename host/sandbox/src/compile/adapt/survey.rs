//! What is in a module, as far as adapting it needs to know.

use std::collections::HashMap;

use wasmparser::{CompositeInnerType, ExternalKind, FuncType, Operator, Parser, Payload, TypeRef};

use super::Unfit;
use crate::{
    compile,
    direct::{BLOCKS, Entry, Import, SEEN},
};

/// Each is put back after every exchange; those of the SDK have one or two.
const GLOBALS_MAX: usize = 256;

/// An import and the index of its type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Imported {
    pub(super) import: Import,
    pub(super) type_index: u32,
}

/// A function of the contract, and the one that frees what it returned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entered {
    pub(super) entry: Entry,
    pub(super) function: u32,
    pub(super) type_index: u32,
    pub(super) post_return: Option<u32>,
}

#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) types: Vec<FuncType>,
    pub(super) imports: Vec<Imported>,
    /// Types of the functions that it defines.
    pub(super) functions: Vec<u32>,
    pub(super) mutable_globals: Vec<u32>,
    pub(super) entries: Vec<Entered>,
    pub(super) realloc: u32,
    /// [`BLOCKS`], if it has that.
    pub(super) blocks: Option<u32>,
    /// What [`SEEN`] says, if it has that.
    pub(super) seen: Option<u32>,
}

impl Survey {
    pub(super) fn of(module: &[u8]) -> Result<Self, Unfit> {
        let mut survey = Self::default();
        let mut exports = HashMap::new();
        let mut constants = HashMap::new();
        let mut memories = 0;
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::TypeSection(section) => survey.read_types(section)?,
                Payload::ImportSection(section) => survey.read_imports(section)?,
                Payload::FunctionSection(section) => {
                    survey.functions = section.into_iter().collect::<Result<_, _>>()?;
                }
                Payload::MemorySection(section) => {
                    for memory in section {
                        let memory = memory?;
                        if memory.memory64 || memory.shared || memory.page_size_log2.is_some() {
                            return Err(Unfit::Has("a memory that is not a plain one"));
                        }
                        memories += 1;
                    }
                }
                Payload::GlobalSection(section) => {
                    for (nth, global) in section.into_iter().enumerate() {
                        let global = global?;
                        if global.ty.mutable {
                            survey.mutable_globals.push(nth as u32);
                        } else if let Operator::I32Const { value } =
                            global.init_expr.get_operators_reader().read()?
                        {
                            constants.insert(nth as u32, value.cast_unsigned());
                        }
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        if matches!(export.kind, ExternalKind::Func | ExternalKind::FuncExact) {
                            exports.insert(export.name, export.index);
                        } else if export.kind == ExternalKind::Global && export.name == SEEN {
                            survey.seen = constants.get(&export.index).copied();
                        }
                    }
                }
                Payload::StartSection { .. } => return Err(Unfit::Has("a start function")),
                Payload::TagSection(_) => return Err(Unfit::Has("tags")),
                _ => {}
            }
        }
        if memories != 1 {
            return Err(Unfit::Has("not one memory of its own"));
        }
        if survey.mutable_globals.len() > GLOBALS_MAX {
            return Err(Unfit::Has("more globals than are put back"));
        }
        if survey.imports.is_empty() {
            return Err(Unfit::Has("no imports"));
        }
        if exports.contains_key("_initialize") {
            return Err(Unfit::Has("a function that initializes it"));
        }
        survey.find_entries(&exports)?;
        Ok(survey)
    }

    fn read_types(&mut self, section: wasmparser::TypeSectionReader<'_>) -> Result<(), Unfit> {
        for group in section {
            for ty in group?.into_types() {
                let CompositeInnerType::Func(func) = ty.composite_type.inner else {
                    return Err(Unfit::Has("types that are not of functions"));
                };
                self.types.push(func);
            }
        }
        Ok(())
    }

    fn read_imports(&mut self, section: wasmparser::ImportSectionReader<'_>) -> Result<(), Unfit> {
        for import in section.into_imports() {
            let import = import?;
            let TypeRef::Func(type_index) = import.ty else {
                return Err(Unfit::Has("an import that is not a function"));
            };
            let import = interface(import.module)
                .and_then(|interface| Import::find(interface, import.name))
                .ok_or(Unfit::Has("an import that the contract does not have"))?;
            self.imports.push(Imported { import, type_index });
        }
        Ok(())
    }

    /// Functions are counted with imports first, so only now their types are known.
    fn find_entries(&mut self, exports: &HashMap<&str, u32>) -> Result<(), Unfit> {
        const MISSING: Unfit = Unfit::Has("no function that the contract wants");
        let (policy, timer) = (compile::exported(), compile::timer());
        self.realloc = *exports.get("cabi_realloc").ok_or(MISSING)?;
        self.blocks = exports.get(BLOCKS).copied().filter(|function| {
            use wasmparser::ValType::I32;
            let ty = self.type_of(*function).map(|ty| self.func_type(ty));
            matches!(ty, Some(Ok(ty)) if ty.params() == [I32, I32] && ty.results() == [I32])
        });
        for &entry in Entry::ALL {
            let interface = if entry == Entry::Tick {
                &timer
            } else {
                &policy
            };
            let name = format!("{interface}#{}", entry.name());
            let Some(&function) = exports.get(name.as_str()) else {
                if entry.is_required() {
                    return Err(MISSING);
                }
                continue;
            };
            self.entries.push(Entered {
                entry,
                function,
                type_index: self.type_of(function).ok_or(MISSING)?,
                post_return: exports.get(format!("cabi_post_{name}").as_str()).copied(),
            });
        }
        Ok(())
    }

    fn type_of(&self, function: u32) -> Option<u32> {
        let function = function as usize;
        match self.imports.get(function) {
            Some(imported) => Some(imported.type_index),
            None => self.functions.get(function - self.imports.len()).copied(),
        }
    }

    /// Of a type that the module itself names.
    pub(super) fn func_type(&self, index: u32) -> Result<&FuncType, Unfit> {
        self.types
            .get(index as usize)
            .ok_or(Unfit::Has("a type that is not there"))
    }
}

/// The interface's plain name, such as `kv`; of the one that plugins export, [`Import::OWN`].
fn interface(module: &str) -> Option<&str> {
    let exported = compile::exported();
    if module.strip_prefix("[export]") == Some(exported.as_str()) {
        return Some(Import::OWN);
    }
    let (name, version) = module.strip_prefix(compile::PACKAGE)?.split_once('@')?;
    (version == compile::VERSION).then_some(name)
}
