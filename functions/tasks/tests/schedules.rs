//! The worked schedules with beat and a worker, on the ports in memory, in virtual time: over both changes of
//! Kyiv's clock in 2026, late, and twice.

#![expect(clippy::unwrap_used, reason = "what the tests call is test code too")]

use std::sync::Arc;
use std::time::Duration;

use sedano::beat::{Beat, at};
use sedano::memory::{Memory, TokioClock};
use sedano::ports::{Attribute, Item, Op, QueueName, When};
use sedano::{
    App, Config, Context, SeededEntropy, Signature, State, TaskError, Timestamp, Worker, task,
    tasks,
};
use sedano_tasks::arithmetic::{add, mul};
use sedano_tasks::failing::fail;
use sedano_tasks::refunds::{cancel_open_refunds, open_refund};
use sedano_tasks::report::{Report, end_of_day_report, record_finished};
use sedano_tasks::{Killer, Rows, all, schedule};

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// An application whose clock shows what it is told, with rows of its own.
struct World {
    app: App,
    rows: Rows,
    beat: Beat,
}

impl World {
    fn at(now: &str) -> Self {
        let (config, clock) = (Config::memory(), TokioClock::starting_at(instant(now)));
        let memory = Memory::with(&config, Arc::new(clock), Arc::new(SeededEntropy::new(1)));
        let app = App::new(memory.ports(), config).tasks(all());
        let (rows, beat) = (Rows::in_memory(), schedule());
        beat.check(&app).unwrap();
        Self { app, rows, beat }
    }

    fn worker(&self) -> Worker {
        let worker = Worker::new(self.app.clone())
            .state(Killer::of_a_simulated_worker(|| {}))
            .state(self.rows.clone());
        worker.check().unwrap();
        worker
    }

    /// Beat and a worker go on until the clock shows this.
    async fn until(&self, then: &str) {
        let (worker, queue) = (self.worker(), QueueName::new(QueueName::DEFAULT));
        tokio::select! {
            biased;
            stopped = self.beat.run(&self.app) => unreachable!("{stopped:?}"),
            stopped = worker.poll(&queue, 10, Duration::from_secs(60)) => unreachable!("{stopped:?}"),
            () = self.clock_shows(then) => {}
        }
    }

    /// Beat goes on until the clock shows this, and no worker does.
    async fn without_a_worker_until(&self, then: &str) {
        tokio::select! {
            biased;
            stopped = self.beat.run(&self.app) => unreachable!("{stopped:?}"),
            () = self.clock_shows(then) => {}
        }
    }

    async fn clock_shows(&self, then: &str) {
        let clock = &self.app.ports().clock;
        clock.sleep(instant(then).since(clock.now())).await;
    }

    /// Runs what there is to run now, with this call among it, and gives its result.
    async fn run<Out: serde::de::DeserializeOwned>(&self, call: Signature<(), Out>) -> Out {
        let sent = self.app.send(call).await.unwrap();
        self.worker().run_once().await.unwrap();
        sent.get().await.unwrap()
    }

    async fn refund(&self, name: &str) -> Item {
        let refunds = self.rows.part("refunds").await.unwrap();
        let mut refunds = refunds.into_iter();
        refunds.find(|row| text(row, "sk") == name).unwrap()
    }

    /// When the refund was due to be cancelled, if it was cancelled: by a run within a second of that.
    async fn cancelled_on_time(&self, name: &str) -> Option<String> {
        let refund = self.refund(name).await;
        if text(&refund, "status") == "open" {
            return None;
        }
        let (due, run) = (text(&refund, "due"), text(&refund, "cancelled_at"));
        assert!(instant(&run) >= instant(&due), "{refund:?}");
        assert!(
            instant(&run).since(instant(&due)) < Duration::from_secs(1),
            "{refund:?}"
        );
        Some(due)
    }

