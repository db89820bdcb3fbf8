//! The listener over TLS: ALPN, a certificate that changes, one that is bad.

use std::{fs, path::Path, sync::Arc};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    client::raw,
    fixture::{Site, chat_through},
};

/// Writes a new certificate for `localhost` and its key; returns the certificate.
fn certify(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    for (name, text) in [
        ("cert.pem", made.cert.pem()),
        ("key.pem", made.signing_key.serialize_pem()),
    ] {
        fs::write(folder.join("new.pem"), text).unwrap();
        fs::rename(folder.join("new.pem"), folder.join(name)).unwrap();
    }
    CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()
}

async fn secure() -> (Site, CertificateDer<'static>) {
    let folder = tempfile::tempdir().unwrap();
    let certificate = certify(folder.path());
    let config = format!(
        "tls: {{ certificate: cert.pem, key: key.pem }}\n{}",
        chat_through("", "")
    );
    (
        Site::start_in(folder, &config, "tokens=8").await,
        certificate,
    )
}

async fn connect(
    site: &Site,
    trusted: &CertificateDer<'static>,
    protocol: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let mut client = client.with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = TcpStream::connect(site.gateway.addr()).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(client))
        .connect(name, stream)
        .await
}

fn models(uri: &str) -> Request<Empty<Bytes>> {
    Request::get(uri)
        .header("host", "localhost")
        .body(Empty::new())
        .unwrap()
}

/// Asks over HTTP/1.1 and returns the body.
async fn ask(stream: TlsStream<TcpStream>) -> String {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let driver = tokio::spawn(async move { drop(connection.await) });
    let answer = sender.send_request(models("/v1/models")).await.unwrap();
    assert_eq!(answer.status(), 200);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    driver.abort();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_client_speaks_either_protocol_over_tls() {
    let (site, certificate) = secure().await;
    let stream = connect(&site, &certificate, "http/1.1").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(ask(stream).await.contains("standin-small"));
    assert_eq!(
        site.standin
            .seen()
            .newest()
            .unwrap()
            .header("x-forwarded-proto"),
        Some("https")
    );

    let stream = connect(&site, &certificate, "h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    let driver = tokio::spawn(async move { drop(connection.await) });
    let request = Request::get("https://localhost/v1/models")
        .body(Empty::<Bytes>::new())
        .unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
    driver.abort();
}

#[tokio::test]
async fn plain_bytes_on_a_tls_port_are_hung_up_on() {
    let (site, certificate) = secure().await;
    let answer = raw(
        site.gateway.addr(),
        b"GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n",
    )
    .await;
    assert!(!answer.contains("200 OK"), "{answer}");
    assert!(
        ask(connect(&site, &certificate, "http/1.1").await.unwrap())
            .await
            .contains("standin-small")
    );
}

#[tokio::test]
async fn a_new_certificate_is_taken_without_a_restart_and_a_bad_one_is_not() {
    let (site, old) = secure().await;
    let before = connect(&site, &old, "http/1.1").await.unwrap();
    let new = certify(site.folder.path());
    site.gateway.reload().await.unwrap();
    let mut taken = false;
    for _ in 0..500 {
        taken = connect(&site, &new, "http/1.1").await.is_ok();
        if taken {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert!(taken, "the new certificate is not served");
    assert!(connect(&site, &old, "http/1.1").await.is_err());
    // A connection that is open goes on with the one it has.
    assert!(ask(before).await.contains("standin-small"));

    fs::write(site.folder.path().join("key.pem"), "no key at all").unwrap();
    let refused = site.gateway.reload().await.unwrap_err();
    assert!(refused.message.contains("key.pem"), "{refused}");
    assert!(connect(&site, &new, "http/1.1").await.is_ok());
}
