#!/usr/bin/env python3
"""The rendered pods, run: what the kubelet would do with them, done with a Docker engine, beside the demo's plane and gateway.

Taken from the pod are user, groups, root, capabilities, memory, variables, volumes with the ownership that `fsGroup` gives them,
probes and the time to stop. Not tried is what only a cluster has: scheduling, its network policy, IAM's tokens.

Needs an engine, root (for the ownership) and a binary: STATIC_BINARY, FEDERATION_AGENT, or what `cargo build` left.
"""

import base64
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import uuid
from pathlib import Path

import rendered
from rendered import ROOT, container, helm, kustomize, one, pod, secret

DOCKER = os.environ.get("DOCKER", "docker")
BINARY = Path(os.environ.get("STATIC_BINARY") or os.environ.get("FEDERATION_AGENT") or ROOT / "target/debug/federation-agent")
MINE = f"federation-agent-pod-{uuid.uuid4().hex[:8]}"
PATIENCE = 30
SETTINGS = {
    "gravitee_integration_connector_ws_endpoints_0": "http://plane:8072",
    "gravitee_integration_providers_0_type": "aws-api-gateway",
    "gravitee_integration_providers_0_integrationId": "demo",
    "gravitee_integration_providers_0_configuration_region": "eu-west-1",
    "gravitee_integration_providers_0_configuration_endpointUrl": "http://gateway:4566",
}
SECRETS = "authorization=bearer demo-token\naccessKeyId=AKIADEMO\nsecretAccessKey=demo-secret\n"


def why_not():
    if os.geteuid() != 0:
        return "not root"
    if not BINARY.exists():
        return f"there is no binary ({BINARY.name}; `cargo build`)"
    if not shutil.which(DOCKER) or subprocess.run([DOCKER, "info"], capture_output=True, check=False).returncode:
        return "no Docker engine"
    return None


def docker(*arguments, check=True):
    done = subprocess.run([DOCKER, *map(str, arguments)], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"docker {' '.join(map(str, arguments))}: {done.stderr}")
    return done.stdout.strip()


def image():
    """The image of docker/image.sh; a binary that is not static gets its libraries beside it."""
    subprocess.run([ROOT / "docker/image.sh", BINARY, MINE], check=True, capture_output=True)
    listed = subprocess.run(["ldd", BINARY], capture_output=True, text=True, check=False)
    libraries = [word for word in listed.stdout.split() if word.startswith("/")] if listed.returncode == 0 else []
    if not libraries:
        return
    with tempfile.TemporaryDirectory() as folder:
        lines = [f"FROM {MINE}"]
        for number, library in enumerate(libraries):
            shutil.copy(library, Path(folder) / str(number))
            lines.append(f"COPY {number} {library}")
        (Path(folder) / "Dockerfile").write_text("\n".join(lines))
        docker("build", "--quiet", "--tag", MINE, folder)


def ask(port, path, method="GET"):
    """Status and body; asked again while nobody listens yet."""
    deadline = time.monotonic() + PATIENCE
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        finally:
            connection.close()


def port_of(name, inside):
    return int(docker("port", name, inside).splitlines()[0].rsplit(":", 1)[1])


