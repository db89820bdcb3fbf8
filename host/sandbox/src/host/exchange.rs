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
};

/// The most bytes of a body that one call hands out.
const BODY_PIECE_MAX: usize = 1 << 20;

impl types::Host for State {}
impl exchange::Host for State {}

impl State {
    fn shown(&mut self) -> wasmtime::Result<&mut Message> {
        self.shown_for(1).map(|(message, _)| message)
    }

    /// The message, after counting a call that asks for so many things, and beside it
    /// where an answer goes that is not to be copied first.
    pub(crate) fn shown_for(
        &mut self,
        items: usize,
    ) -> wasmtime::Result<(&mut Message, &mut Option<Direct>)> {
        self.enter_for(items)?;
        self.enter()?;
        if self.shows {
            Ok((&mut self.message, &mut self.direct))
        } else {
            Err(wasmtime::Error::msg("no message is shown outside a hook"))
        }
    }
}

/// A piece of the body: at most `bytes_max` bytes from `offset` on, fewer at its end.
pub(crate) fn body_piece(message: &mut Message, offset: u64, bytes_max: u32) -> Bytes {
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
        Ok(header(self.shown()?, &name))
    }

    fn headers(
        &mut self,
        _: Resource<MessageView>,
        names: Vec<String>,
    ) -> wasmtime::Result<Vec<Option<Vec<u8>>>> {
        let (message, _) = self.shown_for(names.len())?;
        Ok(names.iter().map(|name| header(message, name)).collect())
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
        let (message, _) = self.shown_for(pointers.len())?;
        Ok(pointers
            .iter()
            .map(|pointer| message.json(pointer))
            .collect())
    }

    fn body(
        &mut self,
        _: Resource<MessageView>,
        offset: u64,
        bytes_max: u32,
    ) -> wasmtime::Result<Vec<u8>> {
        Ok(body_piece(self.shown()?, offset, bytes_max).to_vec())
    }

    fn fact(&mut self, _: Resource<MessageView>, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.shown()?.fact(&name).map(str::to_owned))
    }

    fn drop(&mut self, _: Resource<MessageView>) -> wasmtime::Result<()> {
        Ok(())
    }
}

fn header(message: &Message, name: &str) -> Option<Vec<u8>> {
    message.header(name).map(<[u8]>::to_vec)
}
