# SPDX-License-Identifier: Apache-2.0
"""The limit of a cell: loads with a limit known by construction, and `orch explain` for shipped runs."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.analysis.dataset import load
from orchestrator.analysis.limits import CellLoad, Group, limit_of, limits, loads
from orchestrator.analysis.limits.costs import parts_of
from orchestrator.analysis.limits.loads import Packets, offered_bps
from orchestrator.analysis.limits.profile_shares import ProfileShares
from orchestrator.cli.app import run_command
from orchestrator.paths import RESULTS
from orchestrator.spec import Cell


def group(name: str, *busy: float, softirq: float = 0.5) -> Group:
    ordered = tuple(sorted(busy, reverse=True))
    return Group(name, ordered, tuple(share * softirq for share in ordered))


def path(a: tuple[float, ...], b: tuple[float, ...], client: float = 0.3, server: float = 0.5) -> tuple[Group, ...]:
    return (group("client", client), group("gateway-a", *a), group("gateway-b", *b), group("server", server))


def load_of(groups: tuple[Group, ...], cores: int, tunnels: int, **rest: object) -> CellLoad:
    facts = {"n": 5, "throughput_bps": 4e9, "baseline_bps": 20e9} | rest
    return CellLoad(Cell("vanilla", cores, tunnels), groups=groups, **facts)  # type: ignore[arg-type]


BUSY4, FREE4 = (1.0, 0.99, 0.99, 0.98), (0.4, 0.4, 0.3, 0.3)
ONE_OF_4 = (1.0, 0.3, 0.2, 0.2)
WAITING = {"gateway-a": ProfileShares({"encrypt": 0.6, "other": 0.4}, {"encrypt": 1.0}, spinning=0.4)}
WORKING = {"gateway-a": ProfileShares({"encrypt": 0.6, "poll": 0.4}, {"poll": 0.9, "encrypt": 0.1}, spinning=0.01)}
HOST2 = (group("lab1", 1.0, 0.99),)
# name: (load, the label)
CONSTRUCTED: dict[str, tuple[CellLoad, str]] = {
    "a throttled sender": (load_of(path(FREE4, FREE4), 4, 4, offered_bps=4.02e9), "offered rate"),
    "a throttled sender beside busy CPUs": (load_of(path(BUSY4, FREE4), 4, 4, offered_bps=4e9), "offered rate"),
    "a throttled sender that carries a little less": (
        load_of(path(FREE4, FREE4), 4, 4, offered_bps=4.1e9, baseline_bps=4.1e9),
        "probably offered rate",
    ),
    "a sender that is asked for more than it can": (
        load_of(path(FREE4, FREE4), 4, 4, offered_bps=9e9, baseline_bps=4.1e9),
        "generator",
    ),
    "a shaped link": (load_of(path(FREE4, FREE4), 4, 4, link_bps=4.3e9), "link"),
    "a shaped link, one tunnel": (load_of(path(ONE_OF_4, FREE4), 4, 1, link_bps=4.3e9), "link"),
    "as fast as without a tunnel": (load_of(path(FREE4, FREE4), 4, 4, baseline_bps=4.1e9), "generator"),
    "the same on shared CPUs": (load_of(HOST2, 2, 2, shared=True, baseline_bps=4.2e9), "generator"),
    "gateways busy at the baseline's rate": (
        load_of(path(BUSY4, FREE4), 4, 4, baseline_bps=4.2e9),
        "probably generator",
    ),
    "a sender without CPU time": (load_of(path(FREE4, FREE4, client=1.0), 4, 4), "generator"),
    "a server without CPU time": (load_of(path(FREE4, FREE4, server=0.99), 4, 4), "receiver"),
    "one CPU a gateway": (load_of(path((1.0,), (0.5,)), 1, 1), "the one CPU of gateway-a"),
    "one CPU a gateway, the other way": (load_of(path((0.5,), (0.99,)), 1, 4), "the one CPU of gateway-b"),
    "all four CPUs": (load_of(path(BUSY4, FREE4), 4, 4), "none (all 4 CPUs of gateway-a busy)"),
    "a tunnel a core, nothing serial": (
        load_of(path((0.98,) * 16, (0.7,) * 16), 16, 16),
        "none (all 16 CPUs of gateway-a busy)",
    ),
    "two of three CPUs, one tunnel": (
        load_of(path((0.99, 0.98, 0.2), FREE4), 3, 1),
        "serial stage on gateway-a",
    ),
    "more busy CPUs than tunnels": (
        load_of(path((0.99, 0.98, 0.98, 0.2), FREE4), 4, 2),
        "probably 3 of 4 CPUs of gateway-a",
    ),
    "CPUs that wait for locks": (load_of(path(BUSY4, FREE4), 4, 4, profile=WAITING), "probably locks on gateway-a"),
    "locks that hardly anything waits for": (
        load_of(path(BUSY4, FREE4), 4, 4, profile=WORKING),
        "none (all 4 CPUs of gateway-a busy)",
    ),
    "all four CPUs of both": (load_of(path(BUSY4, BUSY4), 4, 4), "probably none (all 4 CPUs of gateway-a busy)"),
    "nearly all of the time": (
        load_of(path((0.91, 0.9, 0.9, 0.9), FREE4), 4, 4),
        "probably none (all 4 CPUs of gateway-a busy)",
    ),
    "one computer for all": (load_of(HOST2, 2, 2, shared=True), "none (both CPUs of lab1 busy)"),
    "a pinned worker, one tunnel": (load_of(path(ONE_OF_4, FREE4), 4, 1), "serial stage on gateway-a"),
    "one tunnel's poll on 16 CPUs": (
        load_of(path((0.5,) * 16, (1.0, *(0.2,) * 15)), 16, 1),
        "serial stage on gateway-b",
    ),
    "two tunnels on four CPUs": (
        load_of(path((0.99, 0.98, 0.1, 0.1), FREE4), 4, 2),
        "serial stage on gateway-a",
    ),
    "polls of four tunnels on one CPU": (
        load_of((group("gateway-a", *FREE4), group("gateway-b", *ONE_OF_4, softirq=0.9)), 4, 4),
        "probably one CPU polls on gateway-b",
    ),
    "one tunnel whose stages wait": (load_of(path((0.6, 0.6, 0.5, 0.5), FREE4), 4, 1), "probably serial stage"),
    "nothing is busy": (load_of(path(FREE4, FREE4), 4, 4), "nothing saturated"),
    "a pinned process on shared CPUs": (
        load_of((group("host1", 1.0, 0.6),), 2, 1, shared=True),
        "probably serial stage on host1",
    ),
}


PACKETS = Packets(bytes=64.0, arrived_pps=1.02e6, loss_ratio=0.02, bounded_by="losses")
BITS = 8 * 64


def packets_of(
    groups: tuple[Group, ...],
    cores: int,
    tunnels: int,
    lost: dict[str, float] | None = None,
    bounded_by: str = "losses",
    **rest: object,
) -> CellLoad:
    """A cell whose packet rate is 1 Mpps, and 20 Mpps without a tunnel."""
    waits = bounded_by in ("losses", "")
    packets = replace(PACKETS, lost=lost or {}, places=lost or {}, bounded_by=bounded_by, waits=waits)
    facts = {"throughput_bps": 1e6 * BITS, "baseline_bps": 20e6 * BITS, "packets": packets} | rest
    return load_of(groups, cores, tunnels, **facts)


AT_A, AT_B, AT_SERVER = {"gateway-a": 1.0}, {"gateway-b": 0.95, "gateway-a": 0.05}, {"server": 1.0}
# Of packet rates. The generator's CPUs are always busy: it keeps them while it waits for the next packet.
OF_PACKETS: dict[str, tuple[CellLoad, str]] = {
    "a rate that was given and that passes": (
        packets_of(path(FREE4, FREE4, client=1.0), 4, 4, bounded_by="", offered_bps=1e6 * BITS),
        "offered rate",
    ),
    "a generator that waits, and nothing else": (packets_of(path(FREE4, FREE4, client=1.0), 4, 4), "nothing saturated"),
    "as many as without a tunnel": (
        packets_of(path(FREE4, FREE4, client=1.0), 4, 4, bounded_by="generator", baseline_bps=1.05e6 * BITS),
        "generator",
    ),
    "the highest load, without a baseline": (
        packets_of(path(FREE4, FREE4, client=1.0), 4, 4, bounded_by="highest load", baseline_bps=None),
        "probably generator",
    ),
    "a shaped link": (packets_of(path(FREE4, FREE4, client=1.0), 4, 4, AT_A, link_bps=1.1e6 * BITS), "link"),
    "all CPUs of the gateway that loses": (
        packets_of(path(BUSY4, FREE4, client=1.0), 4, 4, AT_A),
        "none (all 4 CPUs of gateway-a busy)",
    ),
    "two busy gateways, and the second loses": (
        packets_of(path(BUSY4, (0.98,) * 4, client=1.0), 4, 4, AT_B),
        "none (all 4 CPUs of gateway-b busy)",
    ),
    "a busy gateway that loses nothing": (
        packets_of(path(BUSY4, FREE4, client=1.0), 4, 4, AT_B),
        "probably none (all 4 CPUs of gateway-a busy)",
    ),
    "one tunnel's stage that loses": (
        packets_of(path(FREE4, ONE_OF_4, client=1.0), 4, 1, AT_B),
        "serial stage on gateway-b",
    ),
    "polls of four tunnels on one CPU": (
        packets_of(
            (group("client", 1.0), group("gateway-a", *FREE4), group("gateway-b", *ONE_OF_4, softirq=0.9)), 4, 4, AT_B
        ),
        "probably one CPU polls on gateway-b",
    ),
    "a server that loses": (packets_of(path(FREE4, FREE4, client=1.0, server=1.0), 4, 4, AT_SERVER), "receiver"),
    "one tunnel whose stages wait": (
        packets_of(path((0.6, 0.6, 0.5, 0.5), FREE4, client=1.0), 4, 1),
        "probably serial stage",
    ),
    "one computer for all, with a generator that waits": (
        packets_of(HOST2, 2, 2, AT_A, shared=True),
        "probably none (both CPUs of lab1 busy)",
    ),
    "one computer for all, in a closed loop": (
        packets_of(HOST2, 2, 2, bounded_by="closed loop", shared=True),
        "none (both CPUs of lab1 busy)",
    ),
    "one CPU on which the generator waits": (
        packets_of((group("lab1", 1.0, 0.3),), 2, 1, shared=True),
        "probably serial stage on lab1",
    ),
}


@pytest.mark.parametrize("name", OF_PACKETS)
def test_the_limit_of_a_packet_rate_that_is_known_by_construction_is_named(name: str) -> None:
    cell, label = OF_PACKETS[name]
    found = limit_of(cell)
    assert found.label == label
    assert found.why
    assert found.lifted_by
    assert "Gbit/s" not in " ".join(found.why) or found.what == "link"


def test_where_packets_were_lost_is_evidence_and_waiting_is_told() -> None:
    cell, _ = OF_PACKETS["one computer for all, with a generator that waits"]
    why = " ".join(limit_of(replace(cell, packets=replace(PACKETS, places={"gateway-a/wg1 full": 0.9}))).why)
    assert "At 1020 kpps that arrived, 2.00% was lost, 90% of it at gateway-a: wg1 full." in why
    assert "spins while it waits" in why
    assert not parts_of(cell)  # busy time that is waiting is no packet's cost
    closed, _ = OF_PACKETS["one computer for all, in a closed loop"]
    assert sum(part.ns for part in parts_of(closed)) == pytest.approx(1.99e9 / 1.02e6)
    own, _ = OF_PACKETS["a server that loses"]
    assert {part.group for part in parts_of(own)} == {"gateway-a", "gateway-b", "server"}


@pytest.mark.parametrize("name", CONSTRUCTED)
def test_a_limit_that_is_known_by_construction_is_named(name: str) -> None:
    cell, label = CONSTRUCTED[name]
    found = limit_of(cell)
    assert found.label == label
    assert found.why
    assert found.lifted_by


def test_a_profile_says_what_the_cpus_did_that_are_the_limit() -> None:
    whole = limit_of(load_of(path(BUSY4, FREE4), 4, 4, profile=WORKING))
    assert "By the profile, their time was 60% encrypt, 40% poll." in whole.why
    serial = limit_of(load_of(path(ONE_OF_4, FREE4), 4, 1, profile=WORKING))
    assert (serial.label, serial.how_sure) == ("serial stage on gateway-a", "surely")
    assert "By the profile, the time of the busiest CPU was 90% poll, 10% encrypt." in serial.why


def test_what_was_offered_is_that_of_the_cell_where_the_bit_rate_is_a_factor() -> None:
    traffic = {"bitrate_bps": 1e8, "direction": "forward"}
    assert offered_bps(traffic, Cell("vanilla", 1, 2)) == 2e8
    varied = {"traffic.bitrate": 5e8, "traffic.direction": "both"}
    assert offered_bps(traffic, Cell("vanilla", 1, 2, more=varied)) == 2e9
    assert offered_bps({}, Cell("vanilla", 1, 2)) is None


def test_over_a_shaped_link_the_generator_is_not_the_limit_and_waiting_is_told() -> None:
    slow = load_of(path(FREE4, FREE4), 4, 1, baseline_bps=4.1e9)
    assert limit_of(slow).label == "generator"
    delayed = replace(slow, key=Cell("vanilla", 4, 1, more={"links.wan.delay": 0.03, "links.wan.rate": 9e9}))
    found = limit_of(replace(delayed, link_bps=9e9))
    assert found.label == "nothing saturated"
    assert "delay or loss" in " ".join(found.why)
    full = limit_of(replace(delayed, link_bps=4.4e9))
    assert (full.label, full.lifted_by) == ("link", "a higher links.wan.rate")


shares = st.lists(st.floats(0, 1), min_size=1, max_size=8)


@given(a=shares, b=shares, client=st.floats(0, 1), server=st.floats(0, 1), tunnels=st.integers(1, 8))
def test_no_cpu_is_surely_the_limit_that_had_time_left_or_a_rival(
    a: list[float], b: list[float], client: float, server: float, tunnels: int
) -> None:
    cell = load_of(path(tuple(a), tuple(b), client, server), len(a), tunnels, baseline_bps=None)
    found = limit_of(cell)
    if found.how_sure == "surely":
        mine = cell.group(found.where)
        assert mine is not None
        assert mine.busy[0] >= 0.97
        others = [other for other in cell.groups if other is not mine]
        assert all(other.mean < 0.97 for other in others)


def test_a_tunnel_on_many_virtual_cpus_has_a_serial_stage_and_a_tunnel_a_core_inline_none() -> None:
    table = limits(load(RESULTS / "example-virtual")).set_index(["variant", "cores", "tunnels"])
    assert table.loc[("vanilla", 18, 1), "limit"] == "serial stage on gateway-b"
    assert table.loc[("inline", 18, 18), "limit"] == "probably receiver"
    assert set(table.loc[table.index.get_level_values("tunnels") == 1, "what"]) <= {"serial stage", "CPUs"}


def test_cpu_time_by_role_and_kind_adds_up_to_the_time_that_cpus_were_busy() -> None:
    for cell in loads(load(RESULTS / "example-virtual")):
        for mine in cell.groups:
            assert 0 <= mine.softirqs <= mine.total <= len(mine.busy)


def test_explain_names_what_limits_each_cell_and_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    run = str(RESULTS / "example-virtual")
    assert run_command(["explain", run]) == 0
    said = capsys.readouterr().out
    assert "serial stage on gateway-b: more tunnels" in said
    assert "most for each busy gateway core" in said
    cells = ["vanilla,cores=18,tunnels=18", "--against", "inline cores=18 tunnels=18"]
    assert run_command(["explain", run, *cells]) == 0
    said = capsys.readouterr().out
    assert "limit: probably receiver" in said
    assert "gateway-a in processes and threads" in said
    assert "carries 0.75 times as much as inline" in said
    assert Path(said.split("evidence: ")[1].splitlines()[0]).is_dir()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["example", "inline,cores=2"], "means 3 cells"),
        (["example", "inline,cores=7"], "means no cell"),
        (["example", "inline,colour=7"], "no factor colour"),
        (["example", "--against", "inline"], "name one before --against"),
        (["example-packet-rate", "inline"], "3 cells"),
    ],
)
def test_a_cell_that_is_none_is_a_sentence(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, *rest = arguments
    assert run_command(["explain", str(RESULTS / name), *rest]) == 2
    assert told in capsys.readouterr().err


def test_a_link_that_a_short_window_counted_as_nearly_full_is_probable_where_no_cpu_is_full() -> None:
    load = load_of(path(FREE4, FREE4), 4, 4, link_bps=4.3e9)
    nearly = limit_of(replace(load, link_bps=load.throughput_bps * load.frame_overhead / 0.9))
    assert nearly.label == "probably link"
    half = limit_of(replace(load, link_bps=load.throughput_bps * load.frame_overhead / 0.5))
    assert "link" not in half.label


def test_explain_takes_the_cpus_of_a_packet_rate_from_the_load_that_lost_too_much(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = load(RESULTS / "example-packet-rate")
    by_variant = {one.key.variant: one for one in run.loads if one.key.packet_size == 64}
    vanilla, inline = by_variant["vanilla"], by_variant["inline"]
    assert vanilla.packets is not None
    assert inline.packets is not None
    assert vanilla.packets.loss_ratio > 0.005  # what a search allows
    assert vanilla.packets.waits
    assert vanilla.packets.lost["gateway-a"] > 0.5
    assert inline.packets.bounded_by == "closed loop"
    assert not inline.packets.waits
    assert vanilla.packets.bytes == 64
    table = run.costs().set_index(["variant", "packet_size"])
    assert table.loc[("vanilla", "64"), "ns_a_packet"] != table.loc[("vanilla", "64"), "ns_a_packet"]
    cores = sum(group.total for group in inline.groups)
    assert table.loc[("inline", "64"), "ns_a_packet"] == pytest.approx(cores / inline.packets.arrived_pps * 1e9)
    path = str(RESULTS / "example-packet-rate")
    assert run_command(["explain", path, "inline,packet_size=64", "--against", "vanilla,packet_size=64"]) == 0
    told = capsys.readouterr().out
    assert "kpps" in told
    assert "differs (closed loop and losses), so there is no ratio" in told
    assert run_command(["explain", path]) == 0
    assert "Cells without a rate per busy core" in capsys.readouterr().out


@pytest.mark.parametrize("width", [60, 80, 98])
def test_rows_of_explain_continue_below_their_last_column(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert run_command(["explain", str(RESULTS / "example")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    begin = next(number for number, line in enumerate(lines) if line.startswith("cell "))
    rows = lines[begin + 1 : lines.index("", begin)]
    column = lines[begin].find("limit") if width > 60 else 4  # too narrow for a column of words
    for row in rows:
        assert row.startswith((" " * column, "vanilla, ", "threaded, ", "inline, "))
    assert (len(rows) > 18) == (width < 98)
