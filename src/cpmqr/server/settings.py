"""A deployment's settings: one TOML file, a few environment variables, everything with a default that works.

The file's tables are the structs below; an unknown name is an error, so that a typo is no silent default.
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from cpmqr.crypto.suites import DEFAULT_CRYPTO_TYPES
from cpmqr.errors import ConfigError
from cpmqr.service.tokens import BinRange
from cpmqr.wire import contract

ENV_DATABASE: Final = "CPMQR_DATABASE_URL"
ENV_KEK_FILE: Final = "CPMQR_KEK_FILE"

# A value outside these is a slip: it would stop the gateway, or take a limit away.
Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Duration = Annotated[float, msgspec.Meta(gt=0, le=604_800)]
WholeSeconds = Annotated[int, msgspec.Meta(ge=1, le=604_800)]


class Listen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the gateway listens.

    Attributes:
        tls_cert_file, tls_key_file: PEM. behind_tls_proxy: a proxy in front ends TLS, so plain HTTP may be served
            on an address other than loopback.
        header_bytes_max: request line and headers together. request_timeout_s: from a request's first byte to its
            last. keep_alive_s: how long an idle connection stays. connections_max: the next one is closed at once.
        drain_s: how long SIGTERM waits for what is under way.
    """

    host: str = "127.0.0.1"
    port: Port = 8080
    workers: Count = 1
    tls_cert_file: str = ""
    tls_key_file: str = ""
    behind_tls_proxy: bool = False
    header_bytes_max: Count = 16_384
    request_timeout_s: Duration = 10.0
    keep_alive_s: WholeSeconds = 75
    connections_max: Count = 10_000
    drain_s: WholeSeconds = 20


class Storage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where nothing may be lost.

    Attributes:
        data: folder of the embedded database. database: `postgresql://…` in its place.
        kek_file: the key-encryption key, 64 hex digits, mode 0600. kek_file_before: the one that keys move away from,
            while `cpmqr key rewrap` is under way.
        queue_max, batch_max, wait_max_s: see `service/batch.py`. lanes: transactions at once on PostgreSQL.
    """

    data: str = "./var"
    database: str = ""
    kek_file: str = ""
    kek_file_before: str = ""
    queue_max: Count = 2_000
    batch_max: Count = 128
    wait_max_s: Duration = 3.0
    lanes: Count = 2


class Issuing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The contract's choices.

    Attributes:
        window_s: request time against the gateway's clock. qr_ttl_s, offline_ttl_s: a QR's lifetime, and that of one
            issued for offline use (0: none are).
        error_status: "catalogue", or "always-200" for clients that read RSLT_CD alone.
        dnf_profiles: DNF_DV → profile, beside "1". profile_files: TOML files of profiles of one's own.
    """

    window_s: WholeSeconds = 300
    qr_ttl_s: WholeSeconds = 180
    offline_ttl_s: Annotated[int, msgspec.Meta(ge=0, le=604_800)] = 86_400
    error_status: Literal["catalogue", "always-200"] = "catalogue"
    dnf_profiles: dict[str, str] = msgspec.field(default_factory=lambda: {"2": "unionpay"})
    profile_files: tuple[str, ...] = ()


class Provisioning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where `POST /v1/tokens` makes PANs: BIN ranges, the default first. Empty: every PAN must be given."""

    ranges: tuple[BinRange, ...] = ()


class Webhooks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How wallets' servers are told of used QRs.

    Attributes:
        private_receivers: also deliver to private, loopback and link-local addresses; always so in the sandbox.
        timeout_s: for one delivery, from the look-up of the name to the answer's status.
        first_pause_s, pause_max_s: the pause doubles from the one to the other. retry_for_s: then it is a dead letter.
        at_once_max: deliveries under way at the same time. poll_s: how often the outbox is looked at.
    """

    private_receivers: bool = False
    timeout_s: float = 10.0
    first_pause_s: float = 5.0
    pause_max_s: float = 3_600.0
    retry_for_s: float = 86_400.0
    at_once_max: int = 16
    poll_s: float = 1.0


