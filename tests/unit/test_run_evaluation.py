# SPDX-License-Identifier: Apache-2.0
"""From the output of tools to numbers and a verdict: a wrong or missing report never becomes a number."""

import json
import math
from collections import Counter
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.measure import layout, probes, shares
from orchestrator.measure.judge import Evidence, Passage, Verdict, judge, variation
from orchestrator.measure.load import Load
from orchestrator.measure.streams import BadReport, Stream
from orchestrator.spec import LIMIT_NAMES, Limits
from orchestrator.tools.iperf3 import goodput
from orchestrator.tools.iperf3 import pairs as iperf3
from orchestrator.tools.iperf3 import report as iperf3_report
from orchestrator.tools.iperf3.traffic import Iperf3Traffic
from orchestrator.tools.protocol import Reading

TCP = Iperf3Traffic(duration="2s")
UDP = Iperf3Traffic(protocol="udp", bitrate="1 Mbit/s", duration="2s")
REVERSE, BOTH = Iperf3Traffic(direction="reverse", duration="2s"), Iperf3Traffic(direction="both", duration="2s")
UDP_BOTH = Iperf3Traffic(protocol="udp", bitrate="1 Mbit/s", direction="both", duration="2s")


def report(section: str, **values: Any) -> str:
    return json.dumps({"end": {section: values}})


def processes(client: str | None = None, server: str | None = None, status: int | None = 0) -> dict[str, Any]:
    good_client = report("sum_sent", retransmits=7, bytes=1000)
    good_server = report("sum_received", seconds=2.0, bytes=1000)
    return {
        "client-1": {"status": status, "out": good_client if client is None else client, "err": ""},
        "server-1": {"status": 0, "out": good_server if server is None else server, "err": ""},
    }


def read(traffic: Iperf3Traffic, given_processes: dict[str, Any]) -> list[Stream]:
    (pair,) = iperf3.pairs(1, traffic)
    return iperf3_report.read_pair(pair, traffic, given_processes)


def test_the_receivers_count_is_the_throughput() -> None:
    (stream,) = read(TCP, processes())
    assert stream.throughput_bps == 4000
    assert stream.duration_s == 2.0
    assert stream.retransmits == 7
    assert stream.jitter_s is None


def counted(received: int, sent: int, **more: Any) -> dict[str, Any]:
    """Return both sums of a direction as the counting side reports them; the other side counts nothing."""
    return {"sum_received": {"seconds": 2.0, "bytes": received, **more}, "sum_sent": {"bytes": sent, **more}}


# The end of each side's report if both directions are used, which is the same in iperf3 3.12 and 3.18.
CLIENT = {
    **counted(0, 5000, retransmits=3, packets=1 << 64),
    **{
        f"{name}_bidir_reverse": part
        for name, part in counted(2000, 0, packets=10, lost_packets=5, jitter_ms=2.0).items()
    },
}
SERVER = {
    **counted(1000, 0, packets=10, lost_packets=1, jitter_ms=0.5),
    **{f"{name}_bidir_reverse": part for name, part in counted(0, 7000, retransmits=4, packets=1 << 64).items()},
}


def in_both_directions() -> dict[str, Any]:
    def intervals(forward: float, reverse: float) -> list[dict[str, Any]]:
        rows = [
            {"sum": {"bits_per_second": forward}, "sum_bidir_reverse": {"bits_per_second": reverse}} for _ in range(3)
        ]
        for number, row in enumerate(rows):
            for part in row.values():
                part.update(seconds=1.0, omitted=number == 0)
        return rows

    client = {"start": {"version": "iperf 3.12"}, "intervals": intervals(1, 2), "end": CLIENT}
    server = {"start": {"version": "iperf 3.18"}, "intervals": intervals(3, 4), "end": SERVER}
    return processes(client=json.dumps(client), server=json.dumps(server))


def test_each_direction_is_what_its_own_receiver_counted() -> None:
    forward, reverse = read(BOTH, in_both_directions())
    assert (forward.direction, reverse.direction) == ("forward", "reverse")
    assert (forward.received_bytes, forward.sent_bytes, forward.retransmits) == (1000, 5000, 3)
    assert (reverse.received_bytes, reverse.sent_bytes, reverse.retransmits) == (2000, 7000, 4)
    assert (forward.rates_bps, reverse.rates_bps) == ((3.0, 3.0), (2.0, 2.0))
    assert iperf3_report.versions(in_both_directions()) == ["iperf 3.12", "iperf 3.18"]


