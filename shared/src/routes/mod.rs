//! Routes: which queue a call goes to, and how it is sent, by its task's name. Celery's `task_routes`.
//!
//! A call is routed once, by whoever first sends it: what goes on from there, retries, detours, redrives, stays where
//! it is. Of a composition each call is routed by its own name. What a call says itself beats the route, the route
//! beats what its task says of itself, and that beats the default queue.

mod glob;
mod route;
#[cfg(test)]
mod tests;
mod written;

use std::any::type_name;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use regex_lite::Regex;
use serde_json::{Map, Value};

use crate::bind::{Args, Kwargs};
use crate::canvas::{MAP, STARMAP};
use crate::config::Config;
use crate::engine::panic_text;
use crate::error::{Error, ErrorKind, Result};
use crate::signature::Call;
use crate::task::{TaskDef, Tasks};

use glob::Glob;
pub use route::Route;

/// Which calls go where: by exact name, by pattern, by function.
///
/// Exact names come first, then patterns and functions in the order given; the first that answers decides.
///
/// ```
/// use sedano::{Config, Route, Routes, Signature, memory::Memory};
///
/// let mut config = Config::memory();
/// for queue in ["high", "low", "io"] {
///     config.queues.insert(queue.into(), format!("memory:{queue}"));
/// }
/// let app = Memory::new(&config).app().routes(
///     Routes::new()
///         .glob("reports.*", "low")
///         .regex("(img|video)_", "io")
///         .exact("reports.board", Route::to("high").priority(9))
///         .by(|call| {
///             let tenant = call.kwargs().get("tenant")?.as_str()?;
///             Some(Route::new().message_group(tenant))
///         }),
/// )?;
///
/// let queue = |task: &str| app.queue_of(Signature::<(), ()>::named(task));
/// assert_eq!(queue("reports.daily")?.as_str(), "low");
/// assert_eq!(queue("reports.board")?.as_str(), "high");
/// assert_eq!(queue("img_resize")?.as_str(), "io");
/// assert_eq!(queue("add")?.as_str(), "default");
/// # Ok::<(), sedano::Error>(())
/// ```
///
/// As JSON, in `SEDANO_ROUTES` or parsed, they are an object; what stands between slashes is a regular expression,
/// what has a `*`, `?` or `[` is a glob. A list of such objects is asked one after the other.
///
/// ```
/// use sedano::Routes;
///
/// let routes: Routes = r#"{"refund": "high", "reports.*": "low", "/^img_/": {"queue": "io", "expires": 60}}"#.parse()?;
/// assert_eq!(
///     routes,
///     Routes::new()
///         .exact("refund", "high")
///         .glob("reports.*", "low")
///         .regex("^img_", sedano::Route::to("io").expires(std::time::Duration::from_secs(60)))
/// );
/// # Ok::<(), sedano::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "routes do nothing until an application has them: `app.routes(…)?`"]
pub struct Routes {
    /// Those that are asked before, one after the other.
    before: Vec<Table>,
    table: Table,
    /// What was wrong first; whoever takes the routes says so.
    wrong: Option<String>,
}

/// Routes that were written together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Table {
    exact: BTreeMap<String, Route>,
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Glob(Glob, Route),
    Regex(Expression, Route),
    Priority(RangeInclusive<u8>, Route),
    By(Function),
}

#[derive(Debug, Clone)]
struct Expression(Regex);

type Ask = dyn Fn(&RouteCall<'_>) -> Option<Route> + Send + Sync;

#[derive(Clone)]
struct Function {
    /// Its path in the program.
    name: &'static str,
    ask: Arc<Ask>,
}

/// A call that looks for its route, as functions see it.
#[derive(Debug, Clone, Copy)]
pub struct RouteCall<'a> {
    task: &'a str,
    /// As it was called: maybe an alias.
    called: &'a str,
    args: &'a [Value],
    kwargs: &'a Map<String, Value>,
    priority: Option<u8>,
    call: &'a Call,
}

