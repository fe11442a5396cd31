"""The main job: a wallet's request in, its QR out, from body bytes to reply bytes. Needs no HTTP.

The steps, in the contract's order of checks; the code below is numbered by them.

 1. The content type; the credential: whose is it                  1007, 2001
 2. The envelope                                                   1001, 1004, 1005
 3. The members                                                    1002, 1003, 1004, 1005
 4. The requestor: is it the credential's, is it live              2002, 2003
 5. Rate limit, CRYPTO_TYPE and key version                        8001, 3001, 3002
 6. HASH_CRC                                                       3004
 7. ENC_DATA: open it, read it                                     3003, 3005
 8. The store: retry, duplicate, window, token, counter            5001, 3006, 4001 to 4006; 9001, 9002, 9003
 9. Cryptogram and payload, computed from what the store returned
10. The answer

Everything up to 7 is synchronous and touches nothing; step 8 is the only wait. A retry runs the same steps, and
computes the same bytes again from the row of the first issue.
"""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache, partial
from typing import Final

import msgspec

from cpmqr.crypto.suites import Entropy
from cpmqr.emv.compiled import CardData, CompiledProfile
from cpmqr.errors import CpmqrError, EncodeError, KeyUnavailable, OutcomeUnknown, Refusal, UnsealError
from cpmqr.model import HashMode, Role, TokenPan
from cpmqr.record import Frozen, Leaf
from cpmqr.service.access import Access, Principal, Snapshot
from cpmqr.service.admission import Admission
from cpmqr.service.batch import Batcher
from cpmqr.service.faults import refusal_of
from cpmqr.service.limits import RateLimits
from cpmqr.service.sample import PAGE_SAMPLE_HINT, is_page_sample
from cpmqr.store.base import Issued, IssueIntent, IssueOutcome, NotIssued
from cpmqr.wire import answer, codes, contract, envelope, sealed

UNPREDICTABLE_NUMBER_BYTES: Final = 4
SECONDS_A_DAY: Final = 86_400


class Rules(Frozen):
    """What a deployment may set of the main job.

    Attributes:
        window_s: how far a request time may lie from the gateway's clock, either way.
        qr_ttl_s: a QR's lifetime from its issue.
        dnf_profiles: DNF_DV → scheme profile, beside "1", which is the token's own.
        always_200: errors carry status 200, for clients that read RSLT_CD alone.
    """

    sandbox: bool = False
    window_s: int = 300
    qr_ttl_s: int = 180
    dnf_profiles: Mapping[str, str] = {}
    always_200: bool = False


class Call:
    """A request as the edge hands it over.

    `sent` is filled in as soon as the members are read; `skew_s`, the request time less the clock, once ENC_DATA has
    been opened, which only a requestor who was authenticated comes to.
    """

    __slots__ = (
        "alive",
        "authorization",
        "body",
        "content_type",
        "now_s",
        "sandbox_result",
        "sent",
        "skew_s",
        "source",
    )

    def __init__(
        self,
        body: bytes,
        authorization: str | None,
        content_type: str,
        now_s: int,
        *,
        source: str = "",
        sandbox_result: str = "",
        alive: Callable[[], bool] | None = None,
    ) -> None:
        self.body = body
        self.authorization = authorization
        self.content_type = content_type
        self.now_s = now_s
        self.source = source
        self.sandbox_result = sandbox_result
        self.alive = alive
        self.sent: dict[str, str] = {}
        self.skew_s: int | None = None


class Reply(Leaf):
    """What the edge sends, and what it may log: nothing secret in the fields after `body`."""

    http_status: int
    body: bytes
    rslt_cd: str
    cause: str = ""
    retry_after_s: int | None = None
    incident: str = ""
    requestor_id: str = ""
    trace_no: str = ""
    token_id: int = 0
    atc: int = 0
    repeated: bool = False

    def __repr__(self) -> str:
        return f"<reply {self.http_status} {self.rslt_cd}>"


