//! A policy that asks where the client is, in the real sandbox.

#![allow(
    clippy::unwrap_used,
    reason = "clippy sees only `#[test]` functions as tests"
)]

#[path = "../../../tests/mmdb.rs"]
mod mmdb;

use std::path::Path;

use tollgate_testkit::{Exchange, Grants, Isolation, Plugin};

fn locator() -> Plugin {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests/locator");
    Plugin::build(folder).unwrap()
}

#[test]
fn a_policy_is_told_where_an_address_is() {
    let granted = Grants {
        geo: true,
        ..Grants::default()
    };
    let places = mmdb::database(&[("203.0.113.0/24", ["DE", "BY", "EU", "Munich"])]);
    for isolation in [Isolation::Exchange, Isolation::Shared] {
        let plugin = locator().isolation(isolation).grants(granted.clone());
        let loaded = plugin.clone().geo(places.clone()).unwrap().load().unwrap();
        let blind = plugin.load().unwrap();
        for (policy, address, place) in [
            (&loaded, "203.0.113.9", "EU/DE/BY/Munich"),
            (&loaded, "192.0.2.1", "unknown"),
            (&loaded, "nonsense", "Error::Invalid"),
            (&blind, "203.0.113.9", "Error::Unavailable"),
        ] {
            let exchange = Exchange::post("/v1/chat/completions").fact("client_address", address);
            let run = policy.run(exchange).unwrap();
            let told = run.request.header("x-seen-place").unwrap();
            assert_eq!(told, place.as_bytes(), "{address}");
        }
    }
}

#[test]
fn without_the_grant_it_does_not_load_and_a_file_that_is_none_is_refused() {
    assert_eq!(locator().load().unwrap_err().code, "not_granted");
    assert!(locator().geo(&b"no database"[..]).is_err());
}
