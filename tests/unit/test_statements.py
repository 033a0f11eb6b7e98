# SPDX-License-Identifier: Apache-2.0
"""Statements in README, docs and the example runs' pages about these runs are recomputed from their Parquet files.

A statement is found by a small regular expression, whose groups are its numbers; each must equal the result of the
public API for the shipped run, rounded as it is written. Every other number of a measurement is in `ELSEWHERE`, with
the reason why there is no shipped run for it.
"""

import html
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from orchestrator.analysis.headline import headline
from orchestrator.paths import CHECKOUT, RESULTS
from tests.unit.example_numbers import (
    FLOWS,
    INLINE,
    IPSEC,
    LATENCY,
    LATENCY_TCP,
    LOAD,
    MANY,
    NETWORK,
    ONE,
    PEERS,
    REKEY,
    ROAMING,
    SOAK,
    VIRTUAL,
    WHY,
    Numbers,
    alone,
    balancing_share,
    covered,
    efficiency,
    fastest_over_vanilla,
    flows_over,
    idle_over_link,
    inline_over_modes,
    inline_over_vanilla,
    ipsec_cost_us,
    loops,
    loops_are_within,
    lowest_seconds,
    median_gbit,
    minutes,
    one_tunnel_of_linear,
    over_minutes,
    packet_costs,
    peers_gbit,
    peers_over_vanilla,
    peers_polls,
    poll_numbers,
    published,
    rates_kpps,
    rates_over_link,
    ratio,
    rekey_gbit,
    rekey_seconds,
    rekey_times_s,
    roaming_over_not,
    round_trips_ms,
    run,
    scheduling_share,
    smallest_packets,
    stage_us,
    text_of,
    threaded_in_modes,
    trials_ok,
    undecidable,
    validated,
    verdict,
)

FILES = ("README.md", *(f"docs/{path.name}" for path in sorted((CHECKOUT / "docs").glob("*.md"))))
EXAMPLES = sorted(path.name for path in RESULTS.glob("example*"))


@dataclass(frozen=True)
class Statement:
    """A statement. ``pattern``: found once in the file, with the ``numbers`` as its groups."""

    file: str
    pattern: str
    numbers: Callable[[], Numbers]


