//! Entries go where the routes of the program that beats lead, at each tick.

use super::*;
use crate::ports::{Attribute, QueueName};
use crate::{Route, Routes};

#[task(queue = "own")]
async fn elsewhere(what: String) {
    drop(what);
}

fn app(memory: &Memory, routes: &str) -> App {
    let mut config = Config::memory();
    for queue in ["low", "own"] {
        config
            .queues
            .insert(queue.into(), format!("memory:{queue}"));
    }
    config.routes = routes.parse().unwrap();
    App::new(memory.ports(), config)
}

fn world() -> Memory {
    let mut config = Config::memory();
    for queue in ["low", "own"] {
        config
            .queues
            .insert(queue.into(), format!("memory:{queue}"));
    }
    let clock = Arc::new(TokioClock::starting_at(START));
    Memory::with(&config, clock, Arc::new(SeededEntropy::new(1)))
}

/// How many messages each of the three queues holds.
fn depths(memory: &Memory) -> [usize; 3] {
    ["default", "low", "own"].map(|queue| memory.queue().messages(&QueueName::new(queue)).len())
}

#[tokio::test(start_paused = true)]
async fn a_due_time_is_sent_by_the_routes_of_its_tick() {
    let memory = world();
    let entry = |task| Entry::new("a", seconds(60), task);
    let beat = Beat::new().with(entry(note::s("a".to_owned())));
    // A tick that knows the task, and one that reads of it in the entry only.
    let routed = app(&memory, r#"{"note": "low"}"#);
    beat.tick(&routed.clone().tasks(tasks![note]))
        .await
        .unwrap();
    assert_eq!(depths(&memory), [0, 1, 0]);
    memory.ports().clock.sleep(Duration::from_secs(60)).await;
    beat.tick(&routed).await.unwrap();
    assert_eq!(depths(&memory), [0, 2, 0]);
    memory.ports().clock.sleep(Duration::from_secs(60)).await;
    beat.tick(&app(&memory, "{}")).await.unwrap();
    assert_eq!(depths(&memory), [1, 2, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_run_by_hand_is_routed_too() {
    let memory = world();
    let app = app(&memory, r#"{"elsewhere": "low"}"#).tasks(tasks![elsewhere, note]);
    let entries = Entries::of(&app);
    let text = || "a".to_owned();
    entries
        .add(Entry::new("a", seconds(60), elsewhere::s(text())))
        .await
        .unwrap();
    let own = elsewhere::s(text()).queue("own");
    entries
        .add(Entry::new("b", seconds(60), own))
        .await
        .unwrap();
    entries.run_now("a").await.unwrap();
    entries.run_now("b").await.unwrap();
    assert_eq!(depths(&memory), [0, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn the_list_of_tasks_for_tools_says_where_they_go() {
    let memory = world();
    let app = app(&memory, "{}").tasks(tasks![note, elsewhere]);
    let routes = Routes::new().glob("n*", Route::to("low"));
    let app = app.routes(routes).unwrap();
    Beat::new().register(&app).await.unwrap();
    let items = memory.store().items(Table::State);
    let Some(Attribute::List(tasks)) = items.iter().find_map(|item| item.get("tasks")) else {
        panic!("{items:?}")
    };
    let queues = tasks.iter().map(|task| match task {
        Attribute::Map(task) => task["queue"].as_text(),
        other => panic!("{other:?}"),
    });
    assert_eq!(queues.collect::<Vec<_>>(), [Some("low"), Some("own")]);
}
