//! DynamoDB behind the [`Store`] port.
//!
//! A single write is a `PutItem`, `UpdateItem` or `DeleteItem` that tells the old item whether it
//! was applied or refused. Independent writes go together in `BatchExecuteStatement` as far as
//! [`crate::plan`] allows, everything at once.

mod expression;
mod partiql;
mod value;

pub(super) use value::sdk_item;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
use aws_sdk_dynamodb::types::{
    BatchStatementError, BatchStatementRequest, BatchStatementResponse, KeysAndAttributes,
    ReturnValue, ReturnValuesOnConditionCheckFailure,
};
use aws_types::SdkConfig;
use futures_util::future::join_all;
use tokio::sync::Semaphore;

use self::expression::{Aliases, condition, of_partition, update};
use self::partiql::{Statement, statement};
use self::value::{SdkItem, from_sdk, key as sdk_key, to_sdk};

use super::errors::{call_failed, said_no};
use crate::config::{Config, StoreWrites};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{self, Plan};
use crate::ports::{BATCH_READS, Item, Key, Op, Outcome, Page, Store, Table, Write};

/// The most calls under way at once: each may need a connection of its own.
const CONCURRENT: usize = 32;

/// A [`Store`] over DynamoDB.
pub struct DynamoStore {
    client: Client,
    results_table: String,
    state_table: String,
    mode: StoreWrites,
    permits: Semaphore,
}

/// Makes a conditional call that tells the item as it was, whether applied or refused. The SDK's builders
/// and errors for the three kinds of writes share these words and no trait.
macro_rules! tell_old {
    ($store:ident, $operation:literal, $error:ident, $call:ident, $write:ident, $condition:ident, $aliases:ident) => {{
        let answer = $call
            .table_name($store.table(&$write.key))
            .set_condition_expression($condition)
            .set_expression_attribute_names($aliases.names())
            .set_expression_attribute_values($aliases.values())
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await
            .map(|answer| answer.attributes);
        $store.outcome($operation, &$write.key, answer, |error| match error {
            $error::ConditionalCheckFailedException(refused) => Some(refused),
            _ => None,
        })
    }};
}

impl DynamoStore {
    pub(super) fn new(config: &Config, sdk: &SdkConfig) -> Self {
        Self {
            client: Client::new(sdk),
            results_table: config.results_table.clone(),
            state_table: config.state_table.clone(),
            mode: config.store_writes,
            permits: Semaphore::new(CONCURRENT),
        }
    }

    fn table(&self, key: &Key) -> &str {
        match key.table() {
            Table::Results => &self.results_table,
            Table::State => &self.state_table,
        }
    }

    async fn put(&self, item: &Item, write: &Write) -> Result<Outcome> {
        let mut aliases = Aliases::default();
        let condition = condition(&write.when, &write.key, &mut aliases)?;
        let mut full: SdkItem = SdkItem::with_capacity(item.len() + 2);
        for (name, value) in item {
            full.insert(name.to_string(), to_sdk(value)?);
        }
        full.extend(sdk_key(&write.key));
        let call = self.client.put_item().set_item(Some(full));
        tell_old!(
            self,
            "PutItem",
            PutItemError,
            call,
            write,
            condition,
            aliases
        )
    }

    async fn update(&self, write: &Write) -> Result<Outcome> {
        let Op::Update(changes) = &write.op else {
            return Err(misrouted());
        };
        let mut aliases = Aliases::default();
        let condition = condition(&write.when, &write.key, &mut aliases)?;
        let update = update(changes, &mut aliases)?;
        let call = self
            .client
            .update_item()
            .set_key(Some(sdk_key(&write.key)))
            .set_update_expression(update);
        tell_old!(
            self,
            "UpdateItem",
            UpdateItemError,
            call,
            write,
            condition,
            aliases
        )
    }

    async fn delete(&self, write: &Write) -> Result<Outcome> {
        let mut aliases = Aliases::default();
        let condition = condition(&write.when, &write.key, &mut aliases)?;
        let call = self.client.delete_item().set_key(Some(sdk_key(&write.key)));
        tell_old!(
            self,
            "DeleteItem",
            DeleteItemError,
            call,
            write,
            condition,
            aliases
        )
    }

