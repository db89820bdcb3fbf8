//! A question of the gateway's own to an endpoint: is it ready, how busy is it.
//!
//! It goes the way of any exchange's request, over the same connections and with the
//! upstream's headers, but through no policy and to no balance.

use std::error::Error;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, StatusCode, header};
use http_body::Body;
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
        let body = whole(answer.into_body(), question.bytes_max).await?;
        Ok((status, body))
    }
}

/// In one buffer: pieces as they came may be small, and each holds on to what was read with
/// it.
async fn whole<B>(body: B, bytes_max: usize) -> Result<Bytes, String>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut body = Limited::new(body, bytes_max);
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| root(&*error))?;
        if let Ok(data) = frame.into_data() {
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole.freeze())
}

/// The last of the causes, which says it best.
fn root(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |cause| (*cause).source());
    causes.last().map_or_else(String::new, ToString::to_string)
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::{super::counted_byte::counted_byte, *};

    #[tokio::test]
    async fn of_an_answer_in_small_pieces_none_is_kept_and_its_length_is_bounded() {
        let held = &Arc::new(AtomicUsize::new(0));
        let most = &AtomicUsize::new(0);
        let pieces = |count: usize| {
            let pieces = (0..count).map(move |_| {
                let piece = counted_byte(held);
                most.fetch_max(held.load(Ordering::Relaxed), Ordering::Relaxed);
                Ok::<_, Infallible>(Frame::data(piece))
            });
            StreamBody::new(stream::iter(pieces))
        };
        assert_eq!(whole(pieces(5_000), 5_000).await.unwrap().len(), 5_000);
        assert!(whole(pieces(5_001), 5_000).await.is_err());
        assert!(most.load(Ordering::Relaxed) < 4);
    }
}
