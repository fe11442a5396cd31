"""Answers as bytes: the RESPONSE of a success and of a refusal (contract §2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cpmqr.model import HashMode
from cpmqr.wire import codes, contract, envelope, sealed

_SUCCESS_TEXT: Final = codes.CODES[codes.OK].rslt_msg


def success(
    *,
    requestor_id: str,
    crypto_type: str,
    crypto_key_ver: str,
    cpmqr_data: str,
    mapping_value: str,
    hash_mode: HashMode,
    hash_key: bytes,
) -> bytes:
    """Write the answer that carries a QR: every name of the page's table and of its sample."""
    members = {
        "CPMQR_DATA": cpmqr_data,
        "CRYPTO_KEY_VER": crypto_key_ver,
        "CRYPTO_TYPE": crypto_type,
        "MSG_VER": contract.MSG_VER,
        "RSLT_TYPE": contract.RSLT_TYPE,
        "MSG_CD": contract.MSG_CD,
        "MSG_ID": contract.MSG_CD,
        "REQUESTOR_ID": requestor_id,
        "QR_DATA_MAPP_VAL": mapping_value,
        "RSLT_CD": codes.OK,
        "RSLT_MSG": _SUCCESS_TEXT,
    }
    if hash_mode is not HashMode.OFF:
        # What `sealed.response_text` gives for these members, all of which are there: a third of its time.
        text = (
            f"CPMQR_DATA={cpmqr_data}\nCRYPTO_KEY_VER={crypto_key_ver}\nCRYPTO_TYPE={crypto_type}\n"
            f"MSG_CD={contract.MSG_CD}\nMSG_VER={contract.MSG_VER}\nQR_DATA_MAPP_VAL={mapping_value}\n"
            f"REQUESTOR_ID={requestor_id}\nRSLT_CD={codes.OK}\nRSLT_MSG={_SUCCESS_TEXT}\n"
            f"RSLT_TYPE={contract.RSLT_TYPE}\n"
        )
        members["HASH_CRC"] = sealed.hash_crc(hash_mode, hash_key, text.encode())
    return envelope.write("RESPONSE", members)


def refusal(rslt_cd: str, cause: str, sent: Mapping[str, str], *, sandbox: bool) -> bytes:
    """Write the answer to a request that is refused.

    Args:
        cause: shown after the fixed text; left out outside the sandbox for the codes that the catalogue calls terse.
        sent: the request's members, as far as they could be read; ids and versions are repeated, nothing else.
    """
    code = codes.CODES[rslt_cd]
    text = code.rslt_msg if not cause or (code.terse and not sandbox) else f"{code.rslt_msg}: {cause}"
    return envelope.write("RESPONSE", {**contract.echo(sent), "RSLT_CD": rslt_cd, "RSLT_MSG": text})
