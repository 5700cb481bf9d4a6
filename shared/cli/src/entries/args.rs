//! What can be said of an entry on the command line, and the definition made of it.

use std::io::Read;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use sedano::Timestamp;
use sedano::beat::{Entry, Schedule};
use serde_json::{Map, Value};

use crate::args::{argument, object};
use crate::failure::{Failure, Result};

/// What to do with beat's entries.
#[derive(Debug, Subcommand)]
pub(crate) enum EntriesCommand {
    /// Prints the entries, each with its next due time.
    List,
    /// Prints one entry with its definition.
    Show {
        /// Its name.
        name: String,
    },
    /// Prints an entry's next due times, in its time zone and in UTC.
    Next {
        /// Its name.
        name: String,
        #[command(flatten)]
        count: CountArgs,
    },
    /// Prints an entry's last due times and runs by hand, and what became of them.
    History {
        /// Its name.
        name: String,
        #[command(flatten)]
        count: CountArgs,
    },
    /// Adds an entry.
    Add(Box<EntryArgs>),
    /// Changes an entry: what is said, and nothing else. Due times that were handed out are revoked.
    Edit(Box<EditEntryArgs>),
    /// Switches an entry off; what was handed out is revoked.
    Pause {
        /// Its name.
        name: String,
    },
    /// Switches an entry on again: it is due from now on.
    Resume {
        /// Its name.
        name: String,
    },
    /// Sends an entry's task now, and prints the task's id.
    RunNow {
        /// Its name.
        name: String,
    },
    /// Removes an entry; what was handed out is revoked.
    Remove {
        /// Its name.
        name: String,
    },
}

/// How many due times.
#[derive(Debug, Args)]
pub(crate) struct CountArgs {
    /// How many, up to 100.
    #[arg(short, default_value_t = 10, value_name = "COUNT", value_parser = count)]
    pub(crate) n: usize,
}

/// An entry.
#[derive(Debug, Default, Args)]
pub(crate) struct EntryArgs {
    /// Its name: letters, digits, spaces, dots, dashes and underscores.
    pub(crate) name: String,
    /// The task to send.
    pub(crate) task: Option<String>,
    /// Arguments by position: JSON where it is JSON (`2`, `true`, `"x"`, `[1]`), else text.
    #[arg(value_name = "ARGS", value_parser = argument, allow_negative_numbers = true)]
    pub(crate) args: Vec<Value>,
    #[command(flatten)]
    pub(crate) says: Says,
}

/// What is to become of an entry.
#[derive(Debug, Default, Args)]
pub(crate) struct EditEntryArgs {
    #[command(flatten)]
    pub(crate) entry: EntryArgs,
    /// Due again: takes back --disabled.
    #[arg(long, conflicts_with = "disabled")]
    pub(crate) enabled: bool,
    /// Takes a setting back to its default; may be repeated.
    #[arg(long, value_name = "SETTING", value_parser = PossibleValuesParser::new(Entry::SETTINGS))]
    pub(crate) unset: Vec<String>,
}

