"""Who uses the volumes of a listing, in a word each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rdctl.rapiddisk.model import Inventory, Survey, User, Volume


def with_uses(inventory: Inventory, survey: Survey) -> list[Volume]:
    """The volumes, each with what uses it; None where nothing was found and not all was checked."""
    caches: dict[str, list[str]] = {}
    for cache in inventory.caches:
        for device in (cache.volume, cache.source_kernel or cache.source):
            if device is not None:
                caches.setdefault(device, []).append(cache.device)

    def of(device: str) -> list[str] | None:
        words = [*caches.get(device, ()), *_words(survey.users.get(device, ()))]
        return words or (None if survey.unseen else [])

    return [volume._replace(used_by=of(volume.device)) for volume in inventory.volumes]


def _words(users: Sequence[User]) -> Iterable[str]:
    return dict.fromkeys(
        "swap" if user.kind == "swap" else f"{user.kind} {user.name}" for user in users
    )