def test_in_reverse_the_client_counts_and_the_server_sends() -> None:
    client, server = report("sum_received", seconds=2.0, bytes=500), report("sum_sent", bytes=900, retransmits=2)
    (stream,) = read(REVERSE, processes(client=client, server=server))
    assert (stream.throughput_bps, stream.retransmits, stream.direction) == (2000, 2, "reverse")


def test_udp_has_loss_and_jitter_and_no_retransmits() -> None:
    forward, reverse = read(UDP_BOTH, in_both_directions())
    assert (forward.packets, forward.lost, forward.jitter_s, forward.retransmits) == (10, 1, 0.0005, 0)
    assert (reverse.packets, reverse.lost, reverse.jitter_s) == (10, 5, 0.002)


def test_datagrams_that_come_late_across_the_end_of_the_warm_up_are_not_a_loss() -> None:
    server = report("sum_received", seconds=2.0, bytes=1000, packets=9, lost_packets=-2, jitter_ms=0.1)
    (stream,) = read(UDP, processes(server=server))
    assert stream.lost == 0


@pytest.mark.parametrize(
    ("given_processes", "sentence"),
    [
        (processes(client=""), "gave no report"),
        (processes(server="{"), "gave no report"),
        (processes(server="[" * 100_000), "gave no report"),
        (processes(client="[]"), "not a report"),
        (processes(client='{"error": "unable to connect"}'), "unable to connect"),
        (processes(status=1), "status 1"),
        (processes(status=None), "did not end in time"),
        (processes(server="{}"), r"no end\.sum_received\.seconds"),
        (processes(server=report("sum_received", seconds=2.0, bytes=0)), "counted 0 bytes"),
        (processes(server=report("sum_received", seconds=0, bytes=10)), "in 0 s"),
        (processes(server=report("sum_received", seconds=True, bytes=10)), "has no"),
        (processes(server=report("sum_received", seconds=2.0, bytes=math.inf)), "has no"),
        (processes(server=report("sum_received", seconds=math.nan, bytes=10)), "has no"),
        ({"client-1": processes()["client-1"]}, "no result of iperf3"),
    ],
)
def test_a_bad_report_is_a_failure_with_a_reason(given_processes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadReport, match=sentence):
        read(TCP, given_processes)


def shared_connections(*received: int) -> dict[str, Any]:
    """Return the output of the processes of connections that share tunnels."""
    found = {}
    for number, count in enumerate(received, 1):
        one = processes(server=report("sum_received", seconds=2.0, bytes=count))
        found |= {f"client-{number}": one["client-1"], f"server-{number}": one["server-1"]}
    return found


