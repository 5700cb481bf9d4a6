//! A stack by its queues and tables: what is sent goes to SQS, what is asked is read from DynamoDB.

use std::collections::BTreeSet;
use std::time::Duration;

use sedano::beat::{Coming, Entries, Entry, Native, Past, Plan, Standing, StateMarks, Step};
use sedano::dead_letters::{Edit, Selection};
use sedano::ports::{Attribute, Depth, Item, Key, QueueName};
use sedano::{App, Config, Revocation, Signature, nearest};
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::args::{ChangeArgs, DueArgs, SendArgs, SyncArgs, TargetArgs, Which};
use crate::aws;
use crate::beat;
use crate::failure::{Exit, Failure, Result};
use crate::target::{Each, Failed, Parameter, Rules, Sent, Target, TaskInfo, environment};

/// Queues and tables.
pub(crate) struct Direct {
    runtime: Runtime,
    app: App,
    account: aws::Account,
    region: String,
    /// The stack's name, where it is known.
    stack: Option<String>,
}

impl Direct {
    /// Those of a CloudFormation stack.
    pub(crate) fn of_stack(args: &TargetArgs, name: &str) -> Result<Self> {
        let runtime = runtime()?;
        let (app, account) = runtime.block_on(async {
            let account = aws::Account::find(args).await?;
            let config = account.stack(name).await?;
            Ok::<_, Failure>((account.app(config)?, account))
        })?;
        Ok(Self {
            runtime,
            app,
            region: account.region().to_owned(),
            account,
            stack: Some(name.to_owned()),
        })
    }

    /// Those that the environment names.
    pub(crate) fn of_env(args: &TargetArgs) -> Result<Self> {
        let config = Config::from_lookup(environment)?;
        let runtime = runtime()?;
        let account = runtime.block_on(aws::Account::find(args))?;
        Ok(Self {
            app: account.app(config)?,
            region: account.region().to_owned(),
            account,
            runtime,
            stack: None,
        })
    }

    fn beat(&self) -> Entries {
        Entries::of(&self.app)
    }

    /// The entry, if its task is known to the beat function; of a composition that is seen at its tick.
    async fn sendable(&self, definition: Value) -> Result<Entry> {
        let task = definition.pointer("/task/task").and_then(Value::as_str);
        if let (Some(task), Some(tasks)) = (task, self.registered().await?) {
            find(task, &tasks)?;
        }
        Ok(Entry::try_from(definition)?)
    }

    /// The application with the tasks that this program was built with.
    fn with_tasks(&self) -> App {
        self.app.clone().tasks(sedano_tasks::all())
    }

    /// The tasks as the beat function wrote them down, if it has.
    async fn registered(&self) -> Result<Option<Vec<TaskInfo>>> {
        let key = Key::State("registry".to_owned(), "tasks".to_owned());
        let item = self.app.ports().store.get(&key).await?;
        Ok(item.as_ref().map(registry))
    }
}

fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Other, format!("can't start: {error}")))
}

impl Target for Direct {
    fn send(&self, call: &SendArgs) -> Result<Sent> {
        self.runtime.block_on(async {
            let known = self.registered().await?;
            let queue = match &known {
                None => None,
                Some(tasks) => Some(find(&call.name, tasks)?.queue.clone()),
            };
            let sent = self.app.send(signature(call, queue)).await?;
            Ok(Sent {
                id: sent.id().to_owned(),
                status: "PENDING".to_owned(),
            })
        })
    }

    fn record(&self, id: &str, wait: Duration) -> Result<Value> {
        let record = self.runtime.block_on(self.app.wait(id, wait))?;
        json(&record)
    }

    fn revoke(&self, id: &str) -> Result<Value> {
        self.runtime.block_on(async {
            self.app.revoke(id).await?;
            json(&self.app.record(id).await?)
        })
    }

    fn revoke_all(&self, revocation: &Revocation, days: Option<u32>) -> Result<Value> {
        let revoked = async {
            match days {
                None => self.app.revoke_all(revocation).await,
                Some(days) => {
                    let time = Duration::from_secs(u64::from(days) * 86_400);
                    self.app.revoke_all_for(revocation, time).await
                }
            }
        };
        json(&self.runtime.block_on(revoked)?)
    }

    fn revocations(&self) -> Result<Vec<Value>> {
        let all = self.runtime.block_on(self.app.revocations())?;
        all.iter().map(json).collect()
    }

    fn lift(&self, revocation: &Revocation) -> Result<()> {
        Ok(self.runtime.block_on(self.app.unrevoke(revocation))?)
    }