impl<'a> RouteCall<'a> {
    /// The task's name: its own, where the application knows the task and it was called by an alias. Of a map that of
    /// the task it runs, whose items are in [`kwargs`](RouteCall::kwargs).
    pub fn task(&self) -> &'a str {
        self.task
    }

    /// The arguments that were given by position. What a step of a workflow is handed by the step before isn't there
    /// yet.
    pub fn args(&self) -> &'a [Value] {
        self.args
    }

    /// The arguments that were given by name: all of those of a call that was written in Rust by type, such as
    /// `add::s(2, 3)`.
    pub fn kwargs(&self) -> &'a Map<String, Value> {
        self.kwargs
    }

    /// The sender's headers.
    pub fn headers(&self) -> &'a Map<String, Value> {
        &self.call.headers
    }

    /// From 0 to 9: the call's, or its task's where the application knows the task.
    pub fn priority(&self) -> Option<u8> {
        self.priority
    }

    /// The queue that the call itself asks for. It goes there whatever the route says.
    pub fn queue(&self) -> Option<&'a str> {
        self.call.queue.as_ref().map(|queue| queue.as_str())
    }

    /// The message group that the call itself asks for, which beats the route's.
    pub fn message_group(&self) -> Option<&'a str> {
        self.call.message_group.as_deref()
    }

    fn is_named(&self, matches: impl Fn(&str) -> bool) -> bool {
        matches(self.called) || self.task != self.called && matches(self.task)
    }
}

impl Routes {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls of the task with this name. It comes before all patterns, wherever it is written.
    pub fn exact(mut self, name: impl Into<String>, route: impl Into<Route>) -> Self {
        let name = name.into();
        if Glob::is_one(&name) || written::regex(&name).is_some() || name.starts_with(PRIORITY) {
            let what = "is a pattern, not a task's name: give it to `glob`, `regex` or `priority`";
            return self.but(&name, what);
        }
        if self.table.exact.contains_key(&name) {
            return self.but(&name, TWICE);
        }
        self.table.exact.insert(name, route.into());
        self
    }

    /// Calls of the tasks whose whole name is one of this pattern, as in Python's `fnmatch`: `*` is anything, `?` any one
    /// character, `[abc]`, `[a-z]` and `[!abc]` one of those or none of them.
    pub fn glob(self, pattern: impl AsRef<str>, route: impl Into<Route>) -> Self {
        self.pattern(Pattern::Glob(Glob::new(pattern.as_ref()), route.into()))
    }

    /// Calls of the tasks whose name begins with a match of this regular expression, as in Celery: where it may be
    /// anywhere in the name, write `.*` in front, and `$` behind where the name ends with it. The syntax is that of the
    /// crate `regex-lite`: no back references and no looking around.
    pub fn regex(self, pattern: impl AsRef<str>, route: impl Into<Route>) -> Self {
        let pattern = pattern.as_ref();
        match Regex::new(pattern) {
            Ok(regex) => self.pattern(Pattern::Regex(Expression(regex), route.into())),
            Err(error) => {
                let what = format!("is no regular expression: {error}");
                self.but(&format!("/{pattern}/"), &what)
            }
        }
    }

    /// Calls of these priorities, 0 to 9: how priorities come to something, for SQS itself knows none. Calls without
    /// one don't take it.
    pub fn priority(self, priorities: RangeInclusive<u8>, route: impl Into<Route>) -> Self {
        let possible = !priorities.is_empty() && *priorities.end() <= 9;
        let pattern = Pattern::Priority(priorities, route.into());
        if possible {
            return self.pattern(pattern);
        }
        self.but(
            &pattern.name(),
            "is of priorities that aren't: they go from 0 to 9",
        )
    }

