"""A wallet's backend in thirty lines: ask for a QR, draw it, and know what to do when there is none.

cpmqr serve --sandbox &
python examples/wallet.py var/sandbox.json qr.png
"""

import sys
from pathlib import Path

import cpmqr


def main(settings: str, picture: str) -> int:
    wallet = (
        cpmqr.Wallet.from_config(settings)
        if settings.endswith(".toml")
        else cpmqr.Wallet.from_sandbox(settings)
    )
    with wallet:
        prepared = wallet.prepare(pan="5350206900000066")
        try:
            qr = wallet.send(prepared)
        except cpmqr.OutcomeUnknown:
            # A QR may have been issued. Keep `prepared` and send it later: it stays the same request.
            print(f"no answer yet; send it again under {prepared.trace_no}")
            return 3
        except cpmqr.Refused as refused:
            print(f"no QR: {refused.rslt_cd} {refused.rslt_msg}")
            return 1
        except cpmqr.CpmqrError as error:
            print(f"no QR: {error}")
            return 3
    Path(picture).write_bytes(qr.png())
    print(qr.terminal())
    print(
        f"{picture}, valid until {qr.expires_at:%H:%M:%S} UTC; the handle to ask about it is {qr.mapping_value}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
