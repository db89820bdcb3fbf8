//! See the name.