class Prepared(Leaf):
    """A request that has passed steps 1 to 7."""

    principal: Principal
    message: contract.Message
    pan: TokenPan
    intent: IssueIntent

    def __repr__(self) -> str:
        return f"<prepared {self.intent.requestor_id} {self.pan!r}>"


class Issuer:
    """Answers wallets.

    Args:
        profiles: compiled scheme profiles by name.
        entropy: gives n random bytes.
        report: told of an unexpected error, with the incident id that the caller was given.
        admission: how many requests may be under way at once; None where that is nobody's matter.
    """

    def __init__(
        self,
        rules: Rules,
        access: Access,
        batcher: Batcher[IssueIntent, IssueOutcome],
        limits: RateLimits,
        profiles: Mapping[str, CompiledProfile],
        entropy: Entropy,
        report: Callable[[str, BaseException], None],
        admission: Admission | None = None,
    ) -> None:
        self.rules = rules
        self.access = access
        self._batcher = batcher
        self._limits = limits
        self._profiles = profiles
        self._entropy = entropy
        self._report = report
        self._admission = admission
        too_many = Refusal(
            codes.OVERLOADED, "more requests at once than can be answered soon", retry_after_s=1
        )
        self.turned_away = self.refuse(Call(b"", None, "", 0), too_many)

    async def answer(self, call: Call) -> Reply | None:
        """Answer a request; whatever happens, the reply is one of the contract's. Raises nothing.

        None where nobody is there to be answered: the client went while its request waited.
        """
        replied: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()

        def done(reply: Reply | None) -> None:
            if not replied.done():
                replied.set_result(reply)

        client_is_there = call.alive
        call.alive = lambda: not replied.done() and (client_is_there is None or client_is_there())
        self.begin(call, done)
        return await replied

    def begin(self, call: Call, done: Callable[[Reply | None], None]) -> None:
        """Carry out the steps before the store now, those after it when its outcome is there. Raises nothing.

        Args:
            done: called once with the reply, at once where a check fails; with None as `answer` gives it.
        """
        entered_at = 0.0
        if self._admission is not None:
            entry = self._admission.enter()
            if entry is None:
                done(self.turned_away)
                return
            entered_at = entry
        try:
            prepared = self.prepare(call)
            settle = partial(self._settle, call, prepared, entered_at, done)
            self._batcher.put(prepared.intent, settle, call.alive)
        except Exception as error:
            self._leave(entered_at, reply := self._failed(call, error))
            done(reply)

    def _settle(
        self,
        call: Call,
        prepared: Prepared,
        entered_at: float,
        done: Callable[[Reply | None], None],
        outcome: IssueOutcome | BaseException,
    ) -> None:
        reply: Reply | None
        if isinstance(outcome, Exception):
            reply = self._failed(call, outcome)
        elif isinstance(outcome, BaseException):  # nobody is there
            reply = None
        else:
            try:
                reply = self.finish(prepared, outcome)
            except Exception as error:
                reply = self._failed(call, error)
        self._leave(entered_at, reply)
        done(reply)

    def _leave(self, entered_at: float, reply: Reply | None) -> None:
        if self._admission is not None:
            answered = reply is not None and reply.rslt_cd not in _OUT_OF_TIME
            self._admission.leave(entered_at, answered=answered)

    def _failed(self, call: Call, error: Exception) -> Reply:
        """Turn what a step raised into its reply."""
        if isinstance(error, OutcomeUnknown):
            error = OutcomeUnknown(f"{error}; repeat with the same trace number")
        refusal = refusal_of(error) if isinstance(error, CpmqrError) else None
        return self._incident(call, error) if refusal is None else self.refuse(call, refusal)

    def turn_away(self) -> Reply | None:
        """Give the refusal that a request gets which comes now, in an overload, unread; None where it may `begin`."""
        admission = self._admission
        return self.turned_away if admission and admission.overloaded and admission.turn_away() else None

    def prepare(self, call: Call) -> Prepared:
        """Carry out steps 1 to 7.

        Raises:
            Refusal: the first check that fails decides the code.
        """
        charset = envelope.charset_of(call.content_type)  # 1
        principal = self.access.identify(call.authorization)
        if call.sandbox_result and self.rules.sandbox:
            raise wished_for(call.sandbox_result)
        sent = envelope.read_request(call.body, charset)  # 2
        call.sent = sent.members
        envelope.check(sent)
        message = contract.read_message(sent, self.rules.dnf_profiles)  # 3
        self.check_requestor(principal, message, call.source)  # 4
        self._limits.take(principal.requestor)  # 5
        self.check_crypto(principal, message)
        lines = sealed.request_lines(message.members)
        self.check_hash(principal, message, lines)  # 6
        opened = self.open_enc_data(principal, message)  # 7
        return Prepared(
            principal, message, opened.pan, self.make_intent(call, principal, message, lines, opened)
        )

    def check_requestor(self, principal: Principal, message: contract.Message, source: str) -> None:
        """Step 4: is the credential this requestor's, used from where it may be, and is the requestor live."""
        self.access.admit(principal, source, Role.REQUESTOR)
        requestor = principal.requestor
        if message.requestor_id != requestor.requestor_id:
            raise Refusal(codes.NOT_YOURS, "this credential belongs to another REQUESTOR_ID")
        if requestor.suspended:
            raise Refusal(
                codes.REQUESTOR_SUSPENDED, "all that this requestor asks is refused until it is resumed"
            )

    def check_crypto(self, principal: Principal, message: contract.Message) -> None:
        """Step 5: may this requestor use this CRYPTO_TYPE, and is the key version live."""
        requestor = principal.requestor
        suite = self.access.suites.get(message.crypto_type)
        if suite is None:
            known = ", ".join(sorted(self.access.suites))
            raise Refusal(codes.CRYPTO_TYPE, f"CRYPTO_TYPE must be one of {known}")
        if suite.sandbox_only and not (self.rules.sandbox and requestor.sandbox):
            raise Refusal(codes.CRYPTO_TYPE, f"CRYPTO_TYPE {message.crypto_type} is for the sandbox only")
        if requestor.crypto_types and message.crypto_type not in requestor.crypto_types:
            raise Refusal(codes.CRYPTO_TYPE, f"this requestor may use {', '.join(requestor.crypto_types)}")
        if suite.needs_hmac and requestor.hash_crc is not HashMode.HMAC_SHA256:
            raise Refusal(
                codes.CRYPTO_TYPE,
                f"CRYPTO_TYPE {message.crypto_type} needs HASH_CRC in HMAC mode; "
                f"this requestor's is {requestor.hash_crc}",
            )
        version = message.crypto_key_ver
        missing_hash_key = requestor.hash_crc is HashMode.HMAC_SHA256 and version not in principal.hash_keys
        if (message.crypto_type, version) not in principal.openers or missing_hash_key:
            raise Refusal(codes.KEY_VERSION, self._about_version(principal, message))

    def check_hash(self, principal: Principal, message: contract.Message, lines: tuple[str, str]) -> None:
        """Step 6: HASH_CRC, in constant time, before anything is decrypted; `lines` as `sealed.request_lines`."""
        mode = principal.requestor.hash_crc
        if mode is HashMode.OFF:
            return
        if message.hash_crc is None:
            raise Refusal(codes.HASH_WRONG, f"HASH_CRC is missing; this requestor's mode is {mode}")
        mac = principal.hash_keys.get(message.crypto_key_ver, sealed.NO_KEY)
        expected = sealed.hash_crc(mode, mac, sealed.signed_text(lines, message))
        if not sealed.hash_crc_equal(message.hash_crc, expected):
            raise Refusal(codes.HASH_WRONG, self._about_hash(mode, message))

    def open_enc_data(self, principal: Principal, message: contract.Message) -> sealed.Opened:
        """Step 7: open ENC_DATA and read its three values."""
        opener = principal.openers[message.crypto_type, message.crypto_key_ver]
        aad = sealed.associated_data(message.requestor_id, message.crypto_key_ver, message.trace_no)
        try:
            clear = opener.unseal(sealed.decode_enc_data(message.enc_data), aad)
        except UnsealError as error:
            which = message.crypto_type, message.crypto_key_ver
            kcv = principal.check_values.get(which, "none")
            cause = f"{error} (CRYPTO_TYPE {which[0]}, key version {which[1]}, check value {kcv})"
            raise Refusal(codes.NOT_DECRYPTED, cause) from None
        try:
            return sealed.read_plaintext(clear, message.trace_no)
        except Refusal as refusal:
            if self.rules.sandbox and is_page_sample(message.enc_data):
                raise Refusal(refusal.rslt_cd, PAGE_SAMPLE_HINT) from None
            raise

    def finish(self, prepared: Prepared, outcome: IssueOutcome) -> Reply:
        """Carry out steps 9 and 10 on what the store returned.

        Raises:
            Refusal: the store stored nothing.
            KeyUnavailable: the issuer key of an old issue is gone.
        """
        if isinstance(outcome, NotIssued):
            raise Refusal(outcome.value, self._about(outcome), retry_after_s=_RETRY_AFTER_S.get(outcome))
        message, principal = prepared.message, prepared.principal
        snapshot = self.access.current
        payload = self.payload(snapshot, prepared.pan, outcome)  # 9
        body = answer.success(  # 10
            requestor_id=message.requestor_id,
            crypto_type=message.crypto_type,
            crypto_key_ver=message.crypto_key_ver,
            cpmqr_data=binascii.b2a_base64(payload, newline=False),
            mapping_value=snapshot.vault.mapping_value(
                outcome.token_id, outcome.atc, outcome.issued_at_s // SECONDS_A_DAY
            ),
            hash_mode=principal.requestor.hash_crc,
            hash_mac=principal.hash_keys.get(message.crypto_key_ver, sealed.NO_KEY),
        )
        return Reply(
            200,
            body,
            codes.OK,
            requestor_id=message.requestor_id,
            trace_no=message.trace_no,
            token_id=outcome.token_id,
            atc=outcome.atc,
            repeated=outcome.repeated,
        )

    def payload(self, snapshot: Snapshot, pan: TokenPan, issued: Issued) -> bytes:
        """Step 9: compute the payload of an issue; the same bytes each time."""
        encrypt = snapshot.issuer.encryptors.get((issued.profile, issued.dki))
        profile = self._profiles.get(issued.profile)
        if encrypt is None or profile is None:
            raise KeyUnavailable(f"profile {issued.profile} has no issuer key {issued.dki} here")
        card = CardData(pan.reveal(), issued.psn, issued.expiry, issued.service_code, issued.discretionary)
        issued_at = korean_text(issued.issued_at_s)
        try:
            return profile.issue(
                encrypt, card, issued.atc, issued.unpredictable_number, issued_at, issued.dki
            )
        except EncodeError as error:
            # Only DNF_DV can ask for a profile that a token was not made for; a retry hears the same.
            cause = f"DNF_DV asks for a profile that this token does not fit: {error}"
            raise Refusal(codes.MEMBER_WRONG, cause) from None

    def refuse(self, call: Call, refusal: Refusal) -> Reply:
        """Turn a refusal into its reply."""
        code = codes.CODES[refusal.rslt_cd]
        return Reply(
            200 if self.rules.always_200 else code.http_status,
            answer.refusal(code.rslt_cd, refusal.cause, call.sent, sandbox=self.rules.sandbox),
            code.rslt_cd,
            cause=refusal.cause,
            retry_after_s=refusal.retry_after_s,
            requestor_id=contract.echo(call.sent).get("REQUESTOR_ID", ""),
        )

    def make_intent(
        self,
        call: Call,
        principal: Principal,
        message: contract.Message,
        lines: tuple[str, str],
        opened: sealed.Opened,
    ) -> IssueIntent:
        vault = self.access.current.vault
        pan_index = vault.index(opened.pan.reveal())
        self._limits.take_token(principal.requestor, pan_index)
        now_s = call.now_s
        call.skew_s = opened.request_at_s - now_s
        return IssueIntent(
            requestor_id=message.requestor_id,
            trace_no=message.trace_no,
            digest=vault.digest(sealed.content_text(lines, opened)),
            pan_index=pan_index,
            unpredictable_number=self._entropy(UNPREDICTABLE_NUMBER_BYTES),
            issued_at_s=now_s,
            expires_at_s=now_s + self.rules.qr_ttl_s,
            month=korean_text(now_s)[2:6],
            stale=abs(call.skew_s) > self.rules.window_s,
            profile=self.rules.dnf_profiles.get(message.dnf_dv, ""),
            app_dv=message.app_dv,
        )

    def _about_version(self, principal: Principal, message: contract.Message) -> str:
        version = message.crypto_key_ver
        if not self.rules.sandbox:
            return f"CRYPTO_KEY_VER {version} is not live"
        state = principal.dead_versions.get(version, "unknown")
        live = sorted({live for code, live in principal.openers if code == message.crypto_type})
        values = {live: principal.check_values.get((message.crypto_type, live), "no key") for live in live}
        listed = ", ".join(f"{live} (check value {kcv})" for live, kcv in values.items())
        return f"CRYPTO_KEY_VER {version} is {state}; live for CRYPTO_TYPE {message.crypto_type}: {listed or 'none'}"

    def _about_hash(self, mode: HashMode, message: contract.Message) -> str:
        if self.rules.sandbox and is_page_sample(message.enc_data):
            return PAGE_SAMPLE_HINT
        covered = ", ".join(sorted(name for name in message.members if name != "HASH_CRC"))
        return f"HASH_CRC is not the {mode} of NAME=VALUE lines over {covered}"

    def _about(self, outcome: NotIssued) -> str:
        if outcome is NotIssued.STALE:
            window = self.rules.window_s
            return f"the request time must lie within {window} s of this gateway's clock (Korean time, UTC+9)"
        return _ABOUT.get(outcome, "")

    def _incident(self, call: Call, error: BaseException) -> Reply:
        incident = self._entropy(4).hex()
        self._report(incident, error)
        named = f"incident {incident} ({type(error).__name__})"
        reply = self.refuse(call, Refusal(codes.INTERNAL, named))
        return msgspec.structs.replace(reply, incident=incident)


