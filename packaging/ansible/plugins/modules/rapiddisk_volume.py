#!/usr/bin/python
# Copyright The rdctl authors
# Apache-2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: rapiddisk_volume
short_description: Manage a RapidDisk volume (RAM disk)
version_added: 1.0.0
description:
  - Creates, resizes, locks, unlocks and removes one volume.
  - The name decides which volume is meant, so that the task can be repeated. A rapiddiskd (O(rapiddisk_url))
    chooses the names of new volumes itself; there, only existing volumes can be managed, and a missing one is an error.
  - A volume that is in use is neither shrunk nor removed.
author:
  - The rdctl authors (@rdctl)
extends_documentation_fragment:
  - rdctl.storage.rdctl
  - rdctl.storage.rdctl.rapiddisk
options:
  name:
    description: Name of the volume, V(rd) and its number, or its path, such as V(/dev/rd3).
    type: str
    required: true
  size:
    description: Size, a whole number of MiB such as V(64M) or V(1GiB). Required to create the volume; without it,
      an existing one keeps its size. A size to add, such as V(+64M), is refused, since each run would add it again.
    type: str
  locked:
    description: Whether the volume is read-only. Without it, an existing one stays as it is.
    type: bool
  state:
    description: Whether the volume exists.
    type: str
    choices: [present, absent]
    default: present
  confirm_loss:
    description: Consent to the loss of data. Required to shrink a volume, and to remove one that holds data.
    type: bool
    default: false
  discard_contents:
    description: Also discard data beyond the new end, and data that a writeback cache has not written to its disk.
      Both are the only copy.
    type: bool
    default: false
  overcommit:
    description: Allow volumes to exceed the available memory.
    type: bool
    default: false
  force:
    description: Continue even if an old daemon does not report whether the device is in use.
    type: bool
    default: false
  unseen:
    description: Checks that may fail, as the option C(--unseen) of rdctl.
    type: list
    elements: str
    choices: [exports, caches, locks, opens]
    default: []
"""

EXAMPLES = r"""
- name: A volume of 1 GiB
  rdctl.storage.rapiddisk_volume:
    name: rd3
    size: 1GiB

- name: Grow it, and make it read-only
  rdctl.storage.rapiddisk_volume:
    name: rd3
    size: 2GiB
    locked: true

- name: Remove it with its data
  rdctl.storage.rapiddisk_volume:
    name: rd3
    locked: false
    state: absent
    confirm_loss: true
"""

RETURN = r"""
volume:
  description: The volume as C(rdctl rapiddisk list) shows it; null if it does not exist, and in check mode for a new one.
  returned: success
  type: dict
  sample: {device: rd3, size: 67108864, usage: 0, locked: false, unwritten: 0, used_by: []}
changes:
  description: What rdctl reports of each target, as documented in C(rdctl help output). In check mode
    V(changed) is null for what would be changed.
  returned: always
  type: list
  elements: dict
  sample: [{action: create, target: rd3, changed: true, verified: true, size: 67108864, before: null, after: {size: 67108864}}]
losses:
  description: What was lost or, in check mode, would be. On failure, what the task would have to
    confirm.
  returned: always
  type: list
  elements: str
  sample: ['volume rd3 (64.0 MiB, 12.3 MiB used) will be removed']
code:
  description: The error word of rdctl, as documented in C(rdctl help exit-codes).
  returned: failure
  type: str
  sample: in-use
hint:
  description: What to do next; null if rdctl has no hint.
  returned: failure
  type: str
rc:
  description: The exit code of rdctl; null if it was not run. 10 means that the outcome is unknown.
  returned: failure
  type: int
  sample: 4
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rdctl.storage.plugins.module_utils.rdctl import (
    GUARDS,
    RAPIDDISK,
    Rdctl,
    flags,
    guards,
)

