"""What calls of functions wrote into the table of results."""

import re
from collections.abc import Iterator

from e2e.deployment import FINAL
from e2e.wire import Call

_ASSIGNMENT = re.compile(r"(#\w+) = (:\w+)")


def states_written(call: Call) -> Iterator[tuple[str, str]]:
    """The tasks whose state a call has set, and the states, as far as the emulator carried it out."""
    if call.status != 200:
        return
    request = call.request
    if call.operation.endswith(".BatchExecuteStatement"):
        for statement, answer in zip(request["Statements"], call.response["Responses"], strict=True):
            if "Error" not in answer:
                yield _by_statement(statement)
    elif call.operation.endswith(".PutItem"):
        yield request["Item"]["id"]["S"], request["Item"].get("status", {}).get("S", "")
    elif call.operation.endswith(".UpdateItem"):
        names, values = request.get("ExpressionAttributeNames", {}), request.get("ExpressionAttributeValues", {})
        # Whichever clauses there are: only SET assigns, and a name to a value.
        for alias, value in _ASSIGNMENT.findall(request["UpdateExpression"]):
            if names[alias] == "status":
                yield request["Key"].get("id", {}).get("S", ""), values[value]["S"]


def _by_statement(statement: dict) -> tuple[str, str]:
    texts = [list(value.values())[0] for value in statement["Parameters"]]
    states = [text for text in texts if text in (*FINAL, "STARTED", "RETRY")]
    # A task's id ends in a number; an insert has it first, an update's condition last.
    ids = [text for text in texts if isinstance(text, str) and "-" in text and text.rsplit("-", 1)[1].isdigit()]
    return (ids[-1] if statement["Statement"].startswith("UPDATE") else ids[0]), states[0]
