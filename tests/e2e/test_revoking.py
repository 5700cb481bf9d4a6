"""Revoked by id, stamp, name and root, waiting and running, against the deployed stack."""

import time

from e2e.command import said
from e2e.deployment import until

# What workers know of revocations is at most so old.
KNOWN_FOR = 5


def test_what_bears_a_stamp_is_revoked_until_that_is_lifted(stack, sedano, new_id):
    tenant = new_id("acme")
    stamped = {"task": "add", "args": [2, 3], "headers": {"tenant": tenant}}
    with stack.held():
        ids = [stack.send(stamped) for _ in range(2)]
        other = stack.send({"task": "add", "args": [2, 3], "headers": {"tenant": "other"}})
        revoked = said(sedano("revoke", "--stamp", f"tenant={tenant}"))
        assert (revoked["kind"], revoked["value"]) == ("stamp", f"tenant={tenant}"), revoked
        # Whoever read before may not know of it yet.
        time.sleep(KNOWN_FOR)
    assert stack.final(other)["status"] == "SUCCESS"
    for task_id in ids:
        record = stack.final(task_id)
        assert record["status"] == "REVOKED" and "attempts" not in record, record
        assert f"tenant={tenant}" in record["error"]["message"], record

    listed = said(sedano("revocations"))
    assert [one for one in listed if one["value"] == f"tenant={tenant}"], listed
    said(sedano("revocations", "--lift", "--stamp", f"tenant={tenant}"))
    time.sleep(KNOWN_FOR)
    assert stack.final(stack.send(stamped))["status"] == "SUCCESS"


def test_by_its_name_is_revoked_what_was_sent_before(stack, new_id):
    with stack.held():
        before = stack.send({"task": "xsum", "args": [[1, 2]]})
        status, answer, _ = stack.http("POST", "/revocations", {"kind": "task", "value": "xsum"})
        assert status == 201, answer
        time.sleep(KNOWN_FOR)
        after = stack.send({"task": "xsum", "args": [[1, 2]]})
    assert stack.final(before)["status"] == "REVOKED"
    assert stack.final(after)["status"] == "SUCCESS"
    assert stack.http("DELETE", "/revocations/task/xsum")[0] == 200


def test_a_running_task_is_asked_and_what_follows_it_is_revoked_by_its_root(stack, new_id):
    first, last = new_id("first"), new_id("last")
    stack.send({"chain": [
        {"task": "sleep", "args": [7], "id": first}, {"task": "add", "args": [1, 1], "id": last, "immutable": True},
    ]})
    until(10, lambda: stack.record(first).get("status") == "STARTED", "the first step runs")
    status, answer, _ = stack.http("POST", "/revocations", {"kind": "root", "value": first})
    assert status == 201, answer
    # Of itself it goes on: it never looks, and what it has done counts.
    assert stack.http("POST", f"/tasks/{first}/revoke")[0] == 202
    assert "revoke_requested" in stack.record(first)
    assert stack.final(first)["status"] == "SUCCESS"
    record = stack.final(last)
    assert record["status"] == "REVOKED" and "started_at" not in record, record
