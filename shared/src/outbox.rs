//! The outbox: a send that is part of the caller's own transaction in DynamoDB, so that the task exists exactly if what
//! the caller writes does.
//!
//! An outbox row is the record of a parked task that is due ([`crate::parked`]), with its entry in a minute that beat
//! comes by soon. So nothing here is new to workers and beat: the tick finds it, and has it sent.

use crate::app::App;
use crate::canvas::Canvas;
use crate::error::{Error, ErrorKind, Result};
use crate::launch::{Launch, Origin};
use crate::limits;
use crate::message::Message;
use crate::parked::{self, IN_TIME};
use crate::ports::{Field, Item, Key, Op, Table, Write};
use crate::record::field;
use crate::result::AsyncResult;
use crate::signature::Signature;

/// A task that is sent if its rows are written: all of them, in one transaction.
///
/// See [sending with your own transaction](crate::guide::calling#with-your-own-transaction).
#[derive(Debug)]
#[must_use = "without its rows in a transaction nothing is sent"]
pub struct Outbox<Out> {
    app: App,
    handle: AsyncResult<Out>,
    rows: Vec<OutboxRow>,
}

/// An item to be put into a table.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OutboxRow {
    /// The table's name.
    pub table: String,
    /// The attributes, those of the key among them.
    pub item: Item,
    /// The attribute that the item in its place must not have, or the transaction is to fail: there is a task of
    /// this id already.
    pub unless: Option<&'static str>,
}

impl<Out> Outbox<Out> {
    /// The task's id, under which its result will be found.
    pub fn id(&self) -> &str {
        self.handle.id()
    }

    /// The handle on its result: PENDING for ever, if the transaction fails.
    pub fn handle(&self) -> &AsyncResult<Out> {
        &self.handle
    }

    /// What the transaction is to write.
    pub fn rows(&self) -> &[OutboxRow] {
        &self.rows
    }

    /// Sends it now that its rows are written, in place of waiting for beat; if they aren't, does nothing.
    ///
    /// # Errors
    /// As [`App::promote`].
    pub async fn promote(&self) -> Result<()> {
        self.app.promote(self.handle.first()).await
    }
}

impl App {
    /// A call as rows for the caller's own transaction, in place of a send. Nothing is written yet. Beat's tick sends the
    /// task within three minutes of the transaction; [`Outbox::promote`] does so at once.
    ///
    /// ```
    /// # use sedano::{task, tasks, TaskError, memory::Memory, Worker};
    /// # #[task] async fn ship(order: String) {}
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let app = Memory::default().app().tasks(tasks![ship]);
    /// let outbox = app.outbox(ship::s("A-17".to_owned()))?;
    /// assert_eq!(outbox.rows().len(), 2);
    /// // With the feature `aws`: `outbox.transact_items()?`, beside your own of one `TransactWriteItems`. And then:
    /// outbox.promote().await?;
    /// # Ok::<(), sedano::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`send`](App::send)'s before it calls anyone; `TooLarge` for over 200 KB, compressed; `Invalid` for a group or a chord,
    /// and for a FIFO queue.
    pub fn outbox<Out>(&self, call: impl Into<Signature<(), Out>>) -> Result<Outbox<Out>> {
        let canvas = call.into().into_canvas();
        let refused = |what: &str| Err(Error::new(ErrorKind::Invalid, what));
        if starts_with_group(&canvas) {
            return refused(
                "an outbox holds no group: put it behind a task, or send a task that sends it",
            );
        }
        let ready = self.launch(Launch::of(canvas, Origin::default()))?;
        if ready.queue.is_fifo() {
            return refused("an outbox sends to no FIFO queue: its order is that of the sends");
        }
        let now = self.now();
        let message = Message::decode(&ready.outgoing.body, &ready.id, now)?;
        let due = message.eta.map_or(now, |eta| eta.max(now));
        let sent = parked::Sent {
            group: ready.outgoing.group.as_deref(),
            attributes: &ready.outgoing.attributes,
        };
        let Some(fields) = parked::kept(&message, &ready.queue, &sent, due)? else {
            return Err(limits::too_large(&message.task, ready.outgoing.size()));
        };
        let mut record: Item = fields
            .into_iter()
            .map(|(name, value)| (Field::from(name), value))
            .collect();
        for (name, id) in [
            (field::PARENT_ID, &message.parent_id),
            (field::ROOT_ID, &message.root_id),
        ] {
            if let Some(id) = id {
                record.insert(name.into(), id.as_str().into());
            }
        }
        let record = self.row(Key::Result(message.id.clone()), record, Some("id"));
        // Where beat comes by next, and not where it has been.
        let Write { key, op, .. } = parked::entry(&message.id, due.max(now + IN_TIME));
        let entry = match op {
            Op::Put(item) => item,
            Op::Update(_) | Op::Delete => Item::new(),
        };
        let handle = AsyncResult::after(self.clone(), ready.id, ready.path.into());
        Ok(Outbox {
            app: self.clone(),
            handle,
            rows: vec![record, self.row(key, entry, None)],
        })
    }

    fn row(&self, key: Key, mut item: Item, unless: Option<&'static str>) -> OutboxRow {
        for (name, value) in key.attributes() {
            item.insert(name.into(), value.into());
        }
        let config = self.config();
        OutboxRow {
            table: match key.table() {
                Table::Results => config.results_table.clone(),
                Table::State => config.state_table.clone(),
            },
            item,
            unless,
        }
    }

    /// Sends the task of an [outbox](App::outbox) that another process has written, or any that is parked and due within 12 minutes: now. Without
    /// one, does nothing. May be called by whoever likes, as often as he likes: one message takes effect.
    ///
    /// # Errors
    /// As the store and the queue say; then beat's tick sends it.
    pub async fn promote(&self, id: &str) -> Result<()> {
        self.promote_all(&[id.to_owned()]).await
    }
}

fn starts_with_group(canvas: &Canvas) -> bool {
    match canvas {
        Canvas::Task(_) => false,
        Canvas::Chain(steps) => steps.front().is_some_and(starts_with_group),
        Canvas::Group(_) => true,
    }
}
