# SPDX-License-Identifier: Apache-2.0
"""A pool without testbeds: the assignment of blocks, lost workers, one writer, and testbeds that share a computer."""

import concurrent.futures
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator import store
from orchestrator.analysis.cells import cells, efficiencies, ratios
from orchestrator.analysis.dataset import load
from orchestrator.errors import TestbedError
from orchestrator.plan import Capabilities, Plan, lab_capabilities, make_plan
from orchestrator.run import worker
from orchestrator.run.campaign import CampaignSummary, carry_out
from orchestrator.run.cluster import Cluster
from orchestrator.run.executor import DirectExecutor, LocalExecutor, WorkerLost
from orchestrator.run.session import Campaign
from orchestrator.run.work import Prepare, RunTrial, WaitUntilQuiet, Work
from orchestrator.spec import Experiment, Pool, load_testbed
from orchestrator.testbed.pool import MemberCapabilities, pool_capabilities, sharing_of
from tests.unit.test_run_campaign import FakeTestbed, Quiet, bad, ok

VARIANTS = ("vanilla", "inline")
POOL = ("lab-a", "lab-b")
TRIALS = 3 * (2 + 4 * 2)  # for `spec_of`: 3 blocks, each with 2 baselines, and 4 cells in 2 rounds


def fake(name: str, **about: Any) -> FakeTestbed:
    testbed = FakeTestbed(**about)
    testbed.name = name  # type: ignore[misc]
    return testbed


def spec_of(**changes: Any) -> Experiment:
    content: dict[str, Any] = {
        "experiment": "small",
        "factors": {"variant": VARIANTS, "cores": (1, 2, 3), "tunnels": (1, 2)},
        "traffic": {"duration": "1s"},
        "repetitions": 2,
    }
    return Experiment.model_validate({**content, **changes})


def pool_plan(spec: Experiment, testbeds: int = 2) -> Plan:
    able = lab_capabilities(3, VARIANTS)
    able = Capabilities(able.max_cores, able.cores_by, able.topologies, able.variants, testbeds=testbeds)
    return make_plan(spec, able, testbed="pool")


