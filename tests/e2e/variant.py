"""Deployments with more queues than the sample's: FIFO queues for the fault run, added to what `sam build` left,
and the queues of shared/docs/routing.md."""

import copy
import json
from pathlib import Path

from e2e.deployment import BUILD
from guide import with_more_queues
from rights import read, template

# The FIFO queues by the queues that they stand beside, and their names in SEDANO_QUEUES.
BESIDE = {"DefaultQueue": "OrderedQueue", "UndeliveredQueue": "UndeliveredOrderedQueue"}
NAMES = {"OrderedQueue": "ordered.fifo", "UndeliveredOrderedQueue": "undelivered.fifo"}
# Their own names. By the first one's each function may use it.
QUEUES = {"OrderedQueue": "tasks-ordered.fifo", "UndeliveredOrderedQueue": "undelivered.fifo"}


def variant(folder: Path) -> Path:
    """Writes the template into a folder, to be deployed from there."""
    whole = template(BUILD / "template.yaml")
    resources = whole["Resources"]
    # As quick as the consumer: what a reaper died with comes again while there are still faults.
    resources["ReaperFunction"]["Properties"]["Timeout"] = {"Ref": "FunctionTimeout"}
    resources["UndeliveredQueue"]["Properties"]["VisibilityTimeout"] = {"Ref": "VisibilityTimeout"}
    _add_queues(whole)
    for resource in resources.values():
        if resource["Type"] == "AWS::Serverless::Function":
            _map(resource["Properties"].get("Events", {}))
        if resource["Type"] == "AWS::IAM::Role":
            _allow(resource["Properties"]["Policies"])
    return written(whole, folder / "variant.json")


def with_classes(folder: Path) -> Path:
    """Writes the template with the guide's two queues beside the default one, and routes to them by priority."""
    whole = read(with_more_queues()[0])
    whole["Globals"]["Function"]["Environment"]["Variables"]["SEDANO_ROUTES"] = json.dumps(
        {"priority 7-9": "high", "priority 0-3": "low"},
    )
    for queue in ("HighQueue", "LowQueue"):
        whole["Outputs"][f"{queue}Url"] = {"Value": {"Ref": queue}}
    return written(whole, folder / "classes.json")


def written(whole: dict, path: Path) -> Path:
    """Writes a template to be deployed with what was built."""
    for name, resource in whole["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            # In the sources it is the package's, and beside the built template another folder's name.
            resource["Properties"]["CodeUri"] = str(BUILD / name)
    path.write_text(json.dumps(whole, indent=1))
    return path


def _add_queues(whole: dict) -> None:
    resources = whole["Resources"]
    for standard, fifo in BESIDE.items():
        queue = copy.deepcopy(resources[standard])
        queue["Properties"] |= {"QueueName": {"Fn::Sub": f"${{AWS::StackName}}-{QUEUES[fifo]}"}, "FifoQueue": True}
        # The standard one's: they name standard queues.
        for setting in ("RedrivePolicy", "RedriveAllowPolicy"):
            queue["Properties"].pop(setting, None)
        resources[fifo] = queue
        whole["Outputs"][f"{fifo}Url"] = {"Value": {"Ref": fifo}}
    # As many receives as SQS allows, because waits in a group count: shared/docs/retries.md.
    resources["OrderedQueue"]["Properties"]["RedrivePolicy"] = {
        "deadLetterTargetArn": _arn("UndeliveredOrderedQueue"), "maxReceiveCount": 1000,
    }
    variables = whole["Globals"]["Function"]["Environment"]["Variables"]
    named = "".join(f'"{name}":"${{{queue}}}",' for queue, name in NAMES.items())
    variables["SEDANO_QUEUES"]["Fn::Sub"] = variables["SEDANO_QUEUES"]["Fn::Sub"].replace("{", "{" + named, 1)


def _map(events: dict) -> None:
    """Who reads a queue reads the one beside it."""
    for event in list(events.values()):
        for standard, fifo in BESIDE.items():
            if event["Properties"].get("Queue") == _arn(standard):
                events[fifo] = {**event, "Properties": {**event["Properties"], "Queue": _arn(fifo)}}


def _allow(policies: list[dict]) -> None:
    """Who may do something with a queue may do it with the one beside it."""
    for statement in (statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]):
        allowed = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        beside = [_arn(fifo) for standard, fifo in BESIDE.items() if _arn(standard) in allowed]
        statement["Resource"] = allowed + beside


def _arn(queue: str) -> dict:
    return {"Fn::GetAtt": [queue, "Arn"]}
