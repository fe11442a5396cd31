"""What `deploy/` holds is used as it is: settings load, names exist, nothing is laxer than it says."""

from __future__ import annotations

import configparser
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from cpmqr.errors import ConfigError
from cpmqr.server.settings import Listen, load
from cpmqr.server.supervisor import CLOSE_S

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
IMAGE = re.compile(r"[a-z0-9-]+(:[a-z0-9.-]+)?")  # a plain name: whoever runs it says where images come from


def test_the_sample_config_is_a_deployment_that_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CPMQR_DATABASE_URL", "postgresql://cpmqr@db1,db2/cpmqr")
    settings = load(str(DEPLOY / "cpmqr.toml"))
    assert settings.listen.workers == 2
    assert not settings.sandbox
    assert settings.provisioning.ranges


def test_a_sample_config_without_its_database_says_what_is_missing() -> None:
    with pytest.raises(ConfigError, match="PostgreSQL"):
        load(str(DEPLOY / "cpmqr.toml"))


def container_lines() -> list[str]:
    text = (DEPLOY / "Containerfile").read_text("utf-8").replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_the_image_runs_as_nobody_in_particular_with_pinned_versions_and_a_health_check() -> None:
    lines = container_lines()
    images = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert images
    assert all(IMAGE.fullmatch(image) for image in images)
    last = lines[[i for i, line in enumerate(lines) if line.startswith("FROM ")][-1] :]
    assert any(re.fullmatch(r"USER [1-9]\d*:[1-9]\d*", line) for line in last)
    assert any(line.startswith("HEALTHCHECK ") and "/healthz" in line for line in last)
    (install,) = [line for line in lines if "pip install" in line]
    assert "-c constraints.txt" in install
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    wanted = re.search(r"\.\[([a-z,]+)\]", install)
    assert wanted
    assert set(wanted[1].split(",")) <= extras.keys()
    copied = {
        name
        for line in lines
        if line.startswith("COPY ") and "--from" not in line
        for name in line.split()[1:-1]
    }
    assert all((ROOT / name).exists() for name in copied)


def test_the_composed_gateway_has_a_read_only_root_and_no_privilege() -> None:
    tree = load_yaml("compose.yaml")
    services = tree["services"]
    for name in ("gateway", "upgrade"):
        service = services[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert {*service["secrets"]} <= tree["secrets"].keys()
    assert all(IMAGE.fullmatch(service["image"]) for service in services.values())
    assert all(port.startswith("127.0.0.1:") for port in services["gateway"]["ports"])
    assert "password" not in json.dumps(services["gateway"]["environment"]).lower()


def test_the_unit_is_hardened_and_hands_the_key_over_as_a_credential() -> None:
    unit = load_unit("cpmqr.service")["Service"]
    for name, value in {
        "DynamicUser": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "PrivateTmp": "yes",
        "PrivateDevices": "yes",
        "NoNewPrivileges": "yes",
        "CapabilityBoundingSet": "",
        "MemoryDenyWriteExecute": "yes",
        "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    }.items():
        assert unit[name] == value, name
    credential, _, _ = unit["LoadCredential"].partition(":")
    assert unit["Environment"] == f"CPMQR_KEK_FILE=%d/{credential}"
    for key in ("ExecStart", "ExecStartPre"):
        assert unit[key].startswith("/opt/cpmqr/bin/cpmqr ")


def test_the_drain_fits_into_what_the_unit_and_the_composed_service_wait() -> None:
    longest_s = Listen().drain_s + CLOSE_S
    assert int(load_unit("cpmqr.service")["Service"]["TimeoutStopSec"]) > longest_s
    grace = load_yaml("compose.yaml")["services"]["gateway"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) > longest_s


def test_the_database_cluster_confirms_nothing_on_one_machine_alone() -> None:
    tree = load_yaml("patroni/patroni.yml")
    dcs = tree["bootstrap"]["dcs"]
    assert dcs["synchronous_mode"] is True
    assert dcs["synchronous_mode_strict"] is True
    assert dcs["postgresql"]["parameters"]["synchronous_commit"] == "on"
    assert {"wal-method": "fetch"} in tree["postgresql"]["basebackup"]
    assert dcs["loop_wait"] + 2 * dcs["retry_timeout"] <= dcs["ttl"]


def test_no_password_and_no_key_is_in_any_file() -> None:
    for file in DEPLOY.rglob("*"):
        if file.is_file():
            text = file.read_text("utf-8")
            assert not re.search(r"(?im)^[ \t]*\w*password[ \t]*[:=][ \t]*[^\s$/{]+$", text), file
            assert not re.search(r"\b[0-9a-fA-F]{32,}\b", text), file


def load_yaml(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text("utf-8"))


def load_unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None, comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / "systemd" / name, "utf-8")
    return parser