STATEMENTS = (
    Statement("README.md", r"on two real cores in (\d+) minutes", lambda: minutes(VIRTUAL)),
    Statement(
        "README.md",
        r"carry ([\d.]+) times as much as one tunnel of unmodified WireGuard \([^)]*?([\d.]+) to ([\d.]+)\)",
        lambda: ratio(VIRTUAL, INLINE, ONE)[:3],
    ),
    Statement("README.md", r"the paper reports (\d+) times", lambda: published("C5")),
    Statement("docs/examples.md", r"The run took (\d+) minutes", lambda: minutes(VIRTUAL)),
    Statement("docs/examples.md", r"minutes; (\d+) of (\d+) trials are ok, with n = (\d+)", lambda: trials_ok(VIRTUAL)),
    Statement(
        "docs/examples.md",
        r"tunnels of inline carry ([\d.]+) times as much as one tunnel of vanilla \(([\d.]+) to ([\d.]+)\)",
        lambda: ratio(VIRTUAL, INLINE, ONE)[:3],
    ),
    Statement("docs/examples.md", r"The paper reports (\d+) times", lambda: published("C5")),
    Statement(
        "docs/examples.md",
        r"tunnels of vanilla carry ([\d.]+) times as much as one \(([\d.]+) to ([\d.]+)\)",
        lambda: ratio(VIRTUAL, MANY, ONE)[:3],
    ),
    Statement("docs/examples.md", r"where less than (\d+) times is published", lambda: published("C2")),
    Statement("docs/examples.md", r"C5 is (.*?)\. - ", lambda: verdict("C5")),
    Statement("docs/examples.md", r"C2 is (.*?)\. - ", lambda: verdict("C2")),
    Statement(
        "docs/examples.md",
        r"inline leads vanilla by a factor of only ([\d.]+) \(([\d.]+) to ([\d.]+)\)",
        lambda: ratio(VIRTUAL, INLINE, MANY)[:3],
    ),
    Statement(
        "docs/examples.md",
        r"One tunnel of vanilla reaches ([\d.]+) of linear scaling at 18 cores \(([\d.]+) to ([\d.]+)\)",
        lambda: one_tunnel_of_linear("C1"),
    ),
    Statement(
        "docs/examples.md",
        r"eighteen tunnels of inline ([\d.]+) \(([\d.]+) to ([\d.]+)\)",
        lambda: efficiency(VIRTUAL, "inline", 18),
    ),
    Statement("docs/examples.md", r"tier `why` took (\d+) minutes", lambda: minutes(WHY)),
    Statement("docs/examples.md", r"(\d+) of (\d+) trials are valid", lambda: trials_ok(WHY)[:2]),
    Statement("docs/examples.md", r"vanilla spends ([\d.]+) µs", lambda: (stage_us("vanilla", 1),)),
    Statement("docs/examples.md", r"(\d+) % of this is scheduling", lambda: (scheduling_share("vanilla"),)),
    Statement("docs/examples.md", r"Inline spends ([\d.]+) µs", lambda: (stage_us("inline", 1),)),
    Statement("docs/examples.md", r"and (\d+) % on scheduling", lambda: (scheduling_share("inline"),)),
    Statement(
        "docs/examples.md",
        r"scheduling takes ([\d.]+) µs of a packet's time with vanilla and ([\d.]+) µs with inline",
        lambda: tuple(stage_us(variant, 16, "scheduling") for variant in ("vanilla", "inline")),
    ),
    Statement(
        "docs/examples.md",
        r"Inline carries ([\d.]+) times as much as vanilla there \([^)]*?([\d.]+) to ([\d.]+)\)",
        lambda: ratio(WHY, ("inline", 16, 16), ("vanilla", 16, 16))[:3],
    ),
    Statement(
        "docs/examples.md",
        r"([\d.]+) times the throughput of threaded \(([\d.]+) to ([\d.]+)\)",
        lambda: ratio(WHY, ("inline", 16, 16), ("threaded", 16, 16))[:3],
    ),
    Statement(
        "docs/examples.md",
        r"threaded carries ([\d.]+) times as much as vanilla \(([\d.]+) to ([\d.]+)\), inline",
        lambda: ratio(WHY, ("threaded", 16, 1), ("vanilla", 16, 1))[:3],
    ),
    Statement(
        "docs/examples.md",
        r"inline ([\d.]+) times \(([\d.]+) to ([\d.]+)\), with",
        lambda: ratio(WHY, ("inline", 16, 1), ("vanilla", 16, 1))[:3],
    ),
    Statement(
        "docs/virtual-time.md",
        r"takes (\d+) % of the CPU time with one tunnel of vanilla, (\d+) % with sixteen",
        lambda: (balancing_share(1), balancing_share(16)),
    ),
    Statement("docs/explain.md", r"add up to ([\d.]+) to ([\d.]+) % of the busy time", covered),
    Statement(
        "docs/examples.md",
        r"inline carries ([\d.]+) times as much as vanilla \([^)]*?([\d.]+) to ([\d.]+), n = (\d+) pairs\)",
        lambda: ratio("example", ("inline", 2, 2), ("vanilla", 2, 2)),
    ),
    Statement(
        "docs/examples.md",
        r"([\d.]+) times as much as threaded \(([\d.]+) to ([\d.]+)\)",
        lambda: ratio("example", ("inline", 2, 2), ("threaded", 2, 2))[:3],
    ),
    Statement(
        "docs/examples.md",
        r"([\d.]+) times as much as the lower mode, in (\d+) rounds, and ([\d.]+) times as much as the upper mode, "
        r"in (\d+)",
        inline_over_modes,
    ),
    Statement(
        "docs/examples.md",
        r"Two tunnels on two cores; (\d+) of (\d+) trials are ok, with n = (\d+)",
        lambda: trials_ok(LOAD),
    ),
    Statement(
        "docs/examples.md",
        r"At (\d+) Mbit/s in each tunnel, .*? vanilla takes ([\d.]+) µs of CPU time for "
        r"each packet, threaded ([\d.]+) µs, and inline ([\d.]+) µs; "
        r"at (\d+) Mbit/s, ([\d.]+), ([\d.]+) and ([\d.]+) µs\. "
        r"As fast as they go, it is ([\d.]+), ([\d.]+) and ([\d.]+) µs",
        packet_costs,
    ),
    Statement("docs/examples.md", r"(124) of (\d+) trials are ok, with n = (\d)", lambda: trials_ok(IPSEC)),
    Statement(
        "docs/examples.md",
        r"cipher, ChaCha20-Poly1305, carries ([\d.]+) times as much as vanilla \(([\d.]+) to ([\d.]+)\)",
        lambda: ratio(IPSEC, ("ipsec-chacha", 2, 2), ("vanilla", 2, 2))[:3],
    ),
    Statement(
        "docs/examples.md",
        r"and ([\d.]+) times as much as inline \(([\d.]+) to ([\d.]+)\)",
        lambda: ratio(IPSEC, ("ipsec-chacha", 2, 2), ("inline", 2, 2))[:3],
    ),
    Statement(
        "docs/examples.md",
        r"takes ([\d.]+) µs of CPU time with it, ([\d.]+) µs with inline, ([\d.]+) µs with threaded and ([\d.]+) µs "
        r"with vanilla",
        lambda: [ipsec_cost_us(name) for name in ("ipsec-chacha", "inline", "threaded", "vanilla")],
    ),
    Statement("docs/examples.md", r"instructions, it takes ([\d.]+) µs", lambda: (ipsec_cost_us("ipsec-gcm"),)),
    Statement(
        "docs/examples.md",
        r"IPsec carries ([\d.]+) times as much as with ChaCha20-Poly1305 \(([\d.]+) to ([\d.]+)\)",
        lambda: ratio(IPSEC, ("ipsec-gcm", 2, 2), ("ipsec-chacha", 2, 2))[:3],
    ),
    Statement("docs/examples.md", r"(171) of (\d+) trials are ok, with n = (\d)", lambda: trials_ok(NETWORK)),
    Statement(
        "docs/examples.md",
        r"without delay and loss, inline carries ([\d.]+) times as much as vanilla \(([\d.]+) to ([\d.]+)\)",
        lambda: inline_over_vanilla(0.0, 0.0)[:3],
    ),
    Statement(
        "docs/examples.md",
        r"delay of 5 ms in each direction it carries ([\d.]+) times as much \(([\d.]+) to ([\d.]+)\), and with 50 ms "
        r"([\d.]+) times \(([\d.]+) to ([\d.]+)\)",
        lambda: [*inline_over_vanilla(0.005, 0.0)[:3], *inline_over_vanilla(0.05, 0.0)[:3]],
    ),
    Statement(
        "docs/examples.md",
        r"With 50 ms the CPUs are idle for (\d+) to (\d+) % of the time, .*? sets the rate, ([\d.]+) to ([\d.]+) "
        r"Gbit/s",
        lambda: [*idle_over_link(0.05, 0.0), *rates_over_link(0.05, 0.0)],
    ),
    Statement(
        "docs/examples.md",
        r"With 5 ms they are idle for only (\d+) to (\d+) %, at ([\d.]+) to ([\d.]+) Gbit/s",
        lambda: [*idle_over_link(0.005, 0.0), *rates_over_link(0.005, 0.0)],
    ),
    Statement(
        "docs/examples.md",
        r"With (1) % of loss and a delay of 5 ms, the variants carry ([\d.]+) to ([\d.]+) Gbit/s",
        lambda: ["1", *rates_over_link(0.005, 0.01)],
    ),
    Statement("docs/examples.md", r"(19) of (\d+) trials are ok, with n = (\d)", lambda: trials_ok(LATENCY)),
    Statement(
        "docs/examples.md",
        r"loses (5) % of the packets: (\d+) kpps with vanilla and (\d+) kpps with threaded\. .*?, at (\d+) kpps",
        lambda: ["5", *rates_kpps(LATENCY)],
    ),
    Statement(
        "docs/examples.md",
        r"Beside (50) % of these rates the median round trip takes ([\d.]+) ms with vanilla, ([\d.]+) ms with threaded "
        r"and ([\d.]+) ms with inline, and the 99th percentile ([\d.]+), ([\d.]+) and ([\d.]+) ms\.",
        lambda: ["50", *round_trips_ms(LATENCY, 0.5, "p50_ms", "p99_ms")],
    ),
    Statement(
        "docs/examples.md",
        r"Beside (90) % it is ([\d.]+), ([\d.]+) and ([\d.]+) ms, and ([\d.]+), ([\d.]+) and ([\d.]+) ms\.",
        lambda: ["90", *round_trips_ms(LATENCY, 0.9, "p50_ms", "p99_ms")],
    ),
    Statement("docs/examples.md", r"(57) of (\d+) trials are ok, with n = (\d)", lambda: trials_ok(LATENCY_TCP)),
    Statement(
        "docs/examples.md",
        r"With (1340) Mbit/s in each tunnel, (90) % of .*? takes ([\d.]+) ms with vanilla, ([\d.]+) ms with threaded "
        r"and ([\d.]+) ms with inline, and the 99th percentile ([\d.]+), ([\d.]+) and ([\d.]+) ms\.",
        lambda: ["1340", "90", *round_trips_ms(LATENCY_TCP, 1340010000.0, "p50_ms", "p99_ms")],
    ),
    Statement(
        "docs/examples.md",
        r"With (744) Mbit/s it is ([\d.]+), ([\d.]+) and ([\d.]+) ms, and ([\d.]+), ([\d.]+) and ([\d.]+) ms\.",
        lambda: ["744", *round_trips_ms(LATENCY_TCP, 744451000.0, "p50_ms", "p99_ms")],
    ),
    Statement(
        "docs/examples.md",
        r"As fast as they go, inline carries ([\d.]+) times as much as vanilla \([^)]*?([\d.]+) to ([\d.]+)\)",
        lambda: fastest_over_vanilla()[:3],
    ),
    Statement(
        "docs/examples.md",
        r"with a median round trip of ([\d.]+) ms, and of ([\d.]+) ms with vanilla and ([\d.]+) ms with threaded",
        lambda: [round_trips_ms(LATENCY_TCP, "max", "p50_ms")[place] for place in (2, 0, 1)],
    ),
    Statement(
        "docs/examples.md",
        r"(14) of (\d+) trials are ok, with n = (\d) in each cell, in (32) minutes",
        lambda: [*trials_ok(REKEY), *minutes(REKEY)],
    ),
    Statement(
        "docs/examples.md",
        r"With one tunnel, vanilla carries ([\d.]+) Gbit/s and inline ([\d.]+) Gbit/s; with 100 tunnels, ([\d.]+) and "
        r"([\d.]+) Gbit/s",
        rekey_gbit,
    ),
    Statement("docs/examples.md", r"within two seconds, ([\d.]+) to ([\d.]+) s after the warm-up", rekey_times_s),
    Statement(
        "docs/examples.md",
        r"of a rekey has (\d+) % of the trial's median rate with vanilla and (\d+) % with inline, and the lowest of "
        r"all other seconds (\d+) % and (\d+) %\.",
        lambda: rekey_seconds(1),
    ),
    Statement(
        "docs/examples.md",
        r"With 100 tunnels it is (\d+) % and (\d+) % near the rekeys, and (\d+) % and (\d+) % elsewhere",
        lambda: rekey_seconds(100),
    ),
    Statement("docs/examples.md", r"(25) of (\d+) trials are ok, with n = (\d)", lambda: trials_ok(ROAMING)),
    Statement(
        "docs/examples.md",
        r"vanilla carries ([\d.]+) times as much as without changes \([^)]*?([\d.]+) to ([\d.]+), n = (\d) pairs\)",
        lambda: roaming_over_not("vanilla"),
    ),
    Statement(
        "docs/examples.md",
        r"inline ([\d.]+) times \(([\d.]+) to ([\d.]+)\)\. No change",
        lambda: roaming_over_not("inline")[:3],
    ),
    Statement(
        "docs/examples.md",
        r"has (\d+) % of the trial's median rate with vanilla and (\d+) % with inline, and the lowest of all other "
        r"seconds (\d+) % and (\d+) % \(medians of (\d) trials each\)",
        lowest_seconds,
    ),
    Statement("docs/examples.md", r"(4) of (\d+) trials are ok: one", lambda: trials_ok(SOAK)[:2]),
    Statement(
        "docs/examples.md",
        r"vanilla carries ([\d.]+) times as much as in the first, threaded ([\d.]+) times and inline ([\d.]+) times",
        lambda: over_minutes("throughput_ratio"),
    ),
    Statement(
        "docs/examples.md",
        r"shrank by (-?[\d.]+), (-?[\d.]+) and (-?[\d.]+) MiB .*? dropped (\d+), (\d+) and (\d+) packets",
        lambda: over_minutes("memory_lost_mib", "drops"),
    ),
    Statement("docs/examples.md", r"(164) of (\d+) trials are ok, with n = (\d)", lambda: trials_ok(PEERS)),
    *(
        Statement(
            "docs/examples.md",
            rf"\| {variant} \| ([\d.]+) Gbit/s \| ([\d.]+) Gbit/s \|",
            partial(peers_gbit, variant, "forward", 100),
        )
        for variant in ("vanilla", "threaded", "workqueue", "steal", "inline")
    ),
    Statement(
        "docs/examples.md",
        r"it costs less: vanilla carries ([\d.]+) Gbit/s there and ([\d.]+) Gbit/s with a device each",
        lambda: peers_gbit("vanilla", "reverse", 100),
    ),
    Statement(
        "docs/examples.md",
        r"With 10 peers .*? vanilla carries ([\d.]+) Gbit/s on a shared one and ([\d.]+) Gbit/s with a device each",
        lambda: peers_gbit("vanilla", "forward", 10),
    ),
    Statement(
        "docs/examples.md",
        r"threaded carries ([\d.]+) times as much as vanilla, and workqueue ([\d.]+) times\. Published are (\d) "
        r"and ([\d.]+) times with",
        lambda: [*map(peers_over_vanilla, ("threaded", "workqueue")), *published("C8"), *published("C8", 1)],
    ),
    Statement(
        "docs/examples.md",
        r"(\d+) % of vanilla's polls at .*? ([\d.]+) packets on average; with threaded it was (\d+) % and ([\d.]+) "
        r"packets, with workqueue (\d+) % and ([\d.]+)\.",
        peers_polls,
    ),
    Statement(
        "docs/examples.md",
        r"It took (64) minutes, and (42) of (\d+) trials are ok, with n = (\d)",
        lambda: [*minutes(FLOWS), *trials_ok(FLOWS)],
    ),
    Statement(
        "docs/examples.md",
        r"128 connections ([\d.]+) times as fast as one interface \(([\d.]+) to ([\d.]+)\); ([\d.]+) times",
        lambda: [*flows_over((32, 128), (1, 128))[:3], *published("C7")],
    ),
    Statement(
        "docs/examples.md",
        r"64 interfaces carry ([\d.]+) times as much as 32 \(([\d.]+) to ([\d.]+)\)\. .*? to ([\d.]+) times",
        lambda: [*flows_over((64, 128), (32, 128))[:3], *published("C7", 1)],
    ),
    Statement(
        "docs/examples.md",
        r"32 interfaces carry ([\d.]+) times as much as 128 \(([\d.]+) to ([\d.]+)\); ([\d.]+) times",
        lambda: [*flows_over((32, 8), (32, 128))[:3], *published("C7", 2)],
    ),
    Statement("docs/examples.md", r"so (C\d) and (C\d) are not testable with this run", lambda: undecidable(VIRTUAL)),
    Statement("docs/examples.md", r"\(inline over vanilla: ([\d.]+) and ([\d.]+)\)", lambda: validated()),
    Statement(
        "docs/traffic.md",
        r"packets of 64 bytes, (\d+) kpps \(inline, closed\) over (\d+) kpps \(vanilla, losses\)",
        smallest_packets,
    ),
    Statement(
        "docs/statistics.md",
        r"is probably in two modes, ([\d.]+) Gbit/s \((\d+) trials\) or ([\d.]+) \((\d+) trials\)",
        threaded_in_modes,
    ),
    Statement(
        "docs/results.md",
        r"take ([\d.]+) packets each.*?threads take (\d+) packets per poll.*?inline (\d+) %",
        poll_numbers,
    ),
    Statement(
        "docs/virtual-time.md",
        r"carries ([\d.]+) and ([\d.]+) Gbit/s: ([\d.]+) and ([\d.]+) times the ([\d.]+) of one tunnel on one core",
        lambda: [
            *(gbit := [median_gbit(VIRTUAL, "inline", cores, cores) for cores in (9, 18)]),
            *(one / median_gbit(VIRTUAL, "inline", 1, 1) for one in gbit),
            median_gbit(VIRTUAL, "inline", 1, 1),
        ],
    ),
    Statement(
        "docs/virtual-time.md",
        r"interval of the efficiency at 18 cores within one boot: ([\d.]+) to ([\d.]+)\)",
        lambda: efficiency(VIRTUAL, "inline", 18)[1:],
    ),
    Statement(
        "docs/virtual-time.md",
        r"(\d+), (\d+) and (\d+) loops that only compute did ([\d.]+), ([\d.]+) and ([\d.]+) times the work of one",
        lambda: [*loops()[::2], *loops()[1::2]],
    ),
    Statement("docs/virtual-time.md", r"times the work of one: within (\d+) %", loops_are_within),
    Statement("docs/virtual-time.md", r"itself was ([\d.]+) to ([\d.]+) times as fast in that run's blocks", alone),
)

