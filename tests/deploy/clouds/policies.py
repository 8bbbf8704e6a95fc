"""Policies of IAM, compared by what they allow and not by how they are written."""

import itertools
import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[3]
IAM = ROOT / "iam"
ACCOUNT = "333333333333"
ROLES = [f"arn:aws:iam::{account}:role/GFTR-{account}" for account in ("111111111111", "222222222222")]


class DidNotRun(Exception):
    """What a check needs is not on this machine."""


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, **more)


def many(value):
    return value if isinstance(value, list) else [value]


def allowed(*documents):
    """Each action and resource that policies allow, under its conditions; in order."""
    statements = itertools.chain.from_iterable(many(document["Statement"]) for document in documents)
    return sorted(
        (action, resource, json.dumps(statement.get("Condition"), sort_keys=True))
        for statement in statements
        if statement["Effect"] == "Allow"
        for action in many(statement["Action"])
        for resource in many(statement["Resource"])
    )


def of_iam(*names):
    return allowed(*(json.loads((IAM / f"{name}.json").read_text()) for name in names))


def of_role(role):
    return allowed(*(policy["PolicyDocument"] for policy in role["Policies"]))


def assuming(roles):
    return sorted(("sts:AssumeRole", role, "null") for role in roles)


def trust(document):
    """A trust policy without what has no meaning: names of statements, lists of one."""
    return [
        {key: many(value) if key == "Action" else value for key, value in statement.items() if key != "Sid"}
        for statement in many(document["Statement"])
    ]


def same(found, expected, what=""):
    assert found == expected, f"{what}\n  found:    {found}\n  expected: {expected}"


def trust_file(name):
    return trust(json.loads((IAM / f"trust-{name}.json").read_text()))