    fn outcome<E>(
        &self,
        operation: &str,
        key: &Key,
        answer: Result<Option<SdkItem>, SdkError<E, HttpResponse>>,
        refusal: impl Fn(&E) -> Option<&ConditionalCheckFailedException>,
    ) -> Result<Outcome>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match answer {
            Ok(before) => Ok(Outcome::Applied(existing(before)?)),
            Err(error) => match error.as_service_error().and_then(refusal) {
                Some(refused) => Ok(Outcome::Refused(existing(refused.item().cloned())?)),
                None => Err(call_failed(&about(operation, self.table(key)), error)),
            },
        }
    }

    /// At most a hundred items by one call; those that DynamoDB leaves out of its answer, for their size or
    /// for want of capacity, by others.
    async fn read_batch(&self, keys: &[Key]) -> Result<Vec<Option<Item>>> {
        const TRIES: u32 = 6;
        let mut found: BTreeMap<&Key, Item> = BTreeMap::new();
        let mut wanted: Vec<&Key> = keys.iter().collect::<BTreeSet<_>>().into_iter().collect();
        for tried in 0.. {
            let mut tables: HashMap<String, KeysAndAttributes> = HashMap::new();
            for table in [&self.results_table, &self.state_table] {
                let of_table = wanted.iter().filter(|key| self.table(key) == table);
                let keys: Vec<SdkItem> = of_table.map(|key| sdk_key(key)).collect();
                if !keys.is_empty() {
                    let request = KeysAndAttributes::builder()
                        .set_keys(Some(keys))
                        .consistent_read(true)
                        .build()
                        .map_err(|error| {
                            let what = "a BatchGetItem could not be put together";
                            Error::new(ErrorKind::Invalid, what).caused_by(error)
                        })?;
                    tables.insert(table.clone(), request);
                }
            }
            let permit = self.permits.acquire().await.ok();
            let call = self.client.batch_get_item().set_request_items(Some(tables));
            let answer = call.send().await;
            drop(permit);
            let tables = [&self.results_table, &self.state_table];
            let what = format!("BatchGetItem on tables {tables:?}");
            let answer = answer.map_err(|error| call_failed(&what, error))?;
            for (table, items) in answer.responses.unwrap_or_default() {
                for item in items {
                    let holds = |key: &&&Key| {
                        self.table(key) == table
                            && sdk_key(key)
                                .iter()
                                .all(|(name, value)| item.get(name) == Some(value))
                    };
                    if let Some(key) = wanted.iter().find(holds) {
                        found.insert(key, from_sdk(item)?);
                    }
                }
            }
            let left = answer.unprocessed_keys.unwrap_or_default();
            let left: Vec<SdkItem> = left.into_values().flat_map(|table| table.keys).collect();
            wanted.retain(|key| left.contains(&sdk_key(key)));
            if wanted.is_empty() {
                break;
            }
            if tried == TRIES {
                let what = format!("{what} left {} items unread", wanted.len());
                return Err(Error::new(ErrorKind::Throttled, what));
            }
            pause(Duration::from_millis(25 << tried)).await;
        }
        Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
    }

    /// One write by one call.
    async fn single(&self, write: &Write) -> Result<Outcome> {
        // The semaphore is never closed; without a permit the call is made all the same.
        let _permit = self.permits.acquire().await.ok();
        match &write.op {
            Op::Put(item) => self.put(item, write).await,
            Op::Update(_) => self.update(write).await,
            Op::Delete => self.delete(write).await,
        }
    }

    /// Two or more writes by one call; those of which it says nothing certain, again singly.
    async fn batch(&self, writes: &[&Write]) -> Vec<Result<Outcome>> {
        let mut outcomes: Vec<Option<Result<Outcome>>> = writes.iter().map(|_| None).collect();
        let mut statements = Vec::new();
        let mut places = Vec::new();
        for (place, write) in writes.iter().enumerate() {
            match statement(self.table(&write.key), write).and_then(|s| s.map(request).transpose())
            {
                Ok(Some(request)) => {
                    statements.push(request);
                    places.push(place);
                }
                Ok(None) => {}
                Err(error) => outcomes[place] = Some(Err(error)),
            }
        }
        if !statements.is_empty() {
            let permit = self.permits.acquire().await.ok();
            let call = self
                .client
                .batch_execute_statement()
                .set_statements(Some(statements));
            let answer = call.send().await;
            drop(permit);
            match answer {
                Ok(answer) => {
                    let answers = answer.responses.unwrap_or_default();
                    for (place, answer) in places.into_iter().zip(answers) {
                        outcomes[place] = self.read(writes[place], answer);
                    }
                }
                Err(error) => {
                    let tables = [&self.results_table, &self.state_table];
                    let what = format!("BatchExecuteStatement on tables {tables:?}");
                    let failed = call_failed(&what, error);
                    let (kind, said) = (failed.kind(), failed.to_string());
                    // An error can't be copied with its cause: the first entry gets that.
                    let mut cause = Some(failed);
                    for place in places {
                        let error = cause
                            .take()
                            .unwrap_or_else(|| Error::new(kind, said.clone()));
                        outcomes[place] = Some(Err(error));
                    }
                }
            }
        }
        let done = outcomes
            .into_iter()
            .zip(writes)
            .map(|(outcome, write)| async move {
                match outcome {
                    Some(outcome) => outcome,
                    None => self.single(write).await,
                }
            });
        join_all(done).await
    }

    /// What a statement's answer says; none where the write has to be repeated singly: a statement
    /// reads an attribute that isn't there, DynamoDB was overloaded for a moment (the single call
    /// waits and tries again), or the statement is refused for a reason that the single call will
    /// say better.
    fn read(&self, write: &Write, answer: BatchStatementResponse) -> Option<Result<Outcome>> {
        let Some(error) = answer.error else {
            return Some(Ok(Outcome::Applied(None)));
        };
        let BatchStatementError {
            code,
            message,
            item,
            ..
        } = error;
        let code = code.as_ref().map_or("unknown", |code| code.as_str());
        match code {
            "DuplicateItem" => Some(Ok(Outcome::Refused(None))),
            "ConditionalCheckFailed" => Some(existing(item).map(Outcome::Refused)),
            _ => {
                let said = message.as_deref().unwrap_or("no message");
                let what = about(
                    "a statement of BatchExecuteStatement",
                    self.table(&write.key),
                );
                let error = said_no(&what, code, said, None);
                matches!(
                    error.kind(),
                    ErrorKind::Denied | ErrorKind::NotFound | ErrorKind::TooLarge
                )
                .then_some(Err(error))
            }
        }
    }
}

