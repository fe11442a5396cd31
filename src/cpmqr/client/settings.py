"""What a wallet must know of its gateway, checked once. Nothing secret shows in a repr."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final, Literal, TypedDict
from urllib.parse import SplitResult, urlsplit

from cpmqr.crypto import suites
from cpmqr.errors import ConfigError
from cpmqr.model import HashMode
from cpmqr.wire import contract

PATH: Final = "/paygw/cpmqrdatareq"
QR_TTL_S: Final = 180  # the Korean QR payment standard's value for a dynamic code
QR_TTL_MAX_S: Final = 86_400  # ours: a trace number need not be known for longer (contract §5)
TIMEOUT_MAX_S: Final = 300.0  # ours: a customer at a till has long gone
ATTEMPTS_MAX: Final = 10  # ours: more is hammering
HEADERS_OF_OURS: Final = (
    "authorization",
    "content-type",
    "content-length",
    "accept-encoding",
    "host",
    "transfer-encoding",
)
HEADER_CHARACTERS_MAX: Final = 4096  # ours: below the 8 KiB that servers commonly allow all headers together

# Labels of 1 to 63 characters: others make the resolver raise errors of its own.
_HOST: Final = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?")

Spelling = Literal["sample", "table"]
AnswerHash = Literal["required", "if-present", "ignored"]


@dataclass(frozen=True, slots=True)
class Transport:
    """How ENC_DATA is sealed.

    Attributes:
        crypto_type: the CRYPTO_TYPE that is sent, 2 characters.
        key_ver: the CRYPTO_KEY_VER that is sent, 2 characters.
        key: the transport key; its length is the scheme's.
        scheme: the scheme's name, such as "aes-256-gcm"; "" takes the default for `crypto_type` (contract §3).

    Raises:
        ConfigError: no such scheme, or a key of another length.
    """

    crypto_type: str
    key_ver: str
    key: bytes = field(repr=False)
    scheme: str = ""

    def __post_init__(self) -> None:
        _check_member("CRYPTO_TYPE", self.crypto_type)
        _check_member("CRYPTO_KEY_VER", self.key_ver)
        if not isinstance(self.key, bytes):
            raise ConfigError("the transport key must be bytes")
        suites.check_key(self.suite(), self.key)

    def suite(self) -> suites.Suite:
        """Find the scheme, among cpmqr's own and those that other packages plug in.

        Raises:
            ConfigError: there is none of that name, or no default for this CRYPTO_TYPE.
        """
        name = self.scheme or suites.DEFAULT_CRYPTO_TYPES.get(self.crypto_type, "")
        if not name:
            known = ", ".join(sorted(suites.DEFAULT_CRYPTO_TYPES))
            raise ConfigError(
                f"CRYPTO_TYPE {self.crypto_type} has no default scheme ({known} have): name one"
            )
        if name not in suites.SUITES:
            _load_plugged_in_suites()
        return suites.find_suite(name)


@dataclass(frozen=True, slots=True)
class HashCrc:
    """How HASH_CRC is made and checked.

    Attributes:
        mode: "off", "sha256" or "hmac-sha256".
        key: the HMAC's key; b"" in the other modes.
        answer: whether an answer must carry one. "ignored" is for a gateway whose algorithm is not known.

    Raises:
        ConfigError: another mode, or an HMAC without a key.
    """

    mode: HashMode | str
    key: bytes = field(default=b"", repr=False)
    answer: AnswerHash = "required"

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "mode", HashMode(self.mode))
        except ValueError:
            raise ConfigError(f"a HASH_CRC mode is one of {', '.join(HashMode)}") from None
        if not isinstance(self.key, bytes) or (self.mode is HashMode.HMAC_SHA256 and not self.key):
            raise ConfigError("HASH_CRC in mode hmac-sha256 takes a key of one or more bytes")
        if self.answer not in ("required", "if-present", "ignored"):
            raise ConfigError("HASH_CRC of the answer is required, if-present or ignored")

    @property
    def hash_mode(self) -> HashMode:
        """Give the mode as the wire takes it."""
        return HashMode(self.mode)


@dataclass(frozen=True, slots=True)
class Gateway:
    """One gateway, as one requestor sees it.

    Attributes:
        base_url: https://host[:port][/prefix]; http:// to loopback alone, unless `insecure`.
        requestor_id: 11 digits.
        authorization: the pre-shared credential, sent as the Authorization header.
        spelling: member names as the page's sample or as its table has them.
        path: of the call, below `base_url`.
        ca_bundle: a file of certificates to trust in place of the system's.
        proxy: http://host:port that the call goes through; the environment's proxy variables are not read, so that
            where the credential goes is said here alone.
        insecure: allow http:// to any host. A certificate is always verified.
        headers: sent along, for what stands in front of a gateway.
        timeout_s: for one attempt. deadline_s: for the whole call, attempts and pauses together.
        attempts_max: 1 means no retry. A retry is always the same request again (contract §5).
        first_pause_s, pause_max_s: the n-th pause is drawn between 0 and first_pause_s × 2ⁿ⁻¹, at most pause_max_s.
        qr_ttl_s: how long a QR lives.
        pan_must_match: refuse a payload that is not for the PAN asked for.

    Raises:
        ConfigError: says which of them is wrong, and never the credential.
    """

    base_url: str
    requestor_id: str
    authorization: str = field(repr=False)
    crypto: Transport
    hash_crc: HashCrc
    spelling: Spelling = "sample"
    path: str = PATH
    ca_bundle: str = ""
    proxy: str = field(default="", repr=False)
    insecure: bool = False
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout_s: float = 5.0
    deadline_s: float = 15.0
    attempts_max: int = 4
    first_pause_s: float = 0.2
    pause_max_s: float = 3.0
    qr_ttl_s: int = QR_TTL_S
    pan_must_match: bool = True

    def __post_init__(self) -> None:
        self._check_kinds()
        if _split_url(self.base_url, "base_url").scheme == "http" and not (self.insecure or self.is_loopback):
            raise ConfigError(
                "base_url is http:// to another machine: anyone on the way reads the credential. Use https://, or"
                " say insecure if the way is protected otherwise"
            )
        if "@" in self.base_url:
            raise ConfigError("base_url carries a user: the credential belongs in authorization")
        if self.proxy:
            _split_url(self.proxy, "proxy")
        if not _is_path(self.path):
            raise ConfigError("path begins with / and has no blank, ? or #")
        _check_member("REQUESTOR_ID", self.requestor_id)
        _check_header("authorization", self.authorization)
        for name, value in self.headers.items():
            if not (isinstance(name, str) and name.replace("-", "").isalnum() and name.isascii()):
                raise ConfigError("a header's name is letters, digits and hyphens")
            if name.lower() in HEADERS_OF_OURS:
                raise ConfigError(f"header {name} is the client's own")
            _check_header(f"header {name}", value)
        if self.spelling not in ("sample", "table"):
            raise ConfigError("spelling is sample or table")
        if self.crypto.suite().needs_hmac and self.hash_crc.hash_mode is not HashMode.HMAC_SHA256:
            raise ConfigError(
                f"CRYPTO_TYPE {self.crypto.crypto_type} needs HASH_CRC in mode hmac-sha256: CBC alone does not"
                " notice a change"
            )
        _check_number("timeout_s", self.timeout_s, 0.001, TIMEOUT_MAX_S)
        _check_number("deadline_s", self.deadline_s, 0.001, TIMEOUT_MAX_S)
        _check_number("first_pause_s", self.first_pause_s, 0, TIMEOUT_MAX_S)
        _check_number("pause_max_s", self.pause_max_s, 0, TIMEOUT_MAX_S)
        _check_number("attempts_max", self.attempts_max, 1, ATTEMPTS_MAX)
        _check_number("qr_ttl_s", self.qr_ttl_s, 1, QR_TTL_MAX_S)

    def _check_kinds(self) -> None:
        kinds: dict[type, tuple[str, ...]] = {
            str: ("base_url", "path", "ca_bundle", "proxy"),
            bool: ("insecure", "pan_must_match"),
            Transport: ("crypto",),
            HashCrc: ("hash_crc",),
            Mapping: ("headers",),
        }
        for kind, names in kinds.items():
            for name in names:
                if not isinstance(getattr(self, name), kind):
                    raise ConfigError(f"{name} must be a {kind.__name__}")

    @property
    def url(self) -> str:
        """Give the address of the call."""
        return self.base_url.rstrip("/") + self.path

    @property
    def is_loopback(self) -> bool:
        """Tell whether the gateway runs on this machine."""
        return is_loopback_url(self.base_url)


class GatewayOptions(TypedDict, total=False):
    """`Gateway`'s fields, for those who give them one by one; without a default: the first five."""

    base_url: str
    requestor_id: str
    authorization: str
    crypto: Transport
    hash_crc: HashCrc
    spelling: Spelling
    path: str
    ca_bundle: str
    proxy: str
    insecure: bool
    headers: Mapping[str, str]
    timeout_s: float
    deadline_s: float
    attempts_max: int
    first_pause_s: float
    pause_max_s: float
    qr_ttl_s: int
    pan_must_match: bool


