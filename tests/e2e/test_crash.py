"""What kills its process is found out, and only that."""

from e2e.deployment import VISIBILITY


def test_crash_takes_nobody_along_and_ends_as_worker_lost(stack, new_id):
    others = [new_id("bystander") for _ in range(9)]
    crash = new_id("crash")
    with stack.held():
        for number, task_id in enumerate(others):
            stack.send({"task": "add", "args": [number, 1], "id": task_id})
        stack.send({"task": "crash", "id": crash})

    for number, task_id in enumerate(others):
        record = stack.final(task_id, 4 * VISIBILITY)
        assert (record["status"], record["result"]) == ("SUCCESS", str(number + 1)), record
        # A second run only of what was running when the process died: that run never ended.
        *died, last = record["attempts"]
        assert len(died) <= 1 and all("end" not in run for run in died) and "end" in last, record

    record = stack.final(crash, 8 * VISIBILITY)
    assert (record["status"], record["error"]["type"]) == ("FAILURE", "WorkerLost"), record
    # One death in company, which says nothing about who did it, and three of its own.
    assert sum("end" not in run for run in record["attempts"]) == 4, record
    attributes = stack.dead_letter(crash)["MessageAttributes"]
    assert attributes["sedano-reason"]["StringValue"] == "WorkerLost"
    stack.wait_until_empty(3 * VISIBILITY)
