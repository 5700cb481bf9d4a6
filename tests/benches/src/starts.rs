//! What a start costs, over TLS: from the process's start to its first request for an event, and
//! the first invocation.

use std::time::Duration;

use sedano_benches::Result;
use sedano_benches::endpoint::Endpoint;
use sedano_benches::function::{Cost, Function};
use sedano_benches::load::{Kind, Load};

use crate::tasks::Program;
use crate::{Options, VISIBILITY, load, median};

#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) program: Program,
    pub(crate) init: Cost,
    pub(crate) first: Cost,
    /// Bytes, after a hundred batches of ten.
    pub(crate) peak: u64,
    /// Bytes.
    pub(crate) binary: u64,
}

const BATCH: usize = 10;
const ROUNDS: usize = 100;

pub(crate) fn measure(options: &Options, loads: &[Load]) -> Result<Vec<Start>> {
    let Options {
        programs, starts, ..
    } = options;
    let (endpoint, authority) = Endpoint::tls()?;
    let visibility = options.visibility.to_string();
    let bundle = std::env::temp_dir().join(format!("sedano-benches-{}.pem", std::process::id()));
    std::fs::write(&bundle, authority)?;
    let settings = [
        ("AWS_ENDPOINT_URL", endpoint.url.as_str()),
        (VISIBILITY, &visibility),
        (
            "AWS_CA_BUNDLE",
            bundle
                .to_str()
                .ok_or("the folder for temporary files isn't UTF-8")?,
        ),
    ];
    let event = &load(loads, Kind::Plain, BATCH)?.event;
    let of = [Program::Consumer, Program::Sdk, Program::Floor];
    let mut costs = of.map(|_| Vec::new());
    for _ in 0..*starts {
        for (program, costs) in of.iter().zip(&mut costs) {
            let mut function = Function::start(program.path(programs), &settings, &[])?;
            costs.push((function.start, function.invoke(event)?));
        }
    }
    let mut measured = Vec::new();
    for (program, costs) in of.into_iter().zip(costs) {
        let mut function = Function::start(program.path(programs), &settings, &[])?;
        for _ in 0..ROUNDS {
            function.invoke(event)?;
        }
        measured.push(Start {
            program,
            init: middle(costs.iter().map(|(init, _)| *init)),
            first: middle(costs.iter().map(|(_, first)| *first)),
            peak: function.peak_memory()?,
            binary: std::fs::metadata(program.path(programs))?.len(),
        });
    }
    std::fs::remove_file(bundle)?;
    Ok(measured)
}

fn middle(costs: impl Iterator<Item = Cost> + Clone) -> Cost {
    let of = |part: fn(Cost) -> Duration| median(costs.clone().map(part));
    Cost {
        cpu: of(|cost| cost.cpu),
        wall: of(|cost| cost.wall),
    }
}
