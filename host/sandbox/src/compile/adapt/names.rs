//! What a module calls its functions, in its `name` section.

use wasmparser::{KnownCustom, Name, Parser, Payload};

/// A module with more has no names.
const NAMES_MAX: usize = 200_000;
/// A longer one is none.
const NAME_BYTES_MAX: usize = 4096;

/// Function and name. Where the section is not what it should be, the names up to there:
/// nothing depends on them.
pub(super) fn of(module: &[u8]) -> Vec<(u32, &str)> {
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        let section = match payload {
            Ok(Payload::CustomSection(section)) => section,
            Ok(_) => continue,
            Err(_) => break,
        };
        let KnownCustom::Name(section) = section.as_known() else {
            continue;
        };
        for name in section {
            let Ok(Name::Function(functions)) = name else {
                continue;
            };
            for naming in functions {
                let Ok(naming) = naming else { break };
                if naming.name.len() <= NAME_BYTES_MAX {
                    names.push((naming.index, naming.name));
                }
                if names.len() > NAMES_MAX {
                    return Vec::new();
                }
            }
        }
    }
    names
}
