"""A thousand tasks while the services throttle, fail and hang and the consumers are killed: every promise,
seen from outside. It has an emulator and a stack of its own, which it doesn't spare."""

import collections
import json
import random
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from e2e import deployment
from e2e.deployment import FINAL, ROOT, VISIBILITY, Stack, until
from e2e.emulator import Ministack, free_port
from e2e.faults import FIGURES, RULES, Entries, Killer, Microburst, freeze
from e2e.wire import Wire

SEED = 20_261_121
TASKS = 1000


class Sent:
    """What was sent, and what has to become of it."""

    def __init__(self, body: dict | str, status: str, kind: str | None = None, result: object = None, copies: int = 1):
        self.body, self.status, self.kind, self.result, self.copies = body, status, kind, result, copies
        # No later than it was sent.
        self.begun = datetime.now(UTC)


def workload(rng: random.Random) -> dict[str, Sent]:
    """Tasks of every kind by their ids; the kinds in random order."""
    kinds = (
        [("add", 1)] * 380 + [("add", 2)] * 60 + [("echo", 1)] * 120 + [("flaky", 1)] * 120 + [("fail", 1)] * 60
        + [("panic", 1)] * 30 + [("idempotent_add", 1)] * 70 + [("sleep", 1)] * 60 + [("retry_thrice", 1)] * 20
        + [("endless", 1)] * 10 + [("unknown", 1)] * 20 + [("late", 1)] * 20 + [("crash", 1)] * 4 + [("later", 1)] * 26
    )
    rng.shuffle(kinds)
    sent = {}
    for number, (kind, copies) in enumerate(kinds):
        task_id = f"{kind}-{number}"
        task = {"endless": "sleep", "unknown": "nobody_knows", "late": "add", "later": "add"}.get(kind, kind)
        body: dict = {"task": task, "id": task_id}
        status, error, result = "SUCCESS", None, None
        match kind:
            case "add" | "idempotent_add" | "late" | "later":
                body["args"], result = [number, 1], number + 1
            case "echo":
                body["args"] = ["x" * rng.randrange(3000)]
                result = body["args"][0]
            case "flaky":
                body["args"] = [rng.randint(1, 3)]
                result = body["args"][0]
            case "fail" | "panic":
                body["args"] = ["on purpose"]
                status, error = "FAILURE", {"fail": "TaskError", "panic": "Panicked"}[kind]
            case "sleep":
                body["args"] = [rng.uniform(0.1, 2.0)]
            case "endless":
                body |= {"args": [600], "time_limit": 1}
                status, error = "FAILURE", "TimeLimit"
            case "retry_thrice":
                status, error = "FAILURE", "TaskError"
            case "unknown":
                status, error = "FAILURE", "NotRegistered"
            case "crash":
                status, error = "FAILURE", "WorkerLost"
        if kind == "late":
            body["expires"] = "2020-01-01T00:00:00Z"
            status, error, result = "REVOKED", "Expired", None
        if kind == "later":
            body["countdown"] = rng.randint(1, 20)
        sent[task_id] = Sent(body, status, error, result, copies)
    assert len(sent) == TASKS
    return sent


@pytest.fixture(scope="module")
def rough():
    """A stack whose functions reach AWS through faults: stack, emulator, proxy, wire, its faults."""
    folder = deployment.fresh_folder(ROOT / "target" / "e2e-faults")
    port = free_port()
    entries = Entries(0.1, SEED)
    wire = Wire(0, upstream=port, faults=entries)
    proxy = Microburst(wire.url, folder)
    wire.host = urlsplit(proxy.url).netloc
    ministack = Ministack(port, proxy.url, folder)
    try:
        ministack.wait_until_ready()
        yield Stack("rough", ministack.url).deploy(), ministack, proxy, wire, entries
    finally:
        ministack.stop()
        proxy.stop()
        wire.stop()


