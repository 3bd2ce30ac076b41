"""The objects of deploy/kubernetes, with any overlay and components: pods with few rights, which get every change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
from deploy.kustomizations import Object, Rendering, renderings
from docs.executing import ROOT
from tests.support.kubectl import needs_kubectl
from tests.support.workdirs import Workdir

from octosync import __version__
from octosync.cli.root import octosync

pytestmark = needs_kubectl

_CONFIGMAP = ROOT / "deploy" / "kubernetes" / "overlays" / "configmap"


@cache
def rendered() -> tuple[Rendering, ...]:
    return tuple(renderings())


def deployments() -> Iterator[Object]:
    return (rendering.only("Deployment") for rendering in rendered())


def pod(deployment: Object) -> dict[str, Any]:
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


def containers(deployment: Object) -> list[dict[str, Any]]:
    return [*pod(deployment).get("initContainers", []), *pod(deployment)["containers"]]


def is_replicated(rendering: Rendering) -> bool:
    """Return whether a rendering has the component `ha`."""
    return bool(re.search(r"\bha\b", rendering.name))


def environment(rendering: Rendering) -> dict[str, dict[str, Any]]:
    """Return the variables of octosync's container, by name."""
    (container,) = pod(rendering.only("Deployment"))["containers"]
    return {variable["name"]: variable for variable in container["env"]}


def test_each_overlay_is_rendered_alone_and_with_all_components() -> None:
    """Each overlay is rendered alone and with all components that it lacks; `ha` has one already."""
    assert [rendering.name for rendering in rendered()] == [
        "overlays/configmap",
        "overlays/configmap + components/ha + components/monitoring",
        "overlays/git-sync",
        "overlays/git-sync + components/ha + components/monitoring",
        "overlays/ha",
        "overlays/ha + components/monitoring",
    ]


