"""Entries kept as rules of EventBridge: the command line makes them, EventBridge sends the message itself.

On the second stack, whose queue holds what comes by the clock in any case.
"""

import json

import pytest

from e2e.command import command
from e2e.deployment import FINAL, until

# A rule of `rate(1 minute)` fires late by up to the emulator's tick.
MINUTE = 90
# The sample's own `add` comes every 30 seconds here, which no rule can keep.
ENTRY = "kept"


@pytest.fixture
def sync(other, wire):
    """Runs it and reads what it prints."""
    run = command(other.name, wire.url)

    def read(*words: str) -> dict:
        done = run("beat", "sync", *words)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return read


@pytest.fixture
def events(other):
    return other.client("events", safe=False)


def remove(events, rule: str) -> None:
    if events.list_rules(NamePrefix=rule)["Rules"]:
        ids = [target["Id"] for target in events.list_targets_by_rule(Rule=rule)["Targets"]]
        if ids:
            events.remove_targets(Rule=rule, Ids=ids)
        events.delete_rule(Name=rule)


def mark(other, entry: str) -> str | None:
    """The rule that the entry is marked with."""
    key = {"pk": {"S": "beat"}, "sk": {"S": f"entry#{entry}"}}
    item = other.dynamodb.get_item(TableName=other.outputs["StateTableName"], Key=key).get("Item", {})
    return other.read(item).get("rule")


@pytest.fixture
def rule(other, user_pool, events):
    """The name that an entry added for the test has as a rule; nothing of either is there before or after."""
    name = f"{other.name}-{ENTRY}"
    state = {"TableName": other.outputs["StateTableName"], "Key": {"pk": {"S": "beat"}, "sk": {"S": f"entry#{ENTRY}"}}}
    remove(events, name)
    entry = {"schedule": {"every": 300}, "task": {"task": "add", "args": [2, 2]}}
    status, added, _ = other.http("PUT", f"/beat/{ENTRY}", entry, token=user_pool.token())
    assert status == 201, added
    yield name
    remove(events, name)
    other.dynamodb.update_item(
        **state, UpdateExpression="REMOVE #rule", ExpressionAttributeNames={"#rule": "rule"},
    )
    status, removed, _ = other.http("DELETE", f"/beat/{ENTRY}", token=user_pool.token())
    assert status == 200, removed


def step(read: dict, rule: str) -> str:
    return next(step["step"] for step in read["steps"] if step.get("rule") == rule)


def names(events, prefix: str) -> list[str]:
    return [rule["Name"] for rule in events.list_rules(NamePrefix=prefix)["Rules"]]


def test_a_dry_run_changes_nothing(other, events, sync, rule):
    before = names(events, other.name)
    read = sync("--dry-run")
    assert (read["applied"], step(read, rule)) == (False, "create"), read
    assert names(events, other.name) == before
    assert mark(other, ENTRY) is None


def test_an_entry_kept_as_a_rule_runs_when_the_rule_fires(other, events, sync, rule):
    assert step(sync("--entry", ENTRY), rule) == "create"
    made = events.describe_rule(Name=rule)
    assert (made["ScheduleExpression"], made["State"]) == ("cron(0/5 * * * ? *)", "ENABLED")
    tags = events.list_tags_for_resource(ResourceARN=made["Arn"])["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"sedano:entry": ENTRY, "sedano:stack": other.name}
    target = events.list_targets_by_rule(Rule=rule)["Targets"][0]
    assert target["Arn"] == other.outputs["DefaultQueueArn"]
    assert mark(other, ENTRY) == rule
    assert step(sync(), rule) == "keep"

    # Five minutes are long: somebody changes it by hand, and it fires within one.
    events.put_rule(Name=rule, ScheduleExpression="rate(1 minute)", Description=made["Description"])

    def look():
        pages = other.dynamodb.get_paginator("scan").paginate(TableName=other.outputs["ResultsTableName"])
        items = [item for page in pages for item in page["Items"] if item["id"]["S"].startswith(f"{rule}-2")]
        return [item for item in items if item["status"]["S"] in FINAL]

    record = other.read(until(MINUTE, look, f"a task of rule {rule}", pause=1)[0])
    assert (record["task"], record["status"], record["result"]) == ("add", "SUCCESS", "4"), record

    read = sync()
    changed = next(one for one in read["steps"] if one.get("rule") == rule)
    assert (changed["step"], changed["from"], changed["differs"]) == ("change", "rate(1 minute)", ["schedule"])
    assert events.describe_rule(Name=rule)["ScheduleExpression"] == made["ScheduleExpression"]


def test_a_rule_of_somebody_else_is_not_touched(other, events, sync, rule):
    events.put_rule(Name=rule, ScheduleExpression="rate(2 days)", State="DISABLED", Description="somebody's own")
    before = events.describe_rule(Name=rule)
    read = sync()
    assert step(read, rule) == "foreign", read
    refused = next(one for one in read["steps"] if one["step"] == "tick" and one["entry"] == ENTRY)
    assert refused["reason"] == f"there is a rule named `{rule}` which sedano did not make"
    unchanged = ("ScheduleExpression", "State", "Description")
    after = events.describe_rule(Name=rule)
    assert [after[name] for name in unchanged] == [before[name] for name in unchanged]
    assert events.list_targets_by_rule(Rule=rule)["Targets"] == []
    assert mark(other, ENTRY) is None


def test_a_rule_whose_entry_is_gone_is_removed(other, events, sync, rule):
    gone = f"{other.name}-gone"
    tags = [{"Key": "sedano:entry", "Value": "gone"}, {"Key": "sedano:stack", "Value": other.name}]
    events.put_rule(Name=gone, ScheduleExpression="rate(2 days)", Tags=tags)
    target = {"Id": "queue", "Arn": other.outputs["DefaultQueueArn"], "Input": "{}"}
    events.put_targets(Rule=gone, Targets=[target])
    assert step(sync("--entry", "gone"), gone) == "remove"
    assert gone not in names(events, other.name)
    # It was asked for that one alone.
    assert rule not in names(events, other.name)
