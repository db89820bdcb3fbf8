use std::time::Duration;

use tollgate_sdk::{kv, testing};

use super::*;

fn kept(key: &str) -> Option<String> {
    let value = kv::get(key).unwrap()?;
    Some(String::from_utf8(value).unwrap())
}

#[test]
fn what_was_spent_is_kept_by_month_model_and_caller() {
    let run = run(json!({ "month": 1 }));
    // By the first name of the price, whatever model it was.
    spend(&run, chat("m", "ada", 100), &usage(1000, 0, 100));
    spend(&run, chat("m-2", "ada", 100), &usage(1000, 0, 50));
    spend(&run, chat("m", "a/b", 100), &usage(1000, 1000, 0));
    spend(&run, chat("free", "ada", 100), &usage(1000, 0, 100));
    assert_eq!(kept("spent/2026-01/1/m/ada").as_deref(), Some("5500"));
    assert_eq!(kept("spent/2026-01/1/m/a/b").as_deref(), Some("1000"));
    assert_eq!(kept("spent/2026-01/4/free/ada"), None);
    testing::advance(Duration::from_secs(31 * 86_400));
    spend(&run, chat("m", "ada", 100), &usage(1000, 0, 100));
    assert_eq!(kept("spent/2026-02/1/m/ada").as_deref(), Some("3000"));
    assert_eq!(kept("spent/2026-01/1/m/ada").as_deref(), Some("5500"));
    testing::advance(Duration::from_secs(15 * 86_400));
    assert_eq!(kept("spent/2026-01/1/m/ada"), None);
}
