"""What a record is here: fields by name that stay as they were made.

A room of its own, and a small one, because the compiled build must leave it as it is: a compiled class forgets what is
said of it beside its bases, so frozen and free of the collector are what these two bases hand down.
"""

from __future__ import annotations

from typing import dataclass_transform

import msgspec


@dataclass_transform(frozen_default=True)
class Frozen(msgspec.Struct, frozen=True):
    """A record that cannot be changed, and can be hashed where its fields can."""


class Leaf(Frozen, gc=False):
    """One that no circle of references goes through: the garbage collector never looks at it."""
