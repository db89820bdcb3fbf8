use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn grant(hosts: &[&str]) -> HttpCallGrant {
    HttpCallGrant {
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        timeout: Duration::from_secs(5),
        max_response_bytes: 1024,
        max_calls: 4,
    }
}

fn request(method: &str, url: &str, headers: &[(&str, &str)]) -> HttpRequest {
    HttpRequest {
        method: method.into(),
        url: url.into(),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
            .collect(),
        body: Bytes::from_static(b"body"),
        timeout: Duration::from_secs(1),
    }
}

fn check_url(url: &str, hosts: &[&str]) -> Result<Checked, HttpError> {
    Checked::new(request("GET", url, &[]), &grant(hosts))
}

#[test]
fn a_listed_origin_is_allowed_with_any_path_and_in_any_spelling() {
    let hosts = [
        "https://auth.example.com:443",
        "http://10.0.0.1:8080",
        "http://[fd00::1]:80",
    ];
    for url in [
        "https://auth.example.com/a/b?c=d#e",
        "https://AUTH.example.com:443",
        "HTTPS://auth.example.com",
        "http://10.0.0.1:8080/",
        "http://[fd00:0:0::1]/",
    ] {
        check_url(url, &hosts).unwrap();
    }
}

#[test]
fn another_scheme_host_or_port_is_denied_in_any_disguise() {
    let hosts = ["https://auth.example.com:443"];
    for url in [
        "http://auth.example.com/",
        "http://auth.example.com:443/",
        "https://auth.example.com:8443/",
        "https://example.com/",
        "https://auth.example.com./",
        "https://auth.example.com.evil.net/",
        "https://auth.example.com@evil.net/",
        "https://user@auth.example.com/",
        "https://user:pass@auth.example.com/",
        "https://evil.net\\@auth.example.com/",
        "https://evil.net#@auth.example.com/",
        "https://evil.net?@auth.example.com/",
        "https://xn--auth-example.com/",
        "https://127.0.0.1/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://0/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[fe80::1%25eth0]/",
        "https://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "unix:/run/docker.sock",
        "gopher://auth.example.com/",
        "ftp://auth.example.com/",
        "data:,x",
        "//auth.example.com/",
        "/path",
        "",
        "https://",
        "https://auth.example.com:0/",
        "https://auth.example.com:99999/",
    ] {
        assert!(
            matches!(check_url(url, &hosts), Err(HttpError::Denied(_))),
            "{url}"
        );
    }
}

#[test]
fn numbers_that_spell_a_listed_address_are_that_address() {
    for url in [
        "http://127.0.0.1:81/",
        "http://0x7f.1:81/",
        "http://2130706433:81/",
    ] {
        let checked = check_url(url, &["http://127.0.0.1:81"]).unwrap();
        assert_eq!(checked.url.host_str(), Some("127.0.0.1"));
    }
}

#[test]
fn headers_that_are_the_hosts_are_denied_in_any_case() {
    let hosts = ["http://a:80"];
    for name in HOSTS_OWN {
        for name in [name.to_owned(), name.to_uppercase()] {
            let error = Checked::new(request("GET", "http://a", &[(&name, "x")]), &grant(&hosts));
            assert!(matches!(error, Err(HttpError::Denied(_))), "{name}");
        }
    }
    for (name, value) in [
        ("a b", "x"),
        ("", "x"),
        (":path", "x"),
        ("a\r\nb", "x"),
        ("a", "x\r\nhost: evil"),
        ("a", "\0"),
    ] {
        let error = Checked::new(request("GET", "http://a", &[(name, value)]), &grant(&hosts));
        assert!(
            matches!(error, Err(HttpError::Denied(_))),
            "{name:?}: {value:?}"
        );
    }
    let many = vec![("a", "b"); 65];
    assert!(Checked::new(request("GET", "http://a", &many), &grant(&hosts)).is_err());
    let big = "x".repeat(33 * 1024);
    assert!(Checked::new(request("GET", "http://a", &[("a", &big)]), &grant(&hosts)).is_err());
}

#[test]
fn methods_that_open_tunnels_or_are_none_are_denied() {
    for method in ["CONNECT", "TRACE", "", "GE T", "GET\r\n", "é"] {
        let error = Checked::new(request(method, "http://a", &[]), &grant(&["http://a:80"]));
        assert_eq!(error.unwrap_err(), HttpError::Denied("the method".into()));
    }
    Checked::new(request("PURGE", "http://a", &[]), &grant(&["http://a:80"])).unwrap();
}

#[test]
fn a_redirect_to_another_origin_keeps_no_header_that_could_be_a_key() {
    let grant = grant(&["http://a:80", "http://b:80"]);
    let given = [
        ("authorization", "k"),
        ("cookie", "k"),
        ("x-api-key", "k"),
        ("accept", "*/*"),
    ];
    let first = || Checked::new(request("POST", "http://a/x", &given), &grant).unwrap();
    let same = first()
        .redirected(StatusCode::TEMPORARY_REDIRECT, "/y", &grant)
        .unwrap();
    assert_eq!((same.headers.len(), same.body.len()), (4, 4));
    assert_eq!(same.url.as_str(), "http://a/y");
    let other = first()
        .redirected(StatusCode::TEMPORARY_REDIRECT, "http://b/", &grant)
        .unwrap();
    assert_eq!(other.headers.keys().collect::<Vec<_>>(), ["accept"]);
    assert_eq!(other.method, Method::POST);
}

#[test]
fn a_redirect_off_the_list_is_denied() {
    let grant = grant(&["http://a:80"]);
    let first = Checked::new(request("GET", "http://a/x", &[]), &grant).unwrap();
    for location in [
        "http://b/",
        "//b/",
        "https://a/",
        "http://a:81/",
        "http://u@a/",
        "file:///etc",
        "http://[",
    ] {
        let next = first
            .clone()
            .redirected(StatusCode::FOUND, location, &grant);
        assert!(matches!(next, Err(HttpError::Denied(_))), "{location}");
    }
}

#[test]
fn a_redirect_turns_a_post_into_a_get_as_its_status_says() {
    let grant = grant(&["http://a:80"]);
    for (status, method, becomes) in [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (302, "PUT", "PUT"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
    ] {
        let first = Checked::new(request(method, "http://a/x", &[]), &grant).unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        let next = first.redirected(status, "/y", &grant).unwrap();
        assert_eq!(next.method.as_str(), becomes, "{status} {method}");
    }
}

proptest! {
    #[test]
    fn whatever_is_allowed_goes_to_the_listed_host(
        url in "(http|HTTP|https|ftp)?:?[/\\\\]{0,3}(a|b|@|:|#|\\?|%40|%2f|\\.|0|1|\\[|\\]|\t|\n| |é){0,12}(a:80|a)?/?"
    ) {
        if let Ok(checked) = check_url(&url, &["http://a:80"]) {
            prop_assert_eq!(origin(&checked.url), Some(("http", "a", 80)));
            prop_assert!(checked.url.username().is_empty());
        }
    }
}
