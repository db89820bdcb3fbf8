//! Asks the endpoints of an upstream whether they are ready, and how busy they are.
//!
//! A task an endpoint, which comes and goes with it. Questions are spread over time, so
//! that neither many endpoints nor many gateways ask at once.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use http::StatusCode;
use tokio::{
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};
use tollgate_config::{Active, Scrape};
use tollgate_upstreams::scrape;

use crate::serve::{Asked, Endpoint, Question, Upstream, chance, count};

/// Of an answer to a check; nobody reads it.
const CHECK_BYTES: usize = 64 << 10;
/// Of one scrape, at most.
const SCRAPE_TIME: Duration = Duration::from_secs(2);
/// An endpoint is asked for the first time within this.
const FIRST: Duration = Duration::from_secs(1);

pub(super) fn are_needed(upstream: &Upstream) -> bool {
    upstream.written.health.active.is_some() || upstream.balancer.scrape().is_some()
}

/// Asks all endpoints, those that are still to come too.
pub(super) async fn ask(upstream: &Arc<Upstream>) {
    if !are_needed(upstream) {
        return;
    }
    let mut replaced = upstream.replaced.subscribe();
    let mut asking = JoinSet::new();
    let mut asked: HashMap<Arc<str>, AbortHandle> = HashMap::new();
    loop {
        let present = upstream.endpoints();
        asked.retain(|label, task| {
            let stays = present.iter().any(|endpoint| endpoint.label == *label);
            if !stays {
                task.abort();
            }
            stays
        });
        for endpoint in present.iter() {
            asked.entry(endpoint.label.clone()).or_insert_with(|| {
                asking.spawn(ask_one(Arc::clone(upstream), Arc::clone(endpoint)))
            });
        }
        drop(present);
        while asking.try_join_next().is_some() {}
        if replaced.changed().await.is_err() {
            return;
        }
    }
}

async fn ask_one(upstream: Arc<Upstream>, endpoint: Arc<Endpoint>) {
    let checks = async {
        if let Some(active) = &upstream.written.health.active {
            check(&upstream, &endpoint, active).await;
        }
    };
    let scrapes = async {
        if let Some(scrape) = upstream.balancer.scrape() {
            self::scrape(&upstream, &endpoint, scrape).await;
        }
    };
    tokio::join!(checks, scrapes);
}

async fn check(upstream: &Upstream, endpoint: &Endpoint, active: &Active) {
    let question = Question {
        path: &active.path,
        port: None,
        bytes_max: CHECK_BYTES,
    };
    let fleet = &upstream.care.fleet;
    sleep(part_of(active.interval.min(FIRST))).await;
    loop {
        let begun = Instant::now();
        let answer = timeout(active.timeout, upstream.ask(endpoint, &question)).await;
        let error = match answer {
            Ok(Ok((status, _))) if status.is_success() => None,
            Ok(Ok((status, _))) => Some(format!("status {}", status.as_u16())),
            Ok(Err(error)) => Some(error),
            Err(_) => Some(late(active.timeout)),
        };
        let is_good = error.is_none();
        count(&fleet.counts.checks[usize::from(!is_good)]);
        endpoint.state.notes.lock().check = Some(asked(begun, error));
        upstream.checked(endpoint, is_good);
        sleep(spread(active.interval, active.jitter_percent)).await;
    }
}

async fn scrape(upstream: &Upstream, endpoint: &Endpoint, settings: &Scrape) {
    let question = Question {
        path: &settings.path,
        port: settings.port,
        bytes_max: scrape::PAGE_BYTES_MAX,
    };
    let most = settings.stale.min(SCRAPE_TIME);
    let fleet = &upstream.care.fleet;
    sleep(part_of(settings.interval.min(FIRST))).await;
    loop {
        let begun = Instant::now();
        let mark = endpoint.load.scrape_begins(begun);
        let answer = timeout(most, upstream.ask(endpoint, &question)).await;
        let figures = match answer {
            Ok(Ok((StatusCode::OK, page))) => {
                scrape::figures(&page).map_err(|error| error.to_string())
            }
            Ok(Ok((status, _))) => Err(format!("status {}", status.as_u16())),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(late(most)),
        };
        count(&fleet.counts.scrapes[usize::from(figures.is_err())]);
        let error = match figures {
            Ok(figures) => {
                endpoint.load.scraped(mark, figures);
                None
            }
            Err(error) => Some(error),
        };
        endpoint.state.notes.lock().scrape = Some(asked(begun, error));
        sleep(spread(settings.interval, 10)).await;
    }
}

fn late(most: Duration) -> String {
    format!("no answer in {most:?}")
}

fn asked(begun: Instant, error: Option<String>) -> Asked {
    Asked {
        at: begun,
        took: begun.elapsed(),
        error,
    }
}

/// Some part of it, at random.
fn part_of(time: Duration) -> Duration {
    let millis = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    Duration::from_millis(chance::below(millis).into())
}

/// About as long: up to `percent` of it more or less, at random.
fn spread(time: Duration, percent: u32) -> Duration {
    let by = time.saturating_mul(percent.min(100)) / 100;
    (time - by) + part_of(by.saturating_mul(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_differ_by_their_jitter_and_no_more() {
        let second = Duration::from_secs(1);
        for _ in 0..1_000 {
            let spread = spread(second, 20);
            assert!(
                (second * 4 / 5..second * 6 / 5).contains(&spread),
                "{spread:?}"
            );
            assert!(part_of(second) < second);
        }
        assert_eq!(spread(second, 0), second);
        assert!(spread(second, 100) < 2 * second);
    }
}
