//! Laws, by random values: 256 of them each, from one seed, so that every run is the same.

use std::time::Duration;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner};
use serde_json::{Map, Number, Value};

use crate::Signature;
use crate::config::StoreWrites;
use crate::failure::Failure;
use crate::memory::Memory;
use crate::message::Message;
use crate::number;
use crate::ports::{Attribute, Field, Item, Key, Op, QueueName, Store as _, When, Write};
use crate::record::{Attempt, Record, State, failure, field, kept};
use crate::time::Timestamp;

const CASES: u32 = 256;

fn law<S: Strategy>(strategy: S, holds: impl Fn(S::Value) -> TestCaseResult) {
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    runner.run(&strategy, holds).unwrap();
}

/// Characters of all sorts: ASCII, controls, noncharacters, what JSON escapes, beyond the basic plane.
fn text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        4 => proptest::char::range(' ', '~'),
        1 => proptest::char::range('\0', '\u{1f}'),
        1 => proptest::char::range('\u{7f}', '\u{9f}'),
        2 => proptest::sample::select(vec!['"', '\\', '/', '\u{2028}', '\u{fffd}', '\u{fffe}', '\u{ffff}']),
        1 => any::<char>(),
    ];
    vec(character, 0..12).prop_map(String::from_iter)
}

fn id() -> impl Strategy<Value = String> {
    text().prop_map(|text| format!("i{}", text.replace(char::is_control, "")))
}

fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => any::<f64>().prop_filter("finite", |number| number.is_finite()),
        1 => proptest::sample::select(vec![0.0, -0.0, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, 1e21, 0.1]),
    ]
}

fn json_number() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        proptest::sample::select(vec![i64::MIN, i64::MAX, 0]).prop_map(Number::from),
        Just(Number::from(u64::MAX)),
        finite().prop_map(|number| Number::from_f64(number).unwrap()),
    ]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        json_number().prop_map(Value::Number),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inside| {
        prop_oneof![
            vec(inside.clone(), 0..4).prop_map(Value::from),
            btree_map(text(), inside, 0..4).prop_map(|map| Value::Object(Map::from_iter(map))),
        ]
    })
}

fn object() -> impl Strategy<Value = Map<String, Value>> {
    btree_map(text(), json(), 0..4).prop_map(Map::from_iter)
}

/// Any instant that has a text.
fn instant() -> impl Strategy<Value = Timestamp> {
    (-377_705_023_201_000_i64..=253_402_207_200_000).prop_map(Timestamp::from_millis)
}

/// Seconds travel as a double: to the nanosecond up to 97 days.
fn seconds() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0..8_000_000_000_000_000_u64).prop_map(Duration::from_nanos),
        (0..1_u64 << 53).prop_map(Duration::from_secs),
        Just(Duration::MAX),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let maybe = proptest::option::of::<BoxedStrategy<String>>;
    let count = 0..=1_000_000_u32;
    (
        (
            id(),
            text(),
            vec(json(), 0..4),
            object(),
            object(),
            object(),
        ),
        (
            proptest::option::of(instant()),
            proptest::option::of(instant()),
        ),
        (
            count.clone(),
            count.clone(),
            count,
            proptest::option::of(0..=9_u8),
        ),
        (
            proptest::option::of(seconds()),
            proptest::option::of(seconds()),
            any::<Option<bool>>(),
        ),
        (
            maybe(text().boxed()),
            maybe(text().boxed()),
            maybe(text().boxed()),
            maybe(text().boxed()),
        ),
    )
        .prop_map(|(bodies, times, counts, limits, texts)| {
            let (id, task, args, kwargs, headers, unknown) = bodies;
            let mut message = Message::new(id, task);
            (message.args, message.kwargs, message.headers) = (args, kwargs, headers);
            // No known name begins so.
            let unknown = unknown
                .into_iter()
                .map(|(name, value)| (format!("_{name}"), value));
            message.extra = unknown.collect();
            (message.eta, message.expires) = times;
            (
                message.retries,
                message.attempt,
                message.hops,
                message.priority,
            ) = counts;
            (
                message.time_limit,
                message.soft_time_limit,
                message.ignore_result,
            ) = limits;
            (
                message.root_id,
                message.parent_id,
                message.queue,
                message.trace,
            ) = texts;
            message
        })
}

