//! Exit codes, and what is said when a command fails.

use std::process::ExitCode;

use sedano::{Error, ErrorKind};
use serde_json::{Value, json};

/// How the program ends; part of its interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Success = 0,
    /// The task that was asked after failed or was revoked.
    TaskFailed = 1,
    /// The command line, the settings or the task's arguments are wrong.
    Usage = 2,
    /// There is no such task, stack, queue, dead letter or entry.
    NotFound = 3,
    /// The task isn't done after the time to wait.
    Timeout = 4,
    /// Nothing answered, or it refused.
    Other = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a command failed: a sentence for people, the same as data for programs.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    /// The problem details of the HTTP API, where they are the reason.
    problem: Option<Value>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            problem: None,
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// What the HTTP API answered instead.
    pub(crate) fn of_problem(status: u16, problem: Value) -> Self {
        let text = |name: &str| problem.get(name).and_then(Value::as_str);
        let message = match (text("detail"), text("title")) {
            (Some(text), _) | (None, Some(text)) => text.to_owned(),
            (None, None) => format!("the HTTP API answered {status}"),
        };
        let exit = match status {
            400 | 413 | 422 => Exit::Usage,
            404 => Exit::NotFound,
            _ => Exit::Other,
        };
        Self {
            problem: Some(problem),
            ..Self::new(exit, message)
        }
    }

    /// The failure as data.
    pub(crate) fn to_json(&self) -> Value {
        let mut error = json!({"exit": self.exit as u8, "message": self.message});
        if let (Some(problem), Value::Object(error)) = (&self.problem, &mut error) {
            error.insert("problem".to_owned(), problem.clone());
        }
        json!({"error": error})
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match error.kind() {
            ErrorKind::NotRegistered | ErrorKind::NotFound => Exit::NotFound,
            ErrorKind::Bind
            | ErrorKind::Config
            | ErrorKind::Encode
            | ErrorKind::Invalid
            | ErrorKind::TooLarge => Exit::Usage,
            ErrorKind::Timeout => Exit::Timeout,
            _ => Exit::Other,
        };
        Self::new(exit, with_causes(&error))
    }
}

/// An error and what caused it, a line each.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!("\n  caused by: {error}"));
        cause = error.source();
    }
    text
}
