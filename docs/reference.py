"""Write the reference part of docs/v1.md from the tables that routes and OpenAPI are made from.

    python docs/reference.py

What stands above the mark is written by hand and stays.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from cpmqr.server.openapi import document
from cpmqr.wire import codes
from cpmqr.wire.operations import OPERATIONS, PATH_PARAMETERS, Operation, path_parameters

PAGE: Final = Path(__file__).parent / "v1.md"
MARK: Final = "<!-- From here on made by docs/reference.py. -->"
_REF: Final = re.compile(r"#/components/schemas/(\w+)")

API: Final[dict[str, Any]] = json.loads(document())
SCHEMAS: Final[dict[str, Any]] = API["components"]["schemas"]


def page() -> str:
    """Give the whole page: what is written by hand, then what is made."""
    by_hand = PAGE.read_text("utf-8").partition(MARK)[0]
    return f"{by_hand}{MARK}\n\n{reference()}"


def reference() -> str:
    """Give the made part."""
    parts = ["## Calls\n", _overview()]
    parts += [_operation(operation) for operation in OPERATIONS]
    parts.append("## Bodies\n")
    parts += [_schema(name) for name in sorted(SCHEMAS) if not name.startswith("Paygw")]
    parts += ["## Codes\n", "One catalogue for the page's call and for `/v1`; all of it ours.\n", _codes()]
    return "\n".join(parts)


def _codes() -> str:
    table = [
        (code.rslt_cd, code.rslt_msg, code.meaning, str(code.http_status), code.retry)
        for code in codes.CODES.values()
    ]
    rows = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table]
    head = ["| RSLT_CD | RSLT_MSG | meaning | HTTP | try again |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows, ""])


def _overview() -> str:
    rows = [
        f"| `{one.method} {one.path}` | {', '.join(one.roles)} | [{one.summary}](#{_anchor(one.summary)}) |"
        for one in OPERATIONS
    ]
    return "\n".join(["| call | for | what it does |", "|---|---|---|", *rows, ""])


def _operation(operation: Operation) -> str:
    lines = [
        f"### {operation.summary}",
        "",
        f"`{operation.method} {operation.path}`, for: {', '.join(operation.roles)}.",
        "",
        operation.text,
        "",
    ]
    lines += [f"- `{name}`: {PATH_PARAMETERS[name]}" for name in path_parameters(operation.path)]
    lines += [f"- `?{one['name']}=`: {_sentence(one)}" for one in _query(operation)]
    if operation.body is not None:
        lines.append(f"- body: {_link(operation.body.__name__)}")
    lines.append(f"- {operation.status}: {_link(operation.answer.__name__)}")
    own = [code for code in operation.refusals if code in codes.CODES]
    if own:
        told = ", ".join(f"{code} {codes.CODES[code].meaning}" for code in sorted(own))
        lines.append(f"- refused with: {told}")
    return "\n".join([*lines, ""])


def _query(operation: Operation) -> list[dict[str, Any]]:
    described = API["paths"][operation.path][operation.method.lower()]
    return [one for one in described.get("parameters", []) if one["in"] == "query"]


def _sentence(parameter: dict[str, Any]) -> str:
    return f"{parameter['description']} {_rule(parameter['schema'])}".strip()


def _schema(name: str) -> str:
    schema = SCHEMAS[name]
    required = schema.get("required", [])
    rows = [
        f"| `{member}` | {'yes' if member in required else ''} | {_cell(rule)} |"
        for member, rule in schema.get("properties", {}).items()
    ]
    head = ["| member | always | what it is |", "|---|---|---|"] if rows else []
    return "\n".join([f"### {name}", "", schema.get("description", ""), "", *head, *rows, ""])


def _cell(rule: dict[str, Any]) -> str:
    about = rule.get("description", "") or _about(rule)
    return f"{about} {_rule(rule)}".strip().replace("|", "\\|")


def _about(rule: dict[str, Any]) -> str:
    return next((one["description"] for one in rule.get("anyOf", []) if "description" in one), "")


def _rule(rule: dict[str, Any]) -> str:
    """Say a JSON schema's rule in few words."""
    if "$ref" in rule:
        match = _REF.fullmatch(rule["$ref"])
        assert match is not None
        return _link(match[1])
    if "anyOf" in rule:
        return " or ".join(_rule(one) for one in rule["anyOf"])
    if "enum" in rule:
        return "One of " + ", ".join(f"`{value}`" for value in rule["enum"]) + "." if rule["enum"] else ""
    if rule.get("type") == "array":
        return "List of " + (_rule(rule["items"]) or "values")
    words = [str(rule.get("format", rule.get("type", "")))]
    words += [f"`{rule['pattern']}`"] if "pattern" in rule else []
    for name, word in (("minimum", "from"), ("maximum", "to"), ("maxLength", "at most")):
        if name in rule and "pattern" not in rule:
            words.append(f"{word} {rule[name]}" + (" characters" if name == "maxLength" else ""))
    return "(" + " ".join(words) + ")"


def _link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
