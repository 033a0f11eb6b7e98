# SPDX-License-Identifier: Apache-2.0
"""Numbers of the shipped runs, by the public API, for the statements of `test_statements`."""

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

import pandas as pd

import orchestrator as orch
from orchestrator.analysis.claims import load_claims
from orchestrator.analysis.claims.verdicts import ClaimVerdict
from orchestrator.analysis.dataset import Run
from orchestrator.analysis.latency import latency_cells
from orchestrator.analysis.long_runs import first_and_last
from orchestrator.analysis.packets import packet_cells
from orchestrator.analysis.page_words import took
from orchestrator.analysis.polls import polls, spread
from orchestrator.analysis.quality import quality
from orchestrator.analysis.rekeys import cost, rekeys, roaming_cost
from orchestrator.analysis.virtual import controls
from orchestrator.paths import CHECKOUT, RESULTS
from orchestrator.spec import Level
from orchestrator.stats import paired_ratio

Numbers = Sequence[float | str]
VIRTUAL = "example-virtual"
LOAD = "example-load"
WHY = "example-why"
IPSEC = "example-ipsec"
ROAMING = "example-roaming"
NETWORK = "example-network"
LATENCY = "example-latency"
LATENCY_TCP = "example-latency-tcp"
SOAK = "example-soak"
FLOWS = "example-flows"
PEERS = "example-peers"
REKEY = "example-rekey"
ONE = ("vanilla", 18, 1)
MANY = ("vanilla", 18, 18)
INLINE = ("inline", 18, 18)


def text_of(file: str) -> str:
    """Return a file's text with single spaces."""
    return " ".join((CHECKOUT / file).read_text(encoding="utf-8").split())


@cache
def run(name: str) -> Run:
    return orch.load(RESULTS / name)


@cache
def verdicts(name: str) -> list[ClaimVerdict]:
    return run(name).verify()


@cache
def stages() -> pd.DataFrame:
    return run("example-why").stages()


def values(
    name: str, variant: str, cores: int, tunnels: int, more: Mapping[str, Level] = MappingProxyType({})
) -> dict[tuple[Any, ...], float]:
    """Return {(block, round): bit/s} for a cell's valid trials, read from the frame in the Parquet file. ``more``:
    levels of further factors."""
    trials = run(name).trials
    mine = trials[(trials["kind"] == "measure") & (trials["status"] == "ok") & (trials["variant"] == variant)]
    mine = mine[(mine["cores"] == cores) & (mine["tunnels"] == tunnels)]
    for path, level in more.items():
        mine = mine[mine[path] == level]
    return {(row["block"], row["round"]): row["throughput_bps"] for row in mine.to_dict("records")}


def paired(of: Mapping[tuple[Any, ...], float], to: Mapping[tuple[Any, ...], float]) -> Numbers:
    """Return median, bounds and number of pairs of the ratios of two cells' `values`."""
    found = paired_ratio(of, to)
    assert found is not None
    return found.median, found.interval.low, found.interval.high, found.n


def ratio(name: str, of: tuple[str, int, int], to: tuple[str, int, int]) -> Numbers:
    """Return median, bounds and number of pairs of the ratios of two cells (variant, cores, tunnels) in one boot."""
    return paired(values(name, *of), values(name, *to))


def median_gbit(name: str, variant: str, cores: int, tunnels: int) -> float:
    table = run(name).cells()
    (row,) = table[(table["variant"] == variant) & (table["cores"] == cores) & (table["tunnels"] == tunnels)].to_dict(
        "records"
    )
    return float(row["median_bps"]) / 1e9


def efficiency(name: str, variant: str, cores: int) -> Numbers:
    """Return median and bounds with one tunnel per core."""
    table = run(name).efficiencies()
    (row,) = table[(table["variant"] == variant) & (table["cores"] == cores)].to_dict("records")
    return row["median"], row["low"], row["high"]


