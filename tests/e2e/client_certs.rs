//! Certificates of clients: which hold, what policies see of them, and that nobody can
//! claim to have one.

use std::{fs, sync::Arc};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, DnType, SanType};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::{io::AsyncReadExt, net::TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    authority::{Authority, Issued, expired, named, not_yet_valid, of_client, of_server},
    fixture::{Site, probing, until},
};

/// A gateway that asks clients for certificates of `clients`, behind one of `servers`.
struct Guarded {
    site: Site,
    servers: Authority,
    clients: Authority,
}

const SEEN: &str = "seen: { x-seen-subject: client_cert_subject, x-seen-dns: client_cert_dns, \
    x-seen-uri: client_cert_uri, x-seen-email: client_cert_email, \
    x-seen-fingerprint: client_cert_fingerprint }";

async fn guarded(auth: &str) -> Guarded {
    let folder = tempfile::tempdir().unwrap();
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let server = servers.server(&["localhost"]);
    for (name, text) in [
        ("cert.pem", server.cert_pem),
        ("key.pem", server.key_pem),
        ("clients.pem", clients.pem()),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let config = format!(
        "tls: {{ certificate: cert.pem, key: key.pem, client_ca: clients.pem, client_auth: {auth} }}\n{}",
        probing(SEEN)
    );
    let site = Site::start_in(folder, &config, "tokens=8").await;
    Guarded {
        site,
        servers,
        clients,
    }
}

impl Guarded {
    /// What a client that shows this certificate is set to.
    fn client(&self, shown: Option<&Issued>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.servers.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match shown {
            None => client.with_no_client_auth(),
            Some(issued) => client
                .with_client_auth_cert(vec![issued.certificate.clone()], issued.key())
                .unwrap(),
        })
    }

    async fn connect(&self, client: &Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.site.gateway.addr()).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::clone(client))
            .connect(name, stream)
            .await
    }

    /// Asks over a connection of its own; why there was no answer, if there was none.
    async fn ask(&self, shown: Option<&Issued>, claims: &[(&str, &str)]) -> Result<u16, String> {
        let connected = self.connect(&self.client(shown)).await;
        let stream = connected.map_err(|error| error.to_string())?;
        ask_over(stream, claims).await
    }

    async fn takes(&self, shown: &Issued) -> bool {
        self.ask(Some(shown), &[]).await == Ok(200)
    }

    /// What the policy told the upstream last.
    fn told(&self, header: &str) -> String {
        let seen = self.site.standin.seen();
        seen.newest().unwrap().header_values(header).join("|")
    }
}

/// The status, or what the connection ended with.
async fn ask_over(stream: TlsStream<TcpStream>, claims: &[(&str, &str)]) -> Result<u16, String> {
    let spoken = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = spoken.map_err(|error| error.to_string())?;
    let driver = tokio::spawn(connection);
    let mut request = Request::post("/v1/chat/completions")
        .header("host", "localhost")
        .header("content-type", "application/json");
    for (name, value) in claims {
        request = request.header(*name, *value);
    }
    let body = r#"{"model":"small","messages":[{"role":"user","content":"hi"}]}"#;
    let request = request.body(Full::new(Bytes::from_static(body.as_bytes())));
    let Ok(answer) = sender.send_request(request.unwrap()).await else {
        let ended = driver.await.unwrap().map_err(|error| format!("{error:?}"));
        return Err(ended.err().unwrap_or_else(|| "hung up".to_owned()));
    };
    let status = answer.status().as_u16();
    answer.into_body().collect().await.unwrap();
    driver.abort();
    Ok(status)
}

fn batch() -> CertificateParams {
    let mut params = of_client("batch,O=Admins");
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Example");
    params.subject_alt_names = vec![
        SanType::DnsName("batch.example".try_into().unwrap()),
        SanType::URI("spiffe://example/ns/ml/sa/batch".try_into().unwrap()),
        SanType::Rfc822Name("ml@example.org".try_into().unwrap()),
    ];
    params
}

#[tokio::test]
async fn policies_see_what_the_certificate_says_and_no_header_can_say_otherwise() {
    let guarded = guarded("required").await;
    let shown = guarded.clients.issue(&batch());
    let claims = [
        ("client_cert_subject", "CN=root"),
        ("client-cert-uri", "spiffe://example/admin"),
        ("x-client-cert", "forged"),
        ("x-forwarded-client-cert", "Subject=\"CN=root\""),
        ("x-seen-subject", "CN=root"),
    ];
    assert_eq!(guarded.ask(Some(&shown), &claims).await, Ok(200));
    // RFC 4514: the last part of the name first, and what is in a part stays in it.
    let subject = guarded.told("x-seen-subject");
    assert_eq!(subject, r"O=Example,CN=batch\,O\=Admins");
    assert_eq!(guarded.told("x-seen-dns"), "batch.example");
    assert_eq!(
        guarded.told("x-seen-uri"),
        "spiffe://example/ns/ml/sa/batch"
    );
    assert_eq!(guarded.told("x-seen-email"), "ml@example.org");
    let fingerprint = guarded.told("x-seen-fingerprint");
    assert_eq!(fingerprint.len(), 64);
    let logged = &guarded.site.exchanges(1).await[0];
    assert_eq!(logged["client_cert_subject"], subject);
    assert_eq!(logged["client_cert_fingerprint"], fingerprint);

    // Another client, another certificate.
    let other = guarded.clients.issue(&of_client("other"));
    assert!(guarded.takes(&other).await);
    assert_eq!(guarded.told("x-seen-subject"), "CN=other");
    assert_eq!(guarded.told("x-seen-uri"), "");
}

