"""Plain JSON into SQS, results out of DynamoDB: no library on either side."""

import re
from datetime import datetime, timezone

import pytest
from botocore.exceptions import ClientError

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def test_add_sent_as_plain_json_leaves_5_in_the_table_under_its_message_id(stack):
    task_id = stack.send('{"task": "add", "args": [2, 3]}')
    record = stack.final(task_id)
    assert (record["status"], record["result"]) == ("SUCCESS", "5"), record

    # What `aws dynamodb get-item` shows: words and instants, nothing to be decoded.
    item = stack.item(task_id)
    assert item["id"] == {"S": task_id}
    assert item["task"] == {"S": "add"}
    assert item["queue"] == {"S": "default"}
    assert item["retries"] == {"N": "0"}
    for name in ("started_at", "finished_at"):
        assert INSTANT.fullmatch(item[name]["S"]), item
    assert set(item["ttl"]) == {"N"}
    run = item["attempts"]["L"][0]["M"]
    assert INSTANT.fullmatch(run["start"]["S"]) and INSTANT.fullmatch(run["end"]["S"])
    assert any(line["request_id"] == run["request"]["S"] for line in stack.batches())


@pytest.mark.parametrize(
    ("call", "result"),
    [
        ({"task": "mul", "kwargs": {"x": 6, "y": 7}}, "42"),
        ({"task": "xsum", "args": [[1, 2, 3]]}, "6"),
        ({"task": "echo", "args": ["grüße, 🌿"]}, '"grüße, 🌿"'),
        ({"task": "add", "args": [1], "kwargs": {"y": 1}, "made-up": {"by": "the sender"}}, "2"),
    ],
)
def test_arguments_by_place_and_name_and_a_caller_s_own_id(stack, new_id, call, result):
    task_id = new_id(call["task"])
    stack.send(call | {"id": task_id})
    record = stack.final(task_id)
    assert (record["status"], record.get("result")) == ("SUCCESS", result), record


def test_a_countdown_is_waited_for(stack, new_id):
    task_id = new_id("later")
    sent = datetime.now(timezone.utc)
    stack.send({"task": "add", "args": [1, 1], "id": task_id, "countdown": 3})
    record = stack.final(task_id)
    assert record["status"] == "SUCCESS" and len(record["attempts"]) == 1, record
    # The emulator and this test share a clock; SQS stamps the message within a second of its sending.
    assert (datetime.fromisoformat(record["started_at"]) - sent).total_seconds() >= 2.9, record


def test_an_unknown_task_is_a_dead_letter_when_its_grace_is_over(stack, new_id):
    task_id = new_id("unknown")
    stack.send({"task": "ad", "id": task_id})
    record = stack.final(task_id, 60)
    assert (record["status"], record["error"]["type"]) == ("FAILURE", "NotRegistered"), record
    assert "did you mean `add`" in record["error"]["message"], record
    attributes = stack.dead_letter(task_id)["MessageAttributes"]
    assert attributes["sedano-reason"]["StringValue"] == "NotRegistered"
    assert "did you mean `add`" in attributes["sedano-error"]["StringValue"]


def test_an_expired_task_is_revoked(stack, new_id):
    task_id = new_id("expired")
    stack.send({"task": "add", "args": [1, 1], "id": task_id, "expires": "2020-01-01T00:00:00Z"})
    record = stack.final(task_id)
    assert (record["status"], record["error"]["type"]) == ("REVOKED", "Expired"), record


def test_the_queues_refuse_what_comes_without_tls(stack):
    for queue in ("Default", "Quarantine", "Undelivered", "DeadLetter"):
        with pytest.raises(ClientError) as refused:
            stack.client("sqs", safe=False).send_message(QueueUrl=stack.outputs[f"{queue}QueueUrl"], MessageBody="{}")
        assert refused.value.response["Error"]["Code"] == "AccessDenied"
