"""What stands between the functions and the emulator: it ends TLS, so to speak, and keeps a record.

The queues refuse plain HTTP, and the emulator enforces that; as behind a load balancer, a header says
that the way up to here was safe. The record of calls is what the tests about rights and about budgets
count.
"""

import http.client
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from e2e.emulator import CREDENTIALS, REGION

SAFE = ("X-Forwarded-Proto", "https")
_KEY = re.compile(r"Credential=([^/]+)/")
# For an operation and its request: the request that the emulator gets to see, and what makes of its answer the
# one that the caller sees.
Faults = Callable[[str, dict], tuple[dict, Callable[[dict], dict]]]


@dataclass(frozen=True)
class Call:
    """One call of a function as the emulator saw and answered it: `operation` such as
    `AmazonSQS.SendMessageBatch`."""

    access_key: str
    operation: str
    request: dict
    status: int
    response: dict
    at: float = field(default_factory=time.time)


class Wire:
    def __init__(self, port: int, upstream: int, faults: Faults = lambda _, request: (request, lambda answer: answer)):
        self.calls: list[Call] = []
        # Whom the functions believe to talk to, where another stands before: they have signed it.
        self.host = ""
        record = self.calls.append
        wire = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Headers and body leave in two writes; without this the second waits for an ACK.
            disable_nagle_algorithm = True

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                operation = self.headers.get("X-Amz-Target", f"{self.command} {self.path}")
                headers = {name.title(): value for name, value in self.headers.items()}
                headers |= {SAFE[0]: SAFE[1]} | ({"Host": wire.host} if wire.host else {})
                request, alter = faults(operation, _object(body))
                if request != _object(body):
                    body = json.dumps(request).encode()
                    headers = _signed(self.path, body, headers)
                connection = http.client.HTTPConnection("127.0.0.1", upstream, timeout=60)
                try:
                    connection.request(self.command, self.path, body, headers)
                    answer = connection.getresponse()
                    content = answer.read()
                finally:
                    connection.close()
                response = _object(content)
                key = _KEY.search(self.headers.get("Authorization", ""))
                record(Call(
                    access_key=key.group(1) if key else "",
                    operation=operation,
                    request=request, status=answer.status, response=response,
                ))
                own = ["connection", "content-length", "date", "server", "transfer-encoding"]
                told = alter(response) if answer.status == 200 else response
                if told != response:
                    content = json.dumps(told).encode()
                    own.append("x-amz-crc32")
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in own:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            # Lambda, unlike the others, is asked by methods and paths.
            do_GET = do_POST = do_PUT = forward

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # A function that was killed in the middle of a call: what `crash` is about.

        self.server = Server(("127.0.0.1", port), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def _signed(path: str, body: bytes, headers: dict[str, str]) -> dict[str, str]:
    """The headers of a request that isn't what its caller has signed any more: now the account's root has."""
    kept = {name: headers[name] for name in ("Host", "Content-Type", "X-Amz-Target", SAFE[0])}
    service = {"AmazonSQS": "sqs", "DynamoDB_20120810": "dynamodb"}[kept["X-Amz-Target"].split(".")[0]]
    request = AWSRequest("POST", f"http://{kept['Host']}{path}", kept, body)
    SigV4Auth(Credentials(*CREDENTIALS.values()), service, REGION).add_auth(request)
    return dict(request.headers)


def _object(content: bytes) -> dict:
    try:
        value = json.loads(content or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
