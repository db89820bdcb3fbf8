//! Takes the key out of a header's value. Anything that is not plainly one key is none.

use crate::settings::Carrier;

/// Longer ones are refused before they are hashed.
const KEY_MAX: usize = 512;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Credentials<'a> {
    Key(&'a [u8]),
    Missing,
    Malformed,
}

impl<'a> Credentials<'a> {
    pub(crate) fn read(carrier: &Carrier, value: Option<&'a [u8]>) -> Self {
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return Self::Missing;
        };
        let key = match carrier {
            Carrier::Bearer => match bearer(value) {
                Some(key) => key,
                None => return Self::Malformed,
            },
            Carrier::Header(_) => value,
        };
        match key {
            [] => Self::Missing,
            key if is_one_key(key) => Self::Key(key),
            _ => Self::Malformed,
        }
    }
}

/// RFC 9110: the scheme in any case, at least one space, the credentials.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return None;
    }
    let key = rest.trim_ascii_start();
    let spaces = &rest[..rest.len() - key.len()];
    (spaces.iter().all(|byte| *byte == b' ') && spaces.is_empty() == rest.is_empty()).then_some(key)
}

/// Visible ASCII, and no comma: it would join two values.
fn is_one_key(key: &[u8]) -> bool {
    key.len() <= KEY_MAX
        && key
            .iter()
            .all(|byte| byte.is_ascii_graphic() && *byte != b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &[u8]) -> Credentials<'_> {
        Credentials::read(&Carrier::Bearer, Some(value))
    }

    #[test]
    fn the_scheme_is_read_in_any_case_and_may_be_set_off_by_more_than_one_space() {
        for value in ["Bearer k", "bearer k", "BEARER k", "Bearer   k"] {
            assert_eq!(of(value.as_bytes()), Credentials::Key(b"k"), "{value:?}");
        }
    }

    #[test]
    fn a_header_without_a_key_is_a_missing_one() {
        for value in ["", "Bearer", "Bearer ", "bearer   "] {
            assert_eq!(of(value.as_bytes()), Credentials::Missing, "{value:?}");
        }
        assert_eq!(
            Credentials::read(&Carrier::Bearer, None),
            Credentials::Missing
        );
    }

    #[test]
    fn what_is_not_plainly_one_key_is_malformed() {
        let long = format!("Bearer {}", "k".repeat(64 * 1024));
        let values: [&[u8]; 14] = [
            b"Basic a2V5",
            b"k",
            b"Bearerk",
            b"Bearer\tk",
            b"Bearer \tk",
            b"Bearer k k",
            b"Bearer k,k",
            b"Bearer k, Bearer k",
            b"Bearer k\0",
            b"Bearer k\n",
            b"Bearer k ",
            b"Bearer \xff\xfe",
            "Bearer schlüssel".as_bytes(),
            long.as_bytes(),
        ];
        for value in values {
            assert_eq!(
                of(value),
                Credentials::Malformed,
                "{:?}",
                String::from_utf8_lossy(value)
            );
        }
    }

    #[test]
    fn another_header_carries_the_key_alone() {
        let header: Carrier = "x-api-key".parse().unwrap();
        assert_eq!(
            Credentials::read(&header, Some(b"k")),
            Credentials::Key(b"k")
        );
        assert_eq!(
            Credentials::read(&header, Some(b"Bearer k")),
            Credentials::Malformed
        );
    }
}
