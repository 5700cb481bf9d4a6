//! An entry: what is sent when, as data.
//!
//! Owns its JSON, which lies in the state table and is what the API and the command line take: stable, fields at
//! their defaults left out. A wrong one is refused by an error that names the entry and the field.

use std::time::Duration;

use serde_json::{Map, Value};

use super::Schedule;
use crate::app::App;
use crate::canvas::{self, Canvas};
use crate::error::{Error, ErrorKind, Result};
use crate::failure::shortened;
use crate::launch::{Launch, Origin};
use crate::message::Fields;
use crate::ports::QueueName;
use crate::signature::Signature;
use crate::task::{QUOTED, Tasks, nearest};
use crate::time::Timestamp;

/// The most bytes of an entry's JSON: it is read by every tick.
pub(crate) const ENTRY_BYTES: usize = 64 * 1024;

/// The most bytes of a name.
const NAME_BYTES: usize = 100;
const LONGEST_GRACE: Duration = Duration::from_secs(3650 * 86_400);
/// What is under way for so long can still be revoked one by one.
const LONGEST_JITTER: Duration = Duration::from_secs(3600);
/// What a name is.
pub(crate) const NAME_RULE: &str =
    "1 to 100 letters, digits, spaces, dots, dashes and underscores, and no space at its ends";

/// What becomes of due times that no tick has sent in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CatchUp {
    /// They aren't sent, but for those within the entry's grace: `skip`.
    Skip,
    /// The last of them is: `once`.
    #[default]
    Once,
    /// Each of them is, oldest first, a thousand a minute: `all`.
    All,
}

impl CatchUp {
    const ALL: [CatchUp; 3] = [CatchUp::Skip, CatchUp::Once, CatchUp::All];

    /// Its name in JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            CatchUp::Skip => "skip",
            CatchUp::Once => "once",
            CatchUp::All => "all",
        }
    }

    /// The policy of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name() == name)
    }
}

/// One entry of a schedule: a name, when it is due, and what is sent then.
///
/// ```
/// use sedano::{beat::{crontab, Beat, CatchUp, Entry}, task};
/// use std::time::Duration;
///
/// #[task]
/// async fn report() {}
///
/// let evening = crontab("0 18 * * mon-fri").in_tz("Europe/Kyiv");
/// let beat = Beat::new().with(
///     Entry::new("report", evening, report::s())
///         .catch_up(CatchUp::All)
///         .grace(Duration::from_secs(3 * 86_400))
///         .jitter(Duration::from_secs(60))
///         .no_overlap(),
/// );
/// ```
///
/// As JSON, with every field; all but the first three may be missing:
///
/// ```
/// use sedano::beat::Entry;
/// use serde_json::json;
///
/// let entry: Entry = json!({
///     "name": "report",
///     "schedule": {"crontab": "0 18 * * mon-fri", "tz": "Europe/Kyiv"},
///     "task": {"task": "report", "args": [7], "queue": "default"},
///     "enabled": false,
///     "catch_up": "all",
///     "grace": 259_200,
///     "jitter": 60,
///     "no_overlap": true,
///     "start": "2026-03-01T00:00:00Z",
///     "end": "2026-09-01T00:00:00Z",
///     "max_runs": 100,
/// })
/// .try_into()?;
/// assert_eq!(entry.schedule().to_string(), "0 18 * * mon-fri (Europe/Kyiv)");
/// # Ok::<(), sedano::Error>(())
/// ```
#[must_use]
#[derive(Debug, Clone)]
pub struct Entry {
    pub(super) name: String,
    pub(super) schedule: Schedule,
    pub(super) signature: Signature<(), ()>,
    pub(super) enabled: bool,
    pub(super) catch_up: CatchUp,
    pub(super) grace: Option<Duration>,
    pub(super) jitter: Duration,
    pub(super) no_overlap: bool,
    pub(super) start: Option<Timestamp>,
    pub(super) end: Option<Timestamp>,
    pub(super) max_runs: Option<u32>,
}

/// An entry's fields, in the order in which people are told them.
fn known_fields() -> impl Iterator<Item = &'static str> {
    let first = ["name", "schedule", "task", "enabled"];
    first.into_iter().chain(Entry::SETTINGS.iter().copied())
}

impl Entry {
    /// The fields of its JSON that say how due times are kept: each may be left out for its default.
    pub const SETTINGS: &[&str] = &[
        "catch_up",
        "grace",
        "jitter",
        "no_overlap",
        "start",
        "end",
        "max_runs",
    ];