    fn reschedule(&self, id: &str, due: &DueArgs) -> Result<Value> {
        let now = self.app.ports().clock.now();
        let eta = due.countdown.map(|delay| now + delay).or(due.eta);
        // The command line takes neither none nor both.
        let eta = eta.ok_or_else(|| Failure::usage("say when: --eta or --countdown"))?;
        self.runtime.block_on(async {
            self.app.reschedule(id, eta).await?;
            json(&self.app.record(id).await?)
        })
    }

    fn queues(&self) -> Result<Vec<(String, Depth)>> {
        let depths = self.runtime.block_on(self.app.queues())?;
        let named = |(name, depth): (sedano::ports::QueueName, _)| (name.to_string(), depth);
        Ok(depths.into_iter().map(named).collect())
    }

    fn set_reading(&self, queue: &str, reading: bool) -> Result<()> {
        let queues = &self.app.config().queues;
        let Some(url) = queues.get(&QueueName::new(queue)) else {
            let hint = match nearest(queue, queues.keys().map(QueueName::as_str)) {
                Some(near) => format!("; did you mean `{near}`?"),
                None => String::new(),
            };
            let what = format!("there is no queue `{queue}`{hint}");
            return Err(Failure::new(Exit::NotFound, what));
        };
        let Some(queue_arn) = beat::arn(url, &self.region) else {
            let what =
                format!("{url} is no queue's URL in AWS: it doesn't end in an account and a name");
            return Err(Failure::usage(what));
        };
        let (mappings, clock) = (self.account.mappings(), &*self.app.ports().clock);
        self.runtime
            .block_on(mappings.set_enabled(queue, &queue_arn, reading, clock))
    }

    fn purge(&self, queue: &str) -> Result<Depth> {
        Ok(self.runtime.block_on(self.app.purge(queue))?)
    }

    fn tasks(&self) -> Result<Vec<TaskInfo>> {
        self.runtime.block_on(self.registered())?.ok_or_else(|| {
            Failure::new(
                Exit::NotFound,
                "the state table lists no tasks yet: the beat function writes them when it starts, \
                 within a minute of the first deployment",
            )
        })
    }

    fn dead_letters(&self, which: &Which, most: Option<usize>) -> Result<Vec<Value>> {
        // Each may have a mebibyte.
        const MOST: usize = 10_000;
        let listed = self.app.dead_letters();
        let selection = selection(which);
        let listed = listed.list(&selection, most.unwrap_or(MOST));
        let letters = self.runtime.block_on(listed)?;
        let summary = |letter| {
            let mut letter = json(&letter)?;
            if let Some(members) = letter.as_object_mut() {
                members.remove("body");
            }
            Ok(letter)
        };
        letters.into_iter().map(summary).collect()
    }

    fn dead_letter(&self, id: &str) -> Result<Value> {
        let found = self.runtime.block_on(self.app.dead_letters().find(id))?;
        json(&found.ok_or_else(|| unknown(id))?)
    }

    fn redrive(&self, ids: &[String], pause: Duration, each: Each<'_>) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut left: BTreeSet<&String> = ids.iter().collect();
        let letters = self.app.dead_letters();
        let selection = of_letters(ids);
        let met = letters.redrive_all(&selection, pause, |letter, redriven| {
            left.remove(&letter.id);
            let redriven = redriven.map_err(Failure::from);
            each(&letter.id, redriven.and_then(|redriven| json(&redriven)));
        });
        self.runtime.block_on(met)?;
        for id in left {
            each(id, Err(unknown(id)));
        }
        Ok(())
    }

    fn edit(&self, id: &str, changes: &ChangeArgs) -> Result<Value> {
        let mut edit = Edit::default();
        if let Some(body) = &changes.body {
            edit = edit.body(body);
        }
        if let Some(args) = &changes.args {
            edit = edit.args(args.clone());
        }
        if let Some(kwargs) = &changes.kwargs {
            edit = edit.kwargs(kwargs.clone());
        }
        if let Some(queue) = &changes.queue {
            edit = edit.queue(queue.as_str());
        }
        let letters = self.app.dead_letters();
        let redriven = self.runtime.block_on(letters.redrive(id, &edit))?;
        json(&redriven.ok_or_else(|| unknown(id))?)
    }

    fn discard(&self, ids: &[String], each: Each<'_>) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut left: BTreeSet<&String> = ids.iter().collect();
        let letters = self.app.dead_letters();
        let selection = of_letters(ids);
        let met = letters.discard_all(&selection, |letter, discarded| {
            left.remove(&letter.id);
            let discarded = discarded.map_err(Failure::from);
            each(&letter.id, discarded.and_then(|()| json(letter)));
        });
        self.runtime.block_on(met)?;
        for id in left {
            each(id, Err(unknown(id)));
        }
        Ok(())
    }

    fn entries(&self) -> Result<Vec<Standing>> {
        Ok(self.runtime.block_on(self.beat().list())?)
    }

