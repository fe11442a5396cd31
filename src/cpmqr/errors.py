"""Every error of ours, in one tree; whose fault it is decides the class.

CpmqrError
├── DecodeError (ValueError)     bytes from outside are no payload: where, and by which section
├── EncodeError (ValueError)     values from the caller make no legal payload
├── ProfileError (ValueError)    a scheme profile's file is wrong: file and line
├── ConfigError (ValueError)     a setting, a file or a flag is wrong: what to do about it
├── UnsealError (ValueError)     ENC_DATA does not open; the cause is for logs and the sandbox alone
├── Refusal                      ours to a caller: a code of the catalogue (`wire/codes.py`)
├── Refused                      theirs to us: the gateway said no
├── Unreachable                  nobody answered; nothing is known to have happened
├── OutcomeUnknown               it may have happened: repeat with the same trace number
├── UntrustedAnswer              an answer came, but its HASH_CRC, shape or payload is wrong
├── StoreUnavailable             the database can't be reached, or refused the work as a whole
└── KeyUnavailable               a key can't be had: no such version, wrong key-encryption key, HSM away

A message names tag, field, offset, limit or key version, and never a value. Nothing here holds a PAN, a key,
a cryptogram or a credential, so any of it may be logged.
"""

from __future__ import annotations


class CpmqrError(Exception):
    """The root: `except CpmqrError` catches whatever a public call of this package raises."""


class DecodeError(CpmqrError, ValueError):
    """The input is not a payload that can be read.

    Attributes:
        offset: bytes from the start of the binary payload; None where the text itself is at fault.
        section: the rule's place, such as "EMV Book 3 Annex B" or "CPM 5.1.2".
        tag: upper-case hex of the object at fault, or None.
    """

    def __init__(
        self, message: str, *, offset: int | None = None, section: str = "", tag: str | None = None
    ) -> None:
        super().__init__(message)
        self.offset = offset
        self.section = section
        self.tag = tag


class EncodeError(CpmqrError, ValueError):
    """The values given make no legal payload.

    Attributes:
        tag: upper-case hex of the object at fault, or None.
        section: the rule's place.
    """

    def __init__(self, message: str, *, tag: str | None = None, section: str = "") -> None:
        super().__init__(message)
        self.tag = tag
        self.section = section


class ProfileError(CpmqrError, ValueError):
    """A scheme profile can't be used.

    Attributes:
        source: the profile's name or file.
        line: 1-based line in the file, or None.
    """

    def __init__(self, message: str, *, source: str = "", line: int | None = None) -> None:
        where = f"{source}:{line}" if line is not None else source
        super().__init__(f"{where}: {message}" if where else message)
        self.source = source
        self.line = line


class ConfigError(CpmqrError, ValueError):
    """A setting, a file or a flag is wrong; the message says what to do."""


class UnsealError(CpmqrError, ValueError):
    """ENC_DATA does not open. `str(error)` names the cause; the sender outside the sandbox never sees it."""


class Refusal(CpmqrError):
    """What this side answers in place of success.

    Attributes:
        rslt_cd: a code of the catalogue.
        cause: the exact cause, in words without values; shown in the sandbox, logged everywhere.
        retry_after_s: whole seconds, where the caller should wait.
    """

    def __init__(self, rslt_cd: str, cause: str = "", *, retry_after_s: int | None = None) -> None:
        super().__init__(f"{rslt_cd}: {cause}" if cause else rslt_cd)
        self.rslt_cd = rslt_cd
        self.cause = cause
        self.retry_after_s = retry_after_s


class Refused(CpmqrError):
    """A gateway refused.

    Attributes:
        rslt_cd: its code, such as "4002".
        rslt_msg: its text, as sent.
        http_status: the status that it came with.
        retryable: whether the catalogue allows the same request again, unchanged.
        retry_after_s: whole seconds, where the gateway named them.
    """

    def __init__(
        self,
        rslt_cd: str,
        rslt_msg: str,
        http_status: int,
        *,
        retryable: bool = False,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(f"{rslt_cd} {rslt_msg} (HTTP {http_status})")
        self.rslt_cd = rslt_cd
        self.rslt_msg = rslt_msg
        self.http_status = http_status
        self.retryable = retryable
        self.retry_after_s = retry_after_s


class Unreachable(CpmqrError):
    """The other side can't be reached: no connection was made, so nothing happened."""


class OutcomeUnknown(CpmqrError):
    """The request may have been carried out: repeat it with the same trace number.

    Attributes:
        trace_no: the number to repeat with, where there is one.
        request_time: the time to repeat with, `yyyymmddHHMMSS` in Korean time; another would make another request.
    """

    def __init__(self, message: str, *, trace_no: str | None = None, request_time: str | None = None) -> None:
        super().__init__(message)
        self.trace_no = trace_no
        self.request_time = request_time


class UntrustedAnswer(CpmqrError):
    """An answer came that this side can't trust: its HASH_CRC, its shape or its payload is wrong."""


class StoreUnavailable(CpmqrError):
    """The database can't be reached or refused a batch as a whole; nothing of it was stored."""


class KeyUnavailable(CpmqrError):
    """A key can't be had: no such version, another key-encryption key, or the HSM is away."""
