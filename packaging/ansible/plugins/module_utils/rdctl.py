# Copyright The rdctl authors
# Apache-2.0 (see LICENSE or https://www.apache.org/licenses/LICENSE-2.0)
# SPDX-License-Identifier: Apache-2.0
"""What all modules share: they run rdctl, and read its JSON."""

from __future__ import annotations

import json
import re
import subprocess

from ansible.module_utils.common.text.converters import to_bytes

# The first release whose changes have `before` and `after`; another major version may differ.
OLDEST = (1, 0, 0)
_WARNING = "rdctl: warning: "
# Names, as rdctl takes them: a path is another way to write one.
_NAMES = {
    "volume": r"(?:/dev/)?(rd(?:0|[1-9][0-9]*))",
    "cache": r"(?:/dev/mapper/)?(rc-w[tab]_[A-Za-z0-9._+-]+)",
}
_SHAPES = {
    "volume": "rd and a number, such as rd3",
    "cache": "rc-wt_, rc-wa_ or rc-wb_ and a name, such as rc-wt_sdb",
}

_ANYWHERE = {
    "executable": {"type": "path", "default": "rdctl"},
    "context": {"type": "str"},
    "timeout": {"type": "float"},
}
RAPIDDISK = {**_ANYWHERE, "rapiddisk_url": {"type": "str"}}
OIO = {
    **_ANYWHERE,
    "oio_url": {"type": "str"},
    "namespace": {"type": "str"},
    "account": {"type": "str"},
}
BOTH = {**RAPIDDISK, **OIO}
GUARDS = {
    "force": {"type": "bool", "default": False},
    "unseen": {
        "type": "list",
        "elements": "str",
        "choices": ["exports", "caches", "locks", "opens"],
        "default": [],
    },
}


def options(name, values):
    """An option for each value. Written as one word, a value may begin with a dash."""
    return [f"--{name}={value}" for value in values or ()]


def flags(params, *names):
    """The options of rdctl for these parameters: `discard_contents` is `--discard-contents`."""
    found = []
    for name in names:
        value, option = params[name], "--" + name.replace("_", "-")
        if value is True:
            found.append(option)
        elif value is not None and value is not False:
            found.append(f"{option}={value}")
    return found


def guards(params):
    """The options that override guards."""
    return [*flags(params, "force"), *options("unseen", params["unseen"])]


def _text(value):
    return json.dumps(value) if isinstance(value, bool) else str(value)


