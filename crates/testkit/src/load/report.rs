//! Figures in a table.

use std::fmt::Write as _;

/// One line of the table.
#[derive(Debug)]
pub struct Line {
    /// What was asked.
    pub work: &'static str,
    /// Messages per second.
    pub per_second: f64,
    /// The same as a share of what the bare HTTP client does.
    pub of_raw: Option<f64>,
    /// Latency of a request in milliseconds: half are faster, 99 of 100 are, all are.
    pub latency_ms: Option<[f64; 3]>,
    /// Processor time of the gateway for a message, in microseconds.
    pub cpu_us: Option<f64>,
    /// Resident memory of the gateway at the end, in MiB.
    pub resident_mib: Option<f64>,
}

/// What codes went through beside a backlog.
#[derive(Debug)]
pub struct CodesLine {
    /// Messages that waited in the bulk lane when the first code was sent, and when the last one had arrived.
    pub backlog: [u64; 2],
    /// Codes sent.
    pub codes: u64,
    /// From the request to its 202, in milliseconds: half are faster, 99 of 100 are, all are.
    pub answered_ms: [f64; 3],
    /// From the 202 to the provider, in the same way.
    pub arrived_ms: [f64; 3],
    /// Messages of the backlog that left in each second meanwhile.
    pub bulk_per_second: f64,
}

/// The table in Markdown.
pub fn codes_table(line: &CodesLine) -> String {
    let [before, after] = line.backlog;
    let mut table = format!(
        "{} codes; {before} messages waited in the bulk lane at the first, {after} at the last; {:.0} of them left a \
         second.\n\n| from | p50 ms | p99 ms | max ms |\n|---|---|---|---|\n",
        line.codes, line.bulk_per_second
    );
    for (work, [half, most, all]) in
        [("request to 202", line.answered_ms), ("**202 to the arrival at the provider**", line.arrived_ms)]
    {
        // Writing into a text can't fail.
        let _ = writeln!(table, "| {work} | {half:.1} | {most:.1} | {all:.1} |");
    }
    table
}

/// The table in Markdown.
pub fn table(lines: &[Line]) -> String {
    let mut table = String::from(
        "| work | messages/s | of R | p50 ms | p99 ms | max ms | CPU µs/message | resident MiB |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for line in lines {
        let number = |value: Option<f64>, decimals: usize| {
            value.map_or_else(|| "–".to_owned(), |value| format!("{value:.decimals$}"))
        };
        let latency =
            |index: usize| number(line.latency_ms.and_then(|latency| latency.get(index).copied()), 1);
        // Writing into a text can't fail.
        let _ = writeln!(
            table,
            "| {} | {:.0} | {} | {} | {} | {} | {} | {} |",
            line.work,
            line.per_second,
            number(line.of_raw, 2),
            latency(0),
            latency(1),
            latency(2),
            number(line.cpu_us, 0),
            number(line.resident_mib, 0),
        );
    }
    table
}
