"""The policies of infra/clients.yaml let clients do what they are for, and nothing else."""

import json

import pytest
from botocore.exceptions import ClientError

from e2e.deployment import ROOT


@pytest.fixture(scope="module")
def policies(stack) -> dict[str, str]:
    cloudformation = stack.client("cloudformation")
    body = (ROOT / "infra" / "clients.yaml").read_text()
    cloudformation.create_stack(
        StackName="clients", TemplateBody=body, Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": "Stack", "ParameterValue": stack.name}],
    )
    cloudformation.get_waiter("stack_create_complete").wait(StackName="clients", WaiterConfig={"Delay": 1})
    outputs = cloudformation.describe_stacks(StackName="clients")["Stacks"][0]["Outputs"]
    return {output["OutputKey"]: output["OutputValue"] for output in outputs}


def keys_of_a_user_with(stack, policy: str, name: str) -> tuple[str, str]:
    iam = stack.client("iam")
    iam.create_user(UserName=name)
    iam.attach_user_policy(UserName=name, PolicyArn=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


def refused(call, **arguments) -> bool:
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return "AccessDenied" in error.value.response["Error"]["Code"]


def test_a_sender_sends_and_does_nothing_else(stack, policies, new_id):
    keys = keys_of_a_user_with(stack, policies["SenderPolicyArn"], "sender")
    sqs, dynamodb = stack.client("sqs", keys=keys), stack.client("dynamodb", keys=keys)
    url, task_id = stack.outputs["DefaultQueueUrl"], new_id("sender")
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"task": "add", "args": [2, 3], "id": task_id}))
    assert stack.final(task_id)["result"] == "5"
    assert stack.http("POST", "/tasks/add", {"args": [2, 3]}, keys=keys)[0] == 202

    assert refused(sqs.receive_message, QueueUrl=url)
    assert refused(sqs.send_message, QueueUrl=stack.outputs["DeadLetterQueueUrl"], MessageBody="{}")
    assert refused(dynamodb.get_item, TableName=stack.outputs["ResultsTableName"], Key={"id": {"S": task_id}})
    assert stack.http("GET", f"/tasks/{task_id}", keys=keys)[0] == 403
    for below in ("/revoke", "%2Frevoke", "%2frevoke", "/revoke/"):
        status, answer, _ = stack.http("POST", f"/tasks/{task_id}-waits{below}", keys=keys)
        assert status == 403 and "type" not in answer, (below, status, answer)
    assert stack.record(f"{task_id}-waits") == {}


def test_a_reader_reads_and_does_nothing_else(stack, policies, new_id):
    keys = keys_of_a_user_with(stack, policies["ReaderPolicyArn"], "reader")
    sqs, dynamodb = stack.client("sqs", keys=keys), stack.client("dynamodb", keys=keys)
    task_id, table = new_id("reader"), stack.outputs["ResultsTableName"]
    stack.send({"task": "add", "args": [2, 3], "id": task_id})
    stack.final(task_id)
    assert dynamodb.get_item(TableName=table, Key={"id": {"S": task_id}})["Item"]["result"] == {"S": "5"}
    assert stack.http("GET", f"/tasks/{task_id}", keys=keys)[0] == 200

    assert refused(sqs.send_message, QueueUrl=stack.outputs["DefaultQueueUrl"], MessageBody="{}")
    assert refused(dynamodb.put_item, TableName=table, Item={"id": {"S": task_id}})
    assert stack.http("POST", "/tasks/add", {"args": [2, 3]}, keys=keys)[0] == 403
    assert stack.http("POST", f"/tasks/{task_id}/revoke", keys=keys)[0] == 403


def test_an_operator_looks_after_dead_letters_and_does_nothing_else(stack, policies, new_id):
    keys = keys_of_a_user_with(stack, policies["OperatorPolicyArn"], "operator")
    sqs, dynamodb = stack.client("sqs", keys=keys), stack.client("dynamodb", keys=keys)
    letters, table, task_id = stack.outputs["DeadLetterQueueUrl"], stack.outputs["ResultsTableName"], new_id("operator")
    sqs.receive_message(QueueUrl=letters, VisibilityTimeout=0)
    assert dynamodb.get_item(TableName=table, Key={"id": {"S": task_id}}).get("Item") is None
    assert stack.http("GET", "/dead-letters?limit=1", keys=keys)[0] == 200
    assert stack.http("DELETE", f"/dead-letters/{task_id}", keys=keys)[0] == 404

    assert refused(sqs.receive_message, QueueUrl=stack.outputs["DefaultQueueUrl"])
    assert refused(sqs.send_message, QueueUrl=letters, MessageBody="{}")
    assert refused(dynamodb.put_item, TableName=table, Item={"id": {"S": task_id}})
    assert stack.http("POST", "/tasks/add", {"args": [2, 3]}, keys=keys)[0] == 403
    assert stack.http("GET", f"/tasks/{task_id}", keys=keys)[0] == 403
