//! A stack by its HTTP API: the local one.
//!
//! Plain HTTP only. A deployed API asks for signed requests or tokens; what is deployed is spoken to
//! directly, by `--stack`.

use std::collections::BTreeMap;
use std::time::Duration;

use sedano::Revocation;
use sedano::beat::{Coming, Past, Standing};
use sedano::http::segment;
use sedano::ports::Depth;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use ureq::Agent;
use ureq::http::Response;

use crate::args::{ChangeArgs, DueArgs, SendArgs, SyncArgs, Which};
use crate::failure::{Exit, Failure, Result};
use crate::target::{Each, Rules, Sent, Target, TaskInfo};

/// The longest wait that one request may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(25);
/// The most dead letters that one request may ask for.
const MOST_LETTERS: usize = 1000;
/// How long a request may take beyond the wait it asks for.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What a queue holds, as the API says it.
#[derive(Deserialize)]
struct Counts {
    visible: u64,
    in_flight: u64,
    delayed: u64,
}

impl From<Counts> for Depth {
    fn from(counts: Counts) -> Self {
        Self {
            visible: counts.visible,
            in_flight: counts.in_flight,
            delayed: counts.delayed,
        }
    }
}

/// An HTTP API.
pub(crate) struct Api {
    url: String,
    agent: Agent,
}

impl Api {
    /// The API at this address.
    pub(crate) fn new(url: &str) -> Result<Self> {
        if url.starts_with("https://") {
            return Err(Failure::usage(format!(
                "{url} is an https address; this program speaks plain HTTP, to the local stack. For a \
                 deployed one use --stack NAME"
            )));
        }
        if !url.starts_with("http://") {
            return Err(Failure::usage(format!(
                "`{url}` is no address: write it as http://127.0.0.1:5555"
            )));
        }
        let agent = Agent::config_builder()
            // A loopback address has nothing to do with the proxy to the world.
            .proxy(None)
            .http_status_as_error(false)
            .build()
            .into();
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            agent,
        })
    }

    fn get<T: DeserializeOwned>(&self, path: &str, wait: Duration) -> Result<T> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let timeout = Some(wait + ANSWER_WITHIN);
        self.read(request.config().timeout_global(timeout).build().call())
    }

    fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T> {
        let request = self
            .agent
            .post(format!("{}{path}", self.url))
            .header("content-type", "application/json");
        let request = request.config().timeout_global(Some(ANSWER_WITHIN)).build();
        self.read(request.send(body.to_string()))
    }

    /// With `if-none-match` what isn't there, with `if-match` what is.
    fn put<T: DeserializeOwned>(&self, path: &str, when: &str, body: &Value) -> Result<T> {
        let request = self
            .agent
            .put(format!("{}{path}", self.url))
            .header("content-type", "application/json")
            .header(when, "*");
        let request = request.config().timeout_global(Some(ANSWER_WITHIN)).build();
        self.read(request.send(body.to_string()))
    }

    fn read<T: DeserializeOwned>(
        &self,
        answer: std::result::Result<Response<ureq::Body>, ureq::Error>,
    ) -> Result<T> {
        let url = &self.url;
        let mut answer = answer.map_err(|error| {
            Failure::new(
                Exit::Other,
                format!(
                    "nothing answers at {url} ({error}): start the local stack with `cargo dev`, or \
                     choose a deployed one with --stack NAME"
                ),
            )
        })?;
        let status = answer.status();
        let body = answer.body_mut().read_to_string().map_err(|error| {
            Failure::new(
                Exit::Other,
                format!("the answer of {url} broke off: {error}"),
            )
        })?;
        let foreign = |why: &dyn std::fmt::Display| {
            let what = format!("what answers at {url} isn't Sedano's HTTP API: {status}, {why}");
            Failure::new(Exit::Other, what)
        };
        if !status.is_success() {
            return Err(match serde_json::from_str(&body) {
                Ok(Value::Object(problem)) if problem.contains_key("title") => {
                    Failure::of_problem(status.as_u16(), problem.into())
                }
                _ => foreign(&"no problem details"),
            });
        }
        serde_json::from_str(&body).map_err(|error| foreign(&error))
    }
}

impl Target for Api {
    fn send(&self, call: &SendArgs) -> Result<Sent> {
        let body = json!({
            "args": call.args,
            "kwargs": call.kwargs.clone().unwrap_or_default(),
            "options": options(call),
        });
        self.post(&format!("/tasks/{}", segment(&call.name)), &body)
    }

