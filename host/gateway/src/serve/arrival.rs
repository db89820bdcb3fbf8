//! Takes a request in: what is ambiguous goes no further, the route is found, and
//! only a body that something needs is waited for.

use std::{mem, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, request::Parts, uri::PathAndQuery};
use http_body::Body as _;
use hyper::body::Incoming;
use tollgate_sandbox::{Json, Message, RequestFacts, contract::Value};

use super::{
    at_hand::{begins_like_json, check_model, facts, read, request_at_hand},
    content::Content,
    errors::ServeError,
    head, headers,
    model_name::{self, InPath},
    route::{Asked, Found, Need, Route},
    state::Exchange,
    upgrade,
};

/// Where a request goes in.
pub(super) enum Entry {
    Route(Arc<Route>),
    /// The body has to be read to tell: this much of it, whichever it will be.
    ByModel(Need),
}

/// Where the model is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    /// Or nowhere.
    InBody,
    InPath,
    Unclear,
}

impl Named {
    fn of(in_path: &InPath) -> Self {
        match in_path {
            InPath::Nothing => Self::InBody,
            InPath::Model(_) => Self::InPath,
            InPath::Unclear => Self::Unclear,
        }
    }
}

/// A request on its way through the policies.
pub(super) struct Arrival {
    pub(super) message: Message,
    /// Unless the message has it.
    pub(super) content: Content,
    /// As it came; sent unless a policy changed the message's.
    pub(super) path: PathAndQuery,
    pub(super) host: HeaderValue,
    /// What its path or its body calls the model.
    model: Option<String>,
    named: Named,
    /// What of the body was asked for so far.
    read: Need,
}

/// Refuses what is ambiguous, and finds the route. What `connection` names is gone then: no
/// route and no policy goes by what nobody else will see.
///
/// # Errors
/// Everything that is refused without a look at the body.
pub(super) fn enter(
    exchange: &mut Exchange,
    request: &mut Request<Incoming>,
) -> Result<Entry, ServeError> {
    check_room(exchange)?;
    let limits = &exchange.generation.config.limits;
    head::check(request, limits)?;
    if let Some(shared) = exchange.shared() {
        shared.via.check(request.headers())?;
    }
    exchange.record.bytes_in = request.body().size_hint().exact();
    if request.body().size_hint().lower() > limits.request_body_bytes {
        return Err(ServeError::BodyTooLarge(limits.request_body_bytes));
    }
    headers::drop_named(request.headers_mut());
    match exchange.generation.routes.find(&head::asked(request)?) {
        Found::Route(route) => {
            let route = route.clone();
            exchange.note_route(&route);
            Ok(Entry::Route(route))
        }
        Found::ByModel(need) => Ok(Entry::ByModel(need)),
        Found::Nothing => Err(ServeError::NoRoute),
    }
}

/// Whether one more may be open: so a flood is refused for the price of a head, whatever its
/// exchanges wait for.
fn check_room(exchange: &Exchange) -> Result<(), ServeError> {
    let Some(shared) = exchange.shared() else {
        return Ok(());
    };
    if shared.gauges.of_clients() <= exchange.generation.config.overload.exchanges {
        return Ok(());
    }
    shared.gauges.note_turned_away();
    Err(ServeError::TooManyExchanges)
}

