use tollgate_testkit::Loaded;

use super::*;

fn dialect(isolation: Isolation, client: &str) -> Loaded {
    let plugin = standard("anthropic").isolation(isolation);
    plugin.settings(json!({ "client": client })).load().unwrap()
}

fn translated(run: &Run) -> bool {
    matches!(run.attempt_verdict, Some(Verdict::Next))
}

fn answered(run: &mut Run) -> Value {
    let body = run.response.as_mut().unwrap().take_body().unwrap();
    serde_json::from_slice(&body).unwrap()
}

fn message() -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "inner",
        "content": [{ "type": "text", "text": "Hallo, 😀" }, { "type": "tool_use", "id": "t", "name": "look", "input": { "x": 1 } }],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": { "input_tokens": 5, "cache_read_input_tokens": 100, "output_tokens": 3 },
    })
}

fn completion() -> Value {
    let call = json!({ "id": "t", "type": "function", "function": { "name": "look", "arguments": "{\"x\":1}" } });
    json!({
        "id": "c", "object": "chat.completion", "created": 1, "model": "inner",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": "Hallo, 😀", "tool_calls": [call] }, "finish_reason": "tool_calls" }],
        "usage": { "prompt_tokens": 105, "completion_tokens": 3, "total_tokens": 108, "prompt_tokens_details": { "cached_tokens": 100 } },
    })
}

#[test]
fn a_chat_becomes_a_message_and_its_answer_a_chat() {
    for isolation in ISOLATIONS {
        let policy = dialect(isolation, "openai");
        let mut run = policy.run(chat("Hello").answered(200, &message())).unwrap();
        assert!(translated(&run), "{:?}", run.attempt_verdict);
        assert_eq!(run.request.path, "/v1/messages");
        let said = answered(&mut run);
        let choice = &said["choices"][0];
        assert_eq!(
            (&choice["message"]["content"], &choice["finish_reason"]),
            (&json!("Hallo, 😀"), &json!("tool_calls"))
        );
        assert_eq!(said["usage"], completion()["usage"]);
        assert_eq!(sent(run)["max_tokens"], 4096);
    }
}

#[test]
fn a_message_becomes_a_chat_and_its_answer_a_message() {
    for isolation in ISOLATIONS {
        let policy = dialect(isolation, "anthropic");
        let body = json!({ "model": "small", "max_tokens": 9, "system": "Be brief.", "messages": [{ "role": "user", "content": "Hello" }] });
        let exchange = Exchange::post("/v1/messages").json(body);
        let mut run = policy.run(exchange.answered(200, &completion())).unwrap();
        assert!(translated(&run), "{:?}", run.attempt_verdict);
        assert_eq!(run.request.path, "/v1/chat/completions");
        let said = answered(&mut run);
        assert_eq!(said["content"], message()["content"]);
        assert_eq!(
            (
                &said["stop_reason"],
                &said["usage"]["cache_read_input_tokens"]
            ),
            (&json!("tool_use"), &json!(100))
        );
        assert_eq!(sent(run)["messages"][0]["content"], "Be brief.");
    }
}

#[test]
fn a_stream_is_translated_whatever_is_ready_together() {
    let events = [
        json!({ "type": "message_start", "message": { "id": "m", "model": "inner", "usage": { "input_tokens": 5, "output_tokens": 1 } } }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "Hallo, " } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "😀" } }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": null }, "usage": { "output_tokens": 3 } }),
        json!({ "type": "message_stop" }),
    ]
    .map(|event| event.to_string());
    let text = |events: &[String]| -> String {
        let chunks = events
            .iter()
            .filter_map(|event| serde_json::from_str::<Value>(event).ok());
        chunks
            .filter_map(|chunk| Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned()))
            .collect()
    };
    for isolation in ISOLATIONS {
        let policy = dialect(isolation, "openai");
        for size in 1..=events.len() {
            let exchange = asking(
                &json!({ "stream": true, "messages": [{ "role": "user", "content": "Hello" }] }),
            );
            let exchange = events.chunks(size).fold(exchange, |exchange, batch| {
                exchange.streamed(&batch.iter().map(String::as_str).collect::<Vec<_>>())
            });
            let run = policy.run(exchange).unwrap();
            assert_eq!(text(&run.events), "Hallo, 😀", "{size} at once");
            assert_eq!(run.events.last().map(String::as_str), Some("[DONE]"));
        }
        // Without its end it is told as broken.
        let exchange = asking(
            &json!({ "stream": true, "messages": [{ "role": "user", "content": "Hello" }] }),
        );
        let cut: Vec<&str> = events[..6].iter().map(String::as_str).collect();
        let run = policy.run(exchange.streamed(&cut)).unwrap();
        assert!(
            run.events.last().unwrap().contains("message_stop"),
            "{:?}",
            run.events
        );
        assert!(!run.events.contains(&"[DONE]".to_owned()));
    }
}

#[test]
fn what_is_deep_or_large_stays_within_the_bounds() {
    let deep = |depth: usize| -> Value { (0..depth).fold(json!(1), |inner, _| json!([inner])) };
    for isolation in ISOLATIONS {
        for client in ["openai", "anthropic"] {
            let policy = dialect(isolation, client);
            let path = ["/v1/chat/completions", "/v1/messages"][usize::from(client == "anthropic")];
            let body = |extra: Value| json!({ "model": "small", "max_tokens": 9, "messages": [{ "role": "user", "content": "x" }], "metadata": extra });
            let run = policy
                .run(Exchange::post(path).json(body(deep(100))))
                .unwrap();
            match &run.attempt_verdict {
                Some(Verdict::Refuse(refusal)) => assert_eq!(refusal.status, 400),
                Some(Verdict::Reply(answer)) => assert_eq!(answer.status, 400),
                other => panic!("{client}: {other:?}"),
            }
            let long = json!({ "model": "small", "max_tokens": 9, "messages": [{ "role": "user", "content": "word ".repeat(200_000) }] });
            let run = policy.run(Exchange::post(path).json(long)).unwrap();
            assert!(translated(&run), "{client}: {:?}", run.attempt_verdict);
            assert!(run.report.memory_bytes <= 16 << 20, "{}", run.report);
        }
    }
}
