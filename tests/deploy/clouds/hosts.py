"""The agent's settings as each deployment hands them over, the systemd unit, and the job of Nomad."""

import os
import pathlib
import re
import shutil
import tempfile

import hcl2

from aws import TOKEN, task
from policies import ROLES, ROOT, DidNotRun, run, same

UNIT = ROOT / "deploy/systemd/federation-agent.service"
NOMAD = ROOT / "deploy/nomad/federation-agent.nomad.hcl"
AGENT = pathlib.Path(os.environ.get("FEDERATION_AGENT", ROOT / "target/debug/federation-agent"))
# What `systemd-analyze security` may say at most. IPAddressDeny= would be most of it, and only who runs the agent knows
# where the plane is.
EXPOSURE = 1.2
DRAIN = 8  # seconds: FEDERATION_AGENT_DRAIN's default


def is_taken(environment, files=()):
    """The agent takes these settings without a fault, and knows every name."""
    if not AGENT.exists():
        raise DidNotRun(f"there is no {AGENT} (cargo build)")
    with tempfile.NamedTemporaryFile("w") as token:
        token.write(TOKEN)
        token.flush()
        environment = environment | {name: token.name for name in files}
        said = run(str(AGENT), "config", env=environment)
    assert said.returncode == 0, said.stderr
    rows = [line.split() for line in said.stdout.splitlines()]
    known = {row[0].removesuffix("_FILE") for row in rows if len(row) > 2 and not {"unset", "default"} & set(row[2:-1])}
    names = {name.removesuffix("_FILE") for name, value in environment.items() if value}
    missing = {name for name in names if name not in known and name not in ("HTTPS_PROXY", "NO_PROXY")}
    assert not missing, f"the agent does not read {missing}"
    assert TOKEN not in said.stdout


def the_agent_takes_the_tasks_environment():
    for given in [{}, {"RoleArns": ",".join(ROLES), "ExternalId": "sesame", "HttpsProxy": "http://proxy:3128"}]:
        stack = task(GraviteeAuth=TOKEN, **given)
        (container,) = stack.resource("FederationAgentTaskDefinition")["ContainerDefinitions"]
        environment = {variable["Name"]: variable["Value"] for variable in container["Environment"]}
        is_taken(environment | {secret["Name"]: TOKEN for secret in container["Secrets"]})


def the_agent_takes_the_units_environment():
    unit = UNIT.read_text()
    lines = re.findall(r"^Environment=(\S+)$", unit, re.M) + [
        line for line in (UNIT.with_name("agent.env")).read_text().splitlines() if line and not line.startswith("#")
    ]
    environment = dict(line.split("=", 1) for line in lines)
    environment["gravitee_integration_providers_0_integrationId"] = "demo"
    files = [name for name, value in environment.items() if value == "%t/credentials/%n/plane-token"]
    assert files and "LoadCredential=plane-token:" in unit
    is_taken(environment, files)


def the_agent_takes_the_jobs_environment():
    task_of_job = nomad()["task"]
    known = {"${var.plane_url}": "https://apim.example.com", "${var.regions}": "eu-west-1", "${var.role_arns}": ""}
    environment = {}
    for name, value in task_of_job["env"][0].items():
        if name.startswith("__"):  # the parser's own
            continue
        environment[name] = known.get(value, "demo" if value.startswith("${var.") else value.strip('"'))
    files = [name for name, value in environment.items() if value.startswith("/secrets/")]
    same(["/" + task_of_job["template"][0]["destination"].strip('"')], [environment[name] for name in files])
    is_taken(environment, files)


def hcl(path):
    with path.open() as file:
        return hcl2.load(file)


def nomad():
    """The job's group, with its one task."""
    job = hcl(NOMAD)["job"][0]
    (group,) = next(iter(job.values()))["group"]
    group = next(iter(group.values()))
    (one,) = group["task"]
    return {"group": group, "job": next(iter(job.values())), "task": next(iter(one.values()))}


def the_job_of_nomad_runs_one_and_drains_it():
    job = nomad()
    same((job["group"]["count"], job["job"]["update"][0]["canary"]), (1, 0))
    assert int(job["task"]["kill_timeout"].strip('"').rstrip("s")) > DRAIN + 1
    same(job["task"]["user"].strip('"'), "65532:65532")
    same(job["task"]["volume_mount"][0]["destination"].strip('"'), "/var/lib/federation-agent")
    text = NOMAD.read_text()
    same(set(re.findall(r"\bvar\.(\w+)", text)), set(re.findall(r'^variable "(\w+)"', text, re.M)))


def the_unit_is_sound_and_hardened():
    if not shutil.which("systemd-analyze"):
        raise DidNotRun("there is no systemd-analyze (Debian's package systemd)")
    with tempfile.TemporaryDirectory() as folder:
        unit = pathlib.Path(folder) / UNIT.name
        # The binary need not be on this machine; the rest is looked at as it is.
        unit.write_text(UNIT.read_text().replace("/usr/local/bin/federation-agent run", "/bin/true run"))
        said = run("systemd-analyze", "verify", "--man=no", str(unit))
        assert said.returncode == 0 and not said.stderr.strip(), said.stderr
    said = run(
        "systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={round(EXPOSURE * 10)}", str(UNIT)
    )
    rating = said.stdout.strip().splitlines()[-1]
    print(f"    {rating}")
    assert said.returncode == 0, rating


def the_unit_drains_and_keeps_its_journal():
    unit = dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.M))
    assert int(unit["TimeoutStopSec"].rstrip("s")) > DRAIN + 1
    same((unit["Restart"], unit["RestartPreventExitStatus"]), ("always", "2"))
    # FEDERATION_AGENT_DATA_DIR's default.
    same(unit["StateDirectory"], "federation-agent")
    ctl = UNIT.with_name("federation-agentctl").read_text()
    for name in ("DynamicUser", "User", "StateDirectory", "EnvironmentFile", "LoadCredential"):
        assert f"--property={name}={unit[name]}" in ctl, f"federation-agentctl has another {name}"