#[async_trait]
impl Store for DynamoStore {
    async fn get(&self, key: &Key) -> Result<Option<Item>> {
        let table = self.table(key);
        let answer = self
            .client
            .get_item()
            .table_name(table)
            .set_key(Some(sdk_key(key)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| call_failed(&about("GetItem", table), error))?;
        existing(answer.item)
    }

    async fn get_many(&self, keys: &[Key]) -> Result<Vec<Option<Item>>> {
        let chunks = keys.chunks(BATCH_READS).map(|keys| self.read_batch(keys));
        let mut items = Vec::with_capacity(keys.len());
        for chunk in join_all(chunks).await {
            items.extend(chunk?);
        }
        Ok(items)
    }

    async fn query(&self, pk: &str, after: Option<&str>, limit: u32) -> Result<Page> {
        let mut aliases = Aliases::default();
        let condition = of_partition(pk, after, &mut aliases)?;
        let answer = self
            .client
            .query()
            .table_name(&self.state_table)
            .consistent_read(true)
            .key_condition_expression(condition)
            .set_expression_attribute_names(aliases.names())
            .set_expression_attribute_values(aliases.values())
            .limit(i32::try_from(limit.max(1)).unwrap_or(i32::MAX))
            .send()
            .await
            .map_err(|error| call_failed(&about("Query", &self.state_table), error))?;
        let next = answer.last_evaluated_key.as_ref();
        let next = next.and_then(|key| key.get("sk")?.as_s().ok().cloned());
        let items = answer.items.unwrap_or_default().into_iter().map(from_sdk);
        Ok(Page {
            items: items.collect::<Result<_>>()?,
            next,
        })
    }

    async fn write(&self, write: Write) -> Result<Outcome> {
        self.single(&write).await
    }

    async fn write_many(&self, writes: Vec<Write>) -> Vec<Result<Outcome>> {
        let plan = Plan::new(&writes, self.mode);
        let mut outcomes: Vec<Option<Result<Outcome>>> = writes.iter().map(|_| None).collect();
        for index in plan.repeated {
            outcomes[index] = Some(Err(plan::repeated(&writes[index])));
        }
        let singles = plan.single.into_iter().map(|index| vec![index]);
        let calls = plan.batches.into_iter().chain(singles).map(|places| {
            let writes = &writes;
            async move {
                let group: Vec<&Write> = places.iter().map(|&index| &writes[index]).collect();
                let outcomes = match group.as_slice() {
                    [lone] => vec![self.single(lone).await],
                    several => self.batch(several).await,
                };
                places.into_iter().zip(outcomes)
            }
        });
        for (index, outcome) in join_all(calls).await.into_iter().flatten() {
            outcomes[index] = Some(outcome);
        }
        // The plan has a place for every write; none is left over.
        outcomes
            .into_iter()
            .map(|outcome| outcome.unwrap_or_else(|| Err(misrouted())))
            .collect()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "as the SDK pauses between its own tries: this is real time"
)]
async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

fn about(operation: &str, table: &str) -> String {
    format!("{operation} on table `{table}`")
}

/// An item that DynamoDB told; it says "nothing" by no item or by one without attributes.
fn existing(item: Option<SdkItem>) -> Result<Option<Item>> {
    item.filter(|item| !item.is_empty())
        .map(from_sdk)
        .transpose()
}

fn request(statement: Statement) -> Result<BatchStatementRequest> {
    BatchStatementRequest::builder()
        .statement(statement.text)
        .set_parameters(Some(statement.parameters))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .build()
        .map_err(|error| Error::new(ErrorKind::Invalid, "a statement is empty").caused_by(error))
}

fn misrouted() -> Error {
    Error::new(
        ErrorKind::Invalid,
        "a write has no place in the plan of writes: this is a bug",
    )
}

impl fmt::Debug for DynamoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoStore")
            .field("results_table", &self.results_table)
            .field("state_table", &self.state_table)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}
