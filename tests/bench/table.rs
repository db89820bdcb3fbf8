//! The figures of a run, and how they are shown.

use std::time::Duration;

use tollgate::demo::load::Report;

/// One contender's figures, one entry a round.
pub(crate) struct Row {
    pub(crate) name: String,
    plain_us: Vec<f64>,
    paced_us: Vec<f64>,
    streamed_us: Vec<f64>,
    per_second: Vec<f64>,
    p50_us: Vec<f64>,
    p99_us: Vec<f64>,
    first_event_us: Vec<f64>,
    pub(crate) idle_kib: u64,
    pub(crate) busy_kib: u64,
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
            idle_kib: 0,
            busy_kib: 0,
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

/// The median of the ratios that each round has: what disturbs some rounds, or makes all of
/// them slower for a while, does not move it.
fn ratio(of: &[f64], to: Option<&[f64]>) -> f64 {
    let rounds = of.iter().zip(to.unwrap_or_default());
    median(&rounds.map(|(of, to)| of / to).collect::<Vec<_>>())
}

/// Prints a Markdown table. The ratio is to the row of that name, if it is there.
pub(crate) fn print(rows: &[Row], to: &str, tokens: u64) {
    let base = rows.iter().find(|row| row.name == to);
    let beside = |row: &Row, value: fn(&Row) -> &[f64]| ratio(value(row), base.map(value));
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
            median(&row.plain_us),
            beside(row, |row| &row.plain_us),
            median(&row.paced_us),
            beside(row, |row| &row.paced_us),
            median(&row.per_second),
            added(|row| median(&row.p50_us), row),
            added(|row| median(&row.p99_us), row),
            median(&row.streamed_us),
            beside(row, |row| &row.streamed_us),
            mebibytes(row.idle_kib),
            mebibytes(row.busy_kib),
        );
    }
}

fn mebibytes(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