def goodput_of(printed: dict[str, Any], **asked: Any) -> Reading:
    traffic = Iperf3Traffic.model_validate(
        {"duration": "2s", **(asked or {"paths": "ecmp", "connections": len(printed) // 2})}
    )
    attempt: Any = SimpleNamespace(
        trial=SimpleNamespace(traffic=traffic, levels=SimpleNamespace(tunnels=1)),
        generator_carries=4000.0,
        net=SimpleNamespace(mtu=1420),
    )
    return goodput.read(attempt, printed)


@pytest.mark.parametrize(("bitrate", "bound"), [("max", True), ("4 kbit/s", False)])
def test_what_a_bit_rate_asks_for_is_not_called_bound_by_the_generator(bitrate: str, bound: bool) -> None:
    found = goodput_of(processes(), bitrate=bitrate).evidence
    marks = judge(evidence(**found), Limits()).marks
    assert any("generator-bound" in mark for mark in marks) is bound


def test_of_connections_that_share_tunnels_one_may_carry_nothing_and_it_is_said() -> None:
    found = goodput_of(shared_connections(1000, 0, 500))
    assert [one["throughput_bps"] for one in found.measurements["streams"]] == [4000, 0, 2000]
    assert found.measurements["throughput_bps"] == 6000
    marks = judge(evidence(streams=found.evidence["streams"]), Limits()).marks
    assert "1 of 3 connections carried nothing in the measured time" in marks
    with pytest.raises(BadReport, match="none of 2 receivers counted a byte"):
        goodput_of(shared_connections(0, 0))


@given(st.text())
def test_whatever_iperf3_prints_is_a_number_or_a_reason(text: str) -> None:
    try:
        (stream,) = read(TCP, processes(server=text))
    except BadReport:
        return
    assert stream.throughput_bps > 0


LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)


def rates_of(*intervals: tuple[float, float]) -> tuple[float, ...]:
    """Return the rate in each second of a receiver's intervals (length in seconds, bits per second)."""
    rows = [{"sum": {"seconds": 1.4, "bits_per_second": 99.0, "omitted": True}}]
    rows += [{"sum": {"seconds": seconds, "bits_per_second": rate, "omitted": False}} for seconds, rate in intervals]
    end = {"sum_received": {"seconds": 2.0, "bytes": 1000}}
    (found,) = read(TCP, processes(server=json.dumps({"intervals": rows, "end": end})))
    return found.rates_bps


def test_the_bytes_of_a_late_interval_belong_to_all_its_seconds() -> None:
    assert rates_of((1.0, 10.0), (2.5, 20.0), (0.5, 40.0), (0.3, 7.0)) == (10.0, 20.0, 20.0, 30.0)
    assert rates_of((1.0005, 10.0), (0.9995, 20.0), (0.95, 30.0)) == pytest.approx((10.0, 19.995, 30.0))
    assert rates_of((math.nan, 10.0), (-1.0, 10.0), (1.0, 5.0)) == (5.0,)


@given(st.lists(st.tuples(st.floats(0.05, 3), st.floats(0, 1e10)), min_size=1, max_size=30))
def test_the_seconds_up_to_any_moment_have_the_bits_of_the_intervals_up_to_it(
    intervals: list[tuple[float, float]],
) -> None:
    ends = np.cumsum([0.0, *(seconds for seconds, _ in intervals)])
    bits = np.cumsum([0.0, *(seconds * rate for seconds, rate in intervals)])
    found = rates_of(*intervals)
    assert int(ends[-1]) <= len(found) <= ends[-1] + 0.1 + 1e-6
    for moment in range(1, int(ends[-1]) + 1):
        assert sum(found[:moment]) == pytest.approx(np.interp(moment, ends, bits), rel=1e-6, abs=1e-3)


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
        iperf3_report.versions(reports)
        try:
            (found,) = read(TCP, reports)
        except BadReport:
            continue
        assert 0 < found.throughput_bps < math.inf


def paths_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Yield every path in a JSON value."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in parts for place in paths_in(inner, (*path, key)))]


@given(st.data(), st.sampled_from([TCP, UDP, REVERSE, BOTH, UDP_BOTH]), st.sampled_from(["client-1", "server-1"]))
def test_a_mutilated_report_is_what_it_was_or_a_reason(data: st.DataObject, traffic: Iperf3Traffic, name: str) -> None:
    """In good reports, one part is replaced by anything, or a report is truncated: the result is a possible number or a
    reason, and no other exception."""
    good = in_both_directions()
    if data.draw(st.booleans()):
        text = good[name]["out"]
        good[name]["out"] = text[: data.draw(st.integers(0, len(text) - 1))]
    else:
        content = json.loads(good[name]["out"])
        path = data.draw(st.sampled_from([place for place in paths_in(content) if place]))
        holder = content
        for key in path[:-1]:
            holder = holder[key]
        if data.draw(st.booleans()):
            holder[path[-1]] = data.draw(VALUES)
        else:
            del holder[path[-1]]
        good[name]["out"] = json.dumps(content)
    try:
        streams = read(traffic, good)
    except BadReport:
        return
    for stream in streams:
        assert 0 < stream.throughput_bps < math.inf
        assert 0 <= stream.lost <= stream.packets or traffic.protocol == "tcp"
        assert stream.retransmits >= 0


def test_command_lines_take_whole_seconds_and_the_tunnels_addresses() -> None:
    traffic = Iperf3Traffic(streams=4, warm_up="1s", duration="3s")
    pairs = iperf3.pairs(1, traffic)
    (client,) = iperf3.clients("client", pairs, traffic)
    words = client["arguments"]
    assert words[words.index("--omit") + 1] == "1"
    assert words[words.index("--time") + 1] == "3"
    assert words[words.index("--parallel") + 1] == "4"
    assert words[words.index("--bind") + 1] == "10.64.1.1"
    (server,) = iperf3.servers("server", pairs)
    assert "--one-off" in server["arguments"]
    assert {client["preload"], server["preload"]} == {"libgcc_s.so.1"}  # loaded at its end, it may fail


def test_a_server_waits_for_its_client_while_a_thousand_pairs_are_started() -> None:
    # On two cores of the lab, two thousand processes take about two minutes.
    for tunnels, seconds in ((1, "30"), (1000, "230")):
        words = iperf3.servers("server", iperf3.pairs(tunnels, Iperf3Traffic(duration="3s")))[0]["arguments"]
        assert words[words.index("--idle-timeout") + 1] == seconds


OPTIONS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"direction": "reverse"}, ["--reverse"]),
    ({"direction": "both"}, ["--bidir"]),
    ({"protocol": "udp", "bitrate": "1 Mbit/s"}, ["--udp", "--length", "1392", "--bitrate", "1000000"]),
    ({"protocol": "udp", "bitrate": "1 Mbit/s", "ip_version": 6}, ["--length", "1372"]),
    ({"protocol": "udp", "bitrate": "1 Mbit/s", "datagram": "100 B"}, ["--length", "100"]),
    ({"protocol": "udp", "bitrate": "1 Mbit/s", "streams": 2, "processes": 5}, ["--bitrate", "100000"]),
    ({"bitrate": "1 bit/s", "streams": 9}, ["--bitrate", "1"]),
    ({"window": "1 MiB"}, ["--window", "1048576"]),
    ({"congestion": "bbr"}, ["--congestion", "bbr"]),
    ({"mss": "1000 B"}, ["--set-mss", "1000"]),
    ({"zerocopy": True}, ["--zerocopy"]),
    ({"affinity": True}, ["--affinity", "2,5"]),
]