    fn record(&self, id: &str, wait: Duration) -> Result<Value> {
        let mut left = wait;
        loop {
            let part = left.min(LONGEST_WAIT);
            let path = format!("/tasks/{}?wait={}", segment(id), part.as_secs_f64());
            let record: Value = self.get(&path, part)?;
            // What isn't final was waited for as long as was asked.
            left -= part;
            if left.is_zero() || crate::output::is_final(&record) {
                return Ok(record);
            }
        }
    }

    fn revoke(&self, id: &str) -> Result<Value> {
        self.post(&format!("/tasks/{}/revoke", segment(id)), &Value::Null)
    }

    fn revoke_all(&self, revocation: &Revocation, days: Option<u32>) -> Result<Value> {
        let body = json!({
            "kind": revocation.kind(),
            "value": revocation.value(),
            "days": days,
        });
        self.post("/revocations", &body)
    }

    fn revocations(&self) -> Result<Vec<Value>> {
        #[derive(Deserialize)]
        struct Answer {
            revocations: Vec<Value>,
        }
        let answer: Answer = self.get("/revocations", Duration::ZERO)?;
        Ok(answer.revocations)
    }

    fn lift(&self, revocation: &Revocation) -> Result<()> {
        let (kind, value) = (revocation.kind(), segment(revocation.value()));
        let url = format!("{}/revocations/{kind}/{value}", self.url);
        let request = self.agent.delete(url).config();
        let request = request.timeout_global(Some(ANSWER_WITHIN)).build();
        self.read::<Value>(request.call()).map(drop)
    }

    fn reschedule(&self, id: &str, due: &DueArgs) -> Result<Value> {
        let body = json!({
            "eta": due.eta,
            "countdown": due.countdown.map(|delay| delay.as_secs_f64()),
        });
        self.post(&format!("/tasks/{}/reschedule", segment(id)), &body)
    }

    fn queues(&self) -> Result<Vec<(String, Depth)>> {
        let queues: BTreeMap<String, Counts> = self.get("/queues", Duration::ZERO)?;
        let depth = |(name, counts): (_, Counts)| (name, counts.into());
        Ok(queues.into_iter().map(depth).collect())
    }

    fn set_reading(&self, _: &str, _: bool) -> Result<()> {
        Err(Failure::usage(
            "a queue is paused by switching off its event source mapping, which the HTTP API has no right to: say \
             --stack NAME",
        ))
    }

    fn purge(&self, queue: &str) -> Result<Depth> {
        let path = format!("/queues/{}/purge", segment(queue));
        let held: Counts = self.post(&path, &json!({"confirm": queue}))?;
        Ok(held.into())
    }

    fn tasks(&self) -> Result<Vec<TaskInfo>> {
        #[derive(Deserialize)]
        struct Document {
            #[serde(rename = "x-sedano-tasks")]
            tasks: BTreeMap<String, TaskInfo>,
        }
        let document: Document = self.get("/openapi.json", Duration::ZERO)?;
        let named = |(name, task)| TaskInfo { name, ..task };
        Ok(document.tasks.into_iter().map(named).collect())
    }

    fn dead_letters(&self, which: &Which, most: Option<usize>) -> Result<Vec<Value>> {
        #[derive(Deserialize)]
        struct Answer {
            dead_letters: Vec<Value>,
        }
        let limit = most.unwrap_or(MOST_LETTERS).to_string();
        let filter = &which.filter;
        let age = filter.older_than.map(|age| age.as_secs_f64().to_string());
        let named = [
            ("task", filter.task.as_ref()),
            ("reason", filter.reason.as_ref()),
            ("older_than", age.as_ref()),
        ];
        let mut query = format!("limit={limit}");
        let named = named
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        for (name, value) in named.chain(which.ids.iter().map(|id| ("id", id))) {
            query.push_str(&format!("&{name}={}", segment(value)));
        }
        let path = format!("/dead-letters?{query}");
        self.get::<Answer>(&path, LONGEST_WAIT)
            .map(|answer| answer.dead_letters)
    }

    fn dead_letter(&self, id: &str) -> Result<Value> {
        self.get(&format!("/dead-letters/{}", segment(id)), LONGEST_WAIT)
    }

