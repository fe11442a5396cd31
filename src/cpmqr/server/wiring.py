"""The one place that names backends: settings in, a gateway out."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cpmqr.crypto import suites
from cpmqr.emv.compiled import CompiledProfile
from cpmqr.emv.profile import BUILT_IN, Profile
from cpmqr.errors import ConfigError, CpmqrError
from cpmqr.keys.base import KeyEncryptionKey
from cpmqr.keys.chain import KekChain
from cpmqr.keys.keyring import Keyring
from cpmqr.keys.software import SoftwareKek
from cpmqr.model import WrappedKey
from cpmqr.server.app import Application, GatewayApp
from cpmqr.server.back_office import BackOffice
from cpmqr.server.console import Console
from cpmqr.server.console_wallet import Seeds
from cpmqr.server.direct import Direct
from cpmqr.server.observe import Observer
from cpmqr.server.paygw import Watch
from cpmqr.server.routes import Lifecycle, make_routes
from cpmqr.server.settings import Settings, kek_path
from cpmqr.service.access import REFRESH_S, Access
from cpmqr.service.admission import Admission
from cpmqr.service.batch import Batcher
from cpmqr.service.drawn_ahead import DrawnAhead
from cpmqr.service.issue import Issuer, Rules
from cpmqr.service.limits import RateLimits
from cpmqr.store.base import IssueIntent, IssueOutcome, Store

if TYPE_CHECKING:
    from cpmqr.server.tracing import Tracing

DATABASE_FILE: Final = "cpmqr.sqlite"
PACE_S: Final = 0.01  # how often the event loop's punctuality is tried
DAYS_EVERY_S: Final = 3600.0  # the store makes room a week ahead; an hour that fails does no harm


def open_store(settings: Settings) -> Store:
    """Open the configured database; its schema may still be an old one.

    Raises:
        ConfigError: no such driver installed. StoreUnavailable: it does not answer.
    """
    if settings.storage.database:
        try:
            from cpmqr.store.postgres import PostgresStore
        except ModuleNotFoundError:
            raise ConfigError("PostgreSQL needs asyncpg: pip install 'cpmqr[postgres]'") from None
        return PostgresStore(settings.storage.database)
    from cpmqr.store.sqlite import SqliteStore

    return SqliteStore.open(Path(settings.storage.data) / DATABASE_FILE)


def open_kek(settings: Settings) -> KeyEncryptionKey:
    """Read the key-encryption key; two of them while keys move from one to the other.

    Raises:
        ConfigError: it is missing, malformed or readable by others.
    """
    kek = SoftwareKek.from_file(kek_path(settings))
    before = settings.storage.kek_file_before
    return KekChain([kek, SoftwareKek.from_file(before)]) if before else kek


def load_profiles(settings: Settings) -> dict[str, CompiledProfile]:
    """Compile the built-in profiles and those that the configuration names.

    Raises:
        ProfileError: with file and line.
        ConfigError: DNF_DV is to choose one that there is not, or that can't be issued.
    """
    loaded = [Profile.load(name) for name in (*BUILT_IN, *settings.issuing.profile_files)]
    profiles = {profile.name: profile.compile() for profile in loaded}
    for dnf_dv, name in settings.issuing.dnf_profiles.items():
        if name not in profiles:
            raise ConfigError(
                f"dnf_profiles: {dnf_dv} is to choose {name!r}; there are {', '.join(sorted(profiles))}"
            )
        if not profiles[name].master_key_algorithm:
            raise ConfigError(
                f"dnf_profiles: {dnf_dv} is to choose {name!r}, which has no cryptogram to issue with"
            )
    return profiles


def load_suites() -> None:
    """Register the CRYPTO_TYPE schemes of other packages (entry point group `cpmqr.suites`).

    Raises:
        ConfigError: one of them can't be loaded, or takes a name that is taken.
    """
    for point in importlib.metadata.entry_points(group="cpmqr.suites"):
        try:
            suite = point.load()
        except Exception as error:
            raise ConfigError(
                f"scheme {point.name} of {point.value}: {type(error).__name__}: {error}"
            ) from error
        suites.register(suite)


def load_tracing(settings: Settings) -> Tracing | None:
    """Set traces up where the deployment wants them; nobody else pays for the import.

    Raises:
        ConfigError: OpenTelemetry is not installed.
    """
    if not settings.tracing.endpoint:
        return None
    try:
        from cpmqr.server.tracing import Tracing
    except ModuleNotFoundError:
        raise ConfigError("traces need OpenTelemetry: pip install 'cpmqr[otel]'") from None
    return Tracing(settings.tracing)


class Gateway:
    """A gateway with all its parts; `app` is what a server runs.

    Args:
        seeds: what `sandbox.json` holds, in sandbox mode: the console needs it. Without it there is no console.
    """

    def __init__(
        self, settings: Settings, store: Store, kek: KeyEncryptionKey, seeds: Seeds | None = None
    ) -> None:
        load_suites()
        self.settings = settings
        self.store = store
        self.observer = Observer(log_issues=settings.logging.issues)
        self.access = Access(store, partial(_open_keys, self.observer, kek), settings.crypto_types)
        self._tracing = load_tracing(settings)
        make_batcher = self._tracing.batcher if self._tracing else Batcher
        self.batcher: Batcher[IssueIntent, IssueOutcome] = make_batcher(
            self._carry_out,
            queue_max=settings.storage.queue_max,
            batch_max=settings.storage.batch_max,
            lanes=settings.storage.lanes if settings.storage.database else 1,
            wait_max_s=settings.storage.wait_max_s,
            observe=self._observe_batch,
        )
        self.admission = Admission(time.monotonic, time.thread_time, self.batcher.refuse_waiting)
        self.profiles: Mapping[str, CompiledProfile] = load_profiles(settings)
        limits = RateLimits(time.monotonic)
        self.issuer = Issuer(
            _rules(settings),
            self.access,
            self.batcher,
            limits,
            self.profiles,
            DrawnAhead(os.urandom),
            self.observer.incident,
            self.admission,
        )
        self.back_office = BackOffice(
            settings, store, self.access, self.issuer, self.batcher, limits, self.profiles, self.observer
        )
        self.app, self.direct = self._ways(seeds)
        self._keepers: list[asyncio.Task[None]] = []
        self._draining = False

    def _ways(self, seeds: Seeds | None) -> tuple[Application, Direct]:
        """Make the two ways in: the application, and the direct one for plain requests of the main job."""
        routes = self.back_office.routes()
        lifecycle = Lifecycle(self.start, self.stop, self.not_ready)
        watch: Watch | None = None
        if self.settings.sandbox and seeds is not None:
            console = Console(self.issuer, seeds, time.time, os.urandom)
            watch = console.inspector.watch
            others: Application = console.inspector.watching(
                make_routes(lifecycle, self.observer, [*routes, *console.routes()])
            )
        else:
            others = make_routes(lifecycle, self.observer, routes)
        tracing, issuer = self._tracing, self.issuer
        if tracing is None:
            app = GatewayApp(issuer, others, self.observer, time.time, watch)
            return app, Direct(issuer, self.observer, time.time, watch)
        app = GatewayApp(issuer, others, self.observer, time.time, tracing.noting(watch))
        direct = Direct(issuer, self.observer, time.time, watch, tracing.beginning(issuer.begin))
        return tracing.watching(app), direct

    async def start(self) -> None:
        """Read the directory and keep it fresh.

        Raises:
            CpmqrError: the gateway can't start; the message says why.
        """
        await self.access.refresh()
        self.observer.metrics.sample_with(self._sample)
        self.observer.metrics.ready.set(1)
        keepers = (self._keep_fresh(), self._keep_days(), self._keep_pace())
        self._keepers = [asyncio.create_task(keep) for keep in keepers]
        self.back_office.start()

    async def stop(self) -> None:
        """Finish what waits, then close."""
        self._draining = True
        self.observer.metrics.ready.set(0)
        for keeper in self._keepers:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
        await self.batcher.drain()
        await self.back_office.stop()
        await self.store.close()
        if self._tracing is not None:
            await self._tracing.close()

    async def not_ready(self) -> str:
        """Say why no request should be sent here; "" where it should."""
        if self._draining:
            return "draining"
        try:
            _ = self.access.current
            await asyncio.wait_for(self.store.ping(), timeout=2)
        except (CpmqrError, TimeoutError) as error:
            return str(error) or "the database does not answer"
        return ""

    def _observe_batch(self, size: int, waited_s: float, took_s: float) -> None:
        self.observer.batch(size, waited_s, took_s)
        self.admission.transaction(took_s)

    async def _carry_out(self, intents: Sequence[IssueIntent]) -> list[IssueOutcome]:
        return await self.store.issue(intents, self.access.current.issuer.current)

    def _sample(self) -> None:
        metrics, connections = self.observer.metrics, self.store.connections
        metrics.directory_version.set(self.access.current.version)
        metrics.waiting.set(self.batcher.waiting)
        metrics.in_flight.set(self.admission.in_flight)
        metrics.in_flight_max.set(self.admission.limit)
        metrics.connections_in_use.set(connections.in_use)
        metrics.connections_max.set(connections.size)

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            with self._watched("directory not refreshed"):
                self.observer.metrics.sample()
                if await self.access.refresh():
                    self.observer.event("directory", version=self.access.current.version)

    async def _keep_pace(self) -> None:
        while True:
            due = time.monotonic() + PACE_S
            await asyncio.sleep(PACE_S)
            self.admission.late(time.monotonic() - due)

    async def _keep_days(self) -> None:
        while True:
            with self._watched("no room made for the coming days"):
                for name in await self.store.prepare_days(int(time.time())):
                    self.observer.event("made room", partition=name)
            await asyncio.sleep(DAYS_EVERY_S)

    @contextlib.contextmanager
    def _watched(self, trouble: str) -> Iterator[None]:
        """Log what goes wrong in a keeper, which then goes on."""
        try:
            yield
        except CpmqrError as error:
            self.observer.trouble(trouble, why=str(error))
        except Exception as error:
            self.observer.incident(trouble, error)


def _rules(settings: Settings) -> Rules:
    issuing = settings.issuing
    return Rules(
        sandbox=settings.sandbox,
        window_s=issuing.window_s,
        qr_ttl_s=issuing.qr_ttl_s,
        dnf_profiles=issuing.dnf_profiles,
        always_200=issuing.error_status == "always-200",
    )


def _open_keys(observer: Observer, kek: KeyEncryptionKey, wrapped: Iterable[WrappedKey]) -> Keyring:
    keyring = Keyring.open(wrapped, kek)
    for unusable in keyring.unusable:
        observer.trouble("key can't be opened", key=repr(unusable.key), why=unusable.cause)
    return keyring
