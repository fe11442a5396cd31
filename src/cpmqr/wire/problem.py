"""Problem details (RFC 9457) with the catalogue's code: how `/v1` says no."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, TypeVar

from cpmqr.wire import codes, v1

Kind = TypeVar("Kind", bound=v1.Problem)

MEDIA_TYPE = "application/problem+json"


def problem(
    kind: type[Kind],
    rslt_cd: str,
    cause: str = "",
    *,
    sandbox: bool = False,
    http_status: int | None = None,
    **members: Any,
) -> Kind:
    """Make the problem of a code; its type is about:blank, so the title is the HTTP status's.

    Args:
        cause: shown after the code's meaning; left out outside the sandbox for the codes that the catalogue calls
            terse.
        http_status: in place of the catalogue's, where HTTP has a status of its own for the case (404, 405).
        members: further ones of `kind`.
    """
    code = codes.CODES[rslt_cd]
    status = http_status or code.http_status
    is_told = cause and (sandbox or not code.terse)
    return kind(
        type="about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        rslt_cd=rslt_cd,
        rslt_msg=code.rslt_msg,
        detail=f"{code.meaning}: {cause}" if is_told else code.meaning,
        **members,
    )
