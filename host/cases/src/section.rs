//! Cases within a plugin's file: a custom section, which a module and a component may
//! have alike.

use std::path::Path;

use tollgate_config::printable;

use crate::case::{Case, CaseError};

/// The section's name.
const SECTION: &str = "tollgate:cases";
/// All cases of a file together.
const BYTES_MAX: usize = 1 << 20;
/// Of a file.
const CASES_MAX: usize = 64;
/// Bytes of a case's name.
const NAME_MAX: usize = 128;

/// Why cases cannot be put into a file, or taken from it.
#[derive(Debug, thiserror::Error)]
pub enum SectionError {
    /// Not WebAssembly, or cut off.
    #[error("the file's sections cannot be read: it is no WebAssembly, or is cut off")]
    Unreadable,
    /// The section has other things in it.
    #[error("the section `{SECTION}` cannot be read: {0}")]
    Garbled(String),
    /// A case's name would not do in a message or as a file's.
    #[error("a case's name has letters, digits, `-`, `_`, `.` and spaces, at most {NAME_MAX} bytes: `{}` is none", .0.escape_debug())]
    Name(String),
    /// More than a file may carry.
    #[error("{0}: a plugin carries at most {cases} cases, of {kib} KiB together", cases = CASES_MAX, kib = BYTES_MAX >> 10)]
    TooMuch(String),
    /// A case in it is wrong.
    #[error(transparent)]
    Case(#[from] CaseError),
}

/// The cases that a plugin's file carries.
#[derive(Debug, Default)]
pub struct Shipped {
    /// By name.
    pub cases: Vec<Case>,
}

/// The plugin's file with these cases in it, in place of any it carried.
///
/// # Errors
/// The file cannot be read, or they are more than it may carry.
pub fn with_cases(wasm: &[u8], cases: &[Case]) -> Result<Vec<u8>, SectionError> {
    let pairs: Vec<(&str, &str)> = cases
        .iter()
        .map(|case| (case.name.as_str(), case.text.as_str()))
        .collect();
    let data =
        serde_json::to_vec(&pairs).map_err(|error| SectionError::Garbled(error.to_string()))?;
    if pairs.len() > CASES_MAX || data.len() > BYTES_MAX {
        let what = format!("{} cases, {} KiB", pairs.len(), data.len() >> 10);
        return Err(SectionError::TooMuch(what));
    }
    let mut out = without(wasm, |name| name == SECTION)?;
    let mut section = Vec::new();
    length(SECTION.len(), &mut section);
    section.extend(SECTION.as_bytes());
    section.extend(data);
    out.push(0);
    length(section.len(), &mut out);
    out.extend(section);
    Ok(out)
}

/// The cases that a plugin's file carries; none, if it has no section for them. Reading a
/// megabyte of them takes its time.
///
/// # Errors
/// The section is there and is not what it should be.
pub fn shipped(wasm: &[u8]) -> Result<Shipped, SectionError> {
    let mut cases = Vec::new();
    for section in sections(wasm)? {
        let Some((SECTION, data)) = section.custom else {
            continue;
        };
        if data.len() > BYTES_MAX {
            let what = format!("{} KiB of cases", data.len() >> 10);
            return Err(SectionError::TooMuch(what));
        }
        let pairs: Vec<(String, String)> = serde_json::from_slice(data)
            .map_err(|error| SectionError::Garbled(printable(&error.to_string())))?;
        if cases.len() + pairs.len() > CASES_MAX {
            let what = format!("{} cases", cases.len() + pairs.len());
            return Err(SectionError::TooMuch(what));
        }
        for (name, text) in pairs {
            let plain = name
                .chars()
                .all(|c| c.is_alphanumeric() || "-_. ".contains(c));
            if name.is_empty() || name.len() > NAME_MAX || !plain {
                let shown = name.chars().take(NAME_MAX).collect();
                return Err(SectionError::Name(shown));
            }
            let file = format!("cases/{name}.yaml");
            cases.push(Case::read_shipped(Path::new(&file), text)?);
        }
    }
    Ok(Shipped { cases })
}

/// What a plugin's file tells of its source, for messages about its traps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symbols {
    /// Nothing.
    None,
    /// What its functions are called.
    Names,
    /// Files and lines as well; many times the size.
    Lines,
}