    fn entry(&self, name: &str) -> Result<Standing> {
        Ok(self.runtime.block_on(self.beat().get(name))?)
    }

    fn add_entry(&self, _name: &str, definition: Value) -> Result<Standing> {
        self.runtime.block_on(async {
            let entry = self.sendable(definition).await?;
            Ok(self.beat().add(entry).await?)
        })
    }

    fn edit_entry(&self, _name: &str, definition: Value) -> Result<Standing> {
        self.runtime.block_on(async {
            let entry = self.sendable(definition).await?;
            Ok(self.beat().edit(entry).await?)
        })
    }

    fn set_paused(&self, name: &str, paused: bool) -> Result<Standing> {
        let beat = self.beat();
        Ok(self.runtime.block_on(async {
            match paused {
                true => beat.pause(name).await,
                false => beat.resume(name).await,
            }
        })?)
    }

    fn run_entry(&self, name: &str) -> Result<Sent> {
        self.runtime.block_on(async {
            let entry = self.beat().get(name).await?;
            let task = entry.entry.pointer("/task/task").and_then(Value::as_str);
            // The task's own queue, which the program that beats would know.
            let queue = match (self.registered().await?, task) {
                (Some(tasks), Some(task)) => Some(find(task, &tasks)?.queue.clone()),
                _ => None,
            };
            let id = self.beat().run_now_on(name, queue.as_deref()).await?;
            Ok(Sent {
                id,
                status: "PENDING".to_owned(),
            })
        })
    }

    fn remove_entry(&self, name: &str) -> Result<Standing> {
        let beat = self.beat();
        Ok(self.runtime.block_on(async {
            let was = beat.get(name).await?;
            beat.remove(name).await?;
            Ok::<_, sedano::Error>(was)
        })?)
    }

    fn next(&self, name: &str, count: usize) -> Result<Vec<Coming>> {
        Ok(self.runtime.block_on(self.beat().next(name, count))?)
    }

    fn history(&self, name: &str, count: usize) -> Result<Vec<Past>> {
        Ok(self.runtime.block_on(self.beat().history(name, count))?)
    }

    fn plan(&self, asked: &SyncArgs) -> Result<Rules> {
        let app = self.with_tasks();
        let queues = &app.config().queues;
        let owner = beat::owner(asked, self.stack.as_deref(), queues, &self.region)?;
        let natives = self.runtime.block_on(Entries::of(&app).natives())?;
        let natives: Vec<Native> = natives
            .into_iter()
            .map(|native| match asked.back.contains(&native.entry) {
                true => native.on_tick(),
                false => native,
            })
            .collect();
        let rules = self
            .runtime
            .block_on(app.ports().bus.rules(&owner.prefix))?;
        let mut plan = Plan::new(&natives, &owner, &rules);
        if !asked.entry.is_empty() {
            plan = plan.only(&asked.entry)?;
        }
        Ok(Rules {
            prefix: owner.prefix,
            rules,
            plan,
            applied: false,
            failed: Vec::new(),
        })
    }

    fn apply(&self, rules: &mut Rules) -> Result<()> {
        let ports = self.app.ports();
        let failed = &mut rules.failed;
        let mut each = |step: &Step, done: sedano::Result<()>| {
            failed.extend(done.err().map(|error| Failed {
                rule: step.rule().map(str::to_owned),
                entry: step.entry().map(str::to_owned),
                message: error.to_string(),
            }));
        };
        let marks = StateMarks::new(&self.app);
        let applied = rules
            .plan
            .apply(&*ports.bus, &*ports.clock, &marks, &mut each);
        self.runtime.block_on(applied);
        rules.applied = true;
        Ok(())
    }
}

fn selection(which: &Which) -> Selection {
    let ids = which.ids.iter();
    let mut selection = ids.fold(Selection::all(), |all, id| all.id(id));
    if let Some(task) = &which.filter.task {
        selection = selection.task(task);
    }
    if let Some(reason) = &which.filter.reason {
        selection = selection.reason(reason);
    }
    if let Some(age) = which.filter.older_than {
        selection = selection.older_than(age);
    }
    selection
}

fn of_letters(ids: &[String]) -> Selection {
    let ids = ids.iter();
    ids.fold(Selection::all(), |all, id| all.letter(id))
}

fn unknown(id: &str) -> Failure {
    let what = format!(
        "no dead letter has the id {id}; one that somebody looks at is hidden from others for a moment"
    );
    Failure::new(Exit::NotFound, what)
}