/// Waits for the body, if something needs it.
///
/// # Errors
/// A body that is too long, too slow or not what is needed; no route for its model.
pub(super) async fn take_in(
    exchange: &mut Exchange,
    entry: Entry,
    request: Request<Incoming>,
) -> Result<(Arc<Route>, Arrival), ServeError> {
    let host = head::host(request.uri(), request.headers(), request.version())?;
    let (mut parts, body) = request.into_parts();
    let path_and_query = parts.uri.path_and_query();
    let in_path = path_and_query.map_or("/", |path| path.as_str());
    let in_path = model_name::in_path(in_path);
    if let InPath::Model(model) = &in_path {
        check_model(Some(model))?;
    }
    // Where the path names the model, the body is not asked for it.
    let in_body = in_path == InPath::Nothing;
    let need = match &entry {
        Entry::Route(route) => route.need(in_body),
        Entry::ByModel(need) if in_body => *need,
        Entry::ByModel(_) => Need::Nothing,
    };
    let mut content = Content::to_come(body);
    if need > Need::Nothing {
        content = request_at_hand(exchange, content).await?;
    }
    let depth_max = exchange.generation.config.limits.json_depth;
    let path = matches!(in_path, InPath::Model(_)).then(|| parts.uri.path());
    let read = |content: &Content, need| {
        let (mut facts, json) = read_at(path, content, need, (&parts.headers, depth_max))?;
        match &in_path {
            InPath::Nothing => {}
            InPath::Model(model) => facts.model = Some(model.clone()),
            InPath::Unclear => facts.model = None,
        }
        Ok::<_, ServeError>((facts, json))
    };
    let (mut facts, mut json) = read(&content, need)?;
    let route = match entry {
        Entry::Route(route) => route,
        Entry::ByModel(_) => {
            let route = route_by_model(exchange, &parts, &host, facts.model.as_deref())?;
            let more = route.need(in_body);
            if more > need {
                content = request_at_hand(exchange, content).await?;
                (facts, json) = read(&content, more)?;
            }
            route
        }
    };
    exchange.upgrade = upgrade::asked(exchange, &route, &mut parts, &content)?;
    exchange.record.bytes_in = content.length().or(exchange.record.bytes_in);
    exchange.record.model.clone_from(&facts.model);
    exchange.record.streaming = facts.stream;
    let read = need.max(route.need(in_body));
    let message = Message {
        json,
        json_depth: depth_max,
        prompt: (read > Need::Bytes).then_some(facts.prompt),
        given: exchange.record.given.clone(),
        ..Message::default()
    };
    let mut arrival = Arrival::new(parts, content, message, (host, facts.model));
    arrival.read = read;
    arrival.named = Named::of(&in_path);
    Ok((route, arrival))
}

/// What a body says, on a path of the Open Inference Protocol where there is one. There a
/// body may be a JSON document with tensors behind it, which is no document; and a stream
/// is asked for by the path.
fn read_at(
    path: Option<&str>,
    content: &Content,
    need: Need,
    (headers, depth_max): (&HeaderMap, usize),
) -> Result<(RequestFacts, Option<Json>), ServeError> {
    let Some(path) = path else {
        return read(content, need, headers, depth_max);
    };
    let may_have_tensors = path.ends_with("/infer");
    let (mut facts, json) = match read(content, need, headers, depth_max) {
        Err(ServeError::Json(_))
            if may_have_tensors && begins_with_document(content, headers, depth_max) =>
        {
            Default::default()
        }
        read => read?,
    };
    facts.stream |= path.ends_with("/generate_stream");
    Ok((facts, json))
}

/// Whether the body is a JSON document as long as the header says, and more behind it.
fn begins_with_document(content: &Content, headers: &HeaderMap, depth_max: usize) -> bool {
    let mut lengths = headers.get_all("inference-header-content-length").iter();
    let (Some(length), None, Content::AtHand(body)) = (lengths.next(), lengths.next(), content)
    else {
        return false;
    };
    let length: Option<usize> = length.to_str().ok().and_then(|text| text.parse().ok());
    length.is_some_and(|length| {
        (1..body.len()).contains(&length) && Json::parse(body.slice(..length), depth_max).is_ok()
    })
}

/// As the policies left it; no plan, which is followed once.
fn copy(message: &Message) -> Message {
    Message {
        method: message.method.clone(),
        path: message.path.clone(),
        headers: message.headers.clone(),
        body: message.body.clone(),
        json: message.json.clone(),
        json_depth: message.json_depth,
        prompt: message.prompt,
        facts: message.facts.clone(),
        given: message.given.clone(),
        ..Message::default()
    }
}