    /// An entry with every other setting at its default. Its name is part of the ids of what it sends: renaming
    /// it makes it a new one.
    pub fn new<Out>(
        name: impl Into<String>,
        schedule: impl Into<Schedule>,
        signature: impl Into<Signature<(), Out>>,
    ) -> Self {
        Self {
            name: name.into(),
            schedule: schedule.into(),
            signature: signature.into().forget_output(),
            enabled: true,
            catch_up: CatchUp::default(),
            grace: None,
            jitter: Duration::ZERO,
            no_overlap: false,
            start: None,
            end: None,
            max_runs: None,
        }
    }

    /// What becomes of due times that were missed: beat was down, or throttled.
    pub fn catch_up(mut self, policy: CatchUp) -> Self {
        self.catch_up = policy;
        self
    }

    /// How late something missed may still be sent, whatever the policy; whole seconds. Without one, a minute
    /// for `skip`, and without end for the others.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// Sends each due time up to this much later, by a part of it that is derived from the id, so that
    /// entries of one minute don't start together; whole seconds.
    pub fn jitter(mut self, most: Duration) -> Self {
        self.jitter = most;
        self
    }

    /// A run doesn't start while the one before it goes on. Of one task, not of a composition.
    pub fn no_overlap(mut self) -> Self {
        self.no_overlap = true;
        self
    }

    /// Due times before `start` and after `end` aren't any; both may be due themselves.
    pub fn between(self, start: Timestamp, end: Timestamp) -> Self {
        self.starting(start).ending(end)
    }

    /// Due times before this instant aren't any.
    pub fn starting(mut self, start: Timestamp) -> Self {
        self.start = Some(start);
        self
    }

    /// Due times after this instant aren't any.
    pub fn ending(mut self, end: Timestamp) -> Self {
        self.end = Some(end);
        self
    }

    /// Nothing more is due after this many due times were sent. They are counted over changes of the entry;
    /// removing and adding it begins anew.
    pub fn max_runs(mut self, runs: u32) -> Self {
        self.max_runs = Some(runs);
        self
    }

