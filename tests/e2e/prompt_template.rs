//! `prompt-template` on real traffic: what the operator wrote is what the model is sent.

use serde_json::{Value, json};

use crate::{
    client::Ask,
    fixture::{Site, chat_through, either_way},
};

const TEMPLATES: &str = r#"templates: [
      { name: support, version: "2",
        variables: {
          question: { type: string, max_length: 100 },
          tone: { type: enum, values: [ plain, warm ], default: plain },
          stars: { type: integer, min: 1, max: 5, default: 3 },
          locale: { type: string, max_length: 5, default: en, from: { header: x-locale } } },
        messages: [
          { role: system, content: "{{tone}} {{stars}} {{locale}} {{{{tone}}" },
          { role: user, content: "Q: {{question}}" } ],
        set: { model: small, temperature: 0.5, max_tokens: 9 } },
      { name: support, version: "1", messages: [ { role: user, content: "first" } ], own_messages: append },
      { name: whose, variables: { who: { type: string, from: { fact: caller } } },
        messages: [ { role: user, content: "{{who}}" } ] } ]"#;

fn templated(isolation: &str, more: &str) -> String {
    let policy = format!(
        "\n  prompts: {{ plugin: prompt-template, on_error: refuse, isolation: {isolation}, settings: {{ {more}, {TEMPLATES} }} }}"
    );
    chat_through("prompts", &policy)
}

fn asking(site: &Site, asked: Value) -> Ask {
    site.ask("POST", "/v1/chat/completions")
        .json(json!({ "model": "other", "user": "ada", "prompt_template": asked }))
}

fn sent(site: &Site) -> Value {
    site.standin.seen().newest().unwrap().json()
}

#[test]
fn a_named_template_is_filled_and_what_named_it_goes_no_further() {
    either_way(async |isolation| {
        let site = Site::start(&templated(isolation, "without_template: pass")).await;
        let variables = json!({ "question": "a \"b\"\n{{tone}} é", "tone": "warm", "stars": 5 });
        let ask = asking(&site, json!({ "name": "support", "variables": variables }));
        let answer = ask.clone().header("x-locale", "de").send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let expected = json!({
            "model": "small",
            "user": "ada",
            "messages": [
                { "role": "system", "content": "warm 5 de {{tone}}" },
                { "role": "user", "content": "Q: a \"b\"\n{{tone}} é" },
            ],
            "temperature": 0.5,
            "max_tokens": 9,
        });
        assert_eq!(sent(&site), expected, "{isolation}");
        let stream = ask.set("stream", true).stream().await.collect().await;
        assert!(stream.is_complete(), "{isolation}");
        let filled = r#"tollgate_plugin_filled{policy="prompts",template="support"}"#;
        site.metric_becomes(filled, 2.0).await;
        let exchanges = site.exchanges(2).await;
        assert_eq!(exchanges[0]["facts"]["prompt_template"], "support@2");
    });
}

#[test]
fn a_template_that_pins_the_model_needs_none_in_the_request() {
    either_way(async |isolation| {
        let site = Site::start(&templated(isolation, "without_template: refuse")).await;
        let asked = json!({ "name": "support", "variables": { "question": "?" } });
        let ask = site.ask("POST", "/v1/chat/completions");
        let answer = ask.json(json!({ "prompt_template": asked })).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(sent(&site)["model"], "small");
    });
}

#[test]
fn a_version_is_named_by_field_or_header_and_own_messages_come_after() {
    either_way(async |isolation| {
        let settings = "without_template: pass, header: x-template";
        let site = Site::start(&templated(isolation, settings)).await;
        let own = json!([{ "role": "user", "content": "{{mine}}" }]);
        let both = json!([{ "role": "user", "content": "first" }, own[0]]);
        let by_field = asking(&site, json!({ "name": "support", "version": "1" }));
        let by_header = site.chat().header("x-template", "support@1");
        for ask in [by_field.set("model", "small"), by_header] {
            let answer = ask.set("messages", own.clone()).send().await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let seen = site.standin.seen();
            let newest = seen.newest().unwrap();
            assert_eq!(newest.json()["messages"], both, "{isolation}");
            assert_eq!(newest.json().get("prompt_template"), None);
        }
    });
}

