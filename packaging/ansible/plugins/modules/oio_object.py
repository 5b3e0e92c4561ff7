#!/usr/bin/python
# Copyright The rdctl authors
# Apache-2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: oio_object
short_description: Manage an object of OpenIO SDS
version_added: 1.0.0
description:
  - Uploads a file or a text as one object, and deletes one object.
  - An object of the same size and MD5 is left as it is. Another one is only replaced with O(overwrite=true).
author:
  - The rdctl authors (@rdctl)
extends_documentation_fragment:
  - rdctl.storage.rdctl
  - rdctl.storage.rdctl.oio
options:
  container:
    description: Name of the container.
    type: str
    required: true
  path:
    description: Name of the object.
    type: str
    required: true
  src:
    description: File on the managed host to upload.
    type: path
  content:
    description: Text to upload.
    type: str
  overwrite:
    description: Replace an object that differs. Without versioning, its data are lost.
    type: bool
    default: false
  autocreate:
    description: Create the container if it does not exist.
    type: bool
    default: false
  properties:
    description: Properties to set. Values are strings, and not empty. Other properties of an object that is not replaced
      are kept.
    type: dict
  mime_type:
    description: MIME type of what is uploaded; rdctl guesses it from the name of the object.
    type: str
  policy:
    description: Storage policy of what is uploaded; the default is that of the container.
    type: str
  state:
    description: Whether the object exists. With versioning, V(absent) adds a delete marker, and keeps all versions.
    type: str
    choices: [present, absent]
    default: present
"""

EXAMPLES = r"""
- name: Upload a file
  rdctl.storage.oio_object:
    container: photos
    path: 2026/alps.jpg
    src: /srv/alps.jpg
    overwrite: true

- name: A small text
  rdctl.storage.oio_object:
    container: photos
    path: README
    content: "Ask the red team.\n"
    properties:
      team: red

- name: Delete it
  rdctl.storage.oio_object:
    container: photos
    path: README
    state: absent
"""

RETURN = r"""
object:
  description: The object as C(rdctl oio content show) shows it; null if it does not exist, and in check mode for a new one.
  returned: success
  type: dict
  sample: {container: photos, path: README, size: 18, hash: 0CC175B9C0F1B6A831C399E269772661, policy: THREECOPIES}
changes:
  description: What rdctl reports of each target, as documented in C(rdctl help output). In check mode
    V(changed) is null for what would be changed.
  returned: always
  type: list
  elements: dict
  sample: [{action: put, target: README, changed: true, verified: true, size: 18}]
losses:
  description: What was lost or, in check mode, would be. On failure, what the task would have to
    confirm.
  returned: always
  type: list
  elements: str
  sample: ['object "README" in container "photos" will be replaced']
code:
  description: The error word of rdctl, as documented in C(rdctl help exit-codes).
  returned: failure
  type: str
  sample: exists
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
from ansible.module_utils.common.text.converters import to_bytes
from ansible_collections.rdctl.storage.plugins.module_utils.rdctl import (
    OIO,
    Rdctl,
    flags,
    options,
)

SPEC = {
    **OIO,
    "container": {"type": "str", "required": True},
    "path": {"type": "str", "required": True},
    "src": {"type": "path"},
    "content": {"type": "str"},
    "overwrite": {"type": "bool", "default": False},
    "autocreate": {"type": "bool", "default": False},
    "properties": {"type": "dict"},
    "mime_type": {"type": "str"},
    "policy": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def lookup(rdctl, params):
    return rdctl.found("oio", "content", "show", "--", params["container"], params["path"])


def file_of(module):
    """The file to upload; a text is written to one, as rdctl compares files with objects."""
    if module.params["src"] is not None:
        return os.path.abspath(module.params["src"])
    file = os.path.join(module.tmpdir, "content")
    with open(file, "wb") as written:
        written.write(to_bytes(module.params["content"]))
    return file


def present(rdctl, params, there):
    words = [
        "oio",
        "content",
        "put",
        "--checksum",
        *options("path", [params["path"]]),
        *flags(params, "autocreate", "mime_type", "policy"),
    ]
    properties = rdctl.assignments(params["properties"])
    end = ["--", params["container"], file_of(rdctl.module)]
    if there is not None and not params["overwrite"]:
        refuse_difference(rdctl, params, [*words, *end])
    new = options("property", properties)
    if rdctl.change(*words, *new, *end, consent=params["overwrite"]):
        rdctl.show(params["path"], data(there), data(rdctl.changes[-1]))
    elif properties:
        named = ["--", params["container"], params["path"], *properties]
        rdctl.change("oio", "content", "set-properties", *named)


def data(found):
    """What identifies the contents of an object, as far as it is known."""
    if found is None:
        return None
    known = {key: found.get(key) for key in ("size", "hash")}
    if known["hash"] is None or known["hash"].startswith("<"):  # of a dry run
        del known["hash"]
    return known


def refuse_difference(rdctl, params, words):
    """Fail if the upload would replace the object."""
    plan = rdctl.read("--dry-run", *words)
    if any(result["changed"] is not False for result in plan["results"]):
        message = f'object "{params["path"]}" already exists, with other data'
        rdctl.fail({"message": message, "code": "exists", "hint": "Set overwrite to replace it."})


def absent(rdctl, params, there):
    if there is not None:
        words = ["oio", "content", "delete", "--", params["container"], params["path"]]
        rdctl.change(*words, consent=True)
        rdctl.show(params["path"], data(there), None)


def main():
    module = AnsibleModule(
        SPEC,
        supports_check_mode=True,
        mutually_exclusive=[("src", "content")],
        required_if=[("state", "present", ("src", "content"), True)],
    )
    params = module.params
    rdctl = Rdctl(module)
    found = lookup(rdctl, params)
    act = present if params["state"] == "present" else absent
    act(rdctl, params, found)
    if rdctl.changed and not module.check_mode:
        found = lookup(rdctl, params)
    rdctl.exit(object=found)


if __name__ == "__main__":
    main()
