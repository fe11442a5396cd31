"""Alarms, dashboard and their page speak of metrics, codes and rules that there are."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from cpmqr import startup
from cpmqr.server.settings import load
from cpmqr.server.wiring import Gateway
from cpmqr.wire import codes

DEPLOY = Path(__file__).parents[2] / "deploy"
NAME = re.compile(r"\bcpmqr_[a-z0-9_]+")
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> CollectorRegistry:
    """What a whole gateway counts."""

    async def made() -> Gateway:
        data = str(tmp_path_factory.mktemp("gateway") / "var")
        gateway = await startup.open_gateway(load(None, sandbox=True, storage__data=data))
        await gateway.store.close()
        return gateway

    return asyncio.run(made()).observer.registry


def sample_names(registry: CollectorRegistry) -> set[str]:
    return {family.name + suffix for family in registry.collect() for suffix in SUFFIXES[family.type]}


def rules() -> list[dict[str, Any]]:
    tree = yaml.safe_load((DEPLOY / "prometheus-alerts.yml").read_text("utf-8"))
    return [rule for group in tree["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    tree: dict[str, Any] = json.loads((DEPLOY / "grafana-dashboard.json").read_text("utf-8"))
    return tree


def expressions() -> list[str]:
    shown = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    asked = [
        variable["definition"] for variable in dashboard()["templating"]["list"] if "definition" in variable
    ]
    return [*shown, *asked, *[rule["expr"] for rule in rules()]]


def test_every_name_in_alarms_and_dashboard_is_a_metric_of_the_gateway(registry: CollectorRegistry) -> None:
    named = {name for expression in expressions() for name in NAME.findall(expression)}
    assert len(named) > 15
    assert named <= sample_names(registry)


def test_every_metric_of_the_gateway_is_on_the_dashboard(registry: CollectorRegistry) -> None:
    shown = {
        name
        for panel in dashboard()["panels"]
        for target in panel["targets"]
        for name in NAME.findall(target["expr"])
    }
    missing = [
        family.name
        for family in registry.collect()
        if not shown & {family.name + suffix for suffix in SUFFIXES[family.type]}
    ]
    assert missing == []


def test_every_label_that_is_asked_for_is_one_of_the_metric(registry: CollectorRegistry) -> None:
    labels = {"le", "instance"} | {
        label for family in registry.collect() for sample in family.samples for label in sample.labels
    }
    labels |= {"requestor", "operation", "outcome"}  # seen once something has been counted
    for expression in expressions():
        for selector in re.findall(r"\{([^}]*)\}", expression):
            assert set(re.findall(r"(\w+)\s*=", selector)) <= labels, expression
        for listed in re.findall(r"by \(([^)]*)\)", expression):
            assert set(listed.split(", ")) <= labels, expression


def test_every_code_in_them_is_of_the_catalogue() -> None:
    for expression in expressions():
        for pattern in re.findall(r'code=~?"([^"]+)"', expression):
            assert any(re.fullmatch(pattern, code) for code in codes.CODES), expression
            for code in re.findall(r"\d{4}", pattern):
                assert code in codes.CODES


def test_every_bucket_in_them_is_one_of_the_histogram(registry: CollectorRegistry) -> None:
    gateway_buckets = {
        f"{bound}" for bound in (-300.0, -120.0, -30.0, -10.0, -3.0, 3.0, 10.0, 30.0, 120.0, 300.0)
    }
    for expression in expressions():
        for bound in re.findall(r'le="([^"]+)"', expression):
            assert bound in gateway_buckets
            assert "cpmqr_request_skew_seconds_bucket" in expression


def test_every_alarm_says_how_bad_it_is_and_what_to_do_about_it() -> None:
    page = (DEPLOY.parent / "docs" / "alerts.md").read_text("utf-8")
    explained = re.findall(r"^### (Cpmqr\w+)", page, re.MULTILINE)
    assert explained == [rule["alert"] for rule in rules()]
    for rule in rules():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        flat = " ".join(rule["expr"].split())
        assert flat in " ".join(page.split()), f"docs/alerts.md has another rule for {rule['alert']}"


def test_panels_have_a_place_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])
