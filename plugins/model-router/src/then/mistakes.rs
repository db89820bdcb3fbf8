//! What is wrong with a destination.

use super::{Arm, Split, Then};
use crate::shadow::Shadow;

/// Each arm is drawn for, for each request.
const ARMS_MAX: usize = 32;
const WEIGHT_MAX: u32 = 1_000_000;
const KEYS_MAX: usize = 8;

impl Then {
    /// Each with its pointer from here.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let of_shadow = self.shadow.iter().flat_map(Shadow::mistakes);
        let of_shadow = of_shadow.map(|mistake| format!("/shadow{mistake}"));
        let mut mistakes = self.mistakes_of_arms();
        mistakes.extend(of_shadow);
        mistakes
    }

    fn mistakes_of_arms(&self) -> Vec<String> {
        let Some(split) = &self.split else {
            let stray = self.stray.iter();
            return stray
                .map(|name| format!("/{name}: only a `split` has it"))
                .collect();
        };
        let stray = self.stray.iter();
        let mut mistakes: Vec<_> = stray
            .map(|name| format!("/{name}: expected it in the arms of the `split`"))
            .collect();
        mistakes.extend(of_arms(&self.arms));
        mistakes.extend(of_split(split));
        if self.arms.is_empty() {
            return mistakes;
        }
        match &split.shift {
            Some(shift) => {
                let of_shift = shift.mistakes(&self.arms).into_iter();
                mistakes.extend(of_shift.map(|mistake| format!("/shift{mistake}")));
            }
            None if self.arms.iter().all(|arm| arm.weight == 0) => {
                mistakes.push("/split: expected an arm with a weight of more than 0".to_owned());
            }
            None => {}
        }
        mistakes
    }
}

fn of_arms(arms: &[Arm]) -> Vec<String> {
    let mut mistakes = Vec::new();
    if arms.is_empty() || arms.len() > ARMS_MAX {
        let found = arms.len();
        mistakes.push(format!(
            "/split: expected 1 to {ARMS_MAX} arms, found {found}"
        ));
    }
    for (place, arm) in arms.iter().enumerate() {
        if arm.weight > WEIGHT_MAX {
            mistakes.push(format!(
                "/split/{place}/weight: expected a number from 0 to {WEIGHT_MAX}"
            ));
        }
        let name = &arm.name;
        if let Some(first) = arms[..place].iter().position(|other| other.name == *name) {
            mistakes.push(format!(
                "/split/{place}: `{name}` is /split/{first} already: expected a `name` of its own"
            ));
        }
    }
    mistakes
}

fn of_split(split: &Split) -> Vec<String> {
    let mut mistakes = Vec::new();
    match &split.by {
        None => mistakes.push(
            "/by: is missing: expected what a caller keeps its arm by, such as \
             `[ { fact: caller } ]`, or `[]` to draw each request anew"
                .to_owned(),
        ),
        Some(keys) => {
            if keys.len() > KEYS_MAX {
                mistakes.push(format!("/by: expected at most {KEYS_MAX}"));
            }
            let again = (1..keys.len()).filter(|place| keys[..*place].contains(&keys[*place]));
            mistakes.extend(again.map(|place| format!("/by/{place}: is listed before")));
        }
    }
    if split.remember.is_some() {
        if !cfg!(any(feature = "kv", not(target_arch = "wasm32"))) {
            mistakes.push(
                "/remember: this plugin was built without it: expected the feature `kv`".to_owned(),
            );
        }
        if split.by.as_ref().is_some_and(Vec::is_empty) {
            mistakes.push("/remember: expected something in `by` to remember".to_owned());
        }
    }
    mistakes
}