fn route_by_model(
    exchange: &mut Exchange,
    parts: &Parts,
    host: &HeaderValue,
    model: Option<&str>,
) -> Result<Arc<Route>, ServeError> {
    let (method, headers) = (&parts.method, &parts.headers);
    let asked = Asked {
        method,
        path: parts.uri.path(),
        host: head::host_name(host),
        headers,
    };
    let found = exchange.generation.routes.find_by_model(&asked, model);
    let route = found.ok_or(ServeError::NoRoute)?.clone();
    exchange.note_route(&route);
    Ok(route)
}

impl Arrival {
    fn new(
        parts: Parts,
        content: Content,
        mut message: Message,
        (host, model): (HeaderValue, Option<String>),
    ) -> Self {
        let path = parts.uri.path_and_query().cloned();
        let path = path.unwrap_or(PathAndQuery::from_static("/"));
        path.as_str().clone_into(&mut message.path);
        if let Content::AtHand(bytes) = &content {
            message.body = Some(bytes.clone());
        }
        message.method = parts.method;
        message.headers = parts.headers;
        Self {
            message,
            content,
            path,
            host,
            model,
            named: Named::InBody,
            read: Need::Nothing,
        }
    }

    /// The same once more, as the policies have left it; `None`: its body is not at hand.
    pub(super) fn copy(&self) -> Option<Self> {
        let content = match &self.content {
            Content::AtHand(bytes) => Content::AtHand(bytes.clone()),
            Content::Empty => Content::Empty,
            _ if self.message.body.is_none() => return None,
            _ => Content::Empty,
        };
        Some(Self {
            message: copy(&self.message),
            content,
            path: self.path.clone(),
            host: self.host.clone(),
            model: self.model.clone(),
            named: self.named,
            read: self.read,
        })
    }

    /// Of the body, while it is at hand.
    pub(super) fn bytes(&self) -> usize {
        self.message.body.as_ref().map_or(0, Bytes::len)
    }

    /// The request for one try, and a copy of it where another may follow. A body that is
    /// still to come goes with the try, and so does one that nobody will need again.
    pub(super) fn for_try(&mut self, is_kept: bool) -> Self {
        let content = match &self.content {
            Content::AtHand(bytes) if is_kept => Content::AtHand(bytes.clone()),
            _ => mem::replace(&mut self.content, Content::Empty),
        };
        let message = match is_kept {
            true => {
                // What another try asks of it is read again: kept, it would be many times its text.
                let unedited = self.message.json.take_if(|json| !json.is_edited());
                // The copy has no room for more headers, and the try adds some.
                let kept = copy(&self.message);
                let mut message = mem::replace(&mut self.message, kept);
                message.json = message.json.or(unedited);
                message
            }
            false => mem::take(&mut self.message),
        };
        Self {
            message,
            content,
            path: self.path.clone(),
            host: self.host.clone(),
            model: match is_kept {
                true => self.model.clone(),
                false => self.model.take(),
            },
            named: self.named,
            read: self.read,
        }
    }

    /// Takes back what a try has left of a body that was still to come: whether all of it.
    pub(super) fn take_back(&mut self, unread: Option<Incoming>) -> bool {
        let is_whole = unread.is_some();
        if let Some(body) = unread {
            self.content = Content::ToCome(body);
        }
        is_whole
    }

    /// The body that is still to come.
    pub(super) fn into_body(self) -> Option<Incoming> {
        match self.content {
            Content::ToCome(body) => Some(body),
            _ => None,
        }
    }

    /// Whether a body is still to come that nobody has read.
    pub(super) fn is_streamed(&self) -> bool {
        self.message.body.is_none() && matches!(self.content, Content::ToCome(_))
    }

    /// Whether that much of the body is still on its way.
    pub(super) fn waits_for_client(&self, need: Need) -> bool {
        need > self.read && self.is_streamed()
    }

