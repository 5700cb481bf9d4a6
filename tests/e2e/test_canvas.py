"""Chains, groups and chords, sent by hand and carried out by the deployed functions."""

import json

from e2e.deployment import until

SIZE = 10_000


def call(task: str, *args, **options) -> dict:
    return {"task": task, "args": list(args), **options}


def test_a_chain_of_a_hundred_links(stack):
    # Lambda would take it for a loop after some sixteen, if the consumer's RecursiveLoop didn't allow it.
    chain = [call("add", 0, 1)] + [call("add", 1) for _ in range(99)]
    sent = stack.send({"chain": chain})
    record = stack.final(sent, 120)
    assert (record["status"], record["result"]) == ("SUCCESS", "100"), record


def test_a_group_of_a_thousand(stack, new_id):
    group = new_id("group")
    stack.send({"group": [call("mul", number, 2) for number in range(1000)], "id": group})
    record = stack.final(group, 120)
    assert (record["status"], record["task"], int(record["size"])) == ("SUCCESS", "sedano.group", 1000), record
    # Too long for its record; the API reads its members.
    status, answer, _ = stack.http("GET", f"/tasks/{group}")
    assert (status, answer["result"]) == (200, [2 * number for number in range(1000)]), answer


def test_a_chord_of_ten_thousand(stack, wire):
    first = len(wire.calls)
    chord = {"chord": [call("add", number, 0) for number in range(SIZE)], "body": call("xsum")}
    sent = stack.send(chord)
    record = stack.final(sent, 600)
    assert (record["status"], record["result"]) == ("SUCCESS", str(SIZE * (SIZE - 1) // 2)), record
    assert len(record["attempts"]) == 1, record
    stack.wait_until_empty(60)
    # One update of a block for each batch of members, and a few more for the blocks above.
    updates = [
        made for made in wire.calls[first:]
        if made.operation.endswith(".UpdateItem") and "group#" in json.dumps(made.request)
    ]
    assert SIZE / 10 <= len(updates) <= SIZE / 2, len(updates)


def test_a_chord_of_chords(stack):
    inner = [
        {"chord": [call("add", number, 1), call("mul", number, 10)], "body": call("xsum")} for number in range(20)
    ]
    sent = stack.send({"chain": [{"group": inner}, call("xsum"), call("mul", 2)]})
    record = stack.final(sent, 60)
    expected = 2 * sum(number + 1 + 10 * number for number in range(20))
    assert (record["status"], record["result"]) == ("SUCCESS", str(expected)), record


def test_a_failing_member_has_its_errback_called_once(stack, new_id):
    errback, chord = new_id("errback"), new_id("chord")
    members = [call("add", 1, 1), call("fail", "no luck"), call("add", 2, 2)]
    body = call("xsum", link_error=call("echo", id=errback))
    stack.send({"chord": members, "body": body, "id": chord})
    record = stack.final(chord, 60)
    assert (record["status"], record["error"]["type"]) == ("FAILURE", "ChordError"), record
    assert record["error"]["message"].endswith('raised TaskError("no luck")'), record
    told = stack.final(errback, 60)
    assert json.loads(told["result"])["type"] == "ChordError", told
    assert len(told["attempts"]) == 1, told
    stack.wait_until_empty(60)


def test_a_callback_and_a_countdown_between_steps(stack, new_id):
    callback = new_id("callback")
    chain = [call("add", 2, 2), call("mul", 2, countdown=2, link=call("echo", id=callback))]
    sent = stack.send({"chain": chain})
    record = stack.final(sent, 60)
    assert record["result"] == "8", record
    assert stack.final(callback, 60)["result"] == "8"
    first = stack.record(record["parent_id"])
    assert first["finished_at"] < record["started_at"], (first, record)
    until(30, lambda: stack.depth() == (0, 0), "an empty queue")
