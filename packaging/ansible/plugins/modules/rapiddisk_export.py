#!/usr/bin/python
# Copyright The rdctl authors
# Apache-2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: rapiddisk_export
short_description: Export a RapidDisk volume or cache over NVMe-oF
version_added: 1.0.0
description:
  - Exports one device, and removes its export.
  - The export has at least these ports and hosts; with O(exclusive=true), it has no others.
  - Local only, as rdctl itself.
author:
  - The rdctl authors (@rdctl)
extends_documentation_fragment:
  - rdctl.storage.rdctl
  - rdctl.storage.rdctl.rapiddisk
options:
  device:
    description: The volume or the cache, by its name or its path.
    type: str
    required: true
  ports:
    description: Numbers of the ports to export on. Required with O(state=present).
    type: list
    elements: int
  hosts:
    description: NQNs of the hosts that may connect.
    type: list
    elements: str
  any_host:
    description: Allow any host to connect.
    type: bool
    default: false
  exclusive:
    description: Remove all other ports and hosts. Their clients lose access.
    type: bool
    default: false
  serial:
    description: Serial number, at most 20 characters.
    type: str
  uuid:
    description: UUID of the namespace.
    type: str
  nguid:
    description: NGUID of the namespace, 32 hexadecimal digits.
    type: str
  recreate:
    description: Re-create an export of another identity, which disconnects its hosts.
    type: bool
    default: false
  auth_key_file:
    description: File on the managed host with the key that the O(hosts) must prove to have (DH-HMAC-CHAP). Only its owner may
      read it (mode 0600). The task never reads or shows the key. Hosts with another key are an error; use
      C(rdctl rapiddisk nvmet host set).
    type: path
  ctrl_key_file:
    description: File on the managed host with the key that this machine proves to have.
    type: path
  hash:
    description: Hash function of the authentication; the default of rdctl is V(sha256).
    type: str
    choices: [sha256, sha384, sha512]
  dhgroup:
    description: Diffie-Hellman group of the authentication; the default of rdctl is V(null), which is none.
    type: str
    choices: ['null', ffdhe2048, ffdhe3072, ffdhe4096, ffdhe6144, ffdhe8192]
  unseen:
    description: Checks that may fail, as the option C(--unseen) of rdctl.
    type: list
    elements: str
    choices: [exports, caches, locks, opens]
    default: []
  state:
    description: Whether the device is exported. With V(absent), its clients lose access.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Export rd1 to one host
  rdctl.storage.rapiddisk_export:
    device: rd1
    ports: [1]
    hosts: [nqn.2014-08.org.nvmexpress:uuid:7a]
    exclusive: true

- name: Export rd2 to this host only if it has the key
  rdctl.storage.rapiddisk_export:
    device: rd2
    ports: [1]
    hosts: [nqn.2014-08.org.nvmexpress:uuid:7a]
    auth_key_file: /etc/rdctl/host.key

- name: Remove the export
  rdctl.storage.rapiddisk_export:
    device: rd1
    state: absent
"""

RETURN = r"""
export:
  description: The export as C(rdctl rapiddisk nvmet list) shows it; null if it does not exist. In check mode, as it is.
  returned: success
  type: dict
  sample: {nqn: 'nqn.2021-06.org.rapiddisk:store-rd1', namespace: 1, device: /dev/rd1, enabled: true, any_host: false}
changes:
  description: What rdctl reports of each target, as documented in C(rdctl help output). In check mode
    V(changed) is null for what would be changed.
  returned: always
  type: list
  elements: dict
  sample: [{action: export, target: rd1, changed: true, verified: true, nqn: 'nqn.2021-06.org.rapiddisk:store-rd1',
      ports: [1], hosts: ['nqn.2014-08.org.nvmexpress:uuid:7a'], any_host: false}]
