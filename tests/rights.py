"""Which rights a call to AWS needs, and which the template gives to each function."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
FUNCTIONS = ("beat", "console", "consumer", "producer", "reaper")

# IAM knows no batch operations: who may do one may do many.
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsqs.html
_SINGLE = {
    "AmazonSQS.SendMessage": "sqs:SendMessage",
    "AmazonSQS.SendMessageBatch": "sqs:SendMessage",
    "AmazonSQS.ReceiveMessage": "sqs:ReceiveMessage",
    "AmazonSQS.DeleteMessage": "sqs:DeleteMessage",
    "AmazonSQS.DeleteMessageBatch": "sqs:DeleteMessage",
    "AmazonSQS.ChangeMessageVisibility": "sqs:ChangeMessageVisibility",
    "AmazonSQS.ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "AmazonSQS.GetQueueAttributes": "sqs:GetQueueAttributes",
    "AmazonSQS.PurgeQueue": "sqs:PurgeQueue",
    "DynamoDB_20120810.GetItem": "dynamodb:GetItem",
    "DynamoDB_20120810.BatchGetItem": "dynamodb:BatchGetItem",
    "DynamoDB_20120810.PutItem": "dynamodb:PutItem",
    "DynamoDB_20120810.UpdateItem": "dynamodb:UpdateItem",
    "DynamoDB_20120810.DeleteItem": "dynamodb:DeleteItem",
    "DynamoDB_20120810.Query": "dynamodb:Query",
    "AWSEvents.ListRules": "events:ListRules",
    "AWSEvents.ListTargetsByRule": "events:ListTargetsByRule",
}
# PartiQL is authorised by what each statement does.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html
_STATEMENTS = {
    "INSERT": "dynamodb:PartiQLInsert",
    "UPDATE": "dynamodb:PartiQLUpdate",
    "DELETE": "dynamodb:PartiQLDelete",
    "SELECT": "dynamodb:PartiQLSelect",
}
_PARTIQL = ("DynamoDB_20120810.BatchExecuteStatement", "DynamoDB_20120810.ExecuteStatement")
_STATEMENT = re.compile(r"\s*(INSERT\s+INTO|UPDATE|DELETE\s+FROM|SELECT\s.+?\sFROM)\s+\"?([A-Za-z0-9_.-]+)", re.S)

KNOWN_OPERATIONS = frozenset(_SINGLE) | frozenset(_PARTIQL)


def needed(operation: str, request: dict) -> set[tuple[str, str]]:
    """The rights a call needs: actions and the names of the queues or tables they are for."""
    if operation in _PARTIQL:
        statements = request.get("Statements") or [request]
        return {_statement(statement["Statement"]) for statement in statements}
    if operation not in _SINGLE:
        raise LookupError(f"{operation}: say in tests/rights.py which right this operation needs")
    if "RequestItems" in request:
        return {(_SINGLE[operation], table) for table in request["RequestItems"]}
    resource = request.get("QueueUrl", "").rsplit("/", 1)[-1] or request.get("TableName", "*")
    return {(_SINGLE[operation], resource)}


def _statement(text: str) -> tuple[str, str]:
    found = _STATEMENT.match(text)
    if not found:
        raise LookupError(f"tests/rights.py can't tell what this statement needs: {text}")
    return _STATEMENTS[found.group(1).split()[0].upper()], found.group(2)


def actions_of(operation: str) -> set[str]:
    """The actions an operation may need, whatever is in the request."""
    return set(_STATEMENTS.values()) if operation in _PARTIQL else {_SINGLE[operation]}


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms as their long ones."""


def _long_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict:
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _long_form)


def template(path: Path = ROOT / "template.yaml") -> dict:
    return read(path.read_text())


def read(text: str) -> dict:
    return yaml.load(text, _Loader)


def statements(role: dict) -> Iterator[tuple[list[str], list]]:
    """The actions and resources of each statement of a role."""
    for policy in role["Properties"]["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow" and "NotAction" not in statement and "NotResource" not in statement
            yield _list(statement["Action"]), _list(statement["Resource"])


def granted(function: str) -> set[tuple[str, str]]:
    """What a function's role allows: actions and the logical names of what they are for."""
    whole = template()["Resources"]
    rights = set()
    for actions, resources in statements(whole[f"{function.capitalize()}Role"]):
        names = {name for resource in resources for name in _named(resource, whole)}
        rights |= {(action, name) for action in actions for name in names}
    return rights


# The queues of tasks, whichever there are.
_QUEUE_ARN = "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:"
TASK_QUEUES = _QUEUE_ARN + "${AWS::StackName}-tasks-*"


def _named(resource: dict, whole: dict) -> set[str]:
    """The logical names of what a statement is for."""
    if resource == {"Fn::Sub": TASK_QUEUES}:
        begins = TASK_QUEUES.removeprefix(_QUEUE_ARN).removesuffix("*")
        queues = {name: one["Properties"] for name, one in whole.items() if one["Type"] == "AWS::SQS::Queue"}
        named = {name for name, queue in queues.items() if queue["QueueName"]["Fn::Sub"].startswith(begins)}
        assert named, "no queue has such a name"
        return named
    assert set(resource) == {"Fn::GetAtt"} and resource["Fn::GetAtt"][1] == "Arn", json.dumps(resource)
    return {resource["Fn::GetAtt"][0]}


def _list(value: object) -> list:
    return value if isinstance(value, list) else [value]
