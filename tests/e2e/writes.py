"""What calls of functions wrote into the table of results."""

from collections.abc import Iterator

from e2e.deployment import FINAL
from e2e.wire import Call


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
        for assignment in request["UpdateExpression"].split("SET ")[-1].split(" REMOVE ")[0].split(","):
            alias, _, value = assignment.partition("=")
            if names.get(alias.strip()) == "status":
                yield request["Key"].get("id", {}).get("S", ""), values[value.strip()]["S"]


def write_units(call: Call) -> int:
    """The write units that a call costs, by what it sends: one for each begun kilobyte of each item. An update costs
    by the whole item, which isn't seen here; what is small stays so."""
    request = call.request
    if call.operation.endswith(".BatchExecuteStatement"):
        statements = [one for one in request["Statements"] if not one["Statement"].startswith("SELECT")]
        return sum(_kilobytes(len(one["Statement"]) + sum(map(_size, one["Parameters"]))) for one in statements)
    if call.operation.endswith(".PutItem"):
        return _kilobytes(sum(len(name) + _size(value) for name, value in request["Item"].items()))
    if call.operation.endswith(".UpdateItem"):
        return _kilobytes(sum(map(_size, request.get("ExpressionAttributeValues", {}).values())))
    if call.operation.endswith(".DeleteItem"):
        return 1
    if call.operation.endswith((".BatchWriteItem", ".TransactWriteItems")):
        raise ValueError(f"its units aren't counted yet: {call.operation}")
    return 0


def _kilobytes(size: int) -> int:
    return max(1, -(-size // 1024))


def _size(value: dict) -> int:
    """Of an attribute value as DynamoDB's JSON has it; of bytes in base64, which are a little less."""
    (kind, content), = value.items()
    match kind:
        case "M":
            return 3 + sum(len(name) + 1 + _size(inner) for name, inner in content.items())
        case "L":
            return 3 + sum(1 + _size(inner) for inner in content)
        case "SS" | "NS":
            return sum(map(len, content))
        case _:
            return len(str(content))


def _by_statement(statement: dict) -> tuple[str, str]:
    texts = [list(value.values())[0] for value in statement["Parameters"]]
    states = [text for text in texts if text in (*FINAL, "STARTED", "RETRY")]
    # A task's id ends in a number; an insert has it first, an update's condition last.
    ids = [text for text in texts if isinstance(text, str) and "-" in text and text.rsplit("-", 1)[1].isdigit()]
    return (ids[-1] if statement["Statement"].startswith("UPDATE") else ids[0]), states[0]
