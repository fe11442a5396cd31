"""Say step by step what the gateway makes of a request, and why. One engine for `cpmqr explain` and the console.

It runs the very functions of `service/issue.py`, one at a time, and writes down what each saw. Decrypted fields are
masked; the canonical text is shown, since comparing it is what a wallet's developer needs most. Meant for the sandbox
and for keys that the caller holds anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from cpmqr.errors import Refusal, UnsealError
from cpmqr.model import HashMode, mask_pan
from cpmqr.service.access import Principal
from cpmqr.service.issue import Call, Issuer, korean_text
from cpmqr.wire import codes, contract, envelope, sealed

HEAD_BYTES_SHOWN: Final = 16  # of a ciphertext: enough to find one's own nonce or IV

Result = TypeVar("Result")


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """One step of the gateway.

    Attributes:
        number, title: as `service/issue.py` lists them.
        passed: False at the step that refuses; what would follow is not reached.
        code, text: the answer's, where it refuses.
        facts: name and value, in the order in which a person compares them.
    """

    number: int
    title: str
    passed: bool
    code: str = ""
    text: str = ""
    facts: tuple[tuple[str, str], ...] = ()


class Explanation(msgspec.Struct, frozen=True):
    """All steps that were reached, and how it ended: "0000" where steps 1 to 7 pass."""

    code: str
    text: str
    steps: tuple[Step, ...]


class _Stopped(Exception):
    """A step refused; the rest is not reached."""


class _Notebook:
    def __init__(self) -> None:
        self.steps: list[Step] = []

    def step(
        self,
        number: int,
        title: str,
        work: Callable[[], Result],
        facts: Callable[[Result], list[tuple[str, str]]],
        known: list[tuple[str, str]] | None = None,
    ) -> Result:
        """Do a step and write it down; `known` is shown even where it refuses."""
        try:
            result = work()
        except Refusal as refusal:
            code = codes.CODES[refusal.rslt_cd]
            text = f"{code.rslt_msg}: {refusal.cause}" if refusal.cause else code.rslt_msg
            self.steps.append(Step(number, title, False, refusal.rslt_cd, text, tuple(known or [])))
            raise _Stopped from None
        self.steps.append(Step(number, title, True, facts=tuple((known or []) + facts(result))))
        return result


def explain(issuer: Issuer, call: Call) -> Explanation:
    """Explain steps 1 to 7 for a request; the store is not asked, and nothing is issued.

    Raises:
        CpmqrError: the directory can't be read. A refusal is part of the explanation, not an error.
    """
    notebook = _Notebook()
    try:
        _explain(issuer, call, notebook)
    except _Stopped:
        last = notebook.steps[-1]
        return Explanation(last.code, last.text, tuple(notebook.steps))
    return Explanation(codes.OK, codes.CODES[codes.OK].rslt_msg, tuple(notebook.steps))


def _explain(issuer: Issuer, call: Call, notebook: _Notebook) -> None:
    charset, principal = notebook.step(
        1,
        "content type and credential",
        lambda: (envelope.charset_of(call.content_type), issuer.access.identify(call.authorization)),
        lambda known: [
            ("charset", known[0]),
            ("belongs to", f"{known[1].requestor.requestor_id} {known[1].requestor.name}".strip()),
        ],
    )
    sent = notebook.step(
        2,
        "envelope",
        lambda: _read_envelope(call.body, charset),
        lambda read: [("REQID", read.reqid), ("VERSION", read.version), ("members", ", ".join(read.members))],
    )
    message = notebook.step(
        3,
        "members",
        lambda: contract.read_message(sent, issuer.rules.dnf_profiles),
        lambda read: _about_members(read, sent.members),
    )
    notebook.step(
        4,
        "requestor",
        lambda: issuer.check_requestor(principal, message, call.source),
        lambda _: [("state", "live"), ("HASH_CRC mode", principal.requestor.hash_crc)],
    )
    notebook.step(
        5,
        "crypto type and key version",
        lambda: issuer.check_crypto(principal, message),
        lambda _: _about_key(issuer, principal, message),
    )
    notebook.step(
        6,
        "HASH_CRC",
        lambda: issuer.check_hash(principal, message, sealed.request_lines(message.members)),
        lambda _: [],
        known=_about_hash(principal, message),
    )
    notebook.step(
        7,
        "ENC_DATA",
        lambda: issuer.open_enc_data(principal, message),
        lambda opened: _about_opened(issuer, call, opened, message),
        known=_about_ciphertext(issuer, message),
    )


def _read_envelope(body: bytes, charset: str) -> envelope.Envelope:
    read = envelope.read_request(body, charset)
    envelope.check(read)
    return read


def _about_members(message: contract.Message, sent: dict[str, str]) -> list[tuple[str, str]]:
    other = [
        f"{name} → {contract.OTHER_SPELLINGS[name]}" for name in sent if name in contract.OTHER_SPELLINGS
    ]
    known = set(message.members) | set(contract.OTHER_SPELLINGS)
    ignored = [name for name in sent if name not in known]
    facts = [
        (
            "TRNS_TRCE_NO",
            f"{message.trace_no} ({len(message.trace_no.encode())} of {contract.TRACE_NO_BYTES_MAX} bytes)",
        )
    ]
    if other:
        facts.append(("other spellings", ", ".join(other)))
    if ignored:
        facts.append(("ignored", ", ".join(ignored)))
    return facts


def _about_key(issuer: Issuer, principal: Principal, message: contract.Message) -> list[tuple[str, str]]:
    kcv = principal.check_values.get((message.crypto_type, message.crypto_key_ver), "no key")
    return [
        ("scheme", issuer.access.suites[message.crypto_type].name),
        ("key version", message.crypto_key_ver),
        ("check value", kcv),
    ]


def _about_hash(principal: Principal, message: contract.Message) -> list[tuple[str, str]]:
    mode = principal.requestor.hash_crc
    if mode is HashMode.OFF:
        return [("mode", "off: the member is ignored")]
    text = sealed.request_text(message.members)
    expected = sealed.hash_crc(mode, principal.hash_keys.get(message.crypto_key_ver, sealed.NO_KEY), text)
    return [
        ("mode", mode),
        ("canonical text", text.decode()),
        ("computed here", expected),
        ("sent", message.hash_crc or "(missing)"),
    ]


def _about_ciphertext(issuer: Issuer, message: contract.Message) -> list[tuple[str, str]]:
    if issuer.access.suites[message.crypto_type].key_bytes == 0:
        return []  # nothing is sealed: its first bytes would be the PAN
    aad = sealed.associated_data(message.requestor_id, message.crypto_key_ver, message.trace_no)
    facts = [("AAD (type 01)", aad.decode())]
    try:
        blob = sealed.decode_enc_data(message.enc_data)
    except UnsealError:
        return facts
    return [*facts, ("bytes", f"{len(blob)}, beginning {blob[:HEAD_BYTES_SHOWN].hex()}")]


def _about_opened(
    issuer: Issuer, call: Call, opened: sealed.Opened, message: contract.Message
) -> list[tuple[str, str]]:
    skew = call.now_s - opened.request_at_s
    window = issuer.rules.window_s
    verdict = "inside" if abs(skew) <= window else "outside: 3006, unless it is a retry"
    return [
        ("digital PAN", mask_pan(opened.pan.reveal())),
        (
            "request time",
            f"{opened.request_time}, {abs(skew)} s {'behind' if skew >= 0 else 'ahead of'} the gateway's",
        ),
        ("gateway's time", korean_text(call.now_s)),
        ("window", f"±{window} s, {verdict}"),
        ("trace number", f"{message.trace_no} (equal to TRNS_TRCE_NO)"),
    ]
