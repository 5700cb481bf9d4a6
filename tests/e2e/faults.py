"""Faults between the functions and AWS, and to the processes on both sides. Each kind has a name, by which it is
counted."""

import contextlib
import functools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.emulator import clean_environment, free_port

# What the fault run has to tell at the end of all tests.
FIGURES = pytest.StashKey[list[str]]()

# What goes wrong between functions and services, and how often. Each is as the service would say it.
RULES = {
    "DynamoDB throttles": {
        "service": "dynamodb", "probability": 0.06, "error": {"code": "ProvisionedThroughputExceededException"},
    },
    "DynamoDB answers 500": {
        "service": "dynamodb", "probability": 0.03, "error": {"code": "InternalServerError", "status": 500},
    },
    "DynamoDB's answer is cut off": {"service": "dynamodb", "probability": 0.02, "response": {"abort_frac": 0.3}},
    "SQS resets": {"service": "sqs", "probability": 0.05, "reset": True},
    "SQS's answer is cut off": {"service": "sqs", "probability": 0.05, "response": {"truncate_frac": 0.5}},
    "SQS answers 503": {
        "service": "sqs", "probability": 0.03, "error": {"code": "ServiceUnavailable", "status": 503},
    },
    "slow by seconds": {"service": "*", "probability": 0.02, "latency": {"min": 1000, "max": 4000}},
}


@dataclass(frozen=True)
class Fate:
    """How an entry of a batch call fails on its own: what it is counted as, what the caller is told, and whether the
    service carries it out all the same."""

    name: str
    code: str
    carried_out: bool = False


# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchStatementError.html
FATES = {
    "AmazonSQS": (
        Fate("entries refused", "InternalError"),
        Fate("entries carried out and answered as failed", "InternalError", carried_out=True),
    ),
    "DynamoDB_20120810": (
        Fate("statements throttled", "ThrottlingError"),
        Fate("statements beyond the throughput", "ProvisionedThroughputExceeded"),
        Fate("statements failed", "InternalServerError"),
        Fate("statements carried out and answered as failed", "InternalServerError", carried_out=True),
    ),
}


class Entries:
    """Fails entries of SQS's batch calls and statements of DynamoDB's, drawn from a seed: what a `Wire` asks."""

    def __init__(self, probability: float, seed: int):
        self._probability = probability
        self._random = random.Random(seed)
        self._failed: list[str] = []

    def stop(self) -> None:
        self._probability = 0

    def injected(self) -> dict[str, int]:
        return {fate.name: self._failed.count(fate.name) for fates in FATES.values() for fate in fates}

    def __call__(self, operation: str, request: dict) -> tuple[dict, Callable[[dict], dict]]:
        service = operation.split(".")[0]
        name, answered = {
            "AmazonSQS": ("Entries", self._entries), "DynamoDB_20120810": ("Statements", self._statements),
        }.get(service, ("", None))
        entries = request.get(name)
        if not isinstance(entries, list):
            return request, lambda answer: answer
        fates = [self._draw(service) for _ in entries]
        if all(fate and not fate.carried_out for fate in fates):
            fates[0] = None  # No service takes an empty batch.
        heard = [entry for entry, fate in zip(entries, fates, strict=True) if fate is None or fate.carried_out]
        return {**request, name: heard}, functools.partial(answered, entries, fates)

    def _draw(self, service: str) -> Fate | None:
        return self._random.choice(FATES[service]) if self._random.random() < self._probability else None

    def _entries(self, entries: list[dict], fates: list[Fate | None], answer: dict) -> dict:
        """SQS's answer, which tells entries by their ids."""
        failed = answer.get("Failed", [])
        refused = {one["Id"] for one in failed}
        failing = {
            entry["Id"]: fate for entry, fate in zip(entries, fates, strict=True)
            if fate and entry["Id"] not in refused
        }
        self._failed += [fate.name for fate in failing.values()]
        told = [
            {"Id": one, "SenderFault": False, "Code": fate.code, "Message": "a fault of the test"}
            for one, fate in failing.items()
        ]
        done = [one for one in answer.get("Successful", []) if one["Id"] not in failing]
        return {**answer, "Successful": done, "Failed": failed + told} if failing else answer

    def _statements(self, _: list[dict], fates: list[Fate | None], answer: dict) -> dict:
        """DynamoDB's answer, which has a place for each statement."""
        heard, told = iter(answer["Responses"]), []
        for fate in fates:
            said = next(heard) if fate is None or fate.carried_out else {}
            # What was refused was not carried out.
            if fate and "Error" not in said:
                self._failed.append(fate.name)
                said = {"Error": {"Code": fate.code, "Message": "a fault of the test"}}
            told.append(said)
        return {**answer, "Responses": told}


class Microburst:
    """A proxy that fails as AWS does: https://pypi.org/project/microburst/"""

    def __init__(self, upstream: str, folder: Path):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "microburst.log"
        self._names: dict[int, str] = {}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [str(Path(sys.executable).parent / "microburst"), "--upstream", upstream, "--port", str(port)],
                env=clean_environment(), stdout=log, stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                self.control("GET", "health")
                return
            except (urllib.error.URLError, OSError):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"microburst did not come up:\n{self.log.read_text()[-2000:]}") from None
                time.sleep(0.1)

    def follow(self, rules: dict[str, dict]) -> None:
        """From now on it fails by these rules, and no others."""
        made = self.control("POST", "rules", list(rules.values()))
        self._names |= {rule["id"]: name for rule, name in zip(made, rules, strict=True)}

    def injected(self) -> dict[str, int]:
        fired = {rule["id"]: rule["fired"] for rule in self.control("GET", "stats")["by_rule"]}
        return {name: fired.get(number, 0) for number, name in self._names.items()}

    def control(self, method: str, path: str, body: object = None) -> dict | list:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.url}/_microburst/{path}", data, {"content-type": "application/json"}, method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=15)


class Killer(threading.Thread):
    """Kills a process of a function now and then, as running out of memory would: as a context, inside of it."""

    def __init__(self, emulator: int, function: str, pauses: tuple[float, float], seed: int):
        super().__init__(daemon=True)
        self.kills = 0
        self._victims = functools.partial(processes, emulator, function)
        self._pauses = pauses
        self._random = random.Random(seed)
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(self._random.uniform(*self._pauses)):
            victims = self._victims()
            if victims:
                with contextlib.suppress(ProcessLookupError):  # It ended by itself.
                    os.kill(self._random.choice(victims), signal.SIGKILL)
                    self.kills += 1

    def __enter__(self) -> "Killer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


def processes(emulator: int, function: str) -> list[int]:
    """The processes of a function that an emulator has started."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdigit() or f"\nPPid:\t{emulator}\n" not in (entry / "status").read_text():
                continue
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue  # It ended while it was looked at.
        if b"AWS_LAMBDA_FUNCTION_NAME=" in environment and f"-{function}Function".encode() in environment:
            found.append(int(entry.name))
    return found


def freeze(process: int, seconds: float) -> None:
    """Stops a process, and lets it go on: to everybody else the service hangs."""
    os.kill(process, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        os.kill(process, signal.SIGCONT)
