//! The listener's certificate and key, and the CAs of its clients, read again when they
//! change.
//!
//! A connection takes those that are current when it arrives. Files that do not load
//! leave what was before in place.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::TlsAcceptor;
use tollgate_config::{ClientAuth, ClientCertificates, Tls};

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No such file, or it may not be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not PEM, or nothing of the kind is in it.
    #[error("`{}` has no {what} that can be read: {source}", path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
        /// Why.
        source: rustls_pki_types::pem::Error,
    },
    /// They do not belong together, or are of a kind that is not supported.
    #[error("`{}` and `{}` do not work together: {source}", certificate.display(), key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// No client's certificate can be verified with it.
    #[error("`{}` cannot be used to verify clients: {reason}", path.display())]
    Clients {
        /// The file of CAs.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// What is current.
pub struct TlsKeys {
    files: Tls,
    read: Mutex<Read>,
    config: ArcSwap<ServerConfig>,
}

/// What the files said.
#[derive(PartialEq)]
struct Read {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl TlsKeys {
    /// # Errors
    /// Files that cannot be read or do not belong together.
    pub fn load(files: &Tls) -> Result<Arc<Self>, TlsError> {
        let read = read(files)?;
        let config = ArcSwap::from_pointee(parse(files, &read)?);
        Ok(Arc::new(Self {
            files: files.clone(),
            read: Mutex::new(read),
            config,
        }))
    }

    /// Reads the files again; tells whether anything changed.
    ///
    /// # Errors
    /// As [`TlsKeys::load`]; what was before stays.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let mut before = self.read.lock();
        let now = read(&self.files)?;
        if *before == now {
            return Ok(false);
        }
        self.config.store(Arc::new(parse(&self.files, &now)?));
        *before = now;
        Ok(true)
    }

    /// The files that it reads.
    pub fn files(&self) -> &Tls {
        &self.files
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }
}

fn read(files: &Tls) -> Result<Read, TlsError> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|source| TlsError::Unreadable {
            path: path.clone(),
            source,
        })
    };
    let clients = files.clients.as_ref();
    Ok(Read {
        certificate: read(&files.certificate)?,
        key: read(&files.key)?,
        client_ca: clients.map(|clients| read(&clients.ca)).transpose()?,
    })
}

fn parse(files: &Tls, read: &Read) -> Result<ServerConfig, TlsError> {
    let chain = certificates(&files.certificate, &read.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&read.key).map_err(|source| TlsError::Pem {
        path: files.key.clone(),
        what: "private key",
        source,
    })?;
    let unusable = |source| TlsError::Unusable {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source,
    };
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let verifier = match (&files.clients, &read.client_ca) {
        (Some(clients), Some(pem)) => Some(verifier(clients, pem, provider)?),
        _ => None,
    };
    let is_asking = verifier.is_some();
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if is_asking {
        // A session that is resumed is not verified again, and its certificate may have
        // expired meanwhile.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        found.push(certificate.map_err(|source| TlsError::Pem {
            path: path.to_owned(),
            what: "certificate",
            source,
        })?);
    }
    Ok(found)
}

fn verifier(
    clients: &ClientCertificates,
    pem: &[u8],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let refuse = |reason: String| TlsError::Clients {
        path: clients.ca.clone(),
        reason,
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&clients.ca, pem)? {
        let added = roots.add(certificate);
        added.map_err(|error| refuse(error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match clients.auth {
        ClientAuth::Required => builder,
        ClientAuth::Optional => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|error| refuse(error.to_string()))
}
