use std::time::Duration;

use tollgate_sdk::{
    Ending, RawEvent,
    testing::{self, counted, ended},
};

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn what_was_used_is_charged_at_the_models_prices() {
    let run = run(json!({ "day": "0.01" }));
    // 400 fresh, 600 cached, 50 out: 800 + 600 + 500.
    spend(&run, chat("m", "ada", 100), &usage(1000, 600, 50));
    assert_eq!(counted("spent_micros"), 1900);
    // Of 10,000 there are 8,100 left: 2,000 of input, and 610 tokens of output.
    assert_eq!(
        code(&run, chat("m", "ada", 611)),
        refused(429, "money_budget_exceeded")
    );
    assert_eq!(code(&run, chat("m", "ada", 610)), None);
    assert_eq!(code(&run, chat("m", "bob", 611)), None);
}

#[test]
fn a_refusal_says_what_is_left_and_that_it_comes_back_at_midnight() {
    let run = run(json!({ "day": "0.01" }));
    testing::advance(DAY / 4);
    spend(&run, chat("m", "ada", 100), &usage(1000, 0, 600));
    let decided = run.open(chat("m", "ada", 300)).request();
    let refusal = decided.refusal().unwrap();
    assert_eq!(
        refusal.message,
        "The budget of 0.01 USD per day has 0.002 USD left, and this request may cost \
         0.005 USD (1000 tokens in, 300 out). Try again in 18 hours, or ask for less output \
         with `max_tokens`."
    );
    assert_eq!(refusal.retry_after_ms, Some(18 * 3_600_000));
    testing::advance(DAY * 3 / 4 - Duration::from_millis(1));
    assert_eq!(
        code(&run, chat("m", "ada", 300)),
        refused(429, "money_budget_exceeded")
    );
    testing::advance(Duration::from_millis(1));
    assert_eq!(code(&run, chat("m", "ada", 300)), None);
}

#[test]
fn what_others_hold_is_worth_waiting_for_a_moment() {
    let run = run(json!({ "day": "0.01" }));
    let mut session = run.open(chat("m", "ada", 800));
    assert!(session.request().is_next());
    let decided = run.open(chat("m", "ada", 100)).request();
    assert_eq!(decided.refusal().unwrap().retry_after_ms, Some(1000));
    session.finish(&usage(1000, 0, 1));
    assert_eq!(code(&run, chat("m", "ada", 100)), None);
}

#[test]
fn a_month_is_one_of_the_calendar_and_holds_beside_the_day() {
    let run = run(json!({ "day": "0.01", "month": "0.015" }));
    let full = || usage(1000, 0, 600);
    // The first of January: 8,000, then 7,000 on its last day.
    spend(&run, chat("m", "ada", 800), &full());
    testing::advance(DAY * 30);
    assert_eq!(
        code(&run, chat("m", "ada", 501)),
        refused(429, "money_budget_exceeded")
    );
    spend(&run, chat("m", "ada", 500), &usage(1000, 0, 500));
    let decided = run.open(chat("m", "ada", 0)).request();
    let refusal = decided.refusal().unwrap();
    assert!(
        refusal
            .message
            .starts_with("The budget of 0.015 USD per month has 0.00 USD left")
    );
    assert_eq!(refusal.retry_after_ms, Some(86_400_000));
    testing::advance(DAY);
    spend(&run, chat("m", "ada", 800), &full());
}

#[test]
fn a_request_counts_in_the_day_in_which_it_came() {
    let run = run(json!({ "day": "0.01" }));
    testing::advance(DAY - Duration::from_secs(1));
    let mut session = run.open(chat("m", "ada", 800));
    assert!(session.request().is_next());
    testing::advance(Duration::from_secs(2));
    session.finish(&usage(1000, 0, 800));
    assert_eq!(code(&run, chat("m", "ada", 800)), None);
}

#[test]
fn what_never_fits_is_refused_for_good_and_takes_nothing() {
    let run = run(json!({ "day": "0.01", "month": "0.005" }));
    let decided = run.open(chat("m", "ada", 301)).request();
    let refusal = decided.refusal().unwrap();
    assert_eq!(
        (refusal.status, &*refusal.code),
        (400, "request_exceeds_budget")
    );
    assert_eq!(
        refusal.message,
        "This request may cost 0.00501 USD (1000 tokens in, 301 out), more than the whole \
         budget of 0.005 USD per month. Ask for less output with `max_tokens`, or send less."
    );
    assert_eq!(code(&run, chat("m", "ada", 300)), None);
}

