use super::*;

fn function(name: &str) -> Value {
    json!({ "type": "function", "function": { "name": name, "parameters": {} } })
}

#[test]
fn only_the_tools_on_the_list_may_be_given_to_the_model() {
    let rule = json!({ "tools": { "allow": ["search", "db_*", "web_search"] } });
    let allowed = "expected a tool that is allowed (`search`, `db_*`, `web_search`), found";
    assert_told(
        &rule,
        [
            (json!({}), ""),
            (json!({ "tools": [] }), ""),
            (
                json!({ "tools": [function("search"), function("db_read")] }),
                "",
            ),
            (
                json!({ "tools": [{ "name": "search" }, { "type": "web_search" }] }),
                "",
            ),
            (
                json!({ "tools": [function("search"), function("rm")] }),
                &format!("/tools/1/function/name: {allowed} `rm`."),
            ),
            (
                json!({ "tools": [{ "name": "rm" }] }),
                &format!("/tools/0/name: {allowed} `rm`."),
            ),
            (
                json!({ "tools": [{ "type": "code_interpreter" }] }),
                &format!("/tools/0/type: {allowed} `code_interpreter`."),
            ),
            (
                json!({ "functions": [{ "name": "rm" }] }),
                &format!("/functions/0/name: {allowed} `rm`."),
            ),
            (
                json!({ "tools": [{}] }),
                &format!("/tools/0: {allowed} one without a name."),
            ),
            (
                json!({ "tools": [5] }),
                &format!("/tools/0: {allowed} one without a name."),
            ),
            (
                json!({ "tools": [{ "name": 5 }] }),
                &format!("/tools/0/name: {allowed} 5."),
            ),
            (
                json!({ "tools": { "name": "rm" } }),
                "/tools: expected a list of tools, found an object.",
            ),
            (
                json!({ "tools": "rm" }),
                "/tools: expected a list of tools, found `rm`.",
            ),
        ],
    );
}

#[test]
fn tools_are_counted_and_may_be_none() {
    let run = guard(&json!({ "tools": { "max": 1 } }));
    assert_eq!(told(&run, with(&json!({ "tools": [function("a")] }))), None);
    let two = json!({ "tools": [function("a")], "functions": [{ "name": "b" }] });
    assert_eq!(
        told(&run, with(&two)).unwrap(),
        "/functions: expected at most 1 tool, found 2."
    );
    let run = guard(&json!({ "tools": { "allow": [] } }));
    assert_eq!(
        told(&run, with(&json!({ "tools": [function("a")] }))).unwrap(),
        "/tools/0/function/name: expected no tools, found `a`."
    );
}