SPEC = {
    **RAPIDDISK,
    **GUARDS,
    "name": {"type": "str", "required": True},
    "size": {"type": "str"},
    "locked": {"type": "bool"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "confirm_loss": {"type": "bool", "default": False},
    "discard_contents": {"type": "bool", "default": False},
    "overcommit": {"type": "bool", "default": False},
}


def lookup(rdctl, name):
    """The volume, or None."""
    volumes = rdctl.listed("rapiddisk", "list")
    return next((one for one in volumes if one["device"] == name), None)


def outcome(action, name, before, after):
    """A result as rdctl gives it, for check mode where a change depends on an earlier one."""
    result = {"action": action, "target": name, "changed": None, "verified": None}
    return [{**result, "before": before, "after": after}]


def lock(rdctl, name, locked):
    """Lock or unlock it."""
    action = "lock" if locked else "unlock"
    predicted = outcome(action, name, {"locked": not locked}, {"locked": locked})
    rdctl.change("rapiddisk", action, "--", name, predicted=predicted)


def create(rdctl, params):
    if params["size"] is None:
        message = f"volume {params['name']} not found, and a size is required to create it"
        rdctl.fail({"message": message, "code": "usage", "hint": "Set size."})
    number = params["name"][len("rd") :]
    words = ["rapiddisk", "create", f"--number={number}", *flags(params, "overcommit")]
    rdctl.change(*words, "--", params["size"])


def size_of(rdctl, text):
    """The bytes of a size, as rdctl reads it."""
    words = ["--dry-run", "rapiddisk", "create", "--overcommit", "--", text]
    return rdctl.read(*words)["results"][0]["size"]


def resized(rdctl, params, volume):
    """What a resize changes and loses, known before the volume is unlocked; None: nothing."""
    size = size_of(rdctl, params["size"])
    if size == volume["size"]:
        return None, []
    losses = []
    if volume["size"] is None or size < volume["size"]:
        losses = [f"volume {params['name']} will shrink; data beyond its new end will be lost"]
        if not params["confirm_loss"]:
            rdctl.refuse(losses)
    return outcome("resize", params["name"], {"size": volume["size"]}, {"size": size}), losses


def resize(rdctl, params, predicted, losses):
    rdctl.change(
        "rapiddisk",
        "resize",
        *flags(params, "overcommit", "discard_contents"),
        *guards(params),
        "--",
        params["name"],
        params["size"],
        consent=params["confirm_loss"],
        predicted=predicted,
        losses=losses,
    )


def present(rdctl, params, volume):
    name, locked = params["name"], params["locked"]
    predicted, losses = None, []
    if volume is None:
        create(rdctl, params)
    else:
        resizes = params["size"] is not None
        if locked is False and volume["locked"]:
            if resizes:
                predicted, losses = resized(rdctl, params, volume)
            resizes = predicted is not None
            lock(rdctl, name, False)
        if resizes:
            resize(rdctl, params, predicted, losses)
    if locked:
        lock(rdctl, name, True)


def absent(rdctl, params, volume):
    """Remove it; one that is empty is no loss."""
    if volume is None:
        return
    name = params["name"]
    if not params["confirm_loss"] and volume["usage"] != 0:
        rdctl.refuse([f"volume {name} will be removed with its data"])
    if params["locked"] is False and volume["locked"]:
        lock(rdctl, name, False)
    before = {key: volume[key] for key in ("size", "usage", "locked")}
    rdctl.change(
        "rapiddisk",
        "remove",
        *flags(params, "discard_contents"),
        *guards(params),
        "--",
        name,
        consent=True,
        predicted=outcome("remove", name, before, None),
        losses=[f"volume {name} will be removed"],
    )


def main():
    module = AnsibleModule(SPEC, supports_check_mode=True)
    params = module.params
    rdctl = Rdctl(module)
    name = params["name"] = rdctl.name(params["name"], "volume")
    if (params["size"] or "").lstrip().startswith("+"):
        rdctl.invalid(f'size "{params["size"]}"', "each run would add it again")
    volume = lookup(rdctl, name)
    act = present if params["state"] == "present" else absent
    act(rdctl, params, volume)
    if rdctl.changed and not module.check_mode:
        volume = lookup(rdctl, name)
    rdctl.exit(volume=volume)


if __name__ == "__main__":
    main()
