//! Measures and prints. Nothing here fails because a figure is bad; it fails where it can't measure.

mod instructions;
mod report;
mod starts;
mod tasks;

use std::path::{Path, PathBuf};

use sedano_benches::Result;
use sedano_benches::load::{Kind, Load};

const HELP: &str = "\
What a task costs on the real consumer, beside a loop written by hand, the bare SDK and the bare runtime.

tests/benches/run [OPTIONS]

  --consumer PATH   the consumer's binary (default: `consumer` beside this program)
  --rounds N        invocations for each row (default: 300)
  --starts N        starts of each program (default: 15)
  --visibility N    the queue's visibility timeout in seconds (default: 90, the template's)
  --instructions    count instructions with valgrind as well: slow, but load doesn't move them
  --keep FOLDER     keep valgrind's files there, for callgrind_annotate
  --help            this text";

/// The programs that are measured.
struct Programs {
    consumer: PathBuf,
    hand: PathBuf,
    sdk: PathBuf,
    floor: PathBuf,
}

struct Options {
    programs: Programs,
    rounds: usize,
    starts: usize,
    visibility: u32,
    instructions: bool,
    keep: Option<PathBuf>,
}

/// The batch sizes of the table.
const BATCHES: [usize; 3] = [1, 10, 100];

/// The consumer's setting that `--visibility` changes.
const VISIBILITY: &str = "SEDANO_VISIBILITY_TIMEOUT";

fn main() -> Result<()> {
    let Some(options) = options()? else {
        println!("{HELP}");
        return Ok(());
    };
    let mut loads = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for kind in Kind::ALL {
        for batch in BATCHES {
            loads.push(runtime.block_on(Load::new(kind, batch, options.visibility))?);
        }
    }
    let tasks = tasks::measure(&options, &loads)?;
    report::tasks(&tasks);
    let starts = starts::measure(&options, &loads)?;
    report::starts(&starts);
    if options.instructions {
        let counted = instructions::count(&options.programs, &loads, options.keep.as_deref())?;
        report::instructions(&counted);
    }
    report::goals(&tasks, &starts);
    Ok(())
}

/// The event of so many tasks of a kind.
fn load(loads: &[Load], kind: Kind, batch: usize) -> Result<&Load> {
    let found = loads
        .iter()
        .find(|load| (load.kind, load.batch) == (kind, batch));
    found.ok_or_else(|| format!("no load of {batch} {}", kind.name()).into())
}

fn options() -> Result<Option<Options>> {
    let own = std::env::current_exe()?;
    let beside = |name: &str| own.parent().unwrap_or(Path::new(".")).join(name);
    let programs = Programs {
        consumer: beside("consumer"),
        hand: beside("hand"),
        sdk: beside("sdk"),
        floor: beside("floor"),
    };
    let mut options = Options {
        programs,
        rounds: 300,
        starts: 15,
        visibility: 90,
        instructions: false,
        keep: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
        match name.as_str() {
            "--consumer" => options.programs.consumer = value()?.into(),
            "--rounds" => options.rounds = value()?.parse()?,
            "--starts" => options.starts = value()?.parse()?,
            "--visibility" => options.visibility = value()?.parse()?,
            "--keep" => options.keep = Some(value()?.into()),
            "--instructions" => options.instructions = true,
            "--help" | "-h" => return Ok(None),
            _ => return Err(format!("unknown option {name}\n\n{HELP}").into()),
        }
    }
    if options.rounds == 0 || options.starts == 0 {
        return Err("--rounds and --starts must be at least 1".into());
    }
    Ok(Some(options))
}

/// The middle value; of none, nothing.
fn median<T: Copy + Ord + Default>(values: impl IntoIterator<Item = T>) -> T {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
