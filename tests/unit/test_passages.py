# SPDX-License-Identifier: Apache-2.0
"""The bytes that receivers report beside those that came through the tunnels (limit `counters`), and payload counted at
interfaces."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.measure import probes
from orchestrator.measure.after_traffic import AfterTraffic
from orchestrator.measure.judge import Evidence, Passage, judge
from orchestrator.measure.layout import Net
from orchestrator.spec import Limits
from orchestrator.tools.iperf3 import goodput
from orchestrator.tools.iperf3.traffic import Iperf3Traffic

WARM_UP = 1000  # bytes that each receiver counts before the measured time
DEVICES = "Inter-| Receive\n face |bytes\n{}: {} 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"


def printed(received: dict[int, int], warm_up_s: float = 1.0, measured_s: float = 2.0) -> dict[str, Any]:
    """Return the output of each tunnel's processes; {tunnel: bytes that arrived in the measured time}."""
    found = {}
    for tunnel, octets in received.items():
        intervals = [
            {"sum": {"bytes": WARM_UP, "seconds": warm_up_s, "omitted": True}},
            {"sum": {"bytes": octets, "seconds": measured_s, "omitted": False}},
        ]
        got = {"intervals": intervals, "end": {"sum_received": {"seconds": measured_s, "bytes": octets}}}
        sent = {"intervals": intervals, "end": {"sum_sent": {"bytes": 9, "retransmits": 0}}}
        for name, report in ((f"client-{tunnel}", sent), (f"server-{tunnel}", got)):
            found[name] = {"status": 0, "out": json.dumps(report), "err": ""}
    return found


def attempt_with(
    received: dict[int, int],
    whole: dict[str, int],
    window: dict[str, dict[str, int]],
    *,
    shared: bool = False,
    **keys: str,
) -> Any:
    """Return an attempt; ``whole``: the bytes of gateway-b's devices in all; ``window``: what they counted in the
    measured time; ``keys``: of the spec's traffic."""
    traffic = Iperf3Traffic.model_validate({"warm_up": "1s", "duration": "2s", **keys})
    return SimpleNamespace(
        trial=SimpleNamespace(traffic=traffic, levels=SimpleNamespace(tunnels=len(received))),
        generator_carries=None,
        net=Net("site-to-site", shared=shared),
        ends=SimpleNamespace(sender="client", receiver="server"),
        tunnelled=True,
        outcome=SimpleNamespace(
            interface_bytes={"gateway-b": whole},
            probes={"window_s": 2.0, "interfaces": {"gateway-b": window}},
        ),
    )


def passages(
    received: dict[int, int], whole: dict[str, int], window: dict[str, int], *, shared: bool = False
) -> list[Passage]:
    """Return what is compared; ``whole`` and ``window``: the bytes of gateway-b's devices in all and in the measured
    time."""
    counted = {name: {"rx_bytes": octets} for name, octets in window.items()}
    reading = goodput.read(attempt_with(received, whole, counted, shared=shared), printed(received))
    peers = {int(name[2:]): octets for name, octets in whole.items()} if shared else {}
    assert reading.evidence_after is not None
    return list(reading.evidence_after(AfterTraffic(None, [], [], received_bytes=peers))["passages"])


def broken(found: list[Passage]) -> list[str]:
    return judge(Evidence([], {"window_s": 2.0, "clock_step_s": 0.0}, 2.0, passages=found), Limits()).broken


@pytest.mark.parametrize("shared", [False, True])
def test_a_tunnel_may_deliver_in_the_measured_time_what_it_carried_in_the_warm_up(shared: bool) -> None:
    found = passages({1: 2000, 2: 1000}, {"wg1": 3100, "wg2": 2100}, {"wg1": 1300, "wg2": 1900}, shared=shared)
    assert found[:2] == [Passage("tunnel 1", 3000, 3100), Passage("tunnel 2", 2000, 2100)]
    assert found[2] == Passage("all tunnels", 3000, 3200, in_window=True)
    assert broken(found) == []


def test_traffic_that_went_past_a_tunnel_is_found() -> None:
    found = passages({1: 2000, 2: 1000}, {"wg1": 3100, "wg2": 900}, {"wg1": 3000, "wg2": 500})
    assert broken(found) == ["tunnel 2 carried 900 bytes, and 2000 were received"]


def test_receivers_that_empty_their_buffers_in_the_measured_time_make_no_throughput() -> None:
    found = passages({1: 2000, 2: 1000}, {"wg1": 3100, "wg2": 2100}, {"wg1": 1200, "wg2": 1000})
    assert broken(found) == ["all tunnels carried 2200 bytes in the measured time, and 3000 were received"]


def test_interfaces_count_the_payload_of_all_tunnels_in_the_same_time() -> None:
    received = {1: 9000, 2: 100}  # the first process emptied its buffer
    window = {"wg1": {"rx_bytes": 14200, "rx_packets": 10}, "wg2": {"rx_bytes": 2 * 1420, "rx_packets": 2}}
    whole = {"wg1": 20000, "wg2": 4000}
    reading = goodput.read(attempt_with(received, whole, window, counted_at="interfaces"), printed(received))
    payload = 12 * 1368  # of twelve full packets, each with 40 bytes of IP and TCP and 12 of time stamps
    assert reading.measurements["throughput_bps"] == payload * 8 / 2
    assert reading.measurements["directions"] == {"forward": payload * 8 / 2}
    assert reading.evidence["rate"] == payload * 8 / 2
    assert reading.evidence_after is not None
    found = list(reading.evidence_after(AfterTraffic(None, [], []))["passages"])
    assert found == [Passage("tunnel 1", 10000, 20000), Passage("tunnel 2", 1100, 4000)]


@pytest.mark.parametrize(
    ("warm_up_s", "measured_s", "broken"), [(1.0, 2.9, False), (1.9, 1.1, False), (1.0, 1.1, True)]
)
def test_a_process_must_have_sent_during_the_measured_time(warm_up_s: float, measured_s: float, broken: bool) -> None:
    window = {"wg1": {"rx_bytes": 14200, "rx_packets": 10}}
    attempt = attempt_with({1: 9000}, {"wg1": 20000}, window, counted_at="interfaces")
    reading = goodput.read(attempt, printed({1: 9000}, warm_up_s, measured_s))
    evidence = Evidence(reading.evidence["streams"], {"window_s": 2.0, "clock_step_s": 0.0}, 2.0)
    assert bool(judge(evidence, Limits()).broken) == broken


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"protocol": "udp", "bitrate": "1 Mbit/s"}, "payload is counted by its receiver"),
        ({"direction": "both"}, "cannot tell payload from acknowledgements with direction: both"),
    ],
)
def test_interfaces_count_only_tcp_in_one_direction(keys: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Iperf3Traffic.model_validate({"duration": "2s", "counted_at": "interfaces", **keys})


def test_what_interfaces_received_is_counted_from_before_the_traffic_to_its_end() -> None:
    before = {"interfaces": {"gateway-b": DEVICES.format("wg1", 100)}}
    after = {"interfaces": {"gateway-b": DEVICES.format("wg1", 700)}}
    assert probes.received({"lab1": {"surroundings": [before, after]}}) == {"gateway-b": {"wg1": 600}}
