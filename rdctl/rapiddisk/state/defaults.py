"""The defaults of the attributes of the NVMe target: those of any Linux
(drivers/nvme/target/configfs.c and core.c), since a value that one kernel has by itself is not a
setting of another."""

from __future__ import annotations

from collections.abc import Collection

# What rdctl writes to each new subsystem.
MODEL = "RapidDisk"
DEFAULTS: dict[str, Collection[str]] = {
    "attr_cntlid_min": ("1",),
    "attr_cntlid_max": ("65519",),
    "attr_ieee_oui": ("0x000000",),
    "attr_model": (MODEL,),
    "attr_pi_enable": ("0",),
    "attr_qid_max": ("128",),
    "attr_subsys_vendor_id": ("0x0",),
    "attr_vendor_id": ("0x0",),
    "attr_version": ("1.2.1", "1.3", "2.1"),
    "ana_grpid": ("1",),
    "buffered_io": ("0",),
    "p2pmem": ("0",),
    "resv_enable": ("0",),
    "addr_treq": ("not specified",),
    "param_mdts": ("-1", "0"),
    "param_pi_enable": ("0",),
}
# Those of a port depend on its transport, which chooses them when the port begins to listen: sizes
# in pages of 4 and 64 KiB.
OF_TRANSPORT: dict[str, dict[str, Collection[str]]] = {
    "tcp": {
        "addr_tsas": ("none",),
        "param_inline_data_size": ("-1", "16384", "262144"),
        "param_max_queue_size": ("-1", "1024"),
    },
    "rdma": {
        "addr_tsas": ("connected",),
        "param_inline_data_size": ("-1", "4096", "65536"),
        "param_max_queue_size": ("-1", "128"),
    },
}
OF_OTHERS: dict[str, Collection[str]] = {
    "addr_tsas": ("none",),
    "param_inline_data_size": ("-1", "0"),
    "param_max_queue_size": ("-1", "1024"),
}
