"""A site: one context with its settings, and the systems behind it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import ref

from rdctl.config.contexts import SANDBOX, Config
from rdctl.config.resolve import Settings
from rdctl.core.environment import Environment, read_in_time
from rdctl.core.errors import Code, RdctlError
from rdctl.core.once import once
from rdctl.core.unread import Unread
from rdctl.effects.door import Effects
from rdctl.effects.places import lend_file, refuse_planted
from rdctl.effects.syscalls import Syscalls

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from rdctl.history.history import History
    from rdctl.history.places import Place
    from rdctl.net.beanstalk import Ask
    from rdctl.net.deadline import Deadline
    from rdctl.net.engine import Engine
    from rdctl.net.messages import Access
    from rdctl.net.transport import Transport
    from rdctl.oio.operations import OpenIO
    from rdctl.oio.operations.events import Events
    from rdctl.rapiddisk.backend import Backend
    from rdctl.rapiddisk.changes import Dependencies
    from rdctl.rapiddisk.machine import RapidDisk
    from rdctl.rapiddisk.state.files import Source
    from rdctl.sandbox.machine.stored import StoredMachine
    from rdctl.workers import Workers


_BOOT_ID = "proc/sys/kernel/random/boot_id"


class Limits(NamedTuple):
    """The time limit and the number of retries of a command."""

    seconds: float | None
    retries: int


class Site:
    """One context; its systems are created when first used.

    `config` is the whole configuration, `settings` those in effect. `warn` prints a warning,
    `unread` collects unreadable values; `workers` returns the workers of the whole command.
    """

    def __init__(
        self,
        settings: Settings,
        effects: Effects,
        limits: Limits,
        config: Config,
        environment: Environment,
        *,
        warn: Callable[[str], None],
        workers: Callable[[], Workers],
        request_id: str | None = None,
        unread: Unread | None = None,
    ) -> None:
        self.settings = settings
        self.effects = effects
        self._limits = limits
        # When it was made, by the clock of the command.
        self.began = environment.busy()
        self.config = config
        self._environment = environment
        self.warn = warn
        self._workers = workers
        self.request_id = request_id or os.urandom(16).hex().upper()
        self._unread = unread or Unread()
        self._rapiddisk: RapidDisk | None = None
        self._oio: OpenIO | None = None

    def within(self, seconds: float) -> Site:
        """The same site without cached results, retries and warnings, and with this time limit."""
        given = self._limits.seconds
        site = Site(
            self.settings,
            self.effects,
            Limits(seconds if given is None else min(given, seconds), 0),
            self.config,
            self._environment,
            warn=lambda message: None,
            workers=self._workers,
            request_id=self.request_id,
        )
        site._simulated = self._simulated
        return site

    @property
    def sandbox_path(self) -> str:
        """The file with the state of the sandbox."""
        return sandbox_path(self.config.environ, self.config.home)

    @property
    def seconds(self) -> float | None:
        """The time limit of the whole command."""
        return self._limits.seconds

    @property
    def left(self) -> float | None:
        """The seconds left of that limit; None without one."""
        return _left(self._limits.seconds, self._environment.busy, self.began)

    @once
    def _simulated(self) -> StoredMachine | None:
        """The machine of the sandbox, if that is the machine of this site."""
        if not self.settings.in_sandbox("rapiddisk"):
            return None
        from rdctl.sandbox.machine.stored import StoredMachine
        from rdctl.sandbox.store import Store

        ready_sandbox(self.sandbox_path, self.config.home)
        seconds = self._limits.seconds
        return StoredMachine(Store(self.sandbox_path, lambda: seconds))

    @property
    def root(self) -> str:
        """The root of the file system of the machine, this one or the simulated one."""
        return str(self._simulated.root) if self._simulated else self._environment.root

    @property
    def boot_id(self) -> str | None:
        """The boot of that machine, if RapidDisk is managed on it directly."""
        if not self.settings.is_local:
            return None
        with suppress(OSError), open(os.path.join(self.root, _BOOT_ID)) as file:
            return file.read().strip()
        return None

    @property
    def history(self) -> History:
        """What rdctl did here before: to the sandbox, or else for this user."""
        from rdctl.history.history import History
        from rdctl.history.places import of_machine, of_sandbox

        if self.settings.in_sandbox("rapiddisk"):
            return History(of_sandbox(self.sandbox_path, self.config.home), self.warn)
        place = of_machine(self.config.environ, self.config.home, self._environment.root)
        return History(place, self.warn)

    @property
    def repairs(self) -> Place:
        """Where the journal of repairs is kept: that of the sandbox, or of this user."""
        from rdctl.history.places import repairs, repairs_of_sandbox

        if self.settings.in_sandbox("oio"):
            return repairs_of_sandbox(self.sandbox_path, self.config.home)
        return repairs(self.config.environ, self.config.home, self._environment.root)

    @property
    def calls(self) -> Syscalls:
        """The system calls of that machine."""
        return self._simulated or self._environment.calls or Syscalls()

    @property
    def is_root(self) -> bool:
        """Whether this process has root privileges on that machine."""
        return self.calls.privileged

    @property
    def program(self) -> Sequence[str]:
        """The words that run rdctl again."""
        return self._environment.program

    @property
    def in_sandbox(self) -> bool:
        """Whether both systems are in the sandbox."""
        return self.settings.context == SANDBOX

    @property
    def rapiddisk(self) -> RapidDisk:
        """RapidDisk of this site, local or remote."""
        if self._simulated is not None:
            self._simulated.refresh()
        if self._rapiddisk is None:
            url = self.settings.get("rapiddisk")
            if url is None:
                raise RdctlError(
                    Code.CONFIG,
                    f'context "{self.settings.context}" has no RapidDisk endpoint',
                    hint=f"Set it: rdctl context set {self.settings.context} rapiddisk=http://HOST:9118",
                )
            from rdctl.rapiddisk.machine import RapidDisk

            self._rapiddisk = RapidDisk(self._means(url, self.effects))
        return self._rapiddisk

    def _means(self, url: str, effects: Effects) -> Dependencies:
        from rdctl.rapiddisk.changes import Dependencies

        here = ref(self)  # a cycle would keep the files of the site open

        def rehearsal() -> Dependencies:
            if (site := here()) is None:
                raise RuntimeError("the site is gone")
            return site._means(url, Effects(ask=lambda losses: None, dry_run=True))

        return Dependencies(
            backend=self._backend(url, effects),
            effects=effects,
            aimed=self.settings.aimed,
            workers=self._workers,
            left=partial(_left, self._limits.seconds, self._environment.busy, self.began),
            rehearsal=rehearsal,
            away=self._environment.away,
        )

    @property
    def user(self) -> str:
        """Who runs this command, as the history names users."""
        from rdctl.history.process import this_process, user_of

        return user_of(this_process(self.config.environ, self._environment.root))

    def now(self) -> float:
        """Seconds since 1970."""
        return self._environment.now()

    def state_file(self, path: str | None, foreign: bool = False) -> Source:
        """The state at a path (see state.files), without what is not RapidDisk's."""
        from rdctl.rapiddisk.state.files import read

        source = read(path, self._environment, self.root, self._limits.seconds, foreign=foreign)
        for words in source.ignored:
            self.warn(words)
        return source

    def _backend(self, url: str, effects: Effects) -> Backend:
        if self.settings.is_local:
            from rdctl.rapiddisk.kernel.backend import Kernel

            return Kernel(
                self.root,
                self.calls,
                effects,
                warn=self.warn,
                sleep=self._environment.sleep,
                seconds=self._limits.seconds,
            )
        from rdctl.rapiddisk.rest import Rest

        transport = self._transport(
            url, "rapiddisk", access=self._access("rapiddisk"), one_at_a_time=True
        )
        return Rest(transport, self.warn, self._unread)

    @property
    def oio(self) -> OpenIO:
        """OpenIO SDS of this site."""
        if self._oio is None:
            from rdctl.oio.acts import OioDependencies
            from rdctl.oio.client import Client
            from rdctl.oio.operations import OpenIO

            get = self.settings.get
            if missing := self._missing_of_oio():
                raise missing
            transport = self._transport(
                get("oio"), "oio", access=self._access("oio"), headers=self._request_headers
            )
            dialect = None if get("dialect") in (None, "auto") else get("dialect")
            id, unread = self.request_id, self._unread
            proxy = Client(transport, get("namespace"), dialect, self._reach, id, unread)
            workers, sleep = self._workers(), self._environment.sleep
            means = OioDependencies(
                proxy=proxy,
                effects=self.effects,
                account=get("account"),
                sleep=sleep,
                workers=workers,
                warn=self.warn,
            )
            self._oio = OpenIO(means)
        return self._oio

    @property
    def oio_events(self) -> Events:
        """The queue of events of that OpenIO."""
        from rdctl.net.beanstalk import Beanstalkd
        from rdctl.oio.operations.events import Queue

        def reach(address: str) -> Beanstalkd:
            ask = self._simulated_queue(address) if self.settings.in_sandbox("oio") else None
            return Beanstalkd(address, self.effects, self._deadline, ask)

        return self.oio.events(Queue(self.settings.get("events"), reach))

    def _simulated_queue(self, address: str) -> Ask:
        """That of the sandbox, which never opens a socket."""
        from rdctl.sandbox import queue_of

        ready_sandbox(self.sandbox_path, self.config.home)
        return queue_of(self.sandbox_path, address, self._deadline.left)

    def _missing_of_oio(self) -> RdctlError | None:
        """The error about a missing setting, if any."""
        context = self.settings.context
        if self.settings.get("oio") is None and context:
            words = "oio=http://HOST:6002 namespace=NS account=ACCOUNT"
            return RdctlError(
                Code.CONFIG,
                f'context "{context}" has no oio-proxy endpoint',
                hint=f"Set it: rdctl context set {context} {words}",
            )
        if self.settings.get("oio") is None:
            return RdctlError(
                Code.CONFIG,
                "no oio-proxy configured",
                hint="Use --oio-url http://HOST:6002, set OIO_PROXYD_URL, or try -c sandbox.",
            )
        if self.settings.get("namespace") is None:
            return RdctlError(
                Code.CONFIG,
                "no namespace configured",
                hint="Use --namespace NS, set OIO_NS, or set it in the context.",
            )
        return None

    @property
    def _request_headers(self) -> dict[str, str]:
        return {"X-oio-req-id": self.request_id}

    def _reach(self, address: str) -> Transport:
        """A transport to another service of the namespace, without the token of the proxy."""
        away = "Check that the service is running: rdctl oio conscience list"
        headers = self._request_headers
        return self._transport(f"http://{address}", "oio", headers=headers, away=away)

    def _transport(self, url: str, endpoint: str, **options: Any) -> Transport:
        """A transport to this endpoint, or to a service behind it."""
        from rdctl.net.transport import Transport

        return Transport(
            url,
            self.effects,
            deadline=self._deadline,
            retries=self._limits.retries,
            engine=self._engine(url, endpoint),
            sleep=self._environment.sleep,
            **options,
        )

    @once
    def _deadline(self) -> Deadline:
        """The deadline of the whole command, for all servers."""
        from rdctl.net.deadline import Deadline

        return Deadline(self._limits.seconds, self._environment.busy)

    def _access(self, endpoint: str) -> Access:
        from rdctl.net.messages import Access

        path = self.settings.credential("token_file", endpoint)
        return Access(
            token=_token(path, self._limits.seconds) if path else None,
            ca=_readable(self.settings.get("ca"), "ca"),
            cert=_readable(self.settings.credential("cert", endpoint), "cert"),
            key=_readable(self.settings.credential("key", endpoint), "key"),
            http_proxy=self.settings.get("http_proxy"),
        )

    def _engine(self, url: str, endpoint: str) -> Engine | None:
        """The engine of the sandbox, which never opens a socket."""
        if not self.settings.in_sandbox(endpoint):
            return None
        from rdctl.net.engine import Calling
        from rdctl.sandbox.adapter import WsgiAdapter

        ready_sandbox(self.sandbox_path, self.config.home)
        host = url.split("//", 1)[1]
        app = self._sandbox_apps.get(host) or _no_service(host)
        return Calling(WsgiAdapter(app, _trailers).call)

    @once
    def _sandbox_apps(self) -> dict[str, WSGIApplication]:
        from rdctl.sandbox import oio_apps

        return oio_apps(self.sandbox_path, left=self._deadline.left)


