"""What comes by the clock: the rule that writes messages itself, and the beat's tick.

Only the second stack's rules are enabled, and its sample entry comes every 30 seconds.
"""

import json
from datetime import datetime, timedelta, timezone

from boto3.dynamodb.types import TypeDeserializer

from e2e.deployment import FINAL, until
from e2e.functions import access_keys

# Rules of `rate(1 minute)` fire late by up to the emulator's tick.
MINUTE = 90


def test_a_native_rule_sends_a_task_whose_id_is_its_due_time(other):
    rule = other.outputs["DailyAddRuleName"]

    def look():
        pages = other.dynamodb.get_paginator("scan").paginate(TableName=other.outputs["ResultsTableName"])
        items = [item for page in pages for item in page["Items"] if item["id"]["S"].startswith(f"{rule}-")]
        return [item for item in items if item["status"]["S"] in FINAL]

    read = TypeDeserializer().deserialize
    record = {name: read(value) for name, value in until(MINUTE, look, f"a task of rule {rule}", pause=1)[0].items()}
    assert (record["task"], record["status"], record["result"]) == ("add", "SUCCESS", "5"), record
    assert record["id"].removeprefix(f"{rule}-")[:4].isdigit(), record

    # Had it fired twice for one time, the second would be the first.
    other.send({"task": "add", "args": [2, 3], "id": record["id"]})
    until(30, lambda: nothing_waits(other), "the second firing was taken and done with")
    assert other.record(record["id"]) == record


def nothing_waits(stack) -> bool:
    """Whether all messages were taken and deleted but those of beat, which are delayed until they are due."""
    names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    url = stack.outputs["DefaultQueueUrl"]
    counts = stack.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(names))["Attributes"]
    return all(counts[name] == "0" for name in names)


def test_the_tick_reaches_the_beat(other):
    tick = until(
        MINUTE, lambda: [line for line in other.log_lines("Beat") if line.get("message") == "tick"], "a tick", pause=1,
    )[0]
    assert tick["sent"] >= 0 and tick["until"], tick
    watermark = other.dynamodb.get_item(
        TableName=other.outputs["StateTableName"], Key={"pk": {"S": "beat"}, "sk": {"S": "watermark"}},
    )["Item"]
    # Another tick may have moved it on; its text sorts as time does.
    assert watermark["until"]["S"] >= tick["until"], watermark


def test_two_ticks_at_once_do_no_harm(other):
    function = other.outputs["BeatFunctionName"]
    answers = [other.lambda_.invoke(FunctionName=function, Payload=b"{}") for _ in range(2)]
    for answer in answers:
        assert "FunctionError" not in answer, answer["Payload"].read()


# ------------------------------------------------------------------------------- every 30 seconds


HALF_A_MINUTE = timedelta(seconds=30)


def test_every_thirty_seconds_is_twice_a_minute(other, wire):
    """Whatever beat has sent since it was deployed, and two minutes of it in a row."""
    beat = {key for key, function in access_keys(other).items() if function == "beat"}

    def sent() -> dict[datetime, set[str]]:
        """The ids of the messages by their due times, as they went over the wire."""
        ids: dict[datetime, set[str]] = {}
        for call in list(wire.calls):
            if call.access_key in beat and call.operation in ("AmazonSQS.SendMessage", "AmazonSQS.SendMessageBatch"):
                for entry in call.request.get("Entries", [call.request]):
                    message = json.loads(entry["MessageBody"])
                    if message["task"] == "add":
                        due = datetime.fromisoformat(message["headers"]["sedano-due"])
                        ids.setdefault(due, set()).add(message["id"])
        return ids

    def look() -> list[tuple[datetime, dict]] | None:
        """The last five in a row of those that are over: four of them make two minutes. An emulator that stands still
        for longer than a tick looks ahead leaves a gap, and a tick may send the next before the newest has run."""
        dues = sorted(sent())
        for first in reversed(dues):
            row = [first + count * HALF_A_MINUTE for count in range(5)]
            if all(due in dues for due in row):
                ended = [(due, record) for due in row for record in map(other.record, sent()[due])]
                if all(record.get("status") in FINAL for _, record in ended):
                    return ended
        return None

    ended = until(4 * MINUTE, look, "five runs, 30 seconds apart", pause=2)
    assert len(ended) == 5, ended
    for due, record in ended:
        assert (record["task"], record["status"], record["result"]) == ("add", "SUCCESS", "4"), record
        started = datetime.fromisoformat(record["started_at"])
        assert timedelta(0) <= started - due < HALF_A_MINUTE, (due, record)
        assert len(record["attempts"]) == 1, record
    # None between, and however many ticks there were, one id for each.
    ids = sent()
    assert all((due.second, due.microsecond) in ((0, 0), (30, 0)) for due in ids), sorted(ids)
    assert all(len(alike) == 1 for alike in ids.values()), ids


