#!/usr/bin/env python3
"""The Helm chart: rendered by Helm, validated, and held to what it promises."""

import subprocess
import tempfile
import unittest
from pathlib import Path

import rendered
from promises import BINARY, Promises
from rendered import container, environment, faults, has, helm, lint, one, pod, secret

VALUES = sorted(path.stem for path in rendered.VALUES.glob("*.yaml"))
# What the values files leave to the user.
ELSEWHERE = {
    "everything": {"whole-file", "credentials"},
    "bare": {"of-somebody"},
    "gravitee-certificate": {"federation-agent-truststore", "agent-secret"},
}


class Helm(Promises, unittest.TestCase):
    def plain(self):
        return helm()[0]

    def test_every_values_file_is_valid(self):
        self.assertEqual(faults(self.plain()), [])
        for values in VALUES:
            with self.subTest(values=values):
                self.assertEqual(faults(helm(values)[0], ELSEWHERE.get(values, ())), [])

    def test_lint_finds_nothing(self):
        for values in [None, *VALUES]:
            report = lint(values)
            grave = [message for message in report["messages"] if message["severity"] > 1]
            self.assertEqual((grave, report["errors"]), ([], []), values)

    def test_the_chart_can_be_packed(self):
        import helm_python

        with tempfile.TemporaryDirectory() as folder:
            archive = helm_python.package(rendered.CHART, destination=folder)
            with helm_python.Chart.load(archive) as chart:
                self.assertIn("README.md", [file["name"] for file in chart.files])

    def test_a_values_file_of_gravitee_works_as_it_is(self):
        objects, notes = helm("gravitee-standard", name="federation-agent-aws")
        self.assertEqual(container(objects)["image"], "registry.example.com/federation-agent:0.1.0")
        self.assertIn("graviteeio/federation-agent-aws-api-gateway, which is Gravitee's own", notes)
        self.assertIn("which everybody knows", notes)
        expected = {"requests": {"memory": "256Mi", "cpu": "100m"}, "limits": {"memory": "512Mi", "cpu": "250m"}}
        self.assertEqual(container(objects)["resources"], expected, "Gravitee's chart ignores them")
        self.assertEqual(one(objects, "Role")["rules"][0]["verbs"], ["get", "list", "watch"])
        self.assertTrue(pod(objects)["spec"]["automountServiceAccountToken"])
        self.assertEqual(one(objects, "Deployment")["spec"]["strategy"], {"type": "Recreate"})

    def test_tokens_are_in_a_secret_word_for_word(self):
        objects, notes = helm("gravitee-standard")
        given = rendered.yaml.safe_load((rendered.VALUES / "gravitee-standard.yaml").read_text())["config"]["graviteeYml"]
        kept = secret(objects, "federation-agent-config", "gravitee-override.yml")
        self.assertEqual(rendered.yaml.safe_load(kept), given)
        others = str([item for item in objects if item["kind"] != "Secret"]) + notes
        for word in ("t0ken", "s3cret", "AKIA", "adminadmin"):
            self.assertNotIn(word, others)

    def test_the_files_lie_where_gravitees_chart_has_them(self):
        objects = self.plain()
        path = "/opt/graviteeio-federation-agent/config"
        mount = next(each for each in container(objects)["volumeMounts"] if each["mountPath"] == path)
        volume = next(each for each in pod(objects)["spec"]["volumes"] if each["name"] == mount["name"])
        files = [item["path"] for source in volume["projected"]["sources"] for each in source.values() for item in each["items"]]
        self.assertEqual(files, ["gravitee.yml", "gravitee-override.yml"])
        named = environment(objects)["JDK_JAVA_OPTIONS"]
        self.assertEqual(named, f"-Dgravitee.conf={path}/gravitee.yml,{path}/gravitee-override.yml")

    @unittest.skipUnless(BINARY.exists() and rendered.READS_FILES, "the agent is not built, or reads no gravitee.yml yet")
    def test_the_agent_understands_gravitees_values(self):
        objects, _ = helm("gravitee-standard")
        with tempfile.TemporaryDirectory() as folder:
            base = one(objects, "ConfigMap")["data"]["gravitee.yml"]
            (Path(folder) / "gravitee.yml").write_text(base)
            override = secret(objects, "federation-agent-config", "gravitee-override.yml")
            (Path(folder) / "gravitee-override.yml").write_text(override)
            path = "/opt/graviteeio-federation-agent/config"
            variables = {name: value.replace(path, folder) for name, value in environment(objects).items()}
            done = subprocess.run([BINARY, "config"], env=variables, capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("apim.example.com", done.stdout)
            self.assertNotIn("stands for nothing", done.stdout + done.stderr)
            for word in ("t0ken", "s3cret"):
                self.assertNotIn(word, done.stdout + done.stderr)

    def test_a_change_of_the_settings_is_a_new_pod(self):
        def checksum(region):
            values = {"config": {"graviteeYml": {"region": region}}}
            return pod(helm(values)[0])["metadata"]["annotations"]["checksum/config"]

        self.assertNotEqual(checksum("a"), checksum("b"))
        self.assertEqual(checksum("a"), checksum("a"))

    def test_volumes_may_be_texts_and_templates(self):
        objects, _ = helm("gravitee-certificate")
        volume = next(each for each in pod(objects)["spec"]["volumes"] if each["name"] == "custom-truststore")
        self.assertEqual(volume["secret"]["secretName"], "federation-agent-truststore")
        mount = next(each for each in container(objects)["volumeMounts"] if each["name"] == "custom-truststore")
        self.assertEqual(mount["mountPath"], "/opt/graviteeio-federation-agent/truststore")
        self.assertEqual(container(objects)["image"], "registry.example.com/mirror/federation-agent:0.1.0")
        self.assertEqual(pod(objects)["spec"]["imagePullSecrets"], [{"name": "regcred"}])

    def test_lists_do_the_same_at_each_place(self):
        volumes = [{"name": "own", "emptyDir": {}}]
        mounts = [{"name": "own", "mountPath": "/own"}]
        forms = [
            {"extraVolumes": volumes, "extraVolumeMounts": mounts},
            {"extraVolumes": rendered.yaml.safe_dump(volumes), "extraVolumeMounts": rendered.yaml.safe_dump(mounts)},
            {"kubernetes": {"extraVolumes": volumes, "deployment": {"extraVolumeMounts": mounts}}},
            {"kubernetes": {"deployment": {"extraVolumes": volumes}, "extraVolumeMounts": mounts}},
        ]
        for form in forms:
            objects, _ = helm(form)
            self.assertIn(volumes[0], pod(objects)["spec"]["volumes"], form)
            self.assertIn(mounts[0], container(objects)["volumeMounts"], form)

    def test_the_port_follows_the_file(self):
        objects, _ = helm("gravitee-certificate")
        self.assertEqual(environment(objects)["FEDERATION_AGENT_LISTEN"], "0.0.0.0:19000")
        self.assertEqual(container(objects)["ports"][0]["containerPort"], 19000)
        self.assertEqual(one(objects, "Service")["spec"]["ports"][0]["port"], 19000)
        self.assertEqual(pod(objects)["metadata"]["annotations"]["prometheus.io/port"], "19000")

    def test_secrets_that_are_referred_to_are_mounted(self):
        objects, _ = helm("gravitee-objects")
        mount = next(each for each in container(objects)["volumeMounts"] if each["mountPath"] == "/run/secrets/agent-secret")
        volume = next(each for each in pod(objects)["spec"]["volumes"] if each["name"] == mount["name"])
        self.assertEqual(volume["secret"]["secretName"], "agent-secret")
        self.assertTrue(secret(objects, "agent-secret", "apimAuthorizationHeader"))
        self.assertFalse(has(objects, "Role") or pod(objects)["spec"]["automountServiceAccountToken"])

    def test_those_of_other_namespaces_may_be_read_and_no_others(self):
        objects, _ = helm("gravitee-certificate")
        role = one(objects, "Role")
        self.assertEqual(role["metadata"]["namespace"], "gravitee-apim")
        expected = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["aws-truststore"]}
        self.assertEqual(role["rules"], [expected])
        self.assertEqual(one(objects, "RoleBinding")["subjects"][0]["namespace"], "gravitee")
        self.assertTrue(pod(objects)["spec"]["automountServiceAccountToken"])

    def test_references_may_be_read_instead_or_left_alone(self):
        text = "a: secret://kubernetes/x:y\nb: secret://kubernetes/x:z?namespace=other\nc: secret://kubernetes/w:y"

        def rights(how):
            objects, _ = helm({"config": {"graviteeYml": text}, "secretReferences": how})
            mounts = [each["mountPath"] for each in container(objects)["volumeMounts"] if each["mountPath"].startswith("/run")]
            roles = [item for item in objects if item["kind"] == "Role"]
            return mounts, {role["metadata"]["namespace"]: role["rules"][0]["resourceNames"] for role in roles}

        # Two of one name would be one place.
        self.assertEqual(rights("mount"), (["/run/secrets/w"], {"gravitee": ["x"], "other": ["x"]}))
        self.assertEqual(rights("role"), ([], {"gravitee": ["w", "x"], "other": ["x"]}))
        self.assertEqual(rights("none"), ([], {}))

    def test_logging_becomes_the_agents_own(self):
        variables = environment(helm("everything")[0])
        log = "federation_agent::link=trace,federation_agent::exchange=trace,federation_agent::provider=warn,"
        self.assertEqual(variables["FEDERATION_AGENT_LOG"], log + "federation_agent::agent=error,debug")
        self.assertEqual(variables["FEDERATION_AGENT_LOG_FORMAT"], "auto", "the user's own variable wins")
        plain = environment(self.plain())
        self.assertEqual((plain["FEDERATION_AGENT_LOG"], plain["FEDERATION_AGENT_LOG_FORMAT"]), ("info", "json"))

    def test_everything_that_can_be_switched_on(self):
        objects, notes = helm("everything", name="fa")
        spec = pod(objects)["spec"]
        self.assertTrue(container(objects)["image"].startswith("images.example.org/federation-agent@sha256:0000"))
        self.assertEqual(spec["imagePullSecrets"], [{"name": "one"}, {"name": "two"}])
        self.assertEqual(spec["initContainers"][0]["args"], ["check"])
        self.assertEqual(spec["initContainers"][0]["env"], container(objects)["env"])
        self.assertEqual(environment(objects)["FEDERATION_AGENT_DRAIN"], "20s")
        self.assertEqual(one(objects, "ServiceAccount")["metadata"]["name"], spec["serviceAccountName"])
        self.assertIn("eks.amazonaws.com/role-arn", one(objects, "ServiceAccount")["metadata"]["annotations"])
        self.assertEqual(one(objects, "ConfigMap", "authorities")["data"]["of"], "fa")
        self.assertFalse(has(objects, "Secret"))
        self.assertNotIn("helm.sh/resource-policy", one(objects, "PersistentVolumeClaim")["metadata"]["annotations"])
        endpoint = one(objects, "ServiceMonitor")["spec"]["endpoints"][0]
        self.assertEqual((endpoint["interval"], endpoint["basicAuth"]["username"]["name"]), ("15s", "figures"))
        egress = str(one(objects, "NetworkPolicy")["spec"]["egress"])
        for place in ("169.254.170.23/32", "169.254.169.254/32", "10.0.0.9/32", "8072"):
            self.assertIn(place, egress)
        self.assertEqual(spec["priorityClassName"], "high")
        self.assertEqual(pod(objects)["metadata"]["labels"]["tier"], "edge")
        self.assertNotIn("NOTE", notes)

    def test_everything_that_can_be_switched_off(self):
        objects, notes = helm("bare")
        kinds = {item["kind"] for item in objects}
        self.assertEqual(kinds, {"Deployment", "ConfigMap", "Secret"})
        self.assertEqual(environment(objects)["FEDERATION_AGENT_LISTEN"], "off")
        self.assertNotIn("livenessProbe", container(objects))
        self.assertIn("as long as the pod", notes)

    def test_tls_on_the_surface_is_probed_by_tls(self):
        objects, _ = helm({"config": {"graviteeYml": {"services": {"core": {"http": {"secured": True}}}}}})
        for kind in ("startup", "liveness", "readiness"):
            self.assertEqual(container(objects)[f"{kind}Probe"]["httpGet"]["scheme"], "HTTPS")

    def test_wrong_values_are_refused_with_a_reason(self):
        wrong = [
            ({"persistence": {"enbled": True}}, "enbled"),
            ({"networkPolicy": {"egressPorts": ["https"]}}, "egressPorts"),
            ({"config": {"logging": {"graviteeLevel": "LOUD"}}}, "graviteeLevel"),
            ({"config": {"existingSecret": "a", "graviteeYml": {"b": 1}}}, "only one of them"),
            ({"config": {"graviteeYml": "a: [b"}}, "is not YAML"),
            ({"config": {"graviteeYml": {"services": {"core": {"http": {"port": "${PORT}"}}}}}}, "need the number"),
            ({"extraVolumes": "name: none"}, "extraVolumes"),
            ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
        ]
        for values, reason in wrong:
            with self.assertRaises(Exception) as refused:
                helm(values)
            self.assertIn(reason, str(refused.exception), values)

    def test_the_journal_outlives_the_release(self):
        annotations = one(self.plain(), "PersistentVolumeClaim")["metadata"]["annotations"]
        self.assertEqual(annotations, {"helm.sh/resource-policy": "keep"})

    def test_a_cluster_may_choose_the_user(self):
        objects, _ = helm({"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}})
        left = {"runAsNonRoot", "fsGroupChangePolicy", "seccompProfile"}
        self.assertEqual(set(pod(objects)["spec"]["securityContext"]), left)

    def test_a_mirror_of_gravitees_image_is_theirs_too(self):
        def image(repository, name):
            return container(helm({"kubernetes": {"deployment": {"image": {"repository": repository, "name": name}}}})[0])["image"]

        self.assertNotIn("mirror", image("mirror.example.org/g", "federation-agent-aws-api-gateway"))
        self.assertIn("mirror", image("mirror.example.org/g", "federation-agent-rs"))

    def test_what_stands_for_nothing_is_said(self):
        self.assertIn("`persistance` stands for nothing", helm({"persistance": {"enabled": False}})[1])
        self.assertNotIn("stands for nothing", helm("gravitee-certificate")[1])

    def test_the_readme_names_every_value(self):
        readme = (rendered.CHART / "README.md").read_text()
        values = rendered.yaml.safe_load((rendered.CHART / "values.yaml").read_text())
        for key, value in values.items():
            self.assertIn(f"`{key}", readme)
            for inner in value if isinstance(value, dict) and key not in ("podSecurityContext", "securityContext") else ():
                self.assertRegex(readme, rf"`{key}\.[^`]*{inner}|`{key}\.\*`|`{key}`", f"{key}.{inner}")


class Checks(unittest.TestCase):
    """That the checks themselves find what they are for."""

    def test_what_a_cluster_would_refuse_is_found(self):
        def broken(change):
            objects = helm("everything")[0]
            change(objects)
            return faults(objects, ELSEWHERE["everything"])

        def container_of(objects):
            return container(objects)

        changes = {
            "livenessProb": lambda objects: container_of(objects).update(livenessProb={}),
            "is no volume": lambda objects: container_of(objects)["volumeMounts"].append({"name": "no", "mountPath": "/no"}),
            "chooses all": lambda objects: one(objects, "NetworkPolicy")["spec"].update(podSelector={}),
            "is understood as": lambda objects: one(objects, "PodMonitor")["spec"]["podMetricsEndpoints"][0].update(prot="x"),
            "not confined": lambda objects: container_of(objects)["securityContext"].update(allowPrivilegeEscalation=True),
            "is set twice": lambda objects: container_of(objects)["env"].append(container_of(objects)["env"][0]),
            "which is not there": lambda objects: pod(objects)["spec"].update(serviceAccountName="nobody"),
            "is there twice": lambda objects: objects.append(one(objects, "NetworkPolicy")),
        }
        for said, change in changes.items():
            self.assertIn(said, "\n".join(broken(change)))


if __name__ == "__main__":
    if not BINARY.exists():
        print("helm: the agent's own reading of the files did not run: it is not built")
    if not rendered.READS_FILES:
        print("helm: the agent's reading of gravitee.yml did not run: it reads none yet")
    unittest.main()
