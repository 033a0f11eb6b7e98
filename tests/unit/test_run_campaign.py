# SPDX-License-Identifier: Apache-2.0
"""The campaign without a testbed: retries, postponed blocks, resuming after an interruption, and changes."""

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator import store
from orchestrator.agent.host_messages import ControlRequest
from orchestrator.errors import TestbedError, UserError
from orchestrator.measure.attempt import Outcome
from orchestrator.plan import lab_capabilities, make_plan
from orchestrator.run.campaign import CampaignSummary, carry_out
from orchestrator.run.executor import DirectExecutor
from orchestrator.run.session import Campaign
from orchestrator.spec import LinkKind, Traffic
from orchestrator.spec.models import models_of
from orchestrator.store.changes import Change
from orchestrator.testbed.protocol import ModuleFile, State
from orchestrator.testbed.virtual import VirtualTime

Script = Callable[[Any, int], Outcome]


class Quiet:
    """A progress that only keeps its messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.skipped_trials = 0

    def message(self, text: str) -> None:
        self.messages.append(text)

    def skipped(self, trials: Sequence[Any]) -> None:
        self.skipped_trials += len(trials)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments, **named: None


class FakeTestbed:
    """A testbed whose hosts are only names. ``broken``: how often preparing for a number of cores fails."""

    name, provider, label, emulated = "fake", "fake", "no machine", False
    virtual: VirtualTime | None = None
    links: LinkKind = "veth"
    hosts = (("a", ("client", "gateway-a", "gateway-b", "server")),)
    nics: Mapping[str, Any] = {}

    def __init__(self, broken: Mapping[int, int] | None = None, build_id: str = "aa") -> None:
        self.broken, self.build_id = dict(broken or {}), build_id
        self.prepared: list[int] = []
        self.settled = 0
        self.calms_down = True

    def prepare(self, state: State) -> Mapping[str, Any]:
        if self.broken.get(state.cores, 0) > 0:
            self.broken[state.cores] -= 1
            error = TestbedError("the machine does not start")
            error.health = {"a": [{"before": "well", "after": "broken"}]}
            raise error
        self.prepared.append(state.cores)
        return {"a": {"kernel_release": "7.2", "cpus_usable": 2}}

    agents: Mapping[str, Any] = {}

    def linked(self) -> Mapping[str, Any]:
        return {}

    def module(self, build: str, host: str) -> ModuleFile:
        return ModuleFile("/m", f"{build}-{self.build_id}")

    def wait_until_quiet(self, share: float, most_s: float) -> bool:
        self.settled += 1
        return self.calms_down

    def environment(self) -> Mapping[str, Any]:
        return {"kernel": {"release": "7.2", "compile_s": random.random()}}


def ok(value: float = 1e9) -> Outcome:
    return Outcome(status="ok", measurements={"throughput_bps": value, "overhead_s": 0.5})


def bad(status: str = "failed", *, lost: bool = False, broken: Sequence[str] = ()) -> Outcome:
    measurements: dict[str, Any] = {"throughput_bps": None, "overhead_s": 0.5}
    return Outcome(status=status, reasons=["it broke"], measurements=measurements, host_lost=lost, broken=list(broken))


class Lab:
    """Runs campaigns with scripted attempts, and counts them."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.script: Script = lambda trial, n: ok()
        self.count: Counter[str] = Counter()
        self.progress = Quiet()
        self.conditions: list[Any] = []
        self.trials: list[Any] = []
        patch.setattr("orchestrator.run.work.run_attempt", self._attempt)
        patch.setattr("orchestrator.run.work.make_links", lambda *arguments: None)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))

    def _attempt(self, testbed: Any, trial: Any, *rest: Any) -> Outcome:
        self.count[trial.trial_id] += 1
        self.conditions.append(rest[2])
        self.trials.append(trial)
        return self.script(trial, self.count[trial.trial_id])

    def run(
        self,
        testbed: FakeTestbed | None = None,
        resume: Path | None = None,
        on_change: str = "abort",
        seen: list[Change] | None = None,
        **changes: Any,
    ) -> CampaignSummary:
        content: dict[str, Any] = {
            "experiment": "small",
            "factors": {"variant": ("vanilla", "inline"), "cores": (1, 2), "tunnels": (1,)},
            "traffic": {"duration": "1s"},
            "repetitions": 2,
            **changes,
        }
        spec = models_of(Traffic).experiment.model_validate(content)
        plan = make_plan(spec, lab_capabilities(2, ("vanilla", "inline")))

        def decide(found: Sequence[Change]) -> str:
            if seen is not None:
                seen.extend(found)
            return on_change

        campaign = Campaign(spec, plan, self.folder / "results", self.progress, {}, resume, decide)  # type: ignore[arg-type]
        return carry_out(campaign, DirectExecutor(testbed or FakeTestbed()))  # type: ignore[arg-type]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(tmp_path, monkeypatch)


