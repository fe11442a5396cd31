"""How the gateway's logs are written: JSON lines on standard error, or coloured ones for people.

What they say is chosen in `observe.py`.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import BinaryIO, Final

import msgspec
import structlog
from structlog.typing import FilteringBoundLogger

from cpmqr.errors import CpmqrError

_FOR_PEOPLE: Final = ("requestor_id", "trace_no", "token_ref", "atc", "repeated", "ms")
_issue_lines: structlog.BytesLogger | None = None


def configure(level: str, *, for_people: bool = False, file: BinaryIO | None = None) -> None:
    """Set up the process's logs once: one JSON object a line on standard error, or coloured lines for people.

    Args:
        file: where the JSON lines go, if not to standard error as it is now.
    """
    global _issue_lines
    lines = structlog.BytesLoggerFactory(file=sys.stderr.buffer if file is None else file)
    _issue_lines = None if for_people or level in ("warning", "error") else lines()
    wrapper = structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()])
    if for_people:
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
                structlog.dev.ConsoleRenderer(),
            ],
            wrapper_class=wrapper,
            logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
            cache_logger_on_first_use=True,
        )
    else:
        structlog.configure(
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
                structlog.processors.JSONRenderer(serializer=_serialise),
            ],
            wrapper_class=wrapper,
            logger_factory=lines,
            cache_logger_on_first_use=True,
        )
    # uvicorn and asyncio speak through the standard library: their warnings, in the same shape, to the same place.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLine())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


class _JsonLine(logging.Formatter):
    """A record of the standard library as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"event": record.getMessage(), "logger": record.name, "level": record.levelname.lower()}
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = where_and_what(record.exc_info[1])
        return _encode(line).decode()


_encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines


def _serialise(event: object, **_: object) -> bytes:
    return _encode(event)


@lru_cache(maxsize=8)
def _seconds_text(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class IssuedLine(msgspec.Struct, frozen=True, gc=False, tag_field="event", tag="issued"):
    """The log's line for a QR."""

    at: str
    requestor_id: str
    trace_no: str
    token_ref: str
    atc: int
    repeated: bool
    ms: float
    level: str = "info"


def write_issued(lines: Sequence[IssuedLine], log: FilteringBoundLogger) -> None:
    """Write the lines of the QRs that one round of the event loop has answered.

    Args:
        log: where they go one by one, if not as JSON in one piece.
    """
    if _issue_lines is None:
        for line in lines:
            log.info("issued", **{name: getattr(line, name) for name in _FOR_PEOPLE})
    else:
        # One line for each QR is the only log of the hot path. The same shape as structlog's chain makes, at a
        # fraction of its price, and in one piece.
        _issue_lines.msg(_encode_lines(lines).removesuffix(b"\n"))


def time_text(at: float) -> str:
    """Give a moment, in seconds of the Unix epoch, as a line tells it: UTC, with milliseconds."""
    return f"{_seconds_text(int(at))}.{int(at * 1000) % 1000:03d}Z"


def where_and_what(error: BaseException) -> str:
    """An error for the log: its lines of code and its kind. Its text only if it is ours: another's may hold values."""
    kind = type(error).__name__
    text = f"{kind}: {error}" if isinstance(error, CpmqrError) else kind
    return "".join(traceback.format_tb(error.__traceback__)) + text
