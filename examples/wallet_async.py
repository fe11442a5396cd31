"""Many QRs at once on one event loop, each under its own deadline, with a line of log for each attempt.

cpmqr serve --sandbox &
python examples/wallet_async.py var/sandbox.json 50
"""

import asyncio
import sys
import time

import cpmqr
from cpmqr.client import Attempt


def log(attempt: Attempt) -> None:
    """Attempts carry nothing secret: this may go to any log."""
    if attempt.problem:
        print(f"{attempt.trace_no} attempt {attempt.number}: {attempt.problem}, again in {attempt.pause_s} s")


async def main(settings: str, count: int) -> int:
    async with cpmqr.AsyncWallet.from_sandbox(settings, deadline_s=5.0, observe=log) as wallet:
        started_s = time.perf_counter()
        asked = [wallet.request_qr(pan="5350206900000066") for _ in range(count)]
        came = await asyncio.gather(*asked, return_exceptions=True)
        took_s = time.perf_counter() - started_s
    qrs = [qr for qr in came if isinstance(qr, cpmqr.QrData)]
    print(f"{len(qrs)} of {count} QRs in {took_s:.2f} s")
    return 0 if len(qrs) == count else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], int(sys.argv[2]))))
