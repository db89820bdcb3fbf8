//! Finds the texts in JSON by the names of their fields, without building a tree.
//!
//! Knows where each text stands and in which choice, block or tool call; not what is
//! done with it.

mod fields;
mod lexer;

use std::{borrow::Cow, ops::Range};

use fields::{Means, means};
use lexer::{Lexer, Token};

use crate::held::Spelling;

/// What matters in some JSON.
#[derive(Debug, Default)]
pub(crate) struct Texts<'a> {
    pub(crate) list: Vec<Spot<'a>>,
    /// Where there are `logprobs`, which repeat the text piece by piece.
    pub(crate) logprobs: Vec<Range<usize>>,
    /// The objects that say why something is finished.
    pub(crate) finished: Vec<usize>,
    /// What the whole says of its `type`.
    pub(crate) kind: Option<Cow<'a, str>>,
    objects: Vec<Object<'a>>,
}

/// A text in JSON.
#[derive(Debug)]
pub(crate) struct Spot<'a> {
    /// With its quotes.
    pub(crate) span: Range<usize>,
    pub(crate) said: Cow<'a, str>,
    pub(crate) spelling: Spelling,
    field: Cow<'a, str>,
    object: Option<usize>,
}

/// One step on the way to a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) name: String,
    /// Of the choice, block or tool call.
    pub(crate) index: Option<u64>,
}

#[derive(Debug)]
struct Object<'a> {
    parent: Option<usize>,
    name: Cow<'a, str>,
    /// What it says itself, or else its place in the array.
    index: Option<u64>,
}

/// A bracket that is open.
struct Open<'a> {
    /// The object, or the one around the array.
    object: Option<usize>,
    is_object: bool,
    /// The name that the array stands under, or the key that was read last.
    name: Cow<'a, str>,
    is_key_next: bool,
    means: Means,
    /// How many values there were in it.
    count: u64,
    /// Where it starts, if it stands under `logprobs`.
    logprobs: Option<usize>,
}

/// Nothing that a client reads lies deeper.
const DEPTH_MAX: usize = 1024;
/// A bracket, name or value is as much work as so many bytes of text.
const TOKEN_COST: usize = 16;

/// Why JSON was not searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It has more text than may be searched.
    TooMuch,
    /// It is none, or deeper than can be followed.
    Malformed,
}

impl<'a> Texts<'a> {
    /// `name` is that of the field which the JSON was taken from, or nothing. `left` is how
    /// much more text may be searched.
    ///
    /// # Errors
    /// It cannot be followed, or it is too much.
    pub(crate) fn find(json: &'a str, name: &'a str, left: &mut usize) -> Result<Self, Unread> {
        let mut walk = Walk {
            texts: Self::default(),
            open: Vec::new(),
            root: name,
            left,
        };
        for token in Lexer::new(json) {
            walk.pay(TOKEN_COST)?;
            walk.take(token.ok_or(Unread::Malformed)?)?;
        }
        if walk.open.is_empty() {
            Ok(walk.texts)
        } else {
            Err(Unread::Malformed)
        }
    }

    /// The way to a text; its last step is the text's own field.
    pub(crate) fn way_to(&self, spot: &Spot) -> Vec<Step> {
        let mut way = vec![Step {
            name: spot.field.to_string(),
            index: None,
        }];
        self.climb(spot.object, &mut way);
        way
    }

    /// Whether a text is the one that this way leads to.
    pub(crate) fn is_at(&self, spot: &Spot, way: &[Step]) -> bool {
        let Some((field, mut way)) = way.split_last() else {
            return false;
        };
        let mut next = spot.object;
        while let (Some(object), Some((step, before))) =
            (next.map(|place| &self.objects[place]), way.split_last())
        {
            if step.index != object.index || step.name != object.name {
                return false;
            }
            (next, way) = (object.parent, before);
        }
        field.name == spot.field && next.is_none() && way.is_empty()
    }

    /// The way to an object.
    pub(crate) fn way_to_object(&self, object: usize) -> Vec<Step> {
        let mut way = Vec::new();
        self.climb(Some(object), &mut way);
        way
    }