losses:
  description: What was lost or, in check mode, would be. On failure, what the task would have to
    confirm.
  returned: always
  type: list
  elements: str
  sample: ['nqn.2021-06.org.rapiddisk:store-rd1: its clients will lose access']
code:
  description: The error word of rdctl, as documented in C(rdctl help exit-codes).
  returned: failure
  type: str
  sample: locked
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
    options,
)

SPEC = {
    **RAPIDDISK,
    "device": {"type": "str", "required": True},
    "ports": {"type": "list", "elements": "int"},
    "hosts": {"type": "list", "elements": "str"},
    "any_host": {"type": "bool", "default": False},
    "exclusive": {"type": "bool", "default": False},
    "serial": {"type": "str"},
    "uuid": {"type": "str"},
    "nguid": {"type": "str"},
    "recreate": {"type": "bool", "default": False},
    "auth_key_file": {"type": "path", "no_log": False},
    "ctrl_key_file": {"type": "path", "no_log": False},
    "hash": {"type": "str", "choices": ["sha256", "sha384", "sha512"]},
    "dhgroup": {
        "type": "str",
        "choices": ["null", "ffdhe2048", "ffdhe3072", "ffdhe4096", "ffdhe6144", "ffdhe8192"],
    },
    "unseen": GUARDS["unseen"],
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def lookup(rdctl, device):
    """The export of the device, or None."""
    for target in rdctl.listed("rapiddisk", "nvmet", "list"):
        if (target["device"] or "").rsplit("/", 1)[-1] == device:
            return target
    return None


def present(rdctl, params):
    device, there = params["device"], lookup(rdctl, params["device"])
    rdctl.change(
        "rapiddisk",
        "nvmet",
        "export",
        *options("port", params["ports"]),
        *options("host", params["hosts"]),
        *flags(params, "any_host", "serial", "uuid", "nguid", "recreate"),
        *flags(params, "auth_key_file", "ctrl_key_file", "hash", "dhgroup"),
        *options("unseen", params["unseen"]),
        "--",
        device,
        consent=params["recreate"],
    )
    if there is not None and params["exclusive"]:
        narrow(rdctl, params, there)


def narrow(rdctl, params, there):
    """Remove the ports and hosts that the task does not name."""
    before = {"ports": [one["port"] for one in there["ports"]], "hosts": there["hosts"]}
    wanted = {"ports": params["ports"], "hosts": params["hosts"] or []}
    surplus = {key: [one for one in before[key] if one not in wanted[key]] for key in before}
    if not surplus["ports"] and not surplus["hosts"]:
        return
    kept = {key: [one for one in before[key] if one in wanted[key]] for key in before}
    after = {key: list(dict.fromkeys(kept[key] + wanted[key])) for key in before}
    result = {"action": "unexport", "target": params["device"], "changed": None, "verified": None}
    rdctl.change(
        "rapiddisk",
        "nvmet",
        "unexport",
        *options("port", surplus["ports"]),
        *options("host", surplus["hosts"]),
        "--",
        params["device"],
        consent=True,
        predicted=[{**result, "before": before, "after": after}],
        losses=[
            f"{there['nqn']}: clients on port {port} will lose access" for port in surplus["ports"]
        ]
        + [f"{there['nqn']}: {host} may no longer connect" for host in surplus["hosts"]],
    )


def absent(rdctl, params):
    if lookup(rdctl, params["device"]) is not None:
        words = ["rapiddisk", "nvmet", "unexport", "--", params["device"]]
        rdctl.change(*words, consent=True)


def main():
    module = AnsibleModule(
        SPEC, supports_check_mode=True, required_if=[("state", "present", ("ports",))]
    )
    rdctl = Rdctl(module)
    module.params["device"] = rdctl.name(module.params["device"], "volume", "cache")
    act = present if module.params["state"] == "present" else absent
    act(rdctl, module.params)
    rdctl.exit(export=lookup(rdctl, module.params["device"]))


if __name__ == "__main__":
    main()
