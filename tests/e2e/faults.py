"""Faults between the functions and AWS, and to the processes on both sides."""

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
from pathlib import Path

import pytest

from e2e.emulator import clean_environment, free_port

# What the fault run has to tell at the end of all tests.
FIGURES = pytest.StashKey[list[str]]()

# What goes wrong between functions and services, and how often. Each is as the service would say it.
RULES = [
    {"service": "dynamodb", "probability": 0.06, "error": {"code": "ProvisionedThroughputExceededException"}},
    {"service": "dynamodb", "probability": 0.03, "error": {"code": "InternalServerError", "status": 500}},
    {"service": "dynamodb", "probability": 0.02, "response": {"abort_frac": 0.3}},
    {"service": "sqs", "probability": 0.05, "reset": True},
    {"service": "sqs", "probability": 0.05, "response": {"truncate_frac": 0.5}},
    {"service": "sqs", "probability": 0.03, "error": {"code": "ServiceUnavailable", "status": 503}},
    {"service": "*", "probability": 0.02, "latency": {"min": 1000, "max": 4000}},
]


class Microburst:
    """A proxy that fails as AWS does: https://pypi.org/project/microburst/"""

    def __init__(self, upstream: str, folder: Path):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "microburst.log"
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
    """Kills a consumer's process now and then, as running out of memory would."""

    def __init__(self, emulator: int, seed: int):
        super().__init__(daemon=True)
        self.kills = 0
        self._emulator = emulator
        self._random = random.Random(seed)
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(self._random.uniform(1.0, 6.0)):
            victims = consumers(self._emulator)
            if victims:
                os.kill(self._random.choice(victims), signal.SIGKILL)
                self.kills += 1

    def stop(self) -> None:
        self._over.set()
        self.join()


def consumers(emulator: int) -> list[int]:
    """The processes of consumer functions that an emulator has started."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if not entry.name.isdigit() or f"\nPPid:\t{emulator}\n" not in (entry / "status").read_text():
                continue
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue  # It ended while it was looked at.
        if b"AWS_LAMBDA_FUNCTION_NAME=" in environment and b"-ConsumerFunction" in environment:
            found.append(int(entry.name))
    return found


def freeze(process: int, seconds: float) -> None:
    """Stops a process, and lets it go on: to everybody else the service hangs."""
    os.kill(process, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        os.kill(process, signal.SIGCONT)
