# SPDX-License-Identifier: Apache-2.0
"""Tunnels whose packets have 1,280 to 8,920 bytes, in the same round: each trial has packets of its own size."""

import json
from pathlib import Path

import pytest

from tests.lab.support import orch, runs_in

pytestmark = pytest.mark.lab

SPEC = """\
experiment: jumbo
factors:
  variant: [vanilla, inline, ipsec-gcm]
  cores: [1]
  tunnels: [1]
  tunnel.mtu: [1280 B, 1420 B, 8920 B]
traffic: {warm_up: 1s, duration: 1s}
repetitions: 1
busy: mark
claims: none
"""


def test_packets_on_the_link_are_as_large_as_the_tunnel_allows(tmp_path: Path) -> None:
    spec = tmp_path / "jumbo.yaml"
    spec.write_text(SPEC)
    done = orch("run", spec, "--yes", "--no-report", "--results", tmp_path / "results")
    assert done.returncode == 0, done.stderr
    (run,) = runs_in(tmp_path / "results")
    mean_bytes = {}
    for file in run.glob("trials/*/*/attempt.json"):
        attempt = json.loads(file.read_text())
        if attempt["kind"] == "measure" and attempt["status"] == "ok":
            came = attempt["probes"]["interfaces"]["gateway-b"]["wan0"]
            levels = attempt["levels"]
            mean_bytes[levels["variant"], levels["tunnel.mtu"]] = came["rx_bytes"] / came["rx_packets"]
    assert len(mean_bytes) == 9
    for (variant, mtu), mean in mean_bytes.items():
        assert 0.95 * mtu < mean < mtu + 100, (variant, mtu)
