# SPDX-License-Identifier: Apache-2.0
"""Carrying out a block: preparing its hosts, running its rounds and each trial's attempts, and stopping when there are
enough."""

import hashlib
import time
from collections.abc import Generator, Mapping
from itertools import groupby
from statistics import fmean, median
from typing import Any

from orchestrator.errors import TestbedError
from orchestrator.learned import learn
from orchestrator.measure.attempt import Conditions, Outcome
from orchestrator.measure.judge import LOAD
from orchestrator.measure.layout import net_of
from orchestrator.plan import Block, Trial, lessons_key
from orchestrator.run.executor import WorkerLost
from orchestrator.run.member import Member
from orchestrator.run.session import Session
from orchestrator.run.stopping import enough, stopping_of
from orchestrator.run.work import Prepare, RunTrial, WaitUntilQuiet, Work
from orchestrator.spec import Limits
from orchestrator.store.shape import SCHEMA
from orchestrator.store.tables import CLOCK_FIELDS
from orchestrator.store.writing import now

PREPARE_TRIES = 2
CALM_S = 20.0  # the longest wait for other load to drop before a trial that it spoiled is retried
WAITS = 2  # how many such waits in a row may fail in a block before there are no more
LOSSES = 2  # how many times a trial is retried after its worker was lost, beyond the spec's retries


class BlockUnreachable(TestbedError):
    """The hosts cannot be brought into the block's state. ``worker_lost``: because the worker that would do so is
    lost."""

    def __init__(self, message: str, worker_lost: bool = False) -> None:
        super().__init__(message)
        self.worker_lost = worker_lost


class TrialNotOk(Exception):
    """A trial is not ok after its retries, and the spec says to stop then. The message is a sentence."""