def statuses(run: Path) -> Counter[str]:
    trials, _ = store.tables(run)
    return Counter(trials.column("status").to_pylist())


def test_a_trial_is_tried_again_up_to_its_retries_and_the_campaign_goes_on(lab: Lab) -> None:
    lab.script = lambda trial, n: bad() if trial.levels.variant == "inline" and trial.round == 1 else ok()
    summary = lab.run(retries=2)
    assert summary.statuses == {"ok": 8, "failed": 2}
    assert sorted(lab.count.values()) == [1] * 8 + [3, 3]
    assert statuses(summary.path) == {"ok": 8, "failed": 2}


def test_after_other_load_the_testbed_gets_time_to_calm_down(lab: Lab) -> None:
    lab.script = lambda trial, n: bad("invalid", broken=["competing_load"]) if n < 3 and trial.order == 2 else ok()
    testbed = FakeTestbed()
    assert lab.run(testbed).statuses == {"ok": 10}
    assert testbed.settled == 2


def test_load_that_stays_is_not_waited_for_again_and_again(lab: Lab) -> None:
    lab.script = lambda trial, n: bad("invalid", broken=["steal"])
    testbed = FakeTestbed()
    testbed.calms_down = False
    assert lab.run(testbed).statuses == {"invalid": 10}
    assert testbed.settled == 2 * 2  # in each of two blocks


def test_a_lost_host_is_prepared_again(lab: Lab) -> None:
    lab.script = lambda trial, n: bad(lost=True) if trial.order == 2 and n == 1 else ok()
    testbed = FakeTestbed()
    assert lab.run(testbed).statuses == {"ok": 10}
    assert testbed.prepared == [1, 1, 2]


def test_a_block_that_cannot_be_prepared_is_postponed_and_done_at_the_end(lab: Lab) -> None:
    testbed = FakeTestbed({1: 3})
    summary = lab.run(testbed)
    assert summary.statuses == {"ok": 10}
    assert testbed.prepared == [2, 1]
    assert "postponed to the end" in lab.progress.messages[0]
    events = [json.loads(line) for line in (summary.path / "journal.jsonl").read_text().splitlines()]
    failed = [event["health"]["a"] for event in events if event["event"] == "prepare-failed"]
    assert failed == [[{"before": "well", "after": "broken"}]] * 3


def test_a_block_that_can_never_be_prepared_is_given_up_with_the_reason(lab: Lab) -> None:
    summary = lab.run(FakeTestbed({1: 100}))
    assert summary.statuses == {"ok": 5, "missing": 5}
    assert not summary.unusable
    rows = store.tables(summary.path)[0].to_pylist()
    assert {row["reasons"] for row in rows if row["status"] == "missing"} == {
        "its hosts could not be prepared: the machine does not start"
    }


def test_a_testbed_on_which_nothing_can_be_prepared_is_unusable(lab: Lab) -> None:
    summary = lab.run(FakeTestbed({1: 100, 2: 100}))
    assert summary.unusable
    assert summary.statuses == {"missing": 10}


