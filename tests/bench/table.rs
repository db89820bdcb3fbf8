//! The figures of a run, and how they are shown.

use std::time::Duration;

use tollgate::demo::load::Report;

/// One contender's figures, one entry a round.
pub(crate) struct Row {
    name: String,
    plain_us: Vec<f64>,
    paced_us: Vec<f64>,
    streamed_us: Vec<f64>,
    per_second: Vec<f64>,
    p50_us: Vec<f64>,
    p99_us: Vec<f64>,
    first_event_us: Vec<f64>,
    pub(crate) idle_kib: Vec<u64>,
    pub(crate) busy_kib: Vec<u64>,
}

impl Row {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            plain_us: Vec::new(),
            paced_us: Vec::new(),
            streamed_us: Vec::new(),
            per_second: Vec::new(),
            p50_us: Vec::new(),
            p99_us: Vec::new(),
            first_event_us: Vec::new(),
            idle_kib: Vec::new(),
            busy_kib: Vec::new(),
        }
    }

    pub(crate) fn plain(&mut self, report: &Report, cpu: Duration) {
        self.plain_us
            .push(cpu.as_secs_f64() * 1e6 / report.sent as f64);
        self.per_second.push(report.per_second());
        self.p50_us.push(f64::from(report.plain_latency.p50_us));
        self.p99_us.push(f64::from(report.plain_latency.p99_us));
    }

    pub(crate) fn paced(&mut self, report: &Report, cpu: Duration) {
        self.paced_us
            .push(cpu.as_secs_f64() * 1e6 / report.sent as f64);
    }

    pub(crate) fn streamed(&mut self, report: &Report, cpu: Duration) {
        self.streamed_us
            .push(cpu.as_secs_f64() * 1e6 / report.sent as f64);
        self.first_event_us
            .push(f64::from(report.first_event.p50_us));
    }
}

/// The median; of two, the smaller.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
        .get(sorted.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(f64::NAN)
}

/// Prints a Markdown table. The ratio is to the row of that name, if it is there.
pub(crate) fn print(rows: &[Row], to: &str, tokens: u64) {
    let base = |value: fn(&Row) -> f64| {
        rows.iter()
            .find(|row| row.name == to)
            .map_or(f64::NAN, value)
    };
    let plain = |row: &Row| median(&row.plain_us);
    let streamed = |row: &Row| median(&row.streamed_us);
    let paced = |row: &Row| median(&row.paced_us);
    let (base_plain, base_paced, base_streamed) = (base(plain), base(paced), base(streamed));
    let direct = rows.iter().find(|row| row.name == "direct");
    let added = |of: fn(&Row) -> f64, row: &Row| of(row) - direct.map_or(0.0, of);
    println!(
        "| | CPU a request, µs | ratio | paced, µs | ratio | requests/s | added p50, µs | added p99, µs | CPU a stream of {tokens} events, µs | ratio | idle, MiB | after load, MiB |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for row in rows {
        println!(
            "| {} | {:.1} | {:.2} | {:.1} | {:.2} | {:.0} | {:.0} | {:.0} | {:.0} | {:.2} | {:.1} | {:.1} |",
            row.name,
            plain(row),
            plain(row) / base_plain,
            paced(row),
            paced(row) / base_paced,
            median(&row.per_second),
            added(|row| median(&row.p50_us), row),
            added(|row| median(&row.p99_us), row),
            streamed(row),
            streamed(row) / base_streamed,
            mebibytes(&row.idle_kib),
            mebibytes(&row.busy_kib),
        );
    }
}

fn mebibytes(kib: &[u64]) -> f64 {
    median(
        &kib.iter()
            .map(|kib| *kib as f64 / 1024.0)
            .collect::<Vec<_>>(),
    )
}
