# SPDX-License-Identifier: Apache-2.0
"""What `orch explain` says of cells whose limit is known by how they were made: a throttled generator, a shaped link
(with TCP and with packets) and one CPU in real time; one CPU, one tunnel, a tunnel pinned to a CPU and a tunnel a core
in virtual time.

A wrong label that is called certain fails, and so does a label that is not the one that the construction gives.
"""

from pathlib import Path

import pandas as pd
import pytest

from orchestrator.analysis.dataset import load
from orchestrator.analysis.limits import SURELY
from orchestrator.analysis.profiles.table import stages_of
from tests.lab.support import orch, runs_in

pytestmark = [pytest.mark.lab, pytest.mark.full]

SPEC = """\
experiment: known-limits
factors: {FACTORS}
traffic: {warm_up: 2s, duration: DURATION}
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
PACKETS = """\
experiment: known-packet-rates
factors: {variant: [vanilla, inline], cores: [1], tunnels: [1], packet_size: [512]FACTORS}
traffic: {tool: pktgen, TRAFFIC, warm_up: 1s, duration: 1s}
trace: profile
repetitions: 1
busy: mark
limits: {report_only: [competing_load, steal, variation]}
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
        # Without a tunnel, netem would count up to 64 KiB as one packet, and hold seconds of data at such rates.
        "variant: [vanilla, inline], cores: [1], tunnels: [1, 2], links.wan.rate: [10 Mbit/s, 20 Mbit/s], "
        "nics.ends.tso: [off]",
        "link",
        8,
    ),
    "one CPU": (
        "variant: [vanilla, threaded, inline], cores: [1], tunnels: [1, 2]",
        "the one CPU of lab1",
        6,
    ),
}

_SEARCH = "search: {method: binary, goals: [pdr], width: 5%, max_rate: RATE, time_limit: 60s}"
# name: (further factors, what the generator is told, the label of each cell)
OF_PACKETS = {
    "a rate that was given": ("", "rate: 20 kpps", "offered rate"),
    "a search with a low highest load": ("", _SEARCH.replace("RATE", "10 kpps"), "offered rate"),
    "a shaped link": (", links.wan.rate: [40 Mbit/s]", _SEARCH.replace("RATE", "30 kpps"), "link"),
}


def labelled(folder: Path, factors: str, clock: str, repetitions: int) -> tuple[Path, pd.DataFrame]:
    """Measure the cells that the factors give; the run's folder, and its limits."""
    # A socket's buffer takes 0.25 s to empty over a slow link, which must be less than 10 % of the measured time.
    text = SPEC.replace("FACTORS", factors).replace("DURATION", "4s" if clock == REAL else "1s")
    return measured(folder, text.replace("REPETITIONS", str(repetitions)), clock)


def measured(folder: Path, text: str, clock: str) -> tuple[Path, pd.DataFrame]:
    """Run a spec; the run's folder, and its limits."""
    spec, testbed = folder / "spec.yaml", folder / "testbed.yaml"
    spec.write_text(text)
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


@pytest.mark.parametrize("name", OF_PACKETS)
def test_the_limit_of_a_packet_rate_that_was_made_is_named_and_each_cell_has_a_profile(
    tmp_path: Path, name: str
) -> None:
    factors, traffic, label = OF_PACKETS[name]
    path, table = measured(tmp_path, PACKETS.replace("FACTORS", factors).replace("TRAFFIC", traffic), REAL)
    assert len(table) == 2
    assert {words.removeprefix("probably ") for words in table["limit"]} == {label}, table["limit"]
    run = load(path)
    assert {one.key for one in run.profiles} == {one.key for one in run.loads}
    for one in run.profiles:
        assert one.packet_bytes == 512
        assert "forwarding" in stages_of(one)  # others may have no sample at such rates


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
    # Where the other gateway is nearly as busy, not with certainty.
    assert table.loc[("inline", 4, 1), "limit"].removeprefix("probably ") == "serial stage on gateway-a"
    explained = orch("explain", run, "inline,cores=4,tunnels=1", "--against", "vanilla,cores=4,tunnels=1")
    assert "gateway-a in processes and threads: 0 against" in explained.stdout
