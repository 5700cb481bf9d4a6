"""What linters don't see in template.yaml, and what would go wrong without a word."""

import json

import pytest

from guide import with_more_queues
from rights import FUNCTIONS, TASK_QUEUES, granted, read, statements, template

TEMPLATE = template()
RESOURCES = TEMPLATE["Resources"]
PARAMETERS = TEMPLATE["Parameters"]
SOURCES = ("DefaultQueue", "QuarantineQueue")
QUEUES = (*SOURCES, "UndeliveredQueue", "DeadLetterQueue")


def of_type(kind: str) -> dict[str, dict]:
    found = {name: resource["Properties"] for name, resource in RESOURCES.items() if resource["Type"] == kind}
    assert found, kind
    return found


def arn(name: str) -> dict:
    return {"Fn::GetAtt": [name, "Arn"]}


def sqs_events() -> dict[str, dict]:
    return {
        event["Properties"]["Queue"]["Fn::GetAtt"][0]: event["Properties"]
        for function in of_type("AWS::Serverless::Function").values()
        for event in function.get("Events", {}).values()
        if event["Type"] == "SQS"
    }


# ------------------------------------------------------------------------------------------- queues


def test_batches_are_answered_message_by_message():
    events = sqs_events()
    assert set(events) == {*SOURCES, "UndeliveredQueue"}
    assert all(event["FunctionResponseTypes"] == ["ReportBatchItemFailures"] for event in events.values())
    # A filter drops what isn't JSON; a window makes a lone message wait 20 s.
    assert not any({"FilterCriteria", "MaximumBatchingWindowInSeconds"} & set(event) for event in events.values())


def test_in_quarantine_each_is_alone():
    assert sqs_events()["QuarantineQueue"]["BatchSize"] == 1


def test_the_reaper_takes_what_is_undelivered():
    assert sqs_events()["UndeliveredQueue"] == {
        "Queue": arn("UndeliveredQueue"), "BatchSize": 10, "FunctionResponseTypes": ["ReportBatchItemFailures"],
    }
    assert "Undelivered" in RESOURCES["ReaperFunction"]["Properties"]["Events"]
    hidden = RESOURCES["UndeliveredQueue"]["Properties"]["VisibilityTimeout"]
    assert hidden > RESOURCES["ReaperFunction"]["Properties"]["Timeout"]


def test_batches_are_no_larger_than_needs_no_window():
    assert sqs_events()["DefaultQueue"]["BatchSize"] == {"Ref": "BatchSize"}
    assert (PARAMETERS["BatchSize"]["Default"], PARAMETERS["BatchSize"]["MaxValue"]) == (10, 10)


def test_a_message_stays_hidden_for_as_long_as_its_function_may_run():
    timeout, visibility = PARAMETERS["FunctionTimeout"], PARAMETERS["VisibilityTimeout"]
    assert (timeout["Default"], visibility["Default"]) == (60, 90)
    for queue in SOURCES:
        assert RESOURCES[queue]["Properties"]["VisibilityTimeout"] == {"Ref": "VisibilityTimeout"}
    assert RESOURCES["ConsumerFunction"]["Properties"]["Timeout"] == {"Ref": "FunctionTimeout"}


def test_dead_letters_outlive_their_sources():
    # A standard queue keeps the original time of sending when it moves a message.
    properties = {name: RESOURCES[name]["Properties"] for name in QUEUES}
    for name in ("UndeliveredQueue", "DeadLetterQueue"):
        assert properties[name]["MessageRetentionPeriod"] == 14 * 86_400
    assert all(properties[name]["MessageRetentionPeriod"] == 4 * 86_400 for name in SOURCES)


def test_what_is_received_too_often_goes_to_the_reaper_and_only_then_to_the_dead_letters():
    redrives = {name: RESOURCES[name]["Properties"].get("RedrivePolicy") for name in QUEUES}
    assert redrives == {
        "DefaultQueue": {"deadLetterTargetArn": arn("UndeliveredQueue"), "maxReceiveCount": 10},
        "QuarantineQueue": {"deadLetterTargetArn": arn("UndeliveredQueue"), "maxReceiveCount": 20},
        # More than a message may bring along, by far.
        "UndeliveredQueue": {"deadLetterTargetArn": arn("DeadLetterQueue"), "maxReceiveCount": 50},
        "DeadLetterQueue": None,
    }


def test_only_what_the_reaper_gave_up_is_redriven_to_the_dead_letters():
    allow = RESOURCES["DeadLetterQueue"]["Properties"]["RedriveAllowPolicy"]
    here = "arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:"
    undelivered = RESOURCES["UndeliveredQueue"]["Properties"]["QueueName"]["Fn::Sub"]
    assert allow == {"redrivePermission": "byQueue", "sourceQueueArns": [{"Fn::Sub": here + undelivered}]}


