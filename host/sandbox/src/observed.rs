//! What a policy was seen to do with the samples that its plugin ships.
//!
//! Whatever stands here did happen, with these very settings; what does not may still
//! happen with other requests.

use std::collections::BTreeSet;

use crate::contract::{Decision, Edit, Verdict};

/// Fields that are remembered.
const FIELDS_MAX: usize = 1024;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// Fields that it set or removed.
    pub changed: BTreeSet<Changed>,
    /// Statuses that it refused requests with.
    pub refused: BTreeSet<u16>,
    /// Whether it answered a request itself.
    pub answered: bool,
}

/// One field of a message that was set or removed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Changed {
    /// In which message, and when.
    pub stage: Stage,
    /// Of which kind the field is.
    pub field: Field,
    /// The model that the sample asked for: rules for one say nothing of another.
    pub model: Option<String>,
}

/// How far an exchange is when a hook is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Where it goes, and what becomes of the answer, can be planned.
    Request,
    /// The target is chosen, and its endpoint is not.
    Attempt,
    /// It is on its way back, or there is no message.
    Response,
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// By its name in lower case.
    Header(String),
    /// By its JSON pointer.
    Json(String),
    /// The whole body.
    Body,
    /// By its name.
    Fact(String),
    /// Path and query.
    Path,
    /// Of a response.
    Status,
}

impl Observed {
    pub(crate) const NOTHING: Self = Self {
        changed: BTreeSet::new(),
        refused: BTreeSet::new(),
        answered: false,
    };

    pub(crate) fn see(&mut self, decision: &Decision, stage: Stage, model: Option<&str>) {
        for edit in &decision.edits {
            let field = match edit {
                Edit::SetHeader(header) => Field::Header(header.name.to_ascii_lowercase()),
                Edit::RemoveHeader(name) => Field::Header(name.to_ascii_lowercase()),
                Edit::SetJson((pointer, _)) | Edit::RemoveJson(pointer) => {
                    Field::Json(pointer.clone())
                }
                Edit::ReplaceBody(_) => Field::Body,
                Edit::SetFact((name, _)) => Field::Fact(name.clone()),
                Edit::SetPath(_) => Field::Path,
                Edit::SetStatus(_) => Field::Status,
                Edit::AppendHeader(_) | Edit::SetMethod(_) => continue,
            };
            if self.changed.len() < FIELDS_MAX {
                self.changed.insert(Changed {
                    stage,
                    field,
                    model: model.map(str::to_owned),
                });
            }
        }
        match &decision.verdict {
            Verdict::Refuse(refusal) if stage != Stage::Response => {
                self.refused.insert(refusal.status);
            }
            Verdict::Reply(_) if stage != Stage::Response => self.answered = true,
            Verdict::Refuse(_) | Verdict::Reply(_) | Verdict::Next | Verdict::GoTo(_) => {}
        }
    }
}
