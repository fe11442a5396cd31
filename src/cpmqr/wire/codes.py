"""The catalogue of answers (contract §6): one table for the wire, the client, the docs and OpenAPI.

All of it is ours: the page's own table of codes is an empty link.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec


class Retry(enum.StrEnum):
    """What a wallet may do after an answer."""

    NONE = ""
    NO = "no"
    NEW_TIME = "with a new time"
    NEW_NUMBER = "new number"
    SAME_NUMBER = "same number"
    ISSUE_AGAIN = "issue again"
    AFTER = "Retry-After"


class Code(msgspec.Struct, frozen=True):
    """One row: code, Korean text, HTTP status, English meaning, what to do.

    `terse` codes carry the fixed text alone outside the sandbox, whatever the cause: 3003 and 9999 by the contract,
    9001 and 9002 because their causes speak of our own database and keys.
    """

    rslt_cd: str
    rslt_msg: str
    http_status: int
    meaning: str
    retry: Retry
    terse: bool = False

    @property
    def retryable(self) -> bool:
        """The same request, unchanged, may be sent again."""
        return self.retry in (Retry.SAME_NUMBER, Retry.AFTER)


OK: Final = "0000"
NOT_THE_FORMAT: Final = "1001"
MEMBER_MISSING: Final = "1002"
MEMBER_WRONG: Final = "1003"
UNKNOWN_MESSAGE: Final = "1004"
UNKNOWN_VERSION: Final = "1005"
TOO_LARGE: Final = "1006"
CONTENT_TYPE: Final = "1007"
NOT_AUTHENTICATED: Final = "2001"
NOT_YOURS: Final = "2002"
REQUESTOR_SUSPENDED: Final = "2003"
CRYPTO_TYPE: Final = "3001"
KEY_VERSION: Final = "3002"
NOT_DECRYPTED: Final = "3003"
HASH_WRONG: Final = "3004"
PLAINTEXT_WRONG: Final = "3005"
TIME_OUTSIDE: Final = "3006"
NO_TOKEN: Final = "4001"
TOKEN_SUSPENDED: Final = "4002"
TOKEN_DELETED: Final = "4003"
TOKEN_EXPIRED: Final = "4004"
ATC_EXHAUSTED: Final = "4006"
DUPLICATE_TRACE: Final = "5001"
NO_QR: Final = "5003"
QR_EXPIRED: Final = "5004"
QR_USED: Final = "5005"
QR_REVOKED: Final = "5006"
CRYPTOGRAM_WRONG: Final = "5007"
RATE_LIMIT: Final = "8001"
OVERLOADED: Final = "9001"
KEY_STORE: Final = "9002"
TIMED_OUT: Final = "9003"
INTERNAL: Final = "9999"

CODES: Final[dict[str, Code]] = {
    code.rslt_cd: code
    for code in (
        Code(OK, "성공", 200, "success", Retry.NONE),
        Code(NOT_THE_FORMAT, "전문 형식 오류", 400, "not JSON, or not the envelope", Retry.NO),
        Code(MEMBER_MISSING, "필수 항목 누락", 400, "a required member is missing", Retry.NO),
        Code(MEMBER_WRONG, "항목 값 오류", 400, "a member's value is wrong", Retry.NO),
        Code(UNKNOWN_MESSAGE, "지원하지 않는 메시지", 400, "unknown REQID or MSG_CD", Retry.NO),
        Code(UNKNOWN_VERSION, "지원하지 않는 버전", 400, "unknown VERSION or MSG_VER", Retry.NO),
        Code(TOO_LARGE, "전문 길이 초과", 413, "body too large", Retry.NO),
        Code(CONTENT_TYPE, "지원하지 않는 콘텐츠 형식", 415, "content type or charset", Retry.NO),
        Code(NOT_AUTHENTICATED, "인증 실패", 401, "credential missing, unknown or revoked", Retry.NO),
        Code(NOT_YOURS, "접근 권한 없음", 403, "the credential is not this REQUESTOR_ID's", Retry.NO),
        Code(REQUESTOR_SUSPENDED, "이용 중지된 요청자", 403, "requestor suspended", Retry.NO),
        Code(
            CRYPTO_TYPE,
            "지원하지 않는 암호화 구분",
            400,
            "unknown CRYPTO_TYPE, or not allowed here",
            Retry.NO,
        ),
        Code(KEY_VERSION, "암호화 키 버전 오류", 400, "unknown or retired key version", Retry.NO),
        Code(NOT_DECRYPTED, "복호화 실패", 400, "decryption failed", Retry.NO, terse=True),
        Code(HASH_WRONG, "무결성 검증 실패", 400, "HASH_CRC missing or wrong", Retry.NO),
        Code(PLAINTEXT_WRONG, "암호화 항목 오류", 400, "the plaintext is not PAN|time|trace|", Retry.NO),
        Code(TIME_OUTSIDE, "요청시간 유효범위 초과", 400, "request time outside the window", Retry.NEW_TIME),
        Code(NO_TOKEN, "토큰 없음", 404, "no such digital PAN for this requestor", Retry.NO),
        Code(TOKEN_SUSPENDED, "토큰 일시정지", 409, "token suspended", Retry.NO),
        Code(TOKEN_DELETED, "토큰 해지", 410, "token deleted", Retry.NO),
        Code(TOKEN_EXPIRED, "토큰 유효기간 만료", 409, "token expired", Retry.NO),
        Code(ATC_EXHAUSTED, "거래카운터 한도 초과", 409, "ATC used up", Retry.NO),
        Code(
            DUPLICATE_TRACE,
            "중복 거래추적번호",
            409,
            "trace number used with other content",
            Retry.NEW_NUMBER,
        ),
        Code(NO_QR, "QR 없음", 404, "no such issue", Retry.NO),
        Code(QR_EXPIRED, "QR 유효시간 만료", 410, "QR expired", Retry.ISSUE_AGAIN),
        Code(QR_USED, "이미 사용된 QR", 409, "QR already used", Retry.ISSUE_AGAIN),
        Code(QR_REVOKED, "폐기된 QR", 410, "QR revoked", Retry.ISSUE_AGAIN),
        Code(CRYPTOGRAM_WRONG, "암호문 검증 실패", 422, "application cryptogram wrong", Retry.NO),
        Code(RATE_LIMIT, "요청 한도 초과", 429, "rate limit", Retry.AFTER),
        Code(OVERLOADED, "서비스 일시 중단", 503, "overloaded or draining", Retry.AFTER, terse=True),
        Code(KEY_STORE, "키 저장소 오류", 503, "key store or HSM not available", Retry.AFTER, terse=True),
        Code(
            TIMED_OUT,
            "처리 시간 초과",
            504,
            "outcome unknown: repeat with the same trace number",
            Retry.SAME_NUMBER,
        ),
        Code(INTERNAL, "시스템 오류", 500, "internal error", Retry.SAME_NUMBER, terse=True),
    )
}
