"""Two stacks in one account don't know of each other."""


def test_two_stacks_share_nothing(stack, other, new_id):
    shared = set(stack.outputs.values()) & set(other.outputs.values())
    assert not shared, shared
    for kind in ("SQS::Queue", "DynamoDB::Table", "Lambda::Function", "IAM::Role", "Events::Rule", "Logs::LogGroup"):
        ours, theirs = stack.resources(f"AWS::{kind}"), other.resources(f"AWS::{kind}")
        assert ours and len(ours) == len(theirs) and not set(ours) & set(theirs), kind

    task_id = new_id("two")
    other.send({"task": "add", "args": [2, 3], "id": task_id})
    assert other.final(task_id)["result"] == "5"
    assert stack.record(task_id) == {}
