//! Which texts an event says to be finished.

use crate::json::{Step, Texts};

/// What is finished with an event.
pub(super) struct Ends {
    /// The ways to the choices or blocks.
    ways: Vec<Vec<Step>>,
    /// Only texts whose events have this `type`.
    kind: Option<String>,
}

impl Ends {
    pub(super) fn of(texts: &Texts) -> Self {
        let finished = texts.finished.iter();
        let mut ways: Vec<Vec<Step>> = finished.map(|place| texts.way_to_object(*place)).collect();
        let kind = texts.kind.as_deref().and_then(kind_ended_by);
        if kind.is_some() {
            ways.push(texts.way_to_object(0));
        }
        Self { ways, kind }
    }

    pub(super) fn have(&self, way: &[Step], kind: Option<&str>) -> bool {
        let is_kind = self.kind.is_none() || self.kind.as_deref() == kind;
        is_kind && self.ways.iter().any(|finished| way.starts_with(finished))
    }
}

/// In the dialects whose events say what they are.
fn kind_ended_by(kind: &str) -> Option<String> {
    match kind {
        "content_block_stop" => Some("content_block_delta".to_owned()),
        _ => Some(format!("{}.delta", kind.strip_suffix(".done")?)),
    }
}