_SETTING = "a limit, a version, a default or an explanation: nothing that was measured"
_PUBLISHED = "published numbers and tolerances, which `orch artifact` takes from experiments/claims"
_SIMULATED = "simulated, by a benchmark or a test that the section names"


@dataclass(frozen=True)
class Measured:
    """A measurement of which no run is kept. ``n`` and ``where``: its size and the computer, as they must occur in the
    file."""

    n: str
    where: str


_TWO_CORES = r"two cores of a shared virtual machine \(AMD EPYC, Zen 4\)"
# (file, heading): why there is no shipped run for its other numbers.
ELSEWHERE: dict[tuple[str, str], str | Measured] = {
    ("README.md", "Two commands"): _SETTING,
    ("docs/install.md", "In a checkout"): _SETTING,
    ("docs/install.md", "With pip or pipx"): _SETTING,
    ("docs/glossary.md", "Results"): _SETTING,
    ("docs/explain.md", "Where the time goes: profiles"): Measured("one trial each", "virtual time"),
    ("docs/experiments.md", "Cost at the same load"): _SETTING,
    ("docs/experiments.md", "Latency under load"): _SETTING,
    ("docs/experiments.md", "Packet rates"): _SETTING,
    ("docs/guide.md", "The experiments"): _SETTING,
    ("docs/guide.md", "Factors"): _SETTING,
    ("docs/guide.md", "Your own testbed"): _SETTING,
    ("docs/archive.md", "What is in it"): _SETTING,
    ("docs/archive.md", "How it is read"): Measured("best of 3", "two cores that other programs used too"),
    ("docs/artifact.md", "What it needs"): _SETTING,
    ("docs/artifact.md", "Claims"): _PUBLISHED,
    ("docs/kernel.md", "WireGuard's data path, before and after"): _SETTING,
    ("docs/kernel.md", "Batched"): Measured("six rounds of 2 s in one boot", "two virtual CPUs"),
    ("docs/kernel.md", "What had to be handled"): Measured("n was not recorded", "2 virtual CPUs; n was"),
    ("docs/kernel.md", "Where to decrypt"): Measured("5 rounds of 3 s", "2 virtual CPUs, gateway to gateway"),
    ("docs/kernel.md", "What each change gave"): Measured(
        "81 trials in one boot", "a shared virtual machine with 2 cores"
    ),
    ("docs/kernel.md", "The lab kernel"): Measured("n was not recorded", "One tunnel, two virtual CPUs"),
    ("docs/kernel.md", "How it is tested"): _SETTING,
    ("docs/explain.md", "How a limit is found"): _SETTING,
    ("docs/explain.md", "Packet rates"): _SETTING,
    ("docs/results.md", "Limits"): Measured(r"n = 2 each", "a lab that used both cores of a computer"),
    ("docs/results.md", "Where polls run"): _SETTING,
    ("docs/results.md", "How many repetitions"): _SETTING,
    ("docs/results.md", "Boots"): _SIMULATED,
    ("docs/results.md", "Figures"): Measured(r"n = 1", "benchmarks/drawing.py"),
    ("docs/statistics.md", "Laws of scaling"): _SIMULATED,
    ("docs/statistics.md", "Claims"): _SIMULATED,
    ("docs/testbeds.md", "In a container"): Measured("14 of 14 trials ok", "a busy computer"),
    ("docs/traffic.md", "iperf3"): _SETTING,
    ("docs/traffic.md", "pktgen"): _SETTING,
    ("docs/traffic.md", "Open and closed loop"): _SETTING,
    ("docs/traffic.md", "The baseline"): _SETTING,
    ("docs/traffic.md", "How well it finds what is known"): Measured(
        "in 2 of 2 searches", "On two cores that other programs"
    ),
    ("docs/traffic.md", "Paths"): _SETTING,
    ("docs/virtual-time.md", "How time passes"): _SETTING,
    ("docs/virtual-time.md", "Limits"): _SETTING,
    ("docs/virtual-time.md", "Two CPUs in real and in virtual time"): Measured("six rounds of 2 s", _TWO_CORES),
    ("docs/virtual-time.md", "The quantum"): Measured("median of the six ratios within a round", _TWO_CORES),
    ("docs/virtual-time.md", "Beside another program"): Measured("median of the six ratios within a round", _TWO_CORES),
    ("docs/virtual-time.md", "What limits 16 cores"): Measured("three trials", _TWO_CORES),
    ("docs/virtual-time.md", "Do the polls of many tunnels converge?"): Measured(
        "one recorded trial per variant; three more", _TWO_CORES
    ),
    ("docs/virtual-time.md", "The same kernel without virtual time"): Measured("six rounds in turn", _TWO_CORES),
    ("docs/virtual-time.md", "Faults that these comparisons found"): Measured(
        "when 16 of them shared two cores", _TWO_CORES
    ),
    ("docs/virtual-time.md", "The control"): Measured("40 repetitions each", _TWO_CORES),
    ("docs/virtual-time.md", "Delay and loss of a link"): Measured("one trial each", _TWO_CORES),
    ("docs/virtual-time.md", "Cost"): Measured("one run each", _TWO_CORES),
}