@pytest.mark.parametrize(("given_traffic", "words"), OPTIONS)
def test_each_option_of_the_traffic_is_one_of_iperf3(given_traffic: dict[str, Any], words: list[str]) -> None:
    traffic = Iperf3Traffic(duration="3s", **given_traffic)
    client = iperf3.clients("client", iperf3.pairs(1, traffic), traffic, ([2, 3], [5]))[0]
    said = client["arguments"]
    for option, value in zip(words, [*words[1:], "--"], strict=False):
        assert option in said
        if option.startswith("--") and not value.startswith("--"):
            assert said[said.index(option) + 1] == value


def test_processes_take_ports_and_cpus_in_turn_and_ecmp_has_one_address() -> None:
    own = iperf3.pairs(2, Iperf3Traffic(duration="3s", processes=2))
    assert [(pair.name, pair.tunnel, pair.port) for pair in own] == [
        ("1-1", 1, 5201),
        ("1-2", 1, 5202),
        ("2-1", 2, 5201),
        ("2-2", 2, 5202),
    ]
    traffic = Iperf3Traffic(duration="3s", processes=2, paths="ecmp", affinity=True)
    shared = iperf3.pairs(2, traffic)
    assert {pair.tunnel for pair in shared} == {None}
    assert len({pair.receiver for pair in shared}) == 1
    assert [pair.port for pair in shared] == [5201, 5202, 5203, 5204]
    clients = iperf3.clients("client", shared, traffic, ([0, 1], [7]))
    assert [client["arguments"][-1] for client in clients] == ["0,7", "1,7", "0,7", "1,7"]
    with pytest.raises(iperf3.Unsuitable, match="more than 50000 ports"):
        iperf3.pairs(8191, Iperf3Traffic(duration="3s", processes=64, paths="ecmp"))


