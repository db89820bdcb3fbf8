//! The example of a scheduler, as WebAssembly.

use tollgate_testkit::{Grants, contract::Endpoint};

use super::*;

fn built() -> Plugin {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/prefix-affinity");
    Plugin::build(folder).unwrap()
}

fn endpoint(address: &str, in_flight: u32) -> Endpoint {
    Endpoint {
        address: address.into(),
        weight: 1,
        in_flight,
        latency_ms: None,
        running: None,
        waiting: None,
        cache_use: None,
        tried: false,
    }
}

#[test]
fn a_scheduler_needs_its_grant_and_scores_every_endpoint() {
    let refused = built().load().unwrap_err();
    assert!(refused.to_string().contains("`endpoints`"), "{refused}");
    for isolation in ISOLATIONS {
        let grants = Grants {
            endpoints: true,
            ..Grants::default()
        };
        let policy = built().grants(grants).isolation(isolation).load().unwrap();
        let ask = |busy| {
            let exchange = chat("hello").endpoint(endpoint("a:80", busy));
            policy.run(exchange.endpoint(endpoint("b:80", 0))).unwrap()
        };
        let scores = ask(0).scores.unwrap();
        assert!(
            scores.len() == 2 && scores.iter().all(|score| *score > 0.0),
            "{scores:?}"
        );
        let scores = ask(50).scores.unwrap();
        assert!(scores[0] < 0.0 && scores[1] > 0.0, "{scores:?}");
        let nothing = policy.run(chat("hello")).unwrap();
        assert!(nothing.scores.is_none());
    }
}
