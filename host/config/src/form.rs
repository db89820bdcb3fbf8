//! The form of a source: the keys that it may have, and the types of their values.
//!
//! The parser stops at the first mistake. So a source that has one is read again without
//! the value that it stands in, until all that is left can be read: each mistake is found
//! by the same types that read a source without any, and the rest can be judged further.

use std::collections::HashSet;

use serde::de::DeserializeOwned;
use serde_saphyr::Error;

use crate::{
    error::{Problem, Problems},
    file::File,
    lost::Lost,
    place::{At, Place},
    shape::Shape,
    source::Source,
    spelling::{nearest, quote},
    walk::{Path, Stop, Walk},
    yaml,
};

/// Of all readings of one file of the configuration together.
const MAX_BYTES: usize = 16 << 20;

/// What could be read of a source.
#[derive(Debug)]
pub(crate) struct Form<T> {
    /// `None`: nothing, or there may be mistakes beyond those that are told.
    pub(crate) file: Option<T>,
    pub(crate) problems: Vec<Problem>,
    /// Whether reading was given up before the end.
    pub(crate) is_cut: bool,
    pub(crate) lost: Lost,
}

impl<T> Form<T> {
    fn of(file: Option<T>, problems: Vec<Problem>) -> Self {
        Self {
            file,
            problems,
            is_cut: false,
            lost: Lost::default(),
        }
    }

    /// What was read, if nothing was wrong.
    pub(crate) fn whole(self) -> Result<T, Problems> {
        match self.file {
            Some(file) if self.problems.is_empty() => Ok(file),
            _ => Err(Problems::new(self.problems, self.is_cut)),
        }
    }
}

/// A file of the configuration.
pub(crate) fn read(source: &Source) -> Form<File> {
    if is_blank(&source.text) {
        let expected = "at least `routes:`; see the JSON schema of the configuration";
        let message = "the file is empty".to_owned();
        let problem = source.problem(Place::START, message, Some(expected.to_owned()));
        return Form::of(None, vec![problem]);
    }
    read_any(source, MAX_BYTES)
}

/// A document of any type; at most `max_bytes` of it are read again.
pub(crate) fn read_any<T: DeserializeOwned + Send>(source: &Source, max_bytes: usize) -> Form<T> {
    match yaml::read(&source.text) {
        Ok(file) => Form::of(Some(file), Vec::new()),
        Err(first) => {
            let first = yaml::problem(source, first.without_snippet());
            yaml::deeply(|| read_on(source, first.clone(), max_bytes))
                .unwrap_or_else(|| Form::of(None, vec![first]))
        }
    }
}

fn is_blank(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}');
    text.lines()
        .map(str::trim)
        .all(|line| line.is_empty() || line.starts_with('#') || line == "---")
}

/// `first` is the first mistake.
fn read_on<T: DeserializeOwned>(source: &Source, first: Problem, max_bytes: usize) -> Form<T> {
    match yaml::outline(&source.text) {
        Ok(shape) => Readings::new(source, &shape).form(max_bytes),
        Err(broken) => {
            let broken = yaml::problem(source, broken.without_snippet());
            let is_another = broken.location != first.location;
            let second = is_another.then_some(broken);
            Form::of(None, [first].into_iter().chain(second).collect())
        }
    }
}

/// One source while it is read again and again.
struct Readings<'a, T> {
    source: &'a Source,
    shape: &'a At<Shape>,
    without: HashSet<Path>,
    /// Values that something of was left out: what is wrong with them as a whole may be that.
    lacking: HashSet<Path>,
    /// Keys that a map would have, if what was meant by them could be read.
    meant: HashSet<(Path, String)>,
    form: Form<T>,
}

impl<'a, T: DeserializeOwned> Readings<'a, T> {
    fn new(source: &'a Source, shape: &'a At<Shape>) -> Self {
        let mut readings = Self {
            source,
            shape,
            without: HashSet::new(),
            lacking: HashSet::new(),
            meant: HashSet::new(),
            form: Form::of(None, Vec::new()),
        };
        readings.leave_out_twins(&mut Path::new(), shape);
        readings
    }

    fn form(mut self, max_bytes: usize) -> Form<T> {
        let most = max_bytes / self.source.text.len().max(1);
        for _ in 0..most.clamp(1, Problems::KEPT + 1) {
            if self.has_enough() {
                break;
            }
            let walk = Walk::without(&self.without);
            let error = match yaml::read_walked(&self.source.text, &walk) {
                Ok(file) => {
                    self.form.file = Some(file);
                    return self.form;
                }
                Err(error) => error,
            };
            let Some(stop) = walk.stopped() else {
                self.tell(&error);
                return self.form;
            };
            if !self.leave_out(stop, &error) {
                return self.form;
            }
        }
        self.form.is_cut = true;
        self.form
    }

    /// Whether there are more mistakes than are told.
    fn has_enough(&self) -> bool {
        self.form.problems.len() > Problems::KEPT
    }