@pytest.mark.parametrize("tunnels", [1, 4, 64])
def test_connections_are_as_many_as_asked_for_whatever_the_number_of_tunnels(tunnels: int) -> None:
    found = iperf3.pairs(tunnels, Iperf3Traffic(duration="3s", paths="ecmp", connections=8))
    assert [(pair.number, pair.tunnel, pair.port) for pair in found] == [(n, None, 5200 + n) for n in range(1, 9)]


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("iperf 3.12 (cJSON 1.7.15)", (3, 12)),
        ("iperf 3.9 (cJSON 1.7.13)", (3, 9)),
        ("iperf 3.17.1+", (3, 17)),
        ("iperf 3.20", (3, 20)),
        ("iperf version 2.1.8", None),
        ("", None),
        (None, None),
    ],
)
def test_a_version_is_read_or_unknown(said: str | None, found: tuple[int, int] | None) -> None:
    assert iperf3.version(said) == found


def test_what_an_old_iperf3_cannot_do_is_said() -> None:
    simple = Iperf3Traffic(duration="3s")
    with pytest.raises(iperf3.Unsuitable, match=r"3\.9 of left has no --idle-timeout, which needs 3\.10"):
        iperf3.check({"left": "iperf 3.9"}, simple)
    assert iperf3.check({"left": None, "right": "iperf 3.12"}, simple) == []
    assert iperf3.check({"left": "iperf 3.10.1"}, simple) == []
    for option, traffic in (("--udp", UDP), ("--bidir", BOTH), ("--bidir", UDP_BOTH)):
        with pytest.raises(iperf3.Unsuitable, match=rf"3\.10 of b gives no report that can be read with {option},"):
            iperf3.check({"a": "iperf 3.11", "b": "iperf 3.10.1 (cJSON 1.7.13)"}, traffic)
        assert iperf3.check({"a": "iperf 3.11", "b": "iperf 3.11"}, traffic) == []
    (mark,) = iperf3.check({"left": "iperf 3.12", "right": "iperf 3.18"}, Iperf3Traffic(duration="3s", streams=4))
    assert "iperf3 3.12 of left has one thread for all 4 streams" in mark


SLOW = [
    (
        {"bitrate": "3 Mbit/s", "streams": 3, "duration": "10s"},
        "a stream of 1 Mbit/s sends one block of 128 KiB every 1.05",
    ),
    ({"bitrate": "8 Mbit/s", "processes": 2, "streams": 2, "duration": "5s"}, "Use 4.19 Mbit/s or more per"),
]
EVEN = [
    {"bitrate": "3 Mbit/s", "duration": "10s"},
    {"bitrate": "1 kbit/s", "duration": "2s", "protocol": "udp"},
    {"duration": "2s", "streams": 16},
    {"bitrate": "20 Mbit/s", "duration": "2s"},
]


@pytest.mark.parametrize(("given_traffic", "says"), SLOW)
def test_tcp_that_is_slower_than_the_blocks_of_iperf3_is_refused_before_the_trial(
    given_traffic: dict[str, Any], says: str
) -> None:
    with pytest.raises(iperf3.Unsuitable, match=f"^traffic.bitrate: .*{says}"):
        iperf3.check({"left": "iperf 3.20"}, Iperf3Traffic(**given_traffic))


@pytest.mark.parametrize("given_traffic", EVEN)
def test_traffic_that_iperf3_paces_evenly_is_not(given_traffic: dict[str, Any]) -> None:
    assert Iperf3Traffic(**given_traffic).too_slow == ""


def test_a_tunnels_segments_carry_what_headers_leave() -> None:
    assert iperf3.segment(Iperf3Traffic(duration="3s")) == 1368
    assert iperf3.segment(Iperf3Traffic(duration="3s", ip_version=6)) == 1348
    assert iperf3.segment(Iperf3Traffic(duration="3s", mss="500 B")) == 488
    assert iperf3.segment(Iperf3Traffic(duration="3s", mss="9 kB")) == 1368


def stream(duration_s: float = 3.0, **changes: Any) -> Stream:
    return replace(Stream(1, 1e9, duration_s, 1000, 0, 1_368_000, (1e9, 1e9, 1e9)), **changes)