    /// Calls that the function has an answer for. It is asked in its place among the patterns, by every sender and, for
    /// steps of workflows that the sender doesn't know, by workers; asked twice about one call it had better say the same.
    pub fn by<F, R>(self, function: F) -> Self
    where
        F: Fn(&RouteCall<'_>) -> Option<R> + Send + Sync + 'static,
        R: Into<Route>,
    {
        self.pattern(Pattern::By(Function {
            name: type_name::<F>(),
            ask: Arc::new(move |call| function(call).map(Into::into)),
        }))
    }

    /// These routes, and where none of them answers, those.
    pub fn and(mut self, more: Routes) -> Self {
        let tables = std::iter::once(self.table).chain(more.before);
        self.before.extend(tables.filter(|table| !table.is_empty()));
        self.table = more.table;
        self.wrong = self.wrong.or(more.wrong);
        self
    }

    fn pattern(mut self, pattern: Pattern) -> Self {
        let name = pattern.name();
        let mut patterns = self.table.patterns.iter();
        // Of functions it tells nothing: two closures may be made in one place.
        if pattern.route().is_some() && patterns.any(|other| other.name() == name) {
            return self.but(&name, TWICE);
        }
        self.table.patterns.push(pattern);
        self
    }

    fn tables(&self) -> impl Iterator<Item = &Table> {
        self.before.iter().chain([&self.table])
    }

    fn but(mut self, name: &str, what: &str) -> Self {
        self.wrong.get_or_insert_with(|| fault(name, what));
        self
    }

    /// Whether each leads somewhere: what of them can be known before there is a call.
    ///
    /// # Errors
    /// `Config`, with the route and what is wrong with it.
    pub(crate) fn check(&self, config: &Config) -> Result<()> {
        self.sound()?;
        let fixed = self.tables().flat_map(|table| {
            let exact = table.exact.iter();
            let exact = exact.map(|(name, route)| (name.clone(), route));
            let patterns = table.patterns.iter();
            exact.chain(patterns.filter_map(|pattern| Some((pattern.name(), pattern.route()?))))
        });
        for (name, route) in fixed {
            if let Some(what) = route.fault(config) {
                return Err(Error::new(ErrorKind::Config, fault(&name, &what)));
            }
        }
        Ok(())
    }

    fn sound(&self) -> Result<()> {
        match &self.wrong {
            Some(what) => Err(Error::new(ErrorKind::Config, what.as_str())),
            None => Ok(()),
        }
    }

    /// Gives the call what its route says, unless it was routed before.
    ///
    /// # Errors
    /// `Config`, with the route, if it leads nowhere or its function panicked.
    pub(crate) fn route(&self, call: &mut Call, tasks: &Tasks, config: &Config) -> Result<()> {
        self.sound()?;
        if call.routed || self.tables().all(Table::is_empty) {
            return Ok(());
        }
        if let Some((name, route)) = self.answer(call, tasks)? {
            if let Some(what) = route.fault(config) {
                return Err(Error::new(ErrorKind::Config, fault(&name, &what)));
            }
            route.apply(call);
        }
        call.routed = true;
        Ok(())
    }

    /// The first answer, and whose it is.
    fn answer(&self, call: &Call, tasks: &Tasks) -> Result<Option<(String, Route)>> {
        let (no_args, no_kwargs) = (Args::new(), Kwargs::new());
        // What is wrong with the arguments is the send's to say.
        let (args, kwargs) = match &call.arguments {
            Ok((args, kwargs)) => (args, kwargs),
            Err(_) => (&no_args, &no_kwargs),
        };
        let called = match kwargs.get("task") {
            Some(Value::String(task)) if [MAP, STARMAP].contains(&call.task.as_str()) => task,
            _ => &call.task,
        };
        let known = tasks.find(called);
        let asked = RouteCall {
            task: known.map_or(called, |task| task.name),
            called,
            args,
            kwargs,
            priority: call
                .priority
                .or(known.and_then(|task| task.options.priority)),
            call,
        };
        for table in self.tables() {
            if let Some((name, route)) = table.exact(&asked) {
                return Ok(Some((name.to_owned(), route.clone())));
            }
            for pattern in &table.patterns {
                if let Some(route) = pattern.answer(&asked)? {
                    return Ok(Some((pattern.name(), route)));
                }
            }
        }
        Ok(None)
    }

    /// The queue that a task leads to, as far as its name and its own priority tell: functions aren't asked.
    pub(crate) fn queue_of_task(&self, task: &TaskDef) -> Option<&str> {
        let call = Call::named(task.name);
        let asked = RouteCall {
            task: task.name,
            called: task.name,
            args: &[],
            kwargs: &Map::new(),
            priority: task.options.priority,
            call: &call,
        };
        let mut routes = self.tables().filter_map(|table| {
            let mut patterns = table.patterns.iter();
            let exact = table.exact(&asked).map(|(_, route)| route);
            exact.or_else(|| patterns.find_map(|pattern| pattern.by_itself(&asked)))
        });
        routes.next()?.queue()
    }
}

impl Table {
    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.patterns.is_empty()
    }

