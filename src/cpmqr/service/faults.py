"""What a caller is answered when a part of this side fails: one table for every call beside the main job's."""

from __future__ import annotations

from cpmqr.errors import CpmqrError, KeyUnavailable, OutcomeUnknown, Refusal, StoreUnavailable
from cpmqr.wire import codes


def refusal_of(error: CpmqrError) -> Refusal | None:
    """Give the refusal that an error becomes; None for one that is an incident."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, OutcomeUnknown):
        return Refusal(codes.TIMED_OUT, str(error))
    if isinstance(error, KeyUnavailable):
        return Refusal(codes.KEY_STORE, str(error), retry_after_s=5)
    if isinstance(error, StoreUnavailable):
        return Refusal(codes.OVERLOADED, str(error), retry_after_s=1)
    return None
