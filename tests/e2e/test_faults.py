"""A thousand tasks while the services throttle, fail and hang and the functions are killed: every promise,
seen from outside. It has an emulator and a stack of its own, which it doesn't spare."""

import collections
import contextlib
import itertools
import json
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from e2e import deployment
from e2e.deployment import FINAL, ROOT, VISIBILITY, Stack, until
from e2e.emulator import Ministack, free_port
from e2e.faults import FIGURES, RULES, Entries, Killer, Microburst, freeze
from e2e.variant import variant
from e2e.wire import Call, Wire
from e2e.workload import Sent, Workload, ask, send
from e2e.writes import states_written

SEED = 20_261_121
# Seconds between two kills of a function's processes.
PAUSES = {"Consumer": (1.0, 6.0), "Reaper": (0.2, 1.5), "Producer": (0.2, 1.5)}
FROZEN = 20
QUEUES = ("Default", "Quarantine", "Undelivered", "Ordered", "UndeliveredOrdered")
# In so many rounds what doesn't go to the queues at once is sent while everything fails.
ROUNDS = 20


@dataclass
class Rough:
    """A stack whose functions reach AWS through faults."""

    stack: Stack
    ministack: Ministack
    proxy: Microburst
    wire: Wire
    entries: Entries


@dataclass
class Outcome:
    load: Workload
    # Nothing was sent earlier.
    begun: datetime
    records: dict[str, dict]
    # How many of each kind of fault there were.
    injected: dict[str, int]


@pytest.fixture(scope="module")
def rough(built):
    folder = deployment.fresh_folder(ROOT / "target" / "e2e-faults")
    port = free_port()
    entries = Entries(0.1, SEED)
    wire = Wire(0, upstream=port, faults=entries)
    proxy = Microburst(wire.url, folder)
    wire.host = urlsplit(proxy.url).netloc
    ministack = Ministack(port, proxy.url, folder)
    try:
        ministack.wait_until_ready()
        stack = Stack("rough", ministack.url).deploy(variant(folder))
        yield Rough(stack, ministack, proxy, wire, entries)
    finally:
        ministack.stop()
        proxy.stop()
        wire.stop()


@pytest.fixture(scope="module")
def outcome(rough, request):
    """Sends a thousand, makes everything fail for a while, and waits until all is quiet."""
    stack, emulator = rough.stack, rough.ministack.process.pid
    load = Workload(random.Random(SEED))
    killers = {function: Killer(emulator, function, pauses, SEED) for function, pauses in PAUSES.items()}
    begun = datetime.now(UTC)
    rough.proxy.follow(RULES)
    with contextlib.ExitStack() as killing:
        for killer in killers.values():
            killing.enter_context(killer)
        send(stack, itertools.chain(*load.groups))
        send(stack, load.plain)
        asked = send_in_rounds(rough, load)
    # The faults end, or what is left of them would only measure patience.
    rough.proxy.follow({})
    rough.entries.stop()
    settle(stack)
    records = read_all(stack)
    injected = rough.proxy.injected() | rough.entries.injected()
    injected |= {f"{function.lower()} processes killed": killer.kills for function, killer in killers.items()}
    injected["of them in the middle of a batch of the reaper's"] = rough.ministack.deaths("Reaper")
    deliveries = sum(line["received"] for line in stack.batches())
    runs = sum(len(record.get("attempts", [])) for record in records.values())
    request.config.stash.setdefault(FIGURES, []).extend([
        f"{len(load.all)} tasks in {(datetime.now(UTC) - begun).seconds} s: {deliveries} deliveries in batches that "
        f"came to their end, {rough.ministack.deaths('Consumer')} batches whose consumer died, {runs} runs, "
        f"{asked} requests for {len(load.asked)} sends, the emulator stopped for {FROZEN} s, and",
        *(f"{count:5} {kind}" for kind, count in injected.items()),
    ])
    return Outcome(load, begun, records, injected)


