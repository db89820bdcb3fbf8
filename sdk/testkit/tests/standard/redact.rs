use tollgate_testkit::Loaded;

use super::*;

fn private(isolation: Isolation, settings: Value) -> Loaded {
    let plugin = standard("redact").isolation(isolation);
    plugin.settings(settings).load().unwrap()
}

const SECRETS: &str = "Pay 4111 1111 1111 1111 or ask ada@example.com.";
const CLEANED: &str = "Pay [CARD] or ask [EMAIL].";

#[test]
fn requests_and_answers_lose_their_secrets() {
    for isolation in ISOLATIONS {
        let policy = private(isolation, json!({}));
        let answer = json!({ "choices": [{ "message": { "content": SECRETS }, "index": 0 }] });
        let mut run = policy.run(chat(SECRETS).answered(200, &answer)).unwrap();
        assert!(is_let_through(&run), "{:?}", run.verdict);
        let body = run.response.as_mut().unwrap().take_body().unwrap();
        let told: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(told["choices"][0]["message"]["content"], CLEANED);
        assert_eq!(sent(run)["messages"][0]["content"], CLEANED);
    }
}

#[test]
fn a_stream_loses_its_secrets_wherever_it_is_split_and_only_what_may_be_one_waits() {
    let piece = |text: &str| {
        json!({ "choices": [{ "index": 0, "delta": { "content": text } }] }).to_string()
    };
    let text = |events: &[String]| -> String {
        let events = events
            .iter()
            .map(|event| serde_json::from_str::<Value>(event).unwrap());
        events
            .filter_map(|event| Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned()))
            .collect()
    };
    for isolation in ISOLATIONS {
        let policy = private(isolation, json!({}));
        for at in 0..=SECRETS.len() {
            let (one, other) = SECRETS.split_at(at);
            let finish =
                json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }] });
            let exchange = asking(&json!({ "stream": true }))
                .streamed(&[&piece(one)])
                .streamed(&[&piece(other)])
                .streamed(&[&finish.to_string()]);
            let run = policy.run(exchange).unwrap();
            assert_eq!(text(&run.events), CLEANED, "split at {at}");
        }
        // Of a stream that only begins, all but its last word is there.
        let begun = "It was the best of times. ";
        let exchange = asking(&json!({ "stream": true }));
        let run = policy
            .run(exchange.streamed(&[&piece(begun)]).streamed(&[]))
            .unwrap();
        assert_eq!(text(&run.events), begun);
    }
}

#[test]
fn a_request_with_a_secret_is_refused_where_that_is_said() {
    for isolation in ISOLATIONS {
        let policy = private(isolation, json!({ "request": "refuse" }));
        let run = policy.run(chat(SECRETS)).unwrap();
        let Some(Verdict::Refuse(refusal)) = run.verdict else {
            panic!("{:?}", run.verdict)
        };
        assert_eq!((refusal.status, &*refusal.code), (400, "sensitive_data"));
        assert!(is_let_through(
            &policy.run(chat("Nothing to see.")).unwrap()
        ));
    }
}