def as_written(value: float | str, written: str) -> str:
    """Return a value rounded as it is written."""
    if isinstance(value, str):
        return value
    return f"{value:.{len(written.partition('.')[2])}f}"


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda one: f"{one.file}: {one.pattern[:40]}")
def test_a_statement_is_what_the_shipped_run_shows(statement: Statement) -> None:
    (found,) = re.finditer(statement.pattern, text_of(statement.file))
    numbers = list(statement.numbers())
    assert list(found.groups()) == [as_written(v, w) for v, w in zip(numbers, found.groups(), strict=True)]


# A number that is a result: with a decimal point, a unit, or a sample size; no version and no p-value.
NUMBER = re.compile(
    r"(?<![\w.-])(?<!Linux )(?<!Python )(?<!iperf3 )(?<!Ubuntu )(?<!p = )"
    r"(?:\d+\.\d+(?![\d.]*[\w-])|\d+(?= (?:[GM]bit/s|[kM]pps|times\b|wall seconds|trials\b|packets per poll))"
    r"|(?<=n = )\d+|\d+(?= ?%(?! interval| within)))"
)


def sections(file: str) -> Iterator[tuple[str, str]]:
    """Return (heading, paragraph with single spaces) for a file, without commands, which are indented."""
    heading = ""
    for block in re.split(r"\n\s*\n", (CHECKOUT / file).read_text(encoding="utf-8")):
        lines = block.splitlines()
        for line in lines:
            heading = line.strip("# ") if line.startswith("#") else heading
        kept = [line for line in lines if not line.startswith(("#", "    "))]
        if kept:
            yield heading, " ".join(" ".join(kept).split())


