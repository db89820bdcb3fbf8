use serde_json::{Value, json};
use tollgate_testkit::{Grants, Isolation, Loaded, contract::Ending};

use super::*;

fn limited(isolation: Isolation, limit: &Value) -> Loaded {
    let limits = Grants {
        limits: true,
        ..Grants::default()
    };
    let plugin = standard("rate-limit").grants(limits).isolation(isolation);
    plugin
        .settings(json!({ "limits": [limit] }))
        .load()
        .unwrap()
}

#[test]
fn it_needs_the_grant_of_limits_and_no_other() {
    let limit = json!({ "name": "a", "by": [], "requests": 1, "period": "1h" });
    let plugin = standard("rate-limit").settings(json!({ "limits": [limit] }));
    let refused = plugin.load().unwrap_err().to_string();
    assert!(refused.contains("limits"), "{refused}");
}

#[test]
fn a_rate_holds_over_all_instances_and_is_told() {
    for isolation in ISOLATIONS {
        let name = format!("rate-{isolation:?}").to_lowercase();
        let limit = json!({ "name": name, "by": ["caller"], "requests": 2, "period": "1h" });
        let policy = limited(isolation, &limit);
        for left in ["1", "0"] {
            let run = policy.run(chat("hello").fact("caller", "ada")).unwrap();
            assert!(is_let_through(&run), "{:?}", run.verdict);
            let headers = run.response.unwrap().headers;
            assert_eq!(headers["x-ratelimit-remaining-requests"], left);
        }
        let run = policy.run(chat("hello").fact("caller", "ada")).unwrap();
        let Some(Verdict::Reply(answer)) = run.verdict else {
            panic!("{:?}", run.verdict)
        };
        assert_eq!(answer.status, 429);
        assert!(run.response.is_none(), "it goes no further");
        let run = policy.run(chat("hello").fact("caller", "bob")).unwrap();
        assert!(is_let_through(&run), "{:?}", run.verdict);
    }
}

#[test]
fn the_one_place_is_given_back_at_each_end() {
    for isolation in ISOLATIONS {
        let name = format!("place-{isolation:?}").to_lowercase();
        let limit = json!({ "name": name, "by": [], "concurrency": 1 });
        let policy = limited(isolation, &limit);
        for ending in [
            Ending::Complete,
            Ending::ClientGone,
            Ending::UpstreamFailed,
            Ending::TimedOut,
            Ending::Complete,
        ] {
            let run = policy.run(chat("hello").ending(ending)).unwrap();
            assert!(is_let_through(&run), "before {ending:?}: {:?}", run.verdict);
        }
    }
}