/// The schedule and everything else that is said by a flag.
#[derive(Debug, Default, Args)]
pub(crate) struct Says {
    /// The whole entry as JSON, from a file or with `-` from standard input; flags go before it.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<String>,
    /// Due every so often: 30s, 5m, 2h, 1d.
    #[arg(long, value_name = "PERIOD", value_parser = period, conflicts_with_all = ["cron", "solar", "at"])]
    pub(crate) every: Option<u64>,
    /// Due by a crontab expression in Celery's dialect, such as "30 7 * * mon-fri".
    #[arg(long, value_name = "CRONTAB", conflicts_with_all = ["solar", "at"])]
    pub(crate) cron: Option<String>,
    /// The crontab expression is in the common dialect, that of crontab(5).
    // What a flag requires is waived where that conflicts with what is there.
    #[arg(long, requires = "cron", conflicts_with_all = ["every", "solar", "at"])]
    pub(crate) vixie: bool,
    /// Due by the sun: sunrise, solar_noon, sunset, dawn_civil, …; with --lat and --lon.
    #[arg(
        long,
        value_name = "EVENT",
        requires = "lat",
        requires = "lon",
        conflicts_with = "at"
    )]
    pub(crate) solar: Option<String>,
    /// Degrees of latitude, north positive.
    #[arg(long, requires = "solar", conflicts_with_all = ["every", "cron", "at"], allow_negative_numbers = true)]
    pub(crate) lat: Option<f64>,
    /// Degrees of longitude, east positive.
    #[arg(long, requires = "solar", conflicts_with_all = ["every", "cron", "at"], allow_negative_numbers = true)]
    pub(crate) lon: Option<f64>,
    /// Due once, at this instant, such as 2026-03-01T12:00:00Z.
    #[arg(long, value_name = "ISO")]
    pub(crate) at: Option<Timestamp>,
    /// The time zone of the schedule, such as Europe/Kyiv.
    #[arg(long, value_name = "ZONE")]
    pub(crate) tz: Option<String>,
    /// Arguments by name, as a JSON object.
    #[arg(long, value_name = "JSON", value_parser = object)]
    pub(crate) kwargs: Option<Map<String, Value>>,
    /// The queue, instead of the task's own.
    #[arg(long, value_name = "NAME")]
    pub(crate) queue: Option<String>,
    /// Revoked, if it hasn't started so long after it was due: 30s, 5m, 2h, 1d.
    #[arg(long, value_name = "PERIOD", value_parser = period)]
    pub(crate) expires: Option<u64>,
    /// What becomes of due times that were missed.
    #[arg(long, value_name = "POLICY", value_parser = ["skip", "once", "all"])]
    pub(crate) catch_up: Option<String>,
    /// How late something missed may still be sent: 30s, 5m, 2h, 1d.
    #[arg(long, value_name = "PERIOD", value_parser = period)]
    pub(crate) grace: Option<u64>,
    /// Sent up to so much later: 30s, 5m, 1h.
    #[arg(long, value_name = "PERIOD", value_parser = period)]
    pub(crate) jitter: Option<u64>,
    /// A run doesn't start while the one before it goes on.
    #[arg(long)]
    pub(crate) no_overlap: bool,
    /// Due times before this instant aren't any.
    #[arg(long, value_name = "ISO")]
    pub(crate) start: Option<Timestamp>,
    /// Due times after this instant aren't any.
    #[arg(long, value_name = "ISO")]
    pub(crate) end: Option<Timestamp>,
    /// Nothing more is due after so many due times were sent.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_runs: Option<u32>,
    /// Nothing is due until it is enabled.
    #[arg(long)]
    pub(crate) disabled: bool,
}

impl EntryArgs {
    /// The definition that is asked for, from nothing.
    pub(crate) fn definition(&self) -> Result<Value> {
        let file = match &self.says.file {
            None => Map::new(),
            Some(file) => read(file)?,
        };
        let definition = self.over(file)?;
        for (field, what) in [
            (
                "schedule",
                "say when it is due: --every, --cron, --solar or --at",
            ),
            ("task", "say which task is sent, after the name"),
        ] {
            if !definition.contains_key(field) {
                return Err(Failure::usage(format!("{what}; or the whole by --file")));
            }
        }
        self.checked(definition)
    }