def one_tunnel_of_linear(claim: str) -> Numbers:
    """Return median and bounds of a claim's first number, which is in no table."""
    verdict = next(one for one in verdicts("example-virtual") if one.claim == claim)
    number = verdict.evidence[0]
    assert number.median is not None
    assert number.low is not None
    assert number.high is not None
    return number.median, number.low, number.high


def verdict(claim: str) -> Numbers:
    (found,) = (one for one in verdicts("example-virtual") if one.claim == claim)
    return (found.verdict,)


def published(claim: str, test: int = 0) -> Numbers:
    (found,) = (one for one in load_claims() if one.claim == claim)
    tested = found.tests[test].published
    assert tested is not None
    return (tested.value,)


def trials_ok(name: str) -> Numbers:
    shown, counts = run(name), run(name).counts()
    cells = packet_cells(shown) if shown.counts_packets else shown.cells()
    return counts["ok"], sum(counts.values()), cells["n"].min()


def stage_us(variant: str, tunnels: int, stage: str = "") -> float:
    """Return the CPU time per packet on 16 cores, in µs: for one stage, or for all but idle."""
    table = stages()
    mine = table[(table["variant"] == variant) & (table["tunnels"] == tunnels)]
    return float(mine[mine["stage"] == stage]["ns_a_packet"].sum() if stage else mine["ns_a_packet"].sum()) / 1e3


def scheduling_share(variant: str) -> float:
    """Return the share of scheduling with one tunnel on 16 cores, in percent."""
    return 100 * stage_us(variant, 1, "scheduling") / stage_us(variant, 1)


def balancing_share(tunnels: int) -> float:
    """Return the share of load balancing, in percent of the sampled CPU time of vanilla on 16 cores."""
    (mine,) = (one for one in run("example-why").profiles if (one.key.variant, one.key.tunnels) == ("vanilla", tunnels))
    balancing = sum(stack.ns for stack in mine.stacks if any(name.startswith("sched_balance_") for name in stack.calls))
    return 100 * balancing / sum(stack.ns for stack in mine.stacks)


def covered() -> Numbers:
    """Return the lowest and the highest sum of stages, in percent of the busy time."""
    shares = stages()["covered"]
    return 100 * shares.min(), 100 * shares.max()


def threaded_in_modes() -> Numbers:
    table = quality(run("example"))
    (row,) = table[(table["variant"] == "threaded") & (table["cores"] == 2) & (table["tunnels"] == 2)].to_dict(
        "records"
    )
    assert row["modes"] == "probable"
    return row["lower"] / 1e9, row["lower_n"], row["upper"] / 1e9, row["upper_n"]


def inline_over_modes() -> Numbers:
    """Return the ratio of inline to threaded in its lower mode, in how many rounds; and in its upper mode."""
    mine, other = values("example", "inline", 2, 2), values("example", "threaded", 2, 2)
    cut = sorted(other.values())[int(threaded_in_modes()[1]) - 1]
    sides = [{key: v for key, v in other.items() if (v <= cut) is lower} for lower in (True, False)]
    found = [paired_ratio(mine, side) for side in sides]
    return [number for one in found if one is not None for number in (one.median, one.n)]


def minutes(name: str) -> Numbers:
    return (took(run(name).meta).removesuffix(" min"),)


def undecidable(name: str) -> Numbers:
    return [verdict.claim for verdict in verdicts(name) if verdict.verdict == "not testable here"]


def smallest_packets() -> Numbers:
    """Return kpps of inline and of vanilla for packets of 64 bytes."""
    table = packet_cells(run("example-packet-rate"))
    rates = table[table["packet_size"] == "64"].set_index("variant")["median_pps"] / 1e3
    return rates["inline"], rates["vanilla"]


def poll_numbers() -> Numbers:
    """Return, for the decrypting gateway, packets per poll of vanilla and threaded, and inline's share of polls on the
    own CPU."""
    table = spread(polls(run("example-black-hole")))
    rows = table[table["role"] == "gateway-b"].set_index("variant")
    own = 100 * float(rows.loc["inline", "one_cpu"])
    return rows.loc["vanilla", "packets_per_poll"], rows.loc["threaded", "packets_per_poll"], own