class BlockRun:
    """One block of a plan, carried out once on one testbed; trials that are ok already are not measured again.

    It does not use the testbed itself: it is a generator that yields work, and is sent the result or has the error
    thrown into it.
    """

    def __init__(self, session: Session, block: Block, member: Member) -> None:
        self._session, self._block, self._member = session, block, member
        self._ready = False
        self._waits_left = WAITS
        self._facts: Mapping[str, Any] = {}
        self._overheads: list[float] = []
        self._stored_bytes: list[int] = []

    def carry_out(self) -> Generator[Work, Any, list[dict[str, Any]]]:
        """Measure the trials that are missing; return the block's rows of stopping.json (see `stopping_of`).

        Raises BlockUnreachable, StoreError, and TrialNotOk if the spec says to stop.
        """
        block, plan = self._block, self._session.plan
        self._session.progress.block(block, self._member.name)
        begun = max((trial.round for trial in block.trials if trial.trial_id in self._session.ledger), default=0)
        rounds = 0
        try:
            for rounds, trials in groupby(block.trials, key=lambda trial: trial.round):
                for trial in trials:
                    if not self._session.ledger.is_ok(trial.trial_id):
                        yield from self._measure(trial)
                if rounds >= max(begun, 1) and enough(self._session.ledger, plan, block, rounds):
                    break
        finally:
            if self._overheads:  # teaches the next plan's estimate
                self._teach("overhead", median(self._overheads))
                self._teach("disk", fmean(self._stored_bytes))
        self._session.progress.skipped([trial for trial in block.trials if trial.round > rounds])
        rows = stopping_of(self._session.ledger, plan, block, rounds)
        self._session.folder.journal("block-ended", block=block.index, testbed=self._member.name, rounds=rounds)
        return rows

    def _teach(self, what: str, amount: float) -> None:
        """Record how much of something was needed on this kind of testbed, for later estimates."""
        opened = self._member.opened
        learn(lessons_key(what, opened.provider, opened.clock), amount)

    def _measure(self, trial: Trial) -> Generator[Work, Any, None]:
        """Attempt a trial until it is ok or there are no more retries. A lost worker does not use up a retry."""
        left, losses_left = self._session.spec.retries, LOSSES
        while True:
            outcome, worker_lost = yield from self._attempt(trial)
            if outcome.status == "ok":
                return
            if worker_lost and losses_left:
                losses_left -= 1
                continue
            if not left:
                break
            left -= 1
            if any(name in LOAD for name in outcome.broken):
                yield from self._let_calm_down()
        if self._session.spec.on_failure == "stop":
            tried = f"{1 + self._session.spec.retries} attempts ({'; '.join(outcome.reasons)})"
            raise TrialNotOk(
                f"Trial {trial.trial_id} is {outcome.status} after {tried}, and the spec says on_failure: stop."
            )

    def _let_calm_down(self) -> Generator[Work, Any, None]:
        """Wait for other load to drop. After `WAITS` failed waits in a row, do not wait any more."""
        if self._waits_left:
            self._session.progress.doing(self._member.name, "waiting for other load on the testbed to drop")
            try:
                calm = yield WaitUntilQuiet(self._session.spec.limits.competing_load, CALM_S)
            except WorkerLost:
                calm, self._ready = False, False
            self._waits_left = WAITS if calm else self._waits_left - 1

    def _attempt(self, trial: Trial) -> Generator[Work, Any, tuple[Outcome, bool]]:
        """Make and store one attempt; return its outcome, and whether its worker was lost."""
        if not self._ready:
            yield from self._prepare()
        session = self._session
        number = session.folder.next_attempt(trial.trial_id)
        session.progress.attempt(trial, number)
        started_at = now()
        limits = session.spec.limits
        beside = self._member.beside
        if beside:
            limits = _beside_others(limits)
        baseline = session.ledger.baseline(self._block, trial.levels)
        marks = session.spec.busy == "mark"
        brought = (session.spec.files, session.spec.sample_every_s, session.spec.probes)
        conditions = Conditions(limits, baseline, self._control, marks, *brought)
        worker_lost = False
        try:
            outcome = yield RunTrial(trial, session.variants.get(trial.levels.variant), conditions)
        except WorkerLost as error:
            worker_lost = True
            outcome = Outcome(reasons=[str(error)], measurements={"throughput_bps": None}, host_lost=True)
        if beside and outcome.status == "ok":
            names = " and ".join(beside)
            outcome.marks.append(f"shared_computer: {names} is on this computer too; in no median and no ratio")
        attempt = self._record(trial, number, outcome, started_at) | {"shared_computer": list(beside)}
        session.folder.add_attempt(attempt, outcome.raw)
        session.ledger.add(attempt)
        session.progress.result(trial, number, outcome)
        if outcome.status == "ok" and not beside:
            self._overheads.append(outcome.measurements["overhead_s"])
            self._stored_bytes.append(session.folder.stored_bytes[-1])
        # After a control that broke its limit, the hosts are booted again and the control is repeated.
        self._ready = not outcome.host_lost and "control" not in outcome.broken
        session.folder.check_room()
        return outcome, worker_lost

    @property
    def _control(self) -> Mapping[str, Any] | None:
        """The result of the control at the start of the block, from the single host of a testbed in virtual time; None
        in real time."""
        found: list[Mapping[str, Any]] = [facts["control"] for facts in self._facts.values() if "control" in facts]
        return found[0] if found else None

    def _prepare(self) -> Generator[Work, Any, None]:
        """Bring the hosts into the block's state; the second try may restart them. Raises BlockUnreachable."""
        for left in range(PREPARE_TRIES - 1, -1, -1):
            try:
                yield from self._prepare_once()
                return
            except TestbedError as error:
                told = {"health": dict(error.health)} if error.health else {}
                self._session.folder.journal(
                    "prepare-failed", block=self._block.index, testbed=self._member.name, error=str(error), **told
                )
                if not left:
                    raise BlockUnreachable(str(error), isinstance(error, WorkerLost)) from error

    def _prepare_once(self) -> Generator[Work, Any, None]:
        """Boot the hosts, and set up roles and links. Raises TestbedError."""
        block, name = self._block, self._member.name
        began = time.monotonic()
        self._session.progress.doing(name, f"starting the testbed with {block.cores} core{'s' * (block.cores > 1)}")
        most = max(trial.levels.tunnels for trial in block.trials)
        own_boot = block.index if self._session.plan.repetitions.boots > 1 else None
        self._facts = yield Prepare(block.cores, net_of(block.trials[0]), most, own_boot, block.settings)
        seconds = time.monotonic() - began
        if not self._member.beside:
            restarted = any(state.get("restarted") for state in self._facts.values())
            self._teach("restart" if restarted else "prepare", seconds)
        told = {"cores": block.cores, "boot": block.boot, "seconds": round(seconds, 3), "hosts": self._facts}
        self._session.folder.journal("prepared", block=block.index, testbed=name, **told)
        self._ready = True

    def _record(self, trial: Trial, number: int, outcome: Outcome, started_at: str) -> dict[str, Any]:
        levels, traffic = trial.levels, trial.traffic
        return {
            "schema": SCHEMA,
            "trial_id": trial.trial_id,
            "attempt": number,
            "session": len(self._session.folder.description["sessions"]),
            **{name: getattr(trial, name) for name in ("kind", "block", "round", "order", "repetition", "topology")},
            "levels": levels.to_json(),
            "testbed": self._member.name,
            **{name: value for name, value in self._member.opened.clock_json.items() if name in CLOCK_FIELDS},
            "status": outcome.status,
            "reasons": outcome.reasons,
            "broken_limits": outcome.broken,
            "marks": outcome.marks,
            "started_at": started_at,
            "ended_at": now(),
            "traffic": traffic.stored,
            "measurements": outcome.measurements,
            "probes": outcome.probes,
            "variant_build": outcome.variant_build,
            "boot_id": _boot_id(self._facts),
            "kernel_release": next((facts.get("kernel_release") for facts in self._facts.values()), None),
            "crypto": outcome.crypto,
            "realtime": outcome.computer_use.realtime,
        }


def _beside_others(limits: Limits) -> Limits:
    """Return limits of which competing load only marks a trial: other testbeds of the run on the same computer cause
    it."""
    return limits.model_copy(update={"report_only": tuple(dict.fromkeys((*limits.report_only, "competing_load")))})


def _boot_id(facts: Mapping[str, Any]) -> str | None:
    """Return a hash of the boot ids of all hosts' kernels, which changes if one of them is booted; None if a host gives
    none."""
    ids = [str(of_host.get("boot_id") or "") for _, of_host in sorted(facts.items())]
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16] if ids and all(ids) else None