class Pod:
    """A pod of one container, as the kubelet would start it."""

    def __init__(self, objects, folder):
        self.objects, self.folder = objects, Path(folder)
        self.spec = pod(objects)["spec"]
        self.name = f"{MINE}-agent"
        self.port = container(objects)["ports"][0]["containerPort"]

    def flags(self):
        security, own = self.spec["securityContext"], container(self.objects)["securityContext"]
        yield from ("--user", f"{security['runAsUser']}:{security['runAsGroup']}", "--group-add", security["fsGroup"])
        if own["readOnlyRootFilesystem"]:
            yield "--read-only"
        for capability in own["capabilities"]["drop"]:
            yield from ("--cap-drop", capability)
        if not own["allowPrivilegeEscalation"]:
            yield from ("--security-opt", "no-new-privileges:true")
        memory = container(self.objects)["resources"]["limits"]["memory"].replace("Mi", "m")
        yield from ("--memory", memory, "--memory-swap", memory, "--no-healthcheck")
        for name, value in self.variables().items():
            yield from ("--env", f"{name}={value}")
        for mount in container(self.objects)["volumeMounts"]:
            volume = next(each for each in self.spec["volumes"] if each["name"] == mount["name"])
            end = ":ro" if mount.get("readOnly") else ""
            yield from ("--volume", f"{self.volume(volume)}:{mount['mountPath']}{end}")

    def variables(self):
        found = {}
        for source in container(self.objects).get("envFrom", []):
            found.update(one(self.objects, "ConfigMap", source["configMapRef"]["name"])["data"])
        for entry in container(self.objects)["env"]:
            key = entry.get("valueFrom", {}).get("secretKeyRef")
            found[entry["name"]] = secret(self.objects, key["name"], key["key"]) if key else entry["value"]
        return found

    def volume(self, volume):
        """A folder of root's that belongs to the group `fsGroup`, as the kubelet leaves it."""
        group = self.spec["securityContext"]["fsGroup"]
        place = self.folder / volume["name"]
        place.mkdir(exist_ok=True)
        sources = [volume] if "secret" in volume else volume.get("projected", {}).get("sources", [])
        for source in sources:
            if "secret" in source:
                name = source["secret"].get("secretName") or source["secret"]["name"]
                data = {key: secret(self.objects, name, key) for key in one(self.objects, "Secret", name)["data"]}
                items = source["secret"].get("items")
            else:
                data = one(self.objects, "ConfigMap", source["configMap"]["name"])["data"]
                items = source["configMap"].get("items")
            for item in items or [{"key": key, "path": key} for key in data]:
                file = place / item["path"]
                file.write_text(data[item["key"]])
                os.chown(file, 0, group)
                file.chmod(0o440)
        os.chown(place, 0, group)
        place.chmod(0o2775)
        return place

    def start(self):
        published = ("--publish", f"127.0.0.1::{self.port}")
        docker("run", "--detach", "--name", self.name, "--network", MINE, *published, *self.flags(), MINE)
        self.outside = port_of(self.name, self.port)

    def probe(self, kind):
        return ask(self.outside, container(self.objects)[f"{kind}Probe"]["httpGet"]["path"])[0]

    def log(self):
        done = subprocess.run([DOCKER, "logs", self.name], capture_output=True, text=True, check=True)
        return done.stdout + done.stderr

    def stop(self):
        """The exit code, and the seconds it took."""
        started = time.monotonic()
        docker("stop", "--time", self.spec["terminationGracePeriodSeconds"], self.name)
        return int(docker("inspect", "--format", "{{.State.ExitCode}}", self.name)), time.monotonic() - started


