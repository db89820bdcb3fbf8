//! Secrets by the name that the configuration gives them.
//!
//! A value never shows in `Debug`. Which policy may read which secret is checked
//! by the sandbox, before it asks here.

mod embedded;

pub use embedded::EmbeddedSecrets;

use std::{fmt, sync::Arc};

/// Why there is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Not granted, or there is none of this name.
    #[error("there is no such secret, or it was not granted")]
    Denied,
    /// There is one, but its source cannot be read now.
    #[error("the secret's source cannot be read now")]
    Unavailable,
}

/// A secret's value. Shown by nothing; read with [`Secret::expose`].
#[derive(Clone)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: &[u8]) -> Self {
        Self(value.into())
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// Finds secrets.
pub trait SecretStore: Send + Sync {
    /// The present value.
    ///
    /// # Errors
    /// There is none of this name, or its source cannot be read.
    fn get(&self, name: &str) -> Result<Secret, SecretError>;
}
