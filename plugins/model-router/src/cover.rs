//! Whether a rule can be reached at all, with those that are asked before it.
//!
//! A rule is out of reach if an earlier one holds wherever it does. If no single one is found
//! to, its lists are taken apart, and each entry has to be covered. What is not found to be
//! covered is taken as reached: a doubt never refuses settings.

use crate::{
    demand::{Demand, Wanted},
    rule::Rule,
    subject::Subject,
    when::Condition,
};

/// How often rules are compared for one rule, before it is taken as reached.
const COMPARED_MAX: usize = 20_000;

/// By what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Covered {
    /// The rule in this place.
    By(usize),
    /// By several, each for a part of its requests.
    ByAll,
}

pub(crate) fn covered(rules: &[Rule], place: usize) -> Option<Covered> {
    let earlier: Vec<&[Condition]> = rules[..place]
        .iter()
        .map(|rule| rule.when.conditions.as_slice())
        .collect();
    let own = &rules[place].when.conditions;
    if let Some(first) = earlier.iter().position(|wide| holds_wherever(wide, own)) {
        return Some(Covered::By(first));
    }
    let mut left = COMPARED_MAX;
    is_covered(&mut own.clone(), &earlier, &mut left).then_some(Covered::ByAll)
}

fn is_covered(own: &mut Vec<Condition>, earlier: &[&[Condition]], left: &mut usize) -> bool {
    match left.checked_sub(earlier.len()) {
        Some(rest) => *left = rest,
        None => return false,
    }
    if earlier.iter().any(|wide| holds_wherever(wide, own)) {
        return true;
    }
    let listed = |condition: &Condition| {
        let listed = condition.demand.is.as_ref();
        listed.is_some_and(|listed| listed.len() > 1)
    };
    if let Some(at) = own.iter().position(listed) {
        let entries = own[at].demand.is.take().unwrap_or_default();
        let is_covered = entries.iter().all(|entry| {
            own[at].demand.is = Some(vec![entry.clone()]);
            is_covered(own, earlier, left)
        });
        own[at].demand.is = Some(entries);
        return is_covered;
    }
    let on_streams = |condition: &Condition| condition.subject == Subject::Streaming;
    let is_open =
        !own.iter().any(on_streams) && earlier.iter().any(|rule| rule.iter().any(on_streams));
    is_open
        && [true, false].into_iter().all(|flag| {
            own.push(Condition {
                subject: Subject::Streaming,
                demand: Demand::flag(flag),
            });
            let is_covered = is_covered(own, earlier, left);
            own.pop();
            is_covered
        })
}

/// Whether the one rule holds for each request that the other one holds for.
fn holds_wherever(wide: &[Condition], narrow: &[Condition]) -> bool {
    wide.iter().all(|wanted| {
        narrow
            .iter()
            .any(|given| given.subject == wanted.subject && implies(&given.demand, &wanted.demand))
    })
}

/// Whether each value that `given` holds for has `wanted` hold.
fn implies(given: &Demand, wanted: &Demand) -> bool {
    let entries = given.is.as_deref();
    let is_bounded = given.min.is_some() || given.max.is_some();
    let is_there = entries.is_some() || is_bounded || given.present == Some(true);
    let is_in = |list: &[Wanted]| {
        entries.is_some_and(|entries| {
            entries
                .iter()
                .all(|entry| list.iter().any(|wide| wide.covers(entry)))
        })
    };
    let is_never = |ruled_out: &Wanted| {
        given.present == Some(false)
            || given.not.iter().any(|not| not.covers(ruled_out))
            || entries
                .is_some_and(|entries| entries.iter().all(|entry| entry.is_apart_from(ruled_out)))
    };
    let numbers = |is_within: &dyn Fn(f64) -> bool| {
        entries.is_some_and(|entries| {
            entries
                .iter()
                .all(|entry| matches!(entry, Wanted::Number(number) if is_within(*number)))
        })
    };
    wanted.is.as_deref().is_none_or(is_in)
        && wanted.not.iter().all(is_never)
        && wanted.present.is_none_or(|present| match present {
            true => is_there,
            false => given.present == Some(false),
        })
        && wanted.min.is_none_or(|min| {
            given.min.is_some_and(|own| own >= min) || numbers(&|number| number >= min)
        })
        && wanted.max.is_none_or(|max| {
            given.max.is_some_and(|own| own <= max) || numbers(&|number| number <= max)
        })
}
