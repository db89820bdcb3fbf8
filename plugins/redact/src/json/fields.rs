//! Which fields of the dialects hold text.

use crate::held::Spelling;

/// What a field means for the strings in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Means {
    /// They are no text. In objects the fields' own names count.
    Nothing,
    /// They are text, one by one.
    Text(Spelling),
    /// They are text, and if it is an object, all that its fields hold.
    Values(Spelling),
    /// All below is text.
    AllBelow,
}

/// By the name of the field.
pub(crate) fn means(name: &str) -> Means {
    match name {
        "content" | "text" | "prompt" | "suffix" | "system" | "instructions" | "refusal"
        | "reasoning" | "reasoning_content" | "output" | "delta" => Means::Text(Spelling::Plain),
        "partial_json" => Means::Text(Spelling::Json),
        "input" => Means::Values(Spelling::Plain),
        "arguments" => Means::Values(Spelling::Json),
        _ => Means::Nothing,
    }
}

impl Means {
    /// How a string is spelled that is text.
    pub(super) fn spelling(self) -> Option<Spelling> {
        match self {
            Self::Nothing => None,
            Self::Text(spelling) | Self::Values(spelling) => Some(spelling),
            Self::AllBelow => Some(Spelling::Plain),
        }
    }

    /// For what stands in an object that is such a field, or an element of it.
    pub(super) fn in_object(self, is_element: bool) -> Self {
        match self {
            Self::AllBelow => Self::AllBelow,
            Self::Values(_) if !is_element => Self::AllBelow,
            _ => Self::Nothing,
        }
    }
}