@pytest.fixture(scope="module")
def outcome(rough, built, request):
    """Sends a thousand, makes everything fail for a while, and waits until all is quiet."""
    stack, ministack, proxy, _, entries = rough
    sent = workload(random.Random(SEED))
    started = time.monotonic()
    proxy.follow(RULES)
    begun = datetime.now(UTC)
    with Killer(ministack.process.pid, "Consumer", (1.0, 6.0), SEED) as killer:
        send_all(stack, sent)
        time.sleep(15)
        freeze(ministack.process.pid, 20)
        time.sleep(40)
    # The faults end, or what is left of them would only measure patience.
    proxy.follow({})
    entries.stop()
    settle(stack)
    records = read_all(stack)
    deliveries = sum(line["received"] for line in stack.batches())
    injected = proxy.injected() | entries.injected() | {"consumer processes killed": killer.kills}
    request.config.stash.setdefault(FIGURES, []).extend([
        f"{len(sent)} tasks in {time.monotonic() - started:.0f} s: {deliveries} deliveries in batches that came to "
        f"their end, {sum(len(one.get('attempts', [])) for one in records.values())} runs, and",
        *(f"{count:5} {kind}" for kind, count in injected.items()),
    ])
    for one in sent.values():
        one.begun = begun
    return sent, records, injected


def send_all(stack: Stack, sent: dict[str, Sent]) -> None:
    bodies = [one.body for one in sent.values() for _ in range(one.copies)]
    for start in range(0, len(bodies), 10):
        entries = [
            {"Id": str(place), "MessageBody": json.dumps(body)}
            for place, body in enumerate(bodies[start:start + 10])
        ]
        answer = stack.sqs.send_message_batch(QueueUrl=stack.outputs["DefaultQueueUrl"], Entries=entries)
        assert not answer.get("Failed"), answer


def settle(stack: Stack) -> None:
    """Quiet: nothing waits, nothing is in flight, for as long as a message may stay hidden."""
    def quiet() -> bool:
        return all(stack.depth(queue) == (0, 0) for queue in ("Default", "Quarantine", "Undelivered"))

    until(600, quiet, "empty queues", pause=1)
    time.sleep(VISIBILITY)
    until(120, quiet, "queues that stay empty", pause=1)


def read_all(stack: Stack) -> dict[str, dict]:
    records = {}
    for page in stack.dynamodb.get_paginator("scan").paginate(TableName=stack.outputs["ResultsTableName"]):
        for item in page["Items"]:
            records[item["id"]["S"]] = stack.read(item)
    return records


def test_every_task_reached_its_one_right_state(outcome):
    sent, records, *_ = outcome
    wrong = {}
    for task_id, one in sent.items():
        record = records.get(task_id, {})
        kind = record.get("error", {}).get("type")
        result = json.loads(record["result"]) if "result" in record else None
        if (record.get("status"), kind, result) != (one.status, one.kind, one.result):
            wrong[task_id] = record
    assert not wrong, f"{len(wrong)} of {len(sent)}: {list(wrong.items())[:5]}"
    assert set(records) == set(sent)


def test_nothing_is_left_behind(rough, outcome):
    stack, *_ = rough
    _, records, *_ = outcome
    assert {record["status"] for record in records.values()} <= set(FINAL)
    assert not [record for record in records.values() if "due_at" in record]
    for queue in ("Default", "Quarantine", "Undelivered"):
        assert stack.depth(queue) == (0, 0)


def test_a_final_state_was_written_once(rough, outcome):
    """By what the emulator answered: of all writes that set a final state, one for each task was applied."""
    *_, wire, _ = rough
    sent, *_ = outcome
    finals = collections.Counter()
    for call in wire.calls:
        for task_id, status in final_writes(call):
            if status in FINAL:
                finals[task_id] += 1
    assert set(finals) == set(sent)
    assert not {task_id: count for task_id, count in finals.items() if count != 1}


