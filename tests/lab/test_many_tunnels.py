# SPDX-License-Identifier: Apache-2.0
"""Hundreds of busy tunnels in real time, whose interrupts between CPUs once overflowed the lab machine's stack."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.testbed import usable_cores
from tests.lab.support import orch, runs_in

pytestmark = pytest.mark.lab

SPEC = """\
experiment: many-tunnels
topology: gateway-to-gateway
factors:
  variant: [threaded]
  cores: [2]
  tunnels: [256]
traffic: {warm_up: 1s, duration: 2s}
repetitions: 4
retries: 0
busy: mark
claims: none
"""


# The programs and the packets that wait in 256 tunnels fill the default of 1 GiB, and the kernel then ends the agent.
TESTBED = """\
testbed: own
provider: uml
hosts:
  - {name: lab1, roles: [client, gateway-a, gateway-b, server], memory: MEMORY}
"""


def attempts_with(folder: Path, memory: str) -> list[dict[str, Any]]:
    """Measure in a machine with this much memory, and return the attempts."""
    spec, testbed = folder / "spec.yaml", folder / "testbed.yaml"
    spec.write_text(SPEC)
    testbed.write_text(TESTBED.replace("MEMORY", memory))
    done = orch("run", spec, "--testbed", testbed, "--yes", "--no-report", "--results", folder / "results")
    (run,) = runs_in(folder / "results")
    attempts = [json.loads(file.read_text()) for file in run.glob("trials/*/*/attempt.json")]
    assert len(attempts) >= 5, done.stderr
    return attempts


@pytest.mark.skipif(usable_cores() < 2, reason="interrupts between CPUs need two of them")
def test_the_lab_machine_survives_256_busy_tunnels(tmp_path: Path) -> None:
    # Before it was mended, each machine ended within five trials on a processor with AVX-512.
    reasons = [reason for attempt in attempts_with(tmp_path, "2 GiB") for reason in attempt["reasons"]]
    assert [reason for reason in reasons if "lost" in reason] == []


@pytest.mark.full
@pytest.mark.skipif(usable_cores() < 2, reason="one CPU may not fill the memory")
def test_a_machine_whose_memory_does_not_suffice_is_told_so(tmp_path: Path) -> None:
    reasons = [reason for attempt in attempts_with(tmp_path, "640 MiB") for reason in attempt["reasons"]]
    lost = [reason for reason in reasons if "lost" in reason]
    assert lost
    assert all("give it more `memory` in the testbed file" in reason for reason in lost), lost