def test_the_spec_may_say_to_stop_at_a_failure(lab: Lab) -> None:
    lab.script = lambda trial, n: bad() if trial.order == 3 else ok()
    summary = lab.run(on_failure="stop", retries=0)
    assert summary.statuses == {"ok": 2, "failed": 1, "missing": 7}
    assert "on_failure: stop" in str(summary.stopped)


def test_an_interrupted_run_goes_on_where_it_was(lab: Lab) -> None:
    def interrupted(trial: Any, n: int) -> Outcome:
        if trial.order == 5:
            raise KeyboardInterrupt
        return ok()

    lab.script = interrupted
    first = lab.run()
    assert (first.interrupted, first.statuses) == (True, {"ok": 4, "missing": 6})
    lab.script = lambda trial, n: ok()
    second = lab.run(resume=first.path)
    assert second.path == first.path
    assert second.statuses == {"ok": 10}
    assert set(lab.count.values()) == {1, 2}  # the one that was cut off
    assert [s["state"] for s in store.read_run(first.path)["sessions"]] == ["interrupted", "finished"]


def test_resuming_what_is_complete_measures_and_boots_nothing(lab: Lab) -> None:
    first = lab.run()
    testbed = FakeTestbed()
    assert lab.run(testbed, resume=first.path).statuses == {"ok": 10}
    assert set(lab.count.values()) == {1}
    assert testbed.prepared == []


def test_cosmetic_edits_and_a_rebuilt_kernel_of_the_same_source_change_nothing(lab: Lab) -> None:
    first = lab.run()
    seen: list[Change] = []
    again = {"retries": 5, "description": "in other words", "traffic": {"warm_up": "1s", "duration": "1000 ms"}}
    assert lab.run(resume=first.path, seen=seen, **again).statuses == {"ok": 10}
    assert seen == []
    assert store.read_run(first.path)["description"] == "in other words"


def test_what_changed_is_shown_and_aborting_touches_nothing(lab: Lab) -> None:
    first = lab.run()
    before = {file: file.read_bytes() for file in first.path.rglob("*") if file.is_file()}
    seen: list[Change] = []
    with pytest.raises(UserError, match=r"repetitions\.max: 2 -> 3") as caught:
        lab.run(FakeTestbed(build_id="bb"), resume=first.path, seen=seen, repetitions=3)
    assert caught.value.exit_status == 2
    assert "variant inline: build_id: multitunnel-aa -> multitunnel-bb" in [str(change) for change in seen]
    assert {file: file.read_bytes() for file in first.path.rglob("*") if file.is_file()} == before
    assert set(lab.count.values()) == {1}


def test_keeping_after_a_change_measures_only_what_is_missing(lab: Lab) -> None:
    first = lab.run()
    summary = lab.run(resume=first.path, on_change="keep", repetitions=3)
    assert summary.statuses == {"ok": 14}
    assert set(lab.count.values()) == {1}
    session = store.read_run(first.path)["sessions"][1]
    assert session["on_change"] == "keep"
    assert session["was"]["plan"]["repetitions"]["max"] == 2


def test_rerun_measures_again_what_the_change_concerns_and_keeps_the_old_attempts(lab: Lab) -> None:
    first = lab.run()
    lab.script = lambda trial, n: ok(2e9)
    changed = FakeTestbed()
    changed.module = lambda build, host: ModuleFile("/m", "bb" if build == "multitunnel" else "upstream-aa")  # type: ignore[method-assign]
    summary = lab.run(changed, resume=first.path, on_change="rerun")
    assert summary.statuses == {"ok": 10}
    trials, attempts = (table.to_pylist() for table in store.tables(first.path))
    assert {(row["variant"], row["throughput_bps"]) for row in trials} == {
        ("none", 1e9),
        ("vanilla", 1e9),
        ("inline", 2e9),
    }
    assert Counter(row["status"] for row in attempts) == {"ok": 10, "invalid": 4}
    repeated = [row for row in attempts if row["status"] == "invalid"]
    assert all("build_id: multitunnel-aa -> bb" in row["reasons"] for row in repeated)
    assert len(list(first.path.glob("trials/*/*/attempt.json"))) == 14
    for file in first.path.glob("trials/*/1/attempt.json"):
        assert json.loads(file.read_text())["status"] == "ok"  # as it was written


