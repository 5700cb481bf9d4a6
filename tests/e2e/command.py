"""The binary `sedano` as a user runs it, against the deployed stack."""

import json
import os
import subprocess
from collections.abc import Callable

from e2e.deployment import REGION, ROOT, ROOT_KEYS


def command(stack: str, endpoint: str) -> Callable[..., subprocess.CompletedProcess]:
    """Builds it; what comes back runs it with the words it is given, for a stack by its name, and wants JSON."""
    # With the features of the whole workspace: what the other tests have built already.
    build = ["cargo", "build", "--quiet", "--locked", "--workspace", "--bin", "sedano"]
    subprocess.run(build, cwd=ROOT, check=True)
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": ROOT_KEYS[0],
        "AWS_SECRET_ACCESS_KEY": ROOT_KEYS[1],
    }

    def run(*words: str) -> subprocess.CompletedProcess:
        words = (ROOT / "target" / "debug" / "sedano", "--stack", stack, "--json", *words)
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=90)

    return run


def said(answer: subprocess.CompletedProcess) -> dict | list:
    """What it printed, of a command that did what it was asked."""
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)
