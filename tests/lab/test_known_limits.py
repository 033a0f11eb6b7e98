# SPDX-License-Identifier: Apache-2.0
"""What `orch explain` says of cells whose limit is known by how they were made: a throttled generator, a shaped link
and one CPU in real time; one CPU, one tunnel, a tunnel pinned to a CPU and a tunnel a core in virtual time.

A wrong label that is called certain fails, and so does a label that is not the one that the construction gives.
"""

from pathlib import Path

import pandas as pd
import pytest

from orchestrator.analysis.dataset import load
from orchestrator.analysis.limits import SURELY
from tests.lab.support import orch, runs_in

pytestmark = [pytest.mark.lab, pytest.mark.full]

SPEC = """\
experiment: known-limits
factors: {FACTORS}
traffic: {warm_up: 2s, duration: 1s}
repetitions: REPETITIONS
busy: mark
limits: {report_only: [competing_load, steal, variation]}
"""
TESTBED = """\
testbed: own
provider: uml
CLOCK
hosts:
  - {name: lab1, roles: [client, gateway-a, gateway-b, server], memory: 2 GiB}
"""
REAL, VIRTUAL = "clock: real", "clock: virtual\ncores: 4"
# name: (factors, the label of each cell, how many cells there are)
IN_REAL_TIME = {
    "a throttled generator": (
        "variant: [vanilla, inline], cores: [1], tunnels: [1, 2], traffic.bitrate: [25 Mbit/s, 50 Mbit/s]",
        "offered rate",
        8,
    ),
    "a shaped link": (
        "variant: [vanilla, inline], cores: [1], tunnels: [1, 2], links.wan.rate: [10 Mbit/s, 20 Mbit/s]",
        "link",
        8,
    ),
    "one CPU": (
        "variant: [vanilla, threaded, inline], cores: [1], tunnels: [1, 2]",
        "the one CPU of lab1",
        6,
    ),
}


def labelled(folder: Path, factors: str, clock: str, repetitions: int) -> tuple[Path, pd.DataFrame]:
    """Measure the cells that the factors give; the run's folder, and its limits."""
    spec, testbed = folder / "spec.yaml", folder / "testbed.yaml"
    spec.write_text(SPEC.replace("FACTORS", factors).replace("REPETITIONS", str(repetitions)))
    testbed.write_text(TESTBED.replace("CLOCK", clock))
    done = orch("run", spec, "--testbed", testbed, "--yes", "--no-report", "--results", folder / "results")
    assert done.returncode == 0, done.stderr
    (run,) = runs_in(folder / "results")
    return run, load(run).limits()


@pytest.mark.parametrize("name", IN_REAL_TIME)
def test_a_limit_that_was_made_is_named_in_real_time(tmp_path: Path, name: str) -> None:
    factors, label, cells = IN_REAL_TIME[name]
    _, table = labelled(tmp_path, factors, REAL, 1)
    assert len(table) == cells
    assert {words.removeprefix("probably ") for words in table["limit"]} == {label}, table["limit"]


def test_one_cpu_and_one_tunnel_are_named_and_never_another_role_with_certainty(tmp_path: Path) -> None:
    factors = "variant: [vanilla, inline, pinned], cores: [1, 4], tunnels: [1, 4]"
    run, found = labelled(tmp_path, factors, VIRTUAL, 2)
    table = found.set_index(["variant", "cores", "tunnels"])
    assert len(table) == 12
    for (variant, cores, tunnels), row in table.iterrows():
        if cores == 1:  # a gateway that has one CPU has no other stage to wait for
            assert (row["what"], row["where"][:7]) == ("CPUs", "gateway"), row
        elif tunnels == 1:
            assert row["what"] == "serial stage", row
            assert row["where"] or row["how_sure"] != SURELY, row
        elif variant != "pinned":  # a tunnel for each of four CPUs: nothing is serial
            assert row["what"] != "serial stage", row
    assert table.loc[("inline", 4, 1), "limit"] == "serial stage on gateway-a"
    explained = orch("explain", run, "inline,cores=4,tunnels=1", "--against", "vanilla,cores=4,tunnels=1")
    assert "gateway-a in processes and threads: 0 against" in explained.stdout
