//! How the stand-in answers: its pace and the faults it can be told to commit.
//!
//! Written as a comma list, `tokens=20,pace=5ms,cut-after=3`, in the header
//! `x-standin` of one request or as the server's default. A word that is not known
//! is an error, so a test with a typing mistake cannot pass by accident.

use std::{str::FromStr, time::Duration};

/// The request header that holds a comma list of behaviour.
pub const HEADER: &str = "x-standin";

/// How one request is answered. The default is a whole, immediate answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Behaviour {
    /// `tokens=N`: words in the answer, and events of text in a stream. Without it,
    /// as many as the echo has.
    pub tokens: Option<u32>,
    /// `pace=5ms`: the pause before each event of a stream, and before a plain answer.
    pub pace: Duration,
    /// `stall-before` or `stall-before=300ms`: waits before the response's headers.
    pub stall_before: Option<Wait>,
    /// `stall-after=N`: falls silent after N events.
    pub stall_after: Option<u32>,
    /// `fail=500`: answers an error object with this status.
    pub fail: Option<u16>,
    /// `status=429`: answers as usual, with this status.
    pub status: Option<u16>,
    /// `retry-after=2`: sends this `retry-after` header.
    pub retry_after: Option<String>,
    /// `early=413`: answers an error with this status without reading the request's body.
    pub early: Option<u16>,
    /// `cut-headers` or `reset-headers`: drops the connection instead of answering.
    pub cut_headers: Option<Broken>,
    /// `cut-after=N` or `reset-after=N`: drops the connection after N events, or after
    /// N bytes of a plain answer.
    pub cut: Option<Cut>,
    /// `no-done`, `done-twice`, `after-done`: how the stream ends.
    pub done: Done,
    /// `malformed`: a line that is no field and an event that is not UTF-8.
    pub malformed: bool,
    /// `malformed-json`: JSON that breaks off, in the answer or in the second event.
    pub malformed_json: bool,
    /// `error-event=N`: after N events, an error object as an event.
    pub error_event: Option<u32>,
    /// `crlf`, `cr`: what ends a line of the stream.
    pub line_end: LineEnd,
    /// `comments`: a comment line before every event.
    pub comments: bool,
    /// `multi-line`: each event's data on two lines.
    pub multi_line: bool,
    /// `no-space`: no space after `data:`.
    pub no_space: bool,
    /// `bom`: a byte order mark before the first event.
    pub bom: bool,
    /// `split=N`: pieces of N bytes, also in the middle of a character.
    pub split: Option<usize>,
    /// `trickle=50ms`: a pause after each piece, which is one byte unless `split` says more.
    pub trickle: Option<Duration>,
    /// `big=N`: N more bytes of text in the answer, or in the first event of text.
    pub big: usize,
    /// `usage=none`, `usage=10/20`: instead of counting words.
    pub usage: UsageReport,
    /// `header=name:value`: one more response header; may be repeated.
    pub headers: Vec<(String, String)>,
}

/// How long a stall lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    For(Duration),
    /// Until the client leaves.
    Forever,
}

/// How a connection ends before its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    Closed,
    /// By a TCP reset.
    Reset,
}

/// A connection that breaks in the middle of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Events of a stream, or bytes of a plain answer, that are still sent.
    pub after: u32,
    /// With a TCP reset instead of an end.
    pub reset: bool,
}

/// How the `[DONE]` event is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Done {
    #[default]
    Once,
    Never,
    Twice,
    /// Once, and then one more event of text.
    ThenMore,
}

/// What ends a line of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LineEnd {
    #[default]
    Lf,
    CrLf,
    Cr,
}

impl LineEnd {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Lf => "\n",
            Self::CrLf => "\r\n",
            Self::Cr => "\r",
        }
    }
}

/// What is reported as usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UsageReport {
    /// One token a word.
    #[default]
    Counted,
    None,
    Fixed {
        prompt: u64,
        completion: u64,
    },
}

/// A word of the list that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadBehaviour {
    #[error("the stand-in knows no `{0}`: `tollgate standin --help` lists what it knows")]
    Unknown(String),
    #[error("`{word}` needs {expected}")]
    Value {
        word: String,
        expected: &'static str,
    },
}

impl FromStr for Behaviour {
    type Err = BadBehaviour;

    fn from_str(list: &str) -> Result<Self, BadBehaviour> {
        let mut behaviour = Self::default();
        behaviour.apply(list)?;
        Ok(behaviour)
    }
}

impl Behaviour {
    /// Changes what the comma list names and leaves the rest.
    ///
    /// # Errors
    /// At the first word that is unknown or has a bad value.
    pub fn apply(&mut self, list: &str) -> Result<(), BadBehaviour> {
        list.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .try_for_each(|item| self.apply_one(item))
    }

