//! JSON that is checked once and taken apart only where it is asked for.
//!
//! A document is its bytes and a tree of offsets into them; a level of the tree is
//! opened when a pointer leads through it. Edits swap offsets, so whatever was not
//! edited is written again byte for byte. Knows nothing of headers or policies.

mod pointer;
mod request;
mod scan;
mod text;
mod tree;
mod written;

use std::{borrow::Cow, fmt};

use bytes::Bytes;

pub(crate) use pointer::Pointer;
use pointer::Tokens;
pub(crate) use request::PROMPT;
pub use request::{PromptPlaces, RequestFacts};
use tree::{Node, Source, Span};
pub(crate) use written::ReadyMember;
use written::{Written, wrap};

use crate::contract::Value;

/// How many brackets may be open at once where nothing else is said.
pub(crate) const DEPTH_MAX: usize = 64;
/// The most members of one object or array that is opened.
pub(crate) const MEMBERS_MAX: usize = 1 << 18;

/// Why bytes are not a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}, at line {line}, column {column}")]
pub struct JsonError {
    /// What is wrong.
    pub fault: JsonFault,
    /// Counted from 1.
    pub line: usize,
    /// In bytes, counted from 1.
    pub column: usize,
}

/// What is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// Something else belongs here.
    #[error("not JSON: expected {0}")]
    Expected(&'static str),
    /// The document stops before it is whole.
    #[error("not JSON: it ends too early")]
    Unfinished,
    /// There is more after the value.
    #[error("not JSON: something follows the value")]
    Trailing,
    /// The bytes are not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// The document starts with U+FEFF.
    #[error("not JSON: it starts with a byte order mark")]
    ByteOrderMark,
    /// More brackets are open than allowed.
    #[error("nested deeper than {0} levels")]
    TooDeep(usize),
    /// A key comes twice in one object.
    #[error("the key {0:?} comes twice")]
    DuplicateKey(String),
    /// A string that had to be read has half a surrogate pair.
    #[error("a string with half a surrogate pair")]
    LoneSurrogate,
    /// A number in an object or array that had to be read is beyond all floats.
    #[error("a number beyond all floats")]
    NumberTooLarge,
    /// An object or array that had to be taken apart has more than 262,144 members.
    #[error("more than {MEMBERS_MAX} members in one object or array")]
    TooManyMembers,
    /// More than 4 GiB.
    #[error("longer than 4 GiB")]
    TooLong,
}

/// Why a document could not be edited. It is as it was before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonEditError {
    /// RFC 6901 is not kept.
    #[error("not a JSON pointer")]
    Pointer,
    /// The pointer leads through a string, number, boolean or null.
    #[error("the pointer leads through a value that has no fields")]
    NoFields,
    /// Not an index, or one beyond the end of the array.
    #[error("no such index in the array")]
    Index,
    /// The whole document cannot be removed.
    #[error("the whole document cannot be removed")]
    Root,
    /// Infinite or not a number.
    #[error("JSON has no such number")]
    Number,
    /// The new value is no JSON.
    #[error("the value: {0}")]
    Value(JsonError),
    /// The document is faulty on the way that the pointer leads.
    #[error("the document: {0}")]
    Document(JsonError),
    /// The pointer is deeper than the document may be.
    #[error("the pointer is too deep")]
    TooDeep,
    /// The document would be longer than 4 GiB.
    #[error("the document would be too long")]
    TooLong,
}

/// A document. It holds at most about 20 times its length in memory, in opened levels.
#[derive(Clone)]
pub struct Json {
    source: Source,
    root: Node,
    /// Where the root was read from; the rest is space.
    place: Span,
    depth_max: usize,
    edited: bool,
    /// The document as it is now, if it was edited and written since.
    written: Option<Bytes>,
    fault: Option<JsonError>,
}

impl Json {
    /// Checks the whole document and takes its top level apart.
    ///
    /// `depth_max` is how many brackets may be open at once, at most 1024.
    ///
    /// # Errors
    /// Anything but one JSON value in UTF-8, too deep, or with a key that comes
    /// twice at the top level. Below it, [`Json::fault`] tells of such keys.
    pub fn parse(bytes: Bytes, depth_max: usize) -> Result<Self, JsonError> {
        let depth_max = depth_max.min(scan::DEPTH_LIMIT);
        let source = Source::new(bytes);
        match tree::read_document(&source, depth_max) {
            Ok((root, place)) => Ok(Self {
                source,
                root,
                place,
                depth_max,
                edited: false,
                written: None,
                fault: None,
            }),
            Err(found) => Err(found.locate(source.original())),
        }
    }

    /// The value at a JSON pointer (RFC 6901).
    ///
    /// `None` where there is none, for a string that is no Unicode, and where
    /// [`Json::fault`] has something to tell: also of an object or array with such a string in
    /// it, or with a number beyond all floats, which its reader could not read. Objects, arrays and numbers that a
    /// float would change come as their text.
    pub fn get(&mut self, pointer: &str) -> Option<Value> {
        let tokens = Tokens::of(pointer)?;
        let found = find(&self.source, &mut self.root, self.depth_max, tokens);
        match found.and_then(|found| check_readable(&self.source, found)) {
            Ok(found) => value(found?),
            Err(error) => {
                self.fault = Some(error);
                None
            }
        }
    }

