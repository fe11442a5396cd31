"""The bases of records in modules that can be compiled: fields by name that stay as they were made.

Elsewhere a record says `frozen=True` of itself. A compiled class forgets what is said of it beside its bases, so there
the bases hand it down, and they are never compiled.
"""

from __future__ import annotations

from typing import dataclass_transform

import msgspec


@dataclass_transform(frozen_default=True)
class Frozen(msgspec.Struct, frozen=True):
    """A record that cannot be changed, and can be hashed where its fields can."""


class Leaf(Frozen, gc=False):
    """One that no circle of references goes through: the garbage collector never looks at it."""
