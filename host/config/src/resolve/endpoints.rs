//! Where the endpoints of an upstream come from.

use std::{ops::RangeInclusive, time::Duration};

use super::scope::Scope;
use crate::{
    defaults,
    file::{self, Found, Listed, Period},
    model::{DnsRecord, Endpoint, EndpointDns, EndpointFile, Endpoints},
    place::{At, Place},
    spelling,
};

const REFRESH: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
const DNS_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(60);

pub(super) fn endpoints(scope: &Scope<'_>, written: At<file::Endpoints>) -> Endpoints {
    match written.value {
        file::Endpoints::Listed(listed) => Endpoints::Listed(list(scope, written.place, &listed)),
        file::Endpoints::Found(found) => source(scope, written.place, &found),
    }
}

fn list(scope: &Scope<'_>, place: Place, written: &[At<Listed>]) -> Vec<Endpoint> {
    if written.is_empty() {
        let expected = "at least one URL such as `http://127.0.0.1:9000`";
        scope.refuse(place, "the upstream has no endpoint", expected);
    }
    if written.len() > Endpoints::MAX {
        let message = format!("the upstream has {} endpoints", written.len());
        scope.refuse(place, message, format!("1 to {}", Endpoints::MAX));
        return Vec::new();
    }
    let mut endpoints: Vec<Endpoint> = Vec::with_capacity(written.len());
    for At { value, place } in written {
        let read = match value {
            Listed::Url(url) => scope.read(&at(url, *place), spelling::endpoint),
            Listed::Weighted(weighted) => {
                let weight = scope.count(
                    weighted.weight.as_ref(),
                    defaults::WEIGHT,
                    1..=Endpoints::WEIGHT_MAX,
                );
                let endpoint = scope.read(&weighted.url, spelling::endpoint);
                endpoint.map(|endpoint| Endpoint { weight, ..endpoint })
            }
        };
        let Some(endpoint) = read else { continue };
        if endpoints
            .iter()
            .any(|before| before.to_string() == endpoint.to_string())
        {
            let message = format!("the endpoint `{endpoint}` stands in this list twice");
            scope.refuse(
                *place,
                message,
                "each once; `weight` gives one a larger share",
            );
            continue;
        }
        endpoints.push(endpoint);
    }
    endpoints
}

fn at(text: &str, place: Place) -> At<String> {
    At {
        value: text.to_owned(),
        place,
    }
}

fn source(scope: &Scope<'_>, place: Place, written: &Found) -> Endpoints {
    let nothing = Endpoints::Listed(Vec::new());
    let refuse = |message: &str| {
        scope.refuse(place, message, "one of `file`, `dns` and `srv`");
    };
    match (&written.file, &written.dns, &written.srv) {
        (Some(file), None, None) => {
            let resolver = written.resolver.as_ref().map(|text| text.place);
            let timeout = written.timeout.as_ref().map(|text| text.place);
            for place in resolver.into_iter().chain(timeout) {
                let message = "no DNS is asked for a file";
                scope.refuse(place, message, "no such key beside `file`");
            }
            Endpoints::File(EndpointFile {
                path: scope.path(file),
                refresh: refresh(scope, written.refresh.as_ref()).unwrap_or(defaults::FILE_REFRESH),
            })
        }
        (None, Some(url), None) => dns(scope, written, url, DnsRecord::Address).unwrap_or(nothing),
        (None, None, Some(url)) => dns(scope, written, url, DnsRecord::Srv).unwrap_or(nothing),
        (None, None, None) => {
            refuse("nothing says where the endpoints are");
            nothing
        }
        _ => {
            refuse("endpoints come from one place alone");
            nothing
        }
    }
}

fn refresh(scope: &Scope<'_>, written: Option<&At<Period>>) -> Option<Duration> {
    written.map(|_| scope.period_within(written, *REFRESH.start(), REFRESH))
}

fn dns(
    scope: &Scope<'_>,
    written: &Found,
    url: &At<String>,
    record: DnsRecord,
) -> Option<Endpoints> {
    let refresh = refresh(scope, written.refresh.as_ref());
    let timeout = scope.period_within(written.timeout.as_ref(), defaults::DNS_TIMEOUT, DNS_TIMEOUT);
    let resolver = written.resolver.as_ref();
    let resolver = resolver.and_then(|text| scope.read(text, spelling::resolver));
    let read = scope.read(url, spelling::endpoint)?;
    let host = read.host();
    if host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok() {
        let message = format!("`{host}` is an address, for which no DNS is asked");
        scope.refuse(url.place, message, "a name; an address stands in a list");
        return None;
    }
    if record == DnsRecord::Srv
        && (read.authority != host || url.value.contains(&format!("{host}:")))
    {
        let message = "SRV records tell the port";
        scope.refuse(
            url.place,
            message,
            "a URL without a port, such as `http://_http._tcp.vllm.svc`",
        );
        return None;
    }
    Some(Endpoints::Dns(EndpointDns {
        url: read,
        record,
        refresh,
        resolver,
        timeout,
    }))
}
