//! The listener's certificate and key, read again when they change.
//!
//! A connection takes the pair that is current when it arrives. A pair that does not
//! load leaves the one before in place.

use std::{path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::{ServerConfig, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::TlsAcceptor;
use tollgate_config::Tls;

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
}

/// The current pair.
pub struct TlsKeys {
    files: Tls,
    read: Mutex<[Vec<u8>; 2]>,
    config: ArcSwap<ServerConfig>,
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
    /// As [`TlsKeys::load`]; the pair before stays.
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

fn read(files: &Tls) -> Result<[Vec<u8>; 2], TlsError> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|source| TlsError::Unreadable {
            path: path.clone(),
            source,
        })
    };
    Ok([read(&files.certificate)?, read(&files.key)?])
}

fn parse(files: &Tls, [certificate, key]: &[Vec<u8>; 2]) -> Result<ServerConfig, TlsError> {
    let pem = |path: &PathBuf, what| {
        let path = path.clone();
        move |source| TlsError::Pem { path, what, source }
    };
    let mut chain = Vec::new();
    for link in CertificateDer::pem_slice_iter(certificate) {
        chain.push(link.map_err(pem(&files.certificate, "certificate"))?);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(pem(&files.key, "private key"))?;
    let unusable = |source| TlsError::Unusable {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source,
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
