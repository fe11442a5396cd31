"""The proof in a payload: the application cryptogram (ARQC, tag 9F26), and the issuer's answer to it (ARPC).

The wallet's side computes eight bytes over the transaction's data under a session key that only issuer and card
can derive. The issuer computes the same and compares: the payload is genuine, and its counter is fresh.

In consumer-presented mode the amount is not part of it. The QR is drawn before the till knows the wallet and
before the wallet knows the amount, so the cryptogram proves who pays and that this QR is new, not how much.
"""

from __future__ import annotations

import enum
import hmac
from typing import Final

from cpmqr.crypto.blocks import EncryptBlocks, aes_cmac, aes_ecb, mac_algorithm_3, tdes_ecb
from cpmqr.emv import derive
from cpmqr.errors import EncodeError
from cpmqr.record import Frozen

ARQC_BYTES: Final = 8
_ARC_BYTES: Final = 2
_CSU_BYTES: Final = 4
_PROPRIETARY_BYTES_MAX: Final = 8
_ARPC_SECTION: Final = "EMV Book 2 8.2"


class CardKeyOption(enum.StrEnum):
    """How a card's key follows from the issuer's: EMV Book 2 A1.4.1, A1.4.2, A1.4.3."""

    A = "a"
    B = "b"
    C = "c"


class CryptogramScheme(Frozen):
    """Which of EMV's ways a scheme takes to a cryptogram.

    Attributes:
        algorithm: "tdes" (MAC algorithm 3) or "aes" (CMAC cut to 8 bytes).
        option: the ICC master key's derivation; AES knows C alone.
        key_bytes: of the issuer master key and all derived ones: 16 for TDES; 16 or 32 for AES.
        padding: ISO/IEC 9797-1 padding method of MAC algorithm 3; AES-CMAC pads by itself.
    """

    algorithm: str = "tdes"
    option: CardKeyOption = CardKeyOption.A
    key_bytes: int = 16
    padding: int = 2

    @property
    def master_key_algorithm(self) -> str:
        """Name the issuer master key that this scheme wants: "tdes-112", "aes-128" or "aes-256"."""
        return f"aes-{8 * self.key_bytes}" if self.algorithm == "aes" else "tdes-112"


TDES_OPTION_A: Final = CryptogramScheme()
TDES_OPTION_B: Final = CryptogramScheme(option=CardKeyOption.B)
AES_128: Final = CryptogramScheme(algorithm="aes", option=CardKeyOption.C)
AES_256: Final = CryptogramScheme(algorithm="aes", option=CardKeyOption.C, key_bytes=32)


def generate_arqc(
    encrypt: EncryptBlocks,
    pan: str,
    psn: str,
    atc: int,
    data: bytes,
    scheme: CryptogramScheme = TDES_OPTION_A,
) -> bytes:
    """Make an application cryptogram from the issuer master key, all the way down.

    Args:
        encrypt: ECB under the issuer master key, TDES or AES as the scheme has it.
        pan: 1 to 19 digits. psn: 2 digits.
        atc: application transaction counter, 0..65535.
        data: the values that the scheme signs, one after the other.

    Returns:
        8 bytes.

    Raises:
        EncodeError: `pan`, `psn` or `atc` can't be.

    Source: EMV Book 2 8.1.1.
    """
    if scheme.algorithm == "aes":
        width = scheme.key_bytes
        card_key = derive.icc_master_key_aes(encrypt, pan, psn, key_bytes=width)
        return aes_cmac(derive.session_key_aes(aes_ecb(card_key), atc, key_bytes=width), data)[:ARQC_BYTES]
    if scheme.option is CardKeyOption.B:
        card_key = derive.icc_master_key_b(encrypt, pan, psn)
    else:
        card_key = derive.icc_master_key_a(encrypt, pan, psn)
    return mac_algorithm_3(derive.session_key_tdes(tdes_ecb(card_key), atc), data, padding=scheme.padding)


def verify_arqc(
    encrypt: EncryptBlocks,
    pan: str,
    psn: str,
    atc: int,
    data: bytes,
    arqc: bytes,
    scheme: CryptogramScheme = TDES_OPTION_A,
) -> bool:
    """Tell whether a cryptogram is the one that this key, card, counter and data give.

    The comparison takes the same time wherever the two differ.

    Args and raises: as `generate_arqc`; `arqc` is what was received, of any length.

    Source: EMV Book 2 8.1.2.
    """
    return hmac.compare_digest(generate_arqc(encrypt, pan, psn, atc, data, scheme), arqc)


def arpc_method_1(session_key: bytes, arqc: bytes, response_code: bytes) -> bytes:
    """Answer an ARQC with a response code: TDES of the two, xored. With AES take method 2.

    Args:
        session_key: 16 bytes, the ARQC's own.
        arqc: 8 bytes.
        response_code: 2 bytes (tag 8A), as ISO 8583 field 39.

    Returns:
        8 bytes; tag 91 carries them and the response code.

    Raises:
        EncodeError: a length is wrong.
        ConfigError: the key's length is wrong.

    Source: EMV Book 2 8.2.1.
    """
    _want("ARQC", arqc, ARQC_BYTES)
    _want("response code", response_code, _ARC_BYTES)
    mixed = int.from_bytes(arqc, "big") ^ int.from_bytes(response_code + bytes(6), "big")
    return tdes_ecb(session_key)(mixed.to_bytes(8, "big"))


def arpc_method_2(
    session_key: bytes,
    arqc: bytes,
    card_status_update: bytes,
    proprietary: bytes = b"",
    *,
    algorithm: str = "tdes",
) -> bytes:
    """Answer an ARQC with a status update for the card: a 4-byte MAC over ARQC, update and proprietary data.

    Args:
        session_key: the ARQC's own: 16 bytes for TDES; 16, 24 or 32 for AES.
        arqc: 8 bytes.
        card_status_update: 4 bytes (CSU).
        proprietary: 0 to 8 bytes.
        algorithm: "tdes" or "aes".

    Returns:
        4 bytes; tag 91 carries them, the update and the proprietary data.

    Raises:
        EncodeError: a length is wrong.
        ConfigError: the key's length is wrong.

    Source: EMV Book 2 8.2.2.
    """
    _want("ARQC", arqc, ARQC_BYTES)
    _want("card status update", card_status_update, _CSU_BYTES)
    if len(proprietary) > _PROPRIETARY_BYTES_MAX:
        raise EncodeError("proprietary authentication data is at most 8 bytes", section=_ARPC_SECTION)
    data = arqc + card_status_update + proprietary
    mac = aes_cmac(session_key, data) if algorithm == "aes" else mac_algorithm_3(session_key, data)
    return mac[:4]


def _want(name: str, value: bytes, length: int) -> None:
    if len(value) != length:
        raise EncodeError(f"the {name} is {length} bytes, not {len(value)}", section=_ARPC_SECTION)