def evidence(streams: list[Stream] | None = None, *, window_s: float = 3.0, **changes: Any) -> Evidence:
    """Return the evidence of a good attempt with ``changes``; names that evidence does not have are probes."""
    own = {name: changes.pop(name) for name in list(changes) if name in Evidence.__dataclass_fields__}
    probes = {"window_s": window_s, "clock_step_s": 0.0, **changes}
    fields: dict[str, Any] = {"duration_s": 3.0, "handshake_age_s": 5.0, **own}
    return Evidence(streams if streams is not None else [stream()], probes, **fields)


def computer(**changes: float) -> dict[str, Any]:
    return {"elapsed_s": 4.0, "other_s": 0.0, "steal_s": 0.0, "throttled": 0, **changes}


def interfaces(**counts: int) -> dict[str, Any]:
    return {"gateway-a": {"wg1": {"rx_packets": 100, "tx_packets": 100, "rx_drops": 0, "tx_drops": 0, **counts}}}


def carried(*by_tunnel: int) -> dict[str, list[dict[str, int]]]:
    rows = [{"tunnel": i, "bytes": n, "packets": n} for i, n in enumerate(by_tunnel, start=1)]
    return {"gateway-a": rows, "gateway-b": rows}


def test_a_good_attempt_breaks_no_limit() -> None:
    verdict = judge(
        evidence(computer=computer(), interfaces=interfaces(), passages=[Passage("x", 1000, 950)]), Limits()
    )
    assert verdict == Verdict()


def in_virtual_time(**changes: Any) -> dict[str, Any]:
    """Return the record of a good attempt's window in virtual time, with ``changes``."""
    window = {"slots": 2, "cpus": 16, "quantum_s": 2e-5, "virtual_s": 3.0, "wall_s": 30.0, "dilation": 10.0}
    return {**window, "lent_s": 0.1, "lent_share": 0.002, "forced": 0, "skew_s": 4e-5, "stolen_s": 9.0, **changes}


def control_of(times_one: float) -> dict[str, Any]:
    return {"cpus": 16, "times_one": times_one, "core_alone": 1.05}


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
    (evidence(kernel_log=["WARNING: at x", "BUG: y"]), "kernel_log", '"WARNING: at x"; "BUG: y"'),
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
    (evidence(carried=carried(99, 1), flows=64), "spread", "tunnel 1 carried 99% of the bytes of gateway-a"),
    (evidence([stream(rates_bps=(1e9, 0.0, 1e9, 0.0))]), "variation", "varied by 100%"),
    (
        evidence([], loads=[load(unexplained=3)]),
        "unexplained",
        "3 of 1000 packets were lost at 100 kpps",
    ),
    (evidence(virtual_time=in_virtual_time(skew_s=0.0131)), "skew", "differed by 13.10 ms; the limit is 10 ms"),
    (evidence(virtual_time=in_virtual_time(lent_share=0.2)), "lent", "for 20.0% of their busy time"),
    (
        evidence(virtual_time=in_virtual_time(), control=control_of(14.9)),
        "control",
        "16 loops that only compute did 14.90 times the work of one; the limit is 3.0% from 16",
    ),
]


@pytest.mark.parametrize(("given_evidence", "name", "words"), BROKEN)
def test_each_broken_limit_is_named(given_evidence: Evidence, name: str, words: str) -> None:
    verdict = judge(given_evidence, Limits(report_only=()))
    (sentence,) = verdict.broken
    assert words in sentence
    assert verdict.names == [name]
    marked = judge(given_evidence, Limits(report_only=(name,)))
    assert (marked.broken, marked.marks) == ([], [sentence])


def test_tcp_that_ran_short_of_memory_marks_an_attempt() -> None:
    (mark,) = judge(evidence(tcp_pressures=2), Limits()).marks
    assert mark.startswith("TCP ran short of memory 2 times")
    assert judge(evidence(tcp_pressures=0), Limits()).marks == []


def test_in_virtual_time_other_programs_make_an_attempt_longer_and_not_invalid() -> None:
    disturbed: dict[str, Any] = {
        "computer": computer(other_s=4.0, steal_s=4.0),
        "per_cpu": [{"cpu": 0, "steal_s": 2.0}],
        "clock_skew_s": -40.0,
    }
    assert set(judge(evidence(**disturbed), Limits()).names) == {"competing_load", "steal"}
    found = judge(evidence(virtual_time=in_virtual_time(), control=control_of(15.9), **disturbed), Limits())
    assert found == Verdict()


