"""What SQS gives up ends as FAILURE and as a dead letter, and the command line brings it back to work."""

import json

from e2e.deployment import until


def given_up(stack, body: dict | str) -> str:
    """A message that is received as often as the queue allows, by somebody who does nothing with it."""
    url = stack.outputs["DefaultQueueUrl"]
    with stack.held():
        message_id = stack.send(body)
        for _ in range(11):
            answer = stack.sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0, WaitTimeSeconds=0,
            )
            if not answer.get("Messages"):
                break
        until(10, lambda: stack.depth() == (0, 0), "the message is given up")
    return message_id


def listed(sedano, *words: str) -> list[dict]:
    done = sedano("dead-letters", "list", *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_sqs_gives_up_ends_as_failure_and_comes_back_as_another_generation(stack, sedano, new_id):
    task_id = new_id("given-up")
    message_id = given_up(stack, {"task": "add", "args": [2, 3], "id": task_id})

    record = stack.final(task_id)
    assert (record["status"], record["error"]["type"]) == ("FAILURE", "Undelivered"), record
    assert record["error"]["message"].startswith("SQS gave it up after "), record
    assert record["queue"] == "default", record

    letter = until(20, lambda: listed(sedano, "--id", task_id), "its dead letter")[0]
    assert (letter["reason"], letter["task"], letter["task_id"]) == ("Undelivered", "add", task_id), letter
    assert (letter["queue"], letter["message_id"], letter["attempts"]) == ("default", message_id, 0), letter
    assert letter["error"] == record["error"]["message"], letter
    shown = sedano("dead-letters", "show", task_id)
    assert json.loads(json.loads(shown.stdout)["body"])["args"] == [2, 3], shown

    redriven = sedano("dead-letters", "redrive", task_id)
    assert redriven.returncode == 0, redriven.stderr
    assert json.loads(redriven.stdout)[0]["generation"] == 1, redriven.stdout
    until(30, lambda: stack.record(task_id).get("status") == "SUCCESS", "its success")
    record = stack.record(task_id)
    assert (record["result"], int(record["generation"])) == ("5", 1), record
    assert "error" not in record, record
    assert sedano("dead-letters", "show", task_id).returncode == 3


def test_what_cannot_be_read_says_so_and_is_mended_by_hand(stack, sedano, new_id):
    word = new_id("garbled")
    message_id = given_up(stack, "{" + word)
    letter = until(30, lambda: listed(sedano, "--id", message_id), "its dead letter")[0]
    # Lambda's events tell which queue gave a message up; ministack's don't.
    assert letter["reason"] == "Undecodable" and letter["queue"] in ("default", "undelivered"), letter
    assert sedano("dead-letters", "redrive", message_id).returncode == 2
    edited = sedano("dead-letters", "edit", message_id, "--body", '{"task": "add", "args": [3, 4]}')
    assert edited.returncode == 0, edited.stderr
    # The sender knows it by the id that SQS told.
    assert stack.final(message_id)["result"] == "7"


def test_the_api_redrives_and_discards(stack, new_id):
    redriven, discarded, found = new_id("again"), new_id("away"), []
    for task_id in (redriven, discarded):
        stack.send({"task": "add", "args": [1, 1], "id": task_id}, queue="Undelivered")

    def both() -> bool:
        status, answer, _ = stack.http("GET", f"/dead-letters?id={redriven}&id={discarded}")
        found[:] = [letter["task_id"] for letter in answer["dead_letters"]]
        return status == 200 and len(found) == 2

    until(30, both, "both dead letters")
    status, answer, _ = stack.http("POST", f"/dead-letters/{redriven}/redrive")
    assert (status, answer["generation"]) == (202, 1), answer
    until(30, lambda: stack.record(redriven).get("status") == "SUCCESS", "its success")
    assert stack.http("DELETE", f"/dead-letters/{discarded}")[0] == 200
    status, problem, kind = stack.http("GET", f"/dead-letters/{discarded}")
    assert (status, problem["type"]) == (404, "urn:sedano:problem:unknown-dead-letter"), problem
    assert kind == "application/problem+json"
    assert stack.record(discarded)["status"] == "FAILURE"
