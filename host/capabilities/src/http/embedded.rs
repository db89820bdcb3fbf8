//! Sends checked requests through one pooled client.
//!
//! The client follows no redirect, asks no proxy and resolves names through
//! [`Names`], which refuses addresses that no listed name may stand for. The
//! response is read no further than the grant allows.

use std::{
    error::Error,
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::BytesMut;
use reqwest::{
    Client, ClientBuilder, Response, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header::LOCATION,
    redirect,
};
use tollgate_config::HttpCallGrant;

use super::{
    HttpCaller, HttpError, HttpRequest, HttpResponse,
    address::may_stand_for,
    request::{Checked, is_end_to_end},
};
use crate::Answer;

const REDIRECTS_MAX: usize = 3;
const IDLE: Duration = Duration::from_secs(30);
const IDLE_PER_HOST: usize = 8;

/// Calls hosts from this process. TLS trusts the system's roots.
#[derive(Debug, Default)]
pub struct EmbeddedHttp {
    /// Made with the first call: reading the system's roots takes a while.
    client: OnceLock<Result<Client, String>>,
}

impl EmbeddedHttp {
    /// Nothing is opened before the first call.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn client(&self) -> Result<Client, HttpError> {
        self.client
            .get_or_init(client)
            .clone()
            .map_err(HttpError::Failed)
    }
}

impl HttpCaller for EmbeddedHttp {
    fn send(
        &self,
        request: HttpRequest,
        grant: &HttpCallGrant,
        remaining: Duration,
    ) -> Answer<Result<HttpResponse, HttpError>> {
        let deadline = grant.timeout.min(request.timeout).min(remaining);
        let checked = match Checked::new(request, grant) {
            Ok(checked) => checked,
            Err(error) => return Answer::Ready(Err(error)),
        };
        let client = match self.client() {
            Ok(client) => client,
            Err(error) => return Answer::Ready(Err(error)),
        };
        let grant = grant.clone();
        Answer::later(async move {
            let call = follow(&client, checked, &grant);
            tokio::time::timeout(deadline, call)
                .await
                .unwrap_or(Err(HttpError::TimedOut))
        })
    }
}

fn client() -> Result<Client, String> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error means that another thread was first, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    builder().build().or_else(|error| {
        tracing::warn!(%error, "no system roots: http-call cannot reach https hosts");
        let without_roots = builder().tls_certs_only([]).build();
        without_roots.map_err(|_| "the client cannot be made".to_owned())
    })
}

fn builder() -> ClientBuilder {
    Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .user_agent(concat!("tollgate/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Arc::new(Names))
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_PER_HOST)
}

async fn follow(
    client: &Client,
    mut request: Checked,
    grant: &HttpCallGrant,
) -> Result<HttpResponse, HttpError> {
    for _ in 0..=REDIRECTS_MAX {
        let response = send(client, request.clone()).await?;
        match location(&response) {
            None => return read(response, grant.max_response_bytes).await,
            Some(location) => request = request.redirected(response.status(), &location, grant)?,
        }
    }
    Err(HttpError::Denied(format!(
        "more than {REDIRECTS_MAX} redirects"
    )))
}

async fn send(client: &Client, request: Checked) -> Result<Response, HttpError> {
    let Checked {
        method,
        url,
        headers,
        body,
    } = request;
    let mut builder = client.request(method, url).headers(headers);
    if !body.is_empty() {
        builder = builder.body(body);
    }
    builder.send().await.map_err(failure)
}

fn location(response: &Response) -> Option<String> {
    let redirects = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let location = response.headers().get(LOCATION).filter(|_| redirects)?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

async fn read(mut response: Response, bytes_max: usize) -> Result<HttpResponse, HttpError> {
    let headers: Vec<_> = response
        .headers()
        .iter()
        .filter(|(name, _)| is_end_to_end(name))
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect();
    let header_bytes: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    let mut left = bytes_max
        .checked_sub(header_bytes)
        .ok_or(HttpError::TooLarge)?;
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(failure)? {
        left = left.checked_sub(chunk.len()).ok_or(HttpError::TooLarge)?;
        body.extend_from_slice(&chunk);
    }
    Ok(HttpResponse {
        status: response.status().as_u16(),
        headers,
        body: body.freeze(),
    })
}

/// The innermost reason, without the URL: that may carry a key.
fn failure(error: reqwest::Error) -> HttpError {
    let error = error.without_url();
    let mut reason: &dyn Error = &error;
    while let Some(source) = reason.source() {
        reason = source;
        if let Some(refused) = refusal(reason) {
            return HttpError::Denied(refused.to_string());
        }
    }
    if error.is_connect() {
        return HttpError::Failed(format!("cannot connect: {reason}"));
    }
    HttpError::Failed(reason.to_string())
}

fn refusal<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a AddressRefused> {
    error.downcast_ref()
}

/// A name led to an address that it may not stand for.
#[derive(Debug, thiserror::Error)]
#[error("{0} leads to an address that is not allowed")]
struct AddressRefused(String);

/// Resolves names with the system's resolver; one refused address refuses the name.
struct Names;

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let name = name.as_str().to_ascii_lowercase();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((&*name, 0)).await?.collect();
            allowed(&name, found)
        })
    }
}

fn allowed(name: &str, found: Vec<SocketAddr>) -> Result<Addrs, Box<dyn Error + Send + Sync>> {
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no address").into());
    }
    if found
        .iter()
        .all(|address| may_stand_for(name, address.ip()))
    {
        Ok(Box::new(found.into_iter()))
    } else {
        Err(Box::new(AddressRefused(name.to_owned())))
    }
}

#[cfg(test)]
#[path = "embedded_tests.rs"]
mod tests;
