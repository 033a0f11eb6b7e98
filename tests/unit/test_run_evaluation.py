# SPDX-License-Identifier: Apache-2.0
"""From what the tools printed to numbers and a verdict: a wrong or missing report is never a number."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.run import iperf3, probes
from orchestrator.run.judge import Evidence, Passage, Verdict, judge, variation
from orchestrator.run.pktgen import Load
from orchestrator.run.streams import BadReport, Stream
from orchestrator.spec import LIMIT_NAMES, Limits


def report(section: str, **values: Any) -> str:
    return json.dumps({"end": {section: values}})


def processes(client: str | None = None, server: str | None = None, status: int | None = 0) -> dict[str, Any]:
    good_client = report("sum_sent", retransmits=7, bytes=1000)
    good_server = report("sum_received", seconds=2.0, bytes=1000)
    return {
        "client-1": {"status": status, "out": good_client if client is None else client, "err": ""},
        "server-1": {"status": 0, "out": good_server if server is None else server, "err": ""},
    }


def test_the_receivers_count_is_the_throughput() -> None:
    stream = iperf3.read_stream(1, processes())
    assert stream.throughput_bps == 4000
    assert stream.duration_s == 2.0
    assert stream.retransmits == 7


@pytest.mark.parametrize(
    ("given_processes", "sentence"),
    [
        (processes(client=""), "gave no report"),
        (processes(server="{"), "gave no report"),
        (processes(client="[]"), "no report"),
        (processes(client='{"error": "unable to connect"}'), "unable to connect"),
        (processes(status=1), "status 1"),
        (processes(status=None), "did not end in time"),
        (processes(server="{}"), r"no end\.sum_received\.seconds"),
        (processes(server=report("sum_received", seconds=2.0, bytes=0)), "counted 0 bytes"),
        (processes(server=report("sum_received", seconds=0, bytes=10)), "in 0 s"),
        (processes(server=report("sum_received", seconds=True, bytes=10)), "has no"),
        (processes(server=report("sum_received", seconds=2.0, bytes=math.inf)), "has no"),
        (processes(server=report("sum_received", seconds=math.nan, bytes=10)), "has no"),
        ({"client-1": processes()["client-1"]}, "left no trace"),
    ],
)
def test_a_bad_report_is_a_failure_with_a_reason(given_processes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadReport, match=sentence):
        iperf3.read_stream(1, given_processes)


@given(st.text())
def test_whatever_iperf3_prints_is_a_number_or_a_reason(text: str) -> None:
    try:
        stream = iperf3.read_stream(1, processes(server=text))
    except BadReport:
        return
    assert stream.throughput_bps > 0


LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
KEYS = st.sampled_from(["end", "intervals", "sum", "sum_received", "sum_sent", "seconds", "bytes", "error", "omitted"])
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))


@given(VALUES, VALUES, VALUES)
def test_a_report_of_any_form_is_a_number_or_a_reason(client: Any, intervals: Any, received: Any) -> None:
    server = {"end": {"sum_received": received}, "intervals": intervals}
    for reports in (
        processes(client=json.dumps(client)),
        processes(server=json.dumps(client)),
        processes(server=json.dumps(server)),
    ):
        try:
            found = iperf3.read_stream(1, reports)
        except BadReport:
            continue
        assert 0 < found.throughput_bps < math.inf


def test_command_lines_take_whole_seconds_and_the_tunnels_addresses() -> None:
    (client,) = iperf3.clients("client", 1, 4, 1.0, 3.0)
    words = client["arguments"]
    assert words[words.index("--omit") + 1] == "1"
    assert words[words.index("--time") + 1] == "3"
    assert words[words.index("--parallel") + 1] == "4"
    (server,) = iperf3.servers("server", 1)
    assert "--one-off" in server["arguments"]


def stream(duration_s: float = 3.0, **changes: Any) -> Stream:
    return replace(Stream(1, 1e9, duration_s, 1000, 0, 1_368_000, (1e9, 1e9, 1e9)), **changes)


def evidence(streams: list[Stream] | None = None, *, window_s: float = 3.0, **changes: Any) -> Evidence:
    """Of a good attempt but for ``changes``; names that evidence does not have are probes."""
    own = {name: changes.pop(name) for name in list(changes) if name in Evidence.__dataclass_fields__}
    probes = {"window_s": window_s, "clock_step_s": 0.0, **changes}
    fields: dict[str, Any] = {"duration_s": 3.0, "handshake_age_s": 5.0, **own}
    return Evidence(streams if streams is not None else [stream()], probes, **fields)


def computer(**changes: float) -> dict[str, Any]:
    return {"elapsed_s": 4.0, "other_s": 0.0, "steal_s": 0.0, "throttled": 0, **changes}


def interfaces(**counts: int) -> dict[str, Any]:
    return {"gateway-a": {"wg1": {"rx_packets": 100, "tx_packets": 100, "rx_drops": 0, "tx_drops": 0, **counts}}}


def test_a_good_attempt_breaks_no_limit() -> None:
    verdict = judge(
        evidence(computer=computer(), interfaces=interfaces(), passages=[Passage("x", 1000, 950)]), Limits()
    )
    assert verdict == Verdict()


def load(**changes: Any) -> Load:
    whole = Load(1e5, 1000, 900, 0.01, {"gateway-a/wan0 rx": 100}, 0, 1e5)
    return replace(whole, **changes)


BROKEN = [
    (evidence([stream(2.0)]), "duration", "received over 2.00 s"),
    (evidence(window_s=4.0), "window", "sampled over 4.00 s"),
    (evidence(clock_step_s=-3.0), "clock_step", "clock jumped by -3.00 s"),
    (evidence(handshake_age_s=130.0), "rekey", "130 s old"),
    (evidence(rekeyed=["gateway-a/wg1"]), "rekey", "gateway-a/wg1"),
    (evidence(before={"seconds": 0.02, "packets": 500}), "stray_traffic", "500 packets passed in the 0.02 s before"),
    (evidence(kernel_log=["WARNING: at x"]), "kernel_log", "WARNING: at x"),
    (evidence(passages=[Passage("tunnel 1", 1000, 500)]), "counters", "tunnel 1 carried 500 bytes"),
    (evidence(computer=computer(other_s=2.0)), "competing_load", "50% of a core"),
    (evidence(computer=computer(steal_s=1.0)), "steal", "25% of a core from this computer"),
    (evidence(per_cpu=[{"cpu": 0, "steal_s": 1.5}]), "steal", "50% of a core from the host"),
    (
        evidence(others={"left": {"cores": 0.0, "names": []}, "right": {"cores": 0.4, "names": ["cc1", "make"]}}),
        "competing_load",
        "other programs (cc1, make) used 40% of a core of right",
    ),
    (evidence(computer=computer(throttled=2)), "throttling", "this computer's CPUs were throttled 2 times"),
    (evidence(throttled=1), "throttling", "the host's CPUs were throttled 1 time"),
    (evidence(frequency_khz_before=3e6, frequency_khz_after=2e6), "frequency", "from 3000 to 2000 MHz"),
    (evidence(interrupts_moved=["24"]), "interrupts", "24"),
    (evidence([stream(retransmits=30)]), "retransmits", "3.0% of the segments"),
    (evidence(interfaces=interfaces(tx_drops=100)), "drops", "gateway-a/wg1 dropped 50.0%"),
    (evidence([stream(rates_bps=(1e9, 0.0, 1e9, 0.0))]), "variation", "varied by 100%"),
    (
        evidence([], loads=[load(unexplained=3)]),
        "unexplained",
        "3 of 1000 packets were lost at 100 kpps",
    ),
]


@pytest.mark.parametrize(("given_evidence", "name", "words"), BROKEN)
def test_each_broken_limit_is_named(given_evidence: Evidence, name: str, words: str) -> None:
    verdict = judge(given_evidence, Limits())
    (sentence,) = verdict.broken
    assert words in sentence
    assert verdict.names == [name]
    marked = judge(given_evidence, Limits(report_only=(name,)))
    assert (marked.broken, marked.marks) == ([], [sentence])


def test_every_limit_of_a_spec_can_be_broken() -> None:
    marking = {"headroom", "clock_skew"}
    assert {name for _, name, _ in BROKEN} | marking == set(LIMIT_NAMES)
    assert set(Limits().report_only) == marking


def test_what_only_marks_leaves_an_attempt_valid() -> None:
    verdict = judge(evidence(baseline=1.05e9, clock_skew_s=-3600.0), Limits())
    assert verdict.broken == []
    assert ["95%" in verdict.marks[1], "-3600.00 s" in verdict.marks[0]] == [True, True]


def test_of_packets_losses_are_what_is_measured_and_a_generator_that_is_slow_is_marked() -> None:
    lossy = evidence([], loads=[load()], interfaces=interfaces(tx_drops=100))
    assert judge(lossy, Limits()) == Verdict()
    slow = judge(evidence([], loads=[load(offered_pps=5e4, unexplained=-2)]), Limits())
    assert slow.broken == []
    assert "it sent 50 kpps of the 100 that were asked for" in slow.marks[0]
    assert "2 packets more were dropped than were lost" in slow.marks[1]
    near = judge(evidence([], loads=[load()], carried=9e4, baseline=9.1e4), Limits())
    assert "generator-bound: 99%" in near.marks[0]


def test_below_three_seconds_nothing_is_said_of_the_variation() -> None:
    assert variation([stream(rates_bps=(1e9, 0.0))]) is None
    assert variation([stream(rates_bps=(1.0, 3.0, 1.0)), stream(rates_bps=(3.0, 1.0, 3.0))]) == 0.0


SOFTIRQS = "                    CPU0       CPU1\n      NET_RX:  {}  {}\n       TIMER:  5  6\n"
DEVICES = """\
Inter-|   Receive
 face |bytes
    lo: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
  wg1: {} 2 0 1 0 0 0 0 9 3 0 0 0 0 0 0