_ABOUT: Final = {
    NotIssued.DUPLICATE_TRACE: "TRNS_TRCE_NO was used before, with other content; the first issue stands",
    NotIssued.NO_TOKEN: "this requestor has no such digital PAN",
    NotIssued.SUSPENDED: "the token is suspended; it may be resumed",
    NotIssued.DELETED: "the token was deleted, for good",
    NotIssued.EXPIRED: "the token's month of expiry is past (Korean time)",
    NotIssued.EXHAUSTED: "the counter has reached 65535",
    NotIssued.NO_ISSUER_KEY: "the scheme profile has no active issuer key",
}
_OUT_OF_TIME: Final = (codes.OVERLOADED, codes.TIMED_OUT)
_RETRY_AFTER_S: Final = {NotIssued.NO_ISSUER_KEY: 5}


def wished_for(rslt_cd: str) -> Exception:
    """Give what `X-Sandbox-Result` asks for: a refusal, or for 9999 a fault that takes the way of a real one."""
    code = codes.CODES.get(rslt_cd)
    if rslt_cd == codes.INTERNAL:
        return RuntimeError("asked for by X-Sandbox-Result")
    if code is None or rslt_cd == codes.OK:
        return Refusal(codes.MEMBER_WRONG, "X-Sandbox-Result must be a code of the catalogue other than 0000")
    waits = code.retry is codes.Retry.AFTER
    return Refusal(rslt_cd, "asked for by X-Sandbox-Result", retry_after_s=1 if waits else None)


@lru_cache(maxsize=1024)
def korean_text(at_s: int) -> str:
    """Give a moment as `yyyymmddHHMMSS` in Korean time."""
    return datetime.fromtimestamp(at_s, contract.KOREAN_TIME).strftime("%Y%m%d%H%M%S")
