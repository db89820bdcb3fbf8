//! How long an exchange waits, and for what: as the configuration says, then the route,
//! then the model, and of the whole as the client asks for.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;
use tollgate_config::{Timeouts, Waits as Said};

/// In whole milliseconds: what a client asks for, and what is left of it for an upstream.
pub(super) const REQUEST_TIMEOUT: &str = "x-request-timeout-ms";

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    pub(super) connect: Duration,
    pub(super) first_byte: Duration,
    /// `None`: as long as the stream is not silent.
    pub(super) first_token: Option<Duration>,
    pub(super) between_bytes: Duration,
    total: Duration,
    total_max: Option<Duration>,
    asked: Option<Duration>,
    /// Somebody bounds this exchange in particular: the upstream is told what is left.
    is_told: bool,
}

impl Waits {
    /// What holds for all, and what the client asks for.
    pub(super) fn new(timeouts: &Timeouts, headers: &HeaderMap) -> Self {
        let mut lines = headers.get_all(REQUEST_TIMEOUT).iter();
        let asked = lines.next();
        let is_told = asked.is_some();
        let asked = asked.filter(|_| lines.next().is_none()).and_then(read);
        Self {
            connect: timeouts.connect,
            first_byte: timeouts.first_byte,
            first_token: None,
            between_bytes: timeouts.between_bytes,
            total: timeouts.total,
            total_max: timeouts.total_max,
            asked,
            is_told,
        }
    }

    /// What a route or a model says comes before what was said so far.
    pub(super) fn follow(&mut self, said: &Said) {
        let Said {
            connect,
            first_byte,
            first_token,
            between_bytes,
            total,
            total_max,
        } = *said;
        self.connect = connect.unwrap_or(self.connect);
        self.first_byte = first_byte.unwrap_or(self.first_byte);
        self.first_token = first_token.or(self.first_token);
        self.between_bytes = between_bytes.unwrap_or(self.between_bytes);
        if let Some(total) = total {
            self.total = total;
            // Nobody is to get less for asking for more.
            self.total_max = self.total_max.filter(|most| *most > total);
            self.is_told = true;
        }
        self.total_max = total_max.or(self.total_max);
    }

    /// Without what the client asks for.
    pub(super) fn of_nobody(self) -> Self {
        Self {
            asked: None,
            ..self
        }
    }

    /// Of the whole exchange: no client makes it longer than the operator lets it.
    pub(super) fn total(&self) -> Duration {
        let most = self.total_max.unwrap_or(self.total);
        self.asked.map_or(self.total, |asked| asked.min(most))
    }

    /// Whether the client gives it less time than the operator does.
    pub(super) fn is_cut_short(&self) -> bool {
        self.asked.is_some_and(|asked| asked < self.total)
    }

    /// Says how long the upstream has, in place of what the client said.
    pub(super) fn tell(&self, deadline: Instant, fields: &mut HeaderMap) {
        if !self.is_told {
            return;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        fields.insert(REQUEST_TIMEOUT, HeaderValue::from(millis.max(1)));
    }
}

/// A number of milliseconds; what is none, or 0, counts as not said.
fn read(value: &HeaderValue) -> Option<Duration> {
    const DIGITS_MAX: usize = 12;
    let text = value.to_str().ok()?;
    let is_number = text.len() <= DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_digit());
    let millis = text
        .parse()
        .ok()
        .filter(|millis| is_number && *millis > 0)?;
    Some(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn waits(total_max: Option<Duration>, values: &[&'static str]) -> Waits {
        let lines = values.iter().map(|value| {
            (
                REQUEST_TIMEOUT.parse().unwrap(),
                HeaderValue::from_static(value),
            )
        });
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let _: bool = headers.append::<http::HeaderName>(name, value);
        }
        let timeouts = Timeouts {
            total: 10 * SECOND,
            total_max,
            ..Timeouts::default()
        };
        Waits::new(&timeouts, &headers)
    }

    #[test]
    fn a_client_may_ask_for_less_and_for_more_as_far_as_it_is_let() {
        for (most, asked, total) in [
            (None, "2000", 2 * SECOND),
            (None, "60000", 10 * SECOND),
            (Some(30 * SECOND), "20000", 20 * SECOND),
            (Some(30 * SECOND), "60000", 30 * SECOND),
            (Some(30 * SECOND), "999999999999", 30 * SECOND),
        ] {
            let waits = waits(most, &[asked]);
            assert_eq!(waits.total(), total, "{most:?} {asked}");
            assert_eq!(waits.is_cut_short(), asked == "2000", "{most:?} {asked}");
        }
    }

    #[test]
    fn what_is_no_number_or_said_twice_counts_as_not_said() {
        for values in [
            &[][..],
            &["0"],
            &[""],
            &["-1"],
            &["+5"],
            &["1.5"],
            &["5s"],
            &["0x10"],
            &["9999999999999"],
            &["99999999999999999999999"],
            &["5", "5"],
        ] {
            assert_eq!(waits(None, values).total(), 10 * SECOND, "{values:?}");
        }
    }

    #[test]
    fn a_model_comes_before_its_route_and_a_route_before_the_rest() {
        let mut waits = waits(Some(30 * SECOND), &["20000"]);
        waits.follow(&Said {
            total: Some(5 * SECOND),
            first_byte: Some(3 * SECOND),
            connect: Some(SECOND),
            ..Said::default()
        });
        waits.follow(&Said {
            first_byte: Some(SECOND),
            first_token: Some(2 * SECOND),
            ..Said::default()
        });
        assert_eq!((waits.connect, waits.first_byte), (SECOND, SECOND));
        assert_eq!(waits.first_token, Some(2 * SECOND));
        assert_eq!(waits.total(), 20 * SECOND, "as far as 30 s");
        waits.follow(&Said {
            total_max: Some(6 * SECOND),
            ..Said::default()
        });
        assert_eq!(waits.total(), 6 * SECOND);
    }

    #[test]
    fn an_upstream_is_told_what_is_left_where_somebody_bounds_the_exchange() {
        let hour = Instant::now() + 3600 * SECOND;
        let told = |waits: Waits, deadline| {
            let mut fields = HeaderMap::from_iter([(
                REQUEST_TIMEOUT.parse().unwrap(),
                HeaderValue::from_static("as the client said"),
            )]);
            waits.tell(deadline, &mut fields);
            let told = fields[REQUEST_TIMEOUT].to_str().unwrap().parse();
            told.ok().map(Duration::from_millis)
        };
        let is_left = |told: Option<Duration>| {
            told.is_some_and(|left| left <= 3600 * SECOND && left > 3000 * SECOND)
        };
        assert_eq!(told(waits(None, &[]), hour), None);
        assert!(is_left(told(waits(None, &["1000"]), hour)));
        assert!(is_left(told(waits(None, &["soon"]), hour)));
        assert_eq!(
            told(waits(None, &["1000"]), Instant::now()),
            Some(Duration::from_millis(1)),
            "never 0, which some take for no bound"
        );
        let mut by_route = waits(None, &[]);
        by_route.follow(&Said {
            total: Some(SECOND),
            ..Said::default()
        });
        assert!(is_left(told(by_route, hour)));
    }
}