@pytest.mark.parametrize("broken", [{"computer": computer(throttled=2)}, {"frequency_khz_before": 3e6}])
def test_a_computer_that_becomes_slower_counts_in_virtual_time_too(broken: dict[str, Any]) -> None:
    given_evidence = evidence(virtual_time=in_virtual_time(), frequency_khz_after=1e6, **broken)
    assert len(judge(given_evidence, Limits()).broken) == 1


def test_a_clock_that_was_not_compared_breaks_no_limit() -> None:
    assert judge(evidence(clock_skew_s=None), Limits(clock_skew="1ms", report_only=())) == Verdict()


def test_every_limit_of_a_spec_can_be_broken() -> None:
    marking = {"headroom", "clock_skew", "control"}
    assert {name for _, name, _ in BROKEN} | marking | {"bounds"} == set(LIMIT_NAMES)  # bounds: test_rate_search.py
    assert set(Limits().report_only) == marking


def test_what_only_marks_leaves_an_attempt_valid() -> None:
    verdict = judge(evidence(rate=1e9, baseline=1.05e9, clock_skew_s=-3600.0), Limits())
    assert verdict.broken == []
    assert ["95%" in verdict.marks[1], "-3600.00 s" in verdict.marks[0]] == [True, True]


def test_of_packets_losses_are_what_is_measured_and_a_generator_that_is_slow_is_marked() -> None:
    lossy = evidence([], loads=[load()], interfaces=interfaces(tx_drops=100))
    assert judge(lossy, Limits()) == Verdict()
    slow = judge(evidence([], loads=[load(offered_pps=5e4, unexplained=-2)]), Limits())
    assert slow.broken == []
    assert "it sent 50 kpps of the requested 100" in slow.marks[0]
    assert "2 more packets were dropped than were lost" in slow.marks[1]
    held = judge(evidence([], loads=[load(offered_pps=5e4)], plain_pps=9.8e4), Limits())
    assert held.marks == [
        "closed loop: it sent 50 kpps of the requested 100, and sends them without a tunnel",
    ]
    assert judge(evidence([], loads=[load(offered_pps=5e4)], plain_pps=6e4), Limits()).marks[0].startswith("generator-")
    near = judge(evidence([], loads=[load()], rate=9e4, baseline=9.1e4), Limits())
    assert "generator-bound: 99%" in near.marks[0]


@pytest.mark.parametrize(("flows", "breaks"), [(None, False), (4, False), (16, True), (10_000, True)])
def test_an_uneven_spread_breaks_the_limit_only_where_chance_does_not_explain_it(
    flows: int | None, breaks: bool
) -> None:
    verdict = judge(evidence(carried=carried(9, 1, 0, 0), flows=flows), Limits())
    assert (verdict.names == ["spread"]) == breaks
    assert len(verdict.marks) == (flows is None)  # tunnels with their own flows: a result


@settings(max_examples=50)
@given(st.integers(1, 400), st.integers(2, 40), st.integers())
def test_chance_alone_seldom_breaks_the_spread(flows: int, tunnels: int, seed: int) -> None:
    bound = shares.by_chance(flows, tunnels)
    assert 1 / tunnels <= bound <= 1
    over, random = 0, Random(seed)
    for _ in range(20):
        counts = Counter(random.randrange(tunnels) for _ in range(flows))
        over += max(counts.values()) / flows > bound
    assert over <= 3  # of 20, each with a probability of 0.001 at most


def test_the_bound_of_chance_is_that_of_the_binomial() -> None:
    # 16 flows, 2 tunnels: P(15 or more in either) = 2 * 17 / 2**16 = 0.0005, and 14 or more is 2 * 137 / 2**16 = 0.004.
    assert shares.by_chance(16, 2) == 14 / 16
    assert shares.by_chance(1, 9) == shares.by_chance(5, 1) == 1.0


