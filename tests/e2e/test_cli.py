"""The command line, against the deployed stack: outputs resolved by name, then SQS and DynamoDB directly."""

import json

from e2e.deployment import PARAMETERS


def test_a_task_is_sent_and_its_result_waited_for(sedano):
    done = sedano("send", "add", "2", "3", "--wait=60")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["status"], record["result"]) == ("SUCCESS", 5), record
    again = sedano("result", record["id"])
    assert (again.returncode, json.loads(again.stdout)["result"]) == (0, 5), again.stderr


def test_a_failure_is_told_by_the_exit_code(sedano):
    failed = sedano("send", "fail", "no luck", "--wait=60")
    assert failed.returncode == 1, failed.stderr
    assert json.loads(failed.stdout)["error"]["message"] == "no luck"


def test_queues_and_rules_are_read(sedano, stack):
    queues = sedano("queues")
    assert queues.returncode == 0, queues.stderr
    assert {"default", "quarantine", "undelivered", "dead-letters"} <= set(json.dumps(queues.stdout).replace("\\", "").split('"'))
    plan = sedano("beat", "sync", "--dry-run")
    assert plan.returncode == 0, plan.stderr
    read = json.loads(plan.stdout)
    assert read["prefix"] == f"{stack.name}-", read
    physical = stack.physical()
    schedules = {rule["name"]: rule["schedule"] for rule in read["rules"]}
    assert schedules[physical["TickRule"]] == "rate(1 minute)", read
    assert schedules[physical["DailyAddRule"]] == PARAMETERS["DailyAddSchedule"], read
    # No entry of the schedule stands for either.
    assert {step["rule"] for step in read["steps"] if step["step"] == "foreign"} == set(schedules), read
