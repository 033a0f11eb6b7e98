# SPDX-License-Identifier: Apache-2.0
"""In virtual time each role has CPUs of its own: a gateway works on its own CPUs, and nothing else does."""

import json
from pathlib import Path

import pytest

from orchestrator import store
from orchestrator.analysis.dataset import load
from orchestrator.analysis.polls import OTHERS, polls
from orchestrator.spec import GATEWAYS, ROLES
from tests.lab.support import all_ok_once, orch, runs_in

pytestmark = pytest.mark.lab

SPEC = """\
experiment: own-cpus
factors: {variant: [vanilla, threaded, inline, pinned], cores: [2], tunnels: [2]}
traffic: {warm_up: 0s, duration: 2s}
repetitions: 1
retries: 3
trace: polls
limits: {report_only: [retransmits, variation, headroom, duration, window, counters, drops, clock_skew]}
"""
TESTBED = """\
testbed: own
provider: uml
clock: virtual
cores: 2
links: LINKS
hosts:
  - {name: lab1, roles: [client, gateway-a, gateway-b, server], memory: 2 GiB}
"""


@pytest.mark.full
@pytest.mark.parametrize("links", ["steered", "rss"])
def test_a_gateway_works_on_its_own_cpus(tmp_path: Path, links: str) -> None:
    spec, testbed = tmp_path / "spec.yaml", tmp_path / "testbed.yaml"
    spec.write_text(SPEC)
    testbed.write_text(TESTBED.replace("LINKS", links))
    done = orch("run", spec, "--testbed", testbed, "--yes", "--no-report", "--results", tmp_path / "results")
    assert done.returncode == 0, done.stderr
    (run,) = runs_in(tmp_path / "results")
    all_ok_once(run)
    described = store.read_run(run)["testbed"]
    assert (described["role_cpus"], described["links"]) == ("own", links)
    prepared = next(line for line in (run / "journal.jsonl").read_text().splitlines() if '"prepared"' in line)
    facts = json.loads(prepared)["hosts"]["lab1"]
    assert facts["cpus_online"] == 8
    assert facts["control"]["cpus"] == 2
    for attempt in store.read_attempts(run):
        if attempt["status"] != "ok":
            continue
        rows = attempt["probes"]["per_cpu"]
        assert [row["role"] for row in rows] == [role for role in ROLES for _ in range(2)]
        for role in GATEWAYS:  # iperf3, the agent and all other programs are elsewhere
            assert sum(row["user_s"] for row in rows if row["role"] == role) < 0.1, attempt["levels"]
            busy = [row["system_s"] + row["softirq_s"] + row["irq_s"] for row in rows if row["role"] == role]
            assert max(busy) > 0.2, attempt["levels"]
            if links == "steered" and attempt["kind"] == "measure":  # a tunnel for each CPU
                assert min(busy) > 0.1, attempt["levels"]
    traced = polls(load(run))
    assert set(traced["role"]) == set(GATEWAYS)
    assert OTHERS not in set(traced["cpu"])
