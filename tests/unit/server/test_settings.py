"""Settings: what may be set from where, and each refusal with what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from cpmqr.errors import ConfigError
from cpmqr.server import settings
from cpmqr.server.settings import load


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(settings.ENV_DATABASE, raising=False)
    monkeypatch.delenv(settings.ENV_KEK_FILE, raising=False)


def file_of(tmp_path: Path, text: str | bytes) -> str:
    path = tmp_path / "cpmqr.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def refusal(path: str | None, **overrides: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, **overrides)
    return str(caught.value)


def test_without_a_file_everything_has_a_default_that_works() -> None:
    chosen = load(None)
    assert (chosen.listen.host, chosen.listen.port, chosen.storage.data) == ("127.0.0.1", 8080, "./var")
    assert (chosen.issuing.window_s, chosen.issuing.qr_ttl_s, chosen.issuing.error_status) == (
        300,
        180,
        "catalogue",
    )
    assert chosen.crypto_types == {
        "00": "none",
        "01": "aes-256-gcm",
        "02": "aes-256-cbc",
        "11": "seed-128-cbc",
    }
    assert not chosen.sandbox


def test_a_file_sets_what_it_names_and_leaves_the_rest(tmp_path: Path) -> None:
    path = file_of(
        tmp_path,
        """
        crypto_types = { "01" = "aes-256-gcm", "A1" = "seed-128-cbc" }
        [listen]
        port = 9000
        [issuing]
        qr_ttl_s = 60
        error_status = "always-200"
        dnf_profiles = { "7" = "qris" }
        """,
    )
    chosen = load(path)
    assert (chosen.listen.port, chosen.listen.host) == (9000, "127.0.0.1")
    assert (chosen.issuing.qr_ttl_s, chosen.issuing.window_s) == (60, 300)
    assert chosen.issuing.dnf_profiles == {"7": "qris"}
    assert chosen.crypto_types == {"01": "aes-256-gcm", "A1": "seed-128-cbc"}


def test_a_flag_wins_over_the_environment_and_the_environment_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file_of(tmp_path, '[storage]\ndatabase = "postgresql://file/x"\nkek_file = "/file"\n')
    assert load(path).storage.database == "postgresql://file/x"
    monkeypatch.setenv(settings.ENV_DATABASE, "postgresql://environment/x")
    monkeypatch.setenv(settings.ENV_KEK_FILE, "/environment")
    assert load(path).storage.database == "postgresql://environment/x"
    assert str(settings.kek_path(load(path))) == "/environment"
    flagged = load(path, storage__database="postgresql://flag/x", listen__port=0, sandbox=True)
    assert (flagged.storage.database, flagged.listen.port, flagged.sandbox) == (
        "postgresql://flag/x",
        0,
        True,
    )


def test_what_a_flag_does_not_give_is_left_alone(tmp_path: Path) -> None:
    path = file_of(tmp_path, "sandbox = true\n[listen]\nport = 9000\n")
    chosen = load(path, sandbox=None, listen__port=None, storage__data=None)
    assert (chosen.sandbox, chosen.listen.port) == (True, 9000)


def test_one_load_does_not_change_the_defaults_of_the_next() -> None:
    load(None).crypto_types["99"] = "none"
    load(None).issuing.dnf_profiles["9"] = "qris"
    assert "99" not in load(None).crypto_types
    assert "9" not in load(None).issuing.dnf_profiles


def test_the_key_encryption_key_lies_in_the_data_folder_unless_it_is_named() -> None:
    assert settings.kek_path(load(None, storage__data="/data")) == Path("/data/kek.key")
    assert settings.kek_path(load(None, storage__kek_file="/run/kek")) == Path("/run/kek")


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("[listen]\nprot = 1\n", "prot"),
        ("[lisen]\nport = 1\n", "lisen"),
        ('[listen]\nport = "80"\n', "$.listen.port"),
        ("[listen]\nport = 65536\n", "65535"),
        ("[listen]\nport = -1\n", "$.listen.port"),
        ("[listen]\nworkers = 0\n", "$.listen.workers"),
        ("[listen]\ndrain_s = 0\n", "$.listen.drain_s"),
        ("[listen]\nheader_bytes_max = 0\n", "$.listen.header_bytes_max"),
        ("[listen]\nconnections_max = -5\n", "$.listen.connections_max"),
        ("[listen]\nrequest_timeout_s = 0\n", "$.listen.request_timeout_s"),
        ("[listen]\nrequest_timeout_s = nan\n", "$.listen.request_timeout_s"),
        ("[listen]\nrequest_timeout_s = inf\n", "$.listen.request_timeout_s"),
        ("[storage]\nqueue_max = 0\n", "$.storage.queue_max"),
        ("[storage]\nbatch_max = 0\n", "$.storage.batch_max"),
        ("[storage]\nlanes = 0\n", "$.storage.lanes"),
        ("[storage]\nwait_max_s = -1.0\n", "$.storage.wait_max_s"),
        ("[issuing]\nwindow_s = 0\n", "$.issuing.window_s"),
        ("[issuing]\nqr_ttl_s = 0\n", "$.issuing.qr_ttl_s"),
        ('[issuing]\nerror_status = "never"\n', "$.issuing.error_status"),
        ('[issuing]\ndnf_profiles = { "1" = "unionpay" }\n', "'1' is taken"),
        ('[issuing]\ndnf_profiles = { "" = "unionpay" }\n', "'' is taken"),
        ('crypto_types = { "1" = "aes-256-gcm" }\n', "'1' can't be sent"),
        ("listen = 1\n", "[listen] must be a table"),
        ("[listen\n", "line 1"),
        (b"[listen]\nhost = \"\xff\"\n", "utf-8"),
        ("sandbox = 1\n", "$.sandbox"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_with_its_name_and_the_place(
    tmp_path: Path, text: str | bytes, about: str
) -> None:
    path = file_of(tmp_path, text)
    message = refusal(path, listen__host="127.0.0.1" if text == "listen = 1\n" else None)
    assert about in message


@pytest.mark.parametrize(
    ("path", "about"), [("/no/such/file.toml", "no such file"), ("/", "directory"), ("a\x00b", "null")]
)
def test_a_file_that_can_not_be_read_is_refused_with_the_reason(path: str, about: str) -> None:
    assert about in refusal(path).lower()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "gateway.example", ""])
def test_plain_http_is_refused_off_this_machine_unless_a_proxy_ends_tls(host: str) -> None:
    message = refusal(None, listen__host=host)
    assert "tls_cert_file" in message
    assert "behind_tls_proxy" in message
    assert load(None, listen__host=host, listen__behind_tls_proxy=True).listen.host == host
    with_tls = load(None, listen__host=host, listen__tls_cert_file="c.pem", listen__tls_key_file="k.pem")
    assert with_tls.listen.host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_plain_http_is_served_on_loopback(host: str) -> None:
    assert load(None, listen__host=host).is_loopback


@pytest.mark.parametrize("given", ["tls_cert_file", "tls_key_file"])
def test_half_of_tls_is_refused(given: str) -> None:
    assert "both" in refusal(None, **{f"listen__{given}": "x.pem"})


@pytest.mark.parametrize("url", ["mysql://x", "sqlite:///x", "postgresql", "POSTGRESQL://x", "x"])
def test_a_database_that_is_no_postgresql_url_is_refused_without_repeating_it(url: str) -> None:
    message = refusal(None, storage__database=f"{url}:secret")
    assert "postgresql:// URL" in message
    assert "secret" not in message


def test_several_workers_need_postgresql() -> None:
    assert "SQLite" in refusal(None, listen__workers=2)
    assert load(None, listen__workers=2, storage__database="postgresql://x").listen.workers == 2


def test_every_setting_has_a_documented_default() -> None:
    for section in (settings.Listen, settings.Storage, settings.Issuing, settings.Logging):
        for field in msgspec.structs.fields(section):
            assert not field.required
            assert field.name in (section.__doc__ or "") or field.name in (
                "host",
                "port",
                "workers",
                "level",
                "issues",
            )


def test_error_status_may_stand_above_all_tables_as_the_contract_writes_it(tmp_path: Path) -> None:
    file = tmp_path / "cpmqr.toml"
    file.write_text('error_status = "always-200"\n', encoding="utf-8")
    assert settings.load(str(file)).issuing.error_status == "always-200"
