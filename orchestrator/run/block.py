# SPDX-License-Identifier: Apache-2.0
"""A block on its way: the hosts prepared for it, its rounds, each trial's attempts, and when it has enough."""

import time
from collections.abc import Mapping
from functools import partial
from itertools import groupby
from statistics import fmean, median
from typing import Any

from orchestrator import cache
from orchestrator.errors import TestbedError
from orchestrator.plan import Block, Trial
from orchestrator.run.attempt import run_attempt
from orchestrator.run.layout import net_of
from orchestrator.run.ledger import enough, stopping_of
from orchestrator.run.roles import make_links
from orchestrator.run.scene import Conditions, Outcome
from orchestrator.run.session import Session
from orchestrator.store.writing import now
from orchestrator.testbed.protocol import State

PREPARE_TRIES = 2
CALM_S = 20.0  # how long other load may take to go away before a trial that it spoiled is tried again
WAITS = 2  # so often in a block without success
_LOAD = ("competing_load", "steal")


class BlockUnreachable(TestbedError):
    """The hosts cannot be brought into the block's state."""


class TrialNotOk(Exception):
    """A trial is not ok after its retries, and the spec says to stop then: a sentence."""


class BlockRun:
    """One block of a plan, carried out once; a trial that is ok already is not measured again."""

    def __init__(self, session: Session, block: Block) -> None:
        self._session, self._block = session, block
        self._ready = False
        self._waits_left = WAITS
        self._facts: Mapping[str, Any] = {}
        self._overheads: list[float] = []

    def carry_out(self) -> list[dict[str, Any]]:
        """Measure what is missing; returns why each cell has as many rounds as it has.

        Raises BlockUnreachable, StoreError, and TrialNotOk where the spec says to stop.
        """
        block, rule = self._block, self._session.plan.repetitions
        self._session.progress.block(block)
        begun = max((trial.round for trial in block.trials if trial.trial_id in self._session.ledger), default=0)
        rounds = 0
        try:
            for rounds, trials in groupby(block.trials, key=lambda trial: trial.round):
                for trial in trials:
                    if not self._session.ledger.is_ok(trial.trial_id):
                        self._measure(trial)
                if rounds >= max(begun, 1) and enough(self._session.ledger, block, rounds, rule):
                    break
        finally:
            if self._overheads:  # teaches the next plan's estimate
                cache.learn(f"overhead/{self._session.testbed.provider}", median(self._overheads))
                cache.learn(f"disk/{self._session.testbed.provider}", fmean(self._session.folder.stored_bytes))
        self._session.progress.skipped([trial for trial in block.trials if trial.round > rounds])
        rows = stopping_of(block, self._session.ledger.values(block, rounds), rounds, rule)
        self._session.folder.journal("block-ended", block=block.index, rounds=rounds)
        return rows

    def _measure(self, trial: Trial) -> None:
        """Attempts of one trial, until one is ok or there are no more retries."""
        for left in range(self._session.spec.retries, -1, -1):
            outcome = self._attempt(trial)
            if outcome.status == "ok":
                return
            if left and any(name in _LOAD for name in outcome.broken):
                self._let_calm_down()
        if self._session.spec.on_failure == "stop":
            tried = f"{1 + self._session.spec.retries} attempts ({'; '.join(outcome.reasons)})"
            raise TrialNotOk(
                f"Trial {trial.trial_id} is {outcome.status} after {tried}, and the spec says on_failure: stop."
            )

    def _let_calm_down(self) -> None:
        """Wait until other load is gone; load that stays is not waited for again and again."""
        if self._waits_left:
            self._session.progress.detail("waiting until other load on the testbed calms down")
            calm = self._session.testbed.settle(self._session.spec.limits.competing_load, CALM_S)
            self._waits_left = WAITS if calm else self._waits_left - 1

    def _attempt(self, trial: Trial) -> Outcome:
        if not self._ready:
            self._prepare()
        number = self._session.folder.next_attempt(trial.trial_id)
        self._session.progress.attempt(trial, number)
        started_at = now()
        outcome = run_attempt(
            self._session.testbed,
            trial,
            self._session.variants.get(trial.levels.variant),
            partial(self._session.progress.traffic, trial),
            Conditions(self._session.spec.limits, self._session.ledger.baseline(self._block, trial.levels.packet_size)),
            partial(self._session.progress.bounds, trial),
        )
        attempt = self._record(trial, number, outcome, started_at)
        self._session.folder.add_attempt(attempt, outcome.raw)
        self._session.ledger.add(attempt)
        self._session.progress.result(trial, number, outcome)
        if outcome.status == "ok":
            self._overheads.append(outcome.measurements["overhead_s"])
        self._ready = not outcome.host_lost
        self._session.folder.check_room()
        return outcome

    def _prepare(self) -> None:
        """Bring the hosts into the block's state; a second try may find them restarted. Raises BlockUnreachable."""
        for left in range(PREPARE_TRIES - 1, -1, -1):
            try:
                self._prepare_once()
                return
            except TestbedError as error:
                self._session.folder.journal("prepare-failed", block=self._block.index, error=str(error))
                if not left:
                    raise BlockUnreachable(str(error)) from error

    def _prepare_once(self) -> None:
        """Boot, and make roles and links. Raises TestbedError."""
        block = self._block
        began = time.monotonic()
        self._session.progress.detail(f"starting the testbed with {block.cores} core{'s' * (block.cores > 1)}")
        self._facts = self._session.testbed.prepare(State(block.cores))
        most = max(trial.levels.tunnels for trial in block.trials)
        make_links(self._session.testbed, net_of(block.trials[0]), most)
        seconds = time.monotonic() - began
        cache.learn(f"prepare/{self._session.testbed.provider}", seconds)
        self._session.folder.journal(
            "prepared", block=block.index, cores=block.cores, seconds=round(seconds, 3), hosts=self._facts
        )
        self._ready = True

    def _record(self, trial: Trial, number: int, outcome: Outcome, started_at: str) -> dict[str, Any]:
        levels, traffic = trial.levels, trial.traffic
        return {
            "schema": 1,
            "trial_id": trial.trial_id,
            "attempt": number,
            "session": len(self._session.folder.description["sessions"]),
            **{name: getattr(trial, name) for name in ("kind", "block", "round", "order", "repetition", "topology")},
            "levels": levels.to_json(),
            "testbed": self._session.testbed.name,
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
            "kernel_release": next((facts.get("kernel_release") for facts in self._facts.values()), None),
            "crypto": outcome.crypto,
            "realtime": outcome.boost.realtime,
        }