class Logging(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is logged: `issues` is one line for each QR, refusals and faults are always logged."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    issues: bool = True


class Tracing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OpenTelemetry traces: needs `cpmqr[otel]`.

    Attributes:
        endpoint: where a collector takes OTLP over HTTP, such as `http://127.0.0.1:4318/v1/traces`; "" traces nothing.
        sample: share of requests that are traced; a caller who sends `traceparent` decides for its own.
    """

    endpoint: str = ""
    service_name: str = "cpmqr"
    sample: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.01


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that a deployment may set."""

    listen: Listen = Listen()
    storage: Storage = Storage()
    issuing: Issuing = msgspec.field(default_factory=Issuing)
    provisioning: Provisioning = Provisioning()
    webhooks: Webhooks = Webhooks()
    logging: Logging = Logging()
    tracing: Tracing = Tracing()
    crypto_types: dict[str, str] = msgspec.field(default_factory=DEFAULT_CRYPTO_TYPES.copy)
    sandbox: bool = False

    @property
    def is_loopback(self) -> bool:
        """The gateway can be reached from this machine alone."""
        if self.listen.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.listen.host).is_loopback
        except ValueError:
            return False


def load(path: str | None, **overrides: object) -> Settings:
    """Read the file, lay environment and flags over it, and check what can be checked without a database.

    Args:
        overrides: `section__name=value`, or `name=value` for the top; None means "not given".

    Raises:
        ConfigError: the file, a name or a value is wrong; or the whole is unsafe.
    """
    tree = _read(path) if path else {}
    if "error_status" in tree:  # the contract names this one setting without a table
        _section(tree, "issuing").setdefault("error_status", tree.pop("error_status"))
    for name, variable in (("database", ENV_DATABASE), ("kek_file", ENV_KEK_FILE)):
        if os.environ.get(variable):
            _section(tree, "storage")[name] = os.environ[variable]
    for name, value in overrides.items():
        if value is not None:
            section, _, field = name.rpartition("__")
            (_section(tree, section) if section else tree)[field] = value
    try:
        settings = msgspec.convert(tree, Settings)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path or 'settings'}: {error}") from None
    check(settings)
    return settings


def check(settings: Settings) -> None:
    """Refuse what would be unsafe or can't work.

    Raises:
        ConfigError: says what to change.
    """
    listen, storage = settings.listen, settings.storage
    if bool(listen.tls_cert_file) != bool(listen.tls_key_file):
        raise ConfigError("TLS needs both tls_cert_file and tls_key_file")
    if not (settings.is_loopback or listen.tls_cert_file or listen.behind_tls_proxy):
        raise ConfigError(
            f"plain HTTP on {listen.host} would carry credentials in clear: set tls_cert_file and tls_key_file, "
            "or behind_tls_proxy = true where a proxy in front ends TLS"
        )
    if storage.database and not storage.database.startswith(("postgresql://", "postgres://")):
        raise ConfigError("database must be a postgresql:// URL; leave it out for the embedded SQLite")
    if settings.tracing.endpoint and not settings.tracing.endpoint.startswith(("http://", "https://")):
        raise ConfigError("tracing: endpoint must be an http:// or https:// URL, such as …:4318/v1/traces")
    if listen.workers > 1 and not storage.database:
        raise ConfigError(
            f"{listen.workers} workers on SQLite would wait for one another at every commit: it has one writer. "
            "Use one worker, or PostgreSQL (--database postgresql://…)"
        )
    for code in settings.crypto_types:
        if len(code) != 2:
            raise ConfigError(f"crypto_types: {code!r} can't be sent: a CRYPTO_TYPE has 2 characters")
    for dnf_dv in settings.issuing.dnf_profiles:
        if dnf_dv in contract.DNF_DV_DOMESTIC:
            raise ConfigError(
                f"dnf_profiles: {dnf_dv!r} is taken: DNF_DV 1, or none, is the token's own profile"
            )


def kek_path(settings: Settings) -> Path:
    """Where the key-encryption key lies: as set, else `kek.key` in the data folder."""
    return Path(settings.storage.kek_file or Path(settings.storage.data) / "kek.key")


def _read(path: str) -> dict[str, object]:
    try:
        with Path(path).open("rb") as file:
            return tomllib.loads(file.read().decode())
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except ValueError as error:  # no TOML, no UTF-8, no path
        raise ConfigError(f"{path}: {error}") from None


def _section(tree: dict[str, object], name: str) -> dict[str, object]:
    section = tree.setdefault(name, {})
    if not isinstance(section, dict):
        raise ConfigError(f"[{name}] must be a table")
    return section
