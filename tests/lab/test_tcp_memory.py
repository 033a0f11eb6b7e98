# SPDX-License-Identifier: Apache-2.0
"""TCP that runs short of memory is noticed."""

import json
from pathlib import Path

import pytest

from tests.lab.support import orch, runs_in

pytestmark = pytest.mark.lab

USUAL, SMALL = "60000 90000 120000", "1000 1500 120000"  # pages: normal, pressure, most
SPEC = f"""\
experiment: memory
factors:
  variant: [inline]
  cores: [1]
  tunnels: [1]
  links.wan.delay: [25ms]
  settings.ends.net.ipv4.tcp_mem: ["{USUAL}", "{SMALL}"]
traffic: {{streams: 8, warm_up: 1s, duration: 2s}}
repetitions: 1
busy: mark
claims: none
limits: {{report_only: [variation]}}
"""


def test_an_attempt_is_marked_if_tcp_ran_short_of_memory(tmp_path: Path) -> None:
    spec = tmp_path / "memory.yaml"
    spec.write_text(SPEC)
    done = orch("run", spec, "--yes", "--no-report", "--results", tmp_path / "results")
    assert done.returncode in (0, 1), done.stderr  # whether limits on time hold here is not the question
    (run,) = runs_in(tmp_path / "results")
    marked = {USUAL: False, SMALL: False}
    for file in run.glob("trials/*/*/attempt.json"):
        attempt = json.loads(file.read_text())
        if attempt["kind"] == "measure":
            level = attempt["levels"]["settings.ends.net.ipv4.tcp_mem"]
            marked[level] |= any("TCP ran short of memory" in mark for mark in attempt["marks"])
    assert marked == {USUAL: False, SMALL: True}
