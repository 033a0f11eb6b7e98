# SPDX-License-Identifier: Apache-2.0
"""A lab with a package of its testbed file, netperf, and the command of docs/traffic.md, from a spec to its report."""

import json
from pathlib import Path

import pytest

from tests.lab.support import orch
from tests.lab.test_command import documented

pytestmark = [pytest.mark.lab, pytest.mark.full]  # an image and a disk are built

LAB = """\
testbed: lab-with-netperf
provider: uml
packages: [netperf]
hosts:
  - {name: lab1, roles: [client, gateway-a, gateway-b, server]}
"""


def test_a_lab_with_netperf_measures_its_transactions(tmp_path: Path) -> None:
    lab, spec, results = tmp_path / "lab.yaml", tmp_path / "transactions.yaml", tmp_path / "results"
    lab.write_text(LAB)
    content = {
        "experiment": "transactions",
        "factors": {"variant": ["vanilla", "inline"], "cores": [1], "tunnels": [1, 2]},
        "traffic": {"tool": "command", "warm_up": "1s", "duration": "2s", "command": documented()},
        "repetitions": 2,
        "busy": "mark",
        "notebooks": ["scaling"],
    }
    spec.write_text(json.dumps(content))  # JSON is YAML, too
    done = orch("run", spec, "--testbed", lab, "--results", results, timeout_s=3000)
    assert done.returncode == 0, done.stderr
    (run,) = (path.parent for path in results.glob("**/run.json"))
    attempts = [json.loads(path.read_text()) for path in run.glob("trials/*/*/attempt.json")]
    found = [one["measurements"] for one in attempts if one["status"] == "ok"]
    assert len(found) >= 2 * 2 * 2
    assert min(one["value"] for one in found) > 10
    assert {one["quantity"]["unit"] for one in found} == {"transactions/s"}
    assert "transactions/s" in (run / "report.html").read_text()
