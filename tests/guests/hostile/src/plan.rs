//! The settings. Read by hand: a JSON library would be most of the plugin.

use std::sync::OnceLock;

#[derive(Default)]
pub struct Plan {
    pub mode: String,
    pub hook: String,
    pub text: String,
    pub amount: u64,
    /// Whether it misbehaves in every exchange, also in samples.
    pub always: bool,
}

static PLAN: OnceLock<Plan> = OnceLock::new();
/// Of this exchange, where the settings say `ask`.
static ASKED: OnceLock<Plan> = OnceLock::new();

pub fn set(settings: &str) -> &'static Plan {
    PLAN.get_or_init(|| read(settings))
}

/// One compiled plugin serves many cases: the route's name says what to do.
pub fn ask(route: &str) {
    if PLAN.get().is_some_and(|plan| plan.mode == "ask") {
        ASKED.get_or_init(|| read(route));
    }
}

pub fn get() -> &'static Plan {
    ASKED
        .get()
        .unwrap_or_else(|| PLAN.get_or_init(Plan::default))
}

fn read(settings: &str) -> Plan {
    Plan {
        mode: text(settings, "mode"),
        hook: text(settings, "hook"),
        text: text(settings, "text"),
        amount: number(settings, "amount"),
        always: settings.contains("\"always\":true"),
    }
}

fn after<'a>(settings: &'a str, name: &str) -> Option<&'a str> {
    let key = format!("\"{name}\":");
    settings.find(&key).map(|at| &settings[at + key.len()..])
}

fn number(settings: &str, name: &str) -> u64 {
    let digits: String = after(settings, name)
        .unwrap_or("")
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap_or(0)
}

fn text(settings: &str, name: &str) -> String {
    let mut out = String::new();
    let Some(rest) = after(settings, name).and_then(|rest| rest.strip_prefix('"')) else {
        return out;
    };
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => out.push(match chars.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    u32::from_str_radix(&digits, 16)
                        .ok()
                        .and_then(char::from_u32)
                        .unwrap_or('?')
                }
                Some(other) => other,
                None => break,
            }),
            other => out.push(other),
        }
    }
    out
}