def loops() -> Numbers:
    table = controls(run("example-virtual"))
    several = table[table["cpus"] > 1]
    return [number for row in several.to_dict("records") for number in (row["cpus"], row["times_one"])]


def loops_are_within() -> Numbers:
    return (math.ceil(100 * controls(run("example-virtual"))["off"].abs().max()),)


def validated() -> Numbers:
    """Return the numbers in docs/virtual-time.md for two virtual and two real CPUs; no run of them is kept."""
    found = re.search(
        r"\| inline over vanilla, 2 tunnels \| ([\d.]+) [^|]*\| ([\d.]+) ", text_of("docs/virtual-time.md")
    )
    assert found
    return found.group(2), found.group(1)


def alone() -> Numbers:
    table = controls(run("example-virtual"))
    return table["core_alone"].min(), table["core_alone"].max()


def packet_costs() -> Numbers:
    """Return, for the highest, the lowest and no bit rate, Mbit/s per tunnel, and microseconds of CPU time per packet
    of vanilla, threaded and inline."""
    table = run(LOAD).costs()
    level = table["traffic.bitrate"]
    found: list[float] = []
    for bitrate in (528293000, 176098000, "max"):
        rows = table[level == bitrate].set_index("variant")
        found += [bitrate / 1e6] if not isinstance(bitrate, str) else []
        found += [rows.loc[name, "ns_a_packet"] / 1e3 for name in ("vanilla", "threaded", "inline")]
    return found


def ipsec_cost_us(variant: str) -> float:
    """Return the CPU time of a packet with two tunnels on two cores, in µs."""
    table = run(IPSEC).costs()
    mine = table[(table["cores"] == 2) & (table["tunnels"] == 2)].set_index("variant")
    return float(mine.loc[variant, "ns_a_packet"]) / 1e3


def flows_over(of: tuple[int, int], to: tuple[int, int]) -> Numbers:
    """Return median, bounds and number of the ratios of two cells (interfaces, connections)."""
    both = (values(FLOWS, "threaded", 32, number, {"traffic.connections": flows}) for number, flows in (of, to))
    return paired(*both)


def peers_gbit(variant: str, direction: str, tunnels: int) -> Numbers:
    """Return the medians with one shared device and with a device for each peer, in Gbit/s."""
    levels = [{"traffic.direction": direction, "tunnel.device": device} for device in ("shared", "own")]
    return [statistics.median(values(PEERS, variant, 2, tunnels, one).values()) / 1e9 for one in levels]


def peers_over_vanilla(variant: str) -> float:
    """Return the median ratio of a variant to vanilla, with 100 peers that send to a shared device."""
    levels = {"traffic.direction": "forward", "tunnel.device": "shared"}
    return paired(*(values(PEERS, one, 2, 100, levels) for one in (variant, "vanilla")))[0]


def peers_polls() -> Numbers:
    """Return the share of polls that delivered nothing, in percent, and packets per poll, of vanilla, threaded and
    workqueue with 100 peers on a shared device that receives."""
    table = spread(polls(run(PEERS)))
    table = table[(table["traffic.direction"] == "forward") & (table["tunnel.device"] == "shared")]
    rows = table[(table["tunnels"] == 100) & (table["role"] == "gateway-b")].set_index("variant")
    shares = 100 * rows["empty"]
    return [of[name] for name in ("vanilla", "threaded", "workqueue") for of in (shares, rows["packets_per_poll"])]


def roaming_over_not(variant: str) -> Numbers:
    """Return median, bounds and number of the ratios of the throughput with changes of ports to that without."""
    trials = run(ROAMING).trials
    mine = trials[(trials["kind"] == "measure") & (trials["status"] == "ok") & (trials["variant"] == variant)]
    never = mine["tunnel.roam_every"] == "never"
    both = [
        {(row["block"], row["round"]): row["throughput_bps"] for row in rows.to_dict("records")}
        for rows in (mine[~never], mine[never])
    ]
    return paired(*both)