class Run:
    """Runs campaigns on executors, with scripted attempts."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.script: Callable[[Any, int], Any] = lambda trial, n: ok()
        self.count: Counter[str] = Counter()
        self.where: dict[str, set[str]] = {}
        self.progress = Quiet()
        patch.setattr("orchestrator.run.work.run_attempt", self._attempt)
        patch.setattr("orchestrator.run.work.make_links", lambda *arguments: None)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))

    def _attempt(self, testbed: Any, trial: Any, *rest: Any) -> Any:
        self.count[trial.trial_id] += 1
        self.where.setdefault(trial.trial_id, set()).add(testbed.name)
        return self.script(trial, self.count[trial.trial_id])

    def run(self, executor: Any, spec: Experiment | None = None, resume: Path | None = None) -> CampaignSummary:
        spec = spec or spec_of()
        progress: Any = self.progress
        results = self.folder / f"results-{len(list(self.folder.iterdir()))}"
        return carry_out(Campaign(spec, pool_plan(spec), results, progress, {}, resume), executor)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(tmp_path, monkeypatch)


def threads(computers: Mapping[str, str] | None = None, **beds: Any) -> LocalExecutor:
    opened: Any = {name: beds.get(name.replace("-", "_")) or fake(name) for name in POOL}
    return LocalExecutor(opened, computers or {})


def outcomes(path: Path) -> dict[str, str]:
    return {row["trial_id"]: row["status"] for row in store.tables(path)[0].to_pylist()}


# --- the plan ---


def test_a_block_is_a_core_count_and_is_divided_by_tunnels_only_where_testbeds_would_have_none() -> None:
    assert [block.cores for block in pool_plan(spec_of()).blocks] == [1, 2, 3]
    one = spec_of(factors={"variant": VARIANTS, "cores": (1,), "tunnels": (1, 2, 4)})
    divided = pool_plan(one)
    tunnels = [{t.levels.tunnels for t in block.trials if t.kind == "measure"} for block in divided.blocks]
    assert tunnels == [{1, 4}, {2}]
    for block in divided.blocks:
        assert block.trials[0].kind == "baseline"
        assert {t.levels.variant for t in block.trials if t.kind == "measure"} == set(VARIANTS)
    alone = make_plan(one, lab_capabilities(3, VARIANTS))
    measured = [{t.trial_id for t in plan.iterate() if t.kind == "measure"} for plan in (divided, alone)]
    assert measured[0] == measured[1]


@given(cores=st.integers(1, 64), machines=st.lists(st.integers(1, 4), min_size=1, max_size=5))
def test_machines_on_one_computer_never_have_more_virtual_cpus_than_it_has_cores(
    cores: int, machines: list[int]
) -> None:
    seen = {
        f"lab-{i}": MemberCapabilities(lab_capabilities(cores, VARIANTS, number), "here", cores, number)
        for i, number in enumerate(machines)
    }
    if cores < sum(machines) and len(machines) > 1:
        with pytest.raises(TestbedError, match="cannot work at the same time"):
            pool_capabilities(seen)
    elif len(machines) > 1:
        assert pool_capabilities(seen).max_cores * sum(machines) <= cores
        assert {one.machines for one in sharing_of(seen, "run").values()} == {sum(machines)}


def test_a_pool_can_do_what_each_of_its_testbeds_can() -> None:
    def rack(most: int, *variants: str) -> MemberCapabilities:
        why = {"cores": f"left has {most} CPUs for it"}
        return MemberCapabilities(Capabilities(most, "offline", ("site-to-site",), variants, why), None, 2, 2)

    able = pool_capabilities({"a": rack(8, "vanilla", "inline"), "b": rack(4, "vanilla")})
    assert (able.max_cores, able.variants, able.testbeds) == (4, ("vanilla",), 2)
    assert able.reasons["cores"] == "of the pool's testbeds, b: left has 4 CPUs for it"
    assert sharing_of({"a": rack(8), "b": rack(4)}, "run") == {}


# --- who gets what ---


def test_blocks_run_at_the_same_time_each_whole_on_one_testbed(run: Run) -> None:
    both = threading.Barrier(2, timeout=20)

    def meets(trial: Any, n: int) -> Any:
        if trial.kind == "baseline" and trial.block < 3:
            both.wait()  # passes only if another testbed works meanwhile
        return ok()

    run.script = meets
    with threads() as executor:
        summary = run.run(executor)
    assert summary.statuses == {"ok": TRIALS}
    rows = store.tables(summary.path)[0].to_pylist()
    homes = {row["block"]: set() for row in rows}  # type: ignore[var-annotated]
    for row in rows:
        homes[row["block"]].add(row["testbed"])
    assert all(len(home) == 1 for home in homes.values())
    assert {name for home in homes.values() for name in home} == set(POOL)
    assert not any(row["shared_computer"] for row in rows)
    meta = store.read_run(summary.path)
    assert (meta["testbed"]["name"], list(meta["testbed"]["members"])) == ("pool", list(POOL))


def test_only_the_thread_that_owns_the_run_writes_its_directory(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    writers, workers = set(), set()
    for name in ("add_attempt", "journal", "update", "write_stopping"):
        original = getattr(store.RunDirectory, name)

        def noted(self: Any, *arguments: Any, original: Any = original, **named: Any) -> Any:
            writers.add(threading.get_ident())
            return original(self, *arguments, **named)

        monkeypatch.setattr(store.RunDirectory, name, noted)

    def script(trial: Any, n: int) -> Any:
        workers.add(threading.get_ident())
        return ok()

    run.script = script
    with threads() as executor:
        run.run(executor)
    assert writers == {threading.get_ident()}
    assert len(workers) == 2
    assert not writers & workers


def booted(**changes: Any) -> Experiment:
    return spec_of(repetitions={"min": 1, "max": 1, "boots": 3}, **changes)


def homes_of(path: Path) -> dict[int, set[str]]:
    """Return {cores: the testbeds that measured them}."""
    homes: dict[int, set[str]] = {}
    for row in store.tables(path)[0].to_pylist():
        homes.setdefault(row["cores"], set()).add(row["testbed"])
    return homes


def test_all_boots_of_a_core_count_are_measured_on_one_testbed(run: Run) -> None:
    with threads() as executor:
        summary = run.run(executor, booted())
    homes = homes_of(summary.path)
    assert all(len(home) == 1 for home in homes.values())
    assert {name for home in homes.values() for name in home} == set(POOL)
    assert summary.statuses == {"ok": 3 * (2 + 4 + 2 + 4 + 2 + 4)}


def test_boots_stay_together_where_a_testbed_fails_at_first_or_once_in_the_middle(run: Run) -> None:
    with threads(lab_a=fake("lab-a", broken={1: 100, 2: 100, 3: 100})) as executor:
        first = run.run(executor, booted())
    assert set().union(*homes_of(first.path).values()) == {"lab-b"}
    assert set(first.statuses) == {"ok"}
    broken = fake("lab-a")
    original = broken.prepare

    def prepare(state: Any) -> Any:
        if broken.prepared.count(state.cores) == 1 and state.cores not in broken.broken:
            broken.broken[state.cores] = 2  # the second boot fails twice, and is tried again at the end
        return original(state)

    broken.prepare = prepare  # type: ignore[method-assign]
    with threads(lab_a=broken) as executor:
        second = run.run(executor, booted())
    assert set(second.statuses) == {"ok"}
    assert all(len(home) == 1 for home in homes_of(second.path).values())


def test_a_testbed_that_cannot_be_prepared_leaves_its_block_to_another(run: Run) -> None:
    with threads(lab_a=fake("lab-a", broken={1: 100, 2: 100, 3: 100})) as executor:
        summary = run.run(executor)
    assert summary.statuses == {"ok": TRIALS}
    assert {row["testbed"] for row in store.tables(summary.path)[0].to_pylist()} == {"lab-b"}


def test_an_interrupt_ends_the_work_on_every_testbed(run: Run) -> None:
    ended = threading.Event()

    def script(trial: Any, n: int) -> Any:
        ended.wait(20)
        return bad(lost=True)

    wait = concurrent.futures.wait

    def interrupted(futures: Any, **named: Any) -> Any:
        found = wait(futures, timeout=1, **named)
        if not found.done:  # every testbed is in the middle of an attempt
            raise KeyboardInterrupt
        return found

    run.script = script
    beds = [fake(name) for name in POOL]
    for bed in beds:
        bed.interrupt = ended.set  # type: ignore[attr-defined]
    began = time.monotonic()
    with pytest.MonkeyPatch.context() as patch, threads(lab_a=beds[0], lab_b=beds[1]) as executor:
        patch.setattr("orchestrator.run.campaign.concurrent.futures.wait", interrupted)
        summary = run.run(executor)
    assert summary.interrupted
    assert ended.is_set()
    assert time.monotonic() - began < 15
    assert summary.statuses == {"missing": TRIALS}
    run.script = lambda trial, n: ok()
    with threads() as executor:
        assert run.run(executor, resume=summary.path).statuses == {"ok": TRIALS}


@settings(max_examples=6, suppress_health_check=list(HealthCheck))
@given(faults=st.dictionaries(st.tuples(st.integers(1, TRIALS), st.integers(1, 3)), st.sampled_from(["fail", "lost"])))
def test_a_pool_gives_the_trials_and_statuses_of_a_serial_run(
    tmp_path_factory: pytest.TempPathFactory, faults: dict[tuple[int, int], str]
) -> None:
    def script(trial: Any, n: int) -> Any:
        fault = faults.get((trial.order, n))
        return ok() if fault is None else bad(lost=fault == "lost")

    found = []
    with pytest.MonkeyPatch.context() as patch:
        for make in (lambda: threads(), lambda: None):
            run = Run(tmp_path_factory.mktemp("run"), patch)
            run.script = script
            executor = make()
            if executor is None:
                found.append(outcomes(run.run(DirectExecutor(fake("lab-a"))).path))  # type: ignore[arg-type]
            else:
                with executor:
                    found.append(outcomes(run.run(executor).path))
    assert found[0] == found[1]
    assert len(found[0]) == TRIALS


# --- lost workers ---


class Losing:
    """An executor of two testbeds, run immediately in this process, that loses the worker of some pieces of work:
    ``lose`` decides which; a testbed in ``gone`` has no worker any more."""

    def __init__(self, lose: Callable[[str, Work], bool], gone: Sequence[str] = ()) -> None:
        self.testbeds, self.computers = list(POOL), dict[str, str]()
        self._lose, self.gone = lose, set(gone)
        self._beds: dict[str, Any] = {name: fake(name) for name in POOL}
        self._ready = dict.fromkeys(POOL, False)

    def submit(self, testbed: str, work: Work, tell: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        if isinstance(work, Prepare | RunTrial) and (testbed in self.gone or self._lose(testbed, work)):
            self._ready[testbed] = False
            future.set_exception(WorkerLost(f"the worker of {testbed} was lost"))
            return future
        assert not isinstance(work, RunTrial) or self._ready[testbed], "a fresh worker is prepared first"
        self._ready[testbed] |= isinstance(work, Prepare)
        future.set_result(work.carry_out(self._beds[testbed], tell))
        return future


def test_a_lost_worker_costs_an_attempt_and_no_retry_and_the_block_goes_on(run: Run) -> None:
    lost: list[Work] = []

    def once(testbed: str, work: Work) -> bool:
        if isinstance(work, RunTrial) and work.trial.order == 4 and not lost:
            lost.append(work)
            return True
        return False

    summary = run.run(Losing(once), spec_of(retries=0))
    assert summary.statuses == {"ok": TRIALS}
    attempts = [a for a in store.read_attempts(summary.path) if a["order"] == 4]
    assert [(a["status"], a["testbed"]) for a in attempts] == [("failed", "lab-a"), ("ok", "lab-a")]
    assert attempts[0]["reasons"] == ["the worker of lab-a was lost"]


def test_the_blocks_of_a_testbed_that_is_lost_for_good_go_elsewhere(run: Run) -> None:
    executor: Any = Losing(lambda testbed, work: False)

    def gone(testbed: str, work: Work) -> bool:
        if testbed == "lab-a" and isinstance(work, RunTrial) and work.trial.order == 3:
            executor.gone.add("lab-a")
        return testbed in executor.gone

    executor._lose = gone
    summary = run.run(executor)
    assert summary.statuses == {"ok": TRIALS}
    rows = {row["order"]: row["testbed"] for row in store.tables(summary.path)[0].to_pylist()}
    assert [rows[order] for order in (1, 2, 3, 4)] == ["lab-a", "lab-a", "lab-b", "lab-b"]
    assert any("lab-a is lost" in message for message in run.progress.messages)


def test_where_every_testbed_is_lost_the_trials_are_missing_and_the_run_goes_on_later(run: Run) -> None:
    summary = run.run(Losing(lambda testbed, work: False, gone=POOL))
    assert summary.statuses == {"missing": TRIALS}
    assert summary.unusable
    assert "was lost" in summary.given_up[0]["reason"]
    assert run.run(Losing(lambda testbed, work: False), resume=summary.path).statuses == {"ok": TRIALS}


@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(losses=st.sets(st.integers(0, 60), max_size=12))
def test_whatever_workers_are_lost_nothing_is_lost_and_nothing_is_ok_twice(
    tmp_path_factory: pytest.TempPathFactory, losses: set[int]
) -> None:
    counter = iter(range(10_000))
    with pytest.MonkeyPatch.context() as patch:
        run = Run(tmp_path_factory.mktemp("run"), patch)
        executor = Losing(lambda testbed, work: next(counter) in losses)
        summary = run.run(executor)
        while summary.statuses != {"ok": TRIALS}:
            summary = run.run(Losing(lambda testbed, work: False), resume=summary.path)
        counted = Counter(a["trial_id"] for a in store.read_attempts(summary.path) if a["status"] == "ok")
        assert set(counted.values()) == {1}


@settings(max_examples=3, suppress_health_check=list(HealthCheck))
@given(losses=st.sets(st.integers(0, 40), max_size=4))
def test_boots_end_on_one_testbed_each_core_count_whatever_workers_are_lost(
    tmp_path_factory: pytest.TempPathFactory, losses: set[int]
) -> None:
    """A lost worker that returns in time has its testbed again; none is lost for good here."""
    counter = iter(range(10_000))
    with pytest.MonkeyPatch.context() as patch:
        run = Run(tmp_path_factory.mktemp("run"), patch)
        lose = lambda testbed, work: isinstance(work, RunTrial) and next(counter) in losses  # noqa: E731
        summary = run.run(Losing(lose), booted(retries=0))
        assert summary.statuses == {"ok": 3 * (2 + 4 + 2 + 4 + 2 + 4)}
        assert all(len(home) == 1 for home in homes_of(summary.path).values())


# --- what shares a computer, and the tables ---


def test_what_shares_a_computer_is_marked_and_in_no_median_and_no_ratio(run: Run) -> None:
    with threads(dict.fromkeys(POOL, "here")) as executor:
        summary = run.run(executor, spec_of(factors={"variant": VARIANTS, "cores": (1,), "tunnels": (1, 2)}))
    assert set(outcomes(summary.path).values()) == {"ok"}
    attempt = store.read_attempts(summary.path)[0]
    assert attempt["shared_computer"] == ["lab-b"]
    assert attempt["marks"] == ["shared_computer: lab-b is on this computer too; in no median and no ratio"]
    found = load(summary.path)
    assert len(found.shared) == len(found.trials) == 10
    assert found.measured.empty
    assert found.baselines.empty
    assert ratios(found).empty
    assert set(cells(found)["n"]) == {0}
    assert "share a computer: functional only" in found.testbed["label"]


def test_core_counts_are_compared_on_one_testbed_only(run: Run) -> None:
    factors = {"variant": ("inline",), "cores": (1, 2, 3), "tunnels": ("per-core",)}
    with threads() as executor:
        path = run.run(executor, spec_of(factors=factors)).path
    trials = load(path).measured
    beds = {cores: set(rows["testbed"]) for cores, rows in trials.groupby("cores")}
    compared = set(efficiencies(load(path))["cores"])
    assert compared == {cores for cores, bed in beds.items() if bed == beds[1]} - {1}


# --- Dask ---


@pytest.fixture
def scheduler() -> Iterator[str]:
    """Yield a Dask scheduler with a worker for lab-a and one for lab-b, all in this process."""
    from distributed import SpecCluster
    from distributed.scheduler import Scheduler
    from distributed.worker import Worker

    def one(name: str) -> dict[str, Any]:
        return {"cls": Worker, "options": {"nthreads": 1, "resources": {name: 1}, "dashboard_address": ":0"}}

    options = {"host": "127.0.0.1", "port": 0, "dashboard_address": ":0"}
    with SpecCluster(
        workers={name: one(name) for name in POOL},
        scheduler={"cls": Scheduler, "options": options},
        silence_logs=50,
    ) as cluster:
        yield cluster.scheduler_address


def test_a_resource_that_no_worker_has_is_an_error_at_once(scheduler: str) -> None:
    pool = load_testbed("two-labs")
    assert isinstance(pool, Pool)
    other = pool.members[0].model_copy(update={"testbed": "lab-z"})
    with Cluster(scheduler) as cluster, pytest.raises(TestbedError) as caught:
        cluster.look([pool.members[1], other])
    assert f"No worker of {scheduler} has the resource lab-z; they have lab-a, lab-b." in str(caught.value)
    assert "--resources lab-z=1`" in str(caught.value)


def test_a_scheduler_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.run.cluster._CONNECT_S", 0.5)
    with pytest.raises(TestbedError, match="No Dask scheduler answers at"), Cluster("tcp://127.0.0.1:9"):
        pass


class Entered:
    """A fake testbed that can be entered, and records that it is left."""

    def __init__(self, testbed: Any, left: list[str]) -> None:
        self._fake, self._left = fake(testbed.testbed), left

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fake, name)

    def __enter__(self) -> "Entered":
        return self

    def __exit__(self, *exception: object) -> None:
        self._left.append(self._fake.name)

    def interrupt(self) -> None: ...


def test_workers_of_dask_give_what_threads_give_and_close_their_testbeds(
    run: Run, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[str] = []
    monkeypatch.setattr(worker, "open_testbed", lambda bed, progress, **named: Entered(bed, left))
    pool = load_testbed("two-labs")
    assert isinstance(pool, Pool)
    progress: Any = run.progress
    with Cluster(scheduler) as cluster:
        seen = cluster.look(pool.members)
        with cluster.open(pool.members, seen, progress, wait=True) as executor:
            summary = run.run(executor)
    with threads() as executor:
        assert outcomes(summary.path) == outcomes(run.run(executor).path)
    assert sorted(left) == list(POOL)
    assert not worker._openings
    assert all(a["shared_computer"] for a in store.read_attempts(summary.path))


def test_a_worker_closes_its_testbed_when_nothing_is_heard_of_the_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "SILENCE_S", 0.5)
    left: list[str] = []
    monkeypatch.setattr(worker, "open_testbed", lambda bed, progress, **named: Entered(bed, left))
    bed: Any = load_testbed("lab-a")
    worker.open_there("o", bed, None, True, lambda message: None)
    for _ in range(8):
        time.sleep(0.1)
        worker.hear_there("o")
    assert left == []
    deadline = time.monotonic() + 10
    while not left and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == ["lab-a"]
    with pytest.raises(WorkerLost, match="another process answers in its place"):
        worker.work_there("o", WaitUntilQuiet(0.1, 1.0))