    /// As [`Json::get`], of a member of the document by its key, which is no pointer.
    pub fn member(&mut self, key: &str) -> Option<Value> {
        value(self.written_in(key)?)
    }

    /// Whether a member of the document is this text, and written without escapes.
    pub fn is_written(&mut self, key: &str, text: &str) -> bool {
        let written = self.written_in(key);
        match written.as_deref() {
            Some([b'"', inner @ .., b'"']) => inner == text.as_bytes() && !inner.contains(&b'\\'),
            _ => false,
        }
    }

    fn written_in(&mut self, key: &str) -> Option<Cow<'_, [u8]>> {
        let Self {
            source,
            root,
            depth_max,
            fault,
            ..
        } = self;
        if let Some(found) = root.plain_member(source, key) {
            return found.map(Cow::Borrowed);
        }
        let found = find(source, root, *depth_max, std::iter::once(Some(key)));
        found.unwrap_or_else(|error| {
            *fault = Some(error);
            None
        })
    }

    /// As [`Json::get`], of a string, an object or an array alone, and without a copy of
    /// what has neither escapes nor edits in it.
    pub fn text(&mut self, pointer: &str) -> Option<Cow<'_, [u8]>> {
        let text = self.written_at(pointer)?;
        match (*text.first()?, text) {
            (b'{' | b'[', text) => Some(text),
            (b'"', Cow::Borrowed(text)) => match text::unescape(&text[1..text.len() - 1])? {
                Cow::Borrowed(text) => Some(Cow::Borrowed(text.as_bytes())),
                Cow::Owned(text) => Some(Cow::Owned(text.into_bytes())),
            },
            (b'"', Cow::Owned(text)) => {
                let text = text::unescape(&text[1..text.len() - 1])?;
                Some(Cow::Owned(text.into_owned().into_bytes()))
            }
            _ => None,
        }
    }

    /// What is written where the pointer leads; [`Json::fault`] says what it said before.
    ///
    /// # Errors
    /// The document is faulty on the way that the pointer leads.
    pub(crate) fn peek(&mut self, pointer: &Pointer) -> Result<Option<Cow<'_, [u8]>>, JsonError> {
        let Some(tokens) = &pointer.tokens else {
            return Ok(None);
        };
        // Most lead to a member of the document, which is a word, a number or a string.
        if let [token] = &**tokens
            && let Some(found) = self.root.plain_member(&self.source, token)
        {
            return Ok(found.map(Cow::Borrowed));
        }
        let tokens = tokens.iter().map(Some);
        let found = find(&self.source, &mut self.root, self.depth_max, tokens)?;
        check_readable(&self.source, found)
    }

    /// What stands where the pointer leads.
    fn written_at(&mut self, pointer: &str) -> Option<Cow<'_, [u8]>> {
        self.written_along(Tokens::of(pointer)?)
    }

    fn written_along<T: AsRef<str>>(
        &mut self,
        tokens: impl Iterator<Item = Option<T>>,
    ) -> Option<Cow<'_, [u8]>> {
        match find(&self.source, &mut self.root, self.depth_max, tokens) {
            Ok(found) => found,
            Err(error) => {
                self.fault = Some(error);
                None
            }
        }
    }

    /// Puts a value where the pointer leads, into new objects if need be.
    /// In an array, `-` and the index after the last append.
    ///
    /// # Errors
    /// The pointer leads nowhere, or the value is not JSON; nothing is changed then.
    pub fn set(&mut self, pointer: &str, value: &Value) -> Result<(), JsonEditError> {
        self.set_at(&Pointer::of(pointer.to_owned()), value)
    }

    pub(crate) fn set_at(&mut self, pointer: &Pointer, value: &Value) -> Result<(), JsonEditError> {
        self.set_ready(pointer, value, None)
    }

    /// The same, with what [`ReadyMember::of`] this pointer and value is, if that is known.
    pub(crate) fn set_ready(
        &mut self,
        pointer: &Pointer,
        value: &Value,
        ready: Option<&ReadyMember>,
    ) -> Result<(), JsonEditError> {
        debug_assert!(ready.is_none_or(|ready| {
            ReadyMember::of(pointer, value).is_some_and(|now| now.text == ready.text)
        }));
        let tokens = pointer.tokens.as_ref().ok_or(JsonEditError::Pointer)?;
        let room = self
            .depth_max
            .checked_sub(tokens.len())
            .ok_or(JsonEditError::TooDeep)?;
        let value = Written::check(value, room)?;

        let Self {
            source,
            root,
            depth_max,
            ..
        } = self;
        let mut node = root;
        for (step, token) in tokens.iter().enumerate() {
            let level = node
                .open(source, *depth_max)
                .map_err(JsonEditError::Document)?;
            let level = level.ok_or(JsonEditError::NoFields)?;
            let Some(at) = level.find(source, token) else {
                if !level.takes(token) {
                    return Err(JsonEditError::Index);
                }
                match ready.filter(|_| level.is_object()) {
                    Some(ready) => level.append_ready(source, token, ready)?,
                    None => {
                        let wrapped = |out: &mut Vec<u8>| wrap(&tokens[step + 1..], value, out);
                        level.append(source, token, wrapped, step + 1)?;
                    }
                }
                self.touch();
                return Ok(());
            };
            level.changed = true;
            node = &mut level.members[at].node;
        }
        let span = source.add(|out| value.write(out))?;
        *node = Node::closed(span, tokens.len());
        self.touch();
        Ok(())
    }

    /// Removes the member that the pointer leads to; tells whether there was one.
    ///
    /// # Errors
    /// The pointer is none, or asks for the whole document; nothing is changed then.
    pub fn remove(&mut self, pointer: &str) -> Result<bool, JsonEditError> {
        self.remove_at(&Pointer::of(pointer.to_owned()))
    }

    pub(crate) fn remove_at(&mut self, pointer: &Pointer) -> Result<bool, JsonEditError> {
        let tokens = pointer.tokens.as_ref().ok_or(JsonEditError::Pointer)?;
        let (last, way) = tokens.split_last().ok_or(JsonEditError::Root)?;
        let Self {
            source,
            root,
            depth_max,
            ..
        } = self;
        let mut node = root;
        for token in way {
            let Some(level) = node
                .open(source, *depth_max)
                .map_err(JsonEditError::Document)?
            else {
                return Ok(false);
            };
            let Some(at) = level.find(source, token) else {
                return Ok(false);
            };
            level.changed = true;
            node = &mut level.members[at].node;
        }
        let level = node
            .open(source, *depth_max)
            .map_err(JsonEditError::Document)?;
        let Some((level, at)) = level.and_then(|level| {
            let at = level.find(source, last)?;
            Some((level, at))
        }) else {
            return Ok(false);
        };
        level.changed = true;
        level.members.remove(at);
        self.touch();
        Ok(true)
    }

    /// The document: the very bytes it was read from if nothing was edited,
    /// otherwise written once and kept.
    pub fn bytes(&mut self) -> Bytes {
        if !self.edited {
            return self.source.original().clone();
        }
        let written = match self.written.take() {
            Some(written) => written,
            None => self.write(),
        };
        self.written = Some(written.clone());
        written
    }

    /// As [`Json::bytes`], where nobody will ask again.
    pub(crate) fn into_bytes(self) -> Bytes {
        match (self.edited, &self.written) {
            (false, _) => self.source.original().clone(),
            (true, Some(written)) => written.clone(),
            (true, None) => self.write(),
        }
    }

    fn write(&self) -> Bytes {
        tree::write_document(&self.source, &self.root, self.place).into()
    }

    /// Whether anything was set or removed.
    #[must_use]
    pub fn is_edited(&self) -> bool {
        self.edited
    }

    /// What was wrong below the top level the last time that [`Json::get`] met it.
    #[must_use]
    pub fn fault(&self) -> Option<&JsonError> {
        self.fault.as_ref()
    }

    fn touch(&mut self) {
        self.edited = true;
        self.written = None;
    }
}

