//! What a policy decided, as a case says it.

use serde_json::{Map, Value, json};
use tollgate_sandbox::contract::{
    Answer, CacheKind, CachePlan, Destination, Edit, Endpoint, Event, Header, Value as Json,
    Verdict,
};

pub(crate) fn verdict(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Next => json!("next"),
        Verdict::GoTo(to) => json!({ "go_to": destination(to) }),
        Verdict::Reply(reply) => json!({ "reply": answer(reply) }),
        Verdict::Refuse(refusal) => {
            let mut map = Map::new();
            map.insert("status".to_owned(), json!(refusal.status));
            map.insert("code".to_owned(), json!(refusal.code));
            map.insert("message".to_owned(), json!(refusal.message));
            if let Some(pause) = refusal.retry_after_ms {
                map.insert("retry_after_ms".to_owned(), json!(pause));
            }
            json!({ "refuse": map })
        }
    }
}

pub(crate) fn destination(to: &Destination) -> Value {
    let parts = [("model", &to.model), ("upstream", &to.upstream)];
    let parts = parts
        .into_iter()
        .filter_map(|(key, part)| Some((key.to_owned(), json!(part.as_ref()?))));
    Value::Object(parts.collect())
}

/// By address.
pub(crate) fn scores(endpoints: &[Endpoint], scores: &[f64]) -> Value {
    let each = endpoints.iter().zip(scores);
    let each = each.map(|(endpoint, score)| (endpoint.address.clone(), json!(score)));
    Value::Object(each.collect())
}

/// The addresses that the gateway chooses from: the highest score wins, and one that failed in
/// the exchange is asked only where there is no other.
pub(crate) fn picks(endpoints: &[Endpoint], scores: &[f64]) -> Value {
    let is_left = endpoints.iter().any(|endpoint| !endpoint.tried);
    let each = || {
        let each = endpoints.iter().zip(scores);
        each.filter(move |(endpoint, _)| !(is_left && endpoint.tried))
    };
    let best = each().map(|(_, score)| *score).reduce(f64::max);
    let picked = each().filter(|(_, score)| Some(**score) == best);
    picked
        .map(|(endpoint, _)| endpoint.address.as_str())
        .collect()
}

fn answer(answer: &Answer) -> Value {
    let mut map = Map::new();
    map.insert("status".to_owned(), json!(answer.status));
    if !answer.headers.is_empty() {
        let headers = answer.headers.iter().map(header);
        map.insert("headers".to_owned(), headers.collect());
    }
    let body = body(&answer.body);
    let key = if body.is_string() { "body" } else { "json" };
    map.insert(key.to_owned(), body);
    Value::Object(map)
}

pub(crate) fn edit(edit: &Edit) -> Value {
    match edit {
        Edit::SetHeader(set) => json!({ "set_header": header(set) }),
        Edit::AppendHeader(append) => json!({ "append_header": header(append) }),
        Edit::RemoveHeader(name) => json!({ "remove_header": name }),
        Edit::SetJson((pointer, value)) => {
            json!({ "set_json": { pointer.as_str(): self::value(value) } })
        }
        Edit::RemoveJson(pointer) => json!({ "remove_json": pointer }),
        Edit::ReplaceBody(bytes) => json!({ "replace_body": body(bytes) }),
        Edit::SetFact((name, value)) => json!({ "set_fact": { name.as_str(): value } }),
        Edit::SetMethod(method) => json!({ "set_method": method }),
        Edit::SetPath(path) => json!({ "set_path": path }),
        Edit::SetStatus(status) => json!({ "set_status": status }),
    }
}

fn header(header: &Header) -> Value {
    json!({ header.name.as_str(): String::from_utf8_lossy(&header.value) })
}

fn value(value: &Json) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Boolean(is) => json!(is),
        Json::Number(number) => json!(number),
        Json::Text(text) => json!(text),
        Json::Json(text) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
    }
}

/// An object or list as such, any other text as text.
fn body(bytes: &[u8]) -> Value {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(json @ (Value::Object(_) | Value::Array(_))) => json,
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => json!(text),
            Err(_) => json!(format!("({} bytes that are no text)", bytes.len())),
        },
    }
}

pub(crate) fn event(event: &Event) -> Value {
    let mut map = Map::new();
    if let Some(name) = &event.name {
        map.insert("name".to_owned(), json!(name));
    }
    map.insert("data".to_owned(), body(&event.data));
    Value::Object(map)
}

pub(crate) fn plan(plan: &CachePlan) -> Value {
    let kind = match plan.kind {
        CacheKind::AsItCame => "as_it_came",
        CacheKind::ChatCompletion => "chat_completion",
    };
    let mut map = Map::new();
    map.insert("key".to_owned(), body(&plan.key));
    map.insert("kind".to_owned(), json!(kind));
    map.insert("ttl_ms".to_owned(), json!(plan.ttl_ms));
    map.insert("look_up".to_owned(), json!(plan.look_up));
    map.insert("store".to_owned(), json!(plan.store));
    if let Some(age) = plan.max_age_ms {
        map.insert("max_age_ms".to_owned(), json!(age));
    }
    if plan.stream_usage {
        map.insert("stream_usage".to_owned(), json!(true));
    }
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_picked_and_those_that_failed_only_where_there_is_no_other() {
        let endpoint = |address: &str, tried| Endpoint {
            address: address.to_owned(),
            weight: 1,
            in_flight: 0,
            latency_ms: None,
            running: None,
            waiting: None,
            cache_use: None,
            tried,
        };
        let three = |tried: [bool; 3]| {
            let [a, b, c] = tried;
            [endpoint("a", a), endpoint("b", b), endpoint("c", c)]
        };
        for (tried, given, picked) in [
            ([false; 3], [1.0, 2.0, 0.5], json!(["b"])),
            ([false; 3], [2.0, 2.0, -1.0], json!(["a", "b"])),
            ([true, false, false], [9.0, -2.0, -1.0], json!(["c"])),
            ([true; 3], [9.0, -2.0, -1.0], json!(["a"])),
        ] {
            assert_eq!(picks(&three(tried), &given), picked);
        }
    }
}
