"""Each function may do what it does, and nothing else.

Three things are compared, none of which proves it alone:

- the policies in template.yaml;
- the calls that the functions made in this whole run, as seen on the wire, each allowed by a policy
  in the eyes of ministack's IAM, which refuses everything else;
- the operations whose code is in each built binary. The engine calls AWS through object-safe ports,
  and so an adapter brings all of its operations along: what is in there and not allowed is listed,
  with the reason why it is never called.

It runs last, as conftest.py sees to.
"""

import json
import re
from pathlib import Path

import pytest

from e2e.deployment import BUILD, operations
from e2e.functions import access_keys
from rights import FUNCTIONS, KNOWN_OPERATIONS, actions_of, granted, needed

pytestmark = pytest.mark.last

# Rights that no test of this run makes a function use, and why it has them.
UNUSED = {
    "beat": {
        ("dynamodb:DeleteItem", "StateTable"): "an entry that has left the code, or whose removal broke off",
        ("dynamodb:UpdateItem", "ResultsTable"): "an entry was changed in the code after it had handed something out",
        ("dynamodb:PutItem", "ResultsTable"): "a revocation in place of a record past its time",
    },
    "console": {
        ("dynamodb:PutItem", "ResultsTable"): "a revocation in place of a record past its time",
        ("sqs:ChangeMessageVisibility", "DeadLetterQueue"): "what it looked at is shown again, if nothing else is there",
        ("sqs:PurgeQueue", "DefaultQueue"): "other tests' tasks are in it",
        ("sqs:PurgeQueue", "QuarantineQueue"): "other tests' tasks are in it",
    },
    "consumer": {
        ("sqs:ReceiveMessage", "DefaultQueue"): "the event source mapping's",
        ("sqs:ReceiveMessage", "QuarantineQueue"): "the event source mapping's",
        ("sqs:DeleteMessage", "DefaultQueue"): "the event source mapping's",
        ("sqs:DeleteMessage", "QuarantineQueue"): "the event source mapping's",
        ("sqs:GetQueueAttributes", "DefaultQueue"): "the event source mapping's",
        ("sqs:GetQueueAttributes", "QuarantineQueue"): "the event source mapping's",
        ("sqs:ChangeMessageVisibility", "QuarantineQueue"): "a lease held by a live worker is met there too",
        ("dynamodb:DeleteItem", "StateTable"): "a group is looked at after a quarter of an hour",
        ("dynamodb:PartiQLUpdate", "StateTable"): "several unique tasks of a batch end at one moment",
    },
    "producer": {},
    "reaper": {
        ("sqs:ReceiveMessage", "UndeliveredQueue"): "the event source mapping's",
        ("sqs:DeleteMessage", "UndeliveredQueue"): "the event source mapping's",
        ("sqs:GetQueueAttributes", "UndeliveredQueue"): "the event source mapping's",
        ("sqs:ChangeMessageVisibility", "UndeliveredQueue"): "a lease held by a live worker is met there too",
        ("sqs:SendMessage", "DefaultQueue"): "a recorded retry whose message was lost is sent again",
        ("dynamodb:PutItem", "ResultsTable"): "in place of a record past its time",
        ("dynamodb:PartiQLInsert", "ResultsTable"): "several steps would have followed what is given up",
        ("dynamodb:BatchGetItem", "ResultsTable"): "the last member of a group is given up",
        ("dynamodb:BatchGetItem", "StateTable"): "the last member of a group is given up",
        ("dynamodb:UpdateItem", "StateTable"): "a member of a group is given up",
        ("dynamodb:PartiQLUpdate", "StateTable"): "several unique tasks are given up at one moment",
        ("dynamodb:PutItem", "StateTable"): "the message of a task that was replaced is given up",
    },
}

