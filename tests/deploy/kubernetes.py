#!/usr/bin/env python3
"""The files for kustomize: rendered by kubectl, validated, and held to what they promise."""

import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import rendered
from promises import BINARY, Promises
from rendered import ROOT, container, environment, faults, has, kustomize, one, pod, secret

OVERLAYS = {"irsa": (), "static-keys": ()}
COMPONENTS = sorted(path.name for path in (rendered.KUSTOMIZE / "components").iterdir())


@unittest.skipUnless(rendered.KUBECTL, "no kubectl")
class Kustomize(Promises, unittest.TestCase):
    def plain(self):
        return kustomize("irsa")

    def test_every_overlay_with_every_component_is_valid(self):
        for overlay in OVERLAYS:
            given = set(one_kustomization(overlay).get("components") or [])
            rest = [name for name in COMPONENTS if f"../../components/{name}" not in given and name != "static-keys"]
            for components in [(), *[(name,) for name in rest], tuple(rest)]:
                with self.subTest(overlay=overlay, components=components):
                    self.assertEqual(faults(kustomize(overlay, components)), [])

    def test_a_missing_secret_is_said(self):
        for overlay in OVERLAYS:
            folder = rendered.KUSTOMIZE / "overlays" / overlay
            if not (folder / "secrets.env").exists():
                done = subprocess.run([rendered.KUBECTL, "kustomize", str(folder)], capture_output=True, text=True, check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn("secrets.env", done.stderr)

    def test_secrets_are_files_and_not_variables(self):
        objects = kustomize("static-keys")
        file = environment(objects)["gravitee_integration_connector_ws_headers_0_value_FILE"]
        folder, key = os.path.split(file)
        mount = next(each for each in container(objects)["volumeMounts"] if each["mountPath"] == folder)
        self.assertTrue(mount["readOnly"])
        self.assertTrue(secret(objects, one(objects, "Secret")["metadata"]["name"], key).startswith("bearer "))
        text = str([value for value in environment(objects).values()])
        self.assertNotIn("put-the", text)

    def test_the_role_of_irsa_stands_in_the_overlay(self):
        annotations = one(kustomize("irsa"), "ServiceAccount")["metadata"]["annotations"]
        self.assertEqual(annotations["eks.amazonaws.com/role-arn"], "arn:aws:iam::333333333333:role/federation-agent")
        account = one(kustomize("irsa"), "ServiceAccount")["metadata"]
        trusted = f"system:serviceaccount:{account['namespace']}:{account['name']}"
        self.assertIn(f'"{trusted}"', (ROOT / "iam/trust-eks-oidc.json").read_text())

    def test_components_reach_the_policy(self):
        places = {"pod-identity": "169.254.170.23/32", "instance-role": "169.254.169.254/32"}
        for component, place in places.items():
            self.assertIn(place, str(one(kustomize("irsa", [component]), "NetworkPolicy")["spec"]["egress"]))
        self.assertNotIn("169.254", str(one(self.plain(), "NetworkPolicy")))

    def test_without_a_volume_the_journal_is_the_pods(self):
        objects = kustomize("irsa", ["ephemeral"])
        self.assertFalse(has(objects, "PersistentVolumeClaim"))
        self.assertIn("emptyDir", pod(objects)["spec"]["volumes"][0])

    def test_nothing_is_scraped_twice(self):
        objects = kustomize("irsa", ["prometheus-operator"])
        self.assertNotIn("prometheus.io/scrape", pod(objects)["metadata"].get("annotations", {}))
        endpoint = one(objects, "PodMonitor")["spec"]["podMetricsEndpoints"][0]
        self.assertEqual(endpoint["path"], pod(self.plain())["metadata"]["annotations"]["prometheus.io/path"])

    def test_the_settings_files_hold_settings(self):
        for overlay in OVERLAYS:
            for line in (rendered.KUSTOMIZE / "overlays" / overlay / "settings.env").read_text().splitlines():
                if line and not line.startswith("#"):
                    self.assertTrue(rendered.is_setting(line.split("=")[0]), line)

    @unittest.skipUnless(BINARY.exists(), f"the agent is not built ({BINARY.name}; `cargo build`)")
    def test_the_agent_understands_what_the_pod_gives_it(self):
        for overlay in OVERLAYS:
            objects = kustomize(overlay)
            with tempfile.TemporaryDirectory() as folder:
                held = one(objects, "Secret")["metadata"]["name"]
                for key in one(objects, "Secret")["data"]:
                    (Path(folder) / key).write_text(secret(objects, held, key))
                variables = dict(one(objects, "ConfigMap")["data"])
                for entry in container(objects)["env"]:
                    key = entry.get("valueFrom", {}).get("secretKeyRef")
                    value = secret(objects, held, key["key"]) if key else entry["value"]
                    variables[entry["name"]] = value.replace("/run/secrets/federation-agent", folder)
                done = subprocess.run([BINARY, "config"], env=variables, capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertNotIn("stands for nothing", done.stdout + done.stderr)
                self.assertIn("apim.example.com", done.stdout)
                self.assertNotIn("put-the", done.stdout + done.stderr)


def one_kustomization(overlay):
    return rendered.yaml.safe_load((rendered.KUSTOMIZE / "overlays" / overlay / "kustomization.yaml").read_text())


class Documents(unittest.TestCase):
    def test_every_file_that_is_linked_to_is_there(self):
        for document in (rendered.CHART / "README.md", rendered.KUSTOMIZE / "README.md"):
            text = document.read_text()
            links = re.findall(r"\]\(([^)#:]+)[^)]*\)", text)
            self.assertTrue(links)
            for link in links:
                self.assertTrue((document.parent / link).exists(), f"{document}: {link}")
            for name in re.findall(r"`(iam/[^`]*)`", text):
                self.assertTrue((ROOT / name).exists(), f"{document}: {name}")

    def test_every_overlay_and_component_is_described(self):
        text = (rendered.KUSTOMIZE / "README.md").read_text()
        for name in {*OVERLAYS, *COMPONENTS}:
            self.assertIn(f"| `{name}` |", text)


if __name__ == "__main__":
    if not rendered.KUBECTL:
        print("kubernetes: kustomize did not run: no kubectl")
    if not BINARY.exists():
        print("kubernetes: the agent's own reading of the files did not run: it is not built")
    unittest.main()
