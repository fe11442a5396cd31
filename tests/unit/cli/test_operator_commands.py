"""The operator's commands, run as the shell runs them, on the database of a sandbox."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.unit.keys.made import key_bytes

from cpmqr import sandbox
from cpmqr.cli import main as cli
from cpmqr.keys.check_value import check_value
from cpmqr.keys.software import SoftwareKek
from cpmqr.keys.tr31 import read_block, write_block
from cpmqr.model import KeyPurpose, Secret
from cpmqr.sandbox import SandboxFile
from cpmqr.store.sqlite import SqliteStore

PAN = sandbox.PAGE_PAN
WALLET = sandbox.REQUESTOR_ID


class Ran(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Ran]


@pytest.fixture
def file(tmp_path: Path) -> SandboxFile:
    async def seed() -> SandboxFile:
        kek = sandbox.kek(tmp_path)
        store = SqliteStore.open(tmp_path / "cpmqr.sqlite")
        try:
            await store.upgrade()
            return await sandbox.seed(store, kek, tmp_path, "http://127.0.0.1:8080", 1_795_000_000)
        finally:
            await store.close()

    return asyncio.run(seed())


@pytest.fixture
def cpmqr(tmp_path: Path, file: SandboxFile, capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*arguments: str, data: Path = tmp_path) -> Ran:
        status = cli.main([*arguments, "--data", str(data)])
        out, err = capsys.readouterr()
        return Ran(status, out, err)

    return run


def private(path: Path, content: str) -> str:
    path.write_text(content)
    path.chmod(0o600)
    return str(path)


def test_a_token_s_life_from_the_shell(cpmqr: Command) -> None:
    made = cpmqr(
        "token", "provision", "--requestor", WALLET, "--expiry", "3012", "--bin", "535020", "--json"
    ).json
    assert re.fullmatch(r"535020\d{10}", made["pan"])
    token_id = made["token_id"]
    for command, state in (
        ("suspend", "suspended"),
        ("suspend", "suspended"),
        ("resume", "active"),
        ("delete", "deleted"),
    ):
        ran = cpmqr("token", command, token_id, "--json")
        assert (ran.status, ran.json["state"]) == (0, state)
        assert ran.json["pan"] == f"535020******{made['pan'][-4:]}"
    refused = cpmqr("token", "resume", token_id)
    assert (refused.status, refused.out) == (1, "")
    assert "4003" in refused.err


def test_a_given_pan_is_never_printed(cpmqr: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    pan = "5350207391826456"
    monkeypatch.setattr("sys.stdin", io.StringIO(pan + "\n"))
    ran = cpmqr("token", "provision", "--requestor", WALLET, "--expiry", "3012", "--pan", "-")
    assert ran.status == 0
    again = cpmqr("token", "provision", "--requestor", WALLET, "--expiry", "3012", "--pan", pan)
    wrong = cpmqr("token", "show", "--pan", pan[:-1] + "0")
    shown = cpmqr("token", "show", "--pan", pan)
    assert (again.status, wrong.status, shown.status) == (1, 2, 0)
    for text in (*ran, *again, *wrong, *shown):
        assert pan[6:12] not in str(text)


def test_lists_are_paged_and_join(cpmqr: Command, file: SandboxFile) -> None:
    seen: list[str] = []
    after: list[str] = []
    while True:
        page = cpmqr("token", "list", "--limit", "4", "--json", *after).json
        seen += [token["token_id"] for token in page["tokens"]]
        if page["after"] is None:
            break
        after = ["--after", page["after"]]
    assert len(seen) == len(set(seen)) == len(file.tokens)
    table = cpmqr("token", "list", "--state", "suspended").out.splitlines()
    assert len(table) == 2
    assert "535020******" in table[1]
    assert cpmqr("token", "list", "--after", "nonsense").status == 1


def test_an_import_reports_each_refused_line_and_keeps_made_pans_in_a_private_file(
    cpmqr: Command, tmp_path: Path
) -> None:
    csv = tmp_path / "tokens.csv"
    csv.write_bytes(
        b"\xef\xbb\xbfexpiry,pan,funding_ref\n3012,,a\n3012,5350206900000067,b\n3012,,\xff\n3012,5350200000000019,c\n"
    )
    out = tmp_path / "made.csv"
    ran = cpmqr(
        "token", "import", str(csv), "--requestor", WALLET, "--bin", "535020", "--out", str(out), "--json"
    )
    assert ran.status == 1
    assert ran.json == {
        "stored": 2,
        "made": 1,
        "refused": [
            {"line": 3, "reason": "pan: the PAN's check digit is wrong (Luhn)"},
            {"line": 4, "reason": "funding_ref: at most 64 printable characters"},
        ],
    }
    assert out.stat().st_mode & 0o777 == 0o600
    head, row = out.read_text().splitlines()
    assert head == "line,token_id,pan"
    assert re.fullmatch(r"2,[0-9a-f]{16},535020\d{10}", row)
    assert cpmqr("token", "import", str(csv), "--bin", "535020", "--out", str(out)).status == 2
    assert cpmqr("token", "import", str(csv), "--bin", "535020").status == 2
    assert cpmqr("token", "import", str(tmp_path / "none.csv")).status == 2
    assert cpmqr("token", "import", str(csv), "--requestor", WALLET).out.startswith(
        "0 tokens stored, 4 lines refused"
    )


def test_pans_are_made_in_the_configured_ranges_where_none_is_named(cpmqr: Command, tmp_path: Path) -> None:
    config = tmp_path / "cpmqr.toml"
    config.write_text('[[provisioning.ranges]]\nprefix = "62000012"\npan_digits = 19\n')
    made = cpmqr(
        "token", "provision", "--requestor", WALLET, "--expiry", "3012", "--config", str(config), "--json"
    )
    assert re.fullmatch(r"62000012\d{11}", made.json["pan"])
    refused = cpmqr("token", "provision", "--requestor", WALLET, "--expiry", "3012")
    assert refused.status == 1
    assert "no such BIN range" in refused.err


def test_a_requestor_gets_its_credential_once_and_never_again(cpmqr: Command) -> None:
    created = cpmqr(
        "requestor", "create", "42000000077", "--name", "Wallet", "--network", "192.0.2.0/24", "--json"
    ).json
    credential = created["authorization"]
    assert len(credential) == 43
    listed = cpmqr("requestor", "credential", "list", "42000000077", "--json").json["credentials"]
    assert [one["credential_id"] for one in listed] == [created["credential_id"]]
    for command in (("requestor", "show", "42000000077"), ("requestor", "list"), ("audit", "list")):
        assert credential not in cpmqr(*command, "--json").out
    second = cpmqr("requestor", "credential", "add", "42000000077", "--json").json
    assert second["authorization"] != credential
    assert cpmqr("requestor", "credential", "add", "42000000077").status == 1
    assert cpmqr("requestor", "credential", "revoke", created["credential_id"]).status == 0
    assert cpmqr("requestor", "credential", "revoke", created["credential_id"]).status == 1


def test_a_requestor_is_changed_field_by_field(cpmqr: Command) -> None:
    assert (
        cpmqr("requestor", "set", WALLET, "--rate-limit", "50", "--crypto-type", "01", "--json").json[
            "rate_limit_per_s"
        ]
        == 50
    )
    changed = cpmqr("requestor", "set", WALLET, "--crypto-type", "", "--json").json
    assert (changed["crypto_types"], changed["rate_limit_per_s"]) == ([], 50)
    assert cpmqr("requestor", "suspend", WALLET, "--json").json["suspended"] is True
    assert cpmqr("requestor", "resume", WALLET, "--json").json["suspended"] is False
    assert cpmqr("requestor", "set", WALLET).status == 2
    refused = cpmqr("requestor", "set", WALLET, "--network", "everywhere")
    assert refused.status == 1
    assert "networks" in refused.err


def test_keys_are_listed_by_check_values_and_nothing_else_of_them(cpmqr: Command, file: SandboxFile) -> None:
    keys = cpmqr("key", "list", "--owner", WALLET, "--purpose", "transport", "--json").json["keys"]
    live = {key["name"]: key["kcv"] for key in keys if key["version"] == "00"}
    assert live["01"] == check_value("aes-256", bytes.fromhex(file.crypto_types["01"].key_hex))
    text = cpmqr("key", "list").out.lower() + cpmqr("key", "list", "--json").out.lower()
    for secret in (*(key.key_hex for key in file.crypto_types.values()), file.hash_crc.key_hex):
        assert secret not in text
        assert secret[:12] not in text


def test_a_key_rotation_from_the_shell(cpmqr: Command) -> None:
    name = ("--owner", "bc-domestic")
    assert cpmqr("key", "retire", "issuer-master", *name, "--version", "05").status == 2
    assert cpmqr("key", "rotate", "issuer-master", *name, "--json").json["version"] == "06"
    assert (
        cpmqr("key", "retire", "issuer-master", *name, "--version", "05", "--json").json["state"] == "retired"
    )
    assert cpmqr("key", "activate", "issuer-master", *name, "--version", "05").status == 2
    again = cpmqr("key", "activate", "issuer-master", *name, "--version", "05", "--reinstate", "--json")
    assert again.json["state"] == "active"
    keys = cpmqr("key", "set", WALLET, "--json").json["keys"]
    assert {key["version"] for key in keys} == {"03"}  # 01 is the sandbox's retired one, 02 the pending
    assert cpmqr("key", "init", "--json").json["keys"] == []


def test_a_ceremony_with_component_files(cpmqr: Command, tmp_path: Path) -> None:
    parts = [key_bytes(f"custodian {number}", 16) for number in range(2)]
    whole = bytes(a ^ b for a, b in zip(*parts, strict=True))
    options: list[str] = []
    for number, part in enumerate(parts):
        path = private(tmp_path / f"part{number}", part.hex(" ", 2).upper() + "\n")
        options += ["--component", f"{path}:{check_value('tdes-112', part)}"]
    name = ("key", "import", "issuer-master", "--owner", "bc-domestic")
    good = cpmqr(*name, *options, "--kcv", check_value("tdes-112", whole), "--json")
    assert good.json["kcv"] == check_value("tdes-112", whole)
    assert (good.json["version"], good.json["state"]) == ("06", "pending")
    bad = cpmqr(*name, *options, "--kcv", "000000")
    assert bad.status == 2
    (tmp_path / "part1").chmod(0o644)
    open_to_all = cpmqr(*name, *options, "--kcv", "000000")
    assert open_to_all.status == 2
    assert "chmod 600" in open_to_all.err
    for ran in (good, bad, open_to_all):
        assert parts[0].hex()[:8] not in (ran.out + ran.err).lower()


def test_a_ceremony_at_the_terminal_echoes_no_component(
    cpmqr: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [key_bytes(f"custodian {number}", 16) for number in range(2)]
    whole = bytes(a ^ b for a, b in zip(*parts, strict=True))
    answers = iter(
        [
            "2",
            parts[0].hex(),
            check_value("tdes-112", parts[0]),
            parts[1].hex(),
            check_value("tdes-112", parts[1]),
        ]
    )
    hidden: list[bool] = []

    def prompt(question: str, *, hide_input: bool = False, type: Any = str, **_: Any) -> Any:  # noqa: A002
        hidden.append(hide_input)
        return type(next(answers))

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.prompt", prompt)
    name = ("key", "import", "issuer-master", "--owner", "bc-domestic")
    ran = cpmqr(*name, "--kcv", check_value("tdes-112", whole), "--json")
    assert ran.json["kcv"] == check_value("tdes-112", whole)
    assert hidden == [False, True, False, True, False]


def test_without_a_terminal_components_are_not_waited_for(
    cpmqr: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    ran = cpmqr("key", "import", "issuer-master", "--owner", "bc-domestic")
    assert ran.status == 2
    assert "--component FILE:KCV" in ran.err


def test_keys_go_out_and_come_in_as_tr31(cpmqr: Command, tmp_path: Path, file: SandboxFile) -> None:
    shared = key_bytes("shared")
    shared_file = private(tmp_path / "shared", shared.hex())
    name = ("--owner", WALLET, "--name", "01")
    block = cpmqr("key", "export", "transport", *name, "--version", "00", "--protection-key", shared_file).out
    secret = read_block(block, Secret(shared), KeyPurpose.TRANSPORT, "aes-256")
    assert secret.reveal().hex() == file.crypto_types["01"].key_hex
    theirs = Secret(key_bytes("theirs"))
    block_file = tmp_path / "block"
    block_file.write_text(write_block(theirs, Secret(shared), KeyPurpose.TRANSPORT, "aes-256") + "\n")
    ran = cpmqr(
        "key",
        "import",
        "transport",
        *name,
        "--tr31",
        str(block_file),
        "--protection-key",
        shared_file,
        "--json",
    )
    assert (ran.json["version"], ran.json["kcv"]) == ("03", check_value("aes-256", theirs.reveal()))
    assert cpmqr("key", "import", "transport", *name, "--tr31", str(block_file)).status == 2
    assert cpmqr("key", "export", "vault-pan", "--version", "1", "--protection-key", shared_file).status == 2


def test_a_new_kek_takes_over_and_the_old_one_opens_nothing(
    cpmqr: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new.key"
    assert cli.main(["key", "kek", str(new)]) == 0
    assert cli.main(["key", "kek", str(new)]) == 2
    capsys.readouterr()
    count = len(cpmqr("key", "list", "--json").json["keys"])
    assert cpmqr("key", "rewrap", "--new-kek-file", str(new), "--json").json == {
        "rewrapped": count,
        "kek": SoftwareKek.from_file(new).kek_id,
    }
    old = cpmqr("token", "list")
    assert old.status == 3
    assert f"wrapped under KEK {SoftwareKek.from_file(new).kek_id}" in old.err
    assert cpmqr("token", "list", "--kek-file", str(new)).status == 0


def test_with_both_keks_configured_everything_opens_before_and_after_a_re_wrap(
    cpmqr: Command, tmp_path: Path
) -> None:
    SoftwareKek.create(tmp_path / "new.key")
    config = tmp_path / "cpmqr.toml"
    config.write_text(
        f"""[storage]\nkek_file = "{tmp_path}/new.key"\nkek_file_before = "{tmp_path}/kek.key"\n"""
    )
    both = ("--config", str(config))
    assert cpmqr("token", "list", *both).status == 0
    assert cpmqr("key", "rewrap", "--new-kek-file", str(tmp_path / "new.key"), *both).status == 0
    assert cpmqr("token", "list", *both).status == 0
    assert cpmqr("token", "list", "--kek-file", str(tmp_path / "new.key")).status == 0


def test_reseal_reports_what_it_did(cpmqr: Command, file: SandboxFile) -> None:
    assert cpmqr("key", "reseal", "--json").json == {"seen": len(file.tokens), "resealed": 0, "unreadable": 0}


def test_the_audit_verifies_until_a_line_is_touched(cpmqr: Command, tmp_path: Path) -> None:
    good = cpmqr("audit", "verify", "--json").json
    assert good["valid"] is True
    assert cpmqr("audit", "verify", "--noted", good["head"]).status == 0
    cpmqr("token", "suspend", "--pan", PAN)
    assert cpmqr("audit", "verify", "--noted", good["head"]).status == 0
    seq, _, chain = good["head"].partition(":")
    rewritten = cpmqr("audit", "verify", "--noted", f"{seq}:{'0' * len(chain)}", "--json")
    assert (rewritten.status, rewritten.json["line"]) == (1, int(seq))
    assert cpmqr("audit", "verify", "--noted", f"9999:{chain}").status == 1
    assert cpmqr("audit", "verify", "--noted", "nonsense").status == 2

    def touched(statement: str) -> Ran:
        with sqlite3.connect(tmp_path / "cpmqr.sqlite") as connection:
            connection.execute(statement)
        connection.close()
        return cpmqr("audit", "verify", "--json")

    cut = touched("DELETE FROM audit WHERE seq = (SELECT MAX(seq) FROM audit)")
    assert (cut.status, cut.json["what"]) == (1, "lines at the end are missing")
    changed = touched("UPDATE audit SET actor = 'nobody' WHERE seq = 4")
    assert (changed.status, changed.json["line"]) == (1, 4)
    missing = touched("DELETE FROM audit WHERE seq = 2")
    assert (missing.status, missing.json["line"]) == (1, 2)


def test_the_audit_is_paged_and_names_who_and_what(cpmqr: Command) -> None:
    cpmqr("token", "suspend", "--pan", PAN)
    first = cpmqr("audit", "list", "--limit", "5", "--json").json
    assert [line["seq"] for line in first["lines"]] == [1, 2, 3, 4, 5]
    last = cpmqr("audit", "list", "--limit", "1000", "--json").json
    assert last["after"] is None
    line = last["lines"][-1]
    assert (line["source"], line["action"]) == ("cli", "token.state")
    assert PAN not in cpmqr("audit", "list").out


def test_db_makes_tells_and_purges(cpmqr: Command, tmp_path: Path) -> None:
    new = tmp_path / "new"
    assert cpmqr("db", "status", data=new).status == 2
    assert not new.exists()
    made = cpmqr("db", "upgrade", "--json", data=new).json
    assert made["schema_version"] == len(made["steps"]) > 0
    assert cpmqr("db", "upgrade", "--json", data=new).json["steps"] == []
    assert cpmqr("db", "status", "--json", data=new).json["up_to_date"] is True
    assert cpmqr("db", "purge", "--older-than-days", "2", "--json").json == {"removed": 0}
    assert cpmqr("db", "purge", "--older-than-days", "1").status == 2
    assert new.stat().st_mode & 0o777 == 0o700


def test_an_empty_database_says_what_to_do(cpmqr: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "cpmqr.sqlite").touch()
    ran = cpmqr("token", "list", data=tmp_path / "empty")
    assert ran.status == 2
    assert "cpmqr db upgrade" in ran.err
    assert cpmqr("db", "status", data=tmp_path / "empty").status == 1


def test_a_kek_that_others_can_read_stops_what_needs_keys(cpmqr: Command, tmp_path: Path) -> None:
    os.chmod(tmp_path / "kek.key", 0o640)  # noqa: PTH101
    ran = cpmqr("token", "list")
    assert ran.status == 2
    assert "chmod 600" in ran.err
    assert cpmqr("requestor", "list").status == 0


def test_wrong_usage_is_2_and_an_unreachable_database_3(cpmqr: Command) -> None:
    assert cpmqr("token", "show").status == 2
    assert cpmqr("token", "show", "0" * 16, "--pan", PAN).status == 2
    assert cpmqr("token", "show", "0" * 16).status == 1
    assert cpmqr("key", "generate", "nonsense").status == 2
    assert cpmqr("db", "status", "--database", "mysql://x").status == 2
