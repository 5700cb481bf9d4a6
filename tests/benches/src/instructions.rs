//! Instructions by valgrind's callgrind: the same at every run of the same binary.

use std::fs;
use std::path::{Path, PathBuf};

use sedano_benches::Result;
use sedano_benches::endpoint::Endpoint;
use sedano_benches::function::Function;
use sedano_benches::load::{Kind, Load};

use crate::tasks::Program;
use crate::{Programs, load};

#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) program: Program,
    pub(crate) kind: Kind,
    /// From the process's start to its first request for an event.
    pub(crate) start: u64,
    /// Of one task.
    pub(crate) task: u64,
}

const BATCH: usize = 10;
/// Invocations of a short and a long run; the difference is free of what happens once.
const ROUNDS: [usize; 2] = [5, 45];

pub(crate) fn count(
    programs: &Programs,
    loads: &[Load],
    keep: Option<&Path>,
) -> Result<Vec<Counted>> {
    let of = [
        (Program::Consumer, Kind::Plain),
        (Program::Consumer, Kind::Idempotent),
        (Program::Consumer, Kind::Quiet),
        (Program::Hand, Kind::Plain),
        (Program::Sdk, Kind::Plain),
        (Program::Floor, Kind::Plain),
    ];
    let mut counted = Vec::new();
    for (program, kind) in of {
        let event = &load(loads, kind, BATCH)?.event;
        let run = |rounds: usize| {
            let name = format!("{}-{}-{rounds}", program.name(), kind.name());
            run(
                program.path(programs),
                event,
                rounds,
                &out_file(keep, &name),
                keep.is_some(),
            )
        };
        let (short, long) = (run(ROUNDS[0])?, run(ROUNDS[1])?);
        let tasks = (ROUNDS[1] - ROUNDS[0]) * BATCH;
        counted.push(Counted {
            program,
            kind,
            start: run(0)?,
            task: long.saturating_sub(short) / u64::try_from(tasks)?,
        });
    }
    Ok(counted)
}

fn out_file(keep: Option<&Path>, name: &str) -> PathBuf {
    let name = name.replace([' ', ','], "_");
    match keep {
        Some(folder) => folder.join(format!("callgrind.{name}")),
        None => std::env::temp_dir().join(format!("sedano-benches-{}.{name}", std::process::id())),
    }
}

fn run(program: &Path, event: &[u8], rounds: usize, file: &Path, keep: bool) -> Result<u64> {
    let out = format!("--callgrind-out-file={}", file.display());
    let endpoint = Endpoint::plain()?;
    let settings = [("AWS_ENDPOINT_URL", endpoint.url.as_str())];
    let valgrind = ["valgrind", "--quiet", "--tool=callgrind", &out];
    let mut function = Function::start(program, &settings, &valgrind)?;
    for _ in 0..rounds {
        function.invoke(event)?;
    }
    function.terminate()?;
    let text = fs::read_to_string(file)?;
    if !keep {
        fs::remove_file(file)?;
    }
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    Ok(total.ok_or("callgrind told no total")?.trim().parse()?)
}