    fn apply_one(&mut self, item: &str) -> Result<(), BadBehaviour> {
        let (word, value) = match item.split_once('=') {
            Some((word, value)) => (word.trim(), Some(value.trim())),
            None => (item, None),
        };
        match (word, value) {
            ("cut-headers", None) => self.cut_headers = Some(Broken::Closed),
            ("reset-headers", None) => self.cut_headers = Some(Broken::Reset),
            ("no-done", None) => self.done = Done::Never,
            ("done-twice", None) => self.done = Done::Twice,
            ("after-done", None) => self.done = Done::ThenMore,
            ("malformed", None) => self.malformed = true,
            ("malformed-json", None) => self.malformed_json = true,
            ("crlf", None) => self.line_end = LineEnd::CrLf,
            ("cr", None) => self.line_end = LineEnd::Cr,
            ("comments", None) => self.comments = true,
            ("multi-line", None) => self.multi_line = true,
            ("no-space", None) => self.no_space = true,
            ("bom", None) => self.bom = true,
            ("stall-before", None) => self.stall_before = Some(Wait::Forever),
            (_, Some(value)) => return self.apply_value(word, value),
            (_, None) => return Err(BadBehaviour::Unknown(word.to_owned())),
        }
        Ok(())
    }

    fn apply_value(&mut self, word: &str, value: &str) -> Result<(), BadBehaviour> {
        let bad = |expected| BadBehaviour::Value {
            word: word.to_owned(),
            expected,
        };
        let number = || value.parse::<u32>().map_err(|_| bad("a number"));
        let status = || {
            let status = value
                .parse()
                .ok()
                .filter(|status| (100..1000).contains(status));
            status.ok_or_else(|| bad("a status"))
        };
        let duration = || parse_duration(value).ok_or_else(|| bad("a duration such as 5ms or 2s"));
        match word {
            "tokens" => self.tokens = Some(number()?),
            "pace" => self.pace = duration()?,
            "trickle" => self.trickle = Some(duration()?),
            "stall-before" => self.stall_before = Some(Wait::For(duration()?)),
            "stall-after" => self.stall_after = Some(number()?),
            "fail" => self.fail = Some(status()?),
            "status" => self.status = Some(status()?),
            "early" => self.early = Some(status()?),
            "retry-after" => self.retry_after = Some(value.to_owned()),
            "cut-after" => {
                self.cut = Some(Cut {
                    after: number()?,
                    reset: false,
                })
            }
            "reset-after" => {
                self.cut = Some(Cut {
                    after: number()?,
                    reset: true,
                })
            }
            "error-event" => self.error_event = Some(number()?),
            "split" => match number()? {
                0 => return Err(bad("a number above 0")),
                bytes => self.split = Some(bytes as usize),
            },
            "big" => self.big = number()? as usize,
            "usage" => {
                self.usage = parse_usage(value)
                    .ok_or_else(|| bad("`none`, `counted` or PROMPT/COMPLETION"))?
            }
            "header" => {
                let (name, value) = value.split_once(':').ok_or_else(|| bad("name:value"))?;
                self.headers
                    .push((name.trim().to_owned(), value.trim().to_owned()));
            }
            _ => return Err(BadBehaviour::Unknown(word.to_owned())),
        }
        Ok(())
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    if let Some(millis) = text.strip_suffix("ms") {
        return millis.parse().ok().map(Duration::from_millis);
    }
    text.strip_suffix('s')?
        .parse()
        .ok()
        .map(Duration::from_secs)
}

fn parse_usage(text: &str) -> Option<UsageReport> {
    match text {
        "none" => Some(UsageReport::None),
        "counted" => Some(UsageReport::Counted),
        _ => {
            let (prompt, completion) = text.split_once('/')?;
            Some(UsageReport::Fixed {
                prompt: prompt.parse().ok()?,
                completion: completion.parse().ok()?,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_changes_what_it_names_and_leaves_the_rest() {
        let mut behaviour: Behaviour = "tokens=20, pace=5ms,crlf".parse().expect("parses");
        behaviour.apply("cut-after=3,usage=10/20").expect("parses");
        assert_eq!(behaviour.tokens, Some(20));
        assert_eq!(behaviour.pace, Duration::from_millis(5));
        assert_eq!(behaviour.line_end, LineEnd::CrLf);
        assert_eq!(
            behaviour.cut,
            Some(Cut {
                after: 3,
                reset: false
            })
        );
        assert_eq!(
            behaviour.usage,
            UsageReport::Fixed {
                prompt: 10,
                completion: 20
            }
        );
    }

    #[test]
    fn an_unknown_word_is_an_error_that_names_it() {
        let error = "tokens=2,cut-of=3"
            .parse::<Behaviour>()
            .expect_err("refused");
        assert_eq!(
            error.to_string(),
            "the stand-in knows no `cut-of`: `tollgate standin --help` lists what it knows"
        );
    }

    #[test]
    fn a_bad_value_is_an_error_that_says_what_is_expected() {
        for (list, message) in [
            ("tokens=many", "`tokens` needs a number"),
            ("split=0", "`split` needs a number above 0"),
            ("fail=99", "`fail` needs a status"),
            ("pace=5", "`pace` needs a duration such as 5ms or 2s"),
            ("header=x", "`header` needs name:value"),
        ] {
            assert_eq!(
                list.parse::<Behaviour>().expect_err("refused").to_string(),
                message
            );
        }
    }
}
