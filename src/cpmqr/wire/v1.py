"""The bodies of `/v1` (contract §10): what authorisers, operators and wallets send and get, as JSON in snake_case.

Each struct is a body, each field's text its documentation; `wire/operations.py` says which call takes which. What is
read is strict: unknown and twin members, wrong types and lengths are refused by name. Times are UTC, RFC 3339
(`2026-11-23T00:00:00Z`); Korean time is the PAYGW wire's alone. Source of all of it: ours.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from cpmqr.model import PAN_DIGITS_MAX, PAN_DIGITS_MIN
from cpmqr.wire import contract

PAGE_MAX: Final = 100  # rows of one answer
BATCH_MAX: Final = 10  # QRs in one call: what a wallet may need until it is online again
AUTHORIZATION_ID_CHARACTERS_MAX: Final = 64
PAYLOAD_CHARACTERS_MAX: Final = 2_048  # 512 bytes are 1,024 hex digits; twice that is no QR that was read
TRACK2_CHARACTERS_MAX: Final = 42  # 38 digits of tag 57, or 37 characters between two sentinels
ICC_DATA_CHARACTERS_MAX: Final = (
    1_024  # DE 55 has 255 bytes at most, and some hosts send it with their own additions
)
REFERENCE_CHARACTERS_MAX: Final = 128  # whatever names a record in a path or a query

_MAPPING_VALUE_PATTERN: Final = "^[0-9A-F]{40}$"
_EXAMPLE_MAPPING_VALUE: Final = "95050000000800900019F26084934E9FD0E3E169"

Moment = Annotated[datetime, Meta(tz=True, description="UTC.")]
TokenId = Annotated[
    str,
    Meta(pattern="^[0-9a-f]{16}$", description="A token's id: 16 hex digits.", examples=["0f3a5c7e9b1d2e4f"]),
]
MappingValue = Annotated[
    str,
    Meta(
        pattern=_MAPPING_VALUE_PATTERN,
        description="QR_DATA_MAPP_VAL, the handle of an issued QR: 40 upper-case hex digits.",
        examples=[_EXAMPLE_MAPPING_VALUE],
    ),
]
RequestorId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=32,
        description="REQUESTOR_ID, 11 digits; an authoriser or operator has a name instead.",
        examples=["42000000066"],
    ),
]
TraceNo = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=contract.TRACE_NO_BYTES_MAX,
        description="TRNS_TRCE_NO: 1 to 40 bytes of UTF-8, no control characters, no |.",
        examples=["NPAY202009XX123XXXX35"],
    ),
]
Atc = Annotated[int, Meta(ge=0, le=65_535, description="Application transaction counter (9F36).")]
ResultCode = Annotated[str, Meta(pattern="^[0-9]{4}$", description="RSLT_CD, a code of the catalogue.")]
Limit = Annotated[int, Meta(ge=1, le=PAGE_MAX, description="Rows of this page, at most.")]
Yymm = Annotated[str, Meta(pattern="^[0-9]{2}(0[1-9]|1[0-2])$", description="yymm.", examples=["3012"])]
PageMark = Annotated[
    str,
    Meta(
        max_length=REFERENCE_CHARACTERS_MAX, description="Continues a list: the `after` of the page before."
    ),
]
QrState = Literal["issued", "used", "expired", "revoked"]
TokenStateName = Literal["active", "suspended", "deleted"]
EventStateName = Literal["pending", "delivered", "dead"]


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is read: strict."""


class Answer(msgspec.Struct, frozen=True):
    """What is sent."""


class NoMembers(Body, frozen=True):
    """Nothing."""


class VerificationRequest(Body, frozen=True):
    """Ask whether a QR is ours, fresh and unused, and consume it.

    Give `payload`, or `track2` and `icc_data`.
    """

    authorization_id: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=AUTHORIZATION_ID_CHARACTERS_MAX,
            pattern=r"^[\x21-\x7e]+$",
            description="The authoriser's own name of this authorisation: printable ASCII without blanks. "
            "The same one again gets the same answer.",
            examples=["A20261123-000017"],
        ),
    ]
    payload: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=PAYLOAD_CHARACTERS_MAX,
                description="The QR's whole text: Base64 (as scanned) or hex.",
            ),
        ]
        | UnsetType
    ) = UNSET
    track2: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=TRACK2_CHARACTERS_MAX,
                description="Track 2 as an authorisation message has it (DE 35, with = or D), or the hex of tag 57.",
            ),
        ]
        | UnsetType
    ) = UNSET
    icc_data: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=ICC_DATA_CHARACTERS_MAX,
                description="ICC data (DE 55) as hex: BER-TLV with at least 9F26, 9F36, 9F37, 9F10 and 82.",
            ),
        ]
        | UnsetType
    ) = UNSET

    def __repr__(self) -> str:
        return "<verification request>"


