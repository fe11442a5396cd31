"""Every call of `/v1` in one table: routes, OpenAPI and the reference in `docs/v1.md` are made from it."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from cpmqr.model import Role
from cpmqr.wire import codes, v1

# Any call may get these; beside them a table's row names its own.
COMMON_CODES: Final = (
    codes.NOT_AUTHENTICATED,
    codes.NOT_YOURS,
    codes.REQUESTOR_SUSPENDED,
    codes.RATE_LIMIT,
    codes.OVERLOADED,
    codes.KEY_STORE,
    codes.TIMED_OUT,
    codes.INTERNAL,
)
BODY_CODES: Final = (
    codes.TOO_LARGE,
    codes.CONTENT_TYPE,
    codes.NOT_THE_FORMAT,
    codes.MEMBER_MISSING,
    codes.MEMBER_WRONG,
)
NO_BODY_CODES: Final = (codes.TOO_LARGE, codes.MEMBER_WRONG)

Tag = Literal["verification", "QRs", "tokens", "requestors", "events"]

_WALLET: Final = (Role.REQUESTOR,)
_AUTHORISER: Final = (Role.AUTHORISER,)
_OPERATOR: Final = (Role.OPERATOR,)


class Operation(msgspec.Struct, frozen=True):
    """One call.

    Attributes:
        name: unique; OpenAPI's operationId, and the method that answers it in `server/v1_calls.py`.
        path: with its parameters in braces. roles: whose credentials may call it.
        body, query, answer: structs of `wire/v1.py`; None where there is none.
        refused: the struct of its problems. refusals: codes beyond the common ones.
    """

    name: str
    method: Literal["GET", "POST"]
    path: str
    roles: tuple[Role, ...]
    tag: Tag
    summary: str
    text: str
    answer: type[v1.Answer]
    body: type[v1.Body] | None = None
    query: type[v1.Body] | None = None
    status: int = 200
    refused: type[v1.Problem] = v1.Problem
    refusals: tuple[str, ...] = ()

    @property
    def codes(self) -> tuple[str, ...]:
        """All codes that it may be refused with, in ascending order."""
        if self.body is not None:
            reading: tuple[str, ...] = BODY_CODES
        else:
            reading = NO_BODY_CODES
        return tuple(sorted({*COMMON_CODES, *reading, *self.refusals}))


OPERATIONS: Final = (
    Operation(
        "verify",
        "POST",
        "/v1/verifications",
        _AUTHORISER,
        "verification",
        "Verify a QR and consume it",
        "Finds the issue, checks cryptogram, values, lifetime and states, and marks it used, once, in one "
        "transaction. The same `authorization_id` with the same content gets the same answer byte for byte, also "
        "after a crash of the gateway; with other content 5001. A refusal with 5003, 5004, 5005, 5006, 5007, 4002, "
        "4003, 4004 or 2003 (the QR's requestor is suspended) is such an answer too.",
        v1.Verification,
        body=v1.VerificationRequest,
        refused=v1.Declined,
        refusals=(
            codes.TOKEN_SUSPENDED,
            codes.TOKEN_DELETED,
            codes.TOKEN_EXPIRED,
            codes.DUPLICATE_TRACE,
            codes.NO_QR,
            codes.QR_EXPIRED,
            codes.QR_USED,
            codes.QR_REVOKED,
            codes.CRYPTOGRAM_WRONG,
        ),
    ),
    Operation(
        "get_qr",
        "GET",
        "/v1/qrs/{qr_data_mapp_val}",
        (Role.REQUESTOR, Role.AUTHORISER),
        "QRs",
        "Tell a QR's state",
        "For the requestor that it was issued to, and for authorisers; to anybody else there is no such QR.",
        v1.Qr,
        refusals=(codes.NO_QR,),
    ),
    Operation(
        "revoke_qr",
        "POST",
        "/v1/qrs/{qr_data_mapp_val}/revoke",
        _WALLET,
        "QRs",
        "Revoke a QR",
        "By its requestor. A QR that is revoked already, or has expired, is no error; a used one is 5005.",
        v1.Qr,
        refusals=(codes.NO_QR, codes.QR_USED),
    ),
    Operation(
        "issue_batch",
        "POST",
        "/v1/qrs/batch",
        _WALLET,
        "QRs",
        "Issue QRs for offline use",
        "Up to ten QRs, each with its own counter and a longer lifetime (`offline_ttl_s`). They are issued one by one, "
        "each with the code that it would have got alone; one that is refused harms no other. Where none could be "
        "issued, the answer is the first's refusal.",
        v1.Batch,
        body=v1.BatchRequest,
        refusals=(
            codes.UNKNOWN_MESSAGE,
            codes.CRYPTO_TYPE,
            codes.KEY_VERSION,
            codes.NOT_DECRYPTED,
            codes.HASH_WRONG,
            codes.PLAINTEXT_WRONG,
            codes.TIME_OUTSIDE,
            codes.NO_TOKEN,
            codes.TOKEN_SUSPENDED,
            codes.TOKEN_DELETED,
            codes.TOKEN_EXPIRED,
            codes.ATC_EXHAUSTED,
            codes.DUPLICATE_TRACE,
        ),
    ),
    Operation(
        "revoke_qrs",
        "POST",
        "/v1/qrs/revoke",
        _WALLET,
        "QRs",
        "Revoke QRs together",
        "Those of a batch that are still unused, say. All in one transaction, with an outcome for each.",
        v1.Revoked,
        body=v1.RevokeRequest,
    ),
    Operation(
        "provision_token",
        "POST",
        "/v1/tokens",
        _OPERATOR,
        "tokens",
        "Provision a token",
        "From a PAN that is given, or one made in a configured BIN range with its check digit; no PAN twice.",
        v1.ProvisionedToken,
        body=v1.TokenRequest,
        status=201,
    ),
    Operation(
        "list_tokens",
        "GET",
        "/v1/tokens",
        _OPERATOR,
        "tokens",
        "List tokens",
        "In pages, in the order of their ids.",
        v1.TokenPage,
        query=v1.TokenQuery,
    ),
    Operation(
        "find_token",
        "POST",
        "/v1/tokens/search",
        _OPERATOR,
        "tokens",
        "Find a token by its PAN",
        "By POST, since addresses are logged on their way.",
        v1.Token,
        body=v1.TokenSearch,
        refusals=(codes.NO_TOKEN,),
    ),
    Operation(
        "get_token",
        "GET",
        "/v1/tokens/{token_id}",
        _OPERATOR,
        "tokens",
        "Tell a token's state",
        "Its PAN masked.",
        v1.Token,
        refusals=(codes.NO_TOKEN,),
    ),
    Operation(
        "suspend_token",
        "POST",
        "/v1/tokens/{token_id}/suspend",
        _OPERATOR,
        "tokens",
        "Suspend a token",
        "Nothing is issued for it, and its live QRs do not verify, until it is resumed. Suspended already is no error.",
        v1.Token,
        refusals=(codes.NO_TOKEN, codes.TOKEN_DELETED),
    ),
    Operation(
        "resume_token",
        "POST",
        "/v1/tokens/{token_id}/resume",
        _OPERATOR,
        "tokens",
        "Resume a suspended token",
        "Active already is no error.",
        v1.Token,
        refusals=(codes.NO_TOKEN, codes.TOKEN_DELETED),
    ),
    Operation(
        "delete_token",
        "POST",
        "/v1/tokens/{token_id}/delete",
        _OPERATOR,
        "tokens",
        "Delete a token",
        "For good; its PAN is never given out again. Deleted already is no error.",
        v1.Token,
        refusals=(codes.NO_TOKEN,),
    ),
    Operation(
        "list_requestors",
        "GET",
        "/v1/requestors",
        _OPERATOR,
        "requestors",
        "List requestors, authorisers and operators",
        "In pages, in the order of their ids. They are made and changed by `cpmqr requestor`.",
        v1.RequestorPage,
        query=v1.PageQuery,
    ),
    Operation(
        "get_requestor",
        "GET",
        "/v1/requestors/{requestor_id}",
        _OPERATOR,
        "requestors",
        "Show one",
        "Its settings; no key, no credential.",
        v1.Requestor,
    ),
    Operation(
        "suspend_requestor",
        "POST",
        "/v1/requestors/{requestor_id}/suspend",
        _OPERATOR,
        "requestors",
        "Suspend one",
        "All that it asks is refused with 2003, and its live QRs do not verify, until it is resumed. Takes effect on "
        "every gateway within five seconds. An operator can't suspend itself.",
        v1.Requestor,
    ),
    Operation(
        "resume_requestor",
        "POST",
        "/v1/requestors/{requestor_id}/resume",
        _OPERATOR,
        "requestors",
        "Resume one",
        "Not suspended is no error.",
        v1.Requestor,
    ),
    Operation(
        "list_credentials",
        "GET",
        "/v1/requestors/{requestor_id}/credentials",
        _OPERATOR,
        "requestors",
        "List its live credentials",
        "By name; the text is kept nowhere.",
        v1.CredentialList,
    ),
    Operation(
        "add_credential",
        "POST",
        "/v1/requestors/{requestor_id}/credentials",
        _OPERATOR,
        "requestors",
        "Add a credential",
        "The first step of a rotation: two may be live. It is shown this once. Another operator's is 2002: they are "
        "made on the machine, with `cpmqr requestor`.",
        v1.NewCredential,
        status=201,
    ),
    Operation(
        "revoke_credential",
        "POST",
        "/v1/requestors/{requestor_id}/credentials/{credential_id}/revoke",
        _OPERATOR,
        "requestors",
        "Revoke a credential",
        "The last step of a rotation. Every gateway refuses it within five seconds. What is left is listed.",
        v1.CredentialList,
    ),
    Operation(
        "list_events",
        "GET",
        "/v1/events",
        _OPERATOR,
        "events",
        "List notifications",
        "`state=dead` shows those that were given up.",
        v1.EventPage,
        query=v1.EventQuery,
    ),
    Operation(
        "replay_event",
        "POST",
        "/v1/events/{event_id}/replay",
        _OPERATOR,
        "events",
        "Deliver a notification anew",
        "It becomes due at once, and is tried for another 24 hours. One that was delivered is told again.",
        v1.Event,
    ),
)


def path_parameters(path: str) -> list[str]:
    """Name a path's parameters, in their order."""
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


# What each parameter of a path is, for people.
PATH_PARAMETERS: Final[dict[str, str]] = {
    "qr_data_mapp_val": "QR_DATA_MAPP_VAL, 40 hex digits.",
    "token_id": "The token's id, 16 hex digits.",
    "requestor_id": "REQUESTOR_ID, or an authoriser's or operator's name.",
    "credential_id": "The credential's name.",
    "event_id": "The event's id, which is its `webhook-id` too.",
}