    /// Waits for the body, if a target needs more of it than the route did.
    ///
    /// # Errors
    /// As [`take_in`].
    pub(super) async fn have(
        &mut self,
        exchange: &mut Exchange,
        need: Need,
    ) -> Result<(), ServeError> {
        if need <= self.read {
            return Ok(());
        }
        self.read = need;
        // Unless a policy put another in its place.
        if self.message.body.is_none() {
            let content = mem::replace(&mut self.content, Content::Empty);
            self.content = request_at_hand(exchange, content).await?;
            exchange.record.bytes_in = self.content.length();
            if let Content::AtHand(bytes) = &self.content {
                self.message.body = Some(bytes.clone());
            }
        }
        let facts = match (&self.message.body, &mut self.message.json) {
            (None, _) => return Ok(()),
            (Some(_), Some(json)) => facts(json),
            (Some(body), None) => {
                let (body, headers) = (Content::AtHand(body.clone()), &self.message.headers);
                let is_in_path = self.named == Named::InPath;
                let path = is_in_path.then_some(&*self.message.path);
                let (facts, json) = read_at(path, &body, need, (headers, self.message.json_depth))?;
                self.message.json = json;
                self.message.prompt = (need > Need::Bytes).then_some(facts.prompt);
                facts
            }
        };
        if self.model.is_none() && self.named != Named::Unclear && need > Need::Bytes {
            match check_model(facts.model.as_deref()) {
                Err(_) if need == Need::Glance => return Ok(()),
                checked => checked?,
            }
            exchange.record.model.clone_from(&facts.model);
            exchange.record.streaming = facts.stream;
            self.model = facts.model;
        }
        Ok(())
    }

    /// Whether its body is at hand.
    pub(super) fn is_at_hand(&self) -> bool {
        self.message.body.is_some()
    }

    /// Whether another name for the model has to be written into the body.
    pub(super) fn names_in_body(&self) -> bool {
        self.named == Named::InBody
    }

    /// The model that the policies left in the body.
    ///
    /// # Errors
    /// A name that is too long, whoever wrote it.
    pub(super) fn note_model(&mut self, exchange: &mut Exchange) -> Result<(), ServeError> {
        let now = if self.message.path != self.path.as_str() {
            model_name::in_path(&self.message.path)
        } else if self.named != Named::InBody {
            return Ok(());
        } else {
            InPath::Nothing
        };
        let before = mem::replace(&mut self.named, Named::of(&now));
        match now {
            InPath::Model(model) => self.model = Some(model),
            InPath::Unclear => self.model = None,
            InPath::Nothing if before != Named::InBody || self.is_body_changed() => {
                if !self.is_model_in_body() {
                    self.model = self.model_in_body();
                }
            }
            InPath::Nothing => return Ok(()),
        }
        check_model(self.model.as_deref())?;
        exchange.record.model.clone_from(&self.model);
        Ok(())
    }

    /// Whether the body is known to call it as before.
    fn is_model_in_body(&mut self) -> bool {
        let Self { model, message, .. } = self;
        let (Some(model), Ok(Some(json))) = (model, message.read_json()) else {
            return false;
        };
        json.is_written("model", model)
    }

    fn model_in_body(&mut self) -> Option<String> {
        match self.message.json("/model") {
            Some(Value::Text(model)) => Some(model),
            _ => model_name::in_form(&self.message.headers, self.message.body.as_deref()?),
        }
    }

    fn is_body_changed(&self) -> bool {
        let replaced = match (&self.content, &self.message.body) {
            (Content::AtHand(before), Some(now)) => {
                before.as_ptr() != now.as_ptr() || before.len() != now.len()
            }
            (_, now) => now.is_some(),
        };
        replaced || self.message.json.as_ref().is_some_and(Json::is_edited)
    }

