//! A question of the gateway's own to an endpoint: is it ready, how busy is it.
//!
//! It goes the way of any exchange's request, over the same connections and with the
//! upstream's headers, but through no policy and to no balance.

use std::error::Error;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};

use super::{endpoint::Endpoint, upload::Upload, upstream::Upstream};

/// What is asked.
pub(crate) struct Question<'a> {
    pub(crate) path: &'a str,
    /// `None`: the endpoint's own.
    pub(crate) port: Option<u16>,
    /// A longer answer is none.
    pub(crate) bytes_max: usize,
}

impl Upstream {
    /// The answer, whole; whoever asks bounds the time.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub(crate) async fn ask(
        &self,
        endpoint: &Endpoint,
        question: &Question<'_>,
    ) -> Result<(StatusCode, Bytes), String> {
        let uri = endpoint.own_uri(question.path, question.port);
        let uri = uri.map_err(|error| error.to_string())?;
        let host = match question.port {
            None => endpoint.host.clone(),
            Some(_) => {
                let host = uri.authority().map_or("", |authority| authority.as_str());
                HeaderValue::from_str(host).map_err(|error| error.to_string())?
            }
        };
        let mut request = Request::new(Upload::Empty);
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(header::HOST, host);
        headers.insert(header::USER_AGENT, HeaderValue::from_static("tollgate"));
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        let answered = endpoint.pool.request(request).await;
        let answer = answered.map_err(|error| root(&error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), question.bytes_max);
        let body = body.collect().await;
        let body = body.map_err(|error| root(&*error))?;
        Ok((status, body.to_bytes()))
    }
}

/// The last of the causes, which says it best.
fn root(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |cause| (*cause).source());
    causes.last().map_or_else(String::new, ToString::to_string)
}
