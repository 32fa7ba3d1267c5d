"""chart/: rendered by Helm itself, held against the schemas of Kubernetes' API and against the program."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.app import create_app
from bot.server.processes import GRACE
from bot.settings.config import Settings, load_settings
from tests.deploy.test_files import SETTINGS, check_plm
from tests.helm import CHART, complaint, find_helm, helm, render

pytest.importorskip("kubernetes_validate", reason="no kubernetes-validate here")
pytestmark = pytest.mark.skipif(find_helm() is None, reason="no Helm here: `make test` installs it")

FILES = sorted((CHART / "ci").glob("*.yaml"))
VERSIONS = ("1.30", "1.37")
OWN = {"ScaledObject"}  # KEDA's: Kubernetes has no schema of it
Objects = list[dict[str, Any]]


@pytest.fixture(scope="module")
def rendered() -> dict[str, Objects]:
    return {"default": render(CHART), **{file.stem: render(CHART, "-f", str(file)) for file in FILES}}


@pytest.fixture(scope="module")
def everything(rendered: dict[str, Objects]) -> Objects:
    return [one for objects in rendered.values() for one in objects]


def of_kind(objects: Objects, kind: str) -> Objects:
    return [one for one in objects if one["kind"] == kind]


def one(objects: Objects, kind: str, name: str) -> dict[str, Any]:
    (found,) = [one for one in of_kind(objects, kind) if one["metadata"]["name"] == name]
    return found


def containers(deployment: dict[str, Any]) -> list[dict[str, Any]]:
    pod = deployment["spec"]["template"]["spec"]
    return [*pod.get("initContainers", []), *pod["containers"]]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_api_knows_every_field(everything: Objects, version: str) -> None:
    kinds = {one["kind"] for one in everything}
    assert kinds == {
        "ConfigMap", "Deployment", "HorizontalPodAutoscaler", "Ingress", "NetworkPolicy",
        "PodDisruptionBudget", "ScaledObject", "Service",
    }  # fmt: skip
    assert [said for one in everything if one["kind"] not in OWN and (said := complaint(one, version))] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_helm_has_nothing_against_it(file: Path) -> None:
    done = helm("lint", "--strict", str(CHART), "-f", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


MISTAKES = [
    ("web.yaml", "readinessProbe:", "readynessProbe:"),
    ("web.yaml", "containerPort: 8000", "containerport: 8000"),
    ("web.yaml", "failureThreshold: 60", "failureThreshold: often"),
    ("web.yaml", "averageUtilization:", "averageUtilisation:"),
    ("web.yaml", "apiVersion: policy/v1", "apiVersion: policy/v1beta1"),
    ("web.yaml", "pathType: Exact", "pathtype: Exact"),
    ("worker.yaml", "kind: Deployment", "kind: Deploymnt"),
    ("worker.yaml", "terminationGracePeriodSeconds", "terminationGraceSeconds"),
    ("engine.yaml", "clusterIP: None", "clusterIp: None"),
    ("engine.yaml", "{{- if .Values.engine.enabled }}", "{{- if .Values.engine.enabled }"),
    ("network.yaml", "podSelector:\n    matchLabels", "podSelector:\n    matchlabels"),
    ("_pod.tpl", "readOnlyRootFilesystem: true", "readOnlyRootFileSystem: true"),
    ("_pod.tpl", "emptyDir: { sizeLimit", "emptyDir: { size"),
    ("_pod.tpl", "runAsUser: 10001", "runAsUser: plm"),
    ("config.yaml", 'PLM_PORT: "8000"', "PLM_PORT: 8000"),
]


@pytest.mark.parametrize(("name", "right", "wrong"), MISTAKES)
def test_a_planted_mistake_is_found(tmp_path: Path, name: str, right: str, wrong: str) -> None:
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    file = chart / "templates" / name
    text = file.read_text()
    assert right in text
    file.write_text(text.replace(right, wrong))
    values = CHART / "ci" / ("engines.yaml" if name == "engine.yaml" else "cluster.yaml")
    try:
        objects = render(chart, "-f", str(values))
    except ValueError:
        return
    assert any(complaint(one, VERSIONS[-1]) for one in objects if one["kind"] not in OWN)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"web": {"replica": 3}}, "replica"),
        ({"web": {"replicas": 0}}, "replicas"),
        ({"web": {"resources": {"requests": {"cpu": "1x"}}}}, "cpu"),
        ({"library": {"size": "1 GB"}}, "size"),
        ({"settings": {"PLM_WECHAT_TOKEN": "AAAAA"}}, "PLM_WECHAT_TOKEN"),
        ({"settings": {"PLM_ADMIN_KEY": "12345678"}}, "PLM_ADMIN_KEY"),
        ({"settings": {"PLM_LOG_TEXT": 1}}, "PLM_LOG_TEXT"),
        ({"settings": {"LOG_FORMAT": "json"}}, "LOG_FORMAT"),
        ({"store": {"url": "redis://:secret@valkey:6379"}}, "url"),
        ({"store": {"url": "valkey:6379"}}, "url"),
        ({"image": {"digest": "sha256:12"}}, "digest"),
        ({"worker": {"enabled": True, "keda": {"enabled": True}}}, "keda"),
    ],
)
def test_wrong_values_and_secrets_are_refused(tmp_path: Path, values: dict[str, Any], word: str) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(ValueError, match=word):
        render(CHART, "-f", str(file))


def test_every_container_is_hardened(everything: Objects) -> None:
    deployments = of_kind(everything, "Deployment")
    assert {one["metadata"]["labels"]["app.kubernetes.io/component"] for one in deployments} == {
        "web", "worker", "engine", "envoy",
    }  # fmt: skip
    for deployment in deployments:
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert pod["terminationGracePeriodSeconds"] == 45 >= GRACE + 5 + 10
        for container in containers(deployment):
            assert container["securityContext"] == {
                "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }  # fmt: skip
            assert {"limits"} <= set(container["resources"])
            assert "memory" in container["resources"]["limits"]
            if "envoy" not in container["name"]:
                check_plm(container["args"])


def test_selectors_ports_and_names_fit_together(rendered: dict[str, Objects]) -> None:
    for objects in rendered.values():
        pods = [one["spec"]["template"] for one in of_kind(objects, "Deployment")]
        names = {one["metadata"]["name"] for one in objects}

        def matching(labels: dict[str, str], pods: Objects = pods) -> Objects:
            return [pod for pod in pods if labels.items() <= pod["metadata"]["labels"].items()]

        for deployment in of_kind(objects, "Deployment"):
            assert matching(deployment["spec"]["selector"]["matchLabels"]) == [deployment["spec"]["template"]]
            for config in re.findall(r"configMap(?:Ref)?': {'name': '([\w-]+)'", str(deployment)):
                assert config in names
        for service in of_kind(objects, "Service"):
            (pod,) = matching(service["spec"]["selector"])
            ports = {port["name"] for one in pod["spec"]["containers"] for port in one["ports"]}
            assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
        for kind in ("PodDisruptionBudget", "NetworkPolicy"):
            for found in of_kind(objects, kind):
                spec = found["spec"]
                labels = (spec.get("selector") or spec["podSelector"])["matchLabels"]
                pods_meant = matching(labels)
                assert len(pods_meant) == 1 or (kind == "NetworkPolicy" and "worker" in str(labels))
        for scaler in of_kind(objects, "HorizontalPodAutoscaler") + of_kind(objects, "ScaledObject"):
            target = one(objects, "Deployment", scaler["spec"]["scaleTargetRef"]["name"])
            assert "replicas" not in target["spec"]  # an upgrade would set it back
            assert "cpu" in target["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]


def test_probes_ask_whether_the_process_answers_and_nothing_else(everything: Objects) -> None:
    """/readyz asks Redis: with it as a probe, all pods would go when Redis does, and "busy" with them."""
    asked = {
        container[probe]["httpGet"]["path"]
        for deployment in of_kind(everything, "Deployment")
        for container in containers(deployment)
        for probe in ("startupProbe", "readinessProbe", "livenessProbe")
        if "httpGet" in container.get(probe, {})
    }
    assert asked == {"/healthz"}


def test_the_settings_are_the_programs(rendered: dict[str, Objects], monkeypatch: pytest.MonkeyPatch) -> None:
    for objects in rendered.values():
        data = one(objects, "ConfigMap", "bot")["data"]
        assert set(data) <= SETTINGS | {"PLM_QUEUE_URL"}
    for name, value in one(rendered["small"], "ConfigMap", "bot")["data"].items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PLM_WECHAT_MODE")  # its key is in the secret
    settings = load_settings()
    assert (settings.host, settings.port, settings.redis_url) == ("0.0.0.0", 8000, "redis://valkey:6379/0")


def test_web_pods_ask_envoy_and_envoy_asks_the_hosts(rendered: dict[str, Objects]) -> None:
    objects = rendered["engines"]
    assert one(objects, "ConfigMap", "bot")["data"]["PLM_ENGINE_URL"] == "http://bot-envoy:8001"
    service = one(objects, "Service", "bot-envoy")
    assert service["spec"]["ports"][0]["port"] == 8001
    config = yaml.safe_load(one(objects, "ConfigMap", "bot-envoy")["data"]["envoy.yaml"])
    own = yaml.safe_load((CHART / "envoy.yaml").read_text())
    address = config["static_resources"]["clusters"][0]["load_assignment"]["endpoints"][0]["lb_endpoints"][0]
    assert address["endpoint"]["address"]["socket_address"] == {"address": "bot-engine", "port_value": 8000}
    address["endpoint"]["address"]["socket_address"]["address"] = "engine"
    assert config == own
    assert one(objects, "Service", "bot-engine")["spec"]["clusterIP"] == "None"
    engine = one(objects, "Deployment", "bot-engine")
    assert "secretRef" not in str(engine)


def test_the_ingress_shows_everything_but_the_operators_pages(rendered: dict[str, Objects]) -> None:
    settings = Settings(redis_url="redis://127.0.0.1:6379", engine_url="http://127.0.0.1:8001")
    routes = {rule.rule for rule in create_app(settings).url_map.iter_rules()}
    (rule,) = one(rendered["cluster"], "Ingress", "bot")["spec"]["rules"]
    paths = [(path["path"], path["pathType"]) for path in rule["http"]["paths"]]

    def shown(route: str) -> bool:
        return any(
            route == path or (kind == "Prefix" and route.startswith(path + "/")) for path, kind in paths
        )

    hidden = {route for route in routes if not shown(route)}
    assert hidden == {route for route in routes if re.match(r"/(admin(/|$)|metrics$|readyz$)", route)}
    for path, _ in paths:
        assert any(route == path or route.startswith(path + "/") for route in routes), path


def test_keda_counts_the_tasks_of_a_queue(rendered: dict[str, Objects]) -> None:
    scaler = one(rendered["cluster"], "ScaledObject", "bot-worker")
    (trigger,) = scaler["spec"]["triggers"]
    assert trigger == {
        "type": "redis",
        "metadata": {
            "address": "valkey-queue:6380",
            "listName": "{plm:work:wechat}:wechat",
            "listLength": "100",
        },
    }