    /// Has the request call the model by `name`, where it names one.
    ///
    /// # Errors
    /// A path or JSON that cannot be edited: it must not go on under another name.
    pub(super) fn call_model(
        &mut self,
        exchange: &mut Exchange,
        name: Option<Arc<str>>,
    ) -> Result<(), ServeError> {
        let Some(name) = name.filter(|name| self.model.as_deref() != Some(&**name)) else {
            return Ok(());
        };
        if self.named != Named::InBody {
            let path = model_name::put_in_path(&self.message.path, &name);
            self.message.path = path.ok_or(ServeError::ModelMissing)?;
            exchange.record.target_model = Some(name);
            return Ok(());
        }
        if let Some(body) = &self.message.body
            && let Some(form) = model_name::put_in_form(&self.message.headers, body, &name)
        {
            self.message.replace_body(Some(form));
            exchange.record.target_model = Some(name);
            return Ok(());
        }
        let is_json = self.message.body.as_deref().is_some_and(begins_like_json);
        let is_form = model_name::is_form(&self.message.headers);
        let edited = match self.message.read_json() {
            Ok(Some(json)) => json
                .set("/model", &Value::Text(name.to_string()))
                .map_err(|error| error.to_string()),
            Err(error) if is_json => Err(error.to_string()),
            // It may name another in a way that is not understood.
            Ok(None) | Err(_) if is_form => {
                return Err(ServeError::ModelMissing);
            }
            Ok(None) | Err(_) => return Ok(()),
        };
        edited.map_err(ServeError::Json)?;
        exchange.record.target_model = Some(name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tollgate_sandbox::contract::Value;

    use super::*;

    #[test]
    fn what_a_try_made_of_the_request_does_not_reach_the_next() {
        let request = Request::builder().uri("/came").header("x", "came");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let content = Content::AtHand(Bytes::from_static(b"{}"));
        let host = HeaderValue::from_static("h");
        let message = Message {
            facts: vec![("tier".to_owned(), "gold".to_owned())],
            ..Message::default()
        };
        let mut arrival = Arrival::new(parts, content, message, (host, Some("m".to_owned())));
        for _ in 0..3 {
            let mut request = arrival.for_try(true);
            let message = &mut request.message;
            assert_eq!(message.headers["x"], "came");
            assert_eq!(message.headers.len(), 1);
            assert_eq!(message.path, "/came");
            assert_eq!(message.facts.len(), 1);
            assert_eq!(request.model.as_deref(), Some("m"));
            message
                .headers
                .insert("x", HeaderValue::from_static("edited"));
            message
                .headers
                .insert("y", HeaderValue::from_static("added"));
            message.path.push_str("/edited");
            message.facts.clear();
        }
    }

    #[test]
    fn what_is_kept_for_another_try_holds_no_document_taken_apart_unless_it_was_edited() {
        let (parts, ()) = Request::new(()).into_parts();
        let content = Content::AtHand(Bytes::from_static(br#"{"model":"m","n":1}"#));
        let host = HeaderValue::from_static("h");
        let mut arrival = Arrival::new(parts, content, Message::default(), (host, None));
        assert!(matches!(
            arrival.message.json("/n"),
            Some(Value::Number(1.0))
        ));
        let mut request = arrival.for_try(true);
        assert!(request.message.json.is_some(), "the try goes on with it");
        assert!(arrival.message.json.is_none());
        assert!(matches!(
            arrival.message.json("/n"),
            Some(Value::Number(1.0))
        ));

        let json = arrival.message.json.as_mut().unwrap();
        json.set("/n", &Value::Number(2.0)).unwrap();
        for _ in 0..2 {
            request = arrival.for_try(true);
            let changed = request.message.json("/n");
            assert!(matches!(changed, Some(Value::Number(2.0))), "{changed:?}");
        }
        assert_eq!(
            &**request.message.body().unwrap(),
            br#"{"model":"m","n":2}"#
        );
    }
}
