//! Whether a module means the same by the contract's names as the host does.
//!
//! A component says its types, and wasmtime compares them. What runs without its
//! component is compared here: every function of the world that was written into the
//! module, its types taken apart down to the last field.

use std::fmt::Write;

use wit_component::{StringEncoding, metadata::ModuleMetadata};
use wit_parser::{
    Handle, InterfaceId, Resolve, Type, TypeDefKind, TypeId, WorldId, WorldItem, WorldKey,
};

use super::Unfit;

const CONTRACT: &str = include_str!("../../../../../sdk/wit/policy.wit");
const OTHER: Unfit = Unfit::Has("types that are not the contract's");

/// # Errors
/// The module's world has a function that the contract does not have, or has otherwise.
pub(super) fn check(module: &[u8]) -> Result<(), Unfit> {
    let unreadable = |error: &dyn std::fmt::Display| Unfit::Unreadable(error.to_string());
    let (_, bindgen) = wit_component::metadata::decode(module).map_err(|e| unreadable(&e))?;
    let mut contract = Resolve::default();
    let package = contract
        .push_str("policy.wit", CONTRACT)
        .map_err(|e| unreadable(&e))?;
    let mut ours = Vec::new();
    for name in ["plugin", "timed"] {
        let world = contract
            .select_world(&[package], Some(name))
            .map_err(|e| unreadable(&e))?;
        ours.push(Side {
            resolve: &contract,
            world,
        });
    }
    let theirs = Side {
        resolve: &bindgen.resolve,
        world: bindgen.world,
    };
    for (key, interface) in theirs.interfaces() {
        let name = theirs.name(interface);
        let same = ours.iter().find_map(|side| {
            let same = side.interfaces().find(|(_, own)| side.name(*own) == name);
            same.map(|(_, own)| (side, own))
        });
        let (ours, own) = same.ok_or(OTHER)?;
        for function in theirs.resolve.interfaces[interface].functions.keys() {
            let spelled = theirs.spell(interface, function);
            if spelled.is_none() || spelled != ours.spell(own, function) {
                return Err(OTHER);
            }
            if !is_utf8(&bindgen.metadata, theirs.resolve, key, function) {
                return Err(Unfit::Has("texts that are not UTF-8"));
            }
        }
    }
    Ok(())
}

fn is_utf8(metadata: &ModuleMetadata, resolve: &Resolve, key: &WorldKey, function: &str) -> bool {
    [&metadata.import_encodings, &metadata.export_encodings]
        .iter()
        .filter_map(|encodings| encodings.get(resolve, key, function))
        .all(|encoding| encoding == StringEncoding::UTF8)
}

#[derive(Clone, Copy)]
struct Side<'a> {
    resolve: &'a Resolve,
    world: WorldId,
}

impl<'a> Side<'a> {
    fn interfaces(self) -> impl Iterator<Item = (&'a WorldKey, InterfaceId)> {
        let world = &self.resolve.worlds[self.world];
        let items = world.imports.iter().chain(&world.exports);
        items.filter_map(|(key, item)| match item {
            WorldItem::Interface { id, .. } => Some((key, *id)),
            _ => None,
        })
    }

    fn name(self, interface: InterfaceId) -> Option<String> {
        self.resolve.id_of(interface)
    }

    /// A function with its types taken apart; `None`: there is none.
    fn spell(self, interface: InterfaceId, function: &str) -> Option<String> {
        let function = self.resolve.interfaces[interface].functions.get(function)?;
        let mut out = String::new();
        for param in &function.params {
            self.spell_type(&param.ty, &mut out);
            out.push(';');
        }
        out.push_str("->");
        if let Some(result) = &function.result {
            self.spell_type(result, &mut out);
        }
        Some(out)
    }

    fn spell_type(self, ty: &Type, out: &mut String) {
        match ty {
            Type::Id(id) => self.spell_definition(*id, out),
            plain => spell_debug(plain, out),
        }
    }

    fn spell_optional(self, ty: Option<&Type>, out: &mut String) {
        match ty {
            Some(ty) => self.spell_type(ty, out),
            None => out.push('_'),
        }
    }

