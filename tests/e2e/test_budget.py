"""What a task costs in calls, counted on the wire between the consumer and AWS."""

from collections import Counter

import pytest

from e2e.deployment import until
from e2e.functions import access_keys


def calls_of(stack, wire, body: dict, tasks: int, new_id) -> Counter:
    """The consumer's calls for one batch of so many tasks. A batch before it has warmed it up."""
    consumer = next(key for key, function in access_keys(stack).items() if function == "consumer")
    for _ in range(2):
        known = stack.batches()
        first = len(wire.calls)
        with stack.held():
            for _ in range(tasks):
                stack.send(body | {"id": new_id("budget")})
        batch = until(30, lambda: stack.batches_after(known), "the batch's log line")
        assert [line["received"] for line in batch] == [tasks], batch
        made = wire.calls[first:]
    assert all(call.status == 200 for call in made), made
    return Counter(call.operation for call in made if call.access_key == consumer)


OPERATIONS = ("BatchExecuteStatement", "PutItem", "UpdateItem", "Query")
BATCH, PUT, UPDATE, QUERY = (f"DynamoDB_20120810.{name}" for name in OPERATIONS)


@pytest.mark.parametrize(
    ("task", "tasks", "calls"),
    [
        # Claims in one call, results in another; no call to SQS. Alone, a write is a call of its own kind.
        ("add", 10, {BATCH: 2}),
        ("add", 1, {PUT: 1, UPDATE: 1}),
        # No claim.
        ("idempotent_add", 10, {BATCH: 1}),
        ("idempotent_add", 1, {PUT: 1}),
        # Neither claim nor result.
        ("quiet_add", 10, {}),
        ("quiet_add", 1, {}),
    ],
)
def test_calls_for_a_batch(stack, wire, new_id, task, tasks, calls):
    made = calls_of(stack, wire, {"task": task, "args": [2, 3]}, tasks, new_id)
    # What is revoked, unless its process has read that in the five seconds before.
    assert made.pop(QUERY, 0) <= 1
    assert made == Counter(calls), made