    /// Whether reading again would come further.
    fn leave_out(&mut self, Stop { path, is_key }: Stop, error: &Error) -> bool {
        let meant = match yaml::cause(error) {
            Error::SerdeMissingField { field, .. } => {
                let is_known = self.meant.contains(&(path.clone(), field.to_string()));
                if !is_known {
                    self.tell(error);
                }
                self.own_key(&path)
            }
            Error::SerdeUnknownField {
                field, expected, ..
            } => {
                self.tell(error);
                let Some(meant) = nearest(field, expected.iter().copied()) else {
                    self.form.lost.leave_out_unknown(self.shape, &path);
                    return self.without.insert(path);
                };
                Some(meant.to_owned())
            }
            _ => {
                if !self.lacking.contains(&path) {
                    self.tell_of(&path, is_key, error);
                }
                self.own_key(&path)
            }
        };
        let lost = &mut self.form.lost;
        lost.leave_out(self.shape, &path, meant.as_deref());
        if let Some((_, above)) = path.split_last() {
            self.lacking.insert(above.to_vec());
            self.meant
                .extend(meant.map(|meant| (above.to_vec(), meant)));
        }
        self.without.insert(path)
    }

    fn tell(&mut self, error: &Error) {
        let problem = yaml::problem(self.source, error.without_snippet());
        self.form.problems.push(problem);
    }

    /// The parser takes the place of the key where what refuses a value has none.
    fn tell_of(&mut self, path: &[usize], is_key: bool, error: &Error) {
        self.tell(error);
        let place = match self.entry(path) {
            Some((Some(key), value)) if !is_key => {
                (error.location().map(Place::from) == Some(key.place)).then_some(value.place)
            }
            _ => None,
        };
        if let (Some(place), Some(told)) = (place, self.form.problems.last_mut()) {
            let (message, expected) = (told.message.clone(), told.expected.clone());
            *told = self.source.problem(place, message, expected);
        }
    }

    fn own_key(&self, path: &[usize]) -> Option<String> {
        let (key, _) = self.entry(path)?;
        key.map(|key| key.value.clone())
    }

    fn entry(&self, path: &[usize]) -> Option<(Option<&'a At<String>>, &'a At<Shape>)> {
        let (last, above) = path.split_last()?;
        let mut here = self.shape;
        for step in above {
            (_, here) = here.value.nth(*step)?;
        }
        here.value.nth(*last)
    }

    /// Of a key that stands in a map more than once, the first holds. A document may have as
    /// many of them as values, so no more are looked for than are told.
    fn leave_out_twins(&mut self, path: &mut Path, of: &At<Shape>) {
        let mut seen = HashSet::new();
        let mut nth = 0;
        while let Some((key, value)) = of.value.nth(nth) {
            if self.has_enough() {
                return;
            }
            path.push(nth);
            match key.filter(|key| !seen.insert(key.value.as_str())) {
                Some(key) => {
                    let message = format!("the key {} stands here twice", quote(&key.value));
                    let problem = self.source.problem(key.place, message, None);
                    self.form.problems.push(problem);
                    self.without.insert(path.clone());
                }
                None => self.leave_out_twins(path, value),
            }
            path.pop();
            nth += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use serde_json::Value;

    use super::*;

    fn read<T: DeserializeOwned + Send>(text: String) -> Form<T> {
        read_any(&Source::new("a.yaml".into(), text), MAX_BYTES)
    }

    /// How many bytes are kept of what is told.
    fn kept<T>(form: &Form<T>) -> usize {
        let told = form.problems.iter().map(|problem| {
            let shown = problem.excerpt.as_ref().map(|excerpt| &excerpt.shown);
            let expected = problem.expected.as_ref();
            let parts = shown.into_iter().chain(expected).chain([&problem.message]);
            parts.map(String::capacity).sum::<usize>()
        });
        told.sum()
    }

    #[test]
    fn of_a_key_that_stands_a_thousand_times_on_a_line_only_so_much_is_kept() {
        for (text, told) in [
            (format!("{{{}}}", "a,".repeat(10_000)), Problems::KEPT + 1),
            (format!("[{}]", "{a,a},".repeat(10_000)), Problems::KEPT + 1),
            (format!("x: &x {{{}}}", "a,".repeat(50)), 49),
            (
                format!("x: &x {{a,a,a}}\ny: [{}]", "*x,".repeat(60)),
                Problems::KEPT + 1,
            ),
        ] {
            let form = read::<Value>(text);
            assert_eq!(form.problems.len(), told);
            assert_eq!(form.is_cut, told > Problems::KEPT);
            assert_eq!(form.file.is_some(), told <= Problems::KEPT);
            assert!(kept(&form) < 100_000, "{} bytes", kept(&form));
        }
    }

    #[test]
    fn of_a_hundred_mistakes_on_one_long_line_only_what_is_around_each_is_kept() {
        let keys: String = (0..150).map(|nth| format!("unknown{nth}: 1, ")).collect();
        let text = format!("{{{keys}listen: \"{}\"}}", "x".repeat(100_000));
        let form = read::<File>(text);
        assert_eq!(form.problems.len(), Problems::KEPT + 1);
        assert!(kept(&form) < 200_000, "{} bytes", kept(&form));
    }

    #[test]
    fn of_a_long_text_of_the_wrong_type_only_the_beginning_is_told() {
        let long = "x".repeat(100_000);
        let text =
            format!("a: &a {long}\nlimits: {{ connections: *a }}\nroutes: *a\nmodels: {long}\n");
        let form = read::<File>(text);
        assert!(form.problems.len() >= 4, "{:?}", form.problems);
        assert!(kept(&form) < 20_000, "{} bytes", kept(&form));
    }
}
