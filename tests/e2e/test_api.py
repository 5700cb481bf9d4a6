"""The HTTP API as it is deployed: API Gateway, then the producer or the console."""

import json
import re

import pytest

PROBLEM = "application/problem+json"
# SQS takes 1,048,576; the rest is room for what retries add.
MESSAGE_BYTES = 1_047_552


def test_a_task_is_sent_and_its_result_waited_for(stack):
    status, sent, _ = stack.http("POST", "/tasks/add", {"args": [2], "kwargs": {"y": 3}})
    assert (status, sent["status"]) == (202, "PENDING"), sent
    status, answer, _ = stack.http("GET", f"/tasks/{sent['id']}?wait=20")
    assert (status, answer["id"], answer["task"]) == (200, sent["id"], "add"), answer
    assert (answer["status"], answer["result"], answer["retries"]) == ("SUCCESS", 5, 0), answer


def test_options_travel(stack, new_id):
    task_id = new_id("api")
    status, sent, _ = stack.http("POST", "/tasks/fail", {"args": ["no luck"], "options": {"id": task_id}})
    assert (status, sent["id"]) == (202, task_id), sent
    _, answer, _ = stack.http("GET", f"/tasks/{task_id}?wait=20")
    assert (answer["status"], answer["error"]["type"], answer["error"]["message"]) == ("FAILURE", "TaskError", "no luck")
    assert {"causes", "retries", "at"} <= set(answer["error"])


def test_an_id_nobody_knows_is_pending(stack, new_id):
    task_id = new_id("nobody")
    status, answer, _ = stack.http("GET", f"/tasks/{task_id}")
    assert (status, answer["id"], answer["status"]) == (200, task_id, "PENDING"), answer


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/tasks/ad", {"args": [1, 2]}, 404, ["`ad`", "did you mean `add`"]),
        ("/tasks/add", {"args": [2]}, 422, ["'y'"]),
        ("/tasks/add", {"args": [2, 3], "kwargs": {"z": 1}}, 422, ["'z'"]),
        ("/tasks/add", '{"args": [2,\n 3', 400, ["line 2", "column"]),
        ("/tasks/echo", {"args": ["x" * MESSAGE_BYTES]}, 413, [str(MESSAGE_BYTES)]),
        ("/tasks/echo", "x" * 2 * MESSAGE_BYTES, 413, [str(MESSAGE_BYTES)]),
    ],
    ids=["unknown task", "missing argument", "unexpected argument", "no JSON", "too large", "too large and no JSON"],
)
def test_bad_input_is_told_what_and_where(stack, path, body, status, words):
    answered, problem, kind = stack.http("POST", path, body)
    assert (answered, problem.get("status")) == (status, status), problem
    assert kind.startswith(PROBLEM) and problem["title"], problem
    assert all(word in problem["detail"] for word in words), problem
    assert problem.get("limit") == (MESSAGE_BYTES if status == 413 else None), problem


def test_revoked_before_it_started_it_never_runs(stack):
    with stack.held():
        _, sent, _ = stack.http("POST", "/tasks/add", {"args": [2, 3]})
        status, answer, _ = stack.http("POST", f"/tasks/{sent['id']}/revoke")
        assert (status, answer["status"]) == (200, "REVOKED"), answer
        _, answer, _ = stack.http("GET", f"/tasks/{sent['id']}")
        assert answer["status"] == "REVOKED", answer
    stack.wait_until_empty(30)
    record = stack.record(sent["id"])
    assert record["status"] == "REVOKED" and "attempts" not in record, record


def test_what_is_final_can_t_be_revoked(stack):
    _, sent, _ = stack.http("POST", "/tasks/add", {"args": [2, 3]})
    stack.final(sent["id"])
    status, problem, kind = stack.http("POST", f"/tasks/{sent['id']}/revoke")
    assert status == 409 and kind.startswith(PROBLEM) and "SUCCESS" in problem["detail"], problem


def test_the_queues_and_what_they_hold(stack):
    status, answer, _ = stack.http("GET", "/queues")
    assert status == 200
    assert all(name in json.dumps(answer) for name in ("default", "quarantine", "dead-letters")), answer


