"""For a wallet's server: check that a notification is the gateway's, and read it.

notice = read_notice(request.headers, request.body, secret="whsec_…")
if notice.data.trace_no not in seen: …
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from cpmqr.wire import webhook
from cpmqr.wire.webhook import Notice, QrUsed

__all__ = ["Notice", "QrUsed", "read_notice"]


def read_notice(
    headers: Mapping[str, str],
    body: bytes,
    *,
    secret: str,
    old_secret: str = "",
    now_s: float | None = None,
    tolerance_s: int = webhook.TOLERANCE_S,
) -> Notice:
    """Check a delivery and read it. Answer it with 200 to 299 once you have noted it; else it comes again.

    Args:
        headers: as received. body: the very bytes that came.
        secret: `whsec_…`, or the key's hex digits. old_secret: the one before, while it is rotated.
        now_s: seconds since the Unix epoch; this machine's clock where it is not given.
        tolerance_s: how far from it a delivery may have been made.

    Raises:
        UntrustedAnswer: it is not the gateway's, or too old; do nothing with it.
        ConfigError: a secret is malformed.
    """
    keys = [webhook.read_secret(text) for text in (secret, old_secret) if text]
    moment = time.time() if now_s is None else now_s
    return webhook.verify(headers, body, keys, int(moment), tolerance_s)
