"""The text of the files that `boot enable` writes.

At shutdown systemd stops units in the reverse of the order in which they start. Local mounts start
after local-fs-pre.target, so a unit before that target is stopped after they are unmounted.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence

CACHES, IMAGES = "rdctl-caches.service", "rdctl-images.service"
EXPORTS = "rdctl-exports.service"
PROGRAM = ("/usr/bin/rdctl",)
# More than the 30 seconds that apply waits, and the time of the work itself.
_START_SECONDS = 120
# For images of unknown size; the drop-in has what those of the state file need.
_IMAGE_SECONDS = 30 * 60
_MARK = "# Made by: rdctl rapiddisk boot enable"
_FIRST_LINE = re.compile(rf"{_MARK} \((\w+)\)\n")


def signed(text: str) -> str:
    """The text below a first line that shows whether it was edited since."""
    return f"{_MARK} ({_digest(text)})\n{text}"


def is_ours(text: str) -> bool:
    """Whether rdctl wrote the file, whatever was edited since."""
    return text.startswith(_MARK)


def is_untouched(text: str) -> bool:
    """Whether it is as rdctl wrote it."""
    found = _FIRST_LINE.match(text)
    return found is not None and found[1] == _digest(text[found.end() :])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def units(program: Sequence[str] = PROGRAM) -> dict[str, str]:
    """The units by their names; `program` runs rdctl."""
    if re.search(r"[\"'\\]", program[0]):
        program = ("/usr/bin/env", *program)  # systemd refuses these in the path of a program
    rdctl = " ".join([_word(program[0]), *(_word(word).replace("$", "$$") for word in program[1:])])
    return {
        CACHES: signed(_CACHES.format(rdctl=rdctl, seconds=_START_SECONDS)),
        IMAGES: signed(_IMAGES.format(rdctl=rdctl, seconds=_IMAGE_SECONDS)),
        EXPORTS: signed(_EXPORTS.format(rdctl=rdctl, seconds=_START_SECONDS)),
    }


def _word(word: str) -> str:
    """A word of a command line as systemd reads it."""
    word = word.replace("%", "%%")
    if re.fullmatch(r"[\w/.,:@=+%$-]+", word, re.ASCII):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# A failed start leaves the unit failed, so that it is seen, and mounts that require it wait for
# nothing. Exit code 8: something was missing, the rest is there. Isolating another target must not
# stop what is mounted. A fault in root's own configuration, or a time limit there, is of no matter.
_CACHES = """\
[Unit]
Description=RapidDisk volumes and caches
Documentation=man:rdctl-rapiddisk(1)
DefaultDependencies=no
IgnoreOnIsolate=yes
Wants=local-fs-pre.target
After=systemd-modules-load.service systemd-udevd.service
Before=local-fs-pre.target
Conflicts=shutdown.target
Before=shutdown.target

[Service]
Type=oneshot
Environment=RDCTL_CONFIG=/dev/null
RemainAfterExit=yes
ExecStart={rdctl} --local rapiddisk apply --boot --only caches
ExecStop={rdctl} --local rapiddisk boot stop --only caches
SuccessExitStatus=8
TimeoutStartSec={seconds}
TimeoutStopSec=infinity
StandardOutput=journal

[Install]
WantedBy=local-fs.target
"""
# Contents are there before they are mounted, and are saved after they are unmounted, by mounts that
# name this unit. It is not after local-fs.target, which waits for those mounts. The file systems
# that have the images are in the drop-in.
_IMAGES = """\
[Unit]
Description=RapidDisk contents of volumes
Documentation=man:rdctl-rapiddisk(1)
DefaultDependencies=no
IgnoreOnIsolate=yes
Wants=rdctl-caches.service
After=rdctl-caches.service local-fs-pre.target
Conflicts=shutdown.target
Before=shutdown.target

[Service]
Type=oneshot
Environment=RDCTL_CONFIG=/dev/null
RemainAfterExit=yes
ExecStart={rdctl} --local rapiddisk apply --boot --only images
ExecStop={rdctl} --local rapiddisk boot stop --only images
SuccessExitStatus=8
TimeoutStartSec={seconds}
TimeoutStopSec={seconds}
StandardOutput=journal

[Install]
WantedBy=local-fs.target
"""
_EXPORTS = """\
[Unit]
Description=RapidDisk exports over NVMe-oF
Documentation=man:rdctl-rapiddisk(1)
Wants=network-online.target
After=network-online.target local-fs.target rdctl-caches.service rdctl-images.service

[Service]
Type=oneshot
Environment=RDCTL_CONFIG=/dev/null
RemainAfterExit=yes
ExecStart={rdctl} --local rapiddisk apply --boot --only exports
ExecStop={rdctl} --local rapiddisk boot stop --only exports
SuccessExitStatus=8
TimeoutStartSec={seconds}
StandardOutput=journal

[Install]
WantedBy=multi-user.target
"""


def stop_limit(seconds: int) -> str:
    """A drop-in for a target of shutdown, which is forced after that time."""
    return signed(f"[Unit]\nJobTimeoutSec={seconds}\n")


def of_images(paths: Iterable[str], seconds: int) -> str:
    """A drop-in for the unit of images: the file systems that have them, and the time that it may
    take."""
    places = "".join(f"RequiresMountsFor={_word(path)}\n" for path in paths)
    limits = f"TimeoutStartSec={seconds}\nTimeoutStopSec={seconds}\n"
    return signed(f"[Unit]\n{places}\n[Service]\n{limits}")


def limit_of(text: str) -> int:
    """The seconds after which systemd forces a target; 0 if it does not."""
    found = re.search(r"^JobTimeoutSec=(.+)$", text, re.M)
    return seconds_of(found[1]) if found else 0


_SPAN = re.compile(r"([0-9]+) *([a-z]*)")
_SECONDS = {"": 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hr": 3600, "d": 86400}
_SECONDS |= {"w": 604800, "month": 2629800, "y": 31557600}


def seconds_of(span: str) -> int:
    """A time as systemd writes it, such as `1h 30min`, in whole seconds; 0 for infinity."""
    return sum(int(number) * _SECONDS.get(unit, 0) for number, unit in _SPAN.findall(span))


def modules_load(names: Iterable[str]) -> str:
    return signed("".join(f"{name}\n" for name in names))


def module_options(parameters: Mapping[str, int]) -> str:
    words = " ".join(f"{name}={value}" for name, value in parameters.items())
    return signed(f"options rapiddisk {words}\n")
