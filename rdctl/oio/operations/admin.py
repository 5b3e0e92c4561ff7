"""The databases behind containers: their replicas and elections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rdctl.core.errors import Code, RdctlError
from rdctl.core.results import Change, Failure, Listing, Report, literal
from rdctl.oio.acts import ACCEPTED, ALREADY, OK, PROVEN, UNREPORTED, Acts, Evidence, distinct
from rdctl.oio.model import Container, Outcome, Place
from rdctl.oio.operations.container import refuse_shared
from rdctl.oio.refusals import Asked, database
from rdctl.oio.routes import READ, ROUTES

# Replies of single replicas that are not errors: a slave names its master, a master is not a slave.
_NO_FAULT = (301, 303)
# That of a service that does not have the database.
_NO_BASE = 431


class Bases(Acts):
    def replicas(
        self, action: str, place: Place, query: Mapping[str, Any], loss: str | None = None
    ) -> Listing:
        """Query each replica of a database: one row per service. If a replica fails, the command
        fails."""
        name = f"admin.{action}"
        if ROUTES[name].effect != READ:
            if loss:
                self._effects.consent([loss])
            outcomes = self._change(
                name,
                place,
                query,
                shows=f"rdctl oio admin status {place.words}",
                destroys=loss,
                assume=[],
            )
        else:
            outcomes = self._proxy.read(name, place, query)
        rows = [_election(o) if action == "debug" else _replica(action, o) for o in outcomes]
        listing = Listing(rows, vertical=action == "debug")
        listing.failures += self._failed(action, place, query, outcomes)
        listing.failed = len(listing.failures)
        return listing

    def _failed(
        self, action: str, place: Place, query: Mapping[str, Any], outcomes: Sequence[Outcome]
    ) -> list[Failure]:
        """The replicas that failed."""
        asked = Asked(f"admin.{action}", place, query.get("type"))
        verb = action.replace("_", "-")

        def error(outcome: Outcome) -> RdctlError:
            if ROUTES[asked.route].effect == READ:
                return self._proxy.error(
                    outcome.status, outcome.message, asked, target=outcome.name
                )
            return self._proxy.failed(
                outcome,
                asked,
                outcome.name,
                what=f"{verb} {place.shown}",
                shows=f"rdctl oio admin status {place.words}",
            )

        return [
            Failure(verb, error(outcome))
            for outcome in outcomes
            if outcome.status not in OK and outcome.status not in _NO_FAULT
        ]

    def remove(self, place: Place, addresses: Sequence[str], query: Mapping[str, Any]) -> Report:
        """Remove surplus copies of a database. Servers would remove the last one, too, so what must
        be left is determined before the question and once again before the request."""
        base = database(place, query.get("type"))
        todo = self._surplus(place, addresses, query)
        losses = [f"the copy of {base} on {address} will be deleted" for address in todo]
        if todo:
            self._effects.consent(losses)
            todo = [one for one in self._surplus(place, addresses, query) if one in todo]
        failed: list[Failure] = []
        if todo:
            sent = {**query, "service_id": ",".join(todo)}
            outcomes = self._change(
                "admin.remove", place, sent, destroys="; ".join(losses), assume=[]
            )
            failed = self._failed("remove", place, query, outcomes)
        left = self._held(place, query, todo) if todo and not self._effects.dry_run else {}
        names = {failure.error.target for failure in failed}
        return Report(
            [
                *(
                    self._removed(base, address, address in todo, left.get(address))
                    for address in dict.fromkeys(addresses)
                    if address not in names
                ),
                *failed,
            ]
        )

    def _removed(self, base: str, address: str, sent: bool, held: bool | None) -> Change | Failure:
        base = literal(base)
        if not sent:
            return self._done("remove", address, ALREADY, past=f"{base} is not on {{}}")
        if held:
            message = f"{base} is still on {address}"
            return Failure("remove", RdctlError(Code.UNPROVEN, message, target=address))
        evidence = ACCEPTED if held is None else PROVEN
        return self._done("remove", address, evidence, past=f"removed {base} from {{}}")

    def _surplus(
        self, place: Place, addresses: Sequence[str], query: Mapping[str, Any]
    ) -> list[str]:
        """Those of these services that have the database although it is not needed there. Raises if
        it is, or may be."""
        type = str(query.get("type"))
        base = database(place, type)
        services, directory = self._proxy.read("reference.show", place, strict=True)
        linked = {link.address for link in [*services, *(directory or [])] if link.type == type}
        held = {**self._held(place, query), **self._held(place, query, addresses)}
        todo = [address for address in dict.fromkeys(addresses) if held.get(address) is not False]
        unclear = [address for address in todo if held.get(address) is None]
        if unclear:
            message = f"{unclear[0]}: cannot check whether it has {base}"
            raise RdctlError(Code.UNGUARDED, message, target=unclear[0])
        left = {address for address, has in held.items() if has} - {*todo}
        if todo and not left:
            raise _needed(todo[0], f"it has the only copy of {base}", place)
        if todo and not left & linked:
            raise _needed(todo[0], f"no other linked service has {base}", place)
        if risky := [address for address in todo if address in linked]:
            masters = self._masters(place, query)
            if not masters:
                message = f"{risky[0]}: cannot check whether it is the master of {base}"
                raise RdctlError(Code.UNGUARDED, message, target=risky[0])
            if serving := [address for address in risky if address in masters]:
                raise _needed(serving[0], f"it is the master of {base}", place)
        return todo

    def _held(
        self, place: Place, query: Mapping[str, Any], addresses: Sequence[str] = ()
    ) -> dict[str, bool | None]:
        """Which of these services, or of the linked ones, have the database; None: not known."""
        query = {**query, "service_id": ",".join(addresses) or None}
        outcomes: list[Outcome] = self._proxy.read("admin.has", place, query)
        known = {_NO_BASE: False, **dict.fromkeys(OK, True)}
        return {outcome.name: known.get(outcome.status or 0) for outcome in outcomes}

    def _masters(self, place: Place, query: Mapping[str, Any]) -> set[str]:
        """The masters of the database according to its replicas."""
        rows = [_replica("status", one) for one in self._proxy.read("admin.status", place, query)]
        return {row["master"] for row in rows if row["master"]}

    def set_state(self, action: str, places: Sequence[Place], query: Mapping[str, Any]) -> Report:
        """freeze, enable, disable: if the state is already as requested, that is not an error."""
        losses = {
            "freeze": "will be read-only until it is enabled",
            "disable": "cannot be read or written until it is enabled",
        }
        past = {
            "freeze": "frozen {} (read-only until it is enabled)",
            "disable": "disabled {} (cannot be read or written until it is enabled)",
        }
        already = {"freeze": 436, "disable": 437, "enable": 439}[action]

        def act(place: Place, loss: str | None = None) -> Evidence:
            if action == "enable" and query.get("type") == "meta2":
                self._refuse_incomplete(place)
            try:
                self._change(f"admin.{action}", place, query, destroys=loss)
            except RdctlError as error:
                if error.facts.get("remote_status") != already:
                    raise
                return ALREADY
            return PROVEN

        if action not in losses:
            return self._each(action, distinct(places), act)

        def lost(place: Place) -> str:
            return f"{database(place, query.get('type'))} {losses[action]}"

        return self._each_confirmed(action, places, lost, act, past[action])

    def _refuse_incomplete(self, place: Place) -> None:
        """Refuse to enable an incomplete snapshot: whatever deletes its objects then, deletes the
        chunks of the source."""
        suggests, self._proxy.suggests = self._proxy.suggests, False
        try:
            shown: Container = self._proxy.read("container.show", place)
        except RdctlError:
            return  # a disabled container cannot be shown
        finally:
            self._proxy.suggests = suggests
        refuse_shared(place, shown)

    def vacuum(self, places: Sequence[Place], query: Mapping[str, Any]) -> Report:
        """Compact databases. Servers do not report what it released."""

        def act(place: Place) -> Evidence:
            self._change("admin.vacuum", place, query)
            return UNREPORTED

        return self._each("vacuum", distinct(places), act, "compacted")

    def copy(self, place: Place, to: str, query: Mapping[str, Any]) -> Report:
        """Copy a database to another service. If servers report on each replica, all must have
        succeeded."""
        loss = f"the copy of {database(place, query.get('type'))} on {to} will be overwritten"
        self._effects.consent([loss])
        outcomes = self._change("admin.copy", place, query, destroys=loss, assume=[], to=to)
        failed = self._failed("copy", place, query, outcomes)
        done = [] if failed else [self._done("copy", place.name, UNREPORTED)]
        return Report([*done, *failed])


def _needed(address: str, why: str, place: Place) -> RdctlError:
    return RdctlError(
        Code.IN_USE,
        f"{address}: {why}",
        hint=f"See where it is: rdctl oio admin has {place.words}",
        target=address,
    )


def _replica(action: str, outcome: Outcome) -> dict[str, Any]:
    """The reply of a replica. Only for `status` does 200 mean the master."""
    role = {200: "master", 303: "slave"}.get(outcome.status or 0) if action == "status" else None
    master = {"master": outcome.name, "slave": outcome.message}.get(role or "")
    return {
        "service": outcome.name,
        "role": role,
        "master": master,
        "status": outcome.status,
        "message": outcome.message,
        "body": outcome.body,
    }


def _election(outcome: Outcome) -> dict[str, Any]:
    """The election as a replica sees it: an object in 4.2 (empty with a single replica), a string
    in the reference, whose first word is the state."""
    row = {"service": outcome.name, "status": outcome.status, "message": outcome.message}
    if isinstance(outcome.body, str):
        return {**row, **_election_in_words(outcome.body)}
    body = outcome.body or {}
    log = body.get("log")
    return {
        **row,
        "state": (body.get("local") or {}).get("state"),
        "master": (body.get("master") or {}).get("url"),
        "peers": body.get("peers"),
        "log": None if log is None else [_step(str(line)) for line in log],
    }


def _election_in_words(text: str) -> dict[str, Any]:
    lines = [line.strip() for line in text.splitlines()]
    peers = [line.removeprefix("P: ").split("|") for line in lines if line.startswith("P: ")]
    return {
        "state": lines[0].partition(" ")[0],
        "master": None,
        "peers": peers[0] if peers else None,
        "log": [_step(line) for line in lines[1:] if not line.startswith("P: ")],
    }


def _step(line: str) -> dict[str, str | None]:
    """`[TIME:]STATE:EVENT:STATE`; the time is as the replica reports it."""
    parts = line.rsplit(":", 3)
    if len(parts) < 3:
        return {"time": None, "before": None, "event": line, "after": None}
    *time, before, event, after = parts
    return {"time": time[0] if time else None, "before": before, "event": event, "after": after}
