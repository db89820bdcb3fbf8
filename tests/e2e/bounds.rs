//! What a client could make long, and every policy would be handed.

use crate::{
    fixture::{Site, chat_through, either_way, probing},
    framing::TIGHT,
};

#[test]
fn a_name_as_long_as_a_body_reaches_no_policy_and_quarantines_none() {
    either_way(async |isolation| {
        let policies = format!(
            r#"
  probe: {{ PROBE, on_error: refuse, isolation: {isolation}, limits: {{ memory: 2MiB }} }}
  guard: {{ plugin: schema-guard, on_error: refuse, isolation: {isolation}, settings: {{ other_models: allow, rules: [ {{ models: [ other ] }} ] }} }}"#
        );
        // For the route alone the model is read, and then all of the body.
        let site = Site::start(&chat_through("probe", &policies)).await;
        for order in ["probe", "probe, guard"] {
            site.write_config(&chat_through(order, &policies));
            site.gateway.reload().await.unwrap();
            let named = |bytes| site.chat().set("model", "m".repeat(bytes));
            for _ in 0..40 {
                for bytes in [1025, 3 << 20] {
                    let answer = named(bytes).send().await;
                    assert_eq!(answer.refusal(), (400, "model_name_too_long".to_owned()));
                    assert!(answer.body.len() < 500, "{} bytes", answer.body.len());
                }
            }
            site.metric_becomes("tollgate_policy_errors_total", 0.0)
                .await;
            site.metric_becomes("tollgate_policy_quarantined", 0.0)
                .await;
            let longest = named(1024).send().await;
            assert_eq!(longest.refusal(), (404, "model_not_found".to_owned()));
            assert_eq!(site.chat().send().await.status, 200, "{order}");
        }
        assert_eq!(site.standin.seen().requests, 2);
    });
}

#[tokio::test]
async fn a_long_method_or_query_is_as_bad_as_a_long_header() {
    let site = Site::start(&format!("{}{TIGHT}", probing(""))).await;
    let query = format!("/v1/chat/completions?{}", "q".repeat(9000));
    let method = "M".repeat(9000);
    for (method, path) in [("POST", &*query), (&method, "/v1/models")] {
        let answer = site.ask(method, path).send().await;
        assert_eq!(answer.refusal(), (431, "headers_too_large".to_owned()));
    }
    assert_eq!(site.standin.seen().requests, 0);
}
