"""Who made a call: ministack gives each function's role an access key of its own."""

import hashlib

from rights import FUNCTIONS


def access_keys(stack) -> dict[str, str]:
    """Function names by their access keys, which ministack makes of the function's and the role's ARN."""
    keys = {}
    for function in FUNCTIONS:
        name = stack.outputs[f"{function.capitalize()}FunctionName"]
        answer = stack.lambda_.get_function_configuration(FunctionName=name)
        digest = hashlib.sha256(f"{answer['FunctionArn']}:{answer['Role']}".encode()).hexdigest()
        keys[f"ASIA{digest[:16].upper()}"] = function
    return keys
