"""The same message more than once is one task."""

from e2e.deployment import VISIBILITY, until


def test_two_copies_in_one_batch_run_once(stack, new_id):
    task_id = new_id("twins")
    with stack.held():
        for _ in range(2):
            stack.send({"task": "flaky", "args": [0], "id": task_id})
    stack.final(task_id)
    stack.wait_until_empty(3 * VISIBILITY)
    record = stack.record(task_id)
    assert record["status"] == "SUCCESS" and len(record["attempts"]) == 1, record


def test_a_copy_that_comes_late_changes_nothing(stack, new_id):
    task_id = new_id("late")
    stack.send({"task": "add", "args": [2, 3], "id": task_id})
    first = stack.final(task_id)
    known = stack.batches()
    stack.send({"task": "add", "args": [2, 3], "id": task_id})
    batch = until(30, lambda: stack.batches_after(known), "the copy's batch")[0]
    assert (batch["received"], batch["acked"]) == (1, 1), batch
    assert stack.record(task_id) == first


def test_a_copy_that_comes_while_it_runs_waits_for_its_end(stack, new_id):
    task_id = new_id("slow")
    stack.send({"task": "sleep", "args": [4], "id": task_id})
    until(30, lambda: stack.record(task_id).get("status") == "STARTED", "the first copy runs")
    known = stack.batches()
    stack.send({"task": "sleep", "args": [4], "id": task_id})

    # The first to report is the copy: it is given back, not acknowledged, while the other still runs.
    batch = until(30, lambda: stack.batches_after(known), "the copy's batch")[0]
    assert (batch["received"], batch["acked"], batch["returned"]) == (1, 0, 1), batch
    assert stack.record(task_id)["status"] == "STARTED"
    assert stack.depth() == (0, 2)

    record = stack.final(task_id)
    assert record["status"] == "SUCCESS" and len(record["attempts"]) == 1, record
    stack.wait_until_empty(3 * VISIBILITY)
    assert stack.record(task_id) == record
