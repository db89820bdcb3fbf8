//! What both sides can say comes back as it went.

use proptest::{collection::vec, prelude::*};
use serde_json::{Map, Value, json};
use tollgate_sdk::RawEvent;

use crate::stage::{
    COMPLETIONS, EMBEDDINGS, GENERATE, GENERATE_STREAM, INFER, PREDICTIONS, answered,
    answered_text, asked, begun, data, of_openai, of_seldon, run, sent, to_openai, to_seldon, with,
};

fn text() -> impl Strategy<Value = String> {
    "[a-z\"\\\\\n\\[\\]{}, éß字😀]{0,12}"
}

/// A number as a float's text, in one of the ways to write it.
fn float() -> impl Strategy<Value = String> {
    prop_oneof![
        (-1e30..1e30_f32).prop_map(|number| format!("{number:?}")),
        (-1e300..1e300_f64).prop_map(|number| format!("{number:e}")),
        (-1000..1000_i32, 0..10_u8).prop_map(|(whole, part)| format!("{whole}.{part}0")),
        Just("0.1000000000000000055511151231257827".to_owned()),
        Just("-0.0".to_owned()),
    ]
}

/// The datatype that such an element is known by without being told, and one of them.
fn element() -> impl Strategy<Value = (&'static str, BoxedStrategy<String>)> {
    prop_oneof![
        Just((
            "BOOL",
            any::<bool>().prop_map(|truth| truth.to_string()).boxed()
        )),
        Just((
            "INT64",
            any::<i64>().prop_map(|number| number.to_string()).boxed()
        )),
        Just((
            "UINT64",
            (1_u64 << 63..=u64::MAX)
                .prop_map(|number| number.to_string())
                .boxed()
        )),
        Just(("FP64", float().boxed())),
        Just((
            "BYTES",
            text()
                .prop_map(|text| Value::from(text).to_string())
                .boxed()
        )),
    ]
}

#[derive(Debug, Clone)]
struct Array {
    datatype: &'static str,
    shape: Vec<usize>,
    elements: Vec<String>,
}

fn array() -> impl Strategy<Value = Array> {
    (element(), vec(0..4_usize, 1..4)).prop_flat_map(|((datatype, element), mut shape)| {
        // Arrays cannot say how long the rows are that they do not have.
        if let Some(place) = shape.iter().position(|length| *length == 0) {
            shape.truncate(place + 1);
        }
        let size = shape.iter().product::<usize>();
        vec(element, size).prop_map(move |elements| Array {
            // Nothing tells what is not there.
            datatype: if elements.is_empty() {
                "FP64"
            } else {
                datatype
            },
            shape: shape.clone(),
            elements,
        })
    })
}

impl Array {
    fn flat(&self) -> String {
        format!("[{}]", self.elements.join(","))
    }

    fn nested(&self) -> String {
        fn write(shape: &[usize], elements: &[String]) -> String {
            let Some((length, inner)) = shape.split_first() else {
                return elements[0].clone();
            };
            let size = inner.iter().product::<usize>();
            let rows =
                (0..*length).map(|row| write(inner, &elements[row * size..(row + 1) * size]));
            format!("[{}]", rows.collect::<Vec<_>>().join(","))
        }
        write(&self.shape, &self.elements)
    }

    fn tensor(&self, name: &str) -> String {
        let (datatype, shape) = (self.datatype, Value::from(self.shape.clone()));
        format!(
            r#"{{"name":"{name}","shape":{shape},"datatype":"{datatype}","data":{}}}"#,
            self.flat()
        )
    }
}

