# SPDX-License-Identifier: Apache-2.0
"""A spec that is edited before --resume: changes in what it measures make other trials, or concern all attempts."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import UserError
from orchestrator.plan import lab_capabilities, make_plan
from orchestrator.spec import load_experiment
from orchestrator.store.changes import changes_between, spec_changed
from tests.unit.test_foreign_runs import OTHER_KINDS, places
from tests.unit.test_run_campaign import Lab

PACKETS = """\
experiment: edited
factors: {variant: [inline], cores: [1], tunnels: [2], packet_size: [64]}
traffic:
  tool: pktgen
  warm_up: 0s
  duration: 1s
  flows: 2
  search: {method: mlrsearch, goals: [ndr, pdr], pdr_loss: 0.5%, min_rate: 10 kpps, max_rate: 1 Mpps, width: 1%,
    tries: 1, final_duration: 5s, time_limit: 60s}
  latency: {at: [50%], rate: 50 pps}
"""
STREAMS = """\
experiment: edited
factors:
  variant: [inline]
  cores: [1]
  tunnels: [2]
  links.wan.delay: [5 ms]
  links.wan.loss: [0%]
  links.wan.rate: [100 Mbit/s]
  tunnel.mtu: [1420 B]
traffic: {warm_up: 0s, duration: 5s, streams: 2, processes: 1}
"""
CONNECTIONS = """\
experiment: edited
factors: {variant: [inline], cores: [1], tunnels: [2]}
traffic: {warm_up: 0s, duration: 5s, paths: ecmp, connections: 8}
"""
COMMAND = """\
experiment: edited
factors: {variant: [inline], cores: [1], tunnels: [1]}
traffic:
  tool: command
  warm_up: 0s
  duration: 2s
  command:
    server: [sleep, "9"]
    client: [echo, "7"]
    quantity: {name: answers, unit: answers/s, better: higher}
    read: {regex: '([0-9]+)'}
"""
EDITS = [
    (PACKETS, "method: mlrsearch", "method: binary"),
    (PACKETS, "goals: [ndr, pdr]", "goals: [pdr]"),
    (PACKETS, "pdr_loss: 0.5%", "pdr_loss: 0.4%"),
    (PACKETS, "min_rate: 10 kpps", "min_rate: 20 kpps"),
    (PACKETS, "max_rate: 1 Mpps", "max_rate: 2 Mpps"),
    (PACKETS, "width: 1%", "width: 2%"),
    (PACKETS, "tries: 1", "tries: 3"),
    (PACKETS, "final_duration: 5s", "final_duration: 6s"),
    (PACKETS, "time_limit: 60s", "time_limit: 61s"),
    (PACKETS, "at: [50%]", "at: [50%, 90%]"),
    (PACKETS, "rate: 50 pps}", "rate: 60 pps}"),
    (PACKETS, "flows: 2", "flows: 3"),
    (PACKETS, "packet_size: [64]", "packet_size: [imix]"),
    (STREAMS, "delay: [5 ms]", "delay: [6 ms]"),
    (STREAMS, "loss: [0%]", "loss: [1%]"),
    (STREAMS, "rate: [100 Mbit/s]", "rate: [200 Mbit/s]"),
    (STREAMS, "  links.wan.loss: [0%]\n", ""),
    (STREAMS, "mtu: [1420 B]", "mtu: [1400 B]"),
    (STREAMS, "  tunnel.mtu: [1420 B]\n", ""),
    (STREAMS, "processes: 1", "processes: 2"),
    (STREAMS, "processes: 1", "affinity: true"),
    (STREAMS, "processes: 1", "zerocopy: true"),
    (STREAMS, "processes: 1", "congestion: cubic"),
    (STREAMS, "processes: 1", "direction: both"),
    (STREAMS, "streams: 2", "protocol: udp, bitrate: 10 Mbit/s"),
    (CONNECTIONS, "connections: 8", "connections: 9"),
    (CONNECTIONS, "paths: ecmp, connections: 8", "paths: ecmp"),
    (COMMAND, 'sleep, "9"', 'sleep, "8"'),
    (COMMAND, 'echo, "7"', 'echo, "8"'),
    (COMMAND, "unit: answers/s", "unit: answers/ms"),
    (COMMAND, "([0-9]+)", "([0-9]{2,})"),
]


def described(folder: Path, text: str) -> tuple[dict[str, Any], set[str]]:
    """Return run.json's entry on a spec, and the ids of its trials, except baselines, which have no tunnel."""
    file = folder / "edited.yaml"
    file.write_text(text)
    spec = load_experiment(file)
    plan = make_plan(spec, lab_capabilities(1, ["inline"]))
    return {"spec": spec.model_dump(mode="json")}, {trial.trial_id for trial in plan.trials if trial.kind != "baseline"}


@pytest.mark.parametrize(("text", "was", "now"), EDITS, ids=[f"{was} to {now or 'nothing'}" for _, was, now in EDITS])
def test_what_is_measured_otherwise_is_seen_and_is_another_trial(tmp_path: Path, text: str, was: str, now: str) -> None:
    assert text.count(was) == 1
    before, old = described(tmp_path, text)
    after, new = described(tmp_path, text.replace(was, now))
    assert spec_changed(before, after)
    assert changes_between(before, after)
    assert not old & new


def test_how_often_and_in_which_order_is_measured_makes_no_other_trial(tmp_path: Path) -> None:
    before, old = described(tmp_path, STREAMS + "repetitions: 2\n")
    after, new = described(tmp_path, STREAMS + "repetitions: 3\nseed: 7\n")
    assert spec_changed(before, after)
    assert old < new


def test_limits_concern_all_attempts_that_there_are(tmp_path: Path) -> None:
    before, old = described(tmp_path, STREAMS)
    after, new = described(tmp_path, STREAMS + "limits: {report_only: [drops]}\n")
    assert [change.concerns for change in changes_between(before, after)] == [None]
    assert old == new


def resumed_with_damage(lab: Lab, number: int) -> list[str]:
    """Resume a run repeatedly, each time with one value of its run.json removed or of another type, and return the
    messages."""
    begun = lab.run().path
    content = json.loads((begun / "run.json").read_text())
    rng = random.Random(16)
    kinds = {tuple("#" if isinstance(key, int) else key for key in place): place for place in places(content)}
    cases = [(place, other) for place in kinds.values() for other in ("removed", *range(len(OTHER_KINDS)))]
    said = []
    for place, other in rng.sample(cases, min(number, len(cases))):
        damaged = json.loads(json.dumps(content))
        inner = damaged
        for key in place[:-1]:
            inner = inner[key]
        if isinstance(other, str):
            del inner[place[-1]]
        else:
            inner[place[-1]] = OTHER_KINDS[other]
        run = lab.folder / "damaged"
        shutil.copytree(begun, run)
        (run / "run.json").write_text(json.dumps(damaged))
        try:
            lab.run(resume=run, on_change="keep")
        except UserError as error:
            said.append(str(error))
        except Exception as error:
            raise AssertionError(f"{place} is {other}") from error
        shutil.rmtree(run)
    return said


def test_a_run_that_was_damaged_is_resumed_or_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resumed_with_damage(Lab(tmp_path, monkeypatch), 15)


@pytest.mark.full
def test_a_run_that_was_damaged_anywhere_is_resumed_or_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = resumed_with_damage(Lab(tmp_path, monkeypatch), 400)
    assert any("cannot be read as that of a run to resume" in text for text in said)