def unchecked(file: str) -> Iterator[tuple[str, str]]:
    """Return (heading, number with its surroundings) for numbers that no statement checks, except in sections marked as
    simulated."""
    simulated = {heading for heading, paragraph in sections(file) if re.search("[Ss]imulated", paragraph)}
    patterns = [one.pattern for one in STATEMENTS if one.file == file]
    for heading, paragraph in sections(file):
        spans = [
            found.span(group)
            for pattern in patterns
            for found in re.finditer(pattern, paragraph)
            for group in range(1, len(found.groups()) + 1)
        ]
        for number in NUMBER.finditer(paragraph):
            if heading not in simulated and not any(
                start <= number.start() and number.end() <= end for start, end in spans
            ):
                yield heading, paragraph[max(0, number.start() - 30) : number.end() + 25]


@pytest.mark.parametrize("file", FILES)
def test_every_other_number_has_its_reason(file: str) -> None:
    found = list(unchecked(file))
    unknown = [f"{heading}: {around}" for heading, around in found if (file, heading) not in ELSEWHERE]
    assert not unknown, "check it with a statement, or say in ELSEWHERE why no shipped run is behind it"
    reasons = {heading for of, heading in ELSEWHERE if of == file}
    assert reasons <= {heading for heading, _ in sections(file)}, "there are no such sections any more"


