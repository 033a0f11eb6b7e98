# SPDX-License-Identifier: Apache-2.0
"""A host whose CPUs cannot go offline: the block's CPUs carry the trial, and the others stay free of it."""

import json
from pathlib import Path

import pytest

from orchestrator import store
from tests.lab.kernel.machine import two_cores
from tests.lab.standing import standing_hosts
from tests.lab.support import all_ok_once, orch, runs_in

pytestmark = pytest.mark.lab

SPEC = """\
experiment: free
factors: {variant: [vanilla, patched-off, inline-threaded], cores: [1], tunnels: [2]}
traffic: {warm_up: 0s, duration: 2s}
repetitions: 1
retries: 3
limits: {report_only: [competing_load, steal, retransmits, variation, headroom, duration, window, counters]}
"""
TESTBED = """\
testbed: single
provider: ssh
inventory: INVENTORY
hosts:
  - {name: lab1, roles: [client, gateway-a, gateway-b, server], other_cpus: free, cpus: '1,0'}
"""


@pytest.mark.skipif(two_cores() < 2, reason="this computer has one core")
def test_what_belongs_to_a_trial_keeps_to_the_cpus_of_its_block(tmp_path: Path) -> None:
    with standing_hosts(tmp_path, "lab", TESTBED, SPEC, cores=2) as hosts:
        assert orch("testbed", "enroll", hosts.file, "--yes").returncode == 0
        before = hosts.snapshot()
        done = orch(*hosts.arguments(tmp_path / "results"))
        assert done.returncode == 0, done.stderr
        assert "variant vanilla (1 cell): on lab1 other_cpus is free" in done.stderr
        assert hosts.snapshot() ^ before == set()
    (run,) = runs_in(tmp_path / "results")
    all_ok_once(run)
    prepared = next(line for line in (run / "journal.jsonl").read_text().splitlines() if '"prepared"' in line)
    facts = json.loads(prepared)["hosts"]["lab1"]
    assert (facts["cpus_used"], facts["other_cpus"], facts["cpus_usable"], facts["cpus_online"]) == ([1], "free", 1, 2)
    for attempt in store.read_attempts(run):
        if attempt["status"] == "ok":
            busy = {row["cpu"]: row["user_s"] + row["system_s"] + row["softirq_s"] for row in _rows(attempt)}
            assert busy[1] > 1.0, attempt["levels"]
            assert busy[0] < 0.2 * busy[1], attempt["levels"]


def _rows(attempt: dict[str, object]) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = attempt["probes"]["per_cpu"]  # type: ignore[index]
    return rows
