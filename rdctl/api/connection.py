"""connect(), and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rdctl.api.call import Consent, Setup, log
from rdctl.api.checking import checked, within
from rdctl.api.errors import public
from rdctl.api.oio import OpenIO
from rdctl.api.rapiddisk import RapidDisk
from rdctl.config.contexts import LOCAL, Config
from rdctl.config.resolve import resolve, retries_of, several
from rdctl.core.environment import Environment, embedded
from rdctl.core.errors import Code, RdctlError, as_error


class Site:
    """One context: `rapiddisk` and `oio` are the systems behind it.

    It holds settings only: any number of threads can use it at the same time, each call opens what
    it needs and closes it at its end, and it can be pickled.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._setup = setup = _setup(**options)
        self.rapiddisk = RapidDisk(setup)
        self.oio = OpenIO(setup)

    @property
    def context(self) -> str | None:
        """The name of the context, if there is one."""
        return self._setup.settings.context

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Does nothing: no connection outlives a call."""

    def __repr__(self) -> str:
        return f"<rdctl.Site {self.context or 'without a context'}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Site, (self._options,)


@checked
def connect(
    context: str | None = None,
    *,
    rapiddisk: str | None = None,
    oio: str | None = None,
    namespace: str | None = None,
    account: str | None = None,
    timeout: float | None = None,
    retries: int | None = None,
    parallel: int | None = None,
    request_id: str | None = None,
    yes: bool = False,
    consent: Consent | None = None,
    dry_run: bool = False,
    warn: Callable[[str], None] | None = None,
) -> Site:
    """The systems of a context; nothing is sent yet.

    Without `context`, the settings are those of a command without `-c`: variables, the current
    context, this machine. `rapiddisk` ("local" or a URL), `oio` (a URL), `namespace` and `account`
    are used in place of those of the context.

    `timeout` is the time limit of each call in seconds, `retries` the number of retries of reads,
    `parallel` that of parallel operations, `request_id` what OpenIO's services log.

    What destroys data is refused with a ConsentError, unless `yes` is True, or `consent`, which
    gets what will be lost as lines of text, returns True. With `dry_run` nothing is changed. `warn`
    gets warnings in place of the logger `rdctl`.
    """
    options = locals()
    return Site({name: value for name, value in options.items() if value is not None})


def _setup(
    context: str | None = None,
    *,
    rapiddisk: str | None = None,
    oio: str | None = None,
    namespace: str | None = None,
    account: str | None = None,
    timeout: float | None = None,
    retries: int | None = None,
    parallel: int | None = None,
    request_id: str | None = None,
    yes: bool = False,
    consent: Consent | None = None,
    dry_run: bool = False,
    warn: Callable[[str], None] = log.warning,
    environment: Callable[[], Environment] = embedded,
) -> Setup:
    within("retries", retries, 0)
    within("parallel", parallel, 1)
    places = {
        "context": context,
        "rapiddisk": rapiddisk,
        "oio": oio,
        "namespace": namespace,
        "account": account,
    }
    for name, value in places.items():
        if value == "":  # not another place in its stead
            raise ValueError(f"{name}: must not be empty")
    flags = {
        "context": context,
        "local": rapiddisk == LOCAL,
        "rapiddisk_url": None if rapiddisk == LOCAL else rapiddisk,
        "oio_url": oio,
        "namespace": namespace,
        "account": account,
        "timeout": timeout,
        "retries": retries,
    }
    try:
        here = environment()
        config = Config(here.environ, here.root, here.home())
        if several(config, flags) is not None:
            raise RdctlError(
                Code.USAGE,
                "several contexts selected: a site is one of them",
                hint="Connect to each: [rdctl.connect(name) for name in names]",
            )
        settings = resolve(config, flags)
        tries = retries_of(flags, here.environ)
    except Exception as error:
        raise public(as_error(error)) from error
    return Setup(
        config, settings, tries, parallel, request_id, yes, consent, dry_run, warn, environment
    )