    /// Nothing is due until the definition says otherwise.
    pub fn disabled(mut self) -> Self {
        self.enabled = false;
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When it is due.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The name of the task that is sent; of a chain its first's.
    pub fn task(&self) -> &str {
        self.signature.task()
    }

    /// Whether its settings can be kept, whatever tasks and queues there are.
    ///
    /// # Errors
    /// `Invalid`, with the entry, the setting and what is wrong with it.
    pub fn check(&self) -> Result<()> {
        if !is_name(&self.name) {
            let name = shortened(&self.name, QUOTED);
            let what = format!("`{name}` is no name of an entry: a name is {NAME_RULE}");
            return Err(Error::new(ErrorKind::Invalid, what).about("name"));
        }
        if let Err(error) = self.schedule.check() {
            let what = format!("has a schedule that can't be kept: {error}");
            return Err(self.wrong("schedule", &what));
        }
        for (field, seconds, longest) in [
            ("grace", self.grace.unwrap_or_default(), LONGEST_GRACE),
            ("jitter", self.jitter, LONGEST_JITTER),
        ] {
            if seconds.subsec_nanos() > 0 {
                let what =
                    format!("has a `{field}` of {seconds:?}: it is counted in whole seconds");
                return Err(self.wrong(field, &what));
            }
            if seconds > longest {
                let what = format!("has a `{field}` of {seconds:?}: {longest:?} are the most");
                return Err(self.wrong(field, &what));
            }
        }
        if let (Some(start), Some(end)) = (self.start, self.end)
            && end < start
        {
            let what = format!("has an `end`, {end}, before its `start`, {start}");
            return Err(self.wrong("end", &what));
        }
        if self.max_runs == Some(0) {
            return Err(self.wrong(
                "max_runs",
                "has a `max_runs` of 0: leave it out, or disable it",
            ));
        }
        if self.no_overlap && !matches!(self.canvas(), Canvas::Task(_)) {
            let what = "has `no_overlap` and a composition: only of one task it is known when it has ended";
            return Err(self.wrong("no_overlap", what));
        }
        self.check_task()
    }

    /// Beat chooses when each due time is sent, and under which id.
    fn check_task(&self) -> Result<()> {
        let mut canvas = self.canvas();
        let mut taken = canvas.id().is_some().then_some("id");
        canvas.first_calls(&mut |call| {
            let delay = call.countdown.map(|_| "countdown");
            taken = taken.or(delay).or(call.eta.map(|_| "eta"));
        });
        canvas.every_call(&mut |call| taken = taken.or(call.id.as_ref().map(|_| "id")));
        match taken {
            Some(option) => {
                let what = format!(
                    "has a task with `{option}`: leave it out, beat gives one to each due time"
                );
                Err(self.wrong("task", &what))
            }
            None => Ok(()),
        }
    }

    /// Whether this application can send it: settings, tasks that are registered, arguments that fit, queues
    /// that are configured. One that knows no tasks leaves those out.
    ///
    /// # Errors
    /// `Invalid`, with the entry and what is wrong with it.
    pub(crate) fn check_in(&self, app: &App) -> Result<()> {
        self.check()?;
        let unsent = |error: Error| self.wrong("task", &format!("can't be sent: {error}"));
        let mut canvas = self.canvas();
        let (tasks, mut wrong) = (app.registered(), None);
        if tasks.iter().next().is_some() {
            canvas.every_call(&mut |call| {
                wrong = wrong.take().or(tasks.get(&call.task).err());
            });
            if let (Canvas::Task(call), None) = (&canvas, &wrong)
                && let Ok((args, kwargs)) = call.arguments.clone()
            {
                let fits = tasks
                    .get(&call.task)
                    .and_then(|task| task.check(args, kwargs));
                wrong = fits.err();
            }
        }
        if let Some(error) = wrong {
            return Err(unsent(error));
        }
        let ready = app
            .plan(Launch::of(canvas, Origin::default()))
            .map_err(unsent)?;
        if !ready.more.is_empty() {
            return Err(self.wrong(
                "task",
                "is a group with more members than one message holds",
            ));
        }
        self.text(tasks).map(drop)
    }

    fn wrong(&self, field: &str, what: &str) -> Error {
        let name = shortened(&self.name, QUOTED);
        Error::new(ErrorKind::Invalid, format!("beat entry `{name}` {what}")).about(field)
    }

    pub(super) fn canvas(&self) -> Canvas {
        self.signature.clone().into_canvas()
    }

    /// The entry as JSON, as [`TryFrom`] reads it.
    ///
    /// # Errors
    /// `Encode` for arguments that can't be written as JSON, and for a schedule that can't be kept.
    pub fn to_json(&self) -> Result<Value> {
        self.write(None)
    }

    /// What a task says of itself is written beside what the entry says of it, where it isn't among `tasks`:
    /// whoever reads the entry couldn't know.
    fn write(&self, tasks: Option<&Tasks>) -> Result<Value> {
        let mut canvas = self.canvas();
        if let Some(tasks) = tasks {
            let mut unsaid = Vec::new();
            canvas.every_call(&mut |call| {
                call.options = call.options.filter(|_| tasks.find(&call.task).is_none());
                unsaid.push(call.queue.is_none());
            });
            canvas.settle(&Tasks::default());
            // The default queue is nobody's choice: a route may have a better one when it is sent.
            let mut unsaid = unsaid.into_iter();
            canvas.every_call(&mut |call| {
                let own = unsaid.next() == Some(true);
                let queue = call.queue.take();
                call.queue = queue.filter(|queue| !own || queue.as_str() != QueueName::DEFAULT);
            });
        }
        let schedule = serde_json::to_value(&self.schedule)
            .map_err(|error| Error::new(ErrorKind::Encode, error.to_string()).about("schedule"))?;
        let mut map = Map::new();
        let mut put = |name: &str, value: Value| map.insert(name.to_owned(), value);
        put("name", self.name.as_str().into());
        put("schedule", schedule);
        put("task", canvas::write(canvas)?);
        if !self.enabled {
            put("enabled", false.into());
        }
        if self.catch_up != CatchUp::default() {
            put("catch_up", self.catch_up.name().into());
        }
        if let Some(grace) = self.grace {
            put("grace", grace.as_secs().into());
        }
        if !self.jitter.is_zero() {
            put("jitter", self.jitter.as_secs().into());
        }
        if self.no_overlap {
            put("no_overlap", true.into());
        }
        if let Some(start) = self.start {
            put("start", start.to_string().into());
        }
        if let Some(end) = self.end {
            put("end", end.to_string().into());
        }
        if let Some(runs) = self.max_runs {
            put("max_runs", runs.into());
        }
        Ok(Value::Object(map))
    }

    /// The JSON as it lies in the table.
    ///
    /// # Errors
    /// As [`to_json`](Entry::to_json); `Invalid` over 64 KB.
    pub(super) fn text(&self, tasks: &Tasks) -> Result<String> {
        let text = self.write(Some(tasks))?.to_string();
        if text.len() > ENTRY_BYTES {
            let what = format!(
                "has {} bytes: an entry has at most {ENTRY_BYTES}, put large arguments elsewhere and send where",
                text.len()
            );
            return Err(self.wrong("task", &what));
        }
        Ok(text)
    }
}

/// Whether a text can be an entry's name: part of ids, rules' names, paths and lines of logs.
pub(crate) fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || " ._-".contains(c);
    (1..=NAME_BYTES).contains(&name.len()) && name.chars().all(fits) && name.trim() == name
}

