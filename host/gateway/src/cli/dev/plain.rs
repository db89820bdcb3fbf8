//! What is told, as lines on standard output.

use std::io::{self, Write};

use tokio::sync::mpsc;

use crate::{
    cli::trace::view::View,
    dev::{Live, News, Setback, Started},
};

/// Prints until nobody tells anything more, or nobody reads it.
///
/// Whoever reads may stop to: the writing waits then, in a thread of its own, and signals
/// are heard all the same.
pub(super) async fn show(news: &mut mpsc::Receiver<News>) -> anyhow::Result<()> {
    while let Some(news) = news.recv().await {
        let written = tokio::task::spawn_blocking(move || {
            let mut out = io::stdout().lock();
            out.write_all(line(&news).as_bytes())?;
            out.flush()
        });
        match written.await? {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
    Ok(())
}

fn line(news: &News) -> String {
    match news {
        News::Building => "building\n".to_owned(),
        News::Started(started) => format!("serving: {}\n", where_it_is(started)),
        News::Live(live) => format!("live: {}\n", what_is_live(live)),
        News::Unchanged => "unchanged: it built to what is live\n".to_owned(),
        News::Setback(setback) => {
            let why = setback.why.trim_end();
            format!("setback: {}:\n{why}\n", headline(setback))
        }
        News::Exchange(trace) => View { colored: false }.trace(trace),
        News::Lost { slow, skipped } => View { colored: false }.lost(*slow, *skipped),
        News::Note(note) => format!("note: {note}\n"),
    }
}

/// Where the gateway is, and what is behind it.
pub(super) fn where_it_is(started: &Started) -> String {
    let Started {
        addr,
        admin,
        upstream,
    } = started;
    format!("http://{addr} in front of {upstream}, admin port http://{admin}")
}

/// A version, and how long it took to get there.
pub(super) fn what_is_live(live: &Live) -> String {
    let seconds = |time: std::time::Duration| time.as_secs_f64();
    format!(
        "generation {}, {} {} ({} KiB), settings {}; built in {:.2} s, live after {:.2} s",
        live.generation,
        live.name,
        live.version,
        live.bytes.div_ceil(1 << 10),
        live.settings,
        seconds(live.built),
        seconds(live.took)
    )
}

/// What went wrong, and what serves.
pub(super) fn headline(setback: &Setback) -> String {
    match setback.generation {
        Some(generation) => format!("{}; generation {generation} goes on", setback.what),
        None => format!("{}; nothing serves yet", setback.what),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn news_are_lines_that_begin_with_what_they_are() {
        let live = Live {
            generation: 2,
            name: "mine".to_owned(),
            version: "0.1.0".to_owned(),
            bytes: 2049,
            settings: "of dev.yaml".to_owned(),
            built: Duration::from_millis(600),
            took: Duration::from_millis(940),
        };
        assert_eq!(
            line(&News::Live(live)),
            "live: generation 2, mine 0.1.0 (3 KiB), settings of dev.yaml; built in 0.60 s, live after 0.94 s\n"
        );
        let setback = |generation| {
            News::Setback(Setback {
                what: "mine does not build".to_owned(),
                why: "error: no\n\n".to_owned(),
                generation,
            })
        };
        assert_eq!(
            line(&setback(Some(2))),
            "setback: mine does not build; generation 2 goes on:\nerror: no\n"
        );
        assert_eq!(
            line(&setback(None)),
            "setback: mine does not build; nothing serves yet:\nerror: no\n"
        );
    }
}
