"""The module for Terraform: its documents worked out by Terraform itself, the rest read."""

import json
import os
import pathlib
import re
import shutil
import tempfile

from hosts import NOMAD, hcl
from policies import ACCOUNT, ROLES, ROOT, DidNotRun, allowed, assuming, of_iam, run, same, trust, trust_file

TERRAFORM = ROOT / "deploy/terraform"


def terraforms_files_are_formatted():
    needs_terraform()
    for path in [TERRAFORM, *sorted((TERRAFORM / "examples").iterdir())]:
        said = run("terraform", "fmt", "-check", "-diff", "-recursive", str(path))
        assert said.returncode == 0, said.stdout + said.stderr
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copy(NOMAD, pathlib.Path(folder) / "job.tf")
        said = run("terraform", "fmt", "-check", "-diff", str(copy))
        assert said.returncode == 0, said.stdout


def needs_terraform():
    if not shutil.which("terraform"):
        raise DidNotRun("there is no terraform")


def declared(path, kind="variable"):
    """The blocks of a kind in a file: their bodies by name."""
    return {name.strip('"'): body for one in hcl(path).get(kind, []) for name, body in one.items()}


def every_variable_of_the_module_is_declared_used_and_described():
    variables = declared(TERRAFORM / "variables.tf")
    documents = declared(TERRAFORM / "documents/variables.tf")
    for folder, names in [(TERRAFORM, variables), (TERRAFORM / "documents", documents)]:
        # Where a variable is declared, its own validation names it as well.
        texts = [path.read_text() for path in folder.glob("*.tf") if path.name != "variables.tf"]
        same(set(re.findall(r"\bvar\.(\w+)", "\n".join(texts))), set(names), folder.name)
    described = [variables, declared(TERRAFORM / "outputs.tf", "output")]
    for example in (TERRAFORM / "examples").iterdir():
        file = example / "main.tf"
        described += [declared(file), declared(file, "output")]
        same(set(re.findall(r"\bvar\.(\w+)", file.read_text())), set(declared(file)), example.name)
        for body in declared(file, "module").values():
            same(
                given(body) - {"providers"} - set(variables),
                set(),
                f"{example.name} gives what the module does not take",
            )
    same([name for names in described for name, body in names.items() if "description" not in body], [])
    same(given(declared(TERRAFORM / "main.tf", "module")["documents"]), set(documents))


def given(body):
    """What a module block hands over; the parser's own marks begin with two underscores."""
    return {name for name in body if not name.startswith("__")} - {"source"}


def terraforms_policies_are_those_of_iam():
    needs_terraform()
    provider = "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B716D3041E"
    common = {
        "partition": "aws",
        "url_suffix": "amazonaws.com",
        "account_id": ACCOUNT,
        "rights": "agent",
        "every_stage": False,
        "another_agents_apis": False,
        "find_leftovers": False,
        "assume_roles": [],
        "runs_on": "ec2",
        "trusted_arn": None,
        "external_id": None,
        "cluster_name": None,
        "oidc_provider": None,
        "namespace": "gravitee",
        "service_account": "federation-agent",
    }
    additions = {
        "every_stage": "every-stage",
        "another_agents_apis": "another-agents-apis",
        "find_leftovers": "find-leftovers",
    }
    cases = [({"rights": rights}, of_iam(rights), "ec2") for rights in ("agent", "discovery")]
    cases += [({name: True}, of_iam("agent", file), "ec2") for name, file in additions.items()]
    cases += [({**dict.fromkeys(additions, True), "rights": "none", "assume_roles": ROLES}, assuming(ROLES), "ec2")]
    own = {"trusted_arn": f"arn:aws:iam::{ACCOUNT}:role/federation-agent", "external_id": "choose-a-long-random-text"}
    cases += [
        ({"runs_on": runs_on, **more}, of_iam("agent"), file)
        for runs_on, more, file in [
            ("account", own, "account"),
            ("ecs", {}, "ecs"),
            ("eks", {"cluster_name": "my-cluster"}, "eks"),
            ("eks-oidc", {"oidc_provider": provider}, "eks-oidc"),
        ]
    ]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(TERRAFORM / "documents", folder, dirs_exist_ok=True)
        settings = pathlib.Path(folder) / "empty.tfrc"
        settings.touch()
        environment = os.environ | {
            "TF_CLI_CONFIG_FILE": str(settings),
            "CHECKPOINT_DISABLE": "1",
            "TF_IN_AUTOMATION": "1",
        }
        environment.pop("AWS_PROFILE", None)

        def terraform(*arguments):
            said = run("terraform", *arguments, cwd=folder, env=environment)
            assert said.returncode == 0, said.stdout + said.stderr
            return said.stdout

        terraform("init", "-input=false")
        terraform("validate")
        for values, rights, file in cases:
            (pathlib.Path(folder) / "case.tfvars.json").write_text(json.dumps(common | values))
            terraform("apply", "-auto-approve", "-input=false", "-var-file=case.tfvars.json")
            made = {name: json.loads(one["value"]) for name, one in json.loads(terraform("output", "-json")).items()}
            same(allowed(made["policy"]), rights, values)
            same(trust(made["trust"]), trust_file(file), values)
