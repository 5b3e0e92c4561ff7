"""One call of the API, as one command: its own door, deadline and entry in the history."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from io import BytesIO
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict, TypeVar, cast

from rdctl.api.checking import checked
from rdctl.api.errors import public
from rdctl.api.models import Change, Outcome, typed
from rdctl.config.contexts import Config
from rdctl.config.resolve import Settings
from rdctl.core import results
from rdctl.core.environment import Environment
from rdctl.core.errors import Code, Exit, RdctlError, as_error
from rdctl.core.once import once
from rdctl.core.trace_context import trace_id
from rdctl.core.unread import Unread
from rdctl.effects.door import Effects
from rdctl.recording import Part, Records
from rdctl.sites import Limits, Site, sandbox_path
from rdctl.workers import PARALLEL, Workers

if TYPE_CHECKING:
    from rdctl.remote.turns import Remotes

T = TypeVar("T")
# Gets what will be lost, in words, and returns whether to do it.
Consent = Callable[[Sequence[str]], bool]

# The first word of such commands in the history.
_FROM = "python:"

log = logging.getLogger("rdctl")
log.addHandler(logging.NullHandler())  # without logging, nothing is printed


class Changing(TypedDict, total=False):
    """Options of every operation that changes something, in place of those of `connect`."""

    yes: bool
    consent: Consent | None
    dry_run: bool
    timeout: float | None


class Setup(NamedTuple):
    """What all calls of a connection have in common."""

    config: Config
    settings: Settings
    retries: int
    parallel: int | None
    request_id: str | None
    yes: bool
    consent: Consent | None
    dry_run: bool
    warn: Callable[[str], None]
    environment: Callable[[], Environment]  # a new one for each call, which has its own clock


class Words(NamedTuple):
    """The command line that does the same: the words of the verb, its arguments and options, and
    which of the arguments is a state file; `stdin` is what that is read from as `-`."""

    path: str
    arguments: tuple[str, ...]
    options: Mapping[str, Any]
    files: tuple[str, ...] = ()
    stdin: bytes | None = None

    @property
    def argv(self) -> list[str]:
        options = []
        for name, value in self.options.items():
            for one in value if isinstance(value, list) else [value]:
                options += [name] if one is True else [name, str(one)]
        dashes = ["--"] if any(word[:1] == "-" != word for word in self.arguments) else []
        return [*self.path.split(), *options, *dashes, *self.arguments]


def words(path: str, /, *arguments: object, **options: Any) -> Words:
    """`words("rapiddisk resize", "rd0", "1G", overcommit=True)`; options without a value are left
    out."""
    given = {
        f"--{name.replace('_', '-')}": list(value) if isinstance(value, list | tuple) else value
        for name, value in options.items()
        if value is not None and value is not False and value not in ((), [])
    }
    return Words(path, tuple(map(str, arguments)), given)


class Call:
    """A Command, for the history."""

    def __init__(self, setup: Setup, what: Words, given: Changing) -> None:
        self.setup = setup
        self.what = what
        self.environment = setup.environment()
        if what.stdin is not None:
            self.environment.stdin = BytesIO(what.stdin)
        self.command_path = f"rdctl {what.path}"
        self.noun = what.path.split()[0]
        self.report: results.Report | None = None
        self.yes = given.get("yes", setup.yes)
        self.consent = given.get("consent", setup.consent)
        self.seconds = given.get("timeout", setup.settings.get("timeout"))
        self.records = Records(self, [_FROM, *what.argv], boot=False)
        self.doors: list[Effects] = []
        part = Part(self.records)
        part.effects = self.effects = Effects(
            ask=self.ask,
            trace=log.debug if log.isEnabledFor(logging.DEBUG) else None,
            tell=log.info,
            dry_run=given.get("dry_run", setup.dry_run),
            recorder=part,
        )
        self.doors.append(self.effects)
        self.unread = Unread()
        self.remotes: Remotes | None = None
        self._warned: set[str] = set()

    @once
    def request_id(self) -> str:
        given = self.setup.request_id or trace_id(self.environment.environ)
        return given or os.urandom(16).hex().upper()

    @property
    def sandbox_path(self) -> str:
        return sandbox_path(self.environment.environ, self.environment.home())

    def warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            self.setup.warn(message)

    @once
    def workers(self) -> Workers:
        in_turn = self.effects.traces or self.effects.dry_run
        parallel = self.setup.parallel or (1 if in_turn else PARALLEL)
        return Workers(parallel, tell=log.info)

    def site(self) -> Site:
        site = Site(
            self.setup.settings,
            self.effects,
            Limits(self.seconds, self.setup.retries),
            self.setup.config,
            self.environment,
            warn=self.warn,
            workers=lambda: self.workers,
            request_id=self.request_id,
            unread=self.unread,
        )
        self.records.place(self.effects, site)
        return site

    def result(self, act: Callable[[Site], T], *, shows: bool = False) -> T:
        """That of the operation on the site; over SSH, of the command that does the same there.
        `shows`: it changes nothing."""
        site = self.site()
        if self.noun != "rapiddisk" or not self.setup.settings.over_ssh:
            return act(site)
        from rdctl.api.remote import asked, options_of
        from rdctl.remote.near import Request
        from rdctl.remote.turns import Remotes

        self.remotes = Remotes()
        flags = {"dry_run": self.effects.dry_run, "trace": self.effects.traces}
        request = Request(
            self.what.path.split(),
            self.what.arguments,
            options_of(self.what.options),
            {
                **{name: True for name, given in flags.items() if given},
                "retries": self.setup.retries,
            },
            shows,
        )
        found: Any = asked(
            self.remotes,
            site,
            request,
            self.environment,
            files=self.what.files,
            notice=log.info,
            workers=self.workers,
            unread=self.unread,
        )
        return cast("T", found)

    def close(self) -> None:
        """Leave nothing behind."""
        if self.remotes is not None:
            self.remotes.close()

    def ask(self, losses: Sequence[str]) -> None:
        """Return if the losses are consented to; a protected context has to be named for `yes`."""
        settings = self.setup.settings
        protected = settings.get("protected") and not settings.says_where(self.noun)
        if self.yes and not protected:
            return
        for line in self.effects.preface:
            log.info(line)
        where = f" on context {settings.context}" if settings.context else ""
        if self.consent is None:
            reason = "consent required"
            hint = "Pass yes=True or consent=FUNCTION; preview with dry_run=True."
            if self.yes:
                reason = f"yes=True is not sufficient: context {settings.context} is protected"
                hint = f"Name the context: rdctl.connect({settings.context!r})"
            message = f"{reason}; nothing was done. This would happen{where}: {'; '.join(losses)}"
            raise RdctlError(Code.CONSENT, message, hint=hint, losses=list(losses))
        with self.environment.thinking():
            agreed = self.consent(tuple(losses))
        if not agreed:
            raise RdctlError(Code.DECLINED, f"declined: {'; '.join(losses)}", losses=list(losses))


class _Failed(RdctlError):
    """Of several targets some failed, or of one all."""

    results: Sequence[Any] = ()
    errors: Sequence[RdctlError] = ()


@contextmanager
def calling(setup: Setup, what: Words, given: Changing) -> Iterator[Call]:
    """One call, with its end in the history. What fails in it becomes an Error of the API."""
    call: Call | None = None
    error: RdctlError | None = None
    try:
        call = Call(setup, what, given)
        yield call
    except Exception as failure:
        error = setup.settings.aim(as_error(failure))
        if error.code is Code.INTERNAL and isinstance(error.__cause__, Exception):
            # Of a function or a file of the program; or a fault of rdctl, whose traceback helps.
            raise error.__cause__ from None
        if isinstance(error, _Failed):
            raise public(error, error.results, error.errors) from failure
        raise public(error) from failure
    except GeneratorExit:
        raise  # a listing that is not read to its end
    except BaseException as signal:
        error = as_error(signal)
        if call is not None:
            _say_what_is_left(call)
        raise
    finally:
        if call is not None:
            call.close()
            if unreadable := call.unread.words:
                call.warn(unreadable)
            _record(call, error)


def _record(call: Call, error: RdctlError | None) -> None:
    """Write the end into the history. What fails there does not change how the call ended."""
    code = int(Exit.OK if error is None else error.exit)
    if call.report is not None and call.report.complete:
        code = int(call.report.exit)
    try:
        call.records.end(code, error)
    except Exception as failure:
        call.warn(f"history not written: {as_error(failure).message}")


def _say_what_is_left(call: Call) -> None:
    """What an interrupted call may have left."""
    fates = {
        "in progress, outcome unknown": call.effects.under_way,
        "could not be rolled back": call.effects.left,
        "rolled back": call.effects.undone,
    }
    for fate, acts in fates.items():
        if acts:
            call.warn(f"interrupted; {fate}: {', '.join(acts)}")


# --- what operations return -------------------------------------------------------------------


def change(
    setup: Setup, what: Words, act: Callable[[Site], results.Report], given: Changing
) -> Outcome:
    """Carry out a change. Raises unless all its targets are as they should be."""
    with calling(setup, what, given) as call:
        call.report = report = call.result(act)
        for _ in report:
            pass
        changes = tuple(map(_change, report.changes))
        if report.failures:
            raise _several(setup, report.failures, changes, report.exit)
        effects = call.effects
        return Outcome(
            changes,
            effects.dry_run,
            tuple(effects.plan),
            tuple(effects.would),
            tuple(effects.losses),
        )


def _change(done: results.Change) -> Change:
    data = done.data()
    data.pop("context", None)
    first = {key: data.pop(key) for key in ("action", "target", "changed", "verified")}
    return Change(**first, facts=data)


def _several(
    setup: Setup, failures: Sequence[results.Failure], done: Sequence[Any], exit: Exit
) -> RdctlError:
    errors = [setup.settings.aim(failure.error) for failure in failures]
    if len(errors) == 1 and not done:
        return errors[0]
    codes = {error.code for error in errors}
    code = codes.pop() if len(codes) == 1 else Code.FAILED
    code = {Exit.PARTIAL: Code.PARTIAL, Exit.UNKNOWN: Code.UNKNOWN}.get(exit, code)
    number = len(errors) + len(done)
    failed = _Failed(code, f"{len(errors)} of {number} failed: {errors[0].message}")
    failed.results, failed.errors = done, errors
    return failed


def each(
    setup: Setup,
    what: Words,
    act: Callable[[Site], results.Listing],
    read: Callable[[Any], T] = lambda item: item,
) -> Iterator[T]:
    """The items of a listing, as they come. What could not be shown is raised at the end. The time
    between two items is not the call's."""
    with calling(setup, what, {}) as call:
        listing = call.result(act, shows=True)
        with closing(iter(listing)) as items:  # type: ignore[type-var]
            for one in items:
                with call.environment.thinking():
                    yield read(one)
        if listing.failures:
            raise _several(setup, listing.failures, (), listing.exit)


def data(setup: Setup, what: Words, act: Callable[[Site], T]) -> T:
    """What the operation returns."""
    with calling(setup, what, {}) as call:
        return call.result(act, shows=True)


class Noun:
    """The operations on one kind of thing."""

    def __init_subclass__(cls) -> None:
        for name, operation in list(vars(cls).items()):
            if isinstance(operation, FunctionType) and not name.startswith("_"):
                setattr(cls, name, checked(operation))

    def __init__(self, setup: Setup) -> None:
        self._setup = setup

    def _change(
        self, what: Words, act: Callable[[Site], results.Report], options: Changing
    ) -> Outcome:
        return change(self._setup, what, act, options)

    def _item(self, what: Words, act: Callable[[Site], results.Item], kind: type[T]) -> T:
        """`kind` is that of its value."""
        value: T = typed(kind, data(self._setup, what, act).value)
        return value

    def _list(self, what: Words, act: Callable[[Site], results.Listing], kind: type[T]) -> list[T]:
        """`kind` is that of its items."""
        return list(each(self._setup, what, act, partial(typed, kind)))

    def _one(self, what: Words, act: Callable[[Site], results.Listing], kind: type[T]) -> T:
        """The only item of a listing."""
        (value,) = self._list(what, act, kind)
        return value
