//! Many requests at once. The native kit counts exactly, and a hook runs whole; so what can
//! differ is the order in which requests come and go.

use proptest::prelude::*;
use tollgate_sdk::testing::{Session, counted};

use super::*;

#[test]
fn a_thousand_requests_at_once_spend_no_more_than_there_is() {
    // Each may cost 3,000: there is room for 333 of them.
    let run = run(json!({ "day": 1 }));
    let mut let_through = Vec::new();
    for _ in 0..1000 {
        let mut session = run.open(chat("m", "ada", 100));
        if session.request().is_next() {
            let_through.push(session);
        }
    }
    assert_eq!(let_through.len(), 333);
    for session in let_through {
        session.finish(&usage(1000, 0, 100));
    }
    assert_eq!(counted("spent_micros"), 999_000);
    assert_eq!(
        code(&run, chat("m", "ada", 0)),
        refused(429, "money_budget_exceeded")
    );
}

#[test]
fn what_was_used_beyond_what_was_held_is_all_that_a_budget_is_overdrawn_by() {
    let run = run(json!({ "day": "0.03" }));
    let mut open: Vec<_> = (0..10).map(|_| run.open(chat("m", "ada", 100))).collect();
    assert!(open.iter_mut().all(|session| session.request().is_next()));
    for session in open {
        session.finish(&usage(1000, 0, 150));
    }
    // 10 times 3,000 was held, 500 more was used by each.
    assert_eq!(counted("spent_micros"), 35_000);
    assert_eq!(
        code(&run, chat("m", "ada", 0)),
        refused(429, "money_budget_exceeded")
    );
}

#[derive(Debug, Clone)]
enum Step {
    Come {
        output: u64,
    },
    /// One of those that run, by a number; uses this part of what it may, in 256ths.
    Go {
        which: usize,
        part: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let come = (0..800_u64).prop_map(|output| Step::Come { output });
    let go = (any::<usize>(), 0..=256_u64).prop_map(|(which, part)| Step::Go { which, part });
    prop::collection::vec(prop_oneof![2 => come, 1 => go], 0..80)
}

proptest! {
    #[test]
    fn in_whatever_order_requests_come_and_go_no_budget_is_overdrawn(steps in steps()) {
        const DAY: u64 = 30_000;
        // A caller of its own each time: the kit's world outlives a case.
        let caller = format!("{}", counted("cases"));
        tollgate_sdk::metrics::count("cases", &[], 1);
        let run = run(json!({ "day": "0.03" }));
        let (mut charged, mut held) = (0, 0);
        let mut open: Vec<(Session<TokenBudget>, u64)> = Vec::new();
        for step in steps {
            match step {
                Step::Come { output } => {
                    let cost = 2000 + 10 * output;
                    let mut session = run.open(chat("m", &caller, output));
                    let is_next = session.request().is_next();
                    prop_assert_eq!(is_next, charged + held + cost <= DAY);
                    if is_next {
                        held += cost;
                        open.push((session, output));
                    }
                }
                Step::Go { which, part } if !open.is_empty() => {
                    let (session, output) = open.swap_remove(which % open.len());
                    let used = output * part / 256;
                    session.finish(&usage(1000, 0, used));
                    held -= 2000 + 10 * output;
                    charged += 2000 + 10 * used;
                }
                Step::Go { .. } => {}
            }
            prop_assert!(charged + held <= DAY);
        }
    }
}
