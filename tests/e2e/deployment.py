"""Stacks deployed from template.yaml, and what tests do with them: send, look, wait."""

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import boto3
import botocore.session
from boto3.dynamodb.types import TypeDeserializer
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from e2e.emulator import CREDENTIALS, REGION, clean_environment
from e2e.wire import SAFE

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / ".aws-sam" / "build"
FINAL = ("SUCCESS", "FAILURE", "REVOKED", "IGNORED")
ROOT_KEYS = (CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"])
Answer = tuple[int, dict, str]
Found = TypeVar("Found")
TIMEOUT = 10
VISIBILITY = 12
PARAMETERS = {
    "Architecture": "x86_64",
    "FunctionTimeout": str(TIMEOUT),
    "VisibilityTimeout": str(VISIBILITY),
    "UnknownTaskGrace": "2",
    "DailyAddSchedule": "rate(1 minute)",
    # What comes by the clock would lie in the queue at times when a test expects it empty.
    "DailyAddState": "DISABLED",
    "BeatState": "DISABLED",
}


def sam(*arguments: str, **environment: str) -> str:
    """Runs SAM; its output is shown when it fails."""
    tools = str(Path(sys.executable).parent)
    settings = clean_environment() | {
        # cargo-lambda and its compiler live beside this Python.
        "PATH": tools + os.pathsep + os.environ["PATH"],
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_CHECK_UPDATE": "0",
    } | environment
    done = subprocess.run(
        [str(Path(tools) / "sam"), *arguments], cwd=ROOT, env=settings,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )
    if done.returncode:
        raise RuntimeError(f"sam {' '.join(arguments)} failed:\n{done.stdout[-6000:]}")
    return done.stdout


def build() -> None:
    overrides = [f'{name}="{value}"' for name, value in PARAMETERS.items()]
    sam("build", "--parameter-overrides", *overrides)


def until(seconds: float, look: Callable[[], Found], what: str, pause: float = 0.1) -> Found:
    """The first answer of `look` that isn't None or false."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}; last seen: {seen!r}")
        time.sleep(pause)


class Stack:
    """A deployed stack, seen from outside through boto3."""

    def __init__(self, name: str, endpoint: str):
        self.name = name
        self.endpoint = endpoint
        self.sqs = self.client("sqs")
        self.dynamodb = self.client("dynamodb")
        self.lambda_ = self.client("lambda")
        self.logs = self.client("logs")
        self.outputs: dict[str, str] = {}

    def client(self, service: str, safe: bool = True, keys: tuple[str, str] = ROOT_KEYS):
        settings = Config(retries={"total_max_attempts": 2}, region_name=REGION)
        client = boto3.client(
            service, endpoint_url=self.endpoint, config=settings,
            aws_access_key_id=keys[0], aws_secret_access_key=keys[1],
        )
        if safe:
            client.meta.events.register("before-sign.*", lambda request, **_: request.headers.add_header(*SAFE))
        return client

    def deploy(self, template: Path = BUILD / "template.yaml", **parameters: str) -> "Stack":
        overrides = [f'{name}="{value}"' for name, value in (PARAMETERS | parameters).items()]
        sam(
            "deploy", "--template-file", str(template), "--stack-name", self.name, "--resolve-s3",
            "--capabilities", "CAPABILITY_IAM",
            "--no-confirm-changeset", "--no-progressbar", "--no-fail-on-empty-changeset",
            "--parameter-overrides", *overrides, AWS_ENDPOINT_URL=self.endpoint,
        )
        stack = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"][0]
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        self._allow_pseudo_actions()
        return self

    def _allow_pseudo_actions(self) -> None:
        """ministack asks IAM for actions that IAM doesn't have: one for each batch operation, and one
        for PartiQL on no table in particular. They are given here to whoever has the real right."""
        iam = self.client("iam")
        for role in self.resources("AWS::IAM::Role"):
            extra = []
            for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
                document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
                for statement in document["Statement"]:
                    actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                    batch = [f"{action}Batch" for action in actions if action in _BATCHED]
                    if batch:
                        extra.append({"Effect": "Allow", "Action": batch, "Resource": statement["Resource"]})
                    if any(action.startswith("dynamodb:PartiQL") for action in actions):
                        extra.append({"Effect": "Allow", "Action": "dynamodb:BatchExecuteStatement", "Resource": "*"})
            if extra:
                document = json.dumps({"Version": "2012-10-17", "Statement": extra})
                iam.put_role_policy(RoleName=role, PolicyName="what-ministack-asks-for", PolicyDocument=document)

    def resources(self, kind: str) -> list[str]:
        pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=self.name)
        found = [summary for page in pages for summary in page["StackResourceSummaries"]]
        return [summary["PhysicalResourceId"] for summary in found if summary["ResourceType"] == kind]

    def physical(self) -> dict[str, str]:
        """Physical names by logical ones; a queue's is its name, not its URL."""
        pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=self.name)
        return {
            summary["LogicalResourceId"]: summary["PhysicalResourceId"].rsplit("/", 1)[-1]
            for page in pages for summary in page["StackResourceSummaries"]
        }

    # ---------------------------------------------------------------------------------- send, look

    def send(self, body: dict | str, queue: str = "Default", **options: object) -> str:
        """Sends as anyone would, with boto3. Returns SQS's MessageId."""
        text = body if isinstance(body, str) else json.dumps(body)
        return self.sqs.send_message(QueueUrl=self.outputs[f"{queue}QueueUrl"], MessageBody=text, **options)["MessageId"]

    def item(self, task_id: str) -> dict:
        """The raw item of a task, as the DynamoDB console shows it."""
        key = {"id": {"S": task_id}}
        table = self.outputs["ResultsTableName"]
        return self.dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item", {})

    def record(self, task_id: str) -> dict:
        return self.read(self.item(task_id))

    @staticmethod
    def read(item: dict) -> dict:
        """An item as plain values."""
        read = TypeDeserializer().deserialize
        return {name: read(value) for name, value in item.items()}

    def final(self, task_id: str, seconds: float = 30) -> dict:
        """The record of a task once it is final."""
        def look() -> dict | None:
            record = self.record(task_id)
            return record if record.get("status") in FINAL else None

        try:
            return until(seconds, look, f"a final state of {task_id}")
        except AssertionError as error:
            raise AssertionError(f"{error}; its record: {self.record(task_id)}") from None

    def depth(self, queue: str = "Default") -> tuple[int, int]:
        """How many messages wait or are delayed, and how many are in flight."""
        answer = self.sqs.get_queue_attributes(QueueUrl=self.outputs[f"{queue}QueueUrl"], AttributeNames=["All"])
        count = {name: int(value) for name, value in answer["Attributes"].items() if name.startswith("Approx")}
        waiting = count["ApproximateNumberOfMessages"] + count["ApproximateNumberOfMessagesDelayed"]
        return waiting, count["ApproximateNumberOfMessagesNotVisible"]

    def wait_until_empty(self, seconds: float = 60) -> None:
        queues = ("Default", "Quarantine", "Undelivered")
        try:
            until(seconds, lambda: all(self.depth(queue) == (0, 0) for queue in queues), "empty queues")
        except AssertionError as error:
            depths = {queue: self.depth(queue) for queue in queues}
            logged = "\n".join(map(json.dumps, self.log_lines()[-20:]))
            raise AssertionError(f"{error}; they hold {depths}; the consumer's last lines:\n{logged}") from None

    def dead_letter(self, task_or_body: str, seconds: float = 30) -> dict:
        """The dead letter with this text in its body; taken out of the queue."""
        url = self.outputs["DeadLetterQueueUrl"]

        def look() -> dict | None:
            answer = self.sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=0,
            )
            for message in answer.get("Messages", []):
                if task_or_body in message["Body"]:
                    self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                    return message
            return None

        return until(seconds, look, f"a dead letter with {task_or_body!r}")

    # ----------------------------------------------------------------------------------- batches, logs

    def _mapping(self, queue: str) -> dict:
        mappings = self.lambda_.list_event_source_mappings(FunctionName=self.outputs["ConsumerFunctionName"])
        ends = f"-{queue.lower()}"
        return next(one for one in mappings["EventSourceMappings"] if one["EventSourceArn"].endswith(ends))

    @contextlib.contextmanager
    def held(self, queue: str = "Default") -> Iterator[None]:
        """What is sent inside waits in the queue, and comes as one batch afterwards."""
        mapping = self._mapping(queue)["UUID"]

        def set_enabled(enabled: bool) -> None:
            wanted = "Enabled" if enabled else "Disabled"
            self.lambda_.update_event_source_mapping(UUID=mapping, Enabled=enabled)
            until(30, lambda: self._mapping(queue)["State"] == wanted, f"the mapping is {wanted}")

        set_enabled(False)
        try:
            yield
        finally:
            set_enabled(True)

    def log_lines(self, function: str = "Consumer") -> list[dict]:
        """What a function logged as JSON: the fields of each line beside its level and time."""
        group = self.outputs.get(f"{function}LogGroup") or self.physical_log_group(function)
        lines = []
        for page in self.logs.get_paginator("filter_log_events").paginate(logGroupName=group):
            for event in page["events"]:
                with contextlib.suppress(ValueError):
                    line = json.loads(event["message"])
                    if isinstance(line, dict):
                        lines.append(line | line.pop("fields", {}))
        return lines

    def physical_log_group(self, function: str) -> str:
        answer = self.client("cloudformation").describe_stack_resource(
            StackName=self.name, LogicalResourceId=f"{function}Logs",
        )
        return answer["StackResourceDetail"]["PhysicalResourceId"]

    def batches(self) -> list[dict]:
        """The consumer's line about each of its batches: received, acked, returned, request_id."""
        return [line for line in self.log_lines() if line.get("message") == "batch"]

    def batches_after(self, known: list[dict]) -> list[dict]:
        """The batches that aren't among the `known` ones. A batch is logged when it is done."""
        ids = {line["request_id"] for line in known}
        return [line for line in self.batches() if line["request_id"] not in ids]

    # ----------------------------------------------------------------------------------------- HTTP API

    def http(
        self, method: str, path: str, body: object = None,
        keys: tuple[str, str] | None = ROOT_KEYS, token: str | None = None, headers: dict[str, str] | None = None,
    ) -> Answer:
        """A request to the HTTP API, signed as IAM wants it, with a token instead, or with neither:
        status, JSON, content type. Text is sent as it is."""
        origin = urlsplit(self.outputs["ApiUrl"])
        data = body if isinstance(body, str) or body is None else json.dumps(body)
        request = AWSRequest(method, self.outputs["ApiUrl"].rstrip("/") + path, data=data,
                             headers={"content-type": "application/json", **(headers or {})})
        if token:
            request.headers["authorization"] = f"Bearer {token}"
        elif keys:
            SigV4Auth(Credentials(*keys), "execute-api", REGION).add_auth(request)
        # The host's name leads to the emulator whether or not this machine can resolve it.
        connection = http.client.HTTPConnection("127.0.0.1", origin.port, timeout=40)
        try:
            payload = None if data is None else data.encode()
            connection.request(method, path, payload, {**dict(request.headers), "Host": origin.netloc})
            answer = connection.getresponse()
            text = answer.read().decode()
            return answer.status, _json(text), answer.getheader("content-type") or ""
        finally:
            connection.close()


_BATCHED = ("sqs:SendMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility")


def _json(text: str) -> dict:
    try:
        value = json.loads(text)
    except ValueError:
        return {"text": text}
    return value if isinstance(value, dict) else {"value": value}


def operations(service: str) -> list[str]:
    """Every operation of an AWS service, by boto3's own model."""
    return botocore.session.get_session().get_service_model(service).operation_names


def fresh_folder(path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path
