//! Changes to the events of a stream.

use serde_json::Value as Json;
use tollgate_sdk::{Event, Kind, pointer};

use crate::{
    replace::Replacer,
    settings::{Condition, EventChanges},
};

pub(crate) fn is_dropped(event: &Event, changes: &EventChanges) -> bool {
    if changes.drop_if.is_empty() {
        return false;
    }
    let Ok(data) = serde_json::from_slice::<Json>(event.data()) else {
        return false;
    };
    changes.drop_if.iter().any(|Condition { at, equals }| {
        let found = data.pointer(at.as_str());
        found.is_some_and(|found| equals.as_ref().is_none_or(|wanted| wanted == found))
    })
}

/// Where an answer has several choices at once, words are replaced within an event only.
pub(crate) fn replace_text(event: &mut Event, text: &mut Replacer<'_>) {
    if text.is_idle() {
        return;
    }
    match event.choices() {
        [choice] if choice.index == 0 => {
            let is_last = choice.finish.is_some();
            match choice.text.as_deref() {
                Some(piece) => {
                    let mut new = text.feed(piece);
                    if is_last {
                        new.push_str(&text.finish());
                    }
                    event.map_text(|_| new.clone());
                }
                None if is_last || matches!(event.kind(), Kind::ToolCall(_)) => {
                    send_held(event, text)
                }
                None => {}
            }
        }
        [] if event.is_done() => send_held(event, text),
        [] => {}
        _ => event.map_text(|piece| text.alone(piece)),
    }
}

fn send_held(event: &mut Event, text: &mut Replacer<'_>) {
    let held = text.finish();
    if !held.is_empty() {
        event.send_before(event.with_text(&held));
    }
}

pub(crate) fn change_fields(event: &mut Event, changes: &EventChanges) {
    if changes.remove.is_empty() && changes.set.is_empty() {
        return;
    }
    let Ok(mut data @ Json::Object(_)) = serde_json::from_slice::<Json>(event.data()) else {
        return;
    };
    for pointer in &changes.remove {
        let _missing = pointer::remove(&mut data, pointer.as_str());
    }
    for (pointer, value) in &changes.set {
        let _no_place = pointer::set(&mut data, pointer.as_str(), value.clone());
    }
    event.set_data(data.to_string());
}