    fn redrive(&self, ids: &[String], pause: Duration, each: Each<'_>) -> Result<()> {
        for (place, id) in ids.iter().enumerate() {
            if place > 0 {
                std::thread::sleep(pause);
            }
            each(id, self.edit(id, &ChangeArgs::default()));
        }
        Ok(())
    }

    fn edit(&self, id: &str, changes: &ChangeArgs) -> Result<Value> {
        let edit = json!({
            "args": changes.args,
            "kwargs": changes.kwargs,
            "queue": changes.queue,
            "body": changes.body,
        });
        self.post(&format!("/dead-letters/{}/redrive", segment(id)), &edit)
    }

    fn discard(&self, ids: &[String], each: Each<'_>) -> Result<()> {
        for id in ids {
            let url = format!("{}/dead-letters/{}", self.url, segment(id));
            let request = self.agent.delete(url).config();
            let request = request.timeout_global(Some(LONGEST_WAIT)).build();
            each(id, self.read(request.call()));
        }
        Ok(())
    }

    fn entries(&self) -> Result<Vec<Standing>> {
        #[derive(Deserialize)]
        struct Answer {
            entries: Vec<Standing>,
        }
        let answer: Answer = self.get("/beat", Duration::ZERO)?;
        Ok(answer.entries)
    }

    fn entry(&self, name: &str) -> Result<Standing> {
        self.get(&entry(name, ""), Duration::ZERO)
    }

    fn add_entry(&self, name: &str, definition: Value) -> Result<Standing> {
        self.put(&entry(name, ""), "if-none-match", &definition)
    }

    fn edit_entry(&self, name: &str, definition: Value) -> Result<Standing> {
        self.put(&entry(name, ""), "if-match", &definition)
    }

    fn set_paused(&self, name: &str, paused: bool) -> Result<Standing> {
        let what = if paused { "/pause" } else { "/resume" };
        self.post(&entry(name, what), &Value::Null)
    }

    fn run_entry(&self, name: &str) -> Result<Sent> {
        self.post(&entry(name, "/run"), &Value::Null)
    }

    fn remove_entry(&self, name: &str) -> Result<Standing> {
        let url = format!("{}{}", self.url, entry(name, ""));
        let request = self.agent.delete(url).config();
        let request = request.timeout_global(Some(ANSWER_WITHIN)).build();
        self.read(request.call())
    }

    fn next(&self, name: &str, count: usize) -> Result<Vec<Coming>> {
        #[derive(Deserialize)]
        struct Answer {
            next: Vec<Coming>,
        }
        let path = entry(name, &format!("/next?n={count}"));
        let answer: Answer = self.get(&path, Duration::ZERO)?;
        Ok(answer.next)
    }

    fn history(&self, name: &str, count: usize) -> Result<Vec<Past>> {
        #[derive(Deserialize)]
        struct Answer {
            history: Vec<Past>,
        }
        let path = entry(name, &format!("/history?n={count}"));
        let answer: Answer = self.get(&path, Duration::ZERO)?;
        Ok(answer.history)
    }

    fn plan(&self, _asked: &SyncArgs) -> Result<Rules> {
        Err(no_rules())
    }

    fn apply(&self, _rules: &mut Rules) -> Result<()> {
        Err(no_rules())
    }
}

fn no_rules() -> Failure {
    Failure::usage(
        "the HTTP API has no rights to EventBridge: choose a deployed stack with --stack NAME, and credentials that \
         may change its rules",
    )
}

/// Where an entry is, or something of it.
fn entry(name: &str, what: &str) -> String {
    format!("/beat/{}{what}", segment(name))
}

/// The sending options that were given.
fn options(call: &SendArgs) -> Map<String, Value> {
    let seconds = |duration: &Duration| Value::from(duration.as_secs_f64());
    [
        ("countdown", call.countdown.as_ref().map(seconds)),
        ("eta", call.eta.map(|eta| eta.to_string().into())),
        ("expires", call.expires.as_ref().map(seconds)),
        ("id", call.id.clone().map(Value::from)),
        ("queue", call.queue.clone().map(Value::from)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_is_spoken() {
        let refusal = |url| Api::new(url).err().unwrap();
        assert_eq!(refusal("https://x").exit, Exit::Usage);
        assert!(refusal("https://x").message.contains("--stack"));
        assert!(refusal("localhost:5555").message.contains("is no address"));
        assert_eq!(Api::new("http://h:1/").unwrap().url, "http://h:1");
    }
}
