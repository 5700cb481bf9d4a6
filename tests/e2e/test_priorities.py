"""Three queues, for high priorities, low ones and all others, made of the lines of shared/docs/routing.md."""

import json
from datetime import datetime

import pytest

from e2e import deployment
from e2e.command import command, said
from e2e.deployment import ROOT, Stack, until
from e2e.variant import with_classes

# Of a second each: the emulator runs five batches of a queue at once, so that they take twenty seconds.
FLOOD = 1000


@pytest.fixture(scope="module")
def classes(stack) -> Stack:
    folder = deployment.fresh_folder(ROOT / "target" / "e2e-classes")
    return Stack("classes", stack.endpoint).deploy(with_classes(folder))


def test_priorities_go_to_their_queues(classes):
    for priority, queue in ((9, "High"), (0, "Low"), (5, "Default"), (None, "Default")):
        options = {} if priority is None else {"priority": priority}
        before = {name: classes.depth(name)[0] for name in ("High", "Low", "Default")}
        # Due later, so that it is seen waiting. By the producer, which routes.
        status, answer, _ = classes.http(
            "POST", "/tasks/add", {"args": [1, 1], "options": {**options, "countdown": 600}},
        )
        assert status == 202, answer
        after = {name: classes.depth(name)[0] for name in before}
        assert after == {name: depth + (name == queue) for name, depth in before.items()}, priority


def test_a_task_of_high_priority_starts_while_low_ones_flood_in(classes, new_id):
    low = classes.outputs["LowQueueUrl"]
    ids = [new_id("low") for _ in range(FLOOD)]
    for first in range(0, FLOOD, 10):
        entries = [
            {"Id": str(place), "MessageBody": json.dumps({"task": "sleep", "args": [1], "id": task_id})}
            for place, task_id in enumerate(ids[first:first + 10])
        ]
        assert not classes.sqs.send_message_batch(QueueUrl=low, Entries=entries).get("Failed")
    waited = []
    for _ in range(5):
        status, answer, _ = classes.http("POST", "/tasks/add", {"args": [2, 3], "options": {"priority": 9}})
        assert status == 202, answer
        sent = datetime.now().astimezone()
        record = classes.final(answer["id"])
        assert (record["status"], record["result"]) == ("SUCCESS", "5"), record
        waited.append((datetime.fromisoformat(record["started_at"]) - sent).total_seconds())
        assert classes.depth("Low")[0] > 0, "the flood was over: nothing was shown"
    assert max(waited) < 2, waited
    # Those are under way as well.
    until(30, lambda: any(classes.record(task_id).get("status") for task_id in ids[:20]), "one of the flood began")


def test_a_queue_is_paused_emptied_and_resumed(classes, wire, new_id):
    sedano, task_id = command(classes.name, wire.url), new_id("paused")
    assert said(sedano("queues", "pause", "low")) == {"queue": "low", "paused": True}
    # What is left of the flood goes as well.
    lost = classes.send({"task": "add", "args": [2, 3]}, queue="Low")
    assert sedano("queues", "purge", "low").returncode == 2
    assert said(sedano("queues", "purge", "low", "--yes"))["visible"] > 0
    until(30, lambda: classes.depth("Low") == (0, 0), "the queue is empty")

    classes.send({"task": "add", "args": [2, 3], "id": task_id}, queue="Low")
    assert classes.final(classes.send({"task": "add", "args": [1, 1]}, queue="High"))["result"] == "2"
    assert classes.depth("Low") == (1, 0) and classes.record(task_id) == {}
    assert said(sedano("queues", "resume", "low")) == {"queue": "low", "paused": False}
    assert classes.final(task_id)["result"] == "5"
    assert classes.record(lost) == {}

    unknown = sedano("queues", "pause", "hig")
    assert unknown.returncode == 3 and "did you mean `high`?" in unknown.stderr, unknown.stderr
    unread = sedano("queues", "pause", "dead-letters")
    assert unread.returncode == 3 and "no function reads the queue" in unread.stderr, unread.stderr