def test_everything_selects_the_one_pod() -> None:
    """Deployment, Service, NetworkPolicy, PodDisruptionBudget and PodMonitor select the pod's labels; no selector is empty."""
    for rendering in rendered():
        labels = rendering.only("Deployment")["spec"]["template"]["metadata"]["labels"]
        selectors = {
            "Deployment": rendering.only("Deployment")["spec"]["selector"]["matchLabels"],
            "Service": rendering.only("Service")["spec"]["selector"],
            "NetworkPolicy": rendering.only("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
            "PodDisruptionBudget": rendering.only("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        }
        if "monitoring" in rendering.name:
            selectors["PodMonitor"] = rendering.only("PodMonitor")["spec"]["selector"]["matchLabels"]
        assert labels
        assert selectors == dict.fromkeys(selectors, labels)


def test_who_may_read_is_named_by_one_label() -> None:
    """The NetworkPolicy admits namespaces and pods with that label, whatever other labels they have."""
    for rendering in rendered():
        ingress = rendering.only("NetworkPolicy")["spec"]["ingress"][0]
        label = {"matchLabels": {"octosync.dev/may-read": "true"}}
        assert ingress["from"] == [{"namespaceSelector": label}, {"podSelector": label}]


def test_there_are_never_two_with_a_file() -> None:
    """With a state file: one replica, an old pod that ends before the new one starts, and a volume for one pod."""
    for rendering in rendered():
        if not is_replicated(rendering):
            spec = rendering.only("Deployment")["spec"]
            assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
            (mount,) = [
                item for item in pod({"spec": spec})["containers"][0]["volumeMounts"] if item["name"] == "state"
            ]
            assert environment(rendering)["OCTOSYNC_STATE"]["value"].startswith(mount["mountPath"])
            assert rendering.only("PersistentVolumeClaim")["spec"]["accessModes"] == ["ReadWriteOncePod"]


def test_two_replicas_share_their_state() -> None:
    """With `ha`, two pods on different nodes use the database of a Secret, without a volume; a new one replaces an old one."""
    for rendering in filter(is_replicated, rendered()):
        deployment = rendering.only("Deployment")
        assert deployment["spec"]["replicas"] == 2
        assert deployment["spec"]["strategy"] == {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
        }
        spread = {
            item["topologyKey"]: item["whenUnsatisfiable"] for item in pod(deployment)["topologySpreadConstraints"]
        }
        assert spread == {"kubernetes.io/hostname": "DoNotSchedule", "topology.kubernetes.io/zone": "ScheduleAnyway"}
        assert rendering.only("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
        assert not [item for item in rendering.objects if item["kind"] == "PersistentVolumeClaim"]
        assert not [volume for volume in pod(deployment)["volumes"] if "persistentVolumeClaim" in volume]
        assert environment(rendering)["OCTOSYNC_STATE"] == {
            "name": "OCTOSYNC_STATE",
            "valueFrom": {"secretKeyRef": {"name": "octosync-postgresql", "key": "url"}},
        }


def test_replicas_reach_one_another_and_the_database() -> None:
    """With `ha`, the NetworkPolicy allows the port of the pods in both directions, and PostgreSQL's; without it, neither."""
    for rendering in rendered():
        policy = rendering.only("NetworkPolicy")["spec"]
        pods = {"podSelector": policy["podSelector"]}
        peers = [rule for rule in policy["ingress"] if rule["from"] == [pods]]
        ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
        if is_replicated(rendering):
            assert peers == [{"from": [pods], "ports": [{"port": "http", "protocol": "TCP"}]}]
            assert [rule["ports"] for rule in policy["egress"] if rule.get("to") == [pods]] == [
                [{"port": 9900, "protocol": "TCP"}]
            ]
            assert ports == {53, 443, 5432, 9900}
            assert environment(rendering)["OCTOSYNC_ADVERTISE"]["value"] == "$(POD_IP):9900"
        else:
            assert peers == []
            assert ports == {53, 443}


def test_no_container_may_more_than_it_needs() -> None:
    """Every container, sidecars too: no root, no capability, no new privilege, a read-only root, the default seccomp, limits."""
    for deployment in deployments():
        assert pod(deployment)["automountServiceAccountToken"] is False
        security = pod(deployment)["securityContext"]
        assert security["runAsNonRoot"]
        assert security["runAsUser"] == security["runAsGroup"] == security["fsGroup"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(deployment):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert {"cpu", "memory"} <= set(container["resources"]["limits"])


def test_what_changes_reaches_the_pod() -> None:
    """Nothing is mounted by subPath, which the kubelet never updates; the manifests' ConfigMaps have no hash in their names."""
    for rendering in rendered():
        for container in containers(rendering.only("Deployment")):
            assert not [mount for mount in container["volumeMounts"] if "subPath" in mount]
    names = {item["metadata"]["name"] for item in rendered()[0].objects if item["kind"] == "ConfigMap"}
    assert {"octosync-manifests", "octosync-config"} < names


def test_no_secret_is_in_the_manifests() -> None:
    """Secrets are referenced, never created; the API key is a file that only the pod's group can read."""
    for rendering in rendered():
        assert not [item for item in rendering.objects if item["kind"] == "Secret"]
        (key,) = [volume for volume in pod(rendering.only("Deployment"))["volumes"] if volume["name"] == "api-key"]
        assert key["secret"]["defaultMode"] == 0o440


def test_there_is_time_to_stop() -> None:
    """The grace period is longer than the 25 seconds in which octosync ends after a SIGTERM."""
    for deployment in deployments():
        assert pod(deployment)["terminationGracePeriodSeconds"] > 25


def test_probes_ask_what_octosync_answers() -> None:
    """Startup and liveness probe /healthz, readiness probes /readyz, on the port of the controller."""
    for deployment in deployments():
        (octosync,) = pod(deployment)["containers"]
        probes = {name: octosync[name]["httpGet"]["path"] for name in octosync if name.endswith("Probe")}
        assert probes == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
        assert octosync["ports"] == [{"name": "http", "containerPort": 9900}]
        assert "--listen=0.0.0.0:9900" in octosync["args"]


def _watch() -> click.Command | None:
    with click.Context(octosync) as context:
        return octosync.get_command(context, "watch")


def test_arguments_and_settings_are_options_of_watch() -> None:
    """Every argument of the container is an option of `octosync watch`, and every setting is the variable of an option."""
    watch = _watch()
    assert watch is not None
    options = {option for parameter in watch.params for option in parameter.opts}
    variables = {parameter.envvar for parameter in watch.params}
    for rendering in rendered():
        (container,) = pod(rendering.only("Deployment"))["containers"]
        command, *arguments = container["args"]
        assert command == "watch"
        assert {argument.partition("=")[0] for argument in arguments} <= options
        (settings,) = [item for item in rendering.objects if item["metadata"]["name"].startswith("octosync-settings-")]
        assert set(settings["data"]) <= variables
        assert environment(rendering).keys() - {"POD_IP", "OCTOSYNC_ADMIN_TOKEN", "OCTOSYNC_STATE_KEY"} <= variables


def test_the_image_is_of_this_version() -> None:
    """The base's image tag is octosync's version; images of others are pinned by digest."""
    for deployment in deployments():
        assert pod(deployment)["containers"][0]["image"] == f"octosync:{__version__}"
        for container in pod(deployment).get("initContainers", ()):
            assert re.search(r":v[\d.]+@sha256:[0-9a-f]{64}$", container["image"])


def test_the_mounted_example_is_valid(tmp_path: Path) -> None:
    """Mounted as by the kubelet, behind `..data`, the overlay's manifests and octosync.yaml are valid, and read once."""
    configmaps = {
        item["metadata"]["name"]: item["data"] for item in rendered()[0].objects if item["kind"] == "ConfigMap"
    }
    for name in ("octosync-manifests", "octosync-config"):
        version = tmp_path / name / "..2026_01_01"
        version.mkdir(parents=True)
        (tmp_path / name / "..data").symlink_to(version.name)
        for file, text in configmaps[name].items():
            (version / file).write_text(text, encoding="utf-8")
            (tmp_path / name / file).symlink_to(Path("..data") / file)
    workdir = Workdir(tmp_path)
    ran = workdir.octosync("validate", "-f", "octosync-manifests", "--config", "octosync-config/octosync.yaml")
    assert ran.code == 0, ran.stdout + ran.stderr
    assert "1 app" in ran.stdout


def test_the_example_is_one_of_examples() -> None:
    """Kustomize reads nothing outside its folder, so the manifest is a copy, and the same."""
    example = ROOT / "examples" / "manifests" / "assistants" / "field-notes.yaml"
    assert (_CONFIGMAP / "manifests" / "field-notes.yaml").read_bytes() == example.read_bytes()