class Rdctl:
    """Runs rdctl for one task, and gathers what the task changed.

    Each change is rehearsed with --dry-run: that is all of check mode, and shows whether anything
    is to be done and what would be lost. It gets --yes only if the task gives its consent.
    """

    def __init__(self, module):
        self.module = module
        params = module.params
        self._command = [self._executable(params["executable"])]
        for name in ("context", "rapiddisk_url", "oio_url", "namespace", "account", "timeout"):
            self._command += flags(params, name) if name in params else []
        self.changed = False
        self.changes = []  # not "results", which is what Ansible has of the items of a loop
        self._losses = []
        self._warned = set()
        self._before, self._after = {}, {}
        self.version = self._version()

    def _executable(self, name):
        found = self.module.get_bin_path(name)
        if found is None:
            self.module.fail_json(
                msg=f"{name} not found on this host",
                hint="Install rdctl there, or set executable to its path.",
                code="not-found",
                losses=[],
                rc=None,
                changed=False,
            )
        return found

    def _version(self):
        """The version of rdctl, which must suffice."""
        done = self._start([self._command[0], "--version"], None)
        text = done.stdout.decode("utf-8", "replace").strip()
        found = re.search(r"(\d+)\.(\d+)\.(\d+)\S*$", text)
        version = tuple(map(int, found.groups())) if found else None
        if version is None or version < OLDEST or version[0] != OLDEST[0]:
            oldest = ".".join(map(str, OLDEST))
            shown = found.group() if found else f"unknown ({text[:80]})"
            self.module.fail_json(
                msg=f"rdctl {oldest} or later, below {OLDEST[0] + 1}.0, is required;"
                f" the version of {self._command[0]} is {shown}",
                hint="Install another version of rdctl or of the collection rdctl.storage.",
                code="unsupported",
                losses=[],
                rc=done.returncode,
                changed=False,
            )
        return found.group()

    # --- options ------------------------------------------------------------------------------

    def name(self, text, *kinds):
        """The name of a volume or a cache, without its directory. Any other text fails the task: a
        thing of such a name would be reported as absent, whatever exists."""
        found = next(filter(None, (re.fullmatch(_NAMES[kind], text) for kind in kinds)), None)
        if found is None:
            shapes = " or ".join(_SHAPES[kind] for kind in kinds)
            self.invalid(f'{" or ".join(kinds)} name "{text}"', f"must be {shapes}")
        return found[1]

    def invalid(self, what, why):
        """Fail, since an option of the task has a value that it cannot have."""
        self.fail({"message": f"invalid {what}: {why}", "code": "usage"})

    def assignments(self, properties):
        """KEY=VALUE of each property; Ansible reads yes and 5 as a boolean and a number."""
        for key, value in (properties or {}).items():
            if not key or "=" in key:
                self.invalid(f'property "{key}"', "the name is empty or contains =")
            if not isinstance(value, (str, int, float)):
                self.invalid(f'property "{key}"', "the value must be a string")
        return [f"{key}={_text(value)}" for key, value in sorted((properties or {}).items())]

    # --- running ------------------------------------------------------------------------------

    def _start(self, command, stdin):
        """Run a command. It never reads from a terminal."""
        given = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": to_bytes(stdin)}
        try:
            return subprocess.run(command, capture_output=True, check=False, **given)
        except (OSError, ValueError) as error:
            self.module.fail_json(
                msg=f"{command[0]} cannot be run: {error}",
                code="failed",
                losses=[],
                rc=None,
                changed=False,
            )

    def _run(self, words, stdin=None):
        """The exit code and the document of a command."""
        if "-" in words and stdin is None:
            # rdctl would read names from standard input.
            self.fail({"message": 'invalid name "-"', "code": "usage"})
        done = self._start([*self._command, "--json", *words], stdin)
        errors = done.stderr.decode("utf-8", "replace")
        for line in errors.splitlines():
            if line.startswith(_WARNING) and line not in self._warned:
                self._warned.add(line)
                self.module.warn(line[len(_WARNING) :])
        try:
            return done.returncode, json.loads(done.stdout.decode("utf-8", "surrogateescape"))
        except ValueError:
            self.fail({"message": f"rdctl did not print JSON: {errors.strip()}"}, done.returncode)

    def fail(self, error, rc=None, **facts):
        """Fail with an error of rdctl, as its JSON has it, and with what was done before it."""
        self.module.fail_json(
            msg=error["message"],
            code=error.get("code", "failed"),
            hint=self._in_own_words(error.get("hint")),
            target=error.get("target"),
            losses=error.get("losses", []),
            rc=rc,
            changed=self.changed or error.get("code") == "unknown",
            changes=self.changes,
            **facts,
        )

    def _in_own_words(self, hint):
        """A hint with the options of the module for those of rdctl; a command stays a command."""

        def renamed(found):
            name = found[1].replace("-", "_")
            return name if name in self.module.params else found[0]

        return hint and "\n".join(
            line if "rdctl " in line else re.sub(r"--([a-z][a-z-]*)", renamed, line)
            for line in hint.split("\n")
        )

    def refuse(self, losses):
        """Fail, since the task does not consent to these losses."""
        error = {"message": f"confirmation required: {'; '.join(losses)}", "losses": losses}
        hint = "If this is intended, set confirm_loss to true."
        self.fail({**error, "code": "consent-missing", "hint": hint})

    def _check(self, rc, document):
        """Fail if the document has an error."""
        errors = document.get("errors") or []
        error = document.get("error") or (errors[0] if errors else None)
        if error is None and rc:
            error = {"message": f"rdctl failed with exit code {rc}"}
        if error is not None:
            self.fail(error, rc, errors=errors or [error])

    # --- reading ------------------------------------------------------------------------------

    def read(self, *words, stdin=None):
        """The document of a command that only reads."""
        rc, document = self._run(words, stdin)
        self._check(rc, document)
        return document

    def listed(self, *words):
        return self.read(*words)["items"]

    def found(self, *words):
        """The item that a command shows of the name that is its last word, or None if it does not
        exist. Another thing that does not exist, such as the context, is an error."""
        rc, document = self._run(words)
        for error in document.get("errors", ()):
            if error["code"] == "not-found" and error["target"] == words[-1]:
                return None
        self._check(rc, document)
        return document["items"][0]

    # --- changing -----------------------------------------------------------------------------

    def change(self, *words, consent=False, predicted=None, losses=(), stdin=None):
        """Make a change, unless nothing is to be done; whether it changes anything.

        `consent`: the task says clearly what will be lost. `predicted` are the results, and
        `losses` the losses, if check mode cannot rehearse them, as the change depends on an
        earlier one of the task.
        """
        if self.module.check_mode and self.changed and predicted is not None:
            self._losses += losses
            self._take(predicted)
            return True
        rc, plan = self._run(["--dry-run", *words], stdin)
        self._check(rc, plan)
        if all(result["changed"] is False for result in plan["results"]):
            return False
        losses = plan["losses"]
        if losses and not consent:
            self.refuse(losses)
        self._losses += losses
        if not self.module.check_mode:
            rc, plan = self._run([*(["--yes"] if losses else []), *words], stdin)
        self._take(plan.get("results", ()))
        self._check(rc, plan)
        return True

    def _take(self, results):
        """Note what was changed, or in check mode would be."""
        for result in results:
            self.changes.append(result)
            if result["changed"] is False:
                continue
            self.changed = True
            target = result["target"] or "?"
            self._before[target] = _joined(
                result.get("before"), self._before.get(target, result.get("before"))
            )
            self._after[target] = _joined(self._after.get(target), result.get("after"))

    def show(self, target, before, after):
        """Show this difference, which rdctl does not know; None: it does not exist."""
        self._before[target], self._after[target] = before, after

    def exit(self, **facts):
        """End the task."""
        result = {"changed": self.changed, "changes": self.changes, "losses": self._losses}
        if self.module._diff:
            result["diff"] = {"before": _existing(self._before), "after": _existing(self._after)}
        self.module.exit_json(**result, **facts)


def _joined(one, other):
    """Two views of the same thing; the second holds."""
    return {**one, **other} if isinstance(one, dict) and isinstance(other, dict) else other


def _existing(things):
    return {name: data for name, data in things.items() if data is not None}