def lowest_seconds() -> Numbers:
    """Return the lowest rate near a change of ports and elsewhere, in percent of the median rate, of vanilla and of
    inline; and the number of trials of each."""
    costs = roaming_cost(run(ROAMING))
    return [*_lowest(costs), *{int(n) for n in costs.groupby("variant").size()}]


def rekey_seconds(tunnels: int) -> Numbers:
    """Return the lowest rate near a rekey and elsewhere, in percent of the median rate, of vanilla and of inline."""
    costs = cost(run(REKEY))
    return _lowest(costs[costs["tunnels"] == tunnels])


def _lowest(costs: pd.DataFrame) -> list[float]:
    table = costs.groupby("variant")[["remains", "lowest_elsewhere"]].median()
    return [100 * table.loc[name, what] for what in table.columns for name in ("vanilla", "inline")]


def rekey_gbit() -> Numbers:
    """Return the medians of vanilla and inline with one tunnel, and of both with 100."""
    return [median_gbit(REKEY, variant, 2, tunnels) for tunnels in (1, 100) for variant in ("vanilla", "inline")]


def rekey_times_s() -> Numbers:
    """Return when the first and the last handshake of 100 tunnels took place, in seconds after the warm-up, in any
    trial."""
    found = rekeys(run(REKEY))
    at_s = found[found["tunnels"] == 100]["at_s"]
    return [float(at_s.min()), float(at_s.max())]


def over_link(variant: str, delay_s: float, loss: float) -> dict[tuple[Any, ...], float]:
    """Return the `values` with a delay and a loss of the link, in each direction."""
    return values(NETWORK, variant, 2, 2, {"links.wan.delay": delay_s, "links.wan.loss": loss})


def inline_over_vanilla(delay_s: float, loss: float) -> Numbers:
    return paired(over_link("inline", delay_s, loss), over_link("vanilla", delay_s, loss))


def rates_over_link(delay_s: float, loss: float) -> Numbers:
    """Return the lowest and the highest of the variants' medians, in Gbit/s."""
    medians = [statistics.median(over_link(variant, delay_s, loss).values()) / 1e9 for variant in run(NETWORK).variants]
    return min(medians), max(medians)


def idle_over_link(delay_s: float, loss: float) -> Numbers:
    """Return the lowest and the highest median share of the time in which the CPUs were idle, by variant, in
    percent."""
    trials = run(NETWORK).measured
    mine = trials[(trials["links.wan.delay"] == delay_s) & (trials["links.wan.loss"] == loss)]
    idle = 100 * (1 - mine.groupby("variant")["cpu_busy"].median())
    return idle.min(), idle.max()


def round_trips_ms(name: str, load: float | str, *quantiles: str) -> Numbers:
    """Return quantiles of the round-trip time of vanilla, threaded and inline beside a load, in ms: a bit rate of each
    tunnel in bit/s or max, or a share of each variant's packet rate."""
    table = latency_cells(run(name))
    at = table["traffic.bitrate"] if "traffic.bitrate" in table else table["at"]
    rows = table[at == load].set_index("variant")
    return [rows.loc[variant, quantile] for quantile in quantiles for variant in ("vanilla", "threaded", "inline")]


def rates_kpps(name: str) -> Numbers:
    """Return the packet rates that searches found for vanilla, threaded and inline, in kpps."""
    rates = packet_cells(run(name)).set_index("variant")["median_pps"] / 1e3
    return [rates[variant] for variant in ("vanilla", "threaded", "inline")]


def fastest_over_vanilla() -> Numbers:
    """Return median, bounds and number of the ratios of inline to vanilla without a bit rate, beside echo requests."""
    of, to = (values(LATENCY_TCP, variant, 2, 2, {"traffic.bitrate": "max"}) for variant in ("inline", "vanilla"))
    return paired(of, to)


def over_minutes(*columns: str) -> Numbers:
    """Return changes within the long trials of vanilla, threaded and inline, as in `first_and_last`."""
    table = first_and_last(run(SOAK)).set_index("variant")
    return [table.loc[variant, column] for column in columns for variant in ("vanilla", "threaded", "inline")]
