//! Lazy views of the message that a hook is shown.

use wasmtime::component::Resource;

use super::{MessageView, State};
use crate::{
    Message,
    contract::{
        Value,
        tollgate::policy::{exchange, types},
    },
};

/// The most bytes of a body that one call hands out.
const BODY_PIECE_MAX: usize = 1 << 20;

impl types::Host for State {}
impl exchange::Host for State {}

impl State {
    fn shown(&mut self) -> wasmtime::Result<&mut Message> {
        self.enter()?;
        if self.shows {
            Ok(&mut self.message)
        } else {
            Err(wasmtime::Error::msg("no message is shown outside a hook"))
        }
    }
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
        self.enter_for(names.len())?;
        let message = self.shown()?;
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
        self.enter_for(pointers.len())?;
        let message = self.shown()?;
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
        let message = self.shown()?;
        let Some(body) = message.body() else {
            return Ok(Vec::new());
        };
        let from = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(body.len());
        let to = from
            .saturating_add((bytes_max as usize).min(BODY_PIECE_MAX))
            .min(body.len());
        Ok(body[from..to].to_vec())
    }

    fn fact(&mut self, _: Resource<MessageView>, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.shown()?.fact(&name).map(str::to_owned))
    }

    fn drop(&mut self, _: Resource<MessageView>) -> wasmtime::Result<()> {
        Ok(())
    }
}

fn header(message: &Message, name: &str) -> Option<Vec<u8>> {
    message
        .headers
        .get(name)
        .map(|value| value.as_bytes().to_vec())
}
