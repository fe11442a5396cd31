"""The members of a request and of an answer: names, spellings, rules (contract §1 and §2).

A member's canonical name, the page's other spelling, whether it is required, its rule in words and its check stand
in one row of `REQUEST_MEMBERS`; errors, docs and OpenAPI are made from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from operator import call
from typing import Final

from cpmqr.errors import Refusal
from cpmqr.record import Frozen, Leaf
from cpmqr.wire import codes
from cpmqr.wire.envelope import Envelope

MSG_CD: Final = "Q200"
MSG_VER: Final = "01"
RSLT_TYPE: Final = "JSON"
TRACE_NO_BYTES_MAX: Final = 40
ENC_DATA_CHARACTERS_MAX: Final = 4096
APP_DV_BYTES_MAX: Final = 20
DNF_DV_CHARACTERS_MAX: Final = 20  # ours: the page shows one digit
TIME_DIGITS: Final = 14
CPMQR_DATA_CHARACTERS_MAX: Final = 512  # a till's reader need not recover more (CPM 3.2)

KOREAN_TIME: Final = timezone(timedelta(hours=9), "KST")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Member(Frozen):
    """One row of the request's table.

    Attributes:
        name: canonical; `other`: the spelling of the page's table where it differs from its sample, else "".
        rule: what the value must be, for people. `ok`: the same for the program.
        code: what a broken rule is answered with.
    """

    name: str
    rule: str
    ok: Callable[[str], object]
    required: bool = False
    other: str = ""
    code: str = codes.MEMBER_WRONG


def _digits(count: int) -> Callable[[str], object]:
    return re.compile(f"[0-9]{{{count}}}").fullmatch


def _one_of(*allowed: str) -> Callable[[str], object]:
    return frozenset(allowed).__contains__


def _two_characters(value: str) -> bool:
    return len(value) == 2 and value.isprintable()


def _trace_no(value: str) -> bool:
    # A trace of 41 to 160 characters is over 40 bytes or not: only then is it worth encoding.
    if not value or "|" in value or len(value) > TRACE_NO_BYTES_MAX:
        return False
    if value.isascii():
        return value.isprintable()
    return len(value.encode()) <= TRACE_NO_BYTES_MAX and not _CONTROL.search(value)


def _app_dv(value: str) -> bool:
    return value.isprintable() and len(value.encode()) <= APP_DV_BYTES_MAX


def korean_time(text: str) -> datetime | None:
    """Read `yyyymmddHHMMSS` in Korean time; None if it is no real time."""
    if len(text) != TIME_DIGITS or not (text.isascii() and text.isdigit()):
        return None
    try:
        date = int(text[:4]), int(text[4:6]), int(text[6:8])
        return datetime(*date, int(text[8:10]), int(text[10:12]), int(text[12:]), tzinfo=KOREAN_TIME)
    except ValueError:
        return None


def korean_time_s(text: str) -> int | None:
    """Read `yyyymmddHHMMSS` in Korean time as whole seconds since the Unix epoch; None if it is no real time."""
    return _seconds(text) if len(text) == TIME_DIGITS else None  # what is longer must not fill the cache


@lru_cache(maxsize=4096)  # under load many requests name the same second
def _seconds(text: str) -> int | None:
    moment = korean_time(text)
    return None if moment is None else int(moment.timestamp())


REQUEST_MEMBERS: Final[tuple[Member, ...]] = (
    Member("REQUESTOR_ID", "11 digits", _digits(11), required=True),
    Member("MSG_CD", MSG_CD, _one_of(MSG_CD), True, "MSG_ID", codes.UNKNOWN_MESSAGE),
    Member("MSG_VER", MSG_VER, _one_of(MSG_VER), True, code=codes.UNKNOWN_VERSION),
    Member("CRYPTO_TYPE", "2 characters", _two_characters, True, "CRTPYO_TYPE"),
    Member("CRYPTO_KEY_VER", "2 characters", _two_characters, True),
    Member(
        "TRNS_TRCE_NO",
        "1 to 40 bytes of UTF-8 without control characters and |",
        _trace_no,
        True,
        "TRNS_TRACE_NO",
    ),
    Member(
        "ENC_DATA",
        f"Base64, 1 to {ENC_DATA_CHARACTERS_MAX} characters",
        lambda value: 0 < len(value) <= ENC_DATA_CHARACTERS_MAX,  # what is no Base64 is 3003's matter
        required=True,
    ),
    # Missing or ill-formed is 3004's matter: whether it is required is the requestor's setting.
    Member("HASH_CRC", "Base64 of 32 bytes", lambda value: True),
    Member("RSLT_TYPE", RSLT_TYPE, _one_of(RSLT_TYPE)),
    Member(
        "REG_ATON",
        "yyyymmddHHMMSS in Korean time, a real date",
        lambda value: korean_time_s(value) is not None,
    ),
    Member("REQ_KEY_DV", "1 or empty", _one_of("1", "")),
    Member("CPMQR_DATA_CLSS", "1 or empty", _one_of("1", "")),
    Member(
        "DNF_DV",
        f"1 or a value that this gateway's configuration maps to a profile, at most {DNF_DV_CHARACTERS_MAX} characters",
        lambda value: len(value) <= DNF_DV_CHARACTERS_MAX and value.isprintable(),
    ),
    Member("APP_DV", f"printable, at most {APP_DV_BYTES_MAX} bytes", _app_dv),
)

# The page's table says CRTPYO_TYPE, MSG_ID and TRNS_TRACE_NO; its sample CRYPTO_TYPE, MSG_CD and TRNS_TRCE_NO.
OTHER_SPELLINGS: Final = {member.other: member.name for member in REQUEST_MEMBERS if member.other}
_ROWS: Final = {
    spelling: (member.name, member.ok)
    for member in REQUEST_MEMBERS
    for spelling in (member.name, member.other)
    if spelling
}
_UNKNOWN: Final[tuple[str, Callable[[str], object]]] = ("", lambda value: True)
_REQUIRED: Final = frozenset(member.name for member in REQUEST_MEMBERS if member.required)
DNF_DV_DOMESTIC: Final = ("", "1")  # DNF_DV for the token's own profile


class Message(Leaf):
    """A request whose members obey the table.

    `members` holds the known ones under their canonical names, and is what HASH_CRC covers.
    """

    requestor_id: str
    crypto_type: str
    crypto_key_ver: str
    trace_no: str
    enc_data: str
    hash_crc: str | None
    dnf_dv: str
    app_dv: str
    members: dict[str, str]

    def __repr__(self) -> str:
        return f"<message of {self.requestor_id}, CRYPTO_TYPE {self.crypto_type}>"


def read_message(envelope: Envelope, dnf_values: Collection[str] = ()) -> Message:
    """Hold an envelope's members against the table; those that it does not know are ignored.

    `dnf_values` are what DNF_DV may be beside 1 and empty, by configuration.

    Raises:
        Refusal: 1002 for the first that is missing, then 1003 for the first whose value is wrong, then 1004 and
            1005 for MSG_CD and MSG_VER. The cause names the member and the rule, never the value.
    """
    members = _good_members(envelope)
    dnf_dv = "" if members is None else members.get("DNF_DV", "")
    if members is None or (dnf_dv not in DNF_DV_DOMESTIC and dnf_dv not in dnf_values):
        raise _first_fault(envelope, dnf_values)
    return Message(
        members["REQUESTOR_ID"],
        members["CRYPTO_TYPE"],
        members["CRYPTO_KEY_VER"],
        members["TRNS_TRCE_NO"],
        members["ENC_DATA"],
        members.get("HASH_CRC"),
        dnf_dv,
        members.get("APP_DV", ""),
        members,
    )


def _good_members(envelope: Envelope) -> dict[str, str] | None:
    """Give the known members under their canonical names; None where one is missing or wrong."""
    # Only shapes of known names are remembered: who sends others would fill the memory with what he likes.
    shape_of = _shape if envelope.members.keys() <= _ROWS.keys() else _shape.__wrapped__
    shape = shape_of(tuple(envelope.members))
    if shape is None or envelope.not_strings.keys() & _ROWS.keys():
        return None
    values = envelope.members.values()
    if not all(map(call, shape.checks, values)):
        return None
    if shape.names is None:
        return envelope.members
    members: dict[str, str] = {}
    for name, value in zip(shape.names, values, strict=True):
        if name and members.setdefault(name, value) != value:
            return None  # both spellings, and two values
    return members


class _Shape(Frozen):
    """What follows from the names of a request's members alone, in the order in which they were sent.

    Attributes:
        names: canonical, "" for one that is not known; None where all were sent under their canonical names.
        checks: one for each member.
    """

    names: tuple[str, ...] | None
    checks: tuple[Callable[[str], object], ...]


@lru_cache(maxsize=256)  # a wallet sends the same names each time
def _shape(sent_as: tuple[str, ...]) -> _Shape | None:
    """Give the shape of a request; None where a required member is missing."""
    rows = [_ROWS.get(name, _UNKNOWN) for name in sent_as]
    names = tuple(name for name, _ in rows)
    if not set(names) >= _REQUIRED:
        return None
    return _Shape(None if names == sent_as else names, tuple(ok for _, ok in rows))


def _first_fault(envelope: Envelope, dnf_values: Collection[str]) -> Refusal:
    """Look again, slowly and in the contract's order: what is missing, what is wrong, then message and version."""
    sent: dict[str, list[str]] = {}
    for sent_as, value in envelope.members.items():
        if sent_as in _ROWS:
            sent.setdefault(_ROWS[sent_as][0], []).append(value)
    no_strings = {OTHER_SPELLINGS.get(name, name): kind for name, kind in envelope.not_strings.items()}
    for member in REQUEST_MEMBERS:
        if member.required and member.name not in sent and member.name not in no_strings:
            return Refusal(codes.MEMBER_MISSING, f"{_spellings(member)} is missing")
    faults = [
        fault
        for member in REQUEST_MEMBERS
        if (fault := _fault(member, sent.get(member.name, []), no_strings.get(member.name), dnf_values))
    ]
    return min(
        faults, key=lambda fault: fault.rslt_cd
    )  # 1003 before 1004 before 1005; else the table's order