    /// The report of a day: for each user the names of the tasks, in the order in which they finished.
    async fn report(&self, day: &str) -> Vec<(String, Vec<String>)> {
        let rows = self.rows.part(&format!("report {day}")).await.unwrap();
        let names = |row: &Item| listed(row).iter().map(|task| text(task, "name")).collect();
        rows.iter()
            .map(|row| (text(row, "sk"), names(row)))
            .collect()
    }
}

fn text(row: &Item, name: &str) -> String {
    row[name].as_text().unwrap().to_owned()
}

fn listed(row: &Item) -> Vec<Item> {
    let Attribute::List(tasks) = &row["tasks"] else {
        unreachable!("{row:?}")
    };
    let item = |task: &Attribute| match task {
        Attribute::Map(item) => item.clone(),
        other => unreachable!("{other:?}"),
    };
    tasks.iter().map(item).collect()
}

/// A call for a user: its end is noted.
fn of<Out: 'static>(user: &str, call: Signature<(), Out>) -> Signature<(), Out> {
    call.link(record_finished::s(user.into()).immutable())
}

fn named(user: &str, tasks: &[&str]) -> (String, Vec<String>) {
    let tasks = tasks.iter().map(|&name| name.to_owned()).collect();
    (user.to_owned(), tasks)
}

