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

SAFE = ("X-Forwarded-Proto", "https")
_KEY = re.compile(r"Credential=([^/]+)/")


@dataclass(frozen=True)
class Call:
    """One call of a function: `operation` such as `AmazonSQS.SendMessageBatch`."""

    access_key: str
    operation: str
    request: dict
    status: int
    response: dict
    at: float = field(default_factory=time.time)


class Wire:
    def __init__(self, port: int, upstream: int, fails: Callable[[str, int], bool] | None = None):
        """`fails` picks entries of SQS's batch calls, by operation and place, that the emulator never sees
        and that are answered as failed."""
        self.calls: list[Call] = []
        self.failed_entries = 0
        # Whom the functions believe to talk to, where another stands before: they have signed it.
        self.host = ""
        record = self.calls.append
        wire = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Headers and body leave in two writes; without this the second waits for an ACK.
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                operation = self.headers.get("X-Amz-Target", f"POST {self.path}")
                body, failed = wire.without_failing(fails, operation, body)
                connection = http.client.HTTPConnection("127.0.0.1", upstream, timeout=60)
                try:
                    headers = {name.title(): value for name, value in self.headers.items()}
                    headers |= {SAFE[0]: SAFE[1]} | ({"Host": wire.host} if wire.host else {})
                    connection.request("POST", self.path, body, headers)
                    answer = connection.getresponse()
                    content = answer.read()
                finally:
                    connection.close()
                if failed and answer.status == 200:
                    content = json.dumps({**_object(content), "Failed": _object(content).get("Failed", []) + failed}).encode()
                key = _KEY.search(self.headers.get("Authorization", ""))
                record(Call(
                    access_key=key.group(1) if key else "",
                    operation=operation,
                    request=_object(body), status=answer.status, response=_object(content),
                ))
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("connection", "content-length", "date", "server", "transfer-encoding"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

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

    def without_failing(self, fails, operation: str, body: bytes) -> tuple[bytes, list[dict]]:
        """The request without the entries that are to fail, and their answers. One is left at least: SQS
        takes no empty batch."""
        request = _object(body)
        entries = request.get("Entries")
        if fails is None or not operation.startswith("AmazonSQS.") or not isinstance(entries, list):
            return body, []
        failing = [entry for place, entry in enumerate(entries) if fails(operation, place)][: len(entries) - 1]
        if not failing:
            return body, []
        self.failed_entries += len(failing)
        kept = [entry for entry in entries if entry not in failing]
        answers = [
            {"Id": entry["Id"], "SenderFault": False, "Code": "InternalError", "Message": "a fault of the test"}
            for entry in failing
        ]
        return json.dumps({**request, "Entries": kept}).encode(), answers

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def _object(content: bytes) -> dict:
    try:
        value = json.loads(content or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