@unittest.skipIf(why_not(), why_not())
class Run(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(docker, "rmi", "--force", MINE, check=False)
        image()
        cls.addClassCleanup(docker, "network", "rm", MINE, check=False)
        docker("network", "create", MINE)

    def setUp(self):
        for peer, port in (("plane", 8072), ("gateway", 4566)):
            name = f"{MINE}-{peer}"
            self.addCleanup(docker, "rm", "--force", "--volumes", name, check=False)
            place = ("--network", MINE, "--network-alias", peer, "--publish", f"127.0.0.1::{port}")
            docker("run", "--detach", "--name", name, *place, MINE, "demo", peer, "--listen", f"0.0.0.0:{port}")
        self.plane = port_of(f"{MINE}-plane", 8072)

    def lives(self, objects):
        self.assertEqual(rendered.confinement(objects), [])
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            agent = Pod(objects, folder)
            self.addCleanup(docker, "rm", "--force", "--volumes", agent.name, check=False)
            ask(self.plane, "/plane/state")
            agent.start()
            try:
                self.assertEqual(agent.probe("startup"), 200)
                status, body = ask(self.plane, "/plane/demo/connected", "POST")
                self.assertEqual(status, 200, body)
                self.assertEqual((agent.probe("liveness"), agent.probe("readiness")), (200, 200))
                status, body = ask(self.plane, "/plane/demo/ingest?wait=true", "POST")
                self.assertEqual((status, json.loads(body)["phase"]), (200, "done"))
                path = "/plane/demo/subscribe?api=eu-west-1%3Ap3ts7ore01%3Aprod&plan=br0nz3&application=a%20partner"
                status, body = ask(self.plane, path, "POST")
                self.assertTrue(json.loads(body)["apiKey"], body)

                # The volume is one that the agent can write, and where it does.
                log = agent.log()
                self.assertNotIn("is in memory", log)
                self.assertIn("live", docker("exec", agent.name, "/usr/local/bin/federation-agent", "grants"))
                self.assertTrue(any((Path(folder) / agent.spec["volumes"][0]["name"]).rglob("*")))
                self.assertNotIn("demo-token", log)
                self.assertNotIn("stands for nothing", log)

                # The plane goes: not ready, and alive.
                docker("stop", "--time", 1, f"{MINE}-plane")
                deadline = time.monotonic() + PATIENCE
                while agent.probe("readiness") != 503 and time.monotonic() < deadline:
                    time.sleep(0.05)
                self.assertEqual((agent.probe("readiness"), agent.probe("liveness")), (503, 200))

                code, took = agent.stop()
                self.assertEqual(code, 0)
                self.assertLess(took, agent.spec["terminationGracePeriodSeconds"])
            except BaseException:
                subprocess.run([DOCKER, "logs", agent.name], check=False)
                raise

    @unittest.skipUnless(rendered.KUBECTL, "no kubectl")
    def test_the_pod_of_kustomize(self):
        settings = "".join(f"{name}={value}\n" for name, value in SETTINGS.items())
        self.lives(kustomize("static-keys", secrets=SECRETS, settings=settings))

    def test_the_pod_of_helm(self):
        variables = dict(SETTINGS)
        variables["gravitee_integration_connector_ws_headers_0_name"] = "Authorization"
        variables["gravitee_integration_connector_ws_headers_0_value"] = "bearer demo-token"
        variables["gravitee_integration_providers_0_configuration_accessKeyId"] = "AKIADEMO"
        variables["gravitee_integration_providers_0_configuration_secretAccessKey"] = "demo-secret"
        listed = [{"name": name, "value": value} for name, value in variables.items()]
        self.lives(helm({"extraEnvs": listed})[0])

    @unittest.skipUnless(rendered.READS_FILES, "the agent reads no gravitee.yml yet")
    def test_the_pod_of_helm_with_a_file_and_a_reference(self):
        value = rendered.yaml.safe_load((rendered.VALUES / "gravitee-standard.yaml").read_text())
        integration = value["config"]["graviteeYml"]["integration"]
        integration["connector"]["ws"]["endpoints"] = ["http://plane:8072"]
        integration["connector"]["ws"]["headers"][0]["value"] = "secret://kubernetes/plane:token"
        provider = integration["providers"][0]
        provider["integrationId"] = "demo"
        provider["configuration"].update(region="eu-west-1", endpointUrl="http://gateway:4566")
        token = base64.b64encode(b"bearer demo-token").decode()
        held = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "plane"}, "data": {"token": token}}
        self.lives(helm({**value, "extraObjects": [held]})[0])


if __name__ == "__main__":
    if why_not():
        print(f"pod: did not run: {why_not()}", file=sys.stderr)
    if not rendered.READS_FILES:
        print("pod: the pod with a gravitee.yml did not run: the agent reads none yet", file=sys.stderr)
    unittest.main()
