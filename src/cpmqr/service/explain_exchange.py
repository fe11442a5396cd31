"""A request and the answer that it got, explained from end to end: what the console's inspector shows.

Steps 1 to 7 are those of `service/explain.py`, gone through again. Steps 8 to 10 are read off the answer: the store is
not asked a second time. Where the answer says something else than steps 1 to 7 do, the answer is right: it knew the
rate limits, the size of the body, and what the sandbox's headers asked for.
"""

from __future__ import annotations

import binascii
from typing import Final

from cpmqr.emv import tlv
from cpmqr.service.explain import Explanation, Step, explain
from cpmqr.service.issue import Call, Issuer, Reply
from cpmqr.wire import codes, envelope, sealed

Facts = tuple[tuple[str, str], ...]

# Which step an answer comes from that steps 1 to 7 alone do not lead to.
_STEP_OF: Final = {
    codes.TOO_LARGE: (0, "HTTP"),
    codes.UNKNOWN_MESSAGE: (0, "HTTP"),  # not sent with POST
    codes.MEMBER_WRONG: (1, "sandbox headers"),
    codes.RATE_LIMIT: (5, "rate limit"),
    codes.INTERNAL: (8, "store"),
}
_STORE: Final = (8, "store")

# What the objects of template 63 are called where wallets, gateways and issuers compare them.
_COMPARED: Final = (
    ("9F36", "ATC (9F36)"),
    ("9F10", "IAD (9F10)"),
    ("82", "AIP (82)"),
    ("9F37", "unpredictable number (9F37)"),
    ("9F27", "cryptogram information (9F27)"),
    ("9F26", "application cryptogram (9F26)"),
)

TITLES_KO: Final = {
    "HTTP": "HTTP",
    "sandbox headers": "샌드박스 헤더",
    "content type and credential": "콘텐츠 형식과 credential",
    "envelope": "전문 구조",
    "members": "항목",
    "requestor": "요청자",
    "crypto type and key version": "암호화 구분과 키 버전",
    "rate limit": "요청 한도",
    "HASH_CRC": "HASH_CRC",
    "ENC_DATA": "ENC_DATA",
    "store": "저장소",
    "cryptogram and payload": "암호문과 페이로드",
    "answer": "응답",
}


def explain_exchange(issuer: Issuer, call: Call, reply: Reply) -> Explanation:
    """Explain an exchange that has taken place; nothing is issued or asked anew.

    Keys and settings are today's: where they have changed since, the explanation says what would happen now, and the
    last step what did.

    Raises:
        CpmqrError: the directory can't be read.
    """
    told = explain(issuer, call)
    if reply.rslt_cd == codes.OK:
        steps = (*told.steps, *_after_the_store(reply))
    elif reply.rslt_cd == told.code and not call.sandbox_result:
        steps = told.steps
    else:
        steps = _cut(told.steps, call, reply)
    return Explanation(reply.rslt_cd, _text(reply), steps)


def _cut(steps: tuple[Step, ...], call: Call, reply: Reply) -> tuple[Step, ...]:
    """Keep the steps before the one that the answer came from, and put that one after them."""
    wished = bool(call.sandbox_result)
    number, title = (1, "sandbox headers") if wished else _STEP_OF.get(reply.rslt_cd, _STORE)
    kept = tuple(step for step in steps if step.passed and step.number <= number)
    facts = (("X-Sandbox-Result", call.sandbox_result),) if wished else ()
    return (*kept, Step(number, title, False, reply.rslt_cd, _text(reply), facts))


def _text(reply: Reply) -> str:
    fixed = codes.CODES[reply.rslt_cd].rslt_msg
    return f"{fixed}: {reply.cause}" if reply.cause else fixed


def _after_the_store(reply: Reply) -> tuple[Step, ...]:
    members = envelope.read_response(reply.body).members
    return (
        Step(8, "store", True, facts=_about_store(reply)),
        Step(9, "cryptogram and payload", True, facts=_about_payload(members.get("CPMQR_DATA", ""))),
        Step(10, "answer", True, facts=_about_answer(members)),
    )


def _about_store(reply: Reply) -> Facts:
    outcome = "the same request again: its first answer, no new ATC" if reply.repeated else "a new issue"
    return (
        ("outcome", outcome),
        ("ATC", f"{reply.atc} of 65535"),
        ("token", f"{reply.token_id:016x}"),
    )


def _about_payload(cpmqr_data: str) -> Facts:
    payload = binascii.a2b_base64(cpmqr_data)
    objects = {item.tag: item for item in tlv.walk(tlv.parse(payload))}
    facts = [(name, objects[tag].value.hex().upper()) for tag, name in _COMPARED if tag in objects]
    return (("payload", f"{len(payload)} bytes, {len(cpmqr_data)} characters"), *facts)


def _about_answer(members: dict[str, str]) -> Facts:
    facts = [("QR_DATA_MAPP_VAL", members.get("QR_DATA_MAPP_VAL", ""))]
    if "HASH_CRC" in members:
        facts.append(("canonical text", sealed.response_text(members).decode()))
        facts.append(("HASH_CRC", members["HASH_CRC"]))
    return tuple(facts)
