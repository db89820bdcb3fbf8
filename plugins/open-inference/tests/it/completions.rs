//! Completions of an OpenAI client, asked of a text or of a tensor.

use serde_json::{Value, json};
use tollgate_sdk::testing::counted;

use crate::stage::{COMPLETIONS, answered, asked, attempted, of_openai, refused, run, with};

fn body(prompt: Value) -> Value {
    json!({ "model": "m", "prompt": prompt })
}

fn tensors(more: &Value) -> Value {
    let settings = with(of_openai(), "/completions", &json!({ "body": "tensors" }));
    with(settings, "/completions", more)
}

#[test]
fn a_prompt_is_a_text_and_the_fields_of_the_protocol_are_its_parameters() {
    let mut asking = body(json!("Say \"é\"."));
    let fields = json!({ "max_tokens": 9, "temperature": 0.10, "stop": ["\n"], "top_p": null, "n": 1, "echo": false, "logit_bias": {} });
    asking = with(asking, "", &fields);
    let (path, sent) = asked(&run(&of_openai()), COMPLETIONS, &asking);
    assert_eq!(path, "/v2/models/m/generate");
    let parameters = json!({ "max_tokens": 9, "temperature": 0.1, "stop": ["\n"] });
    assert_eq!(
        sent,
        json!({ "text_input": "Say \"é\".", "parameters": parameters })
    );
    assert_eq!(counted("dropped"), 0);
    let (_, sent) = asked(&run(&of_openai()), COMPLETIONS, &body(json!(["one"])));
    assert_eq!(sent, json!({ "text_input": "one" }));
}

#[test]
fn parameters_are_called_what_the_settings_call_them_and_fixed_ones_stand_above() {
    let mapping = json!({ "parameters": { "max_tokens": "max_new_tokens", "seed": "random_seed" }, "fixed": { "random_seed": 7, "stream": false } });
    let run = run(&with(of_openai(), "/completions", &mapping));
    let asking = with(
        body(json!("a")),
        "",
        &json!({ "max_tokens": 5, "seed": 1, "temperature": 1 }),
    );
    let (_, sent) = asked(&run, COMPLETIONS, &asking);
    assert_eq!(
        sent["parameters"],
        json!({ "max_new_tokens": 5, "random_seed": 7, "stream": false })
    );
    assert_eq!(counted("dropped"), 1, "temperature has no counterpart here");
}

#[test]
fn tritons_vllm_is_told_whether_to_stream_and_of_its_own_tensors() {
    let mapping = json!({ "parameters": { "stream": "stream" }, "extra": { "exclude_input_in_output": true } });
    let both = [of_openai(), crate::stage::to_openai()].map(|side| {
        let strict = json!({ "unsupported": "refuse" });
        run(&with(with(side, "/completions", &mapping), "", &strict))
    });
    for is_stream in [false, true] {
        let mut asking = body(json!("a"));
        if is_stream {
            let more = json!({ "stream": true, "stream_options": { "include_usage": true } });
            asking = with(asking, "", &more);
        }
        let (path, sent) = asked(&both[0], COMPLETIONS, &asking);
        assert_eq!(
            sent,
            json!({ "text_input": "a", "exclude_input_in_output": true, "parameters": { "stream": is_stream } })
        );
        assert_eq!(asked(&both[1], &path, &sent).1, asking, "and back");
    }
}

#[test]
fn several_prompts_are_one_tensor_and_cannot_be_one_text() {
    let prompts = body(json!(["a", "b"]));
    let (status, message) = refused(&attempted(
        &run(&of_openai()),
        COMPLETIONS,
        &prompts.to_string(),
    ));
    assert_eq!(status, 400);
    assert!(
        message.contains("`prompt[1]`: there is no such thing"),
        "{message}"
    );
    let settings = tensors(&json!({ "input": { "name": "prompt" }, "output": "text" }));
    let (path, sent) = asked(&run(&settings), COMPLETIONS, &prompts);
    assert_eq!(path, "/v2/models/m/infer");
    let input = json!({ "name": "prompt", "shape": [2], "datatype": "BYTES", "data": ["a", "b"] });
    assert_eq!(
        sent,
        json!({ "inputs": [input], "outputs": [{ "name": "text" }] })
    );
}

#[test]
fn a_stream_is_asked_of_generate_stream() {
    let asking = with(body(json!("a")), "", &json!({ "stream": true }));
    for settings in [of_openai(), tensors(&json!({}))] {
        let (path, sent) = asked(&run(&settings), COMPLETIONS, &asking);
        assert_eq!(path, "/v2/models/m/generate_stream");
        assert_eq!(sent.get("stream"), None);
    }
}

