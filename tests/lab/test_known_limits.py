# SPDX-License-Identifier: Apache-2.0
"""What `orch explain` says of cells whose limit is known by how they were made, measured in virtual time."""

from pathlib import Path

import pytest

from orchestrator.analysis.dataset import load
from tests.lab.support import orch, runs_in

pytestmark = [pytest.mark.lab, pytest.mark.full]

SPEC = """\
experiment: known-limits
factors: {variant: [vanilla, inline], cores: [1, 4], tunnels: [1, 4]}
traffic: {warm_up: 1s, duration: 1s}
repetitions: 2
"""
TESTBED = """\
testbed: own
provider: uml
clock: virtual
cores: 4
hosts:
  - {name: lab1, roles: [client, gateway-a, gateway-b, server], memory: 2 GiB}
"""


def test_one_cpu_and_one_tunnel_are_named_and_never_another_role_with_certainty(tmp_path: Path) -> None:
    spec, testbed = tmp_path / "spec.yaml", tmp_path / "testbed.yaml"
    spec.write_text(SPEC)
    testbed.write_text(TESTBED)
    done = orch("run", spec, "--testbed", testbed, "--yes", "--no-report", "--results", tmp_path / "results")
    assert done.returncode == 0, done.stderr
    (run,) = runs_in(tmp_path / "results")
    table = load(run).limits().set_index(["variant", "cores", "tunnels"])
    assert len(table) == 8
    for (_, cores, tunnels), row in table.iterrows():
        if cores == 1:  # a gateway that has one CPU has no other stage to wait for
            assert (row["what"], row["where"][:7]) == ("CPUs", "gateway"), row
        elif tunnels == 1:
            assert row["what"] == "serial stage", row
        else:  # a tunnel for each of four CPUs: nothing is serial
            assert row["what"] != "serial stage", row
    assert table.loc[("inline", 4, 1), "limit"] == "serial stage on gateway-a"
    explained = orch("explain", run, "inline,cores=4,tunnels=1", "--against", "vanilla,cores=4,tunnels=1")
    assert "gateway-a in processes and threads: 0 against" in explained.stdout
