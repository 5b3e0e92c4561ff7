#!/usr/bin/python
# Copyright The rdctl authors
# Apache-2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: rapiddisk_cache
short_description: Cache a disk with a RapidDisk volume
version_added: 1.0.0
description:
  - Creates and removes a cache, which is a mapping of a volume in front of a disk.
  - A cache that exists for the same volume, disk and policy is left as it is. To change one, remove it first.
  - Removing a writeback cache writes its blocks back first, however long this takes.
author:
  - The rdctl authors (@rdctl)
extends_documentation_fragment:
  - rdctl.storage.rdctl
  - rdctl.storage.rdctl.rapiddisk
options:
  name:
    description: Name of the cache, such as V(rc-wt_sdb). The default is that of its policy and disk. For another one,
      O(rapiddisk_url) is not supported.
    type: str
  volume:
    description: The volume. Required with O(state=present).
    type: str
  source:
    description: The disk. Required with O(state=present).
    type: str
  policy:
    description: How writes are handled. With V(writeback), a power loss loses all data that are not written back yet,
      so creating it requires O(confirm_loss).
    type: str
    choices: [write-through, write-around, writeback]
    default: write-through
  max_age:
    description: Seconds after which a new writeback cache writes blocks back. One that exists keeps its value.
    type: int
  state:
    description: Whether the cache exists. With V(absent), O(name) or O(volume) selects it; with O(source) as well, a cache
      of another disk is an error.
    type: str
    choices: [present, absent]
    default: present
  confirm_loss:
    description: Consent to what rdctl would ask before it creates the cache.
    type: bool
    default: false
  discard_contents:
    description: Erase the volume first, if it holds data. This also requires O(confirm_loss).
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
- name: Cache sdb with rd1
  rdctl.storage.rapiddisk_cache:
    volume: rd1
    source: /dev/sdb

- name: Remove the cache of rd1
  rdctl.storage.rapiddisk_cache:
    volume: rd1
    state: absent
"""

RETURN = r"""
cache:
  description: The cache as C(rdctl rapiddisk cache list) shows it; null if it does not exist, and in check mode for a new one.
  returned: success
  type: dict
  sample: {device: rc-wt_sdb, volume: rd1, source: sdb, policy: write-through, dirty: null, writeback_seconds: null}
changes:
  description: What rdctl reports of each target, as documented in C(rdctl help output). In check mode
    V(changed) is null for what would be changed.
  returned: always
  type: list
  elements: dict
  sample: [{action: create, target: rc-wt_sdb, changed: true, verified: true, before: null, after: {volume: rd1, source: sdb, policy: write-through}}]
losses:
  description: What was lost or, in check mode, would be. On failure, what the task would have to
    confirm.
  returned: always
  type: list
  elements: str
  sample: ['cache rc-wt_sdb will be removed; sdb will be uncached']
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

import os

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
    "name": {"type": "str"},
    "volume": {"type": "str"},
    "source": {"type": "str"},
    "policy": {
        "type": "str",
        "choices": ["write-through", "write-around", "writeback"],
        "default": "write-through",
    },
    "max_age": {"type": "int"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "confirm_loss": {"type": "bool", "default": False},
    "discard_contents": {"type": "bool", "default": False},
}


def names(rdctl, params):
    """Replace paths by the names that rdctl lists."""
    for key, kind in (("name", "cache"), ("volume", "volume")):
        if params[key] is not None:
            params[key] = rdctl.name(params[key], kind)


def lookup(rdctl, params):
    """The cache that the task names, or None."""
    wanted = {"device": params["name"], "volume": params["volume"]}
    for cache in rdctl.listed("rapiddisk", "cache", "list"):
        if all(value in (None, cache[key]) for key, value in wanted.items()):
            return cache
    return None


def present(rdctl, params):
    rdctl.change(
        "rapiddisk",
        "cache",
        "create",
        *flags(params, "name", "policy", "max_age", "discard_contents"),
        *guards(params),
        "--",
        params["volume"],
        params["source"],
        consent=params["confirm_loss"],
    )


def absent(rdctl, params):
    cache = lookup(rdctl, params)
    if cache is not None:
        refuse_other_source(rdctl, params["source"], cache)
        words = ["rapiddisk", "cache", "remove", *guards(params), "--", cache["device"]]
        rdctl.change(*words, consent=True)


def refuse_other_source(rdctl, source, cache):
    """Fail if the task means the cache of another disk."""
    known = {cache["source"], cache["source_kernel"]}
    if source is None or known & {
        os.path.basename(source),
        os.path.basename(os.path.realpath(source)),
    }:
        return
    message = f"{cache['device']} caches {cache['source']}, not {source}"
    rdctl.fail({"message": message, "code": "conflict", "target": cache["device"]})


def main():
    module = AnsibleModule(
        SPEC,
        supports_check_mode=True,
        required_if=[
            ("state", "present", ("volume", "source")),
            ("state", "absent", ("name", "volume"), True),
        ],
    )
    rdctl = Rdctl(module)
    names(rdctl, module.params)
    act = present if module.params["state"] == "present" else absent
    act(rdctl, module.params)
    rdctl.exit(cache=lookup(rdctl, module.params))


if __name__ == "__main__":
    main()