def policies_of(queue: str, resources: dict = RESOURCES) -> list[dict]:
    """The statements of the policies that a queue has."""
    policies = [one["Properties"] for one in resources.values() if one["Type"] == "AWS::SQS::QueuePolicy"]
    return [
        statement
        for policy in policies if {"Ref": queue} in policy["Queues"]
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Resource"] in (arn(queue), "*")
    ]


def refuses_plain_http(queue: str, resources: dict = RESOURCES) -> bool:
    return any(
        one["Effect"] == "Deny" and one["Principal"] == "*" and one["Action"] == "sqs:*"
        and one["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        for one in policies_of(queue, resources)
    )


@pytest.mark.parametrize("queue", QUEUES)
def test_queues_are_encrypted_and_refuse_plain_http(queue):
    assert RESOURCES[queue]["Properties"]["SqsManagedSseEnabled"] is True
    assert refuses_plain_http(queue)


def test_what_a_policy_allows_on_all_queues_is_allowed_to_rules_of_this_stack():
    for policy in of_type("AWS::SQS::QueuePolicy").values():
        for one in policy["PolicyDocument"]["Statement"]:
            if one["Effect"] == "Allow":
                assert one["Principal"] == {"Service": "events.amazonaws.com"} and one["Action"] == "sqs:SendMessage"
                assert [list(condition) for condition in one["Condition"].values()] == [["aws:SourceArn"]]


def test_a_queue_is_three_lines():
    """Those of the guide make two queues that are what the default queue is but for their names."""
    text, added = with_more_queues()
    assert len(added) == 2 * 3 + 1, added
    whole = read(text)["Resources"]
    assert set(whole) - set(RESOURCES) == {"HighQueue", "LowQueue"}
    events = whole["ConsumerFunction"]["Properties"]["Events"]
    variables = read(text)["Globals"]["Function"]["Environment"]["Variables"]
    for name in ("high", "low"):
        queue = f"{name.capitalize()}Queue"
        same = {**RESOURCES["DefaultQueue"]["Properties"], "QueueName": {"Fn::Sub": f"${{AWS::StackName}}-tasks-{name}"}}
        assert whole[queue] == {**RESOURCES["DefaultQueue"], "Properties": same}
        assert refuses_plain_http(queue, whole)
        mapping = events[name.capitalize()]["Properties"]
        assert mapping | {"Queue": 0, "ScalingConfig": 0} == events["Default"]["Properties"] | {"Queue": 0, "ScalingConfig": 0}
        assert mapping["Queue"] == arn(queue)
        assert json.loads(variables["SEDANO_QUEUES"]["Fn::Sub"])[name] == f"${{{queue}}}"
    assert events["Low"]["Properties"]["ScalingConfig"] == {"MaximumConcurrency": 10}
    assert read(text)["Outputs"]["Queues"]["Value"] == variables["SEDANO_QUEUES"]


# ------------------------------------------------------------------------------------------- rules


def test_queues_let_in_each_rule_that_sends_to_them():
    """EventBridge drops without a word what a queue's policy doesn't allow it to send."""
    queues = {json.dumps(arn(name)): name for name in RESOURCES if RESOURCES[name]["Type"] == "AWS::SQS::Queue"}
    for name, rule in of_type("AWS::Events::Rule").items():
        for target in rule["Targets"]:
            places = [target["Arn"], target["DeadLetterConfig"]["Arn"]]
            for queue in (queues[json.dumps(place)] for place in places if json.dumps(place) in queues):
                allowed = [
                    source
                    for one in policies_of(queue)
                    if one["Effect"] == "Allow" and one["Action"] == "sqs:SendMessage"
                    and one["Principal"] == {"Service": "events.amazonaws.com"}
                    for source in _list(one["Condition"].get("ArnEquals", {}).get("aws:SourceArn", []))
                ]
                assert arn(name) in allowed, (name, queue)


@pytest.mark.parametrize("queue", ["DefaultQueue", "UndeliveredQueue"])
def test_queues_let_in_the_rules_that_sync_makes_and_no_others_by_their_names(queue):
    likes = [
        one["Condition"]["ArnLike"]["aws:SourceArn"]["Fn::Sub"]
        for one in policies_of(queue)
        if one["Effect"] == "Allow" and "ArnLike" in one["Condition"]
    ]
    account = "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}"
    assert likes == [f"{account}:rule/${{AWS::StackName}}-*"]


def test_what_a_rule_cannot_deliver_goes_to_the_reaper():
    for rule in of_type("AWS::Events::Rule").values():
        assert [target["DeadLetterConfig"]["Arn"] for target in rule["Targets"]] == [arn("UndeliveredQueue")]


def test_the_native_rule_writes_a_message_with_an_id_for_each_due_time():
    transformer = RESOURCES["DailyAddRule"]["Properties"]["Targets"][0]["InputTransformer"]
    assert transformer["InputPathsMap"] == {"time": "$.time"}
    written = transformer["InputTemplate"].replace("<aws.events.rule-name>", "rule").replace("<time>", "2026-01-02T06:00:00Z")
    assert json.loads(written) == {"task": "add", "args": [2, 3], "id": "rule-2026-01-02T06:00:00Z"}


def test_the_beat_is_ticked_each_minute_and_by_its_rule_alone():
    rule = RESOURCES["TickRule"]["Properties"]
    assert rule["ScheduleExpression"] == "rate(1 minute)"
    assert [target["Arn"] for target in rule["Targets"]] == [arn("BeatFunction")]
    assert RESOURCES["TickPermission"]["Properties"]["SourceArn"] == arn("TickRule")


# --------------------------------------------------------------------------------------- functions


def test_only_the_consumer_may_call_itself_through_its_queue():
    loops = {name: f.get("RecursiveLoop") for name, f in of_type("AWS::Serverless::Function").items()}
    assert loops.pop("ConsumerFunction") == "Allow"
    assert set(loops.values()) == {None}
    assert "RecursiveLoop" not in TEMPLATE["Globals"]["Function"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_has_its_own_binary_role_and_log(function):
    name = function.capitalize()
    resource = RESOURCES[f"{name}Function"]
    assert resource["Metadata"]["BuildMethod"] == "rust-cargolambda"
    assert resource["Metadata"]["BuildProperties"] == {"Binary": function}
    properties = resource["Properties"]
    assert properties["CodeUri"] == f"functions/{function}"
    # With a role of its own SAM adds no managed policies, which allow things on all resources.
    assert properties["Role"] == arn(f"{name}Role") and "Policies" not in properties
    assert "ManagedPolicyArns" not in RESOURCES[f"{name}Role"]["Properties"]
    assert properties["LoggingConfig"]["LogGroup"] == {"Ref": f"{name}Logs"}
    assert properties["LoggingConfig"]["LogFormat"] == "JSON"


def test_settings_name_every_queue():
    variables = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    queues = json.loads(variables["SEDANO_QUEUES"]["Fn::Sub"])
    assert queues == {
        "default": "${DefaultQueue}", "quarantine": "${QuarantineQueue}",
        "undelivered": "${UndeliveredQueue}", "dead-letters": "${DeadLetterQueue}",
    }
    assert variables["SEDANO_RESULTS_TABLE"] == {"Ref": "ResultsTable"}
    assert variables["SEDANO_STATE_TABLE"] == {"Ref": "StateTable"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_rights_name_actions_and_resources(function):
    for actions, resources in statements(RESOURCES[f"{function.capitalize()}Role"]):
        assert not any("*" in action for action in actions), actions
        of_others = [resource for resource in resources if resource != {"Fn::Sub": TASK_QUEUES}]
        assert all(set(resource) == {"Fn::GetAtt"} for resource in of_others), resources


def test_the_producer_can_neither_receive_nor_delete():
    actions = {action for actions, _ in statements(RESOURCES["ProducerRole"]) for action in actions}
    assert actions.isdisjoint({"sqs:ReceiveMessage", "sqs:DeleteMessage", "dynamodb:DeleteItem"})


@pytest.mark.parametrize(
    ("function", "right"),
    [
        ("consumer", ("dynamodb:GetItem", "ResultsTable")),
        ("console", ("dynamodb:GetItem", "ResultsTable")),
        ("reaper", ("dynamodb:GetItem", "ResultsTable")),
        ("producer", ("sqs:GetQueueAttributes", "DefaultQueue")),
    ],
)
def test_the_call_that_opens_a_connection_at_start_is_allowed(function, right):
    # Refused, it would be an AccessDenied at every cold start, which many accounts have an alarm on.
    assert right in granted(function)


@pytest.mark.parametrize("function", sorted(set(FUNCTIONS) - {"console"}))
def test_only_the_console_takes_dead_letters(function):
    for actions, resources in statements(RESOURCES[f"{function.capitalize()}Role"]):
        assert arn("DeadLetterQueue") not in resources or actions == ["sqs:SendMessage"]


# ------------------------------------------------------------------------------- tables, API, rest


@pytest.mark.parametrize(("table", "keys"), [("ResultsTable", ["id"]), ("StateTable", ["pk", "sk"]), ("AppTable", ["pk", "sk"])])
def test_tables_can_be_restored_and_outlive_the_stack(table, keys):
    resource, properties = RESOURCES[table], RESOURCES[table]["Properties"]
    assert [key["AttributeName"] for key in properties["KeySchema"]] == keys
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert properties["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert properties["DeletionProtectionEnabled"] == {"Ref": "DeletionProtection"}
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


def test_the_tasks_rows_are_the_consumer_s_alone():
    assert RESOURCES["ConsumerFunction"]["Properties"]["Environment"]["Variables"] == {"APP_TABLE": {"Ref": "AppTable"}}
    holders = {function for function in FUNCTIONS if any(table == "AppTable" for _, table in granted(function))}
    assert holders == {"consumer"}


def test_every_alarm_is_heard_and_none_is_made_without_a_topic():
    for name, alarm in of_type("AWS::CloudWatch::Alarm").items():
        assert alarm["AlarmActions"] == [{"Ref": "AlarmTopicArn"}], name
        assert RESOURCES[name]["Condition"] in ("HasAlarmTopic", "BeatMayFallSilent"), name
    conditions = TEMPLATE["Conditions"]
    assert conditions["HasAlarmTopic"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "AlarmTopicArn"}, ""]}]}
    assert {"Condition": "HasAlarmTopic"} in conditions["BeatMayFallSilent"]["Fn::And"]