/// Numbers bit by bit: `==` takes 0.0 and -0.0 for one.
fn exact(value: &Value) -> String {
    match value {
        Value::Number(number) if number.is_f64() => {
            format!("{:x}", number.as_f64().unwrap().to_bits())
        }
        Value::Array(list) => list.iter().map(|value| exact(value) + ",").collect(),
        Value::Object(map) => map
            .iter()
            .map(|(name, value)| format!("{name:?}{},", exact(value)))
            .collect(),
        other => other.to_string(),
    }
}

#[test]
fn what_is_encoded_is_decoded_as_it_was() {
    law(message(), |message| {
        let body = message.encode().unwrap();
        let again = Message::decode(&body, "another", Timestamp::from_millis(7)).unwrap();
        prop_assert_eq!(
            exact(&again.args.clone().into()),
            exact(&message.args.clone().into())
        );
        prop_assert_eq!(again, message);
        // SQS takes it as it is.
        let legal = |c: char| c >= ' ' && !matches!(c, '\u{fffe}' | '\u{ffff}');
        prop_assert!(body.chars().all(legal), "{}", body);
        Ok(())
    });
}

#[test]
fn what_is_decoded_is_the_same_after_another_round() {
    law(object(), |mut fields| {
        fields.insert("task".into(), "t".into());
        let body = Value::Object(fields).to_string();
        let message = Message::decode(&body, "mid", Timestamp::default()).unwrap();
        let again = Message::decode(&message.encode().unwrap(), "", Timestamp::default()).unwrap();
        prop_assert_eq!(again, message);
        Ok(())
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

#[test]
fn a_signature_arrives_as_it_was_called() {
    let runtime = runtime();
    law(
        (id(), vec(json(), 0..4), object(), object()),
        |(id, args, kwargs, headers)| {
            let mut call = Signature::<(), Value>::named("t").id(&id);
            call = args.iter().fold(call, |call, value| call.arg(value));
            call = kwargs
                .iter()
                .fold(call, |call, (name, value)| call.kwarg(name, value));
            call = headers
                .iter()
                .fold(call, |call, (name, value)| call.header(name, value.clone()));
            let sent = runtime.block_on(async {
                let memory = Memory::default();
                memory.app().send(call).await.unwrap();
                memory
                    .queue()
                    .messages(&QueueName::new(QueueName::DEFAULT))
                    .remove(0)
            });
            let message = Message::decode(&sent.body, &sent.message_id, sent.sent_at).unwrap();
            prop_assert_eq!(exact(&message.args.into()), exact(&args.into()));
            prop_assert_eq!(
                (message.id, message.kwargs, message.headers),
                (id, kwargs, headers)
            );
            Ok(())
        },
    );
}

fn any_failure() -> impl Strategy<Value = Failure> {
    (text(), text(), vec(text(), 0..3), any::<u32>(), instant()).prop_map(
        |(kind, message, causes, retries, at)| Failure {
            kind,
            message,
            causes,
            retries,
            at,
        },
    )
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let end = proptest::option::of(instant());
    (instant(), end, proptest::option::of(text()), text()).prop_map(
        |(start, end, error, request)| {
            let mut attempt = Attempt::started(start, &request);
            (attempt.end, attempt.error) = (end, error);
            attempt
        },
    )
}

#[test]
fn a_record_reads_as_it_was_written() {
    let runtime = runtime();
    let parts = (
        json(),
        any_failure(),
        vec(attempt(), 0..13),
        any::<u32>(),
        instant(),
    );
    law(parts, |(result, why, runs, count, at)| {
        let item = Item::from([
            (field::STATUS.into(), State::Failure.into()),
            (field::RESULT.into(), result.to_string().into()),
            (field::ERROR.into(), (&why).into()),
            (field::ATTEMPTS.into(), kept(&runs)),
            (field::RETRIES.into(), count.into()),
            (field::STARTED_AT.into(), at.into()),
        ]);
        let key = Key::Result("1".into());
        let write = Write {
            key: key.clone(),
            op: Op::Put(item),
            when: When::Always,
        };
        let stored = runtime.block_on(async {
            let memory = Memory::default();
            memory.store().write(write).await.unwrap();
            memory.store().get(&key).await.unwrap()
        });
        let record = Record::read("1", stored.as_ref(), Timestamp::default()).unwrap();
        prop_assert_eq!(exact(&record.result.unwrap()), exact(&result));
        let kept = Attribute::from(&why);
        prop_assert_eq!(failure(&kept), Some(why.clone()));
        prop_assert_eq!(
            (record.error.unwrap(), record.retries, record.started_at),
            (why, count, Some(at))
        );
        prop_assert_eq!(
            record.attempts.as_slice(),
            &runs[runs.len().saturating_sub(10)..]
        );
        Ok(())
    });
}

fn attribute() -> impl Strategy<Value = Attribute> {
    let leaf = prop_oneof![
        text().prop_map(Attribute::Text),
        any::<i64>().prop_map(Attribute::Number),
        any::<f64>().prop_map(Attribute::Decimal),
        any::<bool>().prop_map(Attribute::Bool),
        vec(any::<u8>(), 0..9).prop_map(Attribute::Bytes),
        btree_set(text(), 1..4).prop_map(Attribute::TextSet),
        btree_set(any::<i64>(), 1..4).prop_map(Attribute::NumberSet),
        Just(Attribute::Null),
    ];
    leaf.prop_recursive(4, 16, 4, |inside| {
        let map = btree_map(text().prop_map(Field::from), inside.clone(), 0..4);
        prop_oneof![
            vec(inside, 0..4).prop_map(Attribute::List),
            map.prop_map(Attribute::Map)
        ]
    })
}

/// Decimals as DynamoDB takes them: in its range, whole ones as whole numbers, minus zero as zero.
fn storable(value: &Attribute) -> bool {
    match value {
        Attribute::Decimal(number) => number::read_back(*number).is_ok(),
        Attribute::List(list) => list.iter().all(storable),
        Attribute::Map(map) => map.values().all(storable),
        _ => true,
    }
}

#[test]
fn an_attribute_is_read_back_with_its_value_or_refused() {
    let runtime = runtime();
    law(attribute(), |value| {
        let key = Key::State("p".into(), "s".into());
        let op = Op::Put(Item::from([("a".into(), value.clone())]));
        let equals = When::Eq("a".into(), value.clone());
        runtime.block_on(async {
            let config = crate::Config {
                store_writes: StoreWrites::Single,
                ..crate::Config::memory()
            };
            let memory = Memory::new(&config);
            let written = memory
                .store()
                .write(Write {
                    key: key.clone(),
                    op,
                    when: When::Always,
                })
                .await;
            prop_assert_eq!(written.is_ok(), storable(&value), "{:?}", value);
            if written.is_err() {
                return Ok(());
            }
            let read = memory
                .store()
                .get(&key)
                .await
                .unwrap()
                .unwrap()
                .remove("a")
                .unwrap();
            let again = Write {
                key,
                op: Op::Put(Item::from([("a".into(), read.clone())])),
                when: equals,
            };
            let outcome = memory.store().write(again.clone()).await.unwrap();
            prop_assert!(
                matches!(outcome, crate::ports::Outcome::Applied(Some(_))),
                "{:?} {:?}",
                value,
                read
            );
            Ok(())
        })
    });
}

#[test]
fn a_number_is_read_back_to_the_last_bit() {
    law(finite(), |number| {
        let Ok(text) = number::text(number) else {
            let size = number.abs();
            prop_assert!(!(1e-130..1e126).contains(&size), "{}", number);
            return Ok(());
        };
        match number::parse(&text).unwrap() {
            Attribute::Decimal(read) => prop_assert_eq!(read.to_bits(), number.to_bits()),
            Attribute::Number(read) => prop_assert_eq!(i128::from(read), number as i128),
            other => prop_assert!(false, "{:?}", other),
        }
        Ok(())
    });
    law(any::<i64>(), |number| {
        prop_assert_eq!(
            number::parse(&number.to_string()),
            Some(Attribute::Number(number))
        );
        Ok(())
    });
}
