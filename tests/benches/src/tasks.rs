//! What a task costs: each program in turns of a few invocations, so that all meet the same load of
//! the machine.

use std::path::Path;
use std::time::Duration;

use sedano_benches::Result;
use sedano_benches::endpoint::{Calls, Endpoint};
use sedano_benches::function::Function;
use sedano_benches::load::{Kind, Load};

use crate::{BATCHES, Options, Programs, VISIBILITY, load, median};

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) program: Program,
    pub(crate) kind: Kind,
    pub(crate) batch: usize,
    /// Calls of [`TURN`] batches, as the endpoint saw them.
    pub(crate) calls: Calls,
    /// The same on the memory ports: equal, or one of the two is wrong.
    pub(crate) calls_in_memory: Calls,
    pub(crate) write_units: f64,
    /// CPU time of one task.
    pub(crate) cpu: Duration,
    /// Time of one batch where a call takes 5 ms.
    pub(crate) wall: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Consumer,
    /// The consumer with `SEDANO_STORE_WRITES=single`.
    Singly,
    Hand,
    Sdk,
    Floor,
}

impl Program {
    const ALL: [Self; 5] = [
        Self::Consumer,
        Self::Singly,
        Self::Hand,
        Self::Sdk,
        Self::Floor,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Program::Consumer => "consumer",
            Program::Singly => "consumer, single writes",
            Program::Hand => "loop by hand, one write",
            Program::Sdk => "bare SDK, one write",
            Program::Floor => "bare lambda_runtime",
        }
    }

    pub(crate) fn path(self, programs: &Programs) -> &Path {
        match self {
            Program::Consumer | Program::Singly => &programs.consumer,
            Program::Hand => &programs.hand,
            Program::Sdk => &programs.sdk,
            Program::Floor => &programs.floor,
        }
    }

    fn cases(self) -> Vec<(Kind, usize)> {
        let of = |kind| BATCHES.map(|batch| (kind, batch)).to_vec();
        match self {
            Program::Consumer => Kind::ALL.into_iter().flat_map(of).collect(),
            // A hundred at once would be a hundred connections.
            Program::Singly | Program::Sdk | Program::Floor => {
                vec![(Kind::Plain, 1), (Kind::Plain, 10)]
            }
            Program::Hand => of(Kind::Plain),
        }
    }
}

const CALL: Duration = Duration::from_millis(5);
/// Invocations of one program before the next one's turn.
pub(crate) const TURN: u32 = 10;

pub(crate) fn measure(options: &Options, loads: &[Load]) -> Result<Vec<Row>> {
    let Options {
        programs, rounds, ..
    } = options;
    let endpoint = Endpoint::plain()?;
    let visibility = options.visibility.to_string();
    let mut running = Vec::new();
    for program in Program::ALL {
        let writes = if program == Program::Singly {
            "single"
        } else {
            "batch"
        };
        let settings = [
            ("AWS_ENDPOINT_URL", endpoint.url.as_str()),
            ("SEDANO_STORE_WRITES", writes),
            (VISIBILITY, &visibility),
        ];
        let function = Function::start(program.path(programs), &settings, &[])?;
        running.push((program, function));
    }
    let mut rows = Vec::new();
    for batch in BATCHES {
        let mut cases = Vec::new();
        for (place, (program, _)) in running.iter().enumerate() {
            for (kind, _) in program.cases().into_iter().filter(|(_, of)| *of == batch) {
                cases.push((
                    place,
                    *program,
                    load(loads, kind, batch)?,
                    Vec::new(),
                    Calls::new(),
                ));
            }
        }
        // A first turn, to open connections and fill caches, doesn't count.
        for turn in 0..=rounds.div_ceil(TURN as usize) {
            for (place, _, load, costs, calls) in &mut cases {
                endpoint.take_calls();
                for _ in 0..TURN {
                    let cost = running[*place].1.invoke(&load.event)?;
                    if turn > 0 {
                        costs.push(cost.cpu / u32::try_from(batch)?);
                    }
                }
                *calls = endpoint.take_calls();
            }
        }
        endpoint.set_latency(CALL);
        for (place, program, load, costs, calls) in cases {
            let walls = (0..(rounds / 10).max(10))
                .map(|_| Ok(running[place].1.invoke(&load.event)?.wall))
                .collect::<Result<Vec<_>>>()?;
            rows.push(Row {
                program,
                kind: load.kind,
                batch,
                calls,
                calls_in_memory: in_memory(load),
                write_units: load.counts.write_units as f64 / batch as f64,
                cpu: median(costs),
                wall: median(walls),
            });
        }
        endpoint.set_latency(Duration::ZERO);
    }
    rows.sort_by_key(|row| (row.program as usize, row.kind as usize, row.batch));
    Ok(rows)
}

fn in_memory(load: &Load) -> Calls {
    let calls = load.counts.calls.iter();
    calls
        .map(|(name, count)| ((*name).to_owned(), count * u64::from(TURN)))
        .collect()
}
