"""Answers as bytes: the RESPONSE of a success and of a refusal (contract §2)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from cpmqr.crypto.blocks import Mac
from cpmqr.model import HashMode
from cpmqr.wire import codes, contract, envelope, sealed

_SUCCESS_TEXT: Final = codes.CODES[codes.OK].rslt_msg
_HOLE: Final = "<to be filled in>"  # longer than any other value of the form


def success(
    *,
    requestor_id: str,
    crypto_type: str,
    crypto_key_ver: str,
    cpmqr_data: bytes,
    mapping_value: str,
    hash_mode: HashMode,
    hash_mac: Mac,
) -> bytes:
    """Write the answer that carries a QR: every name of the page's table and of its sample.

    Args:
        cpmqr_data: Base64. mapping_value: hex digits. hash_mac: as `sealed.hash_crc`.
    """
    (to_qr, to_value, to_crc, end), text = _form(requestor_id, crypto_type, crypto_key_ver)
    value = mapping_value.encode()
    if hash_mode is HashMode.OFF:
        return b"".join((to_qr, cpmqr_data, to_value, value, end))
    signed = b"".join((text[0], cpmqr_data, text[1], value, text[2]))
    crc = sealed.hash_crc(hash_mode, hash_mac, signed).encode()
    return b"".join((to_qr, cpmqr_data, to_value, value, to_crc, crc, end))


@lru_cache(maxsize=1024)
def _form(requestor_id: str, crypto_type: str, crypto_key_ver: str) -> tuple[list[bytes], list[bytes]]:
    """Give body and canonical text of a success, cut where its values go in: QR, mapping value, HASH_CRC.

    A wallet's answers differ in these alone, and they are Base64 and hex digits, which need no escaping.
    """
    members = {
        "CRYPTO_KEY_VER": crypto_key_ver,
        "CRYPTO_TYPE": crypto_type,
        "MSG_VER": contract.MSG_VER,
        "RSLT_TYPE": contract.RSLT_TYPE,
        "MSG_CD": contract.MSG_CD,
        "MSG_ID": contract.MSG_CD,
        "REQUESTOR_ID": requestor_id,
        "RSLT_CD": codes.OK,
        "RSLT_MSG": _SUCCESS_TEXT,
        "CPMQR_DATA": _HOLE,
        "QR_DATA_MAPP_VAL": _HOLE,
        "HASH_CRC": _HOLE,
    }
    hole = _HOLE.encode()
    return envelope.write("RESPONSE", members).split(hole), sealed.response_text(members).split(hole)


def refusal(rslt_cd: str, cause: str, sent: Mapping[str, str], *, sandbox: bool) -> bytes:
    """Write the answer to a request that is refused.

    Args:
        cause: shown after the fixed text; left out outside the sandbox for the codes that the catalogue calls terse.
        sent: the request's members, as far as they could be read; ids and versions are repeated, nothing else.
    """
    code = codes.CODES[rslt_cd]
    text = code.rslt_msg if not cause or (code.terse and not sandbox) else f"{code.rslt_msg}: {cause}"
    return envelope.write("RESPONSE", {**contract.echo(sent), "RSLT_CD": rslt_cd, "RSLT_MSG": text})