def send_in_rounds(rough: Rough, load: Workload) -> int:
    """What goes to the reaper's queues, with second copies of what has run, and what goes to the API: how often
    that was asked. In between the emulator stands still."""
    rng, stack, asked = random.Random(SEED), rough.stack, 0
    running = [one for one in load.plain if one.id.startswith("add-")]

    def ended() -> Sent | None:
        return next((one for one in running if stack.record(one.id).get("status") in FINAL), None)

    for number in range(3 * ROUNDS):
        if number == ROUNDS // 4:
            freeze(rough.ministack.process.pid, FROZEN)
        if number < ROUNDS:
            for given_up in load.given_up.values():
                send(stack, given_up[number::ROUNDS])
            asked += sum(ask(stack, one) for one in load.asked[number::ROUNDS])
        elif rough.ministack.deaths("Reaper"):
            break  # Else it was lucky until now.
        copy = until(120, ended, "a task that has run")
        running.remove(copy)
        stack.send(copy.body, queue="Undelivered")
        time.sleep(rng.uniform(1, 3))
    return asked


def settle(stack: Stack) -> None:
    """Quiet: nothing waits, nothing is in flight, for as long as a message may stay hidden."""
    busy = time.monotonic()

    def quiet() -> bool:
        nonlocal busy
        if any(stack.depth(queue) != (0, 0) for queue in QUEUES):
            busy = time.monotonic()
        return time.monotonic() - busy > VISIBILITY

    try:
        until(900, quiet, "queues that stay empty", pause=1)
    except AssertionError as error:
        depths = {queue: stack.depth(queue) for queue in QUEUES}
        logged = "\n".join(map(json.dumps, stack.log_lines()[-20:]))
        raise AssertionError(f"{error}; they hold {depths}; the consumer's last lines:\n{logged}") from None


def read_all(stack: Stack) -> dict[str, dict]:
    records = {}
    for page in stack.dynamodb.get_paginator("scan").paginate(TableName=stack.outputs["ResultsTableName"]):
        for item in page["Items"]:
            records[item["id"]["S"]] = stack.read(item)
    return records


def test_there_were_faults_of_each_kind(outcome):
    missing = [kind for kind, count in outcome.injected.items() if not count]
    assert not missing, outcome.injected


def test_every_task_reached_its_one_right_state(outcome):
    wrong = {}
    for task_id, one in outcome.load.all.items():
        record = outcome.records.get(task_id, {})
        kind = record.get("error", {}).get("type")
        result = json.loads(record["result"]) if "result" in record else None
        if (record.get("status"), kind, result) != (one.status, one.error, one.result):
            wrong[task_id] = record
    assert not wrong, f"{len(wrong)} of {len(outcome.load.all)}: {list(wrong.items())[:5]}"
    assert set(outcome.records) == set(outcome.load.all)


def test_nothing_is_left_behind(rough, outcome):
    assert {record["status"] for record in outcome.records.values()} <= set(FINAL)
    assert not [record for record in outcome.records.values() if "due_at" in record]
    for queue in QUEUES:
        assert rough.stack.depth(queue) == (0, 0), queue


def test_a_final_state_was_written_once(rough, outcome):
    """By what the emulator answered: of all writes that set a final state, one for each task was applied."""
    written = [write for call in rough.wire.calls for write in states_written(call)]
    finals = collections.Counter(task_id for task_id, status in written if status in FINAL)
    assert set(finals) == set(outcome.load.all)
    assert not {task_id: count for task_id, count in finals.items() if count != 1}


