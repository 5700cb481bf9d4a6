"""With `JwtIssuer` the HTTP API is opened by tokens, and by nothing else."""


def test_a_token_of_the_issuer_sends_and_reads(other, user_pool):
    token = user_pool.token()
    status, sent, _ = other.http("POST", "/tasks/add", {"args": [2, 3]}, token=token)
    assert status == 202, sent
    status, answer, _ = other.http("GET", f"/tasks/{sent['id']}?wait=20", token=token)
    assert (status, answer["status"], answer["result"]) == (200, "SUCCESS", 5), answer


def test_nothing_else_opens_it(other, user_pool):
    token = user_pool.token()
    head, claims, signature = token.split(".")
    forged = ".".join((head, claims, signature[::-1]))
    attempts = {
        "no token": other.http("POST", "/tasks/add", {"args": [2, 3]}, keys=None),
        "a signature of IAM": other.http("POST", "/tasks/add", {"args": [2, 3]}),
        "a forged token": other.http("POST", "/tasks/add", {"args": [2, 3]}, token=forged),
        "another audience": other.http(
            "POST", "/tasks/add", {"args": [2, 3]}, token=user_pool.token_for_another_application(),
        ),
        "reading": other.http("GET", "/tasks/some-id", token=forged),
    }
    assert {what: status for what, (status, _, _) in attempts.items()} == dict.fromkeys(attempts, 401)