def test_a_beat_that_falls_silent_or_fails_is_heard_of():
    of_beat = [{"Name": "FunctionName", "Value": {"Ref": "BeatFunction"}}]
    silent = RESOURCES["BeatSilentAlarm"]["Properties"]
    assert (silent["Namespace"], silent["MetricName"], silent["Dimensions"]) == ("AWS/Lambda", "Invocations", of_beat)
    # Fewer than one in each of five minutes. Without an invocation there is no figure at all.
    assert (silent["Statistic"], silent["ComparisonOperator"], silent["Threshold"]) == ("Sum", "LessThanThreshold", 1)
    assert silent["Period"] * silent["EvaluationPeriods"] == 300
    assert silent["TreatMissingData"] == "breaching"
    # A beat that is switched off is no news.
    assert RESOURCES["BeatSilentAlarm"]["Condition"] == "BeatMayFallSilent"
    enabled = {"Fn::Equals": [{"Ref": "BeatState"}, "ENABLED"]}
    assert TEMPLATE["Conditions"]["BeatMayFallSilent"] == {"Fn::And": [{"Condition": "HasAlarmTopic"}, enabled]}
    assert RESOURCES["TickRule"]["Properties"]["State"] == {"Ref": "BeatState"}

    failing = RESOURCES["BeatErrorAlarm"]["Properties"]
    assert (failing["MetricName"], failing["Dimensions"]) == ("Errors", of_beat)
    assert (failing["Period"], failing["EvaluationPeriods"]) == (60, 3)


