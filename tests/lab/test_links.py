# SPDX-License-Identifier: Apache-2.0
"""Delay, loss and rate of the link between the gateways on the lab, as TCP meets them in real and virtual time."""

import json
from pathlib import Path

import pytest

from orchestrator.analysis.dataset import load
from tests.lab.support import orch, runs_in

pytestmark = [pytest.mark.lab, pytest.mark.full]

SPEC = """\
experiment: link
factors:
  variant: [inline]
  cores: [1]
  tunnels: [1]
  links.wan.delay: [0, 8ms]
  links.wan.loss: [0, 1%]
  links.wan.rate: [30 Mbit/s]
traffic: {warm_up: 1s, duration: 2s}
repetitions: 1
busy: mark
limits: {report_only: [variation]}
"""
TESTBED = """\
testbed: own
provider: uml
CLOCK
hosts:
  - {name: lab1, roles: [client, gateway-a, gateway-b, server], memory: 1 GiB}
"""


def shortest_round_trip_s(attempt: Path) -> float:
    """Of the TCP connections that iperf3's client reports."""
    reports = [json.loads(file.read_text()) for file in attempt.glob("*.json") if file.name != "attempt.json"]
    ends = [stream for report in reports for stream in report.get("end", {}).get("streams", ())]
    found = [stream["sender"]["min_rtt"] for stream in ends if stream.get("sender", {}).get("min_rtt")]
    return min(found) / 1e6


@pytest.mark.parametrize("clock", ["real", "virtual"])
def test_tcp_meets_the_delay_the_loss_and_the_rate_that_were_asked_for(tmp_path: Path, clock: str) -> None:
    spec, testbed = tmp_path / "link.yaml", tmp_path / "own.yaml"
    spec.write_text(SPEC)
    testbed.write_text(TESTBED.replace("CLOCK", "clock: virtual\ncores: 1" if clock == "virtual" else "clock: real"))
    done = orch("run", spec, "--testbed", testbed, "--yes", "--no-report", "--results", tmp_path / "results")
    assert done.returncode == 0, done.stderr
    (path,) = runs_in(tmp_path / "results")
    run = load(path)
    assert (run.trials["status"] == "ok").all()
    rates = {}
    for trial in run.trials.to_dict("records"):
        asked_s, kind = 2 * trial["links.wan.delay"], trial["kind"]
        attempt = max((path / "trials" / trial["trial_id"]).iterdir(), key=lambda folder: int(folder.name))
        assert shortest_round_trip_s(attempt) >= asked_s
        assert trial["throughput_bps"] < 30e6  # the rate is that of frames
        rates[kind, trial["links.wan.delay"], trial["links.wan.loss"]] = trial["throughput_bps"]
    for kind in ("baseline", "measure"):
        assert rates[kind, 0, 0] > 0.8 * 30e6  # a queue that is long enough lets TCP fill the link
        # TCP with a loss of 1 % and 16 ms carries about 1.22 segments / (0.016 s * sqrt(0.01)), 8 Mbit/s.
        assert rates[kind, 0.008, 0.01] < 0.8 * rates[kind, 0, 0]