#[test]
fn a_refusal_names_the_template_or_the_variable_and_nothing_is_sent() {
    let cases = [
        (
            json!({ "name": "nobody" }),
            404,
            "prompt_template_not_found",
            "there is no template `nobody`.",
        ),
        (
            json!({ "name": "support", "version": "3" }),
            404,
            "prompt_template_not_found",
            "the template `support` has no version `3`.",
        ),
        (
            json!({ "name": "support" }),
            400,
            "invalid_prompt_variable",
            "the variable `question` of `support@2`: expected a text of at most 100 characters, found nothing.",
        ),
        (
            json!({ "name": "support", "variables": { "question": "?", "stars": 6 } }),
            400,
            "invalid_prompt_variable",
            "the variable `stars` of `support@2`: expected a whole number from 1 to 5, found 6.",
        ),
        (
            json!({ "name": "support", "variables": { "question": "?", "locale": "de" } }),
            400,
            "invalid_prompt_variable",
            "`support@2` has no variable `locale`: expected `question`, `stars`, `tone`.",
        ),
        (
            json!({ "name": "whose" }),
            403,
            "invalid_prompt_variable",
            "the variable `who` (the fact `caller`) of `whose`: expected",
        ),
        (
            json!("support"),
            400,
            "invalid_prompt_template",
            "`prompt_template`: expected an object",
        ),
    ];
    either_way(async |isolation| {
        let site = Site::start(&templated(isolation, "without_template: pass")).await;
        for (asked, status, code, says) in &cases {
            let answer = asking(&site, asked.clone()).send().await;
            assert_eq!(answer.refusal(), (*status, (*code).to_owned()), "{asked}");
            let message = answer.json()["error"]["message"]
                .as_str()
                .unwrap()
                .to_owned();
            let starts = format!("prompt-template: {says}");
            assert!(message.starts_with(&starts), "{message}");
        }
        assert_eq!(site.standin.seen().requests, 0);
    });
}

#[test]
fn a_request_without_a_template_passes_byte_for_byte_or_is_refused() {
    let body = "{ \"model\" :\t\"small\", \"messages\": [ ] , \"x\": 1.50 }";
    either_way(async |isolation| {
        let site = Site::start(&templated(isolation, "without_template: pass")).await;
        let ask = site.ask("POST", "/v1/chat/completions");
        let ask = ask.header("content-type", "application/json").body(body);
        assert_eq!(ask.send().await.status, 200);
        assert_eq!(site.standin.seen().newest().unwrap().body, body);
        site.reconfigure(&templated(isolation, "without_template: refuse"))
            .await;
        let refused = site.chat().send().await;
        assert_eq!(
            refused.refusal(),
            (400, "prompt_template_required".to_owned())
        );
        assert_eq!(site.standin.seen().requests, 1);
    });
}

#[tokio::test]
async fn a_prompt_that_grows_too_long_is_the_clients_fault_and_no_trap() {
    let policy = r#"
  prompts: { plugin: prompt-template, on_error: refuse, settings: { without_template: pass, templates: [
    { name: long, variables: { a: { type: string, max_length: 400000 } },
      messages: [ { role: user, content: "{{a}}{{a}}{{a}}{{a}}{{a}}{{a}}{{a}}{{a}}" } ] } ] } }"#;
    let site = Site::start(&chat_through("prompts", policy)).await;
    let of = |length: usize| {
        let variables = json!({ "a": "x".repeat(length) });
        asking(&site, json!({ "name": "long", "variables": variables })).set("model", "small")
    };
    for _ in 0..20 {
        let answer = of(400_000).send().await;
        assert_eq!(
            answer.refusal(),
            (400, "invalid_prompt_variable".to_owned())
        );
    }
    let answer = of(60_000).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        sent(&site)["messages"][0]["content"].as_str().map(str::len),
        Some(480_000)
    );
}