#[test]
fn a_stream_of_many_prompts_is_refused() {
    let settings = tensors(&json!({}));
    let mut reverse = with(
        crate::stage::to_openai(),
        "/completions",
        &json!({ "body": "tensors" }),
    );
    reverse.as_object_mut().unwrap().remove("embeddings");
    for count in [64, 65] {
        let prompts = vec!["a"; count];
        let asking = with(body(json!(prompts)), "", &json!({ "stream": true }));
        let decided = attempted(&run(&settings), COMPLETIONS, &asking.to_string());
        assert_eq!(decided.is_next(), count == 64);
        let tensor =
            json!({ "name": "text_input", "shape": [count], "datatype": "BYTES", "data": prompts });
        let asking = json!({ "inputs": [tensor] }).to_string();
        let decided = attempted(&run(&reverse), crate::stage::GENERATE_STREAM, &asking);
        assert_eq!(decided.is_next(), count == 64);
    }
}

#[test]
fn a_text_is_answered_as_a_completion() {
    let usage = json!({ "usage": { "input_tokens": { "pointer": "/parameters/in" }, "output_tokens": { "pointer": "/details/generated_tokens" } } });
    let run = run(&with(of_openai(), "/completions", &usage));
    let said = json!({ "model_name": "other", "model_version": "1", "text_output": " \"hi\"", "parameters": { "in": 3 }, "details": { "finish_reason": "length", "generated_tokens": 4 } });
    let mut answer = answered(&run, COMPLETIONS, &body(json!("a")), &said);
    let id = answer["id"].take();
    assert!(
        id.as_str()
            .is_some_and(|id| id.starts_with("cmpl-") && id.len() == 37)
    );
    let choice =
        json!({ "text": " \"hi\"", "index": 0, "logprobs": null, "finish_reason": "length" });
    assert_eq!(
        answer,
        json!({
            "id": null, "object": "text_completion", "created": 1_767_225_600, "model": "m", "choices": [choice],
            "usage": { "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7 },
        })
    );
}

#[test]
fn why_it_ended_is_said_in_openais_words() {
    for (said, told) in [
        ("length", "length"),
        ("eos_token", "stop"),
        ("stop_sequence", "stop"),
        ("new", "stop"),
    ] {
        let said = json!({ "text_output": "", "details": { "finish_reason": said } });
        let answer = answered(&run(&of_openai()), COMPLETIONS, &body(json!("a")), &said);
        assert_eq!(answer["choices"][0]["finish_reason"], told);
    }
    let answer = answered(
        &run(&of_openai()),
        COMPLETIONS,
        &body(json!("a")),
        &json!({ "text_output": "" }),
    );
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer.get("usage"), None);
}

#[test]
fn texts_of_a_tensor_are_choices_in_the_order_of_the_prompts() {
    let said = json!({ "outputs": [{ "name": "text_output", "datatype": "BYTES", "shape": [2, 1], "data": [["x"], ["y"]] }] });
    let answer = answered(
        &run(&tensors(&json!({}))),
        COMPLETIONS,
        &body(json!(["a", "b"])),
        &said,
    );
    let texts: Vec<_> = (0..2).map(|place| &answer["choices"][place]).collect();
    assert_eq!(
        (&texts[0]["text"], &texts[0]["index"]),
        (&json!("x"), &json!(0))
    );
    assert_eq!(
        (&texts[1]["text"], &texts[1]["index"]),
        (&json!("y"), &json!(1))
    );
}

#[test]
fn what_is_no_completion_is_refused_with_the_place() {
    let run = run(&of_openai());
    for (body, says) in [
        (
            json!({ "model": "m" }),
            "`prompt`: expected a string or an array",
        ),
        (body(json!([1, 2])), "`prompt`: expected strings (BYTES)"),
        (body(json!([])), "`prompt`: expected a string"),
        (
            json!({ "model": "m", "prompt": "a", "stream": 1 }),
            "`stream`: expected a boolean",
        ),
        (
            json!({ "model": "m", "prompt": "a", "stream_options": [] }),
            "`stream_options`: expected an object",
        ),
    ] {
        let (status, message) = refused(&attempted(&run, COMPLETIONS, &body.to_string()));
        assert!(status == 400 && message.contains(says), "{message}");
    }
}