def _fault(
    member: Member, values: list[str], no_string: str | None, dnf_values: Collection[str]
) -> Refusal | None:
    if no_string is not None:
        return Refusal(codes.MEMBER_WRONG, f"{member.name} must be a JSON string in quotes, not {no_string}")
    if len(set(values)) > 1:
        return Refusal(codes.MEMBER_WRONG, f"{_spellings(member)}: both were sent, with different values")
    if not all(member.ok(value) for value in values):
        return Refusal(member.code, f"{_spellings(member)} must be {member.rule}")
    if (
        member.name == "DNF_DV"
        and values
        and values[0] not in DNF_DV_DOMESTIC
        and values[0] not in dnf_values
    ):
        return Refusal(codes.MEMBER_WRONG, f"DNF_DV must be one of {', '.join(['1', *sorted(dnf_values)])}")
    return None


def echo(sent: Mapping[str, str]) -> dict[str, str]:
    """Give what an error may repeat of a request: ids and versions, if they look like ids and versions.

    Anything longer than a REQUESTOR_ID could be a PAN in the wrong place, and is not repeated.
    """
    both = {"MSG_CD": sent.get("MSG_CD", sent.get("MSG_ID"))}
    wanted = {
        "REQUESTOR_ID": sent.get("REQUESTOR_ID"),
        **both,
        "MSG_ID": both["MSG_CD"],
        "MSG_VER": sent.get("MSG_VER"),
    }
    return {
        name: value
        for name, value in wanted.items()
        if value is not None and len(value) <= 11 and value.isascii() and value.isalnum()
    }


def _spellings(member: Member) -> str:
    return f"{member.name} (or {member.other})" if member.other else member.name