"""


def sample(at: float, ticks: int, packets: int) -> dict[str, Any]:
    return {
        "at_monotonic_s": at,
        "clock_s": 1000.0 + at,
        "ticks_per_s": 100,
        "cpus": {"0": [ticks, ticks, 0, 0, 0, 0, 0, 0], "1": [0, 0, 0, ticks, 0, 0, 0, 0]},
        "softirqs": SOFTIRQS.format(packets, 2 * packets),
        "interfaces": {"gateway-a": DEVICES.format(packets)},
    }


def surroundings(cpu: int) -> dict[str, Any]:
    return {"interrupts": {"4": str(cpu), "5": "0-1"}, "throttled": cpu, "frequency_khz": []}


def test_probes_are_the_difference_of_two_samples() -> None:
    found = probes.between([sample(10.0, 100, 7), sample(12.0, 200, 17)], [surroundings(1), surroundings(2)])
    assert found["window_s"] == 2.0
    assert found["interrupts_moved"] == ["4"]
    assert found["throttled"] == 1
    assert found["per_cpu"][0]["user_s"] == 2.0
    assert found["per_cpu"][1]["idle_s"] == 1.0
    assert [row["NET_RX"] for row in found["softirqs"]] == [10, 20]
    assert found["interfaces"]["gateway-a"] == {
        "wg1": {"rx_bytes": 10, "rx_packets": 0, "rx_drops": 0, "tx_bytes": 0, "tx_packets": 0, "tx_drops": 0}
    }


def test_probes_of_several_hosts_say_the_host_and_keep_the_worst() -> None:
    def answer(until: float, role: str, packets: int) -> dict[str, Any]:
        samples = [sample(10.0, 100, 7), sample(until, 200, 17)]
        for one in samples:
            one["interfaces"] = {role: one["interfaces"]["gateway-a"]}
        before = {"seconds": 0.1 * packets, "packets": packets}
        others = {"cores": 0.1 * packets, "names": ["cc1"]}
        around = [surroundings(1), surroundings(2)]
        return {"samples": samples, "surroundings": around, "before": before, "others": others}

    found = probes.of_hosts({"left": answer(12.0, "client", 3), "right": answer(12.7, "server", 5)}, 2.0)
    assert found["window_s"] == 2.7
    assert [(row["host"], row["cpu"]) for row in found["per_cpu"]] == [
        ("left", 0),
        ("left", 1),
        ("right", 0),
        ("right", 1),
    ]
    assert set(found["interfaces"]) == {"client", "server"}
    assert found["interrupts_moved"] == ["left: 4", "right: 4"]
    assert found["throttled"] == 2
    assert found["before"] == {"seconds": 0.5, "packets": 8}
    assert found["frequency_khz_after"] is None
    assert found["others"]["right"] == {"cores": 0.5, "names": ["cc1"]}