def final_writes(call) -> list[tuple[str, str]]:
    """The tasks and the states that a call has written, as far as it was applied."""
    request = call.request
    if call.status != 200:
        return []
    if call.operation.endswith(".BatchExecuteStatement"):
        written = []
        for statement, answer in zip(request["Statements"], call.response["Responses"], strict=True):
            if "Error" in answer:
                continue
            texts = [list(value.values())[0] for value in statement["Parameters"]]
            states = [text for text in texts if text in (*FINAL, "STARTED", "RETRY")]
            ids = [text for text in texts if isinstance(text, str) and "-" in text and text.rsplit("-", 1)[1].isdigit()]
            written += [(ids[-1] if statement["Statement"].startswith("UPDATE") else ids[0], states[0])]
        return written
    if call.operation.endswith(".PutItem"):
        return [(request["Item"]["id"]["S"], request["Item"].get("status", {}).get("S", ""))]
    if call.operation.endswith(".UpdateItem"):
        names = {alias: name for alias, name in request.get("ExpressionAttributeNames", {}).items()}
        for assignment in request["UpdateExpression"].split("SET ")[-1].split(" REMOVE ")[0].split(","):
            alias, _, value = assignment.partition("=")
            if names.get(alias.strip()) == "status":
                state = request["ExpressionAttributeValues"][value.strip()]["S"]
                return [(request["Key"].get("id", {}).get("S", ""), state)]
    return []


def test_nothing_began_early(outcome):
    sent, records, *_ = outcome
    for task_id, one in sent.items():
        if "countdown" in one.body:
            due = one.begun + timedelta(seconds=one.body["countdown"])
            runs = [datetime.fromisoformat(run["start"]) for run in records[task_id]["attempts"]]
            assert runs and min(runs) >= due, (task_id, due, runs)


def test_one_ran_at_a_time(outcome):
    """As far as records tell: a run that has an end ended before the next began."""
    _, records, *_ = outcome
    for task_id, record in records.items():
        runs = record.get("attempts", [])
        for one, following in zip(runs, runs[1:], strict=False):
            assert one.get("end", one["start"]) <= following["start"], (task_id, runs)


def test_neighbours_paid_nothing(outcome):
    """No attempt too many: retries are those that the tasks asked for, whatever else went wrong."""
    sent, records, *_ = outcome
    for task_id, one in sent.items():
        kind = task_id.split("-", maxsplit=1)[0]
        retries = {"flaky": one.result, "retry_thrice": 3}.get(kind, 0)
        assert records[task_id]["retries"] == retries, records[task_id]


def test_dead_letters_are_what_nobody_will_take(rough, outcome):
    stack, *_ = rough
    sent, *_ = outcome
    expected = {task_id for task_id, one in sent.items() if one.kind in ("NotRegistered", "WorkerLost")}
    url = stack.outputs["DeadLetterQueueUrl"]
    found = collections.Counter()
    while True:
        messages = stack.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=300,
        ).get("Messages", [])
        if not messages:
            break
        for message in messages:
            task_id = json.loads(message["Body"])["id"]
            reason = message["MessageAttributes"]["sedano-reason"]["StringValue"]
            assert reason == sent[task_id].kind, (task_id, reason)
            said = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
            assert said["sedano-task"] == sent[task_id].body["task"], said
            # Where it was when it was given up.
            assert said["sedano-queue"] == ("quarantine" if reason == "WorkerLost" else "default"), said
            assert said["sedano-error"] and int(said["sedano-attempts"]) >= (0 if reason == "NotRegistered" else 4), said
            body = json.loads(message["Body"])
            assert body.get("args", []) == sent[task_id].body.get("args", []), body
            found[task_id] += 1
    assert set(found) == expected


def test_there_were_faults_of_each_kind(outcome):
    *_, injected = outcome
    assert not [kind for kind, count in injected.items() if not count], injected
