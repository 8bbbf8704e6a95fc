"""Reads a CloudFormation template and works it out for given parameters, as far as the templates here go."""

import re

import yaml

from policies import ACCOUNT

NOTHING = object()
PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::AccountId": ACCOUNT,
    "AWS::Region": "eu-west-1",
    "AWS::StackName": "federation",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::NoValue": NOTHING,
}


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms."""


def short_form(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", short_form)


def load(path):
    """The template as it stands in the file."""
    return yaml.load(path.read_text(), Loader)  # noqa: S506 (a safe loader)


class Stack:
    """A template with its parameters. What only AWS knows is called by its logical name."""

    def __init__(self, template, given):
        self.template = template
        declared = template.get("Parameters", {})
        unknown = set(given) - set(declared)
        assert not unknown, f"no such parameters: {unknown}"
        self.values = dict(PSEUDO)
        for name, parameter in declared.items():
            value = str(given[name] if name in given else parameter["Default"])
            pattern = parameter.get("AllowedPattern")
            # As AWS reads it: the whole value.
            assert pattern is None or re.fullmatch(pattern, value), f"{name}={value} is refused by {pattern}"
            assert value in [str(v) for v in parameter.get("AllowedValues", [value])], f"{name}={value}"
            self.values[name] = value.split(",") if parameter["Type"] == "CommaDelimitedList" else value

    def broken_rules(self):
        """What the rules say against these parameters."""
        return [
            one["AssertDescription"]
            for rule in self.template.get("Rules", {}).values()
            if "RuleCondition" not in rule or self.truth(rule["RuleCondition"])
            for one in rule["Assertions"]
            if not self.truth(one["Assert"])
        ]

    def truth(self, condition):
        ((function, value),) = condition.items()
        if function == "Condition":
            return self.truth(self.template["Conditions"][value])
        if function == "Fn::Not":
            return not self.truth(value[0])
        if function == "Fn::And":
            return all([self.truth(one) for one in value])
        if function == "Fn::Or":
            return any([self.truth(one) for one in value])
        assert function == "Fn::Equals", function
        return self.worked_out(value[0]) == self.worked_out(value[1])

    def worked_out(self, value):
        if isinstance(value, list):
            return [one for one in map(self.worked_out, value) if one is not NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, inner),) = value.items()
            if name == "Ref":
                return self.values.get(inner, inner)
            if name == "Fn::GetAtt":
                return ".".join(inner)
            if name == "Fn::If":
                condition, then, otherwise = inner
                return self.worked_out(then if self.truth({"Condition": condition}) else otherwise)
            if name == "Fn::Join":
                return inner[0].join(self.worked_out(inner[1]))
            if name == "Fn::Split":
                return self.worked_out(inner[1]).split(inner[0])
            if name == "Fn::Select":
                return self.worked_out(inner[1])[int(inner[0])]
            if name == "Fn::Sub":
                text, own = inner if isinstance(inner, list) else (inner, {})
                values = {**self.values, **self.worked_out(own)}
                return re.sub(r"\$\{([^}]+)}", lambda found: values[found[1]], text)
            assert not name.startswith("Fn::"), name
        pairs = ((name, self.worked_out(one)) for name, one in value.items())
        return {name: one for name, one in pairs if one is not NOTHING}

    def resource(self, name):
        """A resource's properties, or None when its condition does not hold."""
        resource = self.template["Resources"][name]
        if "Condition" in resource and not self.truth({"Condition": resource["Condition"]}):
            return None
        return self.worked_out(resource.get("Properties", {}))

    def left_open(self):
        """References to resources that these parameters do not make."""
        there = {name for name in self.template["Resources"] if self.resource(name) is not None}
        away = set(self.template["Resources"]) - there
        text = repr([self.resource(name) for name in sorted(there)])
        return {name for name in away if re.search(rf"'{name}(\.\w+)?'", text)}