class Verification(Answer, frozen=True):
    """The QR is ours, was fresh and unused, and is now used by this authorisation."""

    result: Annotated[Literal["approved"], Meta(description="approved; a refusal is a problem, not this.")]
    rslt_cd: Annotated[Literal["0000"], Meta(description="RSLT_CD.")]
    token_id: TokenId
    funding_ref: Annotated[
        str, Meta(description="The issuer's own reference to what is charged; may be empty.")
    ]
    requestor_id: RequestorId
    trace_no: TraceNo
    atc: Atc
    issued_at: Moment
    expires_at: Moment
    qr_data_mapp_val: MappingValue


class Problem(Answer, frozen=True, omit_defaults=True):
    """Why not: problem details (RFC 9457) with the catalogue's code."""

    type: Literal["about:blank"]
    title: Annotated[str, Meta(description="The HTTP status in words.")]
    status: Annotated[int, Meta(ge=400, le=599, description="The HTTP status.")]
    rslt_cd: ResultCode
    rslt_msg: Annotated[str, Meta(description="RSLT_MSG, the catalogue's text in Korean.")]
    detail: Annotated[str, Meta(description="What is wrong and with which member, for people.")]
    incident: Annotated[str, Meta(description="With 9999: what to name when you report it.")] = ""


class Declined(Problem, frozen=True, omit_defaults=True):
    """A verification that was refused. Beside the problem it names what the QR was, where its cryptogram is right."""

    result: Annotated[Literal["declined", ""], Meta(description="declined, where a judgement was made.")] = ""
    late_by_s: Annotated[int, Meta(description="With 5004: whole seconds since the QR expired.")] = 0
    token_id: Annotated[str, Meta(description="As in an approval.")] = ""
    requestor_id: Annotated[str, Meta(description="As in an approval.")] = ""
    trace_no: Annotated[str, Meta(description="As in an approval.")] = ""
    atc: Annotated[int | None, Meta(description="As in an approval.")] = None
    issued_at: Moment | None = None
    expires_at: Moment | None = None
    qr_data_mapp_val: Annotated[str, Meta(description="As in an approval.")] = ""


class Qr(Answer, frozen=True):
    """What became of a QR."""

    qr_data_mapp_val: MappingValue
    state: Annotated[QrState, Meta(description="A used or revoked one stays so when its time is over.")]
    token_id: TokenId
    requestor_id: RequestorId
    trace_no: TraceNo
    atc: Atc
    profile: Annotated[str, Meta(description="Scheme profile.")]
    issued_at: Moment
    expires_at: Moment
    used_at: Moment | None


class BatchRequest(Body, frozen=True):
    """Requests for QRs that a wallet can show without a network.

    Each is what `POST /paygw/cpmqrdatareq` takes as REQUEST, sealed and signed for itself.
    """

    requests: Annotated[
        list[dict[str, str]],
        Meta(
            min_length=1,
            max_length=BATCH_MAX,
            description="The REQUEST of each QR, with a trace number of its own. One that is sent again gets its "
            "first QR again.",
        ),
    ]

    def __repr__(self) -> str:
        return f"<batch request, {len(self.requests)} QRs>"


class Batch(Answer, frozen=True):
    """The RESPONSE of each, in the order of the requests; HASH_CRC as ever.

    At least one was issued: where none was, the answer is a problem.
    """

    responses: list[dict[str, str]]

    def __repr__(self) -> str:
        return f"<batch, {len(self.responses)} responses>"


class RevokeRequest(Body, frozen=True):
    """QRs to revoke together."""

    qr_data_mapp_vals: Annotated[list[MappingValue], Meta(min_length=1, max_length=BATCH_MAX)]


class RevokedQr(Answer, frozen=True):
    """What became of one of them."""

    qr_data_mapp_val: MappingValue
    rslt_cd: Annotated[
        str, Meta(description="0000 revoked, now or before; 5003 no such QR; 5005 used already.")
    ]
    rslt_msg: str


class Revoked(Answer, frozen=True):
    """The outcome for each, in the order asked."""

    qrs: list[RevokedQr]


