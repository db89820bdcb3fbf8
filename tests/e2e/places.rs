//! Who the client is by its address, and where that is.

use std::fs;

use tollgate::Stage;

use crate::{
    client::Ask,
    fixture::{Site, chat_through, either_way},
};

#[path = "../mmdb.rs"]
mod mmdb;

const PLACES: &[mmdb::Entry<'static>] = &[
    ("203.0.113.0/24", ["DE", "BY", "EU", "Munich"]),
    ("198.51.100.0/24", ["JP", "", "AS", ""]),
    ("2001:db8::/32", ["BR", "SP", "SA", "Santos"]),
];

fn locating(isolation: &str, rest: &str) -> String {
    let policy = format!(
        "\n  locator: {{ plugin: locator, on_error: refuse, isolation: {isolation}, grants: {{ geo: true }} }}\n  \
         other: {{ plugin: probe, on_error: refuse, grants: {{ kv: true, secrets: [ canary ], http-call: {{ hosts: [ \"http://UPSTREAM\" ] }} }} }}"
    );
    let secret = "secrets: { canary: { file: canary.txt } }";
    chat_through("locator, other", &policy) + &format!("\n{secret}\n{rest}\n")
}

const FILE: &str = "geo: { file: places.mmdb }";

async fn site(isolation: &str, rest: &str) -> Site {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("places.mmdb");
    fs::write(file, mmdb::database(PLACES)).unwrap();
    let config = locating(isolation, &format!("{FILE}\n{rest}"));
    Site::start_in(folder, &config, "tokens=1").await
}

/// Replaces the file as an updater does: a new one, renamed.
fn replace(site: &Site, content: &[u8]) {
    let (new, file) = (
        site.folder.path().join("new.mmdb"),
        site.folder.path().join("places.mmdb"),
    );
    fs::write(&new, content).unwrap();
    fs::rename(new, file).unwrap();
}

/// What the upstream was told: the address, and the place.
async fn told(site: &Site, ask: Ask) -> [String; 2] {
    let answer = ask.send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = site.standin.seen();
    let request = seen.newest().unwrap();
    ["x-seen-address", "x-seen-place"].map(|name| request.header_values(name).join("|"))
}

#[test]
fn behind_a_trusted_proxy_a_client_is_where_its_address_is() {
    either_way(async |isolation| {
        let site = site(isolation, "trusted_proxies: [ 127.0.0.1, 10.0.0.0/8 ]").await;
        for (said, address, place) in [
            ("203.0.113.9", "203.0.113.9", "EU/DE/BY/Munich"),
            (
                "1.1.1.1, 203.0.113.9, 10.1.2.3",
                "203.0.113.9",
                "EU/DE/BY/Munich",
            ),
            ("198.51.100.7:4711", "198.51.100.7", "AS/JP/-/-"),
            ("[2001:db8::7]:1", "2001:db8::7", "SA/BR/SP/Santos"),
            ("192.0.2.1", "192.0.2.1", "unknown"),
            ("nonsense", "127.0.0.1", "unknown"),
        ] {
            let ask = site.chat().header("x-forwarded-for", said);
            assert_eq!(told(&site, ask).await, [address, place], "{said}");
        }
        assert_eq!(told(&site, site.chat()).await, ["127.0.0.1", "unknown"]);
        let logged = site.exchanges(7).await;
        assert_eq!(logged[0]["client_address"], "203.0.113.9");
        assert_eq!(logged[6]["client_address"], "127.0.0.1");
    });
}

#[tokio::test]
async fn nobody_else_says_who_a_client_is() {
    let site = site("exchange", "").await;
    let claims = [
        ("x-forwarded-for", "203.0.113.9"),
        ("forwarded", "for=203.0.113.9"),
        ("x-real-ip", "203.0.113.9"),
        ("client_address", "203.0.113.9"),
        ("client-address", "203.0.113.9"),
        ("x-seen-address", "203.0.113.9"),
    ];
    let ask = claims
        .iter()
        .fold(site.chat(), |ask, (name, value)| ask.header(name, *value));
    assert_eq!(told(&site, ask.clone()).await, ["127.0.0.1", "unknown"]);

    // Trust is a part of the generation, and so is its end.
    let trusting = locating(
        "exchange",
        &format!("{FILE}\ntrusted_proxies: [ 127.0.0.0/8 ]"),
    );
    site.reconfigure(&trusting).await;
    assert_eq!(told(&site, ask.clone()).await[1], "EU/DE/BY/Munich");
    site.reconfigure(&locating("exchange", FILE)).await;
    assert_eq!(told(&site, ask).await, ["127.0.0.1", "unknown"]);
}

#[tokio::test]
async fn a_new_file_is_asked_without_a_restart_and_one_that_is_none_is_not() {
    let site = site("exchange", "trusted_proxies: [ 127.0.0.1 ]").await;
    let ask = site.chat().header("x-forwarded-for", "203.0.113.9");
    assert_eq!(told(&site, ask.clone()).await[1], "EU/DE/BY/Munich");

    let moved = mmdb::database(&[("203.0.113.0/24", ["AT", "", "EU", "Linz"])]);
    replace(&site, &moved);
    let reloaded = site.gateway.reload().await.unwrap();
    // Those that may not ask it are kept.
    assert_eq!((reloaded.policies_loaded, reloaded.policies_kept), (1, 1));
    assert_eq!(told(&site, ask.clone()).await[1], "EU/AT/-/Linz");

    for nothing in [&b""[..], b"no database", &moved[..moved.len() / 2]] {
        replace(&site, nothing);
        let refused = site.gateway.reload().await.unwrap_err();
        assert_eq!((refused.stage, &*refused.code), (Stage::Load, "geo"));
        assert!(refused.message.contains("places.mmdb"), "{refused}");
        assert_eq!(told(&site, ask.clone()).await[1], "EU/AT/-/Linz");
    }
    fs::remove_file(site.folder.path().join("places.mmdb")).unwrap();
    let refused = site.gateway.reload().await.unwrap_err();
    assert!(refused.message.contains("no such file"), "{refused}");
    assert_eq!(told(&site, ask.clone()).await[1], "EU/AT/-/Linz");

    replace(&site, &mmdb::database(PLACES));
    site.gateway.reload().await.unwrap();
    assert_eq!(told(&site, ask).await[1], "EU/DE/BY/Munich");
}

#[tokio::test]
async fn a_configuration_may_give_up_its_file_with_the_grant() {
    let site = site("exchange", "").await;
    let config = chat_through("", "");
    site.reconfigure(&config).await;
    assert_eq!(site.chat().send().await.status, 200);
    site.reconfigure(&locating("exchange", FILE)).await;
    assert_eq!(told(&site, site.chat()).await, ["127.0.0.1", "unknown"]);
}
