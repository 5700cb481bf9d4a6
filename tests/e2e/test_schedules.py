"""What comes by the clock: the rule that writes messages itself, and the beat's tick.

Only the second stack's rules are enabled.
"""

from boto3.dynamodb.types import TypeDeserializer

from e2e.deployment import FINAL, until

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
    known = other.batches()
    other.send({"task": "add", "args": [2, 3], "id": record["id"]})
    until(30, lambda: other.batches_after(known), "the second firing's batch")
    assert other.record(record["id"]) == record


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
