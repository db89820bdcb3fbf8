//! What is looked for with these settings, and what is put in its place.

use crate::{
    find::Match,
    kinds::{self, Finding, Pattern},
    text::Text,
};

/// Kinds that are known without being told how they look. The first one that fits wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    Email,
    ApiKey,
    Iban,
    Card,
    Phone,
}

impl Known {
    pub(crate) const ALL: [Self; 5] = [
        Self::Email,
        Self::ApiKey,
        Self::Iban,
        Self::Card,
        Self::Phone,
    ];

    /// As a refusal says it.
    pub(crate) fn in_words(self) -> &'static str {
        match self {
            Self::Email => "an e-mail address",
            Self::ApiKey => "an API key",
            Self::Iban => "an account number (IBAN)",
            Self::Card => "the number of a payment card",
            Self::Phone => "a telephone number",
        }
    }

    /// What a sample shows of it.
    pub(crate) fn example(self) -> &'static str {
        match self {
            Self::Email => "ada@example.com",
            Self::ApiKey => "sk-SAMPLE0000000000000000",
            Self::Iban => "DE89 3704 0044 0532 0130 00",
            Self::Card => "4111 1111 1111 1111",
            Self::Phone => "+1 212 555 0100",
        }
    }

    fn may_start_with(self, byte: u8) -> bool {
        match self {
            Self::Email => false,
            Self::ApiKey => kinds::starts_api_key(byte),
            Self::Iban => kinds::starts_iban(byte),
            Self::Card => matches!(byte, b'2'..=b'6'),
            Self::Phone => byte.is_ascii_digit() || matches!(byte, b'+' | b'('),
        }
    }

    fn find(self, text: &Text, start: usize) -> Finding {
        match self {
            Self::Email => Ok(None),
            Self::ApiKey => kinds::api_key(text, start),
            Self::Iban => kinds::iban(text, start),
            Self::Card => kinds::card(text, start),
            Self::Phone => kinds::phone(text, start),
        }
    }
}

/// What one rule looks for.
#[derive(Debug)]
pub(crate) enum Look {
    For(Known),
    Own(Box<Pattern>),
}

impl Look {
    pub(crate) fn find(&self, text: &Text, start: usize) -> Finding {
        match self {
            Self::For(known) => known.find(text, start),
            Self::Own(pattern) => pattern.find(text, start),
        }
    }

    fn may_start_with(&self, byte: u8) -> bool {
        match self {
            Self::For(known) => known.may_start_with(byte),
            Self::Own(pattern) => pattern.may_start_with(byte),
        }
    }
}

/// One thing to look for.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) look: Look,
    pub(crate) replacement: Replacement,
}

/// What is put in place of something.
#[derive(Debug)]
pub(crate) struct Replacement {
    pub(crate) plain: String,
    /// As it stands inside a JSON string.
    pub(crate) escaped: String,
}

impl Replacement {
    pub(crate) fn new(plain: String) -> Self {
        let quoted = serde_json::Value::from(plain.as_str()).to_string();
        let escaped = quoted[1..quoted.len() - 1].to_owned();
        Self { plain, escaped }
    }
}

/// All that is looked for: an operator's own patterns first.
#[derive(Debug)]
pub(crate) struct Rules {
    list: Vec<Rule>,
    /// The place of the rule for e-mail, the one kind that is not found by its start.
    pub(crate) email: Option<usize>,
    /// For each byte the rules that something may start with it for, one bit each, and
    /// `WORD`.
    classes: [u32; 256],
    /// The rules that fit inside words, too.
    inside_words: u32,
}

impl Rules {
    /// As many as there are bits, but one.
    pub(crate) const MAX: usize = 31;
    /// Whether a byte is a letter or digit, so that most kinds do not start behind it.
    const WORD: u32 = 1 << Self::MAX;

    /// No more than `MAX` of them.
    pub(crate) fn new(list: Vec<Rule>) -> Self {
        let class = |byte: usize| {
            let byte = u8::try_from(byte).unwrap_or(u8::MAX);
            let is_inside_a_character = byte & 0xC0 == 0x80;
            let starting = bits(&list, |rule| {
                !is_inside_a_character && rule.look.may_start_with(byte)
            });
            let is_word = byte.is_ascii_alphanumeric();
            starting | if is_word { Self::WORD } else { 0 }
        };
        let is_email = |rule: &Rule| matches!(rule.look, Look::For(Known::Email));
        Self {
            email: list.iter().position(is_email),
            classes: std::array::from_fn(class),
            inside_words: bits(&list, |rule| matches!(rule.look, Look::Own(_))),
            list,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.list.iter()
    }

    pub(crate) fn get(&self, rule: usize) -> &Rule {
        &self.list[rule]
    }

    pub(crate) fn of(&self, found: &Match) -> &Rule {
        &self.list[found.rule]
    }

    /// For each of some bytes the rules that may fit what starts there, one bit each.
    #[inline]
    pub(crate) fn starting<'a>(
        &'a self,
        before: Option<u8>,
        bytes: &'a [u8],
    ) -> impl Iterator<Item = u32> + 'a {
        let behind = |class: u32| match class & Self::WORD {
            0 => !Self::WORD,
            _ => self.inside_words,
        };
        let mut may_start = behind(before.map_or(0, |byte| self.classes[usize::from(byte)]));
        bytes.iter().map(move |byte| {
            let class = self.classes[usize::from(*byte)];
            let starting = class & may_start;
            may_start = behind(class);
            starting
        })
    }
}

/// The rules of which something holds, one bit each.
fn bits(list: &[Rule], holds: impl Fn(&Rule) -> bool) -> u32 {
    let holding = list.iter().enumerate().filter(|(_, rule)| holds(rule));
    holding.fold(0, |bits, (place, _)| bits | 1 << place)
}
