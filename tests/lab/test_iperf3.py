# SPDX-License-Identifier: Apache-2.0
"""Every option of the traffic of iperf3, and both kinds of paths, on a real lab machine."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.kernel.variants import load_variants
from orchestrator.measure import layout
from orchestrator.measure.attempt import Conditions, Outcome
from orchestrator.measure.roles import make_links
from orchestrator.measure.run_attempt import run_attempt
from orchestrator.plan import NO_VARIANT, Trial
from orchestrator.progress import Silent
from orchestrator.spec import LIMIT_NAMES, Cell, Limits, load_testbed
from orchestrator.testbed.protocol import State
from orchestrator.testbed.uml.provider import OpenUmlTestbed
from orchestrator.tools.iperf3.traffic import Iperf3Traffic
from tests.lab.support import short_and_full

pytestmark = pytest.mark.lab

TUNNELS = 2
# These must hold however busy this computer is. Counters need longer trials: these take a part of a second to connect.
HELD = {"rekey", "kernel_log", "stray_traffic", "spread", "clock_step"}
CONDITIONS = Conditions(Limits(report_only=tuple(name for name in LIMIT_NAMES if name not in HELD)))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def testbed() -> Iterator[OpenUmlTestbed]:
    with OpenUmlTestbed(load_testbed("lab"), Silent()) as entered:
        entered.prepare(State(1))
        yield entered


def attempted(testbed: OpenUmlTestbed, topology: str, variant: str = "vanilla", **traffic: Any) -> Outcome:
    trial = Trial(
        trial_id="0" * 16,
        kind="baseline" if variant == NO_VARIANT else "measure",
        block=1,
        round=1,
        order=1,
        levels=Cell(variant=variant, cores=1, tunnels=TUNNELS),
        repetition=1,
        traffic=Iperf3Traffic(**{"warm_up": "0s", "duration": "1s", **traffic}),
        topology=topology,
    )
    make_links(testbed, layout.net_of(trial), TUNNELS)
    return run_attempt(testbed, trial, load_variants().get(variant), lambda: None, CONDITIONS)


def client_reports(outcome: Outcome) -> list[dict[str, Any]]:
    return [
        json.loads(text)
        for name, text in sorted(outcome.raw.items())
        if name.startswith("client-") and name.endswith(".json")
    ]


def seen(outcome: Outcome, traffic: dict[str, Any]) -> None:
    """The outcome is ok, each direction has a number, both tunnels carried something, and packets are as asked for."""
    assert outcome.status == "ok", outcome.reasons
    direction = traffic.get("direction", "forward")
    wanted = {"forward", "reverse"} if direction == "both" else {direction}
    measured = outcome.measurements
    assert set(measured["directions"]) == wanted
    assert all(rate > 0 for rate in measured["directions"].values())
    assert measured["throughput_bps"] == pytest.approx(sum(measured["directions"].values()))
    for rows in measured["shares"].values():
        assert [row["tunnel"] for row in rows] == [1, 2]
        assert all(row["bytes"] > 0 for row in rows)
        assert sum(row["bytes"] for row in rows) == pytest.approx(1, abs=1e-4)
    if measured["shares"]:
        devices = outcome.probes["interfaces"]["gateway-a"]
        carried = sum(devices[f"wg{i}"][f"{way}_bytes"] for i in (1, 2) for way in ("rx", "tx"))
        assert carried > measured["throughput_bps"] / 8 / 5
    for report in client_reports(outcome):
        assert report["start"]["test_start"]["protocol"] == traffic.get("protocol", "tcp").upper()
        version = 6 if ":" in report["start"]["connected"][0]["remote_host"] else 4
        assert version == traffic.get("ip_version", 4)
    if traffic.get("protocol") == "udp":
        assert 0 <= measured["loss_ratio"] < 1
        assert measured["jitter_s"] >= 0
        assert measured["retransmits"] is None


@pytest.mark.parametrize(
    ("variant", "direction"),
    short_and_full(
        [(NO_VARIANT, "reverse"), ("vanilla", "forward")],
        itertools.product([NO_VARIANT, "vanilla", "inline"], ["forward", "reverse"]),
    ),
)
def test_interfaces_count_what_the_receivers_count(testbed: OpenUmlTestbed, variant: str, direction: str) -> None:
    traffic = {"warm_up": "1s", "duration": "2s", "direction": direction, "counted_at": "interfaces"}
    outcome = attempted(testbed, "site-to-site", variant, **traffic)
    seen(outcome, traffic)
    at_receivers = sum(row["throughput_bps"] for row in outcome.measurements["streams"])
    # Each of the two processes has its own two seconds.
    assert outcome.measurements["throughput_bps"] == pytest.approx(at_receivers, rel=0.25)


# Few trials that have every option between them.
TRIED: list[tuple[str, dict[str, Any]]] = [
    (
        layout.SITE_TO_SITE,
        {
            **{"direction": "both", "ip_version": 6, "processes": 2, "streams": 2, "bitrate": "200 Mbit/s"},
            **{"window": "256 KiB", "congestion": "reno", "mss": "1000 B", "zerocopy": True, "affinity": True},
        },
    ),
    (
        layout.SITE_TO_SITE,
        {
            **{"protocol": "udp", "bitrate": "20 Mbit/s", "datagram": "1000 B", "direction": "reverse"},
            **{"paths": "ecmp", "streams": 16},
        },
    ),
    (layout.GATEWAY_TO_GATEWAY, {"paths": "ecmp", "ip_version": 6, "streams": 16}),
]


@pytest.mark.parametrize(("topology", "traffic"), TRIED)
def test_every_option_of_iperf3_and_all_paths_are_measured(
    testbed: OpenUmlTestbed, topology: str, traffic: dict[str, Any]
) -> None:
    outcome = attempted(testbed, topology, **traffic)
    seen(outcome, traffic)
    report, *others = client_reports(outcome)
    assert report["start"]["test_start"]["num_streams"] == traffic["streams"]
    if "congestion" in traffic:
        assert report["end"]["sender_tcp_congestion"] == traffic["congestion"]
        assert len([report, *others]) == TUNNELS * traffic["processes"]
        assert report["start"]["tcp_mss"] == 1000
        assert outcome.measurements["directions"]["forward"] < 1.2 * TUNNELS * 200e6
    if "datagram" in traffic:
        assert report["start"]["test_start"]["blksize"] == 1000


def test_a_congestion_control_that_the_kernel_does_not_have_is_a_sentence(testbed: OpenUmlTestbed) -> None:
    outcome = attempted(testbed, layout.SITE_TO_SITE, congestion="vegas")
    assert outcome.status == "failed"
    assert "client has no congestion control vegas; it has reno" in outcome.reasons[0]


TWO_EACH: tuple[tuple[Any, Any], ...] = (
    (layout.SITE_TO_SITE, layout.GATEWAY_TO_GATEWAY),
    ("vanilla", NO_VARIANT),
    ("tcp", "udp"),
    (4, 6),
    ("subnets", "ecmp"),
)
# Half of all combinations: an even number of second values. Any four of the five options have all theirs, each with
# every direction.
HALF = [
    tuple(pair[second] for pair, second in zip(TWO_EACH, chosen, strict=True))
    for chosen in itertools.product((0, 1), repeat=len(TWO_EACH))
    if sum(chosen) % 2 == 0
]


@pytest.mark.full
@pytest.mark.parametrize("direction", ["forward", "reverse", "both"])
@pytest.mark.parametrize(("topology", "variant", "protocol", "version", "paths"), HALF)
def test_combinations_of_protocol_version_direction_and_paths(
    testbed: OpenUmlTestbed, topology: str, variant: str, protocol: str, version: int, paths: str, direction: str
) -> None:
    traffic = {"protocol": protocol, "ip_version": version, "direction": direction, "paths": paths, "streams": 16}
    if protocol == "udp":
        traffic["bitrate"] = "20 Mbit/s"
    seen(attempted(testbed, topology, variant, **traffic), traffic)