def test_other_parameters_are_other_trials(lab: Lab) -> None:
    first = lab.run()
    summary = lab.run(resume=first.path, on_change="rerun", traffic={"duration": "2s"})
    assert summary.statuses == {"ok": 10}
    trials, attempts = store.tables(first.path)
    assert (trials.num_rows, attempts.num_rows) == (10, 20)
    assert set(trials.column("planned_duration_s").to_pylist()) == {2.0}


def test_a_run_of_another_experiment_is_refused(lab: Lab) -> None:
    first = lab.run()
    with pytest.raises(UserError, match="a run of the experiment small"):
        lab.run(resume=first.path, experiment="other")


def test_a_run_that_is_being_written_is_refused(lab: Lab) -> None:
    first = lab.run()
    run, _ = store.RunDirectory.reopen(first.path)
    with pytest.raises(UserError, match="Another process is writing"):
        lab.run(resume=first.path)
    run.close()


def test_rounds_end_when_every_interval_is_narrow_and_the_reason_is_stored(lab: Lab) -> None:
    noise = random.Random(1)
    lab.script = lambda trial, n: ok(1e9 * noise.uniform(0.99, 1.01) * (2 if trial.levels.variant == "inline" else 1))
    factors = {"variant": ("vanilla", "inline"), "cores": (1,), "tunnels": (1,)}
    summary = lab.run(repetitions={"min": 6, "max": 30, "width": "5%"}, factors=factors)
    assert summary.statuses == {"ok": 1 + 2 * 7}  # narrow in two rounds in succession
    assert lab.progress.skipped_trials == 2 * 23
    cells = store.read_stopping(summary.path)
    found = {cell["variant"]: (cell["of"], cell["reason"], cell["rounds"], cell["ok"]) for cell in cells}
    assert found == {"vanilla": ("reference", "reference", 7, 7), "inline": ("ratio", "narrow", 7, 7)}
    assert all(cell["width"] <= 0.05 for cell in cells)
    assert statuses(summary.path) == {"ok": 15}


def test_what_must_be_narrow_is_the_ratio_and_drift_that_both_share_holds_up_nothing(lab: Lab) -> None:
    noise = random.Random(1)
    lab.script = lambda trial, n: ok(1e9 * 1.2**trial.round * noise.uniform(0.999, 1.001))
    factors = {"variant": ("vanilla", "inline"), "cores": (1,), "tunnels": (1,)}
    rule = {"min": 6, "max": 12, "width": "5%"}
    rounds = {}
    for of in ("ratio", "median"):
        summary = lab.run(repetitions={**rule, "width_of": of}, factors=factors, description=of)
        rounds[of] = {cell["rounds"] for cell in store.read_stopping(summary.path)}
    assert rounds == {"ratio": {7}, "median": {12}}


