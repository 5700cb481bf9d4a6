//! A store whose calls go wrong as a test tells it, one by one.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::{Error, ErrorKind, Result};
use crate::ports::{Clock, Item, Key, Outcome, Page, Ports, Store, Write};

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It isn't done.
    Throttled,
    /// It can't be done: there is no such table, or no right to ask.
    Refused,
    /// It isn't allowed.
    Denied,
    /// It is done, and nobody hears of it.
    AnswerLost,
    /// It is done, and tried again by whoever lost the answer.
    DoneTwice,
    /// It is done, and answered so many seconds later.
    Slow(u64),
}

/// What is asked of the store. Of a batch of writes each is a call.
#[derive(Debug)]
pub(crate) enum Call<'a> {
    Get(&'a Key),
    GetMany,
    Query,
    Write,
}

struct Faulty<F> {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    fault: F,
}

/// The same ports, with a store of which each call goes wrong as `fault` says.
pub(crate) fn faulty<F>(ports: &Ports, fault: F) -> Ports
where
    F: Fn(Call<'_>) -> Fault + Send + Sync + 'static,
{
    let store = Faulty {
        store: ports.store.clone(),
        clock: ports.clock.clone(),
        fault,
    };
    Ports {
        store: Arc::new(store),
        ..ports.clone()
    }
}

impl<F: Fn(Call<'_>) -> Fault> Faulty<F> {
    async fn call<T, C>(&self, fault: Fault, call: impl Fn() -> C) -> Result<T>
    where
        C: Future<Output = Result<T>>,
    {
        match fault {
            Fault::None => call().await,
            Fault::Throttled => Err(Error::new(ErrorKind::Throttled, "slow down")),
            Fault::Refused => Err(Error::new(ErrorKind::NotFound, "no such table")),
            Fault::Denied => Err(Error::new(ErrorKind::Denied, "no right to it")),
            Fault::AnswerLost => {
                let lost = Error::new(ErrorKind::Unavailable, "no answer");
                call().await.and(Err(lost))
            }
            Fault::DoneTwice => {
                call().await?;
                call().await
            }
            Fault::Slow(seconds) => {
                let answer = call().await;
                self.clock.sleep(Duration::from_secs(seconds)).await;
                answer
            }
        }
    }
}

#[async_trait]
impl<F: Fn(Call<'_>) -> Fault + Send + Sync> Store for Faulty<F> {
    async fn get(&self, key: &Key) -> Result<Option<Item>> {
        let fault = (self.fault)(Call::Get(key));
        self.call(fault, || self.store.get(key)).await
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Item>>> {
        let fault = (self.fault)(Call::GetMany);
        self.call(fault, || self.store.get_many(keys)).await
    }

    async fn query(&self, pk: &str, after: Option<&str>, limit: u32) -> Result<Page> {
        let fault = (self.fault)(Call::Query);
        self.call(fault, || self.store.query(pk, after, limit))
            .await
    }

    async fn write(&self, write: Write) -> Result<Outcome> {
        let fault = (self.fault)(Call::Write);
        self.call(fault, || self.store.write(write.clone())).await
    }

    async fn write_many(&self, writes: Vec<Write>) -> Vec<Result<Outcome>> {
        let mut outcomes = Vec::new();
        for write in writes {
            outcomes.push(self.write(write).await);
        }
        outcomes
    }
}
