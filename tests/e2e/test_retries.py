"""Retries are seen in the table while they wait."""

from datetime import datetime

from e2e.deployment import FINAL, until


def states(stack, task_id: str, seconds: float) -> list[dict]:
    """Each state that was seen of a task until it was final, in order."""
    seen: list[dict] = []

    def look():
        record = stack.record(task_id)
        mark = (record.get("status"), record.get("retries"))
        if record and (not seen or mark != (seen[-1]["status"], seen[-1]["retries"])):
            seen.append(record)
        return record.get("status") in FINAL

    until(seconds, look, f"the end of {task_id}", pause=0.02)
    return seen


def test_flaky_is_seen_waiting_twice_and_then_succeeds(stack, new_id):
    task_id = new_id("flaky")
    stack.send({"task": "flaky", "args": [2], "id": task_id})
    seen = states(stack, task_id, 60)

    waiting = [record for record in seen if record["status"] == "RETRY"]
    assert [int(record["retries"]) for record in waiting] == [1, 2], seen
    for number, record in enumerate(waiting, start=1):
        assert f"failed {number} of 2 times" in record["error"]["message"], record
        failed, due = (datetime.fromisoformat(text) for text in (record["attempts"][-1]["end"], record["due_at"]))
        assert 0.9 <= (due - failed).total_seconds() <= 1.1, record

    last = seen[-1]
    assert (last["status"], int(last["retries"]), last["result"]) == ("SUCCESS", 2, "2"), last
    assert "error" not in last and "due_at" not in last, last
    runs = last["attempts"]
    assert len(runs) == 3, runs
    # None ran before it was due.
    for record, run in zip(waiting, runs[1:], strict=True):
        assert datetime.fromisoformat(run["start"]) >= datetime.fromisoformat(record["due_at"])


def test_three_retries_are_four_runs(stack, new_id):
    task_id = new_id("thrice")
    stack.send({"task": "retry_thrice", "id": task_id})
    record = stack.final(task_id, 60)
    assert (record["status"], int(record["retries"])) == ("FAILURE", 3), record
    errors = [run["error"] for run in record["attempts"]]
    assert len(errors) == 4 and all(f"run {n} failed" in error for n, error in enumerate(errors, start=1)), record
    stack.wait_until_empty(5)
