#!/usr/bin/python
# Copyright The rdctl authors
# Apache-2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: oio_container
short_description: Manage a container of OpenIO SDS
version_added: 1.0.0
description:
  - Creates and destroys one container, and sets its properties and limits.
  - Properties that the task does not name are kept, unless O(replace_all=true).
author:
  - The rdctl authors (@rdctl)
extends_documentation_fragment:
  - rdctl.storage.rdctl
  - rdctl.storage.rdctl.oio
options:
  name:
    description: Name of the container.
    type: str
    required: true
  properties:
    description: Properties to set. Values are strings, and not empty.
    type: dict
  replace_all:
    description: Remove all other properties.
    type: bool
    default: false
  quota:
    description: Maximum size of all objects, such as V(10G); V(0) means no limit.
    type: str
  policy:
    description: Storage policy of new objects.
    type: str
  max_versions:
    description: Number of versions to keep of each object; V(1) means no versioning, V(-1) all. Changing it on an existing
      container requires O(confirm_loss), since older versions can be deleted.
    type: int
  flush:
    description: With O(state=absent), delete all objects of the container first.
    type: bool
    default: false
  force:
    description: With O(state=absent), destroy a container that is not empty; the chunks of its objects are orphaned.
    type: bool
    default: false
  state:
    description: Whether the container exists. One with objects is not destroyed without O(flush) or O(force).
    type: str
    choices: [present, absent]
    default: present
  confirm_loss:
    description: Consent to a change of O(max_versions).
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: A container with a quota
  rdctl.storage.oio_container:
    name: photos
    quota: 10G
    properties:
      team: red

- name: Destroy it with its objects
  rdctl.storage.oio_container:
    name: photos
    state: absent
    flush: true
"""

RETURN = r"""
container:
  description: The container as C(rdctl oio container show) shows it; null if it does not exist, and in check mode for a new one.
  returned: success
  type: dict
  sample: {container: photos, account: me, objects: 0, bytes: 0, quota: 10737418240, properties: {team: red}}
changes:
  description: What rdctl reports of each target, as documented in C(rdctl help output). In check mode
    V(changed) is null for what would be changed.
  returned: always
  type: list
  elements: dict
  sample: [{action: create, target: photos, changed: true, verified: true}]
losses:
  description: What was lost or, in check mode, would be. On failure, what the task would have to
    confirm.
  returned: always
  type: list
  elements: str
  sample: ['container "photos" and its 5 objects will be deleted']
code:
  description: The error word of rdctl, as documented in C(rdctl help exit-codes).
  returned: failure
  type: str
  sample: not-empty
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
    OIO,
    Rdctl,
    flags,
    options,
)

SPEC = {
    **OIO,
    "name": {"type": "str", "required": True},
    "properties": {"type": "dict"},
    "replace_all": {"type": "bool", "default": False},
    "quota": {"type": "str"},
    "policy": {"type": "str"},
    "max_versions": {"type": "int"},
    "flush": {"type": "bool", "default": False},
    "force": {"type": "bool", "default": False},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "confirm_loss": {"type": "bool", "default": False},
}
_LIMITS = ("quota", "policy", "max_versions")


def lookup(rdctl, name):
    return rdctl.found("oio", "container", "show", "--", name)


def present(rdctl, params, there):
    name, limits = params["name"], flags(params, *_LIMITS)
    properties = rdctl.assignments(params["properties"])
    if there is None:
        words = ["oio", "container", "create", *options("property", properties), *limits]
        if rdctl.change(*words, "--", name):
            given = {key: params[key] for key in _LIMITS if params[key] is not None}
            given["properties"] = dict(one.split("=", 1) for one in properties)
            rdctl.show(name, None, given)
    elif params["replace_all"] and not properties and not limits:
        remove_properties(rdctl, name, there["properties"])
    elif properties or limits:
        rdctl.change(
            "oio",
            "container",
            "set-properties",
            *limits,
            *flags(params, "replace_all"),
            "--",
            name,
            *properties,
            consent=params["max_versions"] is None or params["confirm_loss"],
        )


def remove_properties(rdctl, name, properties):
    """Remove all of them; rdctl replaces them only by others."""
    if properties:
        words = ["oio", "container", "del-properties", "--", name, *sorted(properties)]
        rdctl.change(*words, consent=True)


def absent(rdctl, params, there):
    if there is not None:
        words = ["oio", "container", "destroy", *flags(params, "flush", "force")]
        rdctl.change(*words, "--", params["name"], consent=True)
        before = {key: there[key] for key in ("objects", "bytes", "properties")}
        rdctl.show(params["name"], before, None)


def main():
    module = AnsibleModule(SPEC, supports_check_mode=True, mutually_exclusive=[("flush", "force")])
    params = module.params
    rdctl = Rdctl(module)
    container = lookup(rdctl, params["name"])
    act = present if params["state"] == "present" else absent
    act(rdctl, params, container)
    if rdctl.changed and not module.check_mode:
        container = lookup(rdctl, params["name"])
    rdctl.exit(container=container)


if __name__ == "__main__":
    main()