/// An object or array is given as text: it must be one that whoever gets it can read.
fn check_readable<'a>(
    source: &Source,
    found: Option<Cow<'a, [u8]>>,
) -> Result<Option<Cow<'a, [u8]>>, JsonError> {
    let Some(text) = &found else {
        return Ok(None);
    };
    if let Some((fault, at)) = text::unreadable(text) {
        let original = source.original();
        // Where it stands in the document, unless it was edited meanwhile.
        let start = (text.as_ptr() as usize).wrapping_sub(original.as_ptr() as usize);
        let at = if start < original.len() {
            start + at
        } else {
            0
        };
        return Err(scan::Found::new(fault, at).locate(original));
    }
    Ok(found)
}

/// What a text says that was walked over.
fn value(text: Cow<'_, [u8]>) -> Option<Value> {
    Some(match text.first()? {
        b'{' | b'[' => Value::Json(String::from_utf8(text.into_owned()).ok()?),
        b'"' => Value::Text(text::unescape(&text[1..text.len() - 1])?.into_owned()),
        b't' => Value::Boolean(true),
        b'f' => Value::Boolean(false),
        b'n' => Value::Null,
        _ => text::number(std::str::from_utf8(&text).ok()?),
    })
}

/// Follows the tokens of a pointer; `None` is one that is badly escaped.
fn find<'a, T: AsRef<str>>(
    source: &'a Source,
    root: &'a mut Node,
    depth_max: usize,
    tokens: impl Iterator<Item = Option<T>>,
) -> Result<Option<Cow<'a, [u8]>>, JsonError> {
    let mut node = root;
    for token in tokens {
        let (Some(level), Some(token)) = (node.open(source, depth_max)?, token) else {
            return Ok(None);
        };
        let Some(at) = level.find(source, token.as_ref()) else {
            return Ok(None);
        };
        node = &mut level.members[at].node;
    }
    Ok(Some(node.text(source)))
}

/// Bodies do not belong in logs.
impl fmt::Debug for Json {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Json")
            .field("bytes", &self.source.original().len())
            .field("edited", &self.edited)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