def test_a_status_set_beside_other_clauses_is_read():
    """As the functions print them, whichever clauses follow."""
    request = {
        "Key": {"id": {"S": "t-1"}},
        "UpdateExpression": "SET #0 = :0, #1 = list_append(if_not_exists(#1, :1), :2) ADD #2 :3 REMOVE #3",
        "ExpressionAttributeNames": {"#0": "status", "#1": "attempts", "#2": "crashes", "#3": "owner"},
        "ExpressionAttributeValues": {":0": {"S": "RETRY"}, ":1": {"L": []}, ":2": {"L": []}, ":3": {"N": "1"}},
    }
    call = Call("key", "DynamoDB_20120810.UpdateItem", request, 200, {})
    assert list(states_written(call)) == [("t-1", "RETRY")]
    last = {**request, "UpdateExpression": "SET #1 = list_append(if_not_exists(#1, :1), :2), #0 = :0 ADD #2 :3"}
    assert list(states_written(Call("key", call.operation, last, 200, {}))) == [("t-1", "RETRY")]
    assert not list(states_written(Call("key", call.operation, last, 400, {})))


def test_of_a_group_none_began_before_its_predecessor_was_final(rough, outcome):
    """By the emulator's answers, in the order in which they came."""
    begun, final = {}, {}
    written = [write for call in rough.wire.calls for write in states_written(call)]
    for place, (task_id, status) in enumerate(written):
        if status == "STARTED":
            begun.setdefault(task_id, place)
        elif status in FINAL:
            final[task_id] = place
    for group in outcome.load.groups:
        # What no worker knows has an end and no beginning.
        started = {one.id for one in group if one.error != "NotRegistered"}
        assert started <= set(begun)
        for one, following in itertools.pairwise(group):
            assert final[one.id] < begun.get(following.id, final[following.id]), (one, following)


def test_nothing_began_early(outcome):
    for task_id, one in outcome.load.all.items():
        if "countdown" in one.body:
            due = outcome.begun + timedelta(seconds=one.body["countdown"])
            runs = [datetime.fromisoformat(run["start"]) for run in outcome.records[task_id]["attempts"]]
            assert runs and min(runs) >= due, (task_id, due, runs)


def test_one_ran_at_a_time(outcome):
    """As far as records tell: a run that has an end ended before the next began."""
    for task_id, record in outcome.records.items():
        for one, following in itertools.pairwise(record.get("attempts", [])):
            assert one.get("end", one["start"]) <= following["start"], (task_id, record)


def test_neighbours_paid_nothing(outcome):
    """No attempt too many: retries are those that the tasks asked for, whatever else went wrong."""
    for task_id, one in outcome.load.all.items():
        assert outcome.records[task_id]["retries"] == one.retries, outcome.records[task_id]


def test_dead_letters_are_what_nobody_will_take(rough, outcome):
    stack, sent = rough.stack, outcome.load.all
    expected = {task_id for task_id, one in sent.items() if one.error in ("NotRegistered", "WorkerLost", "Undelivered")}
    url = stack.outputs["DeadLetterQueueUrl"]
    found = collections.defaultdict(set)
    while True:
        messages = stack.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=300,
        ).get("Messages", [])
        if not messages:
            break
        for message in messages:
            body = json.loads(message["Body"])
            one = sent[body["id"]]
            said = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
            assert said["sedano-reason"] == one.error, (one, said)
            assert said["sedano-task"] == one.body["task"], said
            # Three deaths of its own, and one before, unless it stayed in its group.
            least = {"WorkerLost": 3 if one.group else 4}.get(one.error, 0)
            assert said["sedano-error"] and int(said["sedano-attempts"]) >= least, said
            assert body.get("args", []) == one.body.get("args", []), body
            found[one.id].add(said["sedano-queue"])
    assert set(found) == expected
    for task_id, queues in found.items():
        # Where it was when it was given up; a late copy of the message may make one more letter, from elsewhere.
        quarantined = sent[task_id].error == "WorkerLost" and not sent[task_id].group
        assert queues <= {sent[task_id].home, *(["quarantine"] if quarantined else [])}, (task_id, queues)
        assert "quarantine" in queues or not quarantined, (task_id, queues)
