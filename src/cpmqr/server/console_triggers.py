"""The trigger board: every code of the catalogue, how to provoke it in words, and the requests that do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from cpmqr.server import console_recipes as recipes
from cpmqr.server.console_recipes import Answer, Recipe
from cpmqr.server.console_wallet import Prepared, Wallet
from cpmqr.wire import codes
from cpmqr.wire.envelope import BODY_BYTES_MAX

ANSWERS_MAX: Final = 4  # ours: no recipe sends more


class Trigger(msgspec.Struct, frozen=True):
    """How to provoke one code, in English and Korean, and the requests that do."""

    how: str
    how_ko: str
    recipe: Recipe


def next_request(wallet: Wallet, rslt_cd: str, trace_no: str, answers: Sequence[Answer]) -> Prepared | None:
    """Give the request that follows these answers; None when the recipe is done or there is none for the code."""
    trigger = TRIGGERS.get(rslt_cd)
    if trigger is None:
        return None
    recipe = trigger.recipe(wallet, trace_no)
    try:
        request = next(recipe)
        for answer in answers:
            request = recipe.send(answer)
    except StopIteration:
        return None
    return request


def _asked_for(rslt_cd: str) -> Trigger:
    header = f"X-Sandbox-Result: {rslt_cd}"
    return Trigger(
        f"Send the header {header}.", f"헤더 {header}를 함께 보냅니다.", recipes.asked_for(rslt_cd)
    )


TRIGGERS: Final[dict[str, Trigger]] = {
    codes.OK: Trigger(
        "Ask for the page's own token, sealed with AES-256-GCM.",
        "API 문서의 토큰을 AES-256-GCM으로 암호화해 요청합니다.",
        recipes.success,
    ),
    codes.NOT_THE_FORMAT: Trigger(
        "Send a body that ends too early.",
        "중간에서 끊긴 JSON을 보냅니다.",
        recipes.text(lambda body: body[: len(body) // 2]),
    ),
    codes.MEMBER_MISSING: Trigger(
        "Leave ENC_DATA out.",
        "ENC_DATA를 빼고 보냅니다.",
        recipes.spoiled(lambda draft: draft.members.pop("ENC_DATA")),
    ),
    codes.MEMBER_WRONG: Trigger(
        "Give REQUESTOR_ID ten digits; it has eleven.",
        "REQUESTOR_ID를 11자리가 아닌 10자리로 보냅니다.",
        recipes.member("REQUESTOR_ID", "4200000006"),
    ),
    codes.UNKNOWN_MESSAGE: Trigger(
        "Send MSG_CD Q999.", "MSG_CD를 Q999로 보냅니다.", recipes.member("MSG_CD", "Q999")
    ),
    codes.UNKNOWN_VERSION: Trigger(
        "Send VERSION 9.9.",
        "VERSION을 9.9로 보냅니다.",
        recipes.spoiled(lambda draft: draft.paygw.update(VERSION="9.9")),
    ),
    codes.TOO_LARGE: Trigger(
        "Send a body one byte over 64 KiB.",
        "64 KiB를 1바이트 넘는 본문을 보냅니다.",
        recipes.text(lambda body: body + " " * (BODY_BYTES_MAX + 1 - len(body.encode()))),
    ),
    codes.CONTENT_TYPE: Trigger(
        "Send it as text/plain.",
        "Content-Type을 text/plain으로 보냅니다.",
        recipes.header("Content-Type", "text/plain"),
    ),
    codes.NOT_AUTHENTICATED: Trigger(
        "Send a credential that nobody has.",
        "등록되지 않은 credential을 보냅니다.",
        recipes.header("Authorization", "not-a-credential"),
    ),
    codes.NOT_YOURS: Trigger(
        "Send a REQUESTOR_ID that is not the credential's.",
        "credential과 다른 REQUESTOR_ID를 보냅니다.",
        recipes.member("REQUESTOR_ID", "42000000000"),
    ),
    codes.REQUESTOR_SUSPENDED: Trigger(
        "Ask as the sandbox's suspended requestor.",
        "이용 중지된 요청자로 요청합니다.",
        recipes.suspended_requestor,
    ),
    codes.CRYPTO_TYPE: Trigger(
        "Send CRYPTO_TYPE 77.", "CRYPTO_TYPE을 77로 보냅니다.", recipes.member("CRYPTO_TYPE", "77")
    ),
    codes.KEY_VERSION: Trigger(
        "Name a key version that is retired.",
        "만료된 키 버전을 사용합니다.",
        recipes.retired_key_version,
    ),
    codes.NOT_DECRYPTED: Trigger(
        "Flip one bit of ENC_DATA, and sign the result.",
        "ENC_DATA의 1비트를 바꾸고 다시 서명합니다.",
        recipes.changed_ciphertext,
    ),
    codes.HASH_WRONG: Trigger(
        "Change APP_DV after HASH_CRC was made.",
        "HASH_CRC를 만든 뒤에 APP_DV를 바꿉니다.",
        recipes.member("APP_DV", "changed"),
    ),
    codes.PLAINTEXT_WRONG: Trigger(
        "Seal another trace number than TRNS_TRCE_NO.",
        "TRNS_TRCE_NO와 다른 번호를 암호화합니다.",
        recipes.other_trace_inside,
    ),
    codes.TIME_OUTSIDE: Trigger(
        "Ask with the time of an hour ago.",
        "1시간 전 시각으로 요청합니다.",
        recipes.an_hour_late,
    ),
    codes.NO_TOKEN: Trigger(
        "Ask for a PAN that nobody has.", "없는 디지털PAN으로 요청합니다.", recipes.token("unknown")
    ),
    codes.TOKEN_SUSPENDED: Trigger(
        "Ask for the suspended token.", "일시정지된 토큰으로 요청합니다.", recipes.token("suspended")
    ),
    codes.TOKEN_DELETED: Trigger(
        "Ask for the deleted token.", "해지된 토큰으로 요청합니다.", recipes.token("deleted")
    ),
    codes.TOKEN_EXPIRED: Trigger(
        "Ask for the expired token.", "유효기간이 지난 토큰으로 요청합니다.", recipes.token("expired")
    ),
    codes.ATC_EXHAUSTED: Trigger(
        "Ask for the token whose counter is at 65535.",
        "거래카운터가 65535인 토큰으로 요청합니다.",
        recipes.token("exhausted"),
    ),
    codes.DUPLICATE_TRACE: Trigger(
        "Use one trace number for two different requests.",
        "같은 거래추적번호로 다른 내용을 두 번 보냅니다.",
        recipes.same_number_other_content,
    ),
    codes.NO_QR: Trigger(
        "Have a QR verified whose ATC was never issued.",
        "발급된 적 없는 ATC의 QR을 승인 요청합니다.",
        recipes.changed(bytes.fromhex("9F3602"), bytes.fromhex("FFFE")),
    ),
    codes.QR_EXPIRED: Trigger(
        "Have a QR verified that was issued an hour ago.",
        "1시간 전에 발급된 QR을 승인 요청합니다.",
        recipes.issued_an_hour_ago,
    ),
    codes.QR_USED: Trigger("Have one QR verified twice.", "같은 QR을 두 번 승인 요청합니다.", recipes.twice),
    codes.QR_REVOKED: Trigger(
        "Revoke a QR, then have it verified.",
        "QR을 폐기한 뒤 승인 요청합니다.",
        recipes.revoked,
    ),
    codes.CRYPTOGRAM_WRONG: Trigger(
        "Overwrite the application cryptogram (9F26), then have the QR verified.",
        "암호문(9F26)을 바꾼 QR을 승인 요청합니다.",
        recipes.changed(bytes.fromhex("9F2608"), bytes(8)),
    ),
    **{
        rslt_cd: _asked_for(rslt_cd)
        for rslt_cd in (codes.RATE_LIMIT, codes.OVERLOADED, codes.KEY_STORE, codes.TIMED_OUT, codes.INTERNAL)
    },
}