def test_shares_are_of_a_gateways_sum_and_silent_tunnels_have_none() -> None:
    counted = shares.carried(
        {"gateway-a": {"wg1": {"rx_bytes": 1, "tx_bytes": 2, "tx_packets": 1}}}, 2, layout.Net(layout.SITE_TO_SITE)
    )
    assert shares.shares(counted) == {
        "gateway-a": [{"tunnel": 1, "bytes": 1.0, "packets": 1.0}, {"tunnel": 2, "bytes": 0.0, "packets": 0.0}],
        "gateway-b": [{"tunnel": i, "bytes": None, "packets": None} for i in (1, 2)],
    }


def test_of_a_device_that_tunnels_share_the_peers_count() -> None:
    counters = {f"{way}_{what}": 8 for way in ("rx", "tx") for what in ("bytes", "packets")}
    interfaces = {"gateway-a": {"wg1": counters}, "gateway-b": {"wg0": counters}}
    counted = shares.carried(interfaces, 2, layout.Net(layout.SITE_TO_SITE, shared=True), ({1: 30, 2: 4}, {1: 6}))
    assert counted["gateway-a"] == [
        {"tunnel": 1, "bytes": 16, "packets": 16},
        {"tunnel": 2, "bytes": 0, "packets": 0},
    ]
    assert [row["bytes"] for row in counted["gateway-b"]] == [36, 4]
    assert [row["bytes"] for row in shares.shares(counted)["gateway-b"]] == [0.9, 0.1]


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
    return {
        "interrupts": {"4": str(cpu), "5": "0-1"},
        "throttled": cpu,
        "frequency_khz": [],
        "tcp_pressures": 7 * cpu,
        "tcp_pressed": False,
    }


def test_tcp_that_was_short_of_memory_before_the_traffic_counts_once() -> None:
    pressed = [{**surroundings(1), "tcp_pressed": True}, surroundings(1)]
    assert probes.between([sample(10.0, 100, 7), sample(12.0, 200, 17)], pressed)["tcp_pressures"] == 1


def test_what_a_card_discards_in_its_column_fifo_is_a_drop() -> None:
    def devices(dropped: int, fifo: int) -> dict[str, Any]:
        counts = f"1000 10 0 {dropped} {fifo} 0 0 0 1000 10 0 0 0 0 0 0"
        return {**sample(0.0, 0, 0), "interfaces": {"gateway-b": f"Inter-|\n face |\nwan0: {counts}\n"}}

    found = probes.interfaces(devices(1, 2), devices(4, 9))
    assert found["gateway-b"]["wan0"]["rx_drops"] == 3 + 7


def test_probes_are_the_difference_of_two_samples() -> None:
    found = probes.between([sample(10.0, 100, 7), sample(12.0, 200, 17)], [surroundings(1), surroundings(2)])
    assert found["window_s"] == 2.0
    assert found["interrupts_moved"] == ["4"]
    assert found["throttled"] == 1
    assert found["tcp_pressures"] == 7
    assert found["per_cpu"][0]["user_s"] == 2.0
    assert found["per_cpu"][1]["idle_s"] == 1.0
    assert [row["NET_RX"] for row in found["softirqs"]] == [10, 20]
    assert found["interfaces"]["gateway-a"] == {
        "wg1": {"rx_bytes": 10, "rx_packets": 0, "rx_drops": 0, "tx_bytes": 0, "tx_packets": 0, "tx_drops": 0}
    }


def test_softirqs_are_those_of_the_cpu_in_the_first_line_and_of_cpus_that_were_there_all_the_time() -> None:
    def taken(cpus: str, counts: str) -> dict[str, Any]:
        return {"cpus": dict.fromkeys(cpus), "softirqs": f"    CPU0   CPU2   CPU3\n NET_RX:  {counts}\n"}

    found = probes.softirqs(taken("02", "5 7 0"), taken("023", "6 9 4"))
    assert found == [{"cpu": 0, "NET_RX": 1}, {"cpu": 2, "NET_RX": 2}]


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
    assert found["tcp_pressures"] == 14
    assert found["before"] == {"seconds": 0.5, "packets": 8}
    assert found["frequency_khz_after"] is None
    assert found["others"]["right"] == {"cores": 0.5, "names": ["cc1"]}
