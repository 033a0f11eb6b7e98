# SPDX-License-Identifier: Apache-2.0
"""From what the tools printed to numbers and a verdict: a wrong or missing report is never a number."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.run import iperf3, probes
from orchestrator.run.judge import broken_limits, counted_less


def report(section: str, **values: Any) -> str:
    return json.dumps({"end": {section: values}})


def processes(client: str | None = None, server: str | None = None, status: int | None = 0) -> dict[str, Any]:
    good_client = report("sum_sent", retransmits=7)
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
        ({"client-1": processes()["client-1"]}, "left no trace"),
    ],
)
def test_a_bad_report_is_a_failure_with_a_reason(given_processes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(iperf3.BadReport, match=sentence):
        iperf3.read_stream(1, given_processes)


@given(st.text())
def test_whatever_iperf3_prints_is_a_number_or_a_reason(text: str) -> None:
    try:
        stream = iperf3.read_stream(1, processes(server=text))
    except iperf3.BadReport:
        return
    assert stream.throughput_bps > 0


def test_command_lines_take_whole_seconds_and_the_tunnels_addresses() -> None:
    (client,) = iperf3.clients("client", 1, 4, 1.0, 3.0)
    words = client["arguments"]
    assert words[words.index("--omit") + 1] == "1"
    assert words[words.index("--time") + 1] == "3"
    assert words[words.index("--parallel") + 1] == "4"
    (server,) = iperf3.servers("server", 1)
    assert "--one-off" in server["arguments"]


def window(**changes: Any) -> dict[str, Any]:
    return {"window_s": 3.0, "clock_step_s": 0.0, **changes}


def stream(duration_s: float = 3.0) -> iperf3.Stream:
    return iperf3.Stream(1, 1e9, duration_s, 1000, 0)


def test_a_good_attempt_breaks_no_limit() -> None:
    assert broken_limits([stream()], window(), 3.0, 5.0, [], []) == []


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (broken_limits([stream(2.0)], window(), 3.0, 5.0, [], []), "received over 2.00 s"),
        (broken_limits([stream()], window(window_s=4.0), 3.0, 5.0, [], []), "sampled over 4.00 s"),
        (broken_limits([stream()], window(clock_step_s=-3.0), 3.0, 5.0, [], []), "clock jumped by -3.00 s"),
        (broken_limits([stream()], window(), 3.0, 130.0, [], []), "130 s old"),
        (broken_limits([stream()], window(), 3.0, 5.0, ["gateway-a/wg1"], []), "gateway-a/wg1"),
        (broken_limits([stream()], window(), 3.0, 5.0, [], ["WARNING: at x"]), "WARNING: at x"),
        (counted_less("tunnel 1", 1000, 500), "tunnel 1 carried 500 bytes"),
    ],
)
def test_each_broken_limit_is_named(broken: list[str], words: str) -> None:
    (sentence,) = broken
    assert words in sentence


def test_counters_that_agree_roughly_are_no_reason() -> None:
    assert counted_less("tunnel 1", 1000, 950) == []
    assert counted_less("tunnel 1", 1000, 2000) == []


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


def test_probes_are_the_difference_of_two_samples() -> None:
    found = probes.between([sample(10.0, 100, 7), sample(12.0, 200, 17)])
    assert found["window_s"] == 2.0
    assert found["per_cpu"][0]["user_s"] == 2.0
    assert found["per_cpu"][1]["idle_s"] == 1.0
    assert [row["NET_RX"] for row in found["softirqs"]] == [10, 20]
    assert found["interfaces"]["gateway-a"] == {
        "wg1": {"rx_bytes": 10, "rx_packets": 0, "rx_drops": 0, "tx_bytes": 0, "tx_packets": 0, "tx_drops": 0}
    }
