"""What kustomize and Helm make of the files in `deploy/`, and whether a cluster would take it.

Validated are all objects against the schemas that Kubernetes publishes, unknown fields refused, for the oldest and the newest
release that we name; monitors against models of the Prometheus operator's own definitions; and what no schema says: that
names which objects use of each other are there, and that the pod is one that the `restricted` pod security standard admits.
"""

import base64
import functools
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parents[2]
KUSTOMIZE = ROOT / "deploy/kubernetes"
CHART = ROOT / "deploy/helm/federation-agent"
VALUES = Path(__file__).resolve().parent / "values"
RELEASES = ("1.27", "1.37")
# Until it does, what is in gravitee.yml cannot be tried.
READS_FILES = "`FEDERATION_AGENT_CONFIG`" in (ROOT / "docs/settings.md").read_text()
KUBECTL = os.environ.get("KUBECTL") or shutil.which("kubectl")


def documents(text):
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [document for document in yaml.load_all(text, Loader=loader) if document]


def kustomize(overlay, components=(), secrets=None, settings=None):
    """The objects of an overlay with its example secrets and settings, or with these texts in their place."""
    return documents(built(overlay, tuple(components), secrets, settings))


@functools.cache
def built(overlay, components, secrets, settings):
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "kubernetes"
        shutil.copytree(KUSTOMIZE, copy)
        place = copy / "overlays" / overlay
        text = (place / "secrets.env.example").read_text() if secrets is None else secrets
        (place / "secrets.env").write_text(text)
        if settings is not None:
            (place / "settings.env").write_text(settings)
        if components:
            file = place / "kustomization.yaml"
            whole = yaml.safe_load(file.read_text())
            whole["components"] = (whole.get("components") or []) + [f"../../components/{name}" for name in components]
            file.write_text(yaml.safe_dump(whole))
        done = subprocess.run([KUBECTL, "kustomize", str(place)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(f"kustomize {overlay}: {done.stderr}")
        return done.stdout


def helm(values=None, name="federation-agent", namespace="gravitee"):
    """The objects of a release, and its notes."""
    import helm_python

    if isinstance(values, str):
        values = yaml.safe_load((VALUES / f"{values}.yaml").read_text())
    with helm_python.Chart.load(CHART) as chart:
        chart.validate_schema(values or {})
        files = chart.render(values or {}, name=name, namespace=namespace)
    notes = files.pop("federation-agent/templates/NOTES.txt")
    return [document for text in files.values() for document in documents(text)], notes


def lint(values=None):
    import helm_python

    if isinstance(values, str):
        values = yaml.safe_load((VALUES / f"{values}.yaml").read_text())
    return helm_python.lint(CHART, values or {}, strict=True)


def one(objects, kind, name=None):
    found = [item for item in objects if item["kind"] == kind and name in (None, item["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} of kind {kind}, name {name}"
    return found[0]


def has(objects, kind):
    return any(item["kind"] == kind for item in objects)


def pod(objects):
    return one(objects, "Deployment")["spec"]["template"]


def container(objects):
    return pod(objects)["spec"]["containers"][0]


def environment(objects):
    return {entry["name"]: entry.get("value") for entry in container(objects).get("env", [])}


def secret(objects, name, key):
    return base64.b64decode(one(objects, "Secret", name)["data"][key]).decode()


def faults(objects, elsewhere=()):
    """All that a cluster would refuse, or run otherwise than meant. `elsewhere`: names of objects that the user brings."""
    found = []
    for item in objects:
        where = f"{item['kind']} {item['metadata']['name']}"
        if item["apiVersion"].startswith("monitoring.coreos.com/"):
            found += [f"{where}: {fault}" for fault in monitor(item)]
            continue
        for release in RELEASES:
            try:
                kubernetes_validate.validate(item, release, strict=True)
            except kubernetes_validate.ValidationError as error:
                path = ".".join(str(part) for part in error.path)
                found.append(f"{where} ({release}): {path}: {error.message}")
    names = {}
    for item in objects:
        key = (item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"])
        if key in names:
            found.append(f"{key} is there twice")
        names[key] = item
    return found + references(objects, elsewhere) + confinement(objects)


def monitor(item):
    """Unknown fields are dropped by the model: what comes back must be what went in."""
    from cloudcoil.models.prometheus_operator import v1

    try:
        model = getattr(v1, item["kind"]).model_validate(item)
    except ValueError as error:
        return [str(error)]
    back = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return [] if back["spec"] == item["spec"] else [f"{item['spec']} is understood as {back['spec']}"]


def references(objects, elsewhere):
    found = []
    there = {(item["kind"], item["metadata"]["name"]) for item in objects}

    def needs(kind, name, by):
        if (kind, name) not in there and name not in elsewhere:
            found.append(f"{by} names the {kind} {name}, which is not there")

    template = pod(objects)
    spec = template["spec"]
    labels = template["metadata"]["labels"]
    needs("ServiceAccount", spec["serviceAccountName"], "the pod")
    volumes = {}
    for volume in spec["volumes"]:
        if volume["name"] in volumes:
            found.append(f"the volume {volume['name']} is there twice")
        volumes[volume["name"]] = volume
        for source in [volume, *volume.get("projected", {}).get("sources", [])]:
            if "secret" in source:
                needs("Secret", source["secret"].get("secretName") or source["secret"]["name"], f"volume {volume['name']}")
            if "configMap" in source:
                needs("ConfigMap", source["configMap"]["name"], f"volume {volume['name']}")
        if "persistentVolumeClaim" in volume:
            needs("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"], f"volume {volume['name']}")
    for each in spec.get("initContainers", []) + spec["containers"]:
        mounts = each.get("volumeMounts", [])
        if len({mount["mountPath"] for mount in mounts}) != len(mounts):
            found.append("two mounts on one path")
        found += [f"{mount['name']} is no volume" for mount in mounts if mount["name"] not in volumes]
        names = [entry["name"] for entry in each.get("env", [])]
        found += [f"{name} is set twice" for name in set(names) if names.count(name) > 1]
        for source in each.get("envFrom", []):
            for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
                if key in source:
                    needs(kind, source[key]["name"], "envFrom")
        for entry in each.get("env", []):
            key = entry.get("valueFrom", {}).get("secretKeyRef")
            if key:
                needs("Secret", key["name"], entry["name"])
                if key["name"] not in elsewhere and key["key"] not in one(objects, "Secret", key["name"])["data"]:
                    found.append(f"{entry['name']}: the Secret has no {key['key']}")
    ports = {port["name"] for port in spec["containers"][0].get("ports", [])}
    for item in objects:
        selector = {
            "Service": lambda spec: spec["selector"],
            "NetworkPolicy": lambda spec: spec["podSelector"].get("matchLabels", {}),
            "PodDisruptionBudget": lambda spec: spec["selector"].get("matchLabels", {}),
            "Deployment": lambda spec: spec["selector"]["matchLabels"],
            "PodMonitor": lambda spec: spec["selector"]["matchLabels"],
        }.get(item["kind"])
        if selector:
            chosen = selector(item["spec"])
            if not chosen or not chosen.items() <= labels.items():
                found.append(f"{item['kind']} does not choose the agent's pod, or chooses all: {chosen}")
        if item["kind"] == "Service":
            found += [f"{port['targetPort']} is no port" for port in item["spec"]["ports"] if port["targetPort"] not in ports]
        if item["kind"] == "ServiceMonitor":
            chosen = item["spec"]["selector"]["matchLabels"]
            if not chosen.items() <= one(objects, "Service")["metadata"]["labels"].items():
                found.append("ServiceMonitor does not choose the Service")
        if item["kind"] == "RoleBinding":
            needs("Role", item["roleRef"]["name"], "a RoleBinding")
    return found


def confinement(objects):
    """The `restricted` pod security standard, and what the image is made for."""
    spec = pod(objects)["spec"]
    security = spec["securityContext"]
    found = []
    if not (security["runAsNonRoot"] and security["runAsUser"] == security["fsGroup"] == 65532):
        found.append("the pod is not of user 65532")
    if security["seccompProfile"]["type"] != "RuntimeDefault":
        found.append("no seccomp profile")
    if spec["enableServiceLinks"]:
        found.append("Services of the namespace become variables that look like settings")
    for each in spec.get("initContainers", []) + spec["containers"]:
        own = each["securityContext"]
        if own["allowPrivilegeEscalation"] or not own["readOnlyRootFilesystem"] or own["capabilities"] != {"drop": ["ALL"]}:
            found.append(f"{each['name']} is not confined")
    return found


def settings_documented():
    """The names of docs/settings.md, as patterns: `N` is a number."""
    text = (ROOT / "docs/settings.md").read_text()
    names = set(re.findall(r"`((?:FEDERATION_AGENT_|gravitee_)[A-Za-z0-9_]+)`", text))
    return [re.compile("^" + re.sub(r"(?<=_)N(?=_|$)", "[0-9]+", name) + "(_[0-9]+)?(_FILE)?$") for name in names]


def is_setting(name):
    return any(pattern.match(name) for pattern in settings_documented())