    /// What is said, over what there is.
    fn over(&self, mut map: Map<String, Value>) -> Result<Map<String, Value>> {
        let says = &self.says;
        map.insert("name".to_owned(), self.name.as_str().into());
        if let Some(schedule) = says.schedule(map.get("schedule"))? {
            map.insert("schedule".to_owned(), schedule);
        }
        self.task_over(&mut map)?;
        let instant = |at: Timestamp| Value::from(at.to_string());
        let fields = [
            ("enabled", says.disabled.then(|| false.into())),
            ("catch_up", says.catch_up.as_deref().map(Value::from)),
            ("grace", says.grace.map(Value::from)),
            ("jitter", says.jitter.map(Value::from)),
            ("no_overlap", says.no_overlap.then(|| true.into())),
            ("start", says.start.map(instant)),
            ("end", says.end.map(instant)),
            ("max_runs", says.max_runs.map(Value::from)),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                map.insert(name.to_owned(), value);
            }
        }
        Ok(map)
    }

    fn task_over(&self, map: &mut Map<String, Value>) -> Result<()> {
        let says = &self.says;
        if let Some(task) = &self.task {
            // Another call: arguments of the one before mean nothing to it.
            let call = match map.get("task").and_then(Value::as_object) {
                Some(call) if call.get("task") == Some(&Value::from(task.as_str())) => call.clone(),
                _ => Map::new(),
            };
            map.insert("task".to_owned(), call.into());
        }
        let options = [
            ("task", self.task.as_deref().map(Value::from)),
            (
                "args",
                (!self.args.is_empty()).then(|| self.args.clone().into()),
            ),
            ("kwargs", says.kwargs.clone().map(Value::from)),
            ("queue", says.queue.as_deref().map(Value::from)),
            ("expires", says.expires.map(Value::from)),
        ];
        for (name, value) in options {
            let Some(value) = value else { continue };
            let Some(call) = map
                .get_mut("task")
                .and_then(Value::as_object_mut)
                .filter(|call| name == "task" || call.contains_key("task"))
            else {
                let what = "its task is a composition: change it by --file";
                return Err(Failure::usage(format!("--{name}: {what}")));
            };
            call.insert(name.to_owned(), value);
        }
        Ok(())
    }

    /// The definition, if it is one; what is wrong is told by the flag that said it.
    fn checked(&self, definition: Map<String, Value>) -> Result<Value> {
        let definition = Value::Object(definition);
        match Entry::try_from(definition.clone()) {
            Ok(_) => Ok(definition),
            Err(error) => {
                let flag = error.parameter().and_then(|field| self.says.flag(field));
                let flag = flag.map_or_else(String::new, |flag| format!("{flag}: "));
                Err(Failure::usage(format!("{flag}{error}")))
            }
        }
    }
}

impl EditEntryArgs {
    /// What there is, changed as is said.
    pub(crate) fn definition(&self, there: Value) -> Result<Value> {
        let there = match (&self.entry.says.file, there) {
            (Some(file), _) => read(file)?,
            (None, Value::Object(there)) => there,
            (None, _) => {
                let what = "its definition can't be read: write the whole anew by --file";
                return Err(Failure::usage(what));
            }
        };
        let mut definition = self.entry.over(there)?;
        if self.enabled {
            definition.remove("enabled");
        }
        for setting in &self.unset {
            definition.remove(setting);
        }
        self.entry.checked(definition)
    }
}

impl Says {
    /// The schedule that is said, if one is.
    fn schedule(&self, there: Option<&Value>) -> Result<Option<Value>> {
        let mut map = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                map.insert(name.to_owned(), value);
            }
        };
        put("every", self.every.map(Value::from));
        put("crontab", self.cron.as_deref().map(Value::from));
        put("dialect", self.vixie.then(|| "vixie".into()));
        put("solar", self.solar.as_deref().map(Value::from));
        put("lat", self.lat.map(Value::from));
        put("lon", self.lon.map(Value::from));
        put("at", self.at.map(|at| at.to_string().into()));
        if map.is_empty() {
            match (&self.tz, there.and_then(Value::as_object)) {
                (None, _) => return Ok(None),
                (Some(_), Some(there)) => map.clone_from(there),
                (Some(_), None) => {
                    return Err(Failure::usage(
                        "--tz: say when it is due, too: --cron or --solar",
                    ));
                }
            }
        }
        if let Some(tz) = &self.tz {
            map.insert("tz".to_owned(), tz.as_str().into());
        }
        let schedule = Value::Object(map);
        match serde_json::from_value::<Schedule>(schedule.clone()) {
            Ok(_) => Ok(Some(schedule)),
            Err(error) => {
                let text = error.to_string();
                let named = |field: &str| text.starts_with(&format!("`{field}`"));
                let flag = ["tz", "lat", "lon"].into_iter().find(|field| named(field));
                let flag = match flag {
                    Some(flag) => format!("--{flag}"),
                    None => self.flag("schedule").unwrap_or_default(),
                };
                Err(Failure::usage(format!("{flag}: {text}")))
            }
        }
    }

    /// The flag that said something wrong about a field.
    fn flag(&self, field: &str) -> Option<String> {
        let said = match field {
            "schedule" => [
                ("every", self.every.is_some()),
                ("cron", self.cron.is_some()),
                ("solar", self.solar.is_some()),
                ("at", self.at.is_some()),
            ]
            .into_iter()
            .find_map(|(flag, said)| said.then_some(flag))?,
            "grace" if self.grace.is_some() => "grace",
            "jitter" if self.jitter.is_some() => "jitter",
            "no_overlap" if self.no_overlap => "no-overlap",
            "start" if self.start.is_some() => "start",
            "end" if self.end.is_some() => "end",
            _ => return None,
        };
        Some(format!("--{said}"))
    }
}

