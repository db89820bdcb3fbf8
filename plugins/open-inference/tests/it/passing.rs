//! Where both sides speak alike: names out of paths, and nothing else is touched.

use serde_json::json;
use tollgate_sdk::{Answer, RawEvent, testing::Exchange};

use crate::stage::{INFER, passing, posted, refused, run, target, with};

#[test]
fn the_path_is_told_as_facts() {
    let run = run(&passing());
    for (method, path, facts) in [
        (
            "POST",
            "/v2/models/iris/versions/2/infer",
            ["open-inference", "infer", "iris", "2"],
        ),
        (
            "POST",
            "/v2/models/m/generate",
            ["open-inference", "generate", "m", ""],
        ),
        (
            "POST",
            "/v1/models/iris:explain",
            ["kserve-v1", "explain", "iris", ""],
        ),
        (
            "GET",
            "/v2/health/ready",
            ["open-inference", "health", "", ""],
        ),
    ] {
        let decided = run.open(Exchange::chat().to(method, path)).request();
        assert!(decided.is_next());
        let names = ["protocol", "operation", "model", "model_version"];
        let told = names.map(|name| decided.fact(name).unwrap_or_default());
        assert_eq!(told, facts, "{path}");
    }
    let decided = run.open(Exchange::chat()).request();
    assert!(decided.is_next() && decided.is_untouched());
}

#[test]
fn a_deployment_of_seldon_is_told_as_the_model() {
    let seldon = json!({ "client": "seldon", "upstream": "seldon", "seldon": { "model": "iris" } });
    let run = run(&seldon);
    for (path, model) in [
        ("/seldon/ns/wine/api/v1.0/predictions", "wine"),
        ("/api/v1.0/predictions", "iris"),
    ] {
        let decided = run.open(posted(path, "{}")).request();
        assert_eq!(decided.fact("model").as_deref(), Some(model));
        assert_eq!(decided.fact("protocol").as_deref(), Some("seldon"));
    }
}

#[test]
fn bodies_answers_and_streams_pass_as_they_are() {
    let run = run(&passing());
    let exchange =
        posted(INFER, "{\"inputs\":\u{1}binary").header("inference-header-content-length", "10");
    let mut session = run.open(exchange);
    assert!(session.request().is_next());
    let decided = session.attempt(&target(None));
    assert!(decided.is_next());
    assert_eq!(decided.body(), "{\"inputs\":\u{1}binary".as_bytes());
    assert!(session.response(Answer::new(500).body("x")).is_untouched());
    let event = RawEvent::data("x");
    assert_eq!(session.events([event.clone()]).events, [event]);
}

#[test]
fn the_version_that_is_set_is_asked_for_where_the_client_names_none() {
    let run = run(&with(passing(), "", &json!({ "version": "7" })));
    for (path, expected) in [
        (
            "/v2/models/m/infer?x=1",
            "/v2/models/m/versions/7/infer?x=1",
        ),
        (
            "/v2/models/m/versions/1/infer",
            "/v2/models/m/versions/1/infer",
        ),
        ("/v2/repository/index", "/v2/repository/index"),
    ] {
        let decided = run.open(posted(path, "{}")).attempt(&target(None));
        assert_eq!(decided.path(), expected);
    }
}

#[test]
fn the_model_is_chosen_by_the_path_and_called_what_the_target_calls_it() {
    let run = run(&with(passing(), "", &json!({ "choose_model": true })));
    // As the gateway leaves it: the name is written into a body that is JSON.
    let mut session = run.open(posted(
        "/v1/models/iris:predict",
        r#"{"instances":[],"model":"iris-2"}"#,
    ));
    let decided = session.request();
    assert_eq!(
        decided.destination().unwrap().model.as_deref(),
        Some("iris")
    );
    let decided = session.attempt(&target(Some("iris-2")));
    assert!(decided.is_next());
    assert_eq!(decided.path(), "/v1/models/iris-2:predict");
    assert_eq!(decided.body(), br#"{"instances":[]}"#);

    let mut session = run.open(Exchange::chat().to("GET", "/v2/models/iris/ready").body(""));
    assert_eq!(
        session.request().destination().unwrap().model.as_deref(),
        Some("iris")
    );
    let decided = session.attempt(&target(Some("iris-2")));
    assert_eq!(decided.path(), "/v2/models/iris-2/ready");

    let decided = run
        .open(Exchange::chat().to("GET", "/v2/health/ready"))
        .request();
    assert!(decided.is_next(), "it names none");
    let decided = run.open(posted(INFER, "{}")).attempt(&target(Some("a/b")));
    assert_eq!(refused(&decided).0, 400);
}

#[test]
fn binary_tensors_are_refused_where_the_gateway_would_have_to_change_them() {
    let run = run(&with(passing(), "", &json!({ "choose_model": true })));
    let exchange = posted(INFER, "{}\u{1}").header("Inference-Header-Content-Length", "2");
    let decided = run.open(exchange).request();
    let (status, message) = refused(&decided);
    assert_eq!(status, 415);
    assert!(message.contains("expected tensors as JSON"), "{message}");
}
