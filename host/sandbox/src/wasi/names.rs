//! Which interfaces of WASI a component may import.

/// Answered, see `link`.
const GIVEN: [&str; 18] = [
    "cli/environment",
    "cli/exit",
    "cli/stderr",
    "cli/stdin",
    "cli/stdout",
    "cli/terminal-input",
    "cli/terminal-output",
    "cli/terminal-stderr",
    "cli/terminal-stdin",
    "cli/terminal-stdout",
    "clocks/monotonic-clock",
    "clocks/wall-clock",
    "io/error",
    "io/poll",
    "io/streams",
    "random/insecure",
    "random/insecure-seed",
    "random/random",
];

/// Imported by what the tools make whether or not the policy uses it, so it is not
/// refused. There are no folders to open, and every other function traps.
const EMPTY: [&str; 9] = [
    "filesystem/preopens",
    "filesystem/types",
    "sockets/instance-network",
    "sockets/ip-name-lookup",
    "sockets/network",
    "sockets/tcp",
    "sockets/tcp-create-socket",
    "sockets/udp",
    "sockets/udp-create-socket",
];

/// Why an import of WASI is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Version,
    Interface,
}

/// The interface, such as `clocks/wall-clock`, that an import names; `None`: it is not
/// one of WASI.
pub(crate) fn interface(import: &str) -> Option<Result<&str, Refused>> {
    let rest = import.strip_prefix("wasi:")?;
    let (name, version) = rest.split_once('@').unwrap_or((rest, ""));
    let patch = version.strip_prefix("0.2.");
    let is_known = patch.is_some_and(|patch| patch.parse::<u32>().is_ok());
    Some(if !GIVEN.contains(&name) && !EMPTY.contains(&name) {
        Err(Refused::Interface)
    } else if is_known {
        Ok(name)
    } else {
        Err(Refused::Version)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_the_machine_is_refused_and_so_is_another_wasi() {
        for (import, expected) in [
            ("tollgate:policy/kv@0.1.0", None),
            (
                "wasi:clocks/wall-clock@0.2.0",
                Some(Ok("clocks/wall-clock")),
            ),
            ("wasi:cli/stderr@0.2.12", Some(Ok("cli/stderr"))),
            ("wasi:sockets/tcp@0.2.9", Some(Ok("sockets/tcp"))),
            (
                "wasi:http/outgoing-handler@0.2.0",
                Some(Err(Refused::Interface)),
            ),
            (
                "wasi:keyvalue/store@0.2.0-draft",
                Some(Err(Refused::Interface)),
            ),
            ("wasi:cli/run@0.2.0", Some(Err(Refused::Interface))),
            ("wasi:", Some(Err(Refused::Interface))),
            ("wasi:io/poll@0.3.0", Some(Err(Refused::Version))),
            (
                "wasi:io/poll@0.2.0-rc-2023-11-10",
                Some(Err(Refused::Version)),
            ),
            ("wasi:io/poll", Some(Err(Refused::Version))),
        ] {
            assert_eq!(interface(import), expected, "{import}");
        }
    }
}
