//! Endpoints from a file: one URL a line, maybe with a weight behind it.
//!
//! ```text
//! # the two old ones
//! http://10.0.0.5:8000
//! http://10.0.0.6:8000
//! http://10.0.1.7:8000  4    # has four times their cards
//! ```
//! Whoever writes it should put a whole file in place of the old one (`rename`), but a
//! file that is caught half-written is refused where it is malformed, and otherwise read
//! again at the next look.

use std::{collections::HashSet, io::Read, path::Path, time::Duration};

use tollgate_config::{Endpoint, EndpointFile, Endpoints};

use super::{DiscoveryError, Found, Looked};

/// Of the file.
const BYTES_MAX: u64 = 1 << 20;

/// A file that is looked at again and again.
#[derive(Debug)]
pub struct FileSource {
    file: EndpointFile,
}

impl FileSource {
    pub(super) fn new(file: EndpointFile) -> Self {
        Self { file }
    }

    pub(super) async fn look(&mut self) -> Looked {
        let path = self.file.path.clone();
        let shown = path.display().to_string();
        let read = tokio::task::spawn_blocking(move || read_list(&path)).await;
        let found = read.unwrap_or_else(|broken| {
            Err(DiscoveryError::Unreadable {
                path: shown,
                reason: broken.to_string(),
            })
        });
        Looked {
            found,
            next: self.next(),
        }
    }

    fn next(&self) -> Duration {
        self.file.refresh
    }
}

/// Reads a file of endpoints now; blocks.
///
/// # Errors
/// What is wrong with it, and in which line.
pub fn read_list(path: &Path) -> Result<Vec<Found>, DiscoveryError> {
    let shown = || path.display().to_string();
    let unreadable = |reason: String| DiscoveryError::Unreadable {
        path: shown(),
        reason,
    };
    let file = std::fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(unreadable(format!("it is longer than {BYTES_MAX} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8".into()))?;
    parse(&text, &shown())
}

fn parse(text: &str, path: &str) -> Result<Vec<Found>, DiscoveryError> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let malformed = |reason: String| DiscoveryError::Malformed {
            path: path.to_owned(),
            line: index + 1,
            reason,
        };
        let Some(endpoint) = endpoint(line).map_err(malformed)? else {
            continue;
        };
        let one = Found::listed(endpoint);
        if !seen.insert(one.to_string()) {
            return Err(malformed(format!("`{one}` stands here twice")));
        }
        if found.len() == Endpoints::MAX {
            return Err(DiscoveryError::TooMany(path.to_owned()));
        }
        found.push(one);
    }
    if found.is_empty() {
        return Err(DiscoveryError::Empty(path.to_owned()));
    }
    Ok(found)
}

/// `None`: the line says nothing.
fn endpoint(line: &str) -> Result<Option<Endpoint>, String> {
    let comment = |word: &&str| word.starts_with('#');
    let mut words = line.split_whitespace().take_while(|word| !comment(word));
    let Some(url) = words.next() else {
        return Ok(None);
    };
    let endpoint = Endpoint::parse(url)?;
    let weight = match words.next() {
        None => 1,
        Some(word) => {
            let weight = word.parse().ok();
            let in_range = |weight: &u32| (1..=Endpoints::WEIGHT_MAX).contains(weight);
            weight.filter(in_range).ok_or_else(|| {
                format!(
                    "the weight is not a number from 1 to {}",
                    Endpoints::WEIGHT_MAX
                )
            })?
        }
    };
    match words.next() {
        Some(_) => Err("there is more than a URL and a weight".into()),
        None => Ok(Some(Endpoint { weight, ..endpoint })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<Vec<String>, String> {
        let found = parse(text, "f").map_err(|error| error.to_string())?;
        let shown = found.iter();
        Ok(shown
            .map(|found| format!("{found} {}", found.endpoint.weight))
            .collect())
    }

    #[test]
    fn a_line_is_a_url_and_maybe_a_weight() {
        let text = "\u{feff}# all\n\nhttp://a:8000\r\n  https://B/v1  4 # big\n\thttp://c:80 #x\n";
        let read = ["http://a:8000 1", "https://b/v1 4", "http://c 1"];
        assert_eq!(shown(text).unwrap(), read);
    }

    #[test]
    fn what_is_malformed_is_refused_with_its_line() {
        for (text, message) in [
            ("", "`f` has no endpoint"),
            ("# http://a\n", "`f` has no endpoint"),
            (
                "http://a\nb\n",
                "`f`, line 2: `b` is no endpoint: it does not start with `http://` or `https://`",
            ),
            (
                "http://a 0",
                "`f`, line 1: the weight is not a number from 1 to 65535",
            ),
            (
                "http://a heavy",
                "`f`, line 1: the weight is not a number from 1 to 65535",
            ),
            (
                "http://a 1 2",
                "`f`, line 1: there is more than a URL and a weight",
            ),
            (
                "http://a\nhttp://A:80/ 2",
                "`f`, line 2: `http://a` stands here twice",
            ),
        ] {
            assert_eq!(shown(text).unwrap_err(), message, "{text}");
        }
    }

    #[test]
    fn neither_a_huge_file_nor_one_of_other_bytes_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("endpoints");
        let many = (0..=Endpoints::MAX).map(|n| format!("http://h{n}\n"));
        std::fs::write(&path, many.collect::<String>()).unwrap();
        assert!(matches!(read_list(&path), Err(DiscoveryError::TooMany(_))));
        for bytes in [vec![b'#'; (1 << 20) + 1], vec![0xff, 0xfe]] {
            std::fs::write(&path, bytes).unwrap();
            assert!(matches!(
                read_list(&path),
                Err(DiscoveryError::Unreadable { .. })
            ));
        }
        let gone = read_list(&folder.path().join("gone"));
        assert!(matches!(gone, Err(DiscoveryError::Unreadable { .. })));
    }
}