class TokenRequest(Body, frozen=True):
    """A token to provision. Without `pan` one is made in a BIN range of the gateway's configuration."""

    requestor_id: RequestorId
    expiry: Yymm
    pan: (
        Annotated[
            str,
            Meta(
                pattern=f"^[0-9]{{{PAN_DIGITS_MIN},{PAN_DIGITS_MAX}}}$",
                description="Digital PAN, with its Luhn check digit. Left out: one is made.",
            ),
        ]
        | UnsetType
    ) = UNSET
    bin_prefix: Annotated[
        str, Meta(pattern="^[0-9]{0,12}$", description="Make the PAN in the configured range that begins so.")
    ] = ""
    psn: Annotated[str, Meta(pattern="^[0-9]{2}$", description="Card sequence number.")] = "00"
    service_code: Annotated[str, Meta(pattern="^[0-9]{3}$", description="Of track 2.")] = "601"
    discretionary: (
        Annotated[
            str,
            Meta(
                pattern="^[0-9]{0,17}$", description="Track 2's last digits. Left out: zeros that fill it up."
            ),
        ]
        | UnsetType
    ) = UNSET
    profile: Annotated[
        str, Meta(max_length=32, description="Scheme profile. Left out: the gateway's first.")
    ] = ""
    funding_ref: Annotated[
        str,
        Meta(max_length=64, description="Your own opaque reference to what is charged; never a card number."),
    ] = ""

    def __repr__(self) -> str:
        return f"<token request for {self.requestor_id}>"


class Token(Answer, frozen=True):
    """A token, its PAN masked."""

    token_id: TokenId
    requestor_id: RequestorId
    pan_masked: Annotated[str, Meta(description="First six and last four digits.")]
    psn: str
    expiry: Yymm
    service_code: str
    profile: str
    state: TokenStateName
    standing: Annotated[
        Literal["active", "suspended", "deleted", "expired", "exhausted"],
        Meta(description="The state, with what follows from expiry and counter."),
    ]
    atc: Annotated[int, Meta(description="The last counter that was used.")]
    funding_ref: str
    created_at: Moment


class ProvisionedToken(Token, frozen=True, kw_only=True):
    """A new token, and its PAN in clear: the one time that it is told."""

    pan: Annotated[str, Meta(description="The digital PAN, for the wallet.")]

    def __repr__(self) -> str:
        return f"<provisioned {self.pan_masked}>"


class TokenPage(Answer, frozen=True):
    """Tokens in the order of their ids."""

    tokens: list[Token]
    after: Annotated[str | None, Meta(description="Continues the list; null at its end.")]


class TokenQuery(Body, frozen=True):
    """Which tokens."""

    requestor_id: Annotated[str, Meta(max_length=32, description="Of this requestor alone.")] = ""
    state: Annotated[TokenStateName | UnsetType, Meta(description="In this state alone.")] = UNSET
    after: PageMark = ""
    limit: Limit = PAGE_MAX


class TokenSearch(Body, frozen=True):
    """The token of a PAN. In a body, since an address is logged on its way."""

    pan: Annotated[str, Meta(pattern=f"^[0-9]{{{PAN_DIGITS_MIN},{PAN_DIGITS_MAX}}}$")]

    def __repr__(self) -> str:
        return "<token search>"


class Requestor(Answer, frozen=True):
    """A requestor, authoriser or operator, as configured."""

    requestor_id: RequestorId
    name: str
    role: Literal["requestor", "authoriser", "operator"]
    suspended: bool
    sandbox: bool
    hash_crc: Literal["off", "sha256", "hmac-sha256"]
    crypto_types: list[str]
    networks: list[str]
    rate_limit_per_s: int
    token_rate_limit_per_s: int
    webhook_url: str
    created_at: Moment


class RequestorPage(Answer, frozen=True):
    """Requestors in the order of their ids."""

    requestors: list[Requestor]
    after: Annotated[str | None, Meta(description="Continues the list; null at its end.")]


class PageQuery(Body, frozen=True):
    """Which page."""

    after: PageMark = ""
    limit: Limit = PAGE_MAX


class Credential(Answer, frozen=True):
    """A live credential: its name, never its text."""

    credential_id: str
    created_at: Moment


class CredentialList(Answer, frozen=True):
    """The live credentials of one requestor, the oldest first: two at most."""

    credentials: list[Credential]


class NewCredential(Answer, frozen=True):
    """A new credential, shown this once."""

    credential_id: str
    created_at: Moment
    authorization: Annotated[str, Meta(description="What goes into the header Authorization.")]

    def __repr__(self) -> str:
        return f"<new credential {self.credential_id}>"


class Event(Answer, frozen=True):
    """A notification in the outbox."""

    event_id: str
    requestor_id: RequestorId
    kind: Annotated[str, Meta(description="qr.used.")]
    state: EventStateName
    created_at: Moment
    next_at: Annotated[datetime, Meta(tz=True, description="When it is tried next, while it is pending.")]
    attempts: int
    last_error: Annotated[str, Meta(description="How the last attempt failed, in words.")]
    body: Annotated[dict[str, Any], Meta(description="What the receiver is told.")]


class EventPage(Answer, frozen=True):
    """Events in the order of their time."""

    events: list[Event]
    after: Annotated[str | None, Meta(description="Continues the list; null at its end.")]


class EventQuery(Body, frozen=True):
    """Which events."""

    state: Annotated[EventStateName | UnsetType, Meta(description="In this state alone.")] = UNSET
    after: PageMark = ""
    limit: Limit = PAGE_MAX