#[tokio::test(start_paused = true)]
async fn refunds_are_cancelled_at_six_in_the_evening_whatever_the_clock_s_changes() {
    for (start, evenings) in [
        (
            "2026-03-28T15:30:00Z",
            ["2026-03-28T16:00:00.000Z", "2026-03-29T15:00:00.000Z"],
        ),
        (
            "2026-10-24T14:30:00Z",
            ["2026-10-24T15:00:00.000Z", "2026-10-25T16:00:00.000Z"],
        ),
    ] {
        let world = World::at(start);
        world.run(open_refund::s("first".into(), 1250)).await;
        let [first, second] = evenings;
        // A minute before each evening it is open, a minute after it isn't.
        let around = |due: &str| {
            let (due, minute) = (instant(due), Duration::from_secs(60));
            ((due - minute).to_string(), (due + minute).to_string())
        };
        let (before, after) = around(first);
        world.until(&before).await;
        assert_eq!(world.cancelled_on_time("first").await, None);
        world.until(&after).await;
        assert_eq!(world.cancelled_on_time("first").await, Some(first.into()));

        world.run(open_refund::s("second".into(), 80)).await;
        let (before, after) = around(second);
        world.until(&before).await;
        assert_eq!(world.cancelled_on_time("second").await, None);
        world.until(&after).await;
        assert_eq!(world.cancelled_on_time("second").await, Some(second.into()));
        // Cancelled once: the evening after is none of its business.
        assert_eq!(world.cancelled_on_time("first").await, Some(first.into()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_run_cancels_what_was_open_when_it_was_due() {
    let world = World::at("2026-05-04T14:00:00Z");
    world.run(open_refund::s("in-time".into(), 1)).await;
    world.without_a_worker_until("2026-05-04T15:05:00Z").await;
    // Beat has sent it, and nobody has run it: this one is opened by the first batch.
    let late = open_refund::s("too-late".into(), 2);
    world.app.send(late).await.unwrap();
    world.until("2026-05-04T15:10:00Z").await;
    let in_time = world.refund("in-time").await;
    assert_eq!(text(&in_time, "due"), "2026-05-04T15:00:00.000Z");
    assert!(instant(&text(&in_time, "cancelled_at")) >= instant("2026-05-04T15:05:00Z"));
    assert_eq!(text(&world.refund("too-late").await, "status"), "open");
}

#[tokio::test(start_paused = true)]
async fn a_second_run_cancels_nothing_twice_and_says_the_same() {
    let world = World::at("2026-05-04T14:00:00Z");
    for name in ["a", "b"] {
        world.run(open_refund::s(name.into(), 1)).await;
    }
    let due = |due: &str| cancel_open_refunds::s().header("sedano-due", due);
    world.clock_shows("2026-05-04T15:00:00Z").await;
    assert_eq!(world.run(due("2026-05-04T15:00:00Z")).await, 2);
    let cancelled = world.rows.part("refunds").await.unwrap();
    world.clock_shows("2026-05-04T15:00:07Z").await;
    assert_eq!(world.run(due("2026-05-04T15:00:00Z")).await, 2);
    assert_eq!(world.run(due("2026-05-05T15:00:00Z")).await, 0);
    assert_eq!(world.rows.part("refunds").await.unwrap(), cancelled);
    // Opened again by a copy of the message: it stays as it is.
    world.run(open_refund::s("a".into(), 1)).await;
    assert_eq!(world.rows.part("refunds").await.unwrap(), cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_day_s_report_is_of_that_day_in_kyiv() {
    // The day of 23 hours, and that of 25: its first and last minutes, and those beside.
    for (day, before, first, last, after, night) in [
        (
            "2026-03-29",
            "2026-03-28T21:59:00Z",
            "2026-03-28T22:01:00Z",
            "2026-03-29T20:59:00Z",
            "2026-03-29T21:01:00Z",
            "2026-03-29T21:15:00Z",
        ),
        (
            "2026-10-25",
            "2026-10-24T20:59:00Z",
            "2026-10-24T21:01:00Z",
            "2026-10-25T21:59:00Z",
            "2026-10-25T22:01:00Z",
            "2026-10-25T22:15:00Z",
        ),
    ] {
        let world = World::at(&(instant(before) - Duration::from_secs(60)).to_string());
        world.until(before).await;
        world
            .app
            .send(of("ada", fail::s("no luck".into())))
            .await
            .unwrap();
        world.app.send(of("ada", cheap("before"))).await.unwrap();
        world.until(first).await;
        world.app.send(of("ada", mul::s(2, 3))).await.unwrap();
        world.app.send(of("bo", add::s(1, 1))).await.unwrap();
        // Nobody's: it is in no report.
        world.app.send(add::s(5, 5)).await.unwrap();
        world.until(last).await;
        world.app.send(of("ada", add::s(2, 3))).await.unwrap();
        world.until(after).await;
        world.app.send(of("ada", cheap("after"))).await.unwrap();
        assert_eq!(world.report(day).await, []);
        world
            .until(&(instant(night) + Duration::from_secs(1)).to_string())
            .await;
        assert_eq!(
            world.report(day).await,
            [named("ada", &["mul", "add"]), named("bo", &["add"])]
        );
    }
}

/// Any task that isn't one of those that belong to the day.
fn cheap(value: &str) -> Signature<(), serde_json::Value> {
    sedano_tasks::echo::echo::s(value.into())
}

#[tokio::test(start_paused = true)]
async fn a_report_says_what_and_when() {
    let world = World::at("2026-05-04T12:00:00Z");
    let sent = world.app.send(of("ada", add::s(2, 3))).await.unwrap();
    world.until("2026-05-04T12:01:00Z").await;
    let record = sent.record().await.unwrap();
    let due = "2026-05-04T21:15:00Z";
    let report = end_of_day_report::s().header("sedano-due", due);
    assert_eq!(
        world.run(report).await,
        Report {
            day: "2026-05-04".into(),
            users: 1,
            tasks: 1
        }
    );
    let rows = world.rows.part("report 2026-05-04").await.unwrap();
    let task = Item::from([
        ("id".into(), sent.id().into()),
        ("name".into(), "add".into()),
        ("finished_at".into(), record.finished_at.unwrap().into()),
    ]);
    assert_eq!((rows.len(), text(&rows[0], "sk")), (1, "ada".into()));
    assert_eq!(listed(&rows[0]), [task]);
}

#[tokio::test(start_paused = true)]
async fn late_reports_are_each_of_their_own_day_and_a_doubled_one_changes_nothing() {
    let world = World::at("2026-03-27T12:00:00Z");
    world.app.send(of("ada", add::s(1, 1))).await.unwrap();
    world.until("2026-03-28T12:00:00Z").await;
    world.app.send(of("bo", mul::s(1, 1))).await.unwrap();
    world.until("2026-03-28T12:01:00Z").await;
    assert_eq!(world.report("2026-03-27").await, [named("ada", &["add"])]);
    // Two nights pass, and the reports wait in the queue.
    world.without_a_worker_until("2026-03-30T15:00:00Z").await;
    assert_eq!(world.report("2026-03-28").await, []);
    world.until("2026-03-30T15:01:00Z").await;
    assert_eq!(world.report("2026-03-28").await, [named("bo", &["mul"])]);
    assert_eq!(world.report("2026-03-29").await, []);

    let before = world.rows.part("report 2026-03-28").await.unwrap();
    let again = end_of_day_report::s().header("sedano-due", "2026-03-28T22:15:00Z");
    let report = world.run(again).await;
    assert_eq!((report.day.as_str(), report.tasks), ("2026-03-28", 1));
    assert_eq!(world.rows.part("report 2026-03-28").await.unwrap(), before);
}

#[tokio::test(start_paused = true)]
async fn a_callback_that_comes_twice_or_follows_nothing_is_noted_once_or_refused() {
    let world = World::at("2026-05-04T12:00:00Z");
    world
        .app
        .send(of("ada", add::s(1, 1)).id("sum"))
        .await
        .unwrap();
    let twice = of("bo", of("bo", mul::s(1, 1)));
    world.app.send(twice).await.unwrap();
    world.until("2026-05-04T12:01:00Z").await;
    let noted = world.rows.part("finished 2026-05-04").await.unwrap();
    let mut users: Vec<String> = noted.iter().map(|row| text(row, "user")).collect();
    users.sort();
    assert_eq!(users, ["ada", "bo"]);

    let alone = world
        .app
        .send(record_finished::s("ada".into()))
        .await
        .unwrap();
    let nobody = world.app.send(of("", add::s(1, 1))).await.unwrap();
    world.until("2026-05-04T12:02:00Z").await;
    let error = alone.record().await.unwrap().error.unwrap();
    assert!(error.message.starts_with("follows no task: "), "{error:?}");
    let children = nobody.record().await.unwrap().children;
    let refused = world.app.record(&children[0]).await.unwrap();
    assert_eq!(refused.status, State::Failure);
    assert_eq!(world.rows.part("finished 2026-05-04").await.unwrap(), noted);
}

/// Fails until it has been retried twice, an hour later each time; then notes when it was due.
#[task(default_retry_delay = hours(1))]
async fn patient(#[ctx] ctx: &Context, #[state] rows: &Rows) -> Result<(), TaskError> {
    if ctx.retries() < 2 {
        return Err(TaskError::retry("not yet"));
    }
    let due = ctx.due().map_or(Attribute::Null, Attribute::from);
    let row = Op::Put(Item::from([("due".into(), due)]));
    rows.write("patient", ctx.id(), row, When::Always).await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_retry_knows_when_the_first_run_was_due() {
    let mut world = World::at("2026-05-04T12:00:00Z");
    world.app = world.app.tasks(tasks![patient]);
    let due = instant("2026-05-04T12:00:30Z");
    world.beat = Beat::new().entry("patient", at(due), patient::s());
    world.until("2026-05-04T14:00:29Z").await;
    assert_eq!(world.rows.part("patient").await.unwrap(), []);
    world.until("2026-05-04T14:01:00Z").await;
    let rows = world.rows.part("patient").await.unwrap();
    let due: Vec<String> = rows.iter().map(|row| text(row, "due")).collect();
    assert_eq!(due, ["2026-05-04T12:00:30.000Z"]);
}
