"""The sandbox: all that a newcomer needs, made up on the first start, kept on each later one (contract §8).

`DIR/sandbox.json` comes first and the database after it. The file is a plan with every random value in it; seeding
adds to the database whatever of the plan is not there yet. So a crash at any point is mended by the next start, and
what a user has changed since stays as it is. A deleted file is made anew around the keys and tokens that there are,
with new credentials, since those can't be read back.

Nothing here is fixed but names: each sandbox has keys and credentials of its own.
"""

from cpmqr.sandbox.file import FILE_NAME, SandboxFile, SandboxToken, read, set_base_url, write
from cpmqr.sandbox.seeding import (
    AUTHORISER_ID,
    KEK_FILE_NAME,
    OPERATOR_ID,
    PAGE_PAN,
    REQUESTOR_ID,
    SUSPENDED_REQUESTOR_ID,
    kek,
    seed,
)

__all__ = [
    "AUTHORISER_ID",
    "FILE_NAME",
    "KEK_FILE_NAME",
    "OPERATOR_ID",
    "PAGE_PAN",
    "REQUESTOR_ID",
    "SUSPENDED_REQUESTOR_ID",
    "SandboxFile",
    "SandboxToken",
    "kek",
    "read",
    "seed",
    "set_base_url",
    "write",
]