fn meta() -> impl Strategy<Value = String> {
    let tag = ("[a-z]{1,5}", any::<i64>());
    let tags = vec(tag, 1..3).prop_map(|tags| {
        let tags: Map<String, Value> = tags
            .into_iter()
            .map(|(name, tag)| (name, tag.into()))
            .collect();
        Value::Object(tags).to_string()
    });
    (
        proptest::option::of("[a-z0-9]{1,8}"),
        proptest::option::of(tags),
    )
        .prop_map(|(puid, tags)| {
            let puid = puid.map(|puid| format!(r#""puid":"{puid}""#));
            let tags = tags.map(|tags| format!(r#""tags":{tags}"#));
            let parts: Vec<String> = puid.into_iter().chain(tags).collect();
            match parts.is_empty() {
                true => String::new(),
                false => format!(r#""meta":{{{}}},"#, parts.join(",")),
            }
        })
}

/// A message of Seldon's, as its text.
fn message() -> impl Strategy<Value = String> {
    let names = vec(text(), 0..4).prop_map(|names| format!(r#""names":{},"#, Value::from(names)));
    let names = prop_oneof![Just(String::new()), names];
    let ndarray = (names, array())
        .prop_map(|(names, array)| format!(r#""data":{{{names}"ndarray":{}}}"#, array.nested()));
    let tensor = vec(0..4_usize, 1..4).prop_flat_map(|shape| {
        let size = shape.iter().product::<usize>();
        vec(float(), size).prop_map(move |elements| {
            let (shape, values) = (Value::from(shape.clone()), elements.join(","));
            format!(r#""data":{{"tensor":{{"shape":{shape},"values":[{values}]}}}}"#)
        })
    });
    let string = text().prop_map(|text| format!(r#""strData":{}"#, Value::from(text)));
    let inner = (text(), float()).prop_map(|(text, float)| {
        format!(r#""jsonData":{{"a": [{float}, {}]}}"#, Value::from(text))
    });
    let data = prop_oneof![
        ndarray,
        tensor,
        string,
        inner,
        Just(r#""binData":"AAEC""#.to_owned())
    ];
    (meta(), data).prop_map(|(meta, data)| format!("{{{meta}{data}}}"))
}

fn words() -> impl Strategy<Value = Vec<String>> {
    vec(text(), 0..5)
}

fn usage_at() -> Value {
    json!({ "input_tokens": { "pointer": "/parameters/in" }, "output_tokens": { "pointer": "/parameters/out" } })
}

fn strict(settings: Value) -> Value {
    let embeddings = json!({ "dimensions": { "parameter": "dim" }, "usage": usage_at() });
    let completions = json!({ "usage": usage_at(), "parameters": { "max_tokens": "max_new_tokens", "temperature": "temperature", "stop": "stop", "seed": "seed" } });
    let settings = with(settings, "/embeddings", &embeddings);
    let settings = with(settings, "/completions", &completions);
    with(settings, "", &json!({ "unsupported": "refuse" }))
}

fn completion() -> impl Strategy<Value = Value> {
    let fields = (
        proptest::option::of(1..9000_u64),
        proptest::option::of((0..=16_u8).prop_map(|part| f64::from(part) / 8.0)),
        proptest::option::of(vec(text(), 1..3)),
        proptest::option::of(any::<i64>()),
        any::<bool>(),
    );
    (text(), fields).prop_map(
        |(prompt, (max_tokens, temperature, stop, seed, is_stream))| {
            let mut body = json!({ "model": "m", "prompt": prompt });
            let mut put = |name: &str, value: Option<Value>| {
                if let Some(value) = value {
                    body[name] = value;
                }
            };
            put("max_tokens", max_tokens.map(Value::from));
            put("seed", seed.map(Value::from));
            put("stop", stop.map(Value::from));
            put("temperature", temperature.map(Value::from));
            if is_stream {
                put("stream", Some(true.into()));
                put("stream_options", Some(json!({ "include_usage": true })));
            }
            body
        },
    )
}

fn vectors() -> impl Strategy<Value = (usize, usize, Vec<String>)> {
    (1..4_usize, 1..5_usize).prop_flat_map(|(count, size)| {
        let number = (-1e30..1e30_f32).prop_map(|number| format!("{number:?}"));
        vec(number, count * size).prop_map(move |numbers| (count, size, numbers))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_message_of_seldon_comes_back_from_v2(message in message()) {
        let there = sent(&run(&of_seldon()), PREDICTIONS, &message);
        prop_assert_eq!(sent(&run(&to_seldon()), INFER, &there), message);
    }

    #[test]
    fn an_answer_of_seldon_comes_back_from_v2(message in message()) {
        let body = json!({ "inputs": [{ "name": "x", "shape": [1], "datatype": "FP32", "data": [1] }] });
        let there = answered_text(&run(&to_seldon()), INFER, &body, &message);
        let asked = json!({ "data": { "ndarray": [1] } });
        prop_assert_eq!(answered_text(&run(&of_seldon()), PREDICTIONS, &asked, &there), message);
    }

    #[test]
    fn a_tensor_comes_back_from_seldon_with_its_shape_type_and_digits(array in array()) {
        let body = format!(r#"{{"inputs":[{}]}}"#, array.tensor("input"));
        let there = sent(&run(&to_seldon()), INFER, &body);
        let plain = with(of_seldon(), "", &json!({ "seldon": { "carry": false } }));
        prop_assert_eq!(sent(&run(&plain), PREDICTIONS, &there), body);
    }

    #[test]
    fn a_tensor_may_be_nested_or_flat(array in array()) {
        let flat = array.tensor("input");
        let nested = flat.replace(&format!("\"data\":{}", array.flat()), &format!("\"data\":{}", array.nested()));
        let of = |tensor: &str| sent(&run(&to_seldon()), INFER, &format!(r#"{{"inputs":[{tensor}]}}"#));
        prop_assert_eq!(of(&nested), of(&flat));
    }

    #[test]
    fn a_ragged_array_is_refused(array in array(), place in any::<prop::sample::Index>()) {
        let rows = *array.shape.first().unwrap();
        prop_assume!(array.shape.len() > 1 && rows > 1);
        let size = array.elements.len() / rows;
        let mut rows: Vec<String> = (0..rows)
            .map(|row| Array { shape: array.shape[1..].to_vec(), elements: array.elements[row * size..(row + 1) * size].to_vec(), ..array.clone() }.nested())
            .collect();
        let place = place.index(rows.len());
        let end = rows[place].rfind(']').unwrap();
        let more = if rows[place].starts_with("[]") { "1" } else { ",[[[[[1]]]]]" };
        rows[place].insert_str(end, more);
        let body = format!(r#"{{"data":{{"ndarray":[{}]}}}}"#, rows.join(","));
        let decided = crate::stage::attempted(&run(&of_seldon()), PREDICTIONS, &body);
        prop_assert_eq!(crate::stage::refused(&decided).0, 400);
    }

    #[test]
    fn a_request_of_embeddings_comes_back_from_tensors(texts in words(), dimensions in proptest::option::of(1..4096_u64)) {
        let mut body = json!({ "model": "m", "input": texts, "encoding_format": "float" });
        if let Some(dimensions) = dimensions {
            body["dimensions"] = dimensions.into();
        }
        let (path, there) = asked(&run(&strict(of_openai())), EMBEDDINGS, &body);
        prop_assert_eq!(asked(&run(&strict(to_openai())), &path, &there).1, body);
    }

    #[test]
    fn tokens_come_back_from_tensors(rows in (1..4_usize, 0..5_usize).prop_flat_map(|(rows, length)| vec(vec(any::<u32>(), length), rows))) {
        let tokens = json!({ "input": { "name": "ids", "datatype": "UINT32", "shape": [-1, -1] } });
        let both = |settings: Value| run(&strict(with(settings, "/embeddings", &tokens)));
        let body = json!({ "model": "m", "input": rows, "encoding_format": "float" });
        let (path, there) = asked(&both(of_openai()), EMBEDDINGS, &body);
        prop_assert_eq!(asked(&both(to_openai()), &path, &there).1, body);
    }

    #[test]
    fn vectors_come_back_from_tensors((count, size, numbers) in vectors(), tokens in any::<u32>()) {
        let texts = vec!["a"; count];
        let rows = numbers.chunks(size).enumerate();
        let rows: Vec<String> = rows.map(|(index, row)| format!(r#"{{"object":"embedding","index":{index},"embedding":[{}]}}"#, row.join(","))).collect();
        let answer = format!(r#"{{"object":"list","data":[{}],"model":"m","usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}}}"#, rows.join(","));
        let body = json!({ "inputs": [{ "name": "text", "shape": [count], "datatype": "BYTES", "data": texts }] });
        let there = answered_text(&run(&strict(to_openai())), INFER, &body, &answer);
        let asked = json!({ "model": "m", "input": texts });
        prop_assert_eq!(answered_text(&run(&strict(of_openai())), EMBEDDINGS, &asked, &there), answer);
    }

    #[test]
    fn base64_is_the_floats_bit_by_bit((count, size, numbers) in vectors()) {
        let tensor = format!(r#"{{"outputs":[{{"name":"embedding","shape":[{count},{size}],"datatype":"FP32","data":[{}]}}]}}"#, numbers.join(","));
        let asked = json!({ "model": "m", "input": vec!["a"; count], "encoding_format": "base64" });
        let answer = answered_text(&run(&of_openai()), EMBEDDINGS, &asked, &tensor);
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let told: Vec<f32> = (0..count).flat_map(|row| floats(answer["data"][row]["embedding"].as_str().unwrap())).collect();
        let said: Vec<f32> = numbers.iter().map(|number| number.parse().unwrap()).collect();
        prop_assert_eq!(told, said);
    }

    #[test]
    fn a_request_of_a_completion_comes_back_from_a_text(body in completion()) {
        let (path, there) = asked(&run(&strict(of_openai())), COMPLETIONS, &body);
        prop_assert_eq!(asked(&run(&strict(to_openai())), &path, &there).1, body);
    }

    #[test]
    fn a_completion_comes_back_from_a_text(text in text(), length: bool, tokens in any::<(u32, u32)>()) {
        let reason = if length { "length" } else { "stop" };
        let usage = json!({ "prompt_tokens": tokens.0, "completion_tokens": tokens.1, "total_tokens": u64::from(tokens.0) + u64::from(tokens.1) });
        let answer = json!({ "choices": [{ "text": text, "index": 0, "logprobs": null, "finish_reason": reason }], "usage": usage });
        let there = answered(&run(&strict(to_openai())), GENERATE, &json!({ "text_input": "a" }), &answer);
        let back = answered(&run(&strict(of_openai())), COMPLETIONS, &json!({ "model": "m", "prompt": "a" }), &there);
        prop_assert_eq!(&back["choices"], &answer["choices"]);
        prop_assert_eq!(&back["usage"], &answer["usage"]);
    }

    #[test]
    fn a_stream_comes_back_from_v2_in_any_batches(pieces in vec(text(), 0..6), length: bool, sizes in vec(1..4_usize, 1..4)) {
        let reason = if length { "length" } else { "stop" };
        let choice = |text: &str, reason: Value| json!({ "choices": [{ "text": text, "index": 0, "logprobs": null, "finish_reason": reason }] });
        let mut said: Vec<Value> = pieces.iter().map(|text| choice(text, Value::Null)).collect();
        said.push(choice("", reason.into()));
        said.push(json!({ "choices": [], "usage": { "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7 } }));
        let mut said: Vec<RawEvent> = said.iter().map(RawEvent::json).collect();
        said.push(RawEvent::done());
        let there = in_batches(&to_openai(), GENERATE_STREAM, &json!({ "text_input": "a" }), &said, &sizes);
        let asked = json!({ "model": "m", "prompt": "a", "stream": true, "stream_options": { "include_usage": true } });
        let back = data(&in_batches(&of_openai(), COMPLETIONS, &asked, &there, &sizes));
        let texts: String = back.iter().filter_map(|chunk| chunk.pointer("/choices/0/text")?.as_str()).collect();
        prop_assert_eq!(texts, pieces.concat());
        let marks: Vec<_> = back.iter().filter(|chunk| *chunk == "[DONE]").collect();
        prop_assert_eq!(marks.len(), 1);
        let [.., finish, usage, mark] = back.as_slice() else { panic!("{back:?}") };
        prop_assert_eq!(mark, "[DONE]");
        prop_assert_eq!(&finish["choices"][0]["finish_reason"], reason);
        prop_assert_eq!(&usage["usage"]["total_tokens"], 7);
    }
}

fn in_batches(
    settings: &Value,
    path: &str,
    body: &Value,
    events: &[RawEvent],
    sizes: &[usize],
) -> Vec<RawEvent> {
    let mut session = begun(&run(&strict(settings.clone())), path, body);
    let (mut rest, mut sizes) = (events, sizes.iter().cycle());
    let mut sent = Vec::new();
    while !rest.is_empty() {
        let (batch, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        let said = session.events(batch.to_vec());
        assert!(!said.ended, "{:?}", said.events);
        sent.extend(said.events);
        rest = after;
    }
    sent.extend(session.end().events);
    sent
}

/// What a client makes of base64.
fn floats(text: &str) -> Vec<f32> {
    let value = |letter: u8| match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let letters = text.trim_end_matches('=').bytes();
    let bits = letters.flat_map(|letter| (0..6).rev().map(move |bit| value(letter) >> bit & 1));
    let bits: Vec<u8> = bits.collect();
    let byte = |bits: &[u8]| bits.iter().fold(0_u8, |byte, bit| byte << 1 | bit);
    let bytes: Vec<u8> = bits.chunks_exact(8).map(byte).collect();
    let float = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
    bytes.chunks_exact(4).map(float).collect()
}
