"""The attributes of the NVMe target of a simulated machine: their first values, and what Linux 6.1
accepts for them (drivers/nvme/target/configfs.c); those for authentication and TLS are of 6.12,
which checks of a key only how it begins (docs/wire/nvmet-auth.md)."""

from __future__ import annotations

import errno
import re
import uuid

from rdctl.sandbox.machine.objects import fail

PORT = {
    **dict.fromkeys(("addr_adrfam", "addr_traddr", "addr_trsvcid", "addr_trtype"), ""),
    "addr_treq": "not specified",
    "addr_tsas": "none",
    "param_inline_data_size": "-1",
    "param_pi_enable": "0",
}
SUBSYSTEM = {
    "attr_allow_any_host": "0",
    "attr_cntlid_max": "65519",
    "attr_cntlid_min": "1",
    "attr_model": "Linux",
    "attr_pi_enable": "0",
    "attr_qid_max": "128",
    "attr_version": "1.3",
}
NAMESPACE = {
    "ana_grpid": "1",
    "buffered_io": "0",
    "device_nguid": "00000000-0000-0000-0000-000000000000",
    "device_path": "(null)",
    "enable": "0",
}
HOST = {
    "dhchap_ctrl_key": "",
    "dhchap_dhgroup": "null",
    "dhchap_hash": "hmac(sha256)",
    "dhchap_key": "",
}
# Of a port of transport tcp: its security.
TSAS = "addr_tsas"
# Nobody can read it.
WRITE_ONLY = "revalidate_size"
# What a host that has seen the subsystem relies on.
_SEEN = ("attr_model", "attr_serial", "attr_version")
# Errors of attributes that cannot be changed while the namespace is enabled.
_ENABLED = {
    "buffered_io": errno.EINVAL,
    "device_nguid": errno.EBUSY,
    "device_path": errno.EBUSY,
    "device_uuid": errno.EBUSY,
}
_ACCEPTED = {
    "addr_adrfam": r"ipv4|ipv6|ib|fc|loop",
    "addr_traddr": r".*",
    "addr_treq": r"not specified|required|not required",
    "addr_trsvcid": r".*",
    "addr_tsas": r"none|tls1\.3",
    "addr_trtype": r"tcp|rdma|loop|fc",
    "ana_grpid": r"[1-9][0-9]*",
    "attr_allow_any_host": r"[01]",
    "attr_cntlid_max": r"[1-9][0-9]*",
    "attr_cntlid_min": r"[1-9][0-9]*",
    "attr_model": r"[ -~]{1,40}",
    "attr_pi_enable": r"[01]",
    "attr_qid_max": r"[1-9][0-9]*",
    "attr_serial": r"[ -~]{1,20}",
    "attr_version": r"[0-9]+\.[0-9]+(\.[0-9]+)?",
    "buffered_io": r"[01]",
    "dhchap_ctrl_key": r"DHHC-1:0?[0-3]:.+",
    "dhchap_dhgroup": r"null|ffdhe(2048|3072|4096|6144|8192)",
    "dhchap_hash": r"hmac\(sha(256|384|512)\)",
    "dhchap_key": r"DHHC-1:0?[0-3]:.+",
    "device_nguid": r"([0-9a-fA-F]{2}[-:]?){16}",
    "device_path": r".+",
    "device_uuid": r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "param_inline_data_size": r"-?[0-9]+",
    "param_pi_enable": r"[01]",
}


def accepted(name: str, text: str, *, enabled: bool, seen: bool, listening: bool) -> str:
    """The value as it is read from then on. `enabled`: the namespace is; `seen`: by a host;
    `listening`: the port is."""
    if listening:
        fail(errno.EACCES, name)
    if enabled and name in _ENABLED:
        fail(_ENABLED[name], name)
    if seen and name in _SEEN:
        fail(errno.EINVAL, name)
    if name not in _ACCEPTED:
        fail(errno.EACCES, name)
    if not re.fullmatch(_ACCEPTED[name], text):
        fail(errno.EFAULT if name == "device_path" else errno.EINVAL, name)
    if name == "attr_serial":
        return text.ljust(20)
    if name in ("device_nguid", "device_uuid"):
        return str(uuid.UUID(re.sub("[-:]", "", text)))
    return text