    fn exact(&self, asked: &RouteCall<'_>) -> Option<(&str, &Route)> {
        let names = [asked.called, asked.task].into_iter();
        let mut found = names.filter_map(|name| self.exact.get_key_value(name));
        found.next().map(|(name, route)| (name.as_str(), route))
    }
}

impl Pattern {
    /// As it is written in JSON, or where it stands in the program.
    fn name(&self) -> String {
        match self {
            Pattern::Glob(glob, _) => glob.as_str().to_owned(),
            Pattern::Regex(Expression(regex), _) => format!("/{}/", regex.as_str()),
            Pattern::Priority(of, _) if of.start() == of.end() => {
                format!("{PRIORITY}{}", of.start())
            }
            Pattern::Priority(of, _) => format!("{PRIORITY}{}-{}", of.start(), of.end()),
            Pattern::By(function) => format!("by {}", function.name),
        }
    }

    fn route(&self) -> Option<&Route> {
        match self {
            Pattern::Glob(_, route) | Pattern::Regex(_, route) | Pattern::Priority(_, route) => {
                Some(route)
            }
            Pattern::By(_) => None,
        }
    }

    /// What it answers without asking a function.
    fn by_itself(&self, asked: &RouteCall<'_>) -> Option<&Route> {
        let matches = match self {
            Pattern::Glob(glob, _) => asked.is_named(|name| glob.is_match(name)),
            Pattern::Regex(Expression(regex), _) => asked.is_named(|name| {
                // The leftmost match: if one begins the name, it is that one.
                regex.find(name).is_some_and(|found| found.start() == 0)
            }),
            Pattern::Priority(of, _) => asked.priority.is_some_and(|one| of.contains(&one)),
            Pattern::By(_) => false,
        };
        self.route().filter(|_| matches)
    }

    fn answer(&self, asked: &RouteCall<'_>) -> Result<Option<Route>> {
        let Pattern::By(function) = self else {
            return Ok(self.by_itself(asked).cloned());
        };
        // In a worker it would take its neighbours along.
        catch_unwind(AssertUnwindSafe(|| (function.ask)(asked))).map_err(|panic| {
            let what = format!("panicked at task `{}`: {}", asked.task, panic_text(&*panic));
            Error::new(ErrorKind::Config, fault(&self.name(), &what))
        })
    }
}

const TWICE: &str = "is there twice";
/// How a route of priorities begins in JSON: `priority 7-9`.
const PRIORITY: &str = "priority ";

/// What is wrong with a route.
fn fault(name: &str, what: &str) -> String {
    format!("route `{name}` {what}")
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Expression {}

/// The same function, not one that is alike.
impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.ask, &other.ask)
    }
}

impl Eq for Function {}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
