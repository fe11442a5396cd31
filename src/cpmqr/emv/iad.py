"""Issuer application data (9F10): what a wallet tells its issuer beside the cryptogram.

Each scheme has its own layout, so it is read by the application's AID. Public documents describe some of them;
of others only payloads are known. A field's reading that was concluded from such payloads is marked "inferred".
"""

from __future__ import annotations

from typing import Final

import msgspec

_BC_AID: Final = "D4100000014010"
_UNIONPAY_AID: Final = "A000000333"
_BC_BYTES: Final = 20

# Card verification results, byte by byte, highest bit first. Source: Visa's and PBOC's public descriptions (VIS CVR).
_SECOND: Final = ("second cryptogram: AAC", "second cryptogram: TC", "second cryptogram not requested", "")
_FIRST: Final = ("first cryptogram: AAC", "first cryptogram: TC", "first cryptogram: ARQC", "")
_CVR_2: Final = (
    "",
    "",
    "",
    "",
    "issuer authentication failed",
    "offline PIN verification performed",
    "offline PIN verification failed",
    "unable to go online",
)
_CVR_3: Final = (
    "last online transaction not completed",
    "PIN try limit exceeded",
    "velocity checking counters exceeded",
    "new card",
    "issuer authentication failed on last online transaction",
    "issuer authentication not performed after online authorisation",
    "application blocked by card: PIN try limit",
    "static data authentication failed on last transaction",
)
_CVR_4: Final = (
    "",
    "",
    "",
    "",
    "issuer script failed on last transaction",
    "dynamic data authentication failed on last transaction",
    "dynamic data authentication performed",
    "",
)


class IadField(msgspec.Struct, frozen=True):
    """A part of the IAD.

    Attributes:
        name: what it is; CVR are the card verification results: what the card, or the wallet in its place, did.
        value: its bytes.
        offset: from the IAD's first byte.
        meaning: in words, or "".
        inferred: concluded from payloads; no public document says so.
    """

    name: str
    value: bytes
    offset: int
    meaning: str = ""
    inferred: bool = False


class IssuerApplicationData(msgspec.Struct, frozen=True):
    """A 9F10 taken apart.

    Attributes:
        layout: whose layout it was read by; "" where none is known, then `fields` is empty.
        fields: its parts, in order.
    """

    layout: str
    fields: tuple[IadField, ...]

    @property
    def key_index(self) -> str | None:
        """Give the derivation key index, 2 hex digits: which issuer master key made the cryptogram."""
        for field in self.fields:
            if field.name == "key index":
                return field.value.hex().upper()
        return None

    @property
    def cryptogram_version(self) -> str | None:
        """Give the cryptogram version number, 2 hex digits."""
        for field in self.fields:
            if field.name == "cryptogram version":
                return field.value.hex().upper()
        return None


def read_iad(value: bytes, aid: str | None) -> IssuerApplicationData:
    """Take a 9F10 apart by the layout of its scheme. Raises nothing.

    Args:
        value: 1 to 32 bytes.
        aid: of its application, upper-case hex; decides between layouts.
    """
    if aid is not None and aid.startswith(_BC_AID) and len(value) == _BC_BYTES:
        return IssuerApplicationData("Korean domestic (as seen in the field)", _read_bc(value))
    if len(value) >= 7 and value[0] == 6 and value[3] == 3:
        return IssuerApplicationData("VIS, 6 bytes", _read_vis(value, with_length_before_rest=len(value) > 7))
    if len(value) >= 7 and value[0] == 7 and value[3] == 3:
        name = "UnionPay" if aid is not None and aid.startswith(_UNIONPAY_AID) else "VIS, 7 bytes"
        return IssuerApplicationData(name, _read_unionpay(value))
    return IssuerApplicationData("", ())


def cvr_meaning(cvr: bytes) -> str:
    """Say what card verification results of VIS form say: a length of 3 and three bytes."""
    if len(cvr) != 4 or cvr[0] != 3:
        return ""
    told = [_SECOND[cvr[1] >> 6], _FIRST[cvr[1] >> 4 & 3]]
    told += _set_bits(cvr[1], _CVR_2) + _set_bits(cvr[2], _CVR_3) + _set_bits(cvr[3], _CVR_4)
    if scripts := cvr[3] >> 4:
        told.append(f"{scripts} issuer scripts")
    return "; ".join([part for part in told if part])


def _set_bits(byte: int, names: tuple[str, ...]) -> list[str]:
    return [name for place, name in enumerate(names) if name and byte & 0x80 >> place]


def _read_bc(value: bytes) -> tuple[IadField, ...]:
    time = value[12:19].hex()
    korean = f"{time[:4]}-{time[4:6]}-{time[6:8]} {time[8:10]}:{time[10:12]}:{time[12:]} Korean time"
    return (
        IadField("key index", value[:1], 0, "which issuer master key", inferred=True),
        IadField("cryptogram version", value[1:2], 1, inferred=True),
        IadField("CVR", value[2:8], 2, _bc_cvr(value[2]), inferred=True),
        IadField("zeros", value[8:12], 8, "" if any(value[8:12]) else "always so in the payloads seen"),
        IadField("issue time", value[12:19], 12, korean if time.isdigit() else "not a time in BCD"),
        IadField("end", value[19:], 19, "always 01 in the payloads seen" if value[19] == 1 else ""),
    )


def _bc_cvr(first: int) -> str:
    return "; ".join([part for part in (_SECOND[first >> 6], _FIRST[first >> 4 & 3]) if part])


def _read_vis(value: bytes, *, with_length_before_rest: bool) -> tuple[IadField, ...]:
    fields = [
        IadField("length", value[:1], 0),
        IadField("key index", value[1:2], 1, "which issuer master key"),
        IadField("cryptogram version", value[2:3], 2),
        IadField("CVR", value[3:7], 3, cvr_meaning(value[3:7])),
    ]
    if with_length_before_rest:
        fields.append(IadField("issuer discretionary data", value[7:], 7))
    return tuple(fields)


def _read_unionpay(value: bytes) -> tuple[IadField, ...]:
    fields = [*_read_vis(value[:7], with_length_before_rest=False)]
    if len(value) > 7:
        meaning = {1: "TDES", 4: "SM4"}.get(value[7], "")
        fields.append(IadField("algorithm", value[7:8], 7, meaning))
    if len(value) > 8:
        fields.append(IadField("length", value[8:9], 8, f"{value[8]} bytes of issuer data follow"))
        data = value[9:]
        text = data.decode("latin-1")
        shown = f"“{text}”" if data and text.isascii() and text.isprintable() else ""
        fields.append(IadField("issuer discretionary data", data, 9, shown))
    return tuple(fields)
