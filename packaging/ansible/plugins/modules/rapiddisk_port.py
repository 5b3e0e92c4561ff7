#!/usr/bin/python
# Copyright The rdctl authors
# Apache-2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: rapiddisk_port
short_description: Manage a port for NVMe-oF exports
version_added: 1.0.0
description:
  - Adds and removes an address of this machine on which devices can be exported.
  - A port that exists with another transport or address is an error. To change one, remove it first.
  - Local only, as rdctl itself.
author:
  - The rdctl authors (@rdctl)
extends_documentation_fragment:
  - rdctl.storage.rdctl
  - rdctl.storage.rdctl.rapiddisk
options:
  port:
    description: Number of the port.
    type: int
    required: true
  transport:
    description: Transport protocol. Required with O(state=present).
    type: str
    choices: [tcp, rdma, loop]
  address:
    description: IPv4 or IPv6 address of this machine to listen on.
    type: str
  interface:
    description: Listen on the first address of this network interface.
    type: str
  service:
    description: TCP port; the default of rdctl is 4420.
    type: int
  tls:
    description: Require TLS 1.3 of clients (Linux 6.7 or later). Both sides need a pre-shared key and C(tlshd).
    type: bool
    default: false
  state:
    description: Whether the port exists. One with exports is not removed.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Listen on 10.0.0.5
  rdctl.storage.rapiddisk_port:
    port: 1
    transport: tcp
    address: 10.0.0.5

- name: Remove the port
  rdctl.storage.rapiddisk_port:
    port: 1
    state: absent
"""

RETURN = r"""
port:
  description: The port as C(rdctl rapiddisk nvmet port list) shows it; null if it does not exist. In check mode, as it is.
  returned: success
  type: dict
  sample: {port: 1, transport: tcp, address: 10.0.0.5, service: '4420', tls: false}
changes:
  description: What rdctl reports of each target, as documented in C(rdctl help output). In check mode
    V(changed) is null for what would be changed.
  returned: always
  type: list
  elements: dict
  sample: [{action: add, target: '1', changed: true, verified: true, transport: tcp, address: 10.0.0.5, service: '4420',
      before: null, after: {transport: tcp, address: 10.0.0.5, service: '4420'}}]
losses:
  description: What was lost or, in check mode, would be. On failure, what the task would have to
    confirm.
  returned: always
  type: list
  elements: str
  sample: ['port 1 will be removed; it has no exports']
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
    RAPIDDISK,
    Rdctl,
    flags,
)

SPEC = {
    **RAPIDDISK,
    "port": {"type": "int", "required": True},
    "transport": {"type": "str", "choices": ["tcp", "rdma", "loop"]},
    "address": {"type": "str"},
    "interface": {"type": "str"},
    "service": {"type": "int"},
    "tls": {"type": "bool", "default": False},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}
_PORT = ("rapiddisk", "nvmet", "port")


def lookup(rdctl, number):
    """The port, or None."""
    return next((one for one in rdctl.listed(*_PORT, "list") if one["port"] == number), None)


def present(rdctl, params):
    found = flags(params, "transport", "address", "interface", "service", "tls")
    rdctl.change(*_PORT, "add", *found, "--", str(params["port"]))


def absent(rdctl, params):
    if lookup(rdctl, params["port"]) is not None:
        rdctl.change(*_PORT, "remove", "--", str(params["port"]), consent=True)


def main():
    module = AnsibleModule(
        SPEC,
        supports_check_mode=True,
        required_if=[("state", "present", ("transport",))],
        mutually_exclusive=[("address", "interface")],
    )
    rdctl = Rdctl(module)
    act = present if module.params["state"] == "present" else absent
    act(rdctl, module.params)
    rdctl.exit(port=lookup(rdctl, module.params["port"]))


if __name__ == "__main__":
    main()
