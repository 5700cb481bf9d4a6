//! The tables, in Markdown, and what they say of the goals.

use std::time::Duration;

use sedano_benches::endpoint::Calls;
use sedano_benches::load::Kind;

use crate::instructions::Counted;
use crate::starts::Start;
use crate::tasks::{Program, Row, TURN};

pub(crate) fn tasks(rows: &[Row]) {
    println!(
        "| program | task | batch | calls per task | calls per batch | write units per task | CPU µs per task | × loop by hand | ms per batch at 5 ms a call |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for row in rows {
        let is_ours = matches!(row.program, Program::Consumer | Program::Singly);
        let (kind, units) = if is_ours {
            (row.kind.name(), format!("{:.1}", row.write_units))
        } else {
            ("–", "–".to_owned())
        };
        println!(
            "| {} | {kind} | {} | {} | {} | {units} | {:.0} | {} | {:.1} |",
            row.program.name(),
            row.batch,
            calls(row) / row.batch as f64,
            list(&row.calls),
            micros(row.cpu),
            times(row, rows),
            millis(row.wall),
        );
        if row.program == Program::Consumer && row.calls != row.calls_in_memory {
            println!(
                "The memory ports count otherwise: {}.",
                list(&row.calls_in_memory)
            );
        }
    }
}

pub(crate) fn starts(starts: &[Start]) {
    println!(
        "\n| program, over TLS | start ms | start CPU ms | first batch of ten, CPU ms | ms | peak MiB | binary MB |"
    );
    println!("|---|---|---|---|---|---|---|");
    for start in starts {
        println!(
            "| {} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} |",
            start.program.name(),
            millis(start.init.wall),
            millis(start.init.cpu),
            millis(start.first.cpu),
            millis(start.first.wall),
            mib(start.peak),
            start.binary as f64 / 1e6,
        );
    }
}

pub(crate) fn instructions(counted: &[Counted]) {
    println!(
        "\n| program | task | instructions per task, batches of ten | of the start, in millions |"
    );
    println!("|---|---|---|---|");
    for one in counted {
        println!(
            "| {} | {} | {} | {:.1} |",
            one.program.name(),
            one.kind.name(),
            one.task,
            one.start as f64 / 1e6
        );
    }
}

pub(crate) fn goals(rows: &[Row], starts: &[Start]) {
    println!("\n| goal | measured | |");
    println!("|---|---|---|");
    let goal = |goal: &str, unit: &str, measured: f64, limit: f64| {
        let met = if measured <= limit { "met" } else { "not met" };
        println!("| {goal}: at most {limit:.1}{unit} | {measured:.1}{unit} | {met} |");
    };
    let row = |program, kind, batch| {
        rows.iter()
            .find(move |row: &&Row| (row.program, row.kind, row.batch) == (program, kind, batch))
    };
    let ours = |kind, batch| row(Program::Consumer, kind, batch);
    if let (Some(plain), Some(hand)) = (ours(Kind::Plain, 10), row(Program::Hand, Kind::Plain, 10))
    {
        let times = micros(plain.cpu) / micros(hand.cpu);
        goal(
            "CPU of a plain task to that of a loop by hand",
            " ×",
            times,
            5.0,
        );
    }
    for (kind, batch, limit) in [
        (Kind::Plain, 1, 2.0),
        (Kind::Plain, 10, 2.0),
        (Kind::Idempotent, 10, 1.0),
        (Kind::Quiet, 10, 0.0),
    ] {
        if let Some(row) = ours(kind, batch) {
            goal(
                &format!("calls of a batch of {batch}, {}", kind.name()),
                "",
                calls(row),
                limit,
            );
        }
    }
    for (kind, limit) in [
        (Kind::Plain, 2.0),
        (Kind::Idempotent, 1.0),
        (Kind::Quiet, 0.0),
    ] {
        if let Some(row) = ours(kind, 10) {
            goal(
                &format!("write units of a task, {}", kind.name()),
                "",
                row.write_units,
                limit,
            );
        }
    }
    for (kind, limit) in [(Kind::Plain, 14.0), (Kind::Idempotent, 8.0)] {
        if let Some(row) = ours(kind, 10) {
            let what = format!("a batch of ten at 5 ms a call, {}", kind.name());
            goal(&what, " ms", millis(row.wall), limit);
        }
    }
    let of = |program| {
        starts
            .iter()
            .find(move |start: &&Start| start.program == program)
    };
    if let (Some(own), Some(sdk), Some(floor)) =
        (of(Program::Consumer), of(Program::Sdk), of(Program::Floor))
    {
        let (init, sdk, floor) = (
            millis(own.init.cpu),
            millis(sdk.init.cpu),
            millis(floor.init.cpu),
        );
        let limit = 2.0 * floor + (sdk - floor).max(0.0);
        goal(
            "CPU of the start: 2 × lambda_runtime's, and the SDK's own",
            " ms",
            init,
            limit,
        );
        goal(
            "CPU of the first invocation over TLS",
            " ms",
            millis(own.first.cpu),
            5.0,
        );
        goal("peak memory", " MiB", mib(own.peak), 16.0);
        goal("binary", " MB", own.binary as f64 / 1e6, 8.0);
    }
}

/// The CPU time as a multiple of the loop's at the same batch size.
fn times(row: &Row, rows: &[Row]) -> String {
    let hand = rows
        .iter()
        .find(|of| of.program == Program::Hand && of.batch == row.batch);
    hand.map_or_else(String::new, |hand| {
        format!("{:.1}", micros(row.cpu) / micros(hand.cpu))
    })
}

/// Calls of one batch.
fn calls(row: &Row) -> f64 {
    row.calls.values().sum::<u64>() as f64 / f64::from(TURN)
}

fn list(calls: &Calls) -> String {
    if calls.is_empty() {
        return "none".to_owned();
    }
    let each: Vec<_> = calls
        .iter()
        .map(|(name, count)| format!("{} {name}", *count as f64 / f64::from(TURN)))
        .collect();
    each.join(", ")
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}
