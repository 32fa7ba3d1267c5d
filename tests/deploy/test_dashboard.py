"""deploy/grafana.json and prometheus.yml, held against what the service really shows at /metrics."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

from bot.app import create_app
from bot.settings.config import Settings
from bot.telemetry import metrics

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def shown() -> dict[str, set[str]]:
    """Every name that /metrics has, with the labels it is cut by."""
    metrics.REQUESTS.labels("/", "GET", "200").inc(0)
    for counter in (metrics.MESSAGES, metrics.RETRIES, metrics.DUPLICATES):
        counter.labels("wechat").inc(0)
    for counter in (metrics.TASKS_DONE, metrics.TASKS_FAILED, metrics.PUSHES, metrics.BROADCAST):
        counter.labels("x").inc(0)
    metrics.note_tasks({"webhook": {"waiting": 0}})
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.show()[0].decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def expressions() -> list[str]:
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def test_every_name_of_the_dashboard_is_shown() -> None:
    known = shown()
    assert len(expressions()) >= 20
    for expression in expressions():
        for name, _, wanted in re.findall(r"(plm_\w+)({([^}]*)})?", expression):
            assert name in known, name
            labels = set(re.findall(r"(\w+)=~?", wanted))
            labels |= {label for group in re.findall(r"by \((\w+)\)", expression) for label in [group]}
            assert labels <= known[name], (expression, known[name])


def test_prometheus_asks_where_the_service_answers() -> None:
    (job,) = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    settings = Settings(redis_url="redis://127.0.0.1:6379", engine_url="http://127.0.0.1:8001")
    assert job["static_configs"][0]["targets"] == [f"127.0.0.1:{settings.port}"]
    assert job["metrics_path"] in {rule.rule for rule in create_app(settings).url_map.iter_rules()}