/// An entry's JSON from a file, or from standard input.
fn read(file: &str) -> Result<Map<String, Value>> {
    let mut text = String::new();
    let read = match file {
        "-" => std::io::stdin().read_to_string(&mut text),
        file => std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text)),
    };
    read.map_err(|error| Failure::usage(format!("--file: `{file}` can't be read: {error}")))?;
    match serde_json::from_str(&text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(Failure::usage(
            "--file: an entry is a JSON object such as {\"schedule\": {\"every\": 30}, \"task\": {\"task\": \"ping\"}}",
        )),
        Err(error) => Err(Failure::usage(format!(
            "--file: `{file}` is no JSON: {error}"
        ))),
    }
}

/// Whole seconds, as people write them.
fn period(text: &str) -> Result<u64, String> {
    let wrong = || "must be such as 30s, 5m, 2h or 1d".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..) {
        Some("" | "s") => 1,
        Some("m" | "min") => 60,
        Some("h") => 3600,
        Some("d") => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(unit).ok_or_else(wrong)
}

fn count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok();
    count
        .filter(|count| (1..=100).contains(count))
        .ok_or_else(|| "must be a whole number from 1 to 100".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{BeatCommand, Cli, Command};
    use clap::Parser;
    use serde_json::json;

    fn parsed(words: &[&str]) -> Result<EntriesCommand, clap::Error> {
        let words = ["sedano", "beat"].iter().chain(words);
        match Cli::try_parse_from(words)?.command {
            Command::Beat(BeatCommand::Entries(command)) => Ok(command),
            other => panic!("{other:?}"),
        }
    }

    fn added(words: &[&str]) -> Result<Value> {
        match parsed(&[&["add", "a"], words].concat()).unwrap() {
            EntriesCommand::Add(entry) => entry.definition(),
            other => panic!("{other:?}"),
        }
    }

    fn edited(words: &[&str], there: Value) -> Result<Value> {
        match parsed(&[&["edit", "a"], words].concat()).unwrap() {
            EntriesCommand::Edit(edit) => edit.definition(there),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_make_a_definition() {
        assert_eq!(
            added(&["add", "2", "x", "--every", "5m"]).unwrap(),
            json!({"name": "a", "schedule": {"every": 300}, "task": {"task": "add", "args": [2, "x"]}})
        );
        let words = [
            "add",
            "--cron",
            "30 7 * * 1-5",
            "--vixie",
            "--tz",
            "Europe/Kyiv",
            "--kwargs",
            "{\"x\": 1}",
            "--queue",
            "bulk",
            "--expires",
            "1h",
            "--catch-up",
            "all",
            "--grace",
            "2d",
            "--jitter",
            "90s",
            "--no-overlap",
            "--start",
            "2026-03-01T00:00:00Z",
            "--end",
            "2026-04-01T00:00:00Z",
            "--max-runs",
            "9",
            "--disabled",
        ];
        assert_eq!(
            added(&words).unwrap(),
            json!({
                "name": "a",
                "schedule": {"crontab": "30 7 * * 1-5", "dialect": "vixie", "tz": "Europe/Kyiv"},
                "task": {"task": "add", "kwargs": {"x": 1}, "queue": "bulk", "expires": 3600},
                "catch_up": "all", "grace": 172_800, "jitter": 90, "no_overlap": true,
                "start": "2026-03-01T00:00:00.000Z", "end": "2026-04-01T00:00:00.000Z",
                "max_runs": 9, "enabled": false,
            })
        );
        let sunset = ["add", "--solar", "sunset", "--lat", "-37.8", "--lon", "145"];
        assert_eq!(
            added(&sunset).unwrap()["schedule"],
            json!({"solar": "sunset", "lat": -37.8, "lon": 145.0})
        );
    }

    #[test]
    fn an_edit_changes_what_is_said() {
        let there = || {
            json!({
                "name": "a", "schedule": {"crontab": "0 18 * * *", "tz": "Europe/Kyiv"},
                "task": {"task": "add", "args": [1], "queue": "bulk"}, "enabled": false, "max_runs": 3,
            })
        };
        let edited = |words: &[&str]| edited(words, there()).unwrap();
        let mut expected = there();
        expected["schedule"] = json!({"every": 60});
        assert_eq!(edited(&["--every", "1m"]), expected);
        assert_eq!(
            edited(&["--tz", "Asia/Tokyo"])["schedule"]["crontab"],
            "0 18 * * *"
        );
        assert_eq!(
            edited(&["add", "2"])["task"],
            json!({"task": "add", "args": [2], "queue": "bulk"})
        );
        assert_eq!(
            edited(&["mul", "2"])["task"],
            json!({"task": "mul", "args": [2]})
        );
        let back = edited(&["--enabled", "--unset", "max_runs"]);
        assert_eq!((back.get("enabled"), back.get("max_runs")), (None, None));
    }

    #[test]
    fn an_error_names_the_flag() {
        for (words, message) in [
            (
                &["add"][..],
                "say when it is due: --every, --cron, --solar or --at; or the whole by --file",
            ),
            (
                &["--every", "5m"],
                "say which task is sent, after the name; or the whole by --file",
            ),
            (
                &["add", "--cron", "0 24 * * *"],
                "--cron: crontab `0 24 * * *`, hour `24`: 24 is outside 0-23",
            ),
            (
                &["add", "--every", "1m", "--tz", "UTC"],
                "--tz: `tz`: an interval is the same in every time zone: leave `tz` out, or use a crontab",
            ),
            (
                &["add", "--every", "1m", "--jitter", "2h"],
                "--jitter: beat entry `a`'s field `jitter` must be a whole number from 0 to 3600",
            ),
            (
                &["add", "--file", "/nowhere"],
                "--file: `/nowhere` can't be read: ",
            ),
        ] {
            let failure = added(words).unwrap_err();
            assert!(failure.message.starts_with(message), "{}", failure.message);
        }
        let chain =
            json!({"name": "a", "schedule": {"every": 1}, "task": {"chain": [{"task": "add"}]}});
        let failure = edited(&["--queue", "bulk"], chain).unwrap_err();
        assert_eq!(
            failure.message,
            "--queue: its task is a composition: change it by --file"
        );
        for words in [
            &["add", "a", "add", "--every", "soon"][..],
            &["add", "a", "add", "--every", "1m", "--cron", "* * * * *"],
            &["add", "a", "add", "--vixie", "--every", "1m"],
            &["add", "a", "add", "--solar", "sunset"],
            &["add", "a", "add", "--every", "1m", "--catch-up", "twice"],
            &["add", "a", "add", "--every", "1m", "--max-runs", "0"],
            &["edit", "a", "--enabled", "--disabled"],
            &["edit", "a", "--unset", "task"],
            &["next", "a", "-n", "0"],
        ] {
            assert!(parsed(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn periods_are_whole_seconds() {
        let seconds = ["45", "30s", "5m", "5min", "2h", "1d"].map(|text| period(text).unwrap());
        assert_eq!(seconds, [45, 30, 300, 300, 7200, 86_400]);
        for wrong in ["", "s", "1.5s", "-1s", "1w", "99999999999999999999d", "1ü"] {
            assert!(period(wrong).is_err(), "{wrong}");
        }
    }
}