def test_every_path_of_the_openapi_document_is_there(stack):
    status, document, _ = stack.http("GET", "/openapi.json")
    assert status == 200 and document["openapi"].startswith("3."), document
    paths = {re.sub(r"{\w+}", "no-such-task", path): item for path, item in document["paths"].items()}
    assert {"/tasks/no-such-task", "/tasks/no-such-task/revoke", "/queues", "/openapi.json", "/"} <= set(paths)
    methods = [(path, method) for path, item in paths.items() for method in ("get", "post") if method in item]
    assert len(methods) > len(paths), "a path has two methods, and each is for another function"
    for path, method in methods:
        body = {"countdown": 60} if path.endswith("/reschedule") else {}
        status, answer, _ = stack.http(method.upper(), path, body if method == "post" else None)
        # What isn't found, or can't be moved, is the API's own word about a task of that name.
        told = status in (404, 409) and "no-such-task" in answer["detail"]
        # A form is taken from the page alone.
        told = told or ((path, method) == ("/", "post") and answer.get("type") == "urn:sedano:problem:foreign")
        # And one that says nothing revokes nothing.
        told = told or ((path, method, status) == ("/revocations", "post", 422) and answer["parameter"] == "kind")
        assert status == 200 or told, (method, path, status, answer)


def test_other_paths_are_not_found_in_good_form(stack):
    status, problem, kind = stack.http("GET", "/no/such/path")
    assert (status, problem.get("status")) == (404, 404) and kind.startswith(PROBLEM), problem


def test_there_is_a_page_at_the_root_and_its_forms_steer_entries(stack):
    entry = {"schedule": {"every": 86400}, "task": {"task": "add", "args": [2, 3]}}
    assert stack.http("PUT", "/beat/page-test", entry)[0] in (200, 201)
    status, page, _ = stack.http("GET", "/")
    assert status == 200 and "/?entry=page-test" in page["text"], page
    form = {"content-type": "application/x-www-form-urlencoded"}
    for site, status, paused in (("cross-site", 403, False), ("same-origin", 303, True)):
        headers = {**form, "sec-fetch-site": site}
        answered, answer, _ = stack.http("POST", "/", "do=pause&entry=page-test", headers=headers)
        assert answered == status, answer
        assert stack.http("GET", "/beat/page-test")[1]["paused"] is paused
    status, page, _ = stack.http("GET", "/?entry=page-test&done=paused")
    assert status == 200 and "role=status>Paused" in page["text"], page
    assert stack.http("DELETE", "/beat/page-test")[0] == 200


@pytest.mark.parametrize(("method", "path"), [("POST", "/tasks/add"), ("GET", "/queues"), ("GET", "/")])
def test_unsigned_requests_are_refused(stack, method, path):
    status, _, _ = stack.http(method, path, {"args": [2, 3]} if method == "POST" else None, keys=None)
    assert status == 403


def test_the_producer_can_be_invoked_directly(stack):
    answer = stack.lambda_.invoke(
        FunctionName=stack.outputs["ProducerFunctionName"],
        Payload=json.dumps({"task": "add", "args": [2, 3]}).encode(),
    )
    payload = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer and payload["status"] == "PENDING", payload
    assert stack.final(payload["id"])["result"] == "5"


def test_an_entry_is_added_paused_run_and_removed(stack):
    entry = {"schedule": {"every": 30}, "task": {"task": "add", "args": [2, 3]}}
    status, added, _ = stack.http("PUT", "/beat/api-test", entry)
    assert (status, added["source"], added["schedule"]) == (201, "run time", "every 30 s"), added
    status, paused, _ = stack.http("POST", "/beat/api-test/pause")
    assert (status, paused["paused"]) == (200, True), paused
    status, sent, _ = stack.http("POST", "/beat/api-test/run")
    assert status == 202, sent
    _, answer, _ = stack.http("GET", f"/tasks/{sent['id']}?wait=20")
    assert (answer["status"], answer["result"]) == ("SUCCESS", 5), answer
    _, past, _ = stack.http("GET", "/beat/api-test/history?n=1")
    assert past["history"][0]["id"] == sent["id"] and past["history"][0]["status"] == "SUCCESS", past
    _, listed, _ = stack.http("GET", "/beat")
    assert "api-test" in {one["name"] for one in listed["entries"]}, listed
    status, removed, _ = stack.http("DELETE", "/beat/api-test")
    assert (status, removed["name"]) == (200, "api-test"), removed
    assert stack.http("GET", "/beat/api-test")[0] == 404
