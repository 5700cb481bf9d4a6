"""One bad, slow or poisonous message never costs its neighbours anything."""

from datetime import datetime

from e2e.deployment import TIMEOUT, until


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def one_batch_of_ten(stack, known: list[dict]) -> dict:
    """The log line of the batch of ten that came after the `known` ones."""
    def look():
        return [line for line in stack.batches_after(known) if line["received"] == 10]

    return until(30, look, "a batch of ten in the log")[0]


def test_four_bad_ones_leave_the_other_six_alone(stack, new_id):
    good = [new_id("good") for _ in range(6)]
    failing, panicking, sleeping, garbled = map(new_id, ("fail", "panic", "sleep", "garbled"))
    known = stack.batches()
    with stack.held():
        for number, task_id in enumerate(good):
            stack.send({"task": "add", "args": [number, 1], "id": task_id})
        stack.send({"task": "fail", "args": ["no luck"], "id": failing})
        stack.send({"task": "panic", "args": ["at the disco"], "id": panicking})
        stack.send({"task": "sleep", "args": [60], "time_limit": 2, "id": sleeping})
        stack.send('{"task": "add",\n "id": "' + garbled + '", "args": [1, }')

    batch = one_batch_of_ten(stack, known)
    assert (batch["acked"], batch["returned"]) == (10, 0), batch
    for number, task_id in enumerate(good):
        record = stack.final(task_id)
        assert (record["status"], record["result"]) == ("SUCCESS", str(number + 1)), record
        assert [run["request"] for run in record["attempts"]] == [batch["request_id"]], record

    for task_id, kind, words in (
        (failing, "TaskError", "no luck"),
        (panicking, "Panicked", "at the disco"),
        (sleeping, "TimeLimit", "2s"),
    ):
        record = stack.final(task_id)
        assert (record["status"], record["error"]["type"]) == ("FAILURE", kind), record
        assert words in record["error"]["message"], record
        assert [run["request"] for run in record["attempts"]] == [batch["request_id"]], record

    # Who slept held nobody up.
    slept_until = instant(stack.record(sleeping)["finished_at"])
    assert all(instant(stack.record(task_id)["finished_at"]) < slept_until for task_id in good)

    attributes = stack.dead_letter(garbled)["MessageAttributes"]
    assert attributes["sedano-reason"]["StringValue"] == "Undecodable"
    assert "line 2, column" in attributes["sedano-error"]["StringValue"]
    assert stack.item(garbled) == {}

    # Nothing is left to be delivered again, and nothing was.
    stack.wait_until_empty(5)
    later = [line for line in stack.batches_after(known) if line["timestamp"] >= batch["timestamp"]]
    assert later == [batch]


def test_a_task_longer_than_its_invocation_is_stopped_and_recorded(stack, new_id):
    good = [new_id("beside") for _ in range(9)]
    endless = new_id("endless")
    known = stack.batches()
    with stack.held():
        stack.send({"task": "sleep", "args": [3600], "id": endless})
        for task_id in good:
            stack.send({"task": "add", "args": [1, 1], "id": task_id})

    finished = [instant(stack.final(task_id)["finished_at"]) for task_id in good]
    stopped = stack.final(endless, TIMEOUT + 20)
    assert (stopped["status"], stopped["error"]["type"]) == ("FAILURE", "TimeLimit"), stopped
    assert len(stopped["attempts"]) == 1, stopped
    batch = one_batch_of_ten(stack, known)
    assert (batch["acked"], batch["returned"]) == (10, 0), batch
    # They were recorded when they were done, not when the batch was.
    assert (instant(stopped["finished_at"]) - max(finished)).total_seconds() > TIMEOUT / 2
    stack.wait_until_empty(5)