def _left(seconds: float | None, busy: Callable[[], float], began: float) -> float | None:
    """The seconds left of the time limit; None without one. A machine without servers does not need
    the Deadline of the network."""
    return None if seconds is None else max(0.0, seconds - (busy() - began))


def _trailers() -> dict[str, str]:
    """What follows the chunked body of this thread's request."""
    from rdctl.net.deadline import current

    return {name: value() for name, value in current.trailers.items()}


def _no_service(host: str) -> WSGIApplication:
    """Refuses connections to addresses without a service in the sandbox."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise RdctlError(Code.UNREACHABLE, f"no service at {host} in the sandbox")

    return app


def ready_sandbox(path: str, home: str) -> None:
    """Check the file of the sandbox and the lock of its machine before use: root creates them for
    the owner of the home directory, and links of other users are not followed. Raises `denied`."""
    lock = f"{os.path.realpath(path)}-lock"
    try:
        refuse_planted(path)
        refuse_planted(lock)
    except OSError as error:
        raise RdctlError(
            Code.DENIED,
            f"the sandbox {path} cannot be used: {error.strerror}",
            hint="Use another file: RDCTL_SANDBOX=PATH",
            target=path,
        ) from error
    lend_file(path, home)
    lend_file(lock, home)


def sandbox_path(environ: Mapping[str, str], home: str) -> str:
    """The file with the state of the sandbox."""
    directory = environ.get("XDG_STATE_HOME") or os.path.join(home, ".local", "state")
    return environ.get("RDCTL_SANDBOX") or os.path.join(directory, "rdctl", "sandbox.db")


_MOST_TOKEN = 64 << 10  # bytes


def _token(path: str, seconds: float | None) -> str:
    try:
        token = read_in_time(path, seconds, _MOST_TOKEN).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable("token_file", path, error) from error
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise RdctlError(Code.CONFIG, f"token_file: {path} must contain a token on a single line")
    return token


def _readable(path: str | None, key: str) -> str | None:
    if path is not None:
        try:
            # The TLS library opens it by name, and would wait forever on a pipe.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise OSError(errno.EINVAL, "not a regular file")
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _unreadable(key, path, error) from error
    return path


def _unreadable(key: str, path: str, error: Exception) -> RdctlError:
    reason = getattr(error, "strerror", None) or "not valid UTF-8"
    return RdctlError(
        Code.CONFIG,
        f"{key}: {path} cannot be read: {reason}",
        hint="Show the source of the setting: rdctl context show",
    )