    fn spell_definition(self, id: TypeId, out: &mut String) {
        let definition = &self.resolve.types[id];
        if let TypeDefKind::Type(alias) = &definition.kind {
            return self.spell_type(alias, out);
        }
        out.push_str(definition.kind.as_str());
        out.push('(');
        match &definition.kind {
            TypeDefKind::Record(record) => {
                for field in &record.fields {
                    self.spell_field(&field.name, Some(&field.ty), out);
                }
            }
            TypeDefKind::Variant(variant) => {
                for case in &variant.cases {
                    self.spell_field(&case.name, case.ty.as_ref(), out);
                }
            }
            TypeDefKind::Tuple(tuple) => {
                for ty in &tuple.types {
                    self.spell_field("", Some(ty), out);
                }
            }
            TypeDefKind::Enum(names) => {
                for case in &names.cases {
                    self.spell_field(&case.name, None, out);
                }
            }
            TypeDefKind::Flags(names) => {
                for flag in &names.flags {
                    self.spell_field(&flag.name, None, out);
                }
            }
            TypeDefKind::Option(ty) | TypeDefKind::List(ty) => self.spell_type(ty, out),
            TypeDefKind::Result(result) => {
                self.spell_optional(result.ok.as_ref(), out);
                out.push(',');
                self.spell_optional(result.err.as_ref(), out);
            }
            TypeDefKind::Handle(Handle::Own(resource) | Handle::Borrow(resource)) => {
                let name = self.resolve.types[*resource].name.as_deref();
                out.push_str(name.unwrap_or_default());
            }
            // The contract has no other, so nothing is equal to it.
            other => spell_debug(other, out),
        }
        out.push(')');
    }

    fn spell_field(self, name: &str, ty: Option<&Type>, out: &mut String) {
        out.push_str(name);
        out.push(':');
        self.spell_optional(ty, out);
        out.push(',');
    }
}

fn spell_debug(value: &dyn std::fmt::Debug, out: &mut String) {
    // Writing to a String does not fail.
    let _ = write!(out, "{value:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedded(wit: &str) -> Vec<u8> {
        with_world(wat::parse_str("(module)").unwrap(), wit, "plugin")
    }

    fn with_world(mut module: Vec<u8>, wit: &str, world: &str) -> Vec<u8> {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("policy.wit", wit).unwrap();
        let world = resolve.select_world(&[package], Some(world)).unwrap();
        let utf8 = StringEncoding::UTF8;
        wit_component::embed_component_metadata(&mut module, &resolve, world, utf8, false).unwrap();
        module
    }

    #[test]
    fn the_contract_itself_agrees() {
        assert_eq!(check(&embedded(CONTRACT)), Ok(()));
    }

    /// As one that was built before there was such an interface.
    #[test]
    fn a_world_that_imports_less_of_the_contract_agrees() {
        let less = CONTRACT.replacen("  import cache;\n", "", 1);
        assert_ne!(less, CONTRACT);
        assert_eq!(check(&embedded(&less)), Ok(()));
    }

    #[test]
    fn a_plugin_with_the_timer_agrees_and_one_with_a_timer_of_its_own_does_not() {
        let module = || embedded(CONTRACT);
        assert_eq!(check(&with_world(module(), CONTRACT, "timed")), Ok(()));
        let other = CONTRACT.replacen(
            "on-tick: func() -> option<u64>",
            "on-tick: func() -> option<s64>",
            1,
        );
        assert_ne!(other, CONTRACT);
        let other = with_world(module(), &other, "timed");
        assert_eq!(check(&other), Err(OTHER));
    }

    /// Each of these has the same flat functions as the contract, or nearly.
    #[test]
    fn what_only_looks_like_the_contract_does_not_agree() {
        for (ours, theirs) in [
            ("monotonic-us: func() -> u64", "monotonic-us: func() -> s64"),
            ("drop,\n    /// Send", "discard,\n    /// Send"),
            ("tier: option<string>", "level: option<string>"),
            ("remove-header(string),", "remove-header(list<u8>),"),
            ("denied,\n    /// Granted", "refused,\n    /// Granted"),
            (
                "settle: func(used: u64) -> u64;",
                "settle: func(used: u64);",
            ),
        ] {
            assert!(CONTRACT.contains(ours), "{ours}");
            let other = embedded(&CONTRACT.replacen(ours, theirs, 1));
            assert_eq!(check(&other), Err(OTHER), "{theirs}");
        }
    }
}