/// The file without what only linkers read, and with these symbols of those it has.
///
/// # Errors
/// The file cannot be read.
pub fn strip(wasm: &[u8], symbols: Symbols) -> Result<Vec<u8>, SectionError> {
    without(wasm, |name| match name {
        "producers" | "target_features" => true,
        "name" => symbols == Symbols::None,
        name => name.starts_with(".debug") && symbols != Symbols::Lines,
    })
}

fn without(wasm: &[u8], goes: impl Fn(&str) -> bool) -> Result<Vec<u8>, SectionError> {
    let mut out = wasm.get(..8).ok_or(SectionError::Unreadable)?.to_vec();
    for section in sections(wasm)? {
        if !section.custom.is_some_and(|(name, _)| goes(name)) {
            out.extend(section.whole);
        }
    }
    Ok(out)
}

/// A section of the outermost level.
struct Section<'a> {
    /// With its id and length.
    whole: &'a [u8],
    /// A custom one's name and content.
    custom: Option<(&'a str, &'a [u8])>,
}

/// Modules and components are framed alike: an id, a length, a content.
fn sections(wasm: &[u8]) -> Result<Vec<Section<'_>>, SectionError> {
    if !wasm.starts_with(b"\0asm") {
        return Err(SectionError::Unreadable);
    }
    let mut rest = wasm.get(8..).ok_or(SectionError::Unreadable)?;
    let mut sections = Vec::new();
    while let Some((id, after)) = rest.split_first() {
        let (content_bytes, content_on) = leb(after).ok_or(SectionError::Unreadable)?;
        let content = content_on
            .get(..content_bytes)
            .ok_or(SectionError::Unreadable)?;
        let end = rest.len() - content_on.len() + content_bytes;
        let custom = if *id == 0 { named(content) } else { None };
        sections.push(Section {
            whole: &rest[..end],
            custom,
        });
        rest = &rest[end..];
    }
    Ok(sections)
}

fn named(content: &[u8]) -> Option<(&str, &[u8])> {
    let (name_bytes, rest) = leb(content)?;
    let name = std::str::from_utf8(rest.get(..name_bytes)?).ok()?;
    Some((name, &rest[name_bytes..]))
}

/// A number of at most 32 bits, and what follows it.
fn leb(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_u64;
    for (nth, byte) in bytes.iter().enumerate().take(5) {
        value |= u64::from(byte & 0x7f) << (7 * nth);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).ok()?;
            return Some((usize::try_from(value).ok()?, &bytes[nth + 1..]));
        }
    }
    None
}

