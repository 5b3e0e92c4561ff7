#!/usr/bin/python
# Copyright The rdctl authors
# Apache-2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: rdctl_info
short_description: Gather what RapidDisk and OpenIO SDS have
version_added: 1.0.0
description:
  - Runs commands of rdctl that only read, and returns their items.
author:
  - The rdctl authors (@rdctl)
extends_documentation_fragment:
  - rdctl.storage.rdctl
  - rdctl.storage.rdctl.rapiddisk
  - rdctl.storage.rdctl.oio
options:
  gather:
    description: What to gather. V(status), V(resources), V(volumes), V(caches), V(exports), V(ports), V(boot) and
      V(differences) are of RapidDisk, V(containers) and V(services) of OpenIO SDS.
    type: list
    elements: str
    choices: [status, resources, volumes, caches, exports, ports, boot, differences, containers, services]
    default: [volumes, caches]
"""

EXAMPLES = r"""
- name: Which volumes and caches exist?
  rdctl.storage.rdctl_info:
  register: storage

- name: Show the free memory
  rdctl.storage.rdctl_info:
    gather: [resources]
  register: storage
"""

RETURN = r"""
version:
  description: The version of rdctl.
  returned: always
  type: str
  sample: 1.0.0
info:
  description: The items of each part, as documented in C(rdctl help output); of V(status), V(resources) and V(boot)
    a single one.
  returned: success
  type: dict
  sample: {volumes: [{device: rd0, size: 33554432, usage: 16384, locked: false}], caches: []}
code:
  description: The error word of rdctl, as documented in C(rdctl help exit-codes).
  returned: failure
  type: str
  sample: unreachable
hint:
  description: What to do next; null if rdctl has no hint.
  returned: failure
  type: str
rc:
  description: The exit code of rdctl; null if it was not run.
  returned: failure
  type: int
  sample: 6
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.rdctl.storage.plugins.module_utils.rdctl import BOTH, Rdctl

PARTS = {
    "status": ("rapiddisk", "status"),
    "resources": ("rapiddisk", "resources"),
    "volumes": ("rapiddisk", "list"),
    "caches": ("rapiddisk", "cache", "list"),
    "exports": ("rapiddisk", "nvmet", "list"),
    "ports": ("rapiddisk", "nvmet", "port", "list"),
    "boot": ("rapiddisk", "boot", "status"),
    "differences": ("rapiddisk", "diff"),
    "containers": ("oio", "container", "list"),
    "services": ("oio", "conscience", "list"),
}

SPEC = {
    **BOTH,
    "gather": {
        "type": "list",
        "elements": "str",
        "choices": list(PARTS),
        "default": ["volumes", "caches"],
    },
}


def main():
    module = AnsibleModule(SPEC, supports_check_mode=True)
    rdctl = Rdctl(module)
    info = {}
    for part in module.params["gather"]:
        document = rdctl.read(*PARTS[part])
        info[part] = document["item"] if "item" in document else document["items"]
    module.exit_json(changed=False, version=rdctl.version, info=info)


if __name__ == "__main__":
    main()