def gateway_of(options: GatewayOptions) -> Gateway:
    """Make a `Gateway` of its fields.

    Raises:
        ConfigError: one is missing, unknown or wrong; says which.
    """
    names = [field.name for field in fields(Gateway)]
    for name in options:
        if name not in names:
            raise ConfigError(f"there is no setting {name!r}; there are {', '.join(names)}")
    for name in names[:5]:
        if name not in options:
            raise ConfigError(f"{name} is missing")
    return Gateway(**options)


def is_loopback_url(url: str) -> bool:
    """Tell whether a URL names this machine.

    Raises:
        ConfigError: it is no URL of http or https.
    """
    return _is_loopback(_split_url(url, "base_url").hostname or "")


def _split_url(url: str, what: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where the port is no number
    except ValueError:
        raise ConfigError(f"{what} is no URL") from None
    host = parts.hostname or ""
    if (
        parts.scheme not in ("http", "https")
        or not _is_path(url)
        or not (_HOST.fullmatch(host) or ":" in host)
    ):
        raise ConfigError(f"{what} is https://host[:port], without query and fragment")
    return parts


def _is_path(text: str) -> bool:
    return (
        isinstance(text, str)
        and text.isascii()
        and text.isprintable()
        and not any(character in ' ?#"<>\\^`{|}' for character in text)
        and "/" in text
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_number(name: str, value: float, least: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise ConfigError(f"{name} is a number from {least:g} to {most:g}")


def _check_header(what: str, value: str) -> None:
    # A header of control characters could carry a second header; httpx would raise an error of its own.
    if not (isinstance(value, str) and 0 < len(value) <= HEADER_CHARACTERS_MAX):
        raise ConfigError(f"{what} must be a text of 1 to {HEADER_CHARACTERS_MAX} characters")
    if not (value.isascii() and value.isprintable() and value == value.strip()):
        raise ConfigError(f"{what} must be printable ASCII without blanks around it")


def _check_member(name: str, value: str) -> None:
    member = next(member for member in contract.REQUEST_MEMBERS if member.name == name)
    if not (isinstance(value, str) and member.ok(value)):
        raise ConfigError(f"{name} must be {member.rule}")


def _load_plugged_in_suites() -> None:
    from importlib.metadata import entry_points

    for entry_point in entry_points(group="cpmqr.suites"):
        try:
            suites.register(entry_point.load())
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"encryption scheme {entry_point.name!r} can't be loaded: {type(error).__name__}"
            ) from None