/// An entry from its JSON.
///
/// ```
/// use sedano::beat::Entry;
/// use serde_json::json;
///
/// let wrong = json!({"name": "ping", "schedule": {"every": 0}, "task": {"task": "ping"}});
/// assert_eq!(
///     Entry::try_from(wrong).unwrap_err().to_string(),
///     "beat entry `ping`'s field `schedule`: `every`: 0ns isn't a whole number of seconds, at least 1"
/// );
/// ```
impl TryFrom<Value> for Entry {
    type Error = Error;

    fn try_from(json: Value) -> Result<Self> {
        let refused = |what: String, field: &str| Error::new(ErrorKind::Invalid, what).about(field);
        let Value::Object(map) = json else {
            let what = r#"an entry is an object such as {"name": "ping", "schedule": {"every": 30}, "task": {"task": "ping"}}"#;
            return Err(Error::new(ErrorKind::Invalid, what));
        };
        let name = match map.get("name") {
            Some(Value::String(name)) => name.clone(),
            _ => {
                return Err(refused(
                    "an entry has no `name`, or one that is no text".to_owned(),
                    "name",
                ));
            }
        };
        let of = format!("beat entry `{}`", shortened(&name, QUOTED));
        let mut fields = Fields::new(map, of.as_str());
        fields.take("name");
        let missing = |field: &str| refused(format!("{of} has no `{field}`"), field);
        let schedule = fields.take("schedule").ok_or_else(|| missing("schedule"))?;
        let schedule: Schedule = serde_json::from_value(schedule)
            .map_err(|error| refused(format!("{of}'s field `schedule`: {error}"), "schedule"))?;
        let task = fields.take("task").ok_or_else(|| missing("task"))?;
        let canvas = canvas::read(task, &format!("{of}'s task"))
            .map_err(|error| refused(error.to_string(), "task"))?;
        let mut entry = Entry::new(name, schedule, Signature::<(), ()>::of(canvas));
        entry
            .read(&mut fields)
            .map_err(|error| refused(error.to_string(), error.parameter().unwrap_or("entry")))?;
        if let Some(field) = fields.rest().keys().next() {
            let near = nearest(field, known_fields());
            let field = shortened(field, QUOTED);
            let hint = near.map_or_else(
                || {
                    format!(
                        "there are {}",
                        known_fields().collect::<Vec<_>>().join(", ")
                    )
                },
                |near| format!("did you mean `{near}`?"),
            );
            let what = format!("{of} has a field `{field}`, which an entry doesn't have; {hint}");
            return Err(refused(what, &field));
        }
        entry.check()?;
        Ok(entry)
    }
}

impl Entry {
    /// The fields that may be missing.
    fn read(&mut self, fields: &mut Fields) -> Result<()> {
        self.enabled = fields.flag("enabled")?.unwrap_or(true);
        if let Some(name) = fields.text("catch_up")? {
            self.catch_up = CatchUp::named(&name)
                .ok_or_else(|| fields.wrong("catch_up", "`skip`, `once` or `all`"))?;
        }
        let grace = fields.number("grace", LONGEST_GRACE.as_secs())?;
        self.grace = grace.map(Duration::from_secs);
        let jitter = fields.number("jitter", LONGEST_JITTER.as_secs())?;
        self.jitter = Duration::from_secs(jitter.unwrap_or(0));
        self.no_overlap = fields.flag("no_overlap")?.unwrap_or(false);
        self.start = instant(fields, "start")?;
        self.end = instant(fields, "end")?;
        self.max_runs = fields.count("max_runs")?;
        Ok(())
    }
}

fn instant(fields: &mut Fields, name: &str) -> Result<Option<Timestamp>> {
    let wanted = "an ISO 8601 date-time such as 2026-03-01T12:00:00Z";
    match fields.take(name) {
        None => Ok(None),
        Some(value) => {
            let instant = value.as_str().and_then(|text| text.parse().ok());
            instant.map(Some).ok_or_else(|| fields.wrong(name, wanted))
        }
    }
}
