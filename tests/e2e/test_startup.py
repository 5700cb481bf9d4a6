"""A function that lacks a setting doesn't start, and says which."""

import json
import subprocess
from pathlib import Path

import pytest

from e2e.deployment import BUILD
from e2e.emulator import clean_environment, free_port

REQUIRED = ("SEDANO_QUEUES", "SEDANO_RESULTS_TABLE", "SEDANO_STATE_TABLE")
SETTINGS = {
    "SEDANO_QUEUES": json.dumps({name: f"http://localhost/0/{name}" for name in ("default", "quarantine", "undelivered", "dead-letters")}),
    "SEDANO_RESULTS_TABLE": "results",
    "SEDANO_STATE_TABLE": "state",
    "APP_TABLE": "app",
}


def start(function: str, settings: dict[str, str]) -> subprocess.CompletedProcess:
    """Starts a function's binary where nobody answers."""
    nobody = f"127.0.0.1:{free_port()}"
    environment = clean_environment() | settings | {
        "AWS_ENDPOINT_URL": f"http://{nobody}",
        "AWS_LAMBDA_RUNTIME_API": nobody,
        "AWS_LAMBDA_FUNCTION_NAME": function,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
    }
    binary: Path = BUILD / f"{function}Function" / "bootstrap"
    return subprocess.run([binary], env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("function", ["Beat", "Console", "Consumer", "Producer", "Reaper"])
@pytest.mark.parametrize("missing", REQUIRED)
def test_a_missing_setting_is_named(function, missing):
    done = start(function, {name: value for name, value in SETTINGS.items() if name != missing})
    said = done.stdout + done.stderr
    assert done.returncode != 0 and f"{missing} is not set" in said, said
    assert "panicked" not in said


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize(("function", "changed", "said"), [
    ("Consumer", {"APP_TABLE": None}, "APP_TABLE is not set"),
    ("Beat", {"ADD_EVERY": "soon"}, "ADD_EVERY must be a whole number of seconds"),
    ("Beat", {"ADD_EVERY": "0"}, "beat entry `add` has a schedule that can't be kept"),
])
def test_a_setting_of_the_sample_tasks_is_named(function, changed, said):
    settings = {name: value for name, value in (SETTINGS | changed).items() if value is not None}
    done = start(function, settings)
    assert done.returncode != 0 and said in done.stdout + done.stderr, done


def test_lambda_shows_it_to_whoever_invokes(stack):
    """On the deployed function, whose settings are taken away for a moment."""
    function = stack.outputs["ProducerFunctionName"]
    before = stack.lambda_.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
    lacking = {name: value for name, value in before.items() if name != "SEDANO_QUEUES"}
    stack.lambda_.update_function_configuration(FunctionName=function, Environment={"Variables": lacking})
    try:
        answer = stack.lambda_.invoke(FunctionName=function, Payload=b'{"task": "add", "args": [2, 3]}')
        said = answer["Payload"].read().decode()
        assert answer.get("FunctionError") and "SEDANO_QUEUES is not set" in said, said
    finally:
        stack.lambda_.update_function_configuration(FunctionName=function, Environment={"Variables": before})
