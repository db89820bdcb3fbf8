//! Lazy views of the message that a hook is shown.

use bytes::Bytes;
use wasmtime::component::Resource;

use super::{MessageView, State};
use crate::{
    Message,
    contract::{
        Value,
        tollgate::policy::{exchange, types},
    },
    direct::Direct,
    policy::memo::Reads,
    recording::{Note, Part, Recorded},
};

/// The most bytes of a body that one call hands out.
const BODY_PIECE_MAX: usize = 1 << 20;

impl types::Host for State {}
impl exchange::Host for State {}

impl State {
    /// What is shown, after counting the call.
    pub(crate) fn shown(&mut self) -> wasmtime::Result<Shown<'_>> {
        self.enter()?;
        if self.shows {
            Ok(Shown {
                message: &mut self.message,
                to: &mut self.direct,
                notes: Notes {
                    recorded: &mut self.recorded,
                    reads: &mut self.reads,
                },
            })
        } else {
            Err(wasmtime::Error::msg("no message is shown outside a hook"))
        }
    }
}

/// The message that a hook is shown, and what stands beside it.
pub(crate) struct Shown<'a> {
    pub(crate) message: &'a mut Message,
    /// Where an answer goes that is not to be copied first.
    pub(crate) to: &'a mut Option<Direct>,
    pub(crate) notes: Notes<'a>,
}

/// Where it is noted what the guest asks for: for whoever watches, and for the next time.
pub(crate) struct Notes<'a> {
    recorded: &'a mut Recorded,
    reads: &'a mut Option<Reads>,
}

impl Notes<'_> {
    pub(crate) fn header(&mut self, name: &str, value: Option<&[u8]>) {
        self.recorded.header(name, value);
        self.read(Part::Header, name);
    }

    fn json(&mut self, pointer: &str, value: Option<&Value>) {
        self.recorded.json(pointer, value);
        self.read(Part::Json, pointer);
    }

    pub(crate) fn fact(&mut self, name: &str, value: Option<&str>) {
        self.recorded.fact(name, value);
        self.read(Part::Fact, name);
    }

    fn read(&mut self, part: Part, name: &str) {
        if let Some(reads) = &mut self.reads {
            reads.note(part, name);
        }
    }
}

impl Shown<'_> {
    pub(crate) fn header(&mut self, name: &str) -> Option<&[u8]> {
        let value = self.message.header(name);
        self.notes.header(name, value);
        value
    }

    pub(crate) fn json(&mut self, pointer: &str) -> Option<Value> {
        let value = self.message.json(pointer);
        self.notes.json(pointer, value.as_ref());
        value
    }

    pub(crate) fn body(&mut self, offset: u64, bytes_max: u32) -> Bytes {
        let piece = body_piece(self.message, offset, bytes_max);
        self.notes.recorded.body(offset, &piece);
        piece
    }

    pub(crate) fn fact(&mut self, name: &str) -> Option<&str> {
        let value = self.message.fact(name);
        self.notes.fact(name, value);
        value
    }
}

/// How much one call may still hand over: no more than the guest's memory can hold, since
/// one and the same field may be asked for again and again.
pub(crate) struct Room(usize);

impl Room {
    /// # Errors
    /// A trap, when there is less.
    pub(crate) fn take(&mut self, bytes: usize) -> wasmtime::Result<()> {
        let left = self.0.checked_sub(bytes);
        self.0 = left.ok_or_else(|| {
            wasmtime::Error::msg("asked for more in one call than the plugin's memory holds")
        })?;
        Ok(())
    }

    /// # Errors
    /// As [`Room::take`].
    pub(crate) fn json(
        &mut self,
        shown: &mut Shown<'_>,
        field: &str,
    ) -> wasmtime::Result<Option<Value>> {
        let value = shown.json(field);
        if let Some(Value::Text(text) | Value::Json(text)) = &value {
            self.take(text.len())?;
        }
        Ok(value)
    }
}

impl State {
    pub(crate) fn room(&self) -> Room {
        Room(self.shared.bounds.memory_bytes)
    }
}

/// A piece of the body: at most `bytes_max` bytes from `offset` on, fewer at its end.
fn body_piece(message: &mut Message, offset: u64, bytes_max: u32) -> Bytes {
    let Some(body) = message.body() else {
        return Bytes::new();
    };
    let from = usize::try_from(offset)
        .unwrap_or(usize::MAX)
        .min(body.len());
    let to = from
        .saturating_add((bytes_max as usize).min(BODY_PIECE_MAX))
        .min(body.len());
    body.slice(from..to)
}

impl exchange::HostMessage for State {
    fn header(
        &mut self,
        _: Resource<MessageView>,
        name: String,
    ) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(self.shown()?.header(&name).map(<[u8]>::to_vec))
    }

    fn headers(
        &mut self,
        _: Resource<MessageView>,
        names: Vec<String>,
    ) -> wasmtime::Result<Vec<Option<Vec<u8>>>> {
        self.enter_for(names.len())?;
        let mut room = self.room();
        let mut shown = self.shown()?;
        let values = names.iter().map(|name| {
            let value = shown.header(name);
            room.take(value.map_or(0, <[u8]>::len))?;
            Ok(value.map(<[u8]>::to_vec))
        });
        values.collect()
    }

    fn json(
        &mut self,
        _: Resource<MessageView>,
        pointer: String,
    ) -> wasmtime::Result<Option<Value>> {
        Ok(self.shown()?.json(&pointer))
    }

    fn json_many(
        &mut self,
        _: Resource<MessageView>,
        pointers: Vec<String>,
    ) -> wasmtime::Result<Vec<Option<Value>>> {
        self.enter_for(pointers.len())?;
        let mut room = self.room();
        let mut shown = self.shown()?;
        let values = pointers.iter().map(|field| room.json(&mut shown, field));
        values.collect()
    }

    fn body(
        &mut self,
        _: Resource<MessageView>,
        offset: u64,
        bytes_max: u32,
    ) -> wasmtime::Result<Vec<u8>> {
        Ok(self.shown()?.body(offset, bytes_max).to_vec())
    }

    fn fact(&mut self, _: Resource<MessageView>, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.shown()?.fact(&name).map(str::to_owned))
    }

    fn drop(&mut self, _: Resource<MessageView>) -> wasmtime::Result<()> {
        Ok(())
    }
}