fn length(mut value: usize, out: &mut Vec<u8>) {
    loop {
        #[expect(clippy::cast_possible_truncation, reason = "seven bits are kept")]
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use super::*;

    const EMPTY: [u8; 8] = *b"\0asm\x01\0\0\0";

    fn case(name: &str) -> Case {
        let text = "expect: { on_request: { verdict: next } }\n".to_owned();
        Case::read(Path::new(&format!("cases/{name}.yaml")), text).unwrap()
    }

    #[test]
    fn cases_are_taken_out_as_they_were_put_in_and_replace_those_before() {
        let once = with_cases(&EMPTY, &[case("a"), case("b")]).unwrap();
        let twice = with_cases(&once, &[case("c")]).unwrap();
        let names = |wasm: &[u8]| {
            let cases = shipped(wasm).unwrap().cases;
            cases.into_iter().map(|case| case.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&once), ["a", "b"]);
        assert_eq!(names(&twice), ["c"]);
        assert_eq!(names(&EMPTY), [""; 0]);
        assert_eq!(
            strip(&twice, Symbols::None).unwrap(),
            twice,
            "they are no debug information"
        );
    }

    #[test]
    fn of_its_symbols_a_file_keeps_those_that_were_asked_for() {
        let mut wasm = EMPTY.to_vec();
        let names = [".debug_info", "name", "producers", ".debug_line"];
        for name in names {
            wasm.push(0);
            length(name.len() + 1, &mut wasm);
            length(name.len(), &mut wasm);
            wasm.extend(name.as_bytes());
        }
        for (symbols, kept) in [
            (Symbols::None, &[][..]),
            (Symbols::Names, &["name"]),
            (Symbols::Lines, &[".debug_info", "name", ".debug_line"]),
        ] {
            let stripped = strip(&wasm, symbols).unwrap();
            let left = sections(&stripped).unwrap();
            let left: Vec<_> = left.iter().filter_map(|section| section.custom).collect();
            let left: Vec<_> = left.iter().map(|(name, _)| *name).collect();
            assert_eq!(left, kept, "{symbols:?}");
        }
        assert!(strip(&wasm[..12], Symbols::Names).is_err());
    }

    #[test]
    fn more_than_a_file_may_carry_is_refused_on_both_ways() {
        let many: Vec<Case> = (0..=CASES_MAX)
            .map(|nth| case(&format!("c{nth}")))
            .collect();
        assert!(matches!(
            with_cases(&EMPTY, &many),
            Err(SectionError::TooMuch(_))
        ));
        let mut big = case("big");
        big.text = format!("{}#{}", big.text, "x".repeat(BYTES_MAX));
        assert!(matches!(
            with_cases(&EMPTY, &[big]),
            Err(SectionError::TooMuch(_))
        ));
    }

    #[test]
    fn a_strangers_case_is_read_to_its_first_mistake_and_no_further() {
        let wrong: String = (0..99).map(|nth| format!("unknown{nth}: 1\n")).collect();
        let twins = format!("settings: {{{}}}\n", "a,".repeat(10_000));
        let verdict = format!(
            "expect: {{ open: {{ verdict: {} }} }}\n",
            "x".repeat(1 << 19)
        );
        for text in [wrong, twins, verdict] {
            let mut bad = case("bad");
            bad.text = text;
            let wasm = with_cases(&EMPTY, &[bad]).unwrap();
            let Err(SectionError::Case(CaseError::Wrong(problems))) = shipped(&wasm) else {
                panic!("is wrong")
            };
            assert_eq!(problems.iter().count(), 1);
            assert!(problems.to_string().len() < 4_000, "{problems}");
        }
    }

    #[test]
    fn hostile_sections_are_refused_and_never_read_beyond_the_file() {
        let custom = |data: &[u8]| {
            let mut section = vec![SECTION.len() as u8];
            section.extend(SECTION.as_bytes());
            section.extend(data);
            let mut wasm = EMPTY.to_vec();
            wasm.push(0);
            length(section.len(), &mut wasm);
            wasm.extend(section);
            wasm
        };
        let long = format!("[[\"{}\",\"a\"", "x".repeat(1 << 19));
        let long_list = format!("[\"{}\"]", "x".repeat(1 << 19));
        for data in [&b"{"[..], b"[[1,2]]", long.as_bytes(), long_list.as_bytes()] {
            let Err(SectionError::Garbled(why)) = shipped(&custom(data)) else {
                panic!("is no list of cases")
            };
            assert!(why.len() < 2_000, "{} bytes", why.len());
        }
        for (data, named) in [
            (&br#"[["../x","a"]]"#[..], "`../x` is none"),
            (br#"[["a\u001b[2J","a"]]"#, r"`a\u{1b}[2J` is none"),
        ] {
            let error = shipped(&custom(data)).unwrap_err().to_string();
            assert!(error.ends_with(named), "{error}");
        }
        assert!(matches!(
            shipped(&custom(br#"[["a","nonsense: 1"]]"#)),
            Err(SectionError::Case(_))
        ));
        let whole = custom(br#"[["a","expect: { on_request: { verdict: next } }"]]"#);
        assert_eq!(shipped(&whole).unwrap().cases.len(), 1);
        for end in 9..whole.len() {
            assert!(shipped(&whole[..end]).is_err(), "{end}");
        }
        let mut endless = EMPTY.to_vec();
        endless.extend([0, 0xff, 0xff, 0xff, 0xff, 0xff]);
        assert!(shipped(&endless).is_err());
    }
}
