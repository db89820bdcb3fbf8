//! The token of the admin port: where it is taken from, and what is wrong with it.
//!
//! What it says is shown by nothing here.

use std::{
    env, fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// Where it is, unless a file is named.
const VARIABLE: &str = "TOLLGATE_ADMIN_TOKEN";

/// What is shown to a gateway that asks for it.
#[derive(Default)]
pub(crate) struct Token {
    found: Option<(Place, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Variable,
    File(PathBuf),
}

/// Why nobody can be let in with it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("{}, where the token of the admin port was looked for, cannot be read: {reason}; --token-file names a file that holds nothing else", file.display())]
    Unreadable { file: PathBuf, reason: io::Error },
    #[error(
        "the token in {0} has characters in it that none can have, such as spaces or a second line: let the token alone stand there"
    )]
    Malformed(Place),
    #[error(
        "the gateway at {0} asks for the token of its admin port, and none was given: set {VARIABLE}, or name a file that holds it by --token-file"
    )]
    Missing(SocketAddr),
    #[error(
        "the gateway at {0} asks for the token of its admin port, and {1} is empty: put the token there, the value of the secret that `admin_token` names in the gateway's configuration"
    )]
    Empty(SocketAddr, Place),
    #[error(
        "the gateway at {0} has another token than the one in {1}: is it the gateway that is meant, and has the token changed? It is the value of the secret that `admin_token` names in the gateway's configuration"
    )]
    Wrong(SocketAddr, Place),
}

impl Token {
    /// From the file if one is named, else from the environment.
    ///
    /// # Errors
    /// It cannot be read, or be a token.
    pub(crate) fn read(file: Option<&Path>) -> Result<Self, TokenError> {
        match file {
            Some(file) => {
                let text = fs::read_to_string(file).map_err(|reason| TokenError::Unreadable {
                    file: file.to_owned(),
                    reason,
                })?;
                Self::of(Place::File(file.to_owned()), &text)
            }
            None => match env::var(VARIABLE) {
                Ok(text) => Self::of(Place::Variable, &text),
                Err(env::VarError::NotPresent) => Ok(Self::default()),
                Err(env::VarError::NotUnicode(_)) => Err(TokenError::Malformed(Place::Variable)),
            },
        }
    }

    fn of(place: Place, text: &str) -> Result<Self, TokenError> {
        let token = text.trim();
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Malformed(place));
        }
        Ok(Self {
            found: Some((place, token.to_owned())),
        })
    }

    /// What there is to show.
    pub(crate) fn shown(&self) -> Option<&str> {
        let (_, token) = self.found.as_ref()?;
        (!token.is_empty()).then_some(token)
    }

    /// Why the gateway there did not let it in.
    pub(crate) fn refused(&self, admin: SocketAddr) -> TokenError {
        match &self.found {
            None => TokenError::Missing(admin),
            Some((place, token)) if token.is_empty() => TokenError::Empty(admin, place.clone()),
            Some((place, _)) => TokenError::Wrong(admin, place.clone()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable => write!(formatter, "the environment variable {VARIABLE}"),
            Self::File(file) => write!(formatter, "the file {}", file.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin() -> SocketAddr {
        ([127, 0, 0, 1], 9901).into()
    }

    #[test]
    fn a_token_that_is_missing_empty_or_wrong_is_three_sentences_and_never_shown() {
        let none = Token::default();
        assert_eq!(none.shown(), None);
        assert_eq!(
            none.refused(admin()).to_string(),
            "the gateway at 127.0.0.1:9901 asks for the token of its admin port, and none was given: set TOLLGATE_ADMIN_TOKEN, or name a file that holds it by --token-file"
        );
        let empty = Token::of(Place::Variable, " \n").unwrap();
        assert_eq!(empty.shown(), None);
        assert_eq!(
            empty.refused(admin()).to_string(),
            "the gateway at 127.0.0.1:9901 asks for the token of its admin port, and the environment variable TOLLGATE_ADMIN_TOKEN is empty: put the token there, the value of the secret that `admin_token` names in the gateway's configuration"
        );
        let wrong = Token::of(Place::File("t.txt".into()), "hunter2\n").unwrap();
        assert_eq!(wrong.shown(), Some("hunter2"));
        let said = wrong.refused(admin()).to_string();
        assert!(
            said.starts_with(
                "the gateway at 127.0.0.1:9901 has another token than the one in the file t.txt:"
            ) && !said.contains("hunter2"),
            "{said}"
        );
    }

    #[test]
    fn what_can_be_no_token_is_told_before_a_gateway_is_asked() {
        for text in ["two words", "a\nb", "caf\u{e9}", "a\u{0}b"] {
            let error = Token::of(Place::Variable, text).err().unwrap();
            let said = error.to_string();
            assert!(said.contains("let the token alone stand there"), "{said}");
            assert!(!said.contains(text), "{said}");
        }
        let error = Token::read(Some(Path::new("/nowhere/token.txt")))
            .err()
            .unwrap();
        let said = error.to_string();
        assert!(
            said.starts_with("/nowhere/token.txt, where the token"),
            "{said}"
        );
    }
}
