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
    def __init__(self, port: int, upstream: int):
        self.calls: list[Call] = []
        record = self.calls.append

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Headers and body leave in two writes; without this the second waits for an ACK.
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                connection = http.client.HTTPConnection("127.0.0.1", upstream, timeout=60)
                try:
                    headers = {**dict(self.headers.items()), SAFE[0]: SAFE[1]}
                    connection.request("POST", self.path, body, headers)
                    answer = connection.getresponse()
                    content = answer.read()
                finally:
                    connection.close()
                key = _KEY.search(self.headers.get("Authorization", ""))
                record(Call(
                    access_key=key.group(1) if key else "",
                    operation=self.headers.get("X-Amz-Target", f"POST {self.path}"),
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

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def _object(content: bytes) -> dict:
    try:
        value = json.loads(content or b"{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