fn signature(call: &SendArgs, queue: Option<String>) -> Signature<(), Value> {
    let mut signature = Signature::<(), Value>::named(&call.name);
    for value in &call.args {
        signature = signature.arg(value);
    }
    for (name, value) in call.kwargs.iter().flatten() {
        signature = signature.kwarg(name, value);
    }
    if let Some(queue) = call.queue.as_ref().or(queue.as_ref()) {
        signature = signature.queue(queue);
    }
    if let Some(delay) = call.countdown {
        signature = signature.countdown(delay);
    }
    if let Some(eta) = call.eta {
        signature = signature.eta(eta);
    }
    if let Some(after) = call.expires {
        signature = signature.expires(after);
    }
    if let Some(id) = &call.id {
        signature = signature.id(id);
    }
    signature
}

/// The task that answers to this name or alias; the one that may be meant is named otherwise.
fn find<'a>(name: &str, tasks: &'a [TaskInfo]) -> Result<&'a TaskInfo> {
    let names = |task: &'a TaskInfo| std::iter::once(&task.name).chain(&task.aliases);
    let answers = |task: &&'a TaskInfo| names(task).any(|is| is == name);
    tasks.iter().find(answers).ok_or_else(|| {
        let hint = nearest(name, tasks.iter().flat_map(names).map(String::as_str))
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        Failure::new(Exit::NotFound, format!("no task is named `{name}`{hint}"))
    })
}

/// The list of tasks in the state table; entries that can't be read are left out.
fn registry(item: &Item) -> Vec<TaskInfo> {
    let text = |map: &Item, name: &str| Some(map.get(name)?.as_text()?.to_owned());
    let parameter = |value: &Attribute| match value {
        Attribute::Map(map) => Some(Parameter {
            name: text(map, "name")?,
            required: map.get("required") != Some(&Attribute::Bool(false)),
        }),
        _ => None,
    };
    let task = |value: &Attribute| match value {
        Attribute::Map(map) => Some(TaskInfo {
            name: text(map, "name")?,
            aliases: list(map, "aliases")
                .iter()
                .filter_map(|alias| Some(alias.as_text()?.to_owned()))
                .collect(),
            parameters: list(map, "parameters")
                .iter()
                .filter_map(parameter)
                .collect(),
            queue: text(map, "queue")?,
        }),
        _ => None,
    };
    list(item, "tasks").iter().filter_map(task).collect()
}

fn list<'a>(item: &'a Item, name: &str) -> &'a [Attribute] {
    match item.get(name) {
        Some(Attribute::List(list)) => list,
        _ => &[],
    }
}

fn json(answer: &impl Serialize) -> Result<Value> {
    serde_json::to_value(answer)
        .map_err(|error| Failure::new(Exit::Other, format!("the answer is no JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sedano::beat::Beat;
    use sedano::memory::Memory;
    use sedano::{Tasks, task, tasks};

    /// What beat writes of these tasks, read.
    async fn registered(tasks: Tasks) -> Vec<TaskInfo> {
        let app = Memory::default().app().tasks(tasks);
        Beat::new().register(&app).await.unwrap();
        let key = Key::State("registry".to_owned(), "tasks".to_owned());
        let item = app.ports().store.get(&key).await.unwrap().unwrap();
        registry(&item)
    }

    #[task(name = "mail.send", alias = ["send_mail", "post"])]
    async fn send_mail() {}

    #[tokio::test]
    async fn a_task_answers_to_its_earlier_names() {
        let tasks = registered(tasks![send_mail]).await;
        for name in ["mail.send", "send_mail", "post"] {
            assert_eq!(find(name, &tasks).unwrap().name, "mail.send");
        }
        let unknown = find("send_mails", &tasks).unwrap_err();
        assert_eq!(
            unknown.message,
            "no task is named `send_mails`; did you mean `send_mail`?"
        );
    }

    #[test]
    fn a_registry_of_an_older_version_lists_no_aliases() {
        let task = Item::from([
            ("name".into(), "add".into()),
            ("queue".into(), "default".into()),
        ]);
        let item = Item::from([("tasks".into(), Attribute::List(vec![Attribute::Map(task)]))]);
        assert_eq!(registry(&item)[0].aliases, Vec::<String>::new());
    }

    #[tokio::test]
    async fn the_registry_is_read_as_it_is_written() {
        let tasks = registered(sedano_tasks::all()).await;
        assert_eq!(tasks.len(), sedano_tasks::all().iter().count());
        let parameter = |name: &str, required| Parameter {
            name: name.to_owned(),
            required,
        };
        assert_eq!(
            find("top_words", &tasks).unwrap(),
            &TaskInfo {
                name: "top_words".to_owned(),
                aliases: Vec::new(),
                parameters: vec![parameter("counts", true), parameter("limit", false)],
                queue: "default".to_owned(),
            }
        );
        let unknown = find("top_word", &tasks).unwrap_err();
        assert_eq!(unknown.exit, Exit::NotFound);
        assert_eq!(
            unknown.message,
            "no task is named `top_word`; did you mean `top_words`?"
        );
    }
}