# ------------------------------------------------------------------------------- worked schedules

# Far from when the test runs: the sample's own entries have other due times. In the stack whose beat is off.
DUE = datetime(2100, 3, 28, 16, 0, tzinfo=timezone.utc)


def written(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rows(stack, part: str) -> dict[str, dict]:
    """A part of the tasks' own rows, by name."""
    pages = stack.dynamodb.get_paginator("query").paginate(
        TableName=stack.outputs["AppTableName"], ConsistentRead=True,
        KeyConditionExpression="pk = :part", ExpressionAttributeValues={":part": {"S": part}},
    )
    return {row["sk"]: row for page in pages for row in map(stack.read, page["Items"])}


def test_open_refunds_are_cancelled_once(stack, new_id):
    names = [new_id("refund") for _ in range(3)]
    for name in names:
        opened = stack.final(stack.send({"task": "open_refund", "args": [name, 1250]}))
        assert opened["status"] == "SUCCESS", opened
    assert {rows(stack, "refunds")[name]["status"] for name in names} == {"open"}

    def cancel(due: str) -> int:
        sent = stack.send({"task": "cancel_open_refunds", "headers": {"sedano-due": due}})
        record = stack.final(sent)
        assert record["status"] == "SUCCESS", record
        return int(record["result"])

    # Due before they were opened: they stay as they are.
    assert cancel("2020-03-28T16:00:00.000Z") == 0
    assert {rows(stack, "refunds")[name]["status"] for name in names} == {"open"}
    due = written(DUE)
    assert cancel(due) == 3
    cancelled = rows(stack, "refunds")
    assert {(cancelled[name]["status"], cancelled[name]["due"]) for name in names} == {("cancelled", due)}
    # Again, and on the evening after.
    assert cancel(due) == 3
    assert cancel(written(DUE + timedelta(days=1))) == 0
    assert rows(stack, "refunds") == cancelled


def test_the_end_of_day_report_has_what_finished_for_whom(stack, new_id):
    ada, bo = new_id("ada"), new_id("bo")

    def of(user: str, task: str, *args: object) -> str:
        noted = {"task": "record_finished", "args": [user], "immutable": True}
        return stack.send({"task": task, "args": list(args), "link": [noted]})

    sent = {user: [of(user, task, *args) for task, args in calls] for user, calls in {
        ada: [("add", (2, 3)), ("mul", (2, 3))], bo: [("echo", ("done",))],
    }.items()}
    ended = {user: [stack.final(task) for task in tasks] for user, tasks in sent.items()}
    for record in (record for records in ended.values() for record in records):
        noted = stack.final(record["children"][0])
        assert (noted["task"], noted["status"]) == ("record_finished", "SUCCESS"), noted

    # A due time in the middle of each day after: its report is of the day before.
    finished = [datetime.fromisoformat(record["finished_at"]) for records in ended.values() for record in records]
    days = {instant.date() for instant in finished} | {(instant + timedelta(hours=3)).date() for instant in finished}
    reported: dict[str, list[dict]] = {}
    for day in sorted(days):
        due = datetime(day.year, day.month, day.day, 10, tzinfo=timezone.utc) + timedelta(days=1)
        call = {"task": "end_of_day_report", "headers": {"sedano-due": written(due)}}
        first = stack.final(stack.send(call))
        assert (first["status"], json.loads(first["result"])["day"]) == ("SUCCESS", day.isoformat()), first
        of_day = rows(stack, f"report {day.isoformat()}")
        second = stack.final(stack.send(call))
        assert second["result"] == first["result"]
        assert rows(stack, f"report {day.isoformat()}") == of_day
        for user in (ada, bo):
            reported.setdefault(user, []).extend(of_day.get(user, {}).get("tasks", []))

    for user, records in ended.items():
        wanted = [{"id": one["id"], "name": one["task"], "finished_at": one["finished_at"]} for one in records]
        assert reported[user] == sorted(wanted, key=lambda task: (task["finished_at"], task["id"])), reported


# ------------------------------------------------------------------------------- entries at run time


# How far a tick looks ahead.
AHEAD = timedelta(seconds=70)


def test_an_entry_added_at_run_time_comes_until_it_is_paused(other, user_pool, wire, new_id):
    name, token = new_id("entry"), user_pool.token()

    def beat(method: str, path: str = "", body: dict | None = None) -> tuple[int, dict]:
        return other.http(method, f"/beat/{name}{path}", body, token=token)[:2]

    def due_times() -> dict[datetime, str]:
        """The ids of the entry's messages, as they went over the wire, by their due times."""
        keys = {key for key, function in access_keys(other).items() if function == "beat"}
        calls = [call for call in list(wire.calls) if call.access_key in keys]
        sends = [call.request for call in calls if call.operation.startswith("AmazonSQS.SendMessage")]
        entries = [entry for request in sends for entry in request.get("Entries", [request])]
        sent = [json.loads(entry["MessageBody"]) for entry in entries]
        own = [message for message in sent if message.get("args") == [name]]
        return {datetime.fromisoformat(message["headers"]["sedano-due"]): message["id"] for message in own}

    def history() -> list[dict]:
        """What is told of the due times that were handed out. An emulator that stands still may make beat miss one."""
        status, answer = beat("GET", "/history?n=20")
        assert status == 200, answer
        sent = due_times()
        return [past for past in answer["history"] if datetime.fromisoformat(past["due"]) in sent]

    def ended() -> list[dict]:
        return [past for past in history() if past["status"] in FINAL]

    added = datetime.now(timezone.utc)
    status, entry = beat("PUT", "", {"schedule": {"every": 30}, "task": {"task": "echo", "args": [name]}})
    assert (status, entry["source"]) == (201, "run time"), entry
    _, coming = beat("GET", "/next?n=3")
    times = [datetime.fromisoformat(one["due"]) for one in coming["next"]]
    assert added < times[0] <= added + HALF_A_MINUTE + timedelta(seconds=5), coming
    assert [time - times[0] for time in times] == [count * HALF_A_MINUTE for count in range(3)], coming

    until(3 * MINUTE, lambda: len(ended()) >= 2, "two runs", pause=1)
    past = ended()
    assert all((one["status"], one.get("by_hand", False)) == ("SUCCESS", False) for one in past), past
    for one in past:
        due = datetime.fromisoformat(one["due"])
        assert due_times()[due] == one["id"], (one, due_times())
        # The first may be due before the first tick comes by.
        assert timedelta(0) <= datetime.fromisoformat(one["started_at"]) - due < timedelta(seconds=MINUTE), one

    status, entry = beat("POST", "/pause")
    assert (status, entry["paused"]) == (200, True), entry
    paused = datetime.fromisoformat(entry["since"])
    assert beat("GET", "/next?n=3") == (200, {"next": []})

    # Until all that any tick may have handed out before is due, and one has come after that.
    def ticked() -> bool:
        watermark = other.dynamodb.get_item(
            TableName=other.outputs["StateTableName"], Key={"pk": {"S": "beat"}, "sk": {"S": "watermark"}},
        )["Item"]
        return datetime.fromisoformat(watermark["until"]["S"]) - AHEAD > paused + AHEAD

    until(3 * MINUTE, ticked, "a tick after the pause", pause=1)
    handed_out = {due: other.record(task_id) for due, task_id in due_times().items() if due > paused}
    assert all(due <= paused + AHEAD for due in handed_out), (paused, handed_out)
    assert all(record["status"] == "REVOKED" and "attempts" not in record for record in handed_out.values()), handed_out
    # What was revoked is no history.
    after = history()
    assert len(after) >= 2 and all(datetime.fromisoformat(one["due"]) <= paused for one in after), (paused, after)
    assert {one["status"] for one in after} == {"SUCCESS"}, after

    assert beat("DELETE")[0] == 200
    assert beat("GET")[0] == 404