#[test]
fn one_budget_that_is_used_up_gives_back_what_the_others_held() {
    let budget = json!({ "tokens": 4000, "period": "1h", "money": { "day": "0.004" } });
    let run = Run::<TokenBudget>::new(json!({ "default": budget, "prices": prices() }));
    spend(&run, chat("m", "ada", 200), &usage(1000, 0, 200));
    for _ in 0..10 {
        assert_eq!(
            code(&run, chat("m", "ada", 0)),
            refused(429, "money_budget_exceeded")
        );
    }
    // Of 4,000 tokens 1,200 are used: what was refused holds none.
    assert_eq!(code(&run, chat("free", "ada", 1800)), None);
    assert_eq!(
        code(&run, chat("free", "ada", 1)),
        refused(429, "token_budget_exceeded")
    );
}

#[test]
fn a_model_that_costs_nothing_needs_no_money_and_one_without_a_price_is_refused_or_free() {
    let run = run(json!({ "day": "0.004" }));
    spend(&run, chat("m", "ada", 200), &usage(1000, 0, 900));
    assert_eq!(
        code(&run, chat("m", "ada", 1)),
        refused(429, "money_budget_exceeded")
    );
    assert_eq!(code(&run, chat("free", "ada", 100_000)), None);
    let long = "m-".to_owned() + &"x".repeat(2000);
    for model in ["other", "M", &long] {
        assert_eq!(
            code(&run, chat(model, "ada", 1)),
            refused(403, "model_not_priced")
        );
    }
    for body in [json!({ "max_tokens": 1 }), json!({ "model": ["m"] })] {
        let exchange = Exchange::chat()
            .body(body.to_string())
            .fact("caller", "ada");
        assert_eq!(
            code(&run, exchange),
            refused(403, "model_not_priced"),
            "{body}"
        );
    }
    let mut prices = prices();
    prices["other_models"] = "free".into();
    let budget = json!({ "tokens": 1_000_000, "period": "1h", "money": { "day": "0.001" } });
    let run = Run::<TokenBudget>::new(json!({ "default": budget, "prices": prices }));
    assert_eq!(code(&run, chat("other", "ada", 5000)), None);
    assert_eq!(
        code(&run, chat("m", "ada", 1)),
        refused(400, "request_exceeds_budget")
    );
}

#[test]
fn a_small_budget_is_not_used_up_by_what_is_held_by_default() {
    let run = run(json!({ "day": "0.04" }));
    // An eighth of it is 500 tokens of output, not the 1,024 that would be 10,240.
    let mut body = json!({ "model": "m" });
    body["pad"] = "x".repeat(100).into();
    let exchange = || {
        Exchange::chat()
            .body(body.to_string())
            .fact("caller", "ada")
    };
    let open: Vec<_> = (0..7)
        .map(|_| {
            let mut session = run.open(exchange());
            assert!(session.request().is_next());
            session
        })
        .collect();
    for session in open {
        session.finish(&usage(10, 0, 10));
    }
}

#[test]
fn a_stream_is_cut_where_the_money_ends() {
    let run = run(json!({ "day": "0.005" }));
    let mut session = run.open(chat("m", "ada", 50).streaming());
    assert!(session.request().is_next());
    let chunk = RawEvent::json(&json!({
        "choices": [{ "index": 0, "delta": { "content": "four" }, "finish_reason": null }],
    }));
    let sent = session.events(vec![chunk; 1000]);
    assert!(sent.ended);
    // 3,000 millionths are 300 tokens of output, less what the field `stream` is.
    let passed = sent.events.len() - 2;
    assert!((290..=300).contains(&passed), "{passed}");
    session.finish(&ended(Ending::Cut));
    assert_eq!(
        code(&run, chat("m", "ada", 100)),
        refused(429, "money_budget_exceeded")
    );
    assert_eq!(counted("cut"), 1);
}

#[test]
fn what_came_to_nothing_costs_nothing() {
    let run = run(json!({ "day": "0.005" }));
    for ending in [Ending::Refused, Ending::UpstreamFailed, Ending::TimedOut] {
        spend(&run, chat("m", "ada", 300), &ended(ending));
    }
    assert_eq!(counted("spent_micros"), 0);
    spend(&run, chat("m", "ada", 300), &usage(1000, 0, 300));
    assert_eq!(counted("spent_micros"), 5000);
}

#[test]
fn a_caller_with_a_long_name_has_budgets_of_its_own() {
    let run = run(json!({ "day": "0.005" }));
    let long = "x".repeat(1000);
    spend(&run, chat("m", &long, 300), &usage(1000, 0, 300));
    assert_eq!(
        code(&run, chat("m", &long, 1)),
        refused(429, "money_budget_exceeded")
    );
    assert_eq!(code(&run, chat("m", &(long + "y"), 1)), None);
}
