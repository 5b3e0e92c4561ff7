"""What system properties mean, for the question before they are set."""

from __future__ import annotations

import pytest

from rdctl.oio.properties import will_be

QUOTA, VERSIONS, POLICY = "sys.m2.quota", "sys.m2.policy.version", "sys.m2.policy.storage"


@pytest.mark.parametrize(
    ("key", "value", "now", "words"),
    [
        (QUOTA, "1048576", "", "the quota will be 1.0 MiB; uploads to a full container fail"),
        (QUOTA, "100", "10240", "the quota will be 100 B (now 10.0 KiB); uploads to a full"),
        (QUOTA, "100", "0", "the quota will be 100 B; uploads to a full container fail"),
        (QUOTA, "100", "ten", "the quota will be 100 B; uploads to a full container fail"),
        (QUOTA, "0", "10240", "the quota will be removed (now 10.0 KiB)"),
        (QUOTA, "", "10240", "sys.m2.quota will be unset (now 10240)"),
        (VERSIONS, "3", "5", "3 versions of each object will be kept (now 5); older ones can be"),
        (VERSIONS, "3", "-1", "3 versions of each object will be kept (now -1); older ones can"),
        (VERSIONS, "3", "", "3 versions of each object will be kept; older ones can be deleted"),
        (VERSIONS, "1", "3", "only the latest version of each object will be kept (now 3); older"),
        (VERSIONS, "5", "3", "5 versions of each object will be kept (now 3)"),
        (VERSIONS, "-1", "3", "all versions of each object will be kept (now 3)"),
        (VERSIONS, "3", "ten", "sys.m2.policy.version will be set to 3 (now ten)"),
        (POLICY, "SINGLE", "", "new objects will have storage policy SINGLE"),
        (POLICY, "SINGLE", "EC42", "new objects will have storage policy SINGLE (now EC42)"),
        ("sys.m2.usage", "5", "7", "sys.m2.usage will be set to 5 (now 7)"),
    ],
)
def test_what_a_system_property_means(key: str, value: str, now: str, words: str) -> None:
    said = will_be(key, value, now)
    assert said.startswith(words)
    assert ("older ones" in said) == ("older" in words)
