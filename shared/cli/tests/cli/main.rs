//! The command line against a local stack: what it prints, where, and how it ends.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod beat;
mod dead_letters;
mod queues;
mod target;
mod tasks;

use std::process::{Command, Output};
use std::sync::OnceLock;

use sedano_dev::{Settings, Stack};
use serde_json::{Value, json};

type Running = (tokio::runtime::Runtime, Stack, String);

/// One stack for all tests of this binary; it ends with the process.
fn running() -> &'static Running {
    static STACK: OnceLock<Running> = OnceLock::new();
    STACK.get_or_init(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let settings = Settings {
            port: 0,
            workers: 2,
            // From a full minute on, the sample schedule sends nothing for two.
            at: Some("2026-01-07T12:01:00Z".parse().unwrap()),
            ..Settings::default()
        };
        let stack = runtime.block_on(Stack::start(&settings)).unwrap();
        let url = stack.url();
        (runtime, stack, url)
    })
}

fn url() -> &'static str {
    &running().2
}

/// The program, knowing nothing of this machine's own settings.
fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sedano"));
    for name in ["SEDANO_URL", "SEDANO_STACK", "SEDANO_QUEUES"] {
        command.env_remove(name);
    }
    command
}

#[derive(Debug, PartialEq)]
struct Ran {
    exit: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            exit: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn error(&self) -> Value {
        serde_json::from_str(&self.stderr).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn run(mut command: Command, words: &[&str]) -> Ran {
    Ran::of(command.args(words).output().unwrap())
}

fn sedano(words: &[&str]) -> Ran {
    let mut command = program();
    command.args(["--url", url()]);
    run(command, words)
}

fn ran(exit: i32, stdout: &str, stderr: &str) -> Ran {
    Ran {
        exit,
        stdout: stdout.to_owned(),
        stderr: stderr.to_owned(),
    }
}

/// What the program says of itself and nothing else.
fn refused(exit: i32, message: &str) -> Ran {
    ran(exit, "", &format!("sedano: {message}\n"))
}
