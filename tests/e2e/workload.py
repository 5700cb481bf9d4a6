"""A thousand tasks of mixed kinds: what is sent, by which way, and what has to become of each."""

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass

from e2e.deployment import Stack, until

TASKS = 1000
# Sent to the default queue.
PLAIN = {
    "add": 230, "idempotent_add": 70, "echo": 120, "flaky": 110, "fail": 60, "panic": 30, "sleep": 60,
    "retry_thrice": 20, "endless": 10, "unknown": 20, "late": 20, "later": 26, "crash": 4,
}
# Of so many `add` two copies are sent.
TWICE = 60
# Sent through the HTTP API.
ASKED = 40
# Sent to where SQS puts what it gives up: by the queue.
GIVEN_UP = {"Undelivered": 80, "UndeliveredOrdered": 20}
# Sent to the FIFO queue, in groups of these, each in an order of its own; the first group has a `crash`, too.
GROUPS = 8
ORDERED = ("add", "add", "echo", "flaky", "sleep", "fail", "panic", "later", "retry_thrice", "unknown")


@dataclass
class Sent:
    """What was sent, and what has to become of it."""

    body: dict
    # The queue as the stack's outputs name it, or `Api`.
    way: str = "Default"
    status: str = "SUCCESS"
    error: str | None = None
    result: object = None
    # The retries it asks for.
    retries: int = 0
    copies: int = 1
    group: str | None = None

    @property
    def id(self) -> str:
        return self.body["id"]

    @property
    def home(self) -> str:
        """The queue whose task it is, as Sedano names it."""
        return "ordered.fifo" if self.way.endswith("Ordered") else "default"


class Workload:
    def __init__(self, rng: random.Random):
        ordered = [(group, kind) for group in range(GROUPS) for kind in rng.sample(ORDERED, len(ORDERED))]
        ordered[rng.randrange(1, len(ORDERED) - 1)] = (0, "crash")
        plain = [kind for kind, count in PLAIN.items() for _ in range(count)]
        rng.shuffle(plain)
        self._number = 0
        self.groups: list[list[Sent]] = [[] for _ in range(GROUPS)]
        for group, kind in ordered:
            self.groups[group].append(self._task(kind, rng, way="Ordered", group=f"group{group}"))
        self.plain = [self._task(kind, rng) for kind in plain]
        for one in [one for one in self.plain if one.id.startswith("add-")][:TWICE]:
            one.copies = 2
        self.asked = [self._task("add", rng, way="Api") for _ in range(ASKED)]
        self.given_up = {queue: [self._given_up(queue, rng) for _ in range(count)] for queue, count in GIVEN_UP.items()}
        ways = [*self.groups, self.plain, self.asked, *self.given_up.values()]
        self.all = {one.id: one for way in ways for one in way}
        assert len(self.all) == TASKS

    def _given_up(self, queue: str, rng: random.Random) -> Sent:
        one = self._task("add", rng, way=queue)
        one.status, one.error, one.result = "FAILURE", "Undelivered", None
        if one.home != "default":
            one.group = one.id
            one.body["queue"] = one.home
        return one

    def _task(self, kind: str, rng: random.Random, **how: str) -> Sent:
        self._number += 1
        number = self._number
        task = {"endless": "sleep", "unknown": "nobody_knows", "late": "add", "later": "add"}.get(kind, kind)
        one = Sent({"task": task, "id": f"{kind}-{number}"}, **how)
        match kind:
            case "add" | "idempotent_add" | "late" | "later":
                one.body["args"], one.result = [number, 1], number + 1
            case "echo":
                one.result = "x" * rng.randrange(3000)
                one.body["args"] = [one.result]
            case "flaky":
                one.retries = one.result = rng.randint(1, 3)
                one.body["args"] = [one.retries]
            case "fail" | "panic":
                one.body["args"] = ["on purpose"]
                one.status, one.error = "FAILURE", {"fail": "TaskError", "panic": "Panicked"}[kind]
            case "sleep":
                one.body["args"] = [rng.uniform(0.1, 2.0)]
            case "endless":
                one.body |= {"args": [600], "time_limit": 1}
                one.status, one.error = "FAILURE", "TimeLimit"
            case "retry_thrice":
                one.status, one.error, one.retries = "FAILURE", "TaskError", 3
            case "unknown":
                one.status, one.error = "FAILURE", "NotRegistered"
            case "crash":
                one.status, one.error = "FAILURE", "WorkerLost"
        if kind == "late":
            one.body["expires"] = "2020-01-01T00:00:00Z"
            one.status, one.error, one.result = "REVOKED", "Expired", None
        if kind == "later":
            one.body["countdown"] = rng.randint(1, 20 if one.group is None else 5)
        return one


def send(stack: Stack, tasks: Iterable[Sent]) -> None:
    """Sends them in this order, all to the same queue."""
    copies = [one for one in tasks for _ in range(one.copies)]
    for start in range(0, len(copies), 10):
        entries = []
        for place, one in enumerate(copies[start:start + 10]):
            ordered = {"MessageGroupId": one.group, "MessageDeduplicationId": one.id} if one.group else {}
            entries.append({"Id": str(place), "MessageBody": json.dumps(one.body), **ordered})
        answer = stack.sqs.send_message_batch(QueueUrl=stack.outputs[f"{copies[0].way}QueueUrl"], Entries=entries)
        assert not answer.get("Failed"), answer


def ask(stack: Stack, one: Sent) -> int:
    """Sends it through the HTTP API as often as it takes, and tells how often that was."""
    answers = []

    def accepted() -> bool:
        status, answer, _ = stack.http(
            "POST", f"/tasks/{one.body['task']}", {"args": one.body["args"], "options": {"id": one.id}},
        )
        answers.append(answer)
        assert status == 202 or status >= 500, (status, answer)
        return status == 202

    until(120, accepted, f"{one.id} is accepted")
    return len(answers)