# Operations that are linked in with the ports and never called by the function.
_QUEUE_READS = ("AmazonSQS.ReceiveMessage", "AmazonSQS.DeleteMessageBatch", "AmazonSQS.ChangeMessageVisibilityBatch")
_STORE_WRITES = ("DynamoDB_20120810.PutItem", "DynamoDB_20120810.UpdateItem", "DynamoDB_20120810.BatchExecuteStatement")
_PURGE = "AmazonSQS.PurgeQueue"
_BUS = ("AWSEvents.ListRules", "AWSEvents.ListTargetsByRule")
NEVER_CALLED = {
    "beat": {*_QUEUE_READS, *_BUS, _PURGE, "AmazonSQS.GetQueueAttributes", "DynamoDB_20120810.BatchGetItem",
             "DynamoDB_20120810.BatchExecuteStatement"},
    "console": {*_BUS, "DynamoDB_20120810.BatchExecuteStatement"},
    "consumer": {*_BUS, _PURGE},
    "producer": {*_QUEUE_READS, *_STORE_WRITES, *_BUS, _PURGE, "DynamoDB_20120810.GetItem",
                 "DynamoDB_20120810.BatchGetItem", "DynamoDB_20120810.DeleteItem", "DynamoDB_20120810.Query"},
    "reaper": {*_BUS, _PURGE, "DynamoDB_20120810.DeleteItem", "DynamoDB_20120810.Query"},
}


@pytest.fixture(scope="module")
def functions(stack, other) -> dict[str, str]:
    """Functions of both stacks by their access keys."""
    return access_keys(stack) | access_keys(other)


@pytest.fixture(scope="module")
def used(stack, other, wire, functions) -> dict[str, set[tuple[str, str]]]:
    """What each function's calls needed: actions and logical names of resources."""
    logical = {physical: name for one in (stack, other) for name, physical in one.physical().items()}
    used: dict[str, set[tuple[str, str]]] = {function: set() for function in FUNCTIONS}
    for call in wire.calls:
        if call.access_key in functions:  # else the tests' own
            for action, resource in needed(call.operation, call.request):
                used[functions[call.access_key]].add((action, logical.get(resource, resource)))
    return used


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_a_function_calls_is_allowed(used, function):
    assert used[function], f"no call of {function} was seen: nothing was tested"
    beyond = used[function] - granted(function)
    assert not beyond, beyond


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_is_allowed_is_called(used, function, whole_run):
    if not whole_run:
        pytest.skip("only part of the tests runs")
    allowed = {right for right in granted(function) if not right[0].startswith("logs:")}
    unused = allowed - used[function] - set(UNUSED[function])
    assert not unused, (unused, "take them from template.yaml, or say why they stay")


def test_no_call_was_refused_by_iam(wire, functions):
    refused = [
        (functions[call.access_key], call.operation, call.response)
        for call in wire.calls
        if call.access_key in functions and "AccessDenied" in json.dumps(call.response)
    ]
    assert not refused, refused


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_a_binary_can_call_is_allowed_or_accounted_for(function):
    linked = operations_in(BUILD / f"{function.capitalize()}Function" / "bootstrap")
    assert linked, "found no operation at all: is the marker still right?"
    assert linked <= KNOWN_OPERATIONS, linked - KNOWN_OPERATIONS
    allowed = {action for action, _ in granted(function)}
    beyond = {operation for operation in linked if not actions_of(operation) & allowed}
    assert beyond <= NEVER_CALLED[function], beyond - NEVER_CALLED[function]
    allowed_after_all = {operation for operation in NEVER_CALLED[function] if actions_of(operation) & allowed}
    assert not allowed_after_all, allowed_after_all


def operations_in(binary: Path) -> set[str]:
    """The operations whose names, as SQS, DynamoDB and EventBridge expect them in a header, are in a
    binary's constants. Constants stand side by side without a separator: the longest name counts."""
    found = set()
    content = binary.read_bytes()
    for prefix, service in (("AmazonSQS", "sqs"), ("DynamoDB_20120810", "dynamodb"), ("AWSEvents", "events")):
        names = sorted(operations(service), key=len, reverse=True)
        pattern = re.compile(f"{prefix}\\.({'|'.join(names)})".encode())
        found |= {f"{prefix}.{match.group(1).decode()}" for match in pattern.finditer(content)}
    return found