def test_boots_are_blocks_that_are_prepared_each_and_end_sooner_once_intervals_are_narrow(lab: Lab) -> None:
    noise = random.Random(1)
    lab.script = lambda trial, n: ok(1e9 * noise.uniform(0.99, 1.01))
    factors = {"variant": ("vanilla", "inline"), "cores": (1, 2), "tunnels": (1,)}
    bed = FakeTestbed()
    summary = lab.run(bed, repetitions={"min": 2, "max": 4, "width": "5%", "boots": 3}, factors=factors)
    assert Counter(bed.prepared) == {1: 3, 2: 3}
    assert bed.prepared != [1, 1, 1, 2, 2, 2]
    cells = store.read_stopping(summary.path)
    rounds = {(cell["cores"], cell["boot"]): cell["rounds"] for cell in cells}
    # Below six values there is no interval: the first boot has all 4 rounds, the second ends at 7 values in total,
    # and the third after its minimum of 2.
    assert rounds == {(cores, boot): rounds for cores in (1, 2) for boot, rounds in ((1, 4), (2, 3), (3, 2))}
    assert {cell["reason"] for cell in cells if cell["boot"] == 1 and cell["variant"] == "inline"} == {"most"}
    assert summary.statuses == {"ok": 6 + 2 * 2 * (4 + 3 + 2)}
    assert statuses(summary.path) == dict(summary.statuses)
    rows = store.tables(summary.path)[0].to_pylist()
    assert sorted({row["block"] for row in rows}) == [1, 2, 3, 4, 5, 6]
    again = FakeTestbed()
    assert lab.run(again, summary.path, repetitions={"min": 2, "max": 4, "width": "5%", "boots": 3}).statuses
    assert again.prepared == []


def test_a_cell_is_held_against_the_baseline_with_its_own_number_of_pairs(lab: Lab) -> None:
    """One pair is slower than two together: its baseline limits a cell with one tunnel, but not one with two."""
    lab.script = lambda trial, n: ok(3e9 * trial.levels.tunnels if trial.kind == "baseline" else 2.9e9)
    lab.run(factors={"variant": ("vanilla",), "cores": (2,), "tunnels": (1, 2)}, repetitions=1)
    found = zip(lab.trials, lab.conditions, strict=True)
    assert {t.levels.tunnels: given.baseline for t, given in found if t.kind == "measure"} == {1: 3e9, 2: 6e9}


