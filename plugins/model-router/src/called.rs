//! What a client calls the model, and which version of it it pins.

use crate::{asked::Source, found::Found, refused::Refused, settings::Settings, subject::Subject};

/// What goes into a decision has this many bytes at most.
const NAME_MAX: usize = 256;

/// A model by its name in the request, behind aliases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Called {
    /// Without the version.
    pub(crate) model: String,
    /// The one that the client pins.
    pub(crate) version: Option<String>,
    /// The whole name, as a target is to be asked for.
    pub(crate) name: String,
    /// Whether an alias stood for it.
    pub(crate) is_renamed: bool,
}

impl Called {
    /// `None`: the request names no model.
    ///
    /// # Errors
    /// Its name and a header pin two versions.
    pub(crate) fn of(settings: &Settings, source: &impl Source) -> Result<Option<Self>, Refused> {
        if !settings.goes_by_model() {
            return Ok(None);
        }
        let Some(name) = model(source) else {
            return Ok(None);
        };
        let mut called = Self::behind_aliases(settings, name);
        let header = settings.version_header.as_ref();
        let pinned = header.map_or(Found::Nothing, |header| {
            Found::bytes(source.header(header.as_str()))
        });
        let pinned = match pinned {
            Found::Nothing => return Ok(Some(called)),
            Found::Text(version) => version,
            // No version is called so.
            Found::Number(_) | Found::Flag(_) | Found::Other => String::new(),
        };
        match &called.version {
            Some(version) if *version != pinned => Err(Refused::TwoVersions),
            _ => {
                called.version = Some(pinned);
                Ok(Some(called))
            }
        }
    }

    /// An alias of the whole name is looked for first, then one of the model alone; that one
    /// keeps the version, unless it has one itself.
    fn behind_aliases(settings: &Settings, name: String) -> Self {
        let mark = settings.version_separator.as_ref();
        let split = |name: &str| {
            let (model, version) = name.rsplit_once(mark?.as_str())?;
            let is_whole = !model.is_empty() && !version.is_empty();
            is_whole.then(|| (model.to_owned(), version.to_owned()))
        };
        let called = |name: String, is_renamed| {
            let (model, version) = match split(&name) {
                Some((model, version)) => (model, Some(version)),
                None => (name.clone(), None),
            };
            Self {
                model,
                version,
                name,
                is_renamed,
            }
        };
        if let Some(renamed) = settings.alias(&name) {
            return called(renamed.to_owned(), true);
        }
        if let (Some((model, version)), Some(mark)) = (split(&name), mark)
            && let Some(renamed) = settings.alias(&model)
            && split(renamed).is_none()
        {
            return called(format!("{renamed}{}{version}", mark.as_str()), true);
        }
        called(name, false)
    }

    /// The name as a decision can have it.
    ///
    /// # Errors
    /// It is too long, or has control characters: there is no such model.
    pub(crate) fn destination(&self) -> Result<String, Refused> {
        if self.name.len() > NAME_MAX || self.name.contains(char::is_control) {
            return Err(Refused::unknown(&self.name));
        }
        Ok(self.name.clone())
    }

    pub(crate) fn find(called: Option<&Self>, subject: &Subject) -> Found {
        match (called, subject) {
            (Some(called), Subject::Model) => Found::text(Some(called.model.clone())),
            (Some(called), Subject::Version) => Found::text(called.version.clone()),
            _ => Found::Nothing,
        }
    }
}

/// As the body has it now.
fn model(source: &impl Source) -> Option<String> {
    match source.json("/model") {
        Some(tollgate_sdk::Value::Text(model)) if !model.is_empty() => Some(model),
        _ => None,
    }
}
