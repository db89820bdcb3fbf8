//! A stream as a list of steps: what is sent, when, and where it goes wrong.
//!
//! Steps are made one at a time as they are asked for, so a long stream costs no
//! memory. Knows nothing of time or sockets: the body plays the script.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use super::{
    answer::{Answer, error_body},
    behaviour::{Behaviour, Done},
};

/// One step of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Send(Bytes),
    Pause(Duration),
    /// Nothing more, until the client leaves.
    Stall,
    /// The connection breaks.
    Cut {
        reset: bool,
    },
}

/// The steps of one stream; ends after the last one.
#[derive(Debug)]
pub(super) struct Script {
    answer: Answer,
    behaviour: Behaviour,
    head: String,
    /// Where in the text the next piece starts.
    at: usize,
    sent: u32,
    next: Part,
    ready: VecDeque<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Opening,
    Pieces,
    Closing,
    Usage,
    Done,
    Over,
}

impl Script {
    pub(super) fn new(answer: Answer, behaviour: Behaviour) -> Self {
        let head = answer.chunk_head();
        Self {
            answer,
            behaviour,
            head,
            at: 0,
            sent: 0,
            next: Part::Opening,
            ready: VecDeque::new(),
        }
    }

    fn advance(&mut self) {
        match self.next {
            Part::Opening => {
                self.next = Part::Pieces;
                if self.behaviour.bom {
                    self.ready
                        .push_back(Step::Send(Bytes::from_static(b"\xef\xbb\xbf")));
                }
                if let Some(choice) = self.answer.opening_choice() {
                    self.event(&self.chunk(&choice));
                }
            }
            Part::Pieces => match self.piece() {
                Some(piece) => {
                    let data = self.chunk(&self.answer.piece_choice(&piece));
                    if !self.behaviour.pace.is_zero() {
                        self.ready.push_back(Step::Pause(self.behaviour.pace));
                    }
                    self.event(&data);
                }
                None => self.next = Part::Closing,
            },
            Part::Closing => {
                self.next = Part::Usage;
                self.event(&self.chunk(&self.answer.closing_choice()));
            }
            Part::Usage => {
                self.next = Part::Done;
                if let Some(usage) = self
                    .answer
                    .usage_json()
                    .filter(|_| self.answer.include_usage)
                {
                    self.event(&format!(r#"{}],"usage":{usage}}}"#, self.head));
                }
            }
            Part::Done => {
                self.next = Part::Over;
                self.done();
            }
            Part::Over => {}
        }
    }

    /// The next word of what is said, with the spaces before it.
    fn piece(&mut self) -> Option<String> {
        let rest = self
            .answer
            .said_text()
            .get(self.at..)
            .filter(|rest| !rest.is_empty())?;
        let word = rest.find(|c: char| c != ' ').unwrap_or(rest.len());
        let length = rest[word..].find(' ').map_or(rest.len(), |end| word + end);
        let piece = rest[..length].to_owned();
        self.at += length;
        Some(piece)
    }

    fn chunk(&self, choice: &str) -> String {
        let usage = if self.answer.include_usage {
            r#","usage":null"#
        } else {
            ""
        };
        format!("{}{choice}]{usage}}}", self.head)
    }

    /// Queues one event, or the fault that is due in its place.
    fn event(&mut self, data: &str) {
        if self.behaviour.stall_after == Some(self.sent) {
            return self.give_up(Step::Stall);
        }
        if let Some(cut) = self.behaviour.cut.filter(|cut| cut.after == self.sent) {
            return self.give_up(Step::Cut { reset: cut.reset });
        }
        if self.behaviour.error_event == Some(self.sent) {
            let error = self.frame(&error_body(500, "The stand-in was told to fail."));
            self.ready.push_back(Step::Send(error));
        }
        let broken = self.behaviour.malformed_json && self.sent == 1;
        let data = if broken {
            data.get(..data.len() / 2).unwrap_or("{")
        } else {
            data
        };
        let framed = self.frame(data);
        self.ready.push_back(Step::Send(framed));
        if self.behaviour.malformed && self.sent == 1 {
            self.ready.push_back(Step::Send(Bytes::from_static(
                b"no field at all\n\ndata: \xff\xfe{\"choices\"\n\n",
            )));
        }
        self.sent += 1;
    }

    fn give_up(&mut self, step: Step) {
        self.ready.push_back(step);
        self.next = Part::Over;
    }

    fn done(&mut self) {
        let times = match self.behaviour.done {
            Done::Never => 0,
            Done::Twice => 2,
            Done::Once | Done::ThenMore => 1,
        };
        for _ in 0..times {
            self.event("[DONE]");
        }
        if self.behaviour.done == Done::ThenMore {
            self.event(&self.chunk(&self.answer.piece_choice(" and more")));
        }
    }

    fn frame(&self, data: &str) -> Bytes {
        let end = self.behaviour.line_end.as_str();
        let field = if self.behaviour.no_space {
            "data:"
        } else {
            "data: "
        };
        let mut text = String::with_capacity(data.len() + 32);
        if self.behaviour.comments {
            text.extend([": still here", end]);
        }
        match data.strip_prefix('{').filter(|_| self.behaviour.multi_line) {
            Some(rest) => text.extend([field, "{", end, field, rest, end, end]),
            None => text.extend([field, data, end, end]),
        }
        text.into()
    }
}

impl Iterator for Script {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        while self.ready.is_empty() && self.next != Part::Over {
            self.advance();
        }
        self.ready.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::answer::{Asked, Kind},
        *,
    };

    fn steps(list: &str) -> Vec<Step> {
        let behaviour: Behaviour = list.parse().expect("parses");
        let body = br#"{"model":"m","messages":[{"role":"user","content":"a b"}],"stream_options":{"include_usage":true}}"#;
        let answer =
            Asked::parse(body)
                .expect("parses")
                .answer(Kind::Chat, 1, "standin", &behaviour);
        Script::new(answer, behaviour).collect()
    }

    fn text(list: &str) -> String {
        let bytes: Vec<u8> = steps(list)
            .into_iter()
            .flat_map(|step| match step {
                Step::Send(bytes) => bytes.to_vec(),
                _ => Vec::new(),
            })
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn a_stream_is_role_words_finish_usage_done() {
        let text = text("");
        assert_eq!(text.matches("data: ").count(), 1 + 4 + 1 + 1 + 1, "{text}");
        assert!(
            text.contains(r#""usage":{"prompt_tokens":2,"completion_tokens":4,"total_tokens":6}"#)
        );
        assert!(text.ends_with("data: [DONE]\n\n"));
    }

    #[test]
    fn pace_pauses_before_each_word() {
        let pauses = steps("pace=5ms,tokens=7")
            .into_iter()
            .filter(|step| matches!(step, Step::Pause(_)));
        assert_eq!(pauses.count(), 7);
    }

    #[test]
    fn a_cut_and_a_stall_come_after_the_events_they_name() {
        for (list, last) in [
            ("cut-after=3", Step::Cut { reset: false }),
            ("reset-after=3", Step::Cut { reset: true }),
            ("stall-after=3", Step::Stall),
        ] {
            let steps = steps(list);
            assert_eq!(steps.len(), 4, "{list}");
            assert_eq!(steps.last(), Some(&last), "{list}");
        }
    }

    #[test]
    fn done_can_be_missing_doubled_or_followed() {
        assert!(!text("no-done").contains("[DONE]"));
        assert_eq!(text("done-twice").matches("[DONE]").count(), 2);
        let more = text("after-done");
        assert!(more.contains("[DONE]") && !more.ends_with("[DONE]\n\n"));
    }

    #[test]
    fn lines_can_end_and_look_in_every_way_that_the_format_allows() {
        assert!(text("crlf").ends_with("data: [DONE]\r\n\r\n"));
        assert!(text("cr").ends_with("data: [DONE]\r\r"));
        assert!(text("no-space").ends_with("data:[DONE]\n\n"));
        assert!(text("comments").starts_with(": still here\ndata: "));
        assert!(text("multi-line").starts_with("data: {\ndata: \"id\""));
        assert!(text("bom").starts_with("\u{feff}data: "));
    }

    #[test]
    fn a_stream_can_carry_nonsense() {
        assert!(text("malformed").contains("no field at all"));
        assert!(text("error-event=2").contains("The stand-in was told to fail."));
        let broken = text("malformed-json");
        let second = broken.split("\n\n").nth(1).expect("two events");
        assert!(serde_json::from_str::<serde_json::Value>(&second["data: ".len()..]).is_err());
    }

    #[test]
    fn big_makes_the_first_word_big() {
        assert!(text("big=100000").len() > 100_000);
    }
}
