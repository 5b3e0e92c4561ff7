#!/usr/bin/python
# Copyright The rdctl authors
# Apache-2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: rapiddisk_state
short_description: Make a machine as a RapidDisk state file says
version_added: 1.0.0
description:
  - Compares the machine with a state file and changes what differs, as one transaction (C(rdctl rapiddisk apply)).
  - Volumes never shrink, and nothing is erased or formatted. What apply did not create is left alone.
  - Local only, as rdctl itself.
author:
  - The rdctl authors (@rdctl)
extends_documentation_fragment:
  - rdctl.storage.rdctl
  - rdctl.storage.rdctl.rapiddisk
options:
  src:
    description: State file, or directory of state files, on the managed host.
    type: path
  content:
    description: The text of the state file. For a file of the controller, use the lookup V(ansible.builtin.file).
    type: str
  prune:
    description: Also remove what an earlier apply created since the machine started, and the file lacks.
    type: bool
    default: false
  recreate:
    description: Re-create exports whose identity differs, which disconnects their hosts.
    type: bool
    default: false
  overcommit:
    description: Skip the check that memory is sufficient.
    type: bool
    default: false
  save:
    description: Also make the file the state file of the machine, which is applied at boot.
    type: bool
    default: false
  wait:
    description: Seconds to wait for missing disks and addresses.
    type: float
  only:
    description: Only volumes and caches, only images, or only ports and exports.
    type: str
    choices: [caches, images, exports]
  confirm_loss:
    description: Consent to what rdctl would ask, such as the data of volumes that O(prune) removes, and the access of clients.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: The machine as the template says
  rdctl.storage.rapiddisk_state:
    content: "{{ lookup('ansible.builtin.template', 'rapiddisk.toml.j2') }}"
    save: true

- name: As a file of the host says, without what it lacks
  rdctl.storage.rapiddisk_state:
    src: /etc/rdctl/rapiddisk.toml
    prune: true
    confirm_loss: true
"""

RETURN = r"""
differences:
  description: What differed before, as C(rdctl rapiddisk diff) shows it.
  returned: success
  type: list
  elements: dict
  sample: [{kind: volume, name: rd1, state: missing, key: null, file: null, machine: null, note: null}]
changes:
  description: What rdctl reports of each target, as documented in C(rdctl help output). In check mode
    V(changed) is null for what would be changed.
  returned: always
  type: list
  elements: dict
  sample: [{action: create, target: rd1, changed: true, verified: true, size: 67108864}]
losses:
  description: What was lost or, in check mode, would be. On failure, what the task would have to
    confirm.
  returned: always
  type: list
  elements: str
  sample: ['volume rd4 (64.0 MiB, empty) will be removed']
code:
  description: The error word of rdctl, as documented in C(rdctl help exit-codes).
  returned: failure
  type: str
  sample: conflict
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
    options,
)

SPEC = {
    **RAPIDDISK,
    "src": {"type": "path"},
    "content": {"type": "str"},
    "prune": {"type": "bool", "default": False},
    "recreate": {"type": "bool", "default": False},
    "overcommit": {"type": "bool", "default": False},
    "save": {"type": "bool", "default": False},
    "wait": {"type": "float"},
    "only": {"type": "str", "choices": ["caches", "images", "exports"]},
    "confirm_loss": {"type": "bool", "default": False},
}


def main():
    module = AnsibleModule(
        SPEC,
        supports_check_mode=True,
        required_one_of=[("src", "content")],
        mutually_exclusive=[("src", "content")],
    )
    params = module.params
    rdctl = Rdctl(module)
    content = params["content"]
    file = "-" if content is not None else params["src"]
    only = flags(params, "only")
    differences = rdctl.read("rapiddisk", "diff", *only, "--", file, stdin=content)["items"]
    rdctl.change(
        "rapiddisk",
        "apply",
        *only,
        *flags(params, "prune", "recreate", "overcommit", "save"),
        *options("wait", [params["wait"]] if params["wait"] else []),
        "--",
        file,
        consent=params["confirm_loss"],
        stdin=content,
    )
    rdctl.exit(differences=differences)


if __name__ == "__main__":
    main()
