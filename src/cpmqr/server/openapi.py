"""OpenAPI 3.1 of everything that the gateway answers, made from the tables and structs that it answers with.

`/v1` comes from `wire/operations.py` and `wire/v1.py`, the PAYGW call from `wire/contract.py`, the codes from
`wire/codes.py`, and the notification from `wire/webhook.py`.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from cpmqr.server.paygw import PAYGW_PATH
from cpmqr.wire import codes, contract, envelope, operations, problem, v1, webhook
from cpmqr.wire.operations import OPERATIONS, PATH_PARAMETERS, Operation

Json = dict[str, Any]

_REF: Final = "#/components/schemas/{name}"
_JSON: Final = "application/json"

_EITHER: Final = [{"required": ["payload"]}, {"required": ["track2", "icc_data"]}]
_TAGS: Final = {
    "wallet": "The page's own call.",
    "verification": "The authoriser's question.",
    "QRs": "What a wallet's server does with QRs beside asking for one.",
    "tokens": "The operator's tokens.",
    "requestors": "Who may ask, and the rotation of credentials.",
    "events": "The outbox of notifications.",
    "operation": "Health and metrics.",
}


def document() -> bytes:
    """Give the whole document as JSON."""
    paths: dict[str, Json] = {PAYGW_PATH: {"post": _paygw()}}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    paths |= _health()
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "cpmqr",
                "version": importlib.metadata.version("cpmqr"),
                "summary": "Token gateway for consumer-presented EMV QR payments",
                "description": "Times of /v1 are UTC (RFC 3339); those of the PAYGW call are Korean time. A code "
                "of the catalogue decides each answer's HTTP status.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
            "security": [{"credential": []}],
            "paths": paths,
            "webhooks": {"qr.used": {"post": _notification()}},
            "components": {
                "schemas": _schemas(),
                "securitySchemes": {
                    "credential": {
                        "type": "apiKey",
                        "in": "header",
                        "name": "Authorization",
                        "description": "The pre-shared credential as it is; `Bearer` before it is read over.",
                    }
                },
            },
        }
    )


def _operation(operation: Operation) -> Json:
    described: Json = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": f"{operation.text}\n\nFor: {', '.join(operation.roles)}.",
        "responses": {str(operation.status): _answer(operation.answer), **_refusals(operation)},
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "description": PATH_PARAMETERS[name], "schema": _NAME}
        for name in operations.path_parameters(operation.path)
    ] + _query(operation)
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": {_JSON: {"schema": _ref(operation.body)}}}
    return described


_NAME: Final = {"type": "string", "minLength": 1, "maxLength": v1.REFERENCE_CHARACTERS_MAX}


def _query(operation: Operation) -> list[Json]:
    if operation.query is None:
        return []
    _, components = msgspec.json.schema_components([operation.query], ref_template=_REF)
    properties: Mapping[str, Json] = components[operation.query.__name__]["properties"]
    return [
        {
            "name": name,
            "in": "query",
            "description": schema.get("description", ""),
            "schema": {key: value for key, value in schema.items() if key != "description"},
        }
        for name, schema in properties.items()
    ]


def _refusals(operation: Operation) -> dict[str, Json]:
    by_status: dict[int, list[str]] = {}
    for code in operation.codes:
        by_status.setdefault(codes.CODES[code].http_status, []).append(code)
    refused = {
        str(status): {
            "description": _about(listed),
            "headers": _retry_after(listed),
            "content": {problem.MEDIA_TYPE: {"schema": _ref(operation.refused)}},
        }
        for status, listed in sorted(by_status.items())
    }
    words = _words_taken(operation)
    if words:
        refused["405"] = {
            "description": f"{codes.UNKNOWN_MESSAGE} {', '.join(words)}: a path of its own",
            "content": {problem.MEDIA_TYPE: {"schema": _ref(v1.Problem)}},
        }
    return refused


def _words_taken(operation: Operation) -> list[str]:
    """Name the words that can't stand for this path's parameter, since they are paths of their own: 405 for them."""
    pattern = re.compile(re.sub(r"\{\w+\}", "([^/]+)", operation.path))
    others = {other.path for other in OPERATIONS if other.path != operation.path and "{" not in other.path}
    return sorted(match[1] for path in others if (match := pattern.fullmatch(path)))


def _about(listed: Sequence[str]) -> str:
    return "; ".join(f"{code} {codes.CODES[code].meaning}" for code in listed)


def _retry_after(listed: Sequence[str]) -> Json:
    if not any(codes.CODES[code].retry is codes.Retry.AFTER for code in listed):
        return {}
    return {"Retry-After": {"description": "Whole seconds.", "schema": {"type": "integer"}}}


def _answer(kind: type[v1.Answer]) -> Json:
    about = (kind.__doc__ or "").strip().split("\n")[0]
    return {"description": about, "content": {_JSON: {"schema": _ref(kind)}}}


def _paygw() -> Json:
    by_status: dict[int, list[str]] = {}
    for code in codes.CODES.values():
        if code.rslt_cd not in _NOT_PAYGW and code.rslt_cd != codes.OK:
            by_status.setdefault(code.http_status, []).append(code.rslt_cd)
    refused = {
        str(status): {
            "description": _about(listed),
            "headers": _retry_after(listed),
            "content": {_JSON: {"schema": {"$ref": "#/components/schemas/PaygwAnswer"}}},
        }
        for status, listed in sorted(by_status.items())
    }
    return {
        "operationId": "cpmqrdatareq",
        "tags": ["wallet"],
        "summary": "CPM QR 결제 데이터 요청: ask for a QR",
        "description": "ENC_DATA is Base64 of the sealed `PAN|yyyymmddHHMMSS|trace no|` (Korean time); HASH_CRC covers "
        "`NAME=VALUE` lines of all members that are known, in ascending order. Both spellings of a name are read.",
        "requestBody": {
            "required": True,
            "content": {_JSON: {"schema": {"$ref": "#/components/schemas/PaygwRequest"}}},
        },
        "responses": {
            "200": {
                "description": "0000: the QR.",
                "content": {_JSON: {"schema": {"$ref": "#/components/schemas/PaygwAnswer"}}},
            },
            **refused,
        },
    }


# Codes that the page's call never gives: they are about QRs that exist.
_NOT_PAYGW: Final = (codes.NO_QR, codes.QR_EXPIRED, codes.QR_USED, codes.QR_REVOKED, codes.CRYPTOGRAM_WRONG)

_PAYGW_ANSWER: Final = {
    "CPMQR_DATA": "Base64 of the payload, at most 512 characters; the wallet draws it as it is.",
    "QR_DATA_MAPP_VAL": "The handle of this issue, 40 upper-case hex digits.",
    "RSLT_CD": "0000, or a code of the catalogue.",
    "RSLT_MSG": "The catalogue's text; in the sandbox the exact cause behind it.",
    "CRYPTO_KEY_VER": "As requested.",
    "CRYPTO_TYPE": "As requested.",
    "HASH_CRC": "Over the answer, where the requestor's setting asks for it.",
    "MSG_VER": "As requested.",
    "RSLT_TYPE": "JSON.",
    "MSG_CD": "As requested; the page's sample calls it so.",
    "MSG_ID": "The same; the page's table calls it so.",
    "REQUESTOR_ID": "As requested.",
}


def _paygw_request() -> Json:
    members: Json = {}
    required: list[Json] = []
    for member in contract.REQUEST_MEMBERS:
        for name in filter(None, (member.name, member.other)):
            members[name] = {"type": "string", "description": member.rule}
        if member.required:
            names = [name for name in (member.name, member.other) if name]
            required.append({"anyOf": [{"required": [name]} for name in names]})
    request = {
        "type": "object",
        "properties": members,
        "additionalProperties": {"type": "string"},
        "allOf": required,
    }
    return _envelope("REQUEST", request)


def _paygw_answer() -> Json:
    members = {name: {"type": "string", "description": text} for name, text in _PAYGW_ANSWER.items()}
    return _envelope(
        "RESPONSE", {"type": "object", "properties": members, "required": ["RSLT_CD", "RSLT_MSG"]}
    )


def _envelope(kind: str, members: Json) -> Json:
    paygw = {
        "type": "object",
        "properties": {
            "REQID": {"const": envelope.REQID},
            "VERSION": {"const": envelope.VERSION},
            kind: members,
        },
        "required": ["REQID", "VERSION", kind],
    }
    return {"type": "object", "properties": {"PAYGW": paygw}, "required": ["PAYGW"]}


def _schemas() -> Json:
    kinds: set[type] = {webhook.Notice, v1.Problem}
    for operation in OPERATIONS:
        kinds |= {operation.answer, operation.refused}
        if operation.body is not None:
            kinds.add(operation.body)
    _, components = msgspec.json.schema_components(
        sorted(kinds, key=lambda kind: kind.__name__), ref_template=_REF
    )
    schemas: Json = dict(components)
    # Docstrings; only from Python 3.13 on are they kept without their indentation.
    for schema in schemas.values():
        if "description" in schema:
            schema["description"] = inspect.cleandoc(schema["description"])
    schemas["VerificationRequest"]["oneOf"] = _EITHER
    return {**schemas, "PaygwRequest": _paygw_request(), "PaygwAnswer": _paygw_answer()}


def _ref(kind: type) -> Json:
    return {"$ref": _REF.format(name=kind.__name__)}


def _notification() -> Json:
    headers = {
        webhook.ID_HEADER: "The same each time that this event is delivered.",
        webhook.TIMESTAMP_HEADER: "Seconds since the Unix epoch, when this delivery was made.",
        webhook.SIGNATURE_HEADER: "v1, and Base64 of HMAC-SHA-256 over id.timestamp.body.",
    }
    return {
        "operationId": "qr_used",
        "tags": ["QRs"],
        "summary": "A QR was used",
        "description": "Delivered at least once to the requestor's `webhook_url`; see `docs/webhooks.md`.",
        "security": [],
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": True,
                "description": text,
                "schema": {"type": "string"},
            }
            for name, text in headers.items()
        ],
        "requestBody": {"required": True, "content": {_JSON: {"schema": _ref(webhook.Notice)}}},
        "responses": {"2XX": {"description": "Received: it is not sent again."}},
    }


def _health() -> dict[str, Json]:
    status = {"type": "object", "properties": {"status": {"type": "string"}}, "required": ["status"]}
    health = {"description": "How it is.", "content": {_JSON: {"schema": status}}}

    def get(name: str, summary: str, responses: Json) -> Json:
        return {
            "get": {
                "operationId": name,
                "tags": ["operation"],
                "summary": summary,
                "security": [],
                "responses": responses,
            }
        }

    text = {"description": "Prometheus text.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    itself = {"description": "OpenAPI 3.1.", "content": {_JSON: {"schema": {"type": "object"}}}}
    return {
        "/healthz": get("healthz", "Is the process alive", {"200": health}),
        "/readyz": get("readyz", "Does it take requests", {"200": health, "503": health}),
        "/metrics": get("metrics", "Metrics", {"200": text}),
        "/openapi.json": get("openapi", "This document", {"200": itself}),
    }