def test_every_route_asks_who_is_calling():
    for route in of_type("AWS::ApiGatewayV2::Route").values():
        assert route["AuthorizationType"] == {"Fn::If": ["HasJwt", "JWT", "AWS_IAM"]}
    assert PARAMETERS["JwtIssuer"]["Default"] == ""
    assert all("CorsConfiguration" not in api for api in of_type("AWS::ApiGatewayV2::Api").values())


def test_sending_goes_to_the_producer_and_the_rest_to_the_console():
    routes = {route["RouteKey"]: route["Target"]["Fn::Sub"] for route in of_type("AWS::ApiGatewayV2::Route").values()}
    assert routes == {"POST /tasks/{name}": "integrations/${ApiProducer}", "$default": "integrations/${ApiConsole}"}


def test_every_log_is_kept_for_a_while_only():
    assert all(log["RetentionInDays"] == {"Ref": "LogRetentionDays"} for log in of_type("AWS::Logs::LogGroup").values())


def test_names_are_cloudformations_or_derived_from_the_stack_s():
    named = ("QueueName", "TableName", "FunctionName", "RoleName", "LogGroupName", "AlarmName", "Name")
    for name, resource in RESOURCES.items():
        if resource["Type"] in ("AWS::Lambda::Permission", "AWS::ApiGatewayV2::Authorizer"):
            continue  # Refers to a name, or has one within its API.
        for key in set(named) & set(resource["Properties"]):
            assert "AWS::StackName" in json.dumps(resource["Properties"][key]), (name, key)


def test_parameters_and_outputs_are_described():
    assert all(one.get("Description") for one in (*PARAMETERS.values(), *TEMPLATE["Outputs"].values()))
    groups = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(PARAMETERS)


def test_every_check_that_is_skipped_says_why():
    skips = [skip for one in RESOURCES.values() for skip in one.get("Metadata", {}).get("checkov", {}).get("skip", [])]
    assert skips and all(len(skip["comment"]) > 40 for skip in skips)


def _list(value: object) -> list:
    return value if isinstance(value, list) else [value]
