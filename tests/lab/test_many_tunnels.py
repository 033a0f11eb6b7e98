# SPDX-License-Identifier: Apache-2.0
"""Hundreds of busy tunnels in real time, whose interrupts between CPUs once overflowed the lab machine's stack."""

import json
from pathlib import Path

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


@pytest.mark.skipif(usable_cores() < 2, reason="interrupts between CPUs need two of them")
def test_the_lab_machine_survives_256_busy_tunnels(tmp_path: Path) -> None:
    # Before it was mended, each machine ended within five trials on a processor with AVX-512.
    spec = tmp_path / "many-tunnels.yaml"
    spec.write_text(SPEC)
    done = orch("run", spec, "--yes", "--no-report", "--results", tmp_path / "results")
    (run,) = runs_in(tmp_path / "results")
    attempts = [json.loads(file.read_text()) for file in run.glob("trials/*/*/attempt.json")]
    assert len(attempts) >= 5, done.stderr
    reasons = [reason for attempt in attempts for reason in attempt["reasons"]]
    assert [reason for reason in reasons if "lost" in reason] == []
