//! Cuts what is written in pieces into lines.

use std::mem;

/// A longer line is cut into several.
const LINE_BYTES_MAX: usize = 4096;

/// The beginning of a line whose end is still to come.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// Hands over each line that is whole by now, until it is told to stop: what
    /// follows in `bytes` is left out then.
    pub(crate) fn write(&mut self, mut bytes: &[u8], mut line: impl FnMut(&str) -> bool) {
        while !bytes.is_empty() {
            let room = LINE_BYTES_MAX - self.begun.len();
            let piece = &bytes[..bytes.len().min(room)];
            let end = piece.iter().position(|byte| *byte == b'\n');
            self.begun
                .extend_from_slice(&piece[..end.unwrap_or(piece.len())]);
            bytes = &bytes[end.map_or(piece.len(), |end| end + 1)..];
            if (end.is_some() || self.begun.len() == LINE_BYTES_MAX) && !self.end(&mut line) {
                return;
            }
        }
    }

    /// Hands over what was begun.
    pub(crate) fn flush(&mut self, line: impl FnMut(&str) -> bool) {
        self.end(line);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.begun.is_empty()
    }

    fn end(&mut self, mut line: impl FnMut(&str) -> bool) -> bool {
        let begun = mem::take(&mut self.begun);
        let text = String::from_utf8_lossy(&begun);
        let text = text.trim_end();
        text.is_empty() || line(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut all) = (Lines::default(), Vec::new());
        let mut take = |line: &str| {
            all.push(line.to_owned());
            true
        };
        for piece in pieces {
            lines.write(piece, &mut take);
        }
        lines.flush(&mut take);
        assert!(lines.is_empty());
        all
    }

    #[test]
    fn pieces_become_lines_and_empty_ones_are_left_out() {
        assert_eq!(
            lines(&[b"one\ntw", b"o", b"\r\n\n  \nthree"]),
            ["one", "two", "three"]
        );
        assert_eq!(lines(&[b"", b"\n"]), [""; 0]);
        assert_eq!(lines(&[b"\xff\n"]), ["\u{fffd}"]);
    }

    #[test]
    fn a_line_without_an_end_is_cut() {
        let long = vec![b'x'; 2 * LINE_BYTES_MAX + 1];
        let lengths: Vec<_> = lines(&[&long]).iter().map(String::len).collect();
        assert_eq!(lengths, [LINE_BYTES_MAX, LINE_BYTES_MAX, 1]);
    }

    #[test]
    fn a_flood_ends_where_nobody_wants_more() {
        let (mut lines, mut taken) = (Lines::default(), 0);
        lines.write(&b"x\n".repeat(1000), |_| {
            taken += 1;
            taken < 3
        });
        assert_eq!((taken, lines.is_empty()), (3, true));
    }
}