@pytest.mark.parametrize("file", FILES)
def test_a_sentence_about_a_shipped_run_has_no_unchecked_number(file: str) -> None:
    patterns = [one.pattern for one in STATEMENTS if one.file == file]
    for _, paragraph in sections(file):
        for sentence in re.split(r"(?<=[.:!?]) (?=[A-Z])", paragraph):
            if re.search(r"results/example(?!\S* RUN)", sentence) and NUMBER.search(sentence):
                assert any(re.search(pattern, sentence) for pattern in patterns), sentence


def test_measurements_elsewhere_say_how_many_and_on_what() -> None:
    for (file, heading), reason in ELSEWHERE.items():
        if isinstance(reason, Measured):
            assert re.search(reason.n, text_of(file)), (file, heading)
            assert re.search(reason.where, text_of(file)), (file, heading)


def page_of(name: str) -> str:
    """Return the text of an example's page, without tags and figures. If it is not current: orch report
    results/NAME."""
    page = (RESULTS / name / "report.html").read_text(encoding="utf-8")
    page = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_page_of_an_example_says_what_its_run_shows(name: str) -> None:
    shown, page = run(name), page_of(name)
    found = headline(shown)
    assert found.verdict in page
    for lead in found.leads:
        numbers = f"{lead.median:.2f} times as much as {lead.other}"
        assert numbers in page
        spread = f"{lead.interval.low:.2f} to {lead.interval.high:.2f}, n = {lead.n} pairs"
        assert (spread if lead.n > 1 else "(n = 1 pair)") in page
    for remark in found.remarks:
        assert remark in page
    for found_verdict in shown.verify():
        assert f"{found_verdict.claim} · {found_verdict.title} {found_verdict.verdict} " in page


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_claims_file_of_an_example_says_what_its_run_shows(name: str) -> None:
    stored = json.loads((RESULTS / name / "claims.json").read_text(encoding="utf-8"))
    assert stored["verdicts"] == json.loads(json.dumps([verdict.to_json() for verdict in run(name).verify()]))
