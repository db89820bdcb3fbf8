//! Frames a stream of events, on its own terms: what checks the gateway must not
//! share the gateway's code.

use std::mem;

/// Takes bytes as they come and gives out the data of whole events.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_cr: bool,
}

impl Events {
    /// Calls `each` with the data of every event that these bytes complete.
    pub(super) fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        for &byte in bytes {
            let after_cr = mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => self.end_line(&mut each),
                _ => self.line.push(byte),
            }
        }
    }

    /// Whether bytes are left of an event that was not ended.
    pub(super) fn has_rest(&self) -> bool {
        self.has_data || !self.line.is_empty()
    }

    fn end_line(&mut self, each: &mut impl FnMut(&[u8])) {
        if self.line.is_empty() {
            if mem::take(&mut self.has_data) {
                each(&self.data);
                self.data.clear();
            }
            return;
        }
        if let Some(value) = self.line.strip_prefix(b"data:") {
            if mem::replace(&mut self.has_data, true) {
                self.data.push(b'\n');
            }
            self.data
                .extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(pieces: &[&[u8]]) -> (Vec<String>, bool) {
        let (mut events, mut all) = (Events::default(), Vec::new());
        for piece in pieces {
            events.push(piece, |data| {
                all.push(String::from_utf8_lossy(data).into_owned())
            });
        }
        (all, events.has_rest())
    }

    #[test]
    fn every_split_of_a_stream_gives_the_same_events() {
        let stream = b": hi\ndata: a\ndata:b\n\r\nevent: x\r\ndata: \xc3\xa9\r\rdata: [DONE]\n\n";
        let want = (
            vec!["a\nb".to_owned(), "é".to_owned(), "[DONE]".to_owned()],
            false,
        );
        for at in 0..=stream.len() {
            assert_eq!(
                framed(&[&stream[..at], &stream[at..]]),
                want,
                "split at {at}"
            );
        }
    }

    #[test]
    fn an_event_that_breaks_off_is_a_rest() {
        assert_eq!(
            framed(&[b"data: a\n\ndata: b\n"]),
            (vec!["a".to_owned()], true)
        );
    }
}
