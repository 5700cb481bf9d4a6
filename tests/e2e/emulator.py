"""ministack as a process of ours: on a free loopback port, ready when its health page answers."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

REGION = "us-east-1"
# An access key of twelve digits is the root of the account with that number.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "000000000000", "AWS_SECRET_ACCESS_KEY": "test"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def clean_environment() -> dict[str, str]:
    """What functions may inherit: none of the developer's own AWS or Sedano settings."""
    private = ("AWS_", "SEDANO_", "RUST_", "PYTEST_", "SAM_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(private)}
    return kept | CREDENTIALS | {"AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION}


class Ministack:
    """Runs the real function binaries, and asks IAM about each of their calls.

    Functions get `endpoint` for AWS_ENDPOINT_URL. What Lambda makes of LoggingConfig, ministack leaves
    out; here the functions inherit it.
    """

    def __init__(self, port: int, endpoint: str, folder: Path):
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "ministack.log"
        temporary = folder / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        environment = clean_environment() | {
            "AUTH": "true",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "AWS_LAMBDA_LOG_LEVEL": "INFO",
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "TMPDIR": str(temporary),
        }
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ministack"],
                cwd=temporary, env=environment, stdout=log, stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.url}/_ministack/health", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise RuntimeError(f"ministack did not come up; {self.log} ends with:\n{self.log.read_text()[-2000:]}")

    def deaths(self, function: str) -> int:
        """How many batches a function's processes died with."""
        died = re.compile(rf"ESM: Lambda \S+-{function}Function\S* failed processing .*errorType=Runtime\.ExitError")
        return len(died.findall(self.log.read_text(errors="replace")))

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