    fn climb(&self, from: Option<usize>, way: &mut Vec<Step>) {
        let mut next = from;
        while let Some(object) = next.map(|place| &self.objects[place]) {
            way.push(Step {
                name: object.name.to_string(),
                index: object.index,
            });
            next = object.parent;
        }
        way.reverse();
    }
}

struct Walk<'a, 'l> {
    texts: Texts<'a>,
    open: Vec<Open<'a>>,
    root: &'a str,
    left: &'l mut usize,
}

impl<'a> Walk<'a, '_> {
    fn pay(&mut self, cost: usize) -> Result<(), Unread> {
        *self.left = self.left.checked_sub(cost).ok_or(Unread::TooMuch)?;
        Ok(())
    }

    fn take(&mut self, token: Token<'a>) -> Result<(), Unread> {
        match token {
            Token::Open { at, is_object } if self.open.len() < DEPTH_MAX => {
                self.enter(at, is_object);
            }
            Token::Open { .. } => return Err(Unread::Malformed),
            Token::Close { end } => {
                let closed = self.open.pop().ok_or(Unread::Malformed)?;
                let logprobs = closed.logprobs.map(|start| start..end);
                self.texts.logprobs.extend(logprobs);
                self.leave_value();
            }
            Token::String { span, raw } => match self.open.last_mut() {
                Some(open) if open.is_key_next => {
                    open.name = unescape(raw)?;
                    open.is_key_next = false;
                }
                _ => {
                    self.string(span, raw)?;
                    self.leave_value();
                }
            },
            Token::Other { raw } => {
                self.other(raw);
                self.leave_value();
            }
        }
        Ok(())
    }

    /// What a value means that stands here.
    fn means(&self) -> Means {
        match self.open.last() {
            None => means(self.root),
            Some(open) if open.means == Means::AllBelow => Means::AllBelow,
            Some(open) if open.is_object => means(&open.name),
            Some(open) => open.means,
        }
    }

    fn name(&self) -> Cow<'a, str> {
        self.open
            .last()
            .map_or(Cow::Borrowed(self.root), |open| open.name.clone())
    }

    fn enter(&mut self, at: usize, is_object: bool) {
        let means = self.means();
        let around = self.open.last();
        let is_in_array = around.is_some_and(|open| !open.is_object);
        let mut object = around.and_then(|open| open.object);
        let name = self.name();
        if is_object {
            self.texts.objects.push(Object {
                parent: object,
                name: name.clone(),
                index: is_in_array.then(|| around.map_or(0, |open| open.count)),
            });
            object = Some(self.texts.objects.len() - 1);
        }
        self.open.push(Open {
            object,
            is_object,
            logprobs: (name == "logprobs" && !is_in_array).then_some(at),
            name,
            is_key_next: is_object,
            means: if is_object {
                means.in_object(is_in_array)
            } else {
                means
            },
            count: 0,
        });
    }

    /// Behind a value comes a key, or the next element.
    fn leave_value(&mut self) {
        if let Some(open) = self.open.last_mut() {
            open.is_key_next = open.is_object;
            open.count += 1;
        }
    }

    fn string(&mut self, span: Range<usize>, raw: &'a str) -> Result<(), Unread> {
        let field = self.name();
        let object = self.open.last().and_then(|open| open.object);
        if let (Some(object), "finish_reason", false) = (object, &*field, raw.is_empty()) {
            self.texts.finished.push(object);
        }
        if self.open.len() == 1 && field == "type" {
            self.texts.kind = Some(unescape(raw)?);
        }
        if let Some(spelling) = self.means().spelling() {
            self.pay(raw.len())?;
            self.texts.list.push(Spot {
                span,
                said: unescape(raw)?,
                spelling,
                field,
                object,
            });
        }
        Ok(())
    }

    fn other(&mut self, raw: &str) {
        let Some(open) = self.open.last().filter(|open| open.is_object) else {
            return;
        };
        if let (Some(object), "index" | "output_index", Ok(index)) =
            (open.object, &*open.name, raw.parse())
        {
            self.texts.objects[object].index = Some(index);
        }
    }
}

fn unescape(raw: &str) -> Result<Cow<'_, str>, Unread> {
    lexer::unescape(raw).ok_or(Unread::Malformed)
}
