"""Tasks that are due in more than a quarter of an hour wait in their records, and beat finds them by their minute.

No test waits that long. It moves what is kept of a task instead, its due time and its entry, back into the minute that
beat looks through once more next, a quarter of an hour after it. All that follows is done by the functions themselves,
in the second stack, whose beat ticks.
"""

import json
from datetime import datetime, timedelta, timezone

import pytest

from e2e.deployment import until
from e2e.functions import access_keys

MINUTE = timedelta(minutes=1)
# When what is left of a minute is looked for.
AFTER = timedelta(minutes=15)
# How long a tick may be away, in seconds: rules of `rate(1 minute)` fire late by up to the emulator's own.
NEXT_TICK = 150
COUNTDOWN = 1200
SHARDS = 4


def written(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now() -> datetime:
    return datetime.now(timezone.utc)


def minute_of(instant: datetime) -> datetime:
    return instant.replace(second=0, microsecond=0)


def parked(stack, task_id: str) -> dict:
    """The record of a task once it is parked."""
    def look() -> dict | None:
        record = stack.record(task_id)
        return record if "parked" in record else None

    return until(30, look, f"{task_id} is parked")


def entries(stack, due: datetime) -> dict[str, dict]:
    """What is entered in the minute of a due time: the items by their ids."""
    found = {}
    for shard in range(SHARDS):
        partition = {":pk": {"S": f"due#{written(minute_of(due))}#{shard}"}}
        pages = stack.dynamodb.get_paginator("query").paginate(
            TableName=stack.outputs["StateTableName"], ConsistentRead=True,
            KeyConditionExpression="pk = :pk", ExpressionAttributeValues=partition,
        )
        found |= {item["sk"]["S"]: item for page in pages for item in page["Items"]}
    return found


def miss(stack, records: list[dict]) -> None:
    """Makes tasks that were parked look like ones whose promotion was lost: they were due in the minute that the tick
    after the next turn of the clock's minute looks through once more. In one partition: which, is of no matter."""
    # A tick that comes meanwhile looks at the one before.
    due = minute_of(now() + timedelta(seconds=5)) + MINUTE - AFTER
    for record in records:
        key = {"id": {"S": record["id"]}}
        if stack.item(record["id"])["status"]["S"] == "PENDING":
            stack.dynamodb.update_item(
                TableName=stack.outputs["ResultsTableName"], Key=key,
                UpdateExpression="SET due_at = :due", ConditionExpression="attribute_exists(parked)",
                ExpressionAttributeValues={":due": {"S": written(due)}},
            )
        entry = entries(stack, datetime.fromisoformat(record["due_at"]))[record["id"]]
        table = stack.outputs["StateTableName"]
        stack.dynamodb.put_item(TableName=table, Item=entry | {"pk": {"S": f"due#{written(due)}#0"}})
        stack.dynamodb.delete_item(TableName=table, Key={"pk": entry["pk"], "sk": entry["sk"]})


def sent_by(stack, function: str, wire) -> list[dict]:
    """The messages that a function of the stack has sent so far, as they went over the wire."""
    keys = {key for key, name in access_keys(stack).items() if name == function}
    calls = [call for call in list(wire.calls) if call.access_key in keys]
    sends = [call.request for call in calls if call.operation.startswith("AmazonSQS.SendMessage")]
    return [json.loads(entry["MessageBody"]) for request in sends for entry in request.get("Entries", [request])]


# ------------------------------------------------------------------------------- parked


def over_sqs(stack, new_id) -> str:
    task_id = new_id("parked")
    stack.send({"task": "add", "args": [2, 3], "id": task_id, "countdown": COUNTDOWN})
    return task_id


def over_http(stack, _) -> str:
    status, sent, _ = stack.http("POST", "/tasks/add", {"args": [2, 3], "options": {"countdown": COUNTDOWN}})
    assert status == 202, sent
    return sent["id"]


@pytest.mark.parametrize("send", [over_sqs, over_http], ids=["SQS", "HTTP"])
def test_a_task_that_is_due_in_twenty_minutes_waits_in_its_record(stack, new_id, send):
    stack.wait_until_empty(30)
    before = now()
    task_id = send(stack, new_id)
    after = now()
    record = parked(stack, task_id)
    assert (record["status"], record["task"]) == ("PENDING", "add") and "attempts" not in record, record
    due = datetime.fromisoformat(record["due_at"])
    # Counted from when it was sent, to the second.
    assert before - timedelta(seconds=1) <= due - timedelta(seconds=COUNTDOWN) <= after + timedelta(seconds=1), record
    assert task_id in entries(stack, due)
    # No message is left, delayed or not.
    stack.wait_until_empty(30)
    assert stack.record(task_id) == record
    _, answer, _ = stack.http("GET", f"/tasks/{task_id}")
    assert (answer["status"], answer["due_at"]) == ("PENDING", record["due_at"]), answer


# ------------------------------------------------------------------------------- promoted


def test_what_beat_finds_left_in_a_minute_is_sent_and_runs(other, user_pool, new_id):
    by_sqs = other.send({"task": "add", "args": [2, 3], "countdown": COUNTDOWN})
    call = {"args": ["parked"], "options": {"countdown": COUNTDOWN}}
    _, by_http, _ = other.http("POST", "/tasks/echo", call, token=user_pool.token())
    records = {task_id: parked(other, task_id) for task_id in (by_sqs, by_http["id"])}
    miss(other, list(records.values()))
    for task_id, result in zip(records, ("5", '"parked"'), strict=True):
        record = other.final(task_id, NEXT_TICK)
        assert (record["status"], record["result"], len(record["attempts"])) == ("SUCCESS", result, 1), record
        # Nothing is left of its having been parked.
        assert not {"parked", "message", "due_at"} & set(record), record


def test_a_parked_task_that_was_revoked_is_passed_over(other, user_pool, wire, new_id):
    revoked, runs = new_id("revoked"), new_id("runs")
    for task_id in (revoked, runs):
        other.send({"task": "add", "args": [2, 3], "id": task_id, "countdown": COUNTDOWN})
    records = [parked(other, task_id) for task_id in (revoked, runs)]
    status, answer, _ = other.http("POST", f"/tasks/{revoked}/revoke", token=user_pool.token())
    assert (status, answer["status"]) == (200, "REVOKED"), answer
    before = other.record(revoked)
    miss(other, records)
    assert other.final(runs, NEXT_TICK)["status"] == "SUCCESS"
    # Both were found, and told to a worker in one message.
    told = [message["kwargs"]["ids"] for message in sent_by(other, "beat", wire) if message["task"] == "sedano.promote"]
    assert any({revoked, runs} <= set(ids) for ids in told), told
    ids = [message["id"] for message in sent_by(other, "consumer", wire)]
    assert runs in ids and revoked not in ids, ids
    assert other.record(revoked) == before and "attempts" not in before, before


# ------------------------------------------------------------------------------- moved


def test_a_parked_task_is_put_off_and_brought_forward(stack, new_id):
    task_id = over_sqs(stack, new_id)
    first = datetime.fromisoformat(parked(stack, task_id)["due_at"])

    def move(countdown: int) -> datetime:
        """Moves it; when it is due then."""
        before = now()
        status, answer, _ = stack.http("POST", f"/tasks/{task_id}/reschedule", {"countdown": countdown})
        after = now()
        assert (status, answer["status"]) == (200, "PENDING"), answer
        due = datetime.fromisoformat(answer["due_at"])
        # Counted from the request, in whole milliseconds.
        countdown, moment = timedelta(seconds=countdown), timedelta(milliseconds=1)
        assert before - moment <= due - countdown <= after + moment, answer
        return due

    far = move(7200)
    record = stack.record(task_id)
    assert datetime.fromisoformat(record["due_at"]) == far and "parked" in record, record
    assert task_id in entries(stack, far) and minute_of(far) != minute_of(first)
    stack.wait_until_empty(30)

    near = move(20)
    record = stack.final(task_id, 60)
    assert (record["status"], record["result"], len(record["attempts"])) == ("SUCCESS", "5", 1), record
    started = datetime.fromisoformat(record["started_at"])
    assert timedelta(0) <= started - near < timedelta(seconds=10), (near, record)
    status, problem, _ = stack.http("POST", f"/tasks/{task_id}/reschedule", {"countdown": 20})
    assert status == 409 and "SUCCESS" in problem["detail"], problem
