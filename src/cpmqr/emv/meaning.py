"""Values in words: dates, countries, languages, bits, and what a number stands for.

`meaning` gives a short phrase for the value of a tag, by the decoder that the dictionary names. A PAN comes out
masked; showing it in full is `explain`'s own decision.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Final

from cpmqr.emv.tags import TAGS
from cpmqr.emv.track2 import service_code_meaning
from cpmqr.model import mask_pan

TEXT_CHARACTERS_SHOWN: Final = 64  # a line of a terminal; the bytes stand beside it


BY_PARTS: Final = {"track2", "iad"}  # what `explain` takes apart instead


def meaning(tag: str, value: bytes) -> str:
    """Say a value in words; "" where the bytes say it all, or nothing can be made of them. Raises nothing.

    Args:
        tag: upper-case hex.
        value: its bytes, right or wrong.
    """
    definition = TAGS.get(tag)
    if definition is None or not definition.decoder or not value:
        return ""
    if definition.decoder in BY_PARTS:
        return ""
    return DECODERS[definition.decoder](value)


def aid_name(aid: str) -> str:
    """Name a scheme by its AID, or by the longest known beginning of it; "" for an unknown one."""
    for length in range(len(aid), 9, -2):
        if name := _AIDS.get(aid[:length]):
            return name if length == len(aid) else f"{name}, extended by {aid[length:]}"
    return ""


def _table(name: str, kind: str, key: str) -> Mapping[str, str]:
    rows = csv.DictReader(resources.files("cpmqr.emv").joinpath(name).read_text("utf-8").splitlines())
    return {
        row[key]: f"{row['short']}, {row['name']}" if row.get("short") else row["name"]
        for row in rows
        if not kind or row["kind"] == kind
    }


_AIDS: Final = _table("aids.csv", "", "aid")
_COUNTRIES: Final = _table("codes.csv", "country", "code")
_CURRENCIES: Final = _table("codes.csv", "currency", "code")
_LANGUAGES: Final = _table("codes.csv", "language", "code")


def _bit_names(text: str) -> tuple[tuple[str, ...], ...]:
    """Read a table of bits: a line for each byte, the highest bit first, "-" for a reserved one."""
    return tuple(tuple(name.strip() for name in line.split(";")) for line in text.strip().splitlines())


_AIP: Final = _bit_names(
    """
    -; SDA; DDA; cardholder verification; terminal risk management; issuer authentication; -; CDA
    EMV mode; -; -; -; -; -; -; -
    """
)
_TSI: Final = _bit_names(
    """
    data authenticated; cardholder verified; card's risks; issuer authenticated; terminal's risks; script run; -; -
    -; -; -; -; -; -; -; -
    """
)
_TVR: Final = _bit_names(
    """
    no data authentication; SDA failed; card data missing; on exception file; DDA failed; CDA failed; SDA selected; -
    versions differ; expired; not yet effective; service not allowed; new card; -; -; -
    cardholder not verified; unknown CVM; PIN tries exceeded; no PIN pad; PIN not entered; online PIN entered; -; -
    over floor limit; lower limit exceeded; upper limit exceeded; selected at random; merchant forced online; -; -; -
    default TDOL used; issuer not authenticated; script failed early; script failed late; -; -; -; -
    """
)
_AUC: Final = _bit_names(
    """
    cash here; cash abroad; goods here; goods abroad; services here; services abroad; at ATMs; not only at ATMs
    cashback here; cashback abroad; -; -; -; -; -; -
    """
)
_CRYPTOGRAM_TYPES: Final = (
    "AAC (declined)",
    "TC (approved offline)",
    "ARQC (the issuer is to decide)",
    "reserved",
)
_TRANSACTION_TYPES: Final = {"00": "goods and services", "01": "cash", "09": "cashback", "20": "refund"}


def _bits(value: bytes, names: tuple[tuple[str, ...], ...], none: str) -> str:
    told = [
        name if name != "-" else f"reserved bit {8 - place} of byte {number + 1}"
        for number, (byte, row) in enumerate(zip(value, names, strict=False))
        for place, name in enumerate(row)
        if byte & 0x80 >> place
    ]
    return ", ".join(told) or none


def _date(value: bytes) -> str:
    digits = value.hex()
    return f"20{digits[:2]}-{digits[2:4]}-{digits[4:]}" if digits.isdigit() and len(digits) == 6 else ""


def _time(value: bytes) -> str:
    digits = value.hex()
    return f"{digits[:2]}:{digits[2:4]}:{digits[4:]}" if digits.isdigit() and len(digits) == 6 else ""


def _digits(value: bytes) -> str:
    return value.hex() if value.hex().isdigit() else ""


def _number(value: bytes) -> str:
    return str(int(value.hex())) if value.hex().isdigit() else ""


def _text(value: bytes) -> str:
    text = value.decode("latin-1")
    if not (text.isascii() and text.isprintable()):
        return ""
    return f"“{text}”" if len(text) <= TEXT_CHARACTERS_SHOWN else f"“{text[:TEXT_CHARACTERS_SHOWN]}…”"


def _languages(value: bytes) -> str:
    text = value.decode("latin-1").lower()
    codes = [text[at : at + 2] for at in range(0, len(text), 2)]
    return ", then ".join([_LANGUAGES.get(code, f"“{code}”") for code in codes]) if text.isalpha() else ""


def _pan(value: bytes) -> str:
    digits = value.hex().rstrip("f")
    return f"{mask_pan(digits)}, {len(digits)} digits" if digits.isdigit() else ""


def _service_code(value: bytes) -> str:
    return service_code_meaning(value.hex()[-3:])


def _dol(value: bytes) -> str:
    """Read a data object list: tags with lengths, without values."""
    names: list[str] = []
    at = 0
    while at < len(value) and len(names) < TEXT_CHARACTERS_SHOWN:
        start = at
        at += 2 if value[at] & 0x1F == 0x1F else 1
        names.append(value[start:at].hex().upper())
        at += 1
    return "asks for " + " ".join(names)


def _par(value: bytes) -> str:
    text = value.decode("latin-1")
    return f"BIN controller {text[:4]}" if text.isascii() and text.isalnum() else ""


def _named(table: Mapping[str, str], code: str) -> str:
    return table.get(code, f"{code}: not in our table") if code.isdigit() else ""


DECODERS: Final[Mapping[str, Callable[[bytes], str]]] = {
    "aid": lambda value: aid_name(value.hex().upper()),
    "aip": lambda value: _bits(value, _AIP, "nothing set, as is usual in a QR"),
    "amount": lambda value: f"{int(value.hex())} in minor units" if value.hex().isdigit() else "",
    "amount_binary": lambda value: f"{int.from_bytes(value, 'big')} in minor units",
    "auc": lambda value: _bits(value, _AUC, "usable nowhere"),
    "cid": lambda value: _CRYPTOGRAM_TYPES[value[0] >> 6],
    "country": lambda value: _named(_COUNTRIES, value.hex()[-3:]),
    "cpv": lambda value: "EMV consumer-presented mode, version 1.x" if value == b"CPV01" else _text(value),
    "cryptogram": lambda value: "the proof that card, counter and data belong together",
    "currency": lambda value: _named(_CURRENCIES, value.hex()[-3:]),
    "date": _date,
    "digits": _digits,
    "dol": _dol,
    "languages": _languages,
    "maybe_text": _text,
    "number": _number,
    "number_binary": lambda value: str(int.from_bytes(value, "big")),
    "pan": _pan,
    "par": _par,
    "service_code": _service_code,
    "text": _text,
    "time": _time,
    "transaction_type": lambda value: _TRANSACTION_TYPES.get(value.hex(), ""),
    "tsi": lambda value: _bits(value, _TSI, "nothing performed"),
    "tvr": lambda value: _bits(value, _TVR, "nothing to report"),
    "unpredictable_number": lambda value: "makes this QR's cryptogram unlike any other",
}
