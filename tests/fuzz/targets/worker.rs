//! Any body in a queue that a worker reads: it ends recorded, as a dead letter, or waiting for its time.
//! It never goes back again and again.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use sedano::ports::{Outgoing, Queue as _, QueueName, Table};
use sedano::{Message, Worker};
use sedano_fuzz::{in_virtual_time, system};

fuzz_target!(|data: &[u8]| {
    let Ok(body) = std::str::from_utf8(data) else {
        return;
    };
    in_virtual_time(async {
        let (memory, app) = system();
        let queue = QueueName::new(QueueName::DEFAULT);
        let sent = memory.queue().send(&queue, vec![Outgoing::new(body)]).await;
        // SQS wouldn't have brought it.
        let Ok([Ok(_)]) = sent.as_deref() else {
            return;
        };
        let worker = Worker::new(app);
        // A worker that knows its task may come within five minutes.
        for _ in 0..8 {
            if let Err(error) = worker.run_once().await {
                panic!("{error}");
            }
            tokio::time::advance(Duration::from_secs(120)).await;
        }
        let dead = memory.queue().dead_letters().len();
        let recorded = memory.store().items(Table::Results).len();
        let waiting = memory.queue().messages(&queue);
        if let [copy] = waiting.as_slice() {
            let message = Message::decode(&copy.body, "", sedano_fuzz::NOW);
            let eta = message.ok().and_then(|message| message.eta);
            assert!(eta.is_some_and(|eta| eta > sedano_fuzz::NOW), "{copy:?}");
            return;
        }
        assert!(waiting.is_empty(), "{waiting:?}");
        let forgotten = Message::decode(body, "mid", sedano_fuzz::NOW)
            .is_ok_and(|message| message.ignore_result == Some(true));
        assert!(dead + recorded > 0 || forgotten, "lost: {body}");
        assert!(dead <= 1 && recorded <= 1);
    });
});