def test_without_narrow_intervals_it_ends_after_the_most_rounds(lab: Lab) -> None:
    lab.script = lambda trial, n: bad() if trial.levels.variant == "inline" else ok(1e9 * trial.repetition)
    factors = {"variant": ("vanilla", "inline"), "cores": (1,), "tunnels": (1,)}
    summary = lab.run(repetitions={"min": 2, "max": 8, "width": "5%"}, factors=factors, retries=0)
    assert {(c["variant"], c["reason"], c["rounds"]) for c in store.read_stopping(summary.path)} == {
        ("vanilla", "most", 8),  # by its median: it is no reference if there is nothing to compare
        ("inline", "no-value", 8),
    }
    assert summary.statuses == {"ok": 9, "failed": 8}


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_however_often_it_is_interrupted_every_trial_is_ok_once(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        lab = Lab(tmp_path_factory.mktemp("run"), patch)
        faults = data.draw(st.lists(st.sampled_from(["ok", "ok", "fail", "lost", "interrupt"]), max_size=40))

        def script(trial: Any, n: int) -> Outcome:
            fault = faults.pop(0) if faults else "ok"
            if fault == "interrupt":
                raise KeyboardInterrupt
            return ok() if fault == "ok" else bad(lost=fault == "lost")

        lab.script = script
        summary = lab.run(retries=1)
        for _ in range(50):
            if summary.statuses == {"ok": 10}:
                break
            summary = lab.run(resume=summary.path, retries=1)
        counted = Counter(a["trial_id"] for a in store.read_attempts(summary.path) if a["status"] == "ok")
        assert set(counted.values()) == {1}
        assert len(counted) == 10


class Loops:
    """An agent whose control loops do given multiples of the work of one, one number for each request."""

    def __init__(self, *times_one: float) -> None:
        self.times_one = list(times_one)

    def request(self, request: ControlRequest) -> dict[str, Any]:
        done = self.times_one.pop(0) if len(self.times_one) > 1 else self.times_one[0]
        return {"rates": [[100.0 * (done / 2 if loops == 2 else 1)] * loops for loops in request.phases]}


def virtual_testbed(*times_one: float, slots: int = 1) -> FakeTestbed:
    testbed = FakeTestbed()
    testbed.virtual = VirtualTime(2, tuple(range(slots)), 2e-5, 4)
    testbed.agents = {"a": Loops(*times_one)}
    return testbed


def test_a_run_in_virtual_time_says_so_and_holds_its_trials_against_the_control(lab: Lab) -> None:
    run = lab.run(virtual_testbed(1.99)).path
    stored = store.read_run(run)["testbed"]
    expected = {"clock": "virtual", "slots": 1, "cores": 2, "quantum_s": 2e-5, "computer_cores": 4}
    assert {name: stored[name] for name in expected} == expected
    assert {one.control["times_one"] for one in lab.conditions} == {1.99}
    journal = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    prepared = [event["hosts"]["a"]["control"] for event in journal if event["event"] == "prepared"]
    assert [one["times_one"] for one in prepared] == [1.99, 1.99]
    (first, *_) = store.read_attempts(run)
    assert (first["clock"], first["slots"], first["quantum_s"]) == ("virtual", 1, 2e-5)
    assert store.read_run(lab.run().path)["testbed"]["clock"] == "real"


def test_a_control_that_broke_its_limit_is_repeated_with_its_boot(lab: Lab) -> None:
    testbed = virtual_testbed(1.5, 2.0)
    lab.script = lambda trial, n: (
        ok() if lab.conditions[-1].control["times_one"] == 2.0 else bad("invalid", broken=["control"])
    )
    summary = lab.run(testbed)
    assert set(summary.statuses) == {"ok"}
    assert testbed.prepared == [1, 1, 2]


def test_another_clock_or_number_of_slots_is_a_change_of_the_testbed(lab: Lab) -> None:
    run = lab.run(virtual_testbed(2.0)).path
    for testbed, what in (
        (virtual_testbed(2.0, slots=2), "testbed: slots: 1 -> 2"),
        (FakeTestbed(), "testbed: clock: virtual -> real"),
    ):
        seen: list[Change] = []
        with pytest.raises(UserError, match=what):
            lab.run(testbed, resume=run, seen=seen)
        assert all(change.concerns is None for change in seen)
    assert set(lab.run(virtual_testbed(2.0), resume=run).statuses) == {"ok"}


def test_a_run_of_before_boots_and_baselines_for_each_number_goes_on(lab: Lab) -> None:
    factors = {"variant": ("vanilla", "inline"), "cores": (2,), "tunnels": (1, 2)}
    first = lab.run(factors=factors)
    path = first.path / "run.json"
    meta = json.loads(path.read_text())
    (block,) = meta["plan"]["blocks"]
    del block["boot"], meta["plan"]["repetitions"]["boots"], meta["plan"]["repetitions"]["reference"]
    gone = [t["trial_id"] for t in block["trials"] if t["kind"] == "baseline" and t["levels"]["tunnels"] == 1]
    gone += [t["trial_id"] for t in block["trials"] if t["round"] == 2]
    block["trials"] = [t for t in block["trials"] if t["trial_id"] not in gone[:1]]
    path.write_text(json.dumps(meta))
    for trial_id in gone:
        shutil.rmtree(first.path / "trials" / trial_id)
    lab.conditions.clear()
    seen: list[Change] = []
    again = lab.run(resume=first.path, seen=seen, factors=factors)
    assert seen == []
    assert again.statuses == {"ok": 1 + 2 * 4}
    assert [given.baseline for given in lab.conditions] == [1e9] * 4  # of the one that is there


def test_boots_that_are_added_leave_what_is_measured(lab: Lab) -> None:
    rule = {"min": 2, "max": 2}
    first = lab.run(repetitions=rule)
    lab.count.clear()
    more = lab.run(resume=first.path, on_change="keep", repetitions={**rule, "boots": 2})
    assert more.statuses == {"ok": 2 * first.statuses["ok"]}
    assert lab.count.total() == first.statuses["ok"]
    rows = store.tables(more.path)[0].to_pylist()
    assert sorted(row["repetition"] for row in rows if row["variant"] == "inline" and row["cores"] == 1) == [1, 2, 3, 4]
    assert {len({row["block"] for row in rows if row["cores"] == cores}) for cores in (1, 2)} == {2}
