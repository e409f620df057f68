"""Starts ministack 1.5.33 with what the templates use and it does not know: condition keys of IAM, and two properties of CloudFormation.

Source of each key: the AWS Service Authorization Reference (Amazon S3, AWS KMS, Amazon EventBridge) and "AWS global condition
context keys" for aws:PrincipalArn. AllowedValues: "CloudFormation template Parameters syntax".
"""

import datetime
import json
import re
import sys

from ministack import app
from ministack.core import iam_actions, iam_evaluator
from ministack.services import eventbridge
from ministack.services.cloudformation import changesets, engine, handlers, provisioners

RETAIN_UNTIL = re.compile(rb"<RetainUntilDate>([^<]+)</RetainUntilDate>")
MODE = re.compile(rb"<Mode>([^<]+)</Mode>")


def retention_keys(mode, until):
    """The keys on a lock that a request asks for."""
    keys = {}
    if mode:
        keys["s3:object-lock-mode"] = mode
    if until:
        keys["s3:object-lock-retain-until-date"] = until
        ends = datetime.datetime.fromisoformat(until.replace("Z", "+00:00"))
        left = ends - datetime.datetime.now(datetime.timezone.utc)
        keys["s3:object-lock-remaining-retention-days"] = str(left.total_seconds() / 86400)
    return keys


def s3_headers(known):
    def keys_of(action, query_params, path="", headers=None):
        keys = known(action, query_params, path, headers)
        headers = headers or {}
        if action == "s3:PutObject":
            for name in ("if-none-match", "if-match"):
                if name in headers:
                    keys[f"s3:{name}"] = headers[name]
            keys |= retention_keys(headers.get("x-amz-object-lock-mode"),
                                   headers.get("x-amz-object-lock-retain-until-date"))
        return keys

    return keys_of


def bodies(known):
    def keys_of(service, action, body, params):
        keys = known(service, action, body, params)
        if action == "s3:PutObjectRetention":
            mode, until = MODE.search(body or b""), RETAIN_UNTIL.search(body or b"")
            keys |= retention_keys(mode and mode[1].decode(), until and until[1].decode())
        if service == "kms":
            context = json.loads(body or b"{}").get("EncryptionContext") or {}
            keys |= {f"kms:EncryptionContext:{name}": value for name, value in context.items()}
        if action == "events:PutEvents":
            entries = json.loads(body or b"{}").get("Entries") or []
            keys["events:source"] = [entry.get("Source", "") for entry in entries]
            keys["events:detail-type"] = [entry.get("DetailType", "") for entry in entries]
        return keys

    return keys_of


def locking_writes(known):
    """A write that asks for a lock also needs s3:PutObjectRetention."""

    def checks_of(method, path, headers, body, query_params):
        checks = known(method, path, headers, body, query_params)
        if "x-amz-object-lock-mode" in headers and iam_actions._s3_action(method, path, query_params) == "PutObject":
            checks.append(("s3:PutObjectRetention", f"arn:aws:s3:::{path.lstrip('/')}"))
        return checks

    return checks_of


def roles(known):
    """aws:PrincipalArn of a session is the ARN of its role."""

    def resolve(key, context):
        found = re.fullmatch(r"arn:(aws[a-z-]*):sts::(\d+):assumed-role/([^/]+)/.*", context.principal_arn)
        if key.lower() == "aws:principalarn" and found:
            return f"arn:{found[1]}:iam::{found[2]}:role/{found[3]}"
        return known(key, context)

    return resolve


def bus_policies(known):
    """The policy of an event bus, from the template."""

    def deploy(*arguments):
        name, attributes = known(*arguments)
        policy = next((one["Policy"] for one in reversed(arguments) if isinstance(one, dict) and "Policy" in one), None)
        if policy:
            eventbridge._event_bus_policies[name] = policy
        return name, attributes

    return deploy


def bus_policy_for_arn(arn):
    policy = eventbridge._event_bus_policies.get(arn.rpartition("/")[2])
    return policy and (policy, arn.split(":")[4])


def lists(known):
    """AllowedValues of a CommaDelimitedList are those of each of its items."""

    def resolve(template, provided, *previous):
        given = {one.get("Key", one.get("ParameterKey")): one.get("Value", one.get("ParameterValue")) for one in provided}
        parameters = dict(template.get("Parameters") or {})
        for name, parameter in parameters.items():
            items = str(given.get(name) or parameter.get("Default", "")).split(",")
            if parameter.get("Type") == "CommaDelimitedList" and set(items) <= set(parameter.get("AllowedValues", [])):
                parameters[name] = {key: value for key, value in parameter.items() if key != "AllowedValues"}
        return known({**template, "Parameters": parameters}, provided, *previous)

    return resolve


iam_actions.s3_service_context = s3_headers(iam_actions.s3_service_context)
iam_actions.request_tag_context = bodies(iam_actions.request_tag_context)
iam_actions.s3_additional_checks = locking_writes(iam_actions.s3_additional_checks)
iam_evaluator._resolve_condition_key = roles(iam_evaluator._resolve_condition_key)
buses = provisioners._RESOURCE_HANDLERS["AWS::Events::EventBus"]
buses["create"] = bus_policies(buses["create"])
buses["update"] = bus_policies(buses["update"])
eventbridge.bus_policy_for_arn = bus_policy_for_arn
iam_evaluator._RESOURCE_POLICY_LOOKUPS["events"] = ("eventbridge", "bus_policy_for_arn")
resolve_parameters = lists(engine._resolve_parameters)
for module in (engine, handlers, changesets):
    module._resolve_parameters = resolve_parameters

sys.argv[0] = "ministack"
sys.exit(app.main())