#[tokio::test]
async fn what_does_not_hold_is_no_connection_and_reaches_nobody() {
    for auth in ["required", "optional"] {
        let guarded = guarded(auth).await;
        let stranger = Authority::new("clients");
        let itself = Authority::new("clients").issue(&named("clients"));
        for (case, shown) in [
            ("expired", guarded.clients.issue(&expired(batch()))),
            ("not yet", guarded.clients.issue(&not_yet_valid(batch()))),
            ("another CA of the same name", stranger.issue(&batch())),
            ("the CA of servers", guarded.servers.issue(&batch())),
            (
                "a server's",
                guarded.clients.issue(&of_server(&["batch.example"])),
            ),
            ("signed by nobody known", itself),
        ] {
            let answer = guarded.ask(Some(&shown), &[]).await;
            assert!(answer.is_err(), "{auth}, {case}: {answer:?}");
        }
        assert_eq!(guarded.site.standin.seen().requests, 0);
        let shown = guarded.clients.issue(&batch());
        assert!(guarded.takes(&shown).await, "the next client is served");
    }
}

#[tokio::test]
async fn a_client_without_one_is_refused_where_it_is_required() {
    let guarded = guarded("required").await;
    assert!(guarded.ask(None, &[]).await.is_err());
    // A client that says nothing first can read why.
    let mut stream = guarded.connect(&guarded.client(None)).await.unwrap();
    let told = stream.read(&mut [0]).await.unwrap_err();
    assert!(
        format!("{told:?}").contains("CertificateRequired"),
        "{told}"
    );
    assert_eq!(guarded.site.standin.seen().requests, 0);
}

#[tokio::test]
async fn a_client_without_one_has_no_such_facts_where_it_is_optional() {
    let guarded = guarded("optional").await;
    let claims = [
        ("client_cert_subject", "CN=root"),
        ("x-seen-subject", "CN=root"),
    ];
    assert_eq!(guarded.ask(None, &claims).await, Ok(200));
    for header in ["x-seen-subject", "x-seen-uri", "x-seen-fingerprint"] {
        assert_eq!(guarded.told(header), "", "{header}");
    }
    let logged = &guarded.site.exchanges(1).await[0];
    assert!(logged["client_cert_fingerprint"].is_null(), "{logged}");
    let shown = guarded.clients.issue(&batch());
    assert!(guarded.takes(&shown).await);
    assert_eq!(guarded.told("x-seen-email"), "ml@example.org");
}

#[tokio::test]
async fn other_cas_are_taken_without_a_restart_and_what_is_none_is_not() {
    let guarded = guarded("required").await;
    let (next, file) = (
        Authority::new("next"),
        guarded.site.folder.path().join("clients.pem"),
    );
    let (old, new) = (
        guarded.clients.issue(&batch()),
        next.issue(&of_client("new")),
    );
    let before = guarded.connect(&guarded.client(Some(&old))).await.unwrap();
    assert!(!guarded.takes(&new).await);

    fs::write(&file, next.pem()).unwrap();
    guarded.site.gateway.reload().await.unwrap();
    assert!(guarded.takes(&new).await);
    assert!(!guarded.takes(&old).await);
    // A connection that was open goes on as who it was.
    assert_eq!(ask_over(before, &[]).await, Ok(200));
    assert_eq!(
        guarded.told("x-seen-uri"),
        "spiffe://example/ns/ml/sa/batch"
    );

    for nothing in [
        "",
        "no PEM at all",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        fs::write(&file, nothing).unwrap();
        let refused = guarded.site.gateway.reload().await.unwrap_err();
        assert!(refused.message.contains("clients.pem"), "{refused}");
        assert!(guarded.takes(&new).await);
    }
    fs::write(&file, guarded.clients.pem() + &next.pem()).unwrap();
    guarded.site.gateway.reload().await.unwrap();
    assert!(guarded.takes(&old).await && guarded.takes(&new).await);
}

#[tokio::test]
async fn no_session_is_resumed_so_every_connection_is_verified() {
    let guarded = guarded("required").await;
    let client = guarded.client(Some(&guarded.clients.issue(&batch())));
    for _ in 0..3 {
        let stream = guarded.connect(&client).await.unwrap();
        assert_eq!(
            stream.get_ref().1.handshake_kind(),
            Some(HandshakeKind::Full)
        );
        assert_eq!(ask_over(stream, &[]).await, Ok(200));
    }
}

#[tokio::test]
async fn a_handshake_that_fails_leaves_no_connection_behind() {
    let guarded = guarded("required").await;
    for _ in 0..20 {
        assert!(guarded.ask(None, &[]).await.is_err());
    }
    let gauges = &guarded.site.gateway.shared().gauges;
    until("all connections are gone", || {
        (gauges.connections() == 0).then_some(())
    })
    .await;
}
