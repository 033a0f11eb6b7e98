# SPDX-License-Identifier: Apache-2.0
"""The campaign: runs every block, round and trial of a plan, and stores each attempt as it ends; it can be resumed.

The policy for failures: a trial that is not ok is retried immediately, up to the spec's ``retries`` times; if other
load spoiled it, only after a wait for that load to drop. A host that is lost is prepared again, which restarts it if
the provider can. A block whose hosts cannot be prepared is postponed to the end and tried once more (in a pool, on
another testbed, unless this one has measured other boots of its cells). If that fails too, it is given up: its trials
are missing, with the reason.

A block stays on one testbed, and so do all boots of the same cells, so that values that are compared come from the same
testbed; only if a testbed is lost for good do its blocks move to another. An executor does the work on testbeds;
everything else, including all writes to the run's directory, happens here, in one thread.
"""

import concurrent.futures
from collections import Counter, deque
from collections.abc import Generator
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.plan import Block
from orchestrator.run.block import BlockRun, BlockUnreachable, TrialNotOk
from orchestrator.run.executor import Executor
from orchestrator.run.member import Member, members_of_run
from orchestrator.run.opening import open_run
from orchestrator.run.session import Campaign, Session
from orchestrator.run.work import RunTrial, Work
from orchestrator.store import StoreError, read_stopping
from orchestrator.store.tables import needed_trials


@dataclass
class CampaignSummary:
    """How a campaign ended: the number of trials by status, why it stopped early (None if it did not), and the blocks
    that were given up.

    ``unusable``: no block could be prepared and nothing was measured.
    """

    path: Path
    statuses: Counter[str] = field(default_factory=Counter)
    interrupted: bool = False
    stopped: str | None = None
    given_up: list[dict[str, Any]] = field(default_factory=list)
    unusable: bool = False


def carry_out(campaign: Campaign, executor: Executor) -> CampaignSummary:
    """Run the campaign on the testbeds of an executor and return how it ended. Attempts are stored as they end, so that
    they survive any later failure.

    KeyboardInterrupt ends it cleanly: the attempt in progress is discarded, everything else is kept. Raises UserError
    if a run cannot be resumed.
    """
    session = open_run(campaign, executor)
    folder, plan, ledger = session.folder, session.plan, session.ledger
    summary = CampaignSummary(folder.path)
    finished = [trial for trial in plan.iterate() if ledger.is_ok(trial.trial_id)]
    campaign.progress.plan(plan, finished, len(session.testbeds))
    state = "stopped"
    try:
        _Blocks(session, executor, summary).carry_out()
        state = "finished"
    except KeyboardInterrupt:
        summary.interrupted = True
        state = "interrupted"
    except (StoreError, TrialNotOk) as error:
        summary.stopped = str(error)
    finally:
        try:
            folder.finish(state)
        except StoreError as error:
            summary.stopped = summary.stopped or str(error)
    needed = list(needed_trials(folder.description["plan"], ledger, read_stopping(folder.path)))
    summary.statuses.update(ledger.status(trial["trial_id"]) for trial in needed)
    attempted = any(trial["trial_id"] in ledger for trial in needed)
    summary.unusable = bool(summary.given_up) and not attempted
    return summary


@dataclass
class _Waiting:
    """A block that is not assigned to a testbed. ``home``: the testbed that measured part of it; ``failed_on``: the one
    on which its hosts could not be prepared."""

    block: Block
    home: str | None = None
    failed_on: str | None = None


class _Blocks:
    """Assigns a plan's blocks to the testbeds; those whose hosts could not be prepared get a second try at the end."""

    def __init__(self, session: Session, executor: Executor, summary: CampaignSummary) -> None:
        self._session, self._executor, self._summary = session, executor, summary
        self._members = members_of_run(session.testbeds, executor.computers)
        self._waiting = deque(_Waiting(block, self._home_of(block)) for block in session.plan.blocks)
        self._runs: dict[Member, tuple[_Waiting, Generator[Work, Any, list[dict[str, Any]]]]] = {}
        self._in_hand: dict[Future[Any], Member] = {}
        before = read_stopping(session.folder.path)
        indices = [block.index for block in session.plan.blocks]
        self._stopping = {index: [row for row in before if row["block"] == index] for index in indices}

    def carry_out(self) -> None:
        """Work until every block has ended or is given up."""
        while self._waiting or self._in_hand:
            for member in list(self._members):
                if member not in self._runs and (waiting := self._next_for(member)):
                    self._begin(member, waiting)
            done, _ = concurrent.futures.wait(self._in_hand, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                member = self._in_hand.pop(future)
                error = future.exception()
                self._go_on(member, future.result() if error is None else None, error)
        self._session.folder.update(given_up=self._summary.given_up)

    def _home_of(self, block: Block) -> str | None:
        """Return the testbed that measured part of a block, else that of another boot of its cells; None if there is
        none."""
        return self._session.ledger.testbed_of(block) or self._home_of_others(block)

    def _home_of_others(self, block: Block) -> str | None:
        others = (one for one in self._session.plan.boots_of(block) if one.index != block.index)
        return next(filter(None, map(self._session.ledger.testbed_of, others)), None)

    def _next_for(self, member: Member) -> _Waiting | None:
        """Take the first waiting block that a testbed may measure, or return None.

        It must not belong to another testbed, and not have failed on this one, unless there is no other testbed or this
        one has other boots of its cells.
        """
        names = {other.name for other in self._members}
        for waiting in self._waiting:
            elsewhere = waiting.home in names and waiting.home != member.name
            again = member.name == waiting.failed_on and member.name != waiting.home and len(names) > 1
            if not elsewhere and not again:
                self._waiting.remove(waiting)
                return waiting
        return None

    def _begin(self, member: Member, waiting: _Waiting) -> None:
        self._keep_together(waiting.block, member.name)
        self._runs[member] = waiting, BlockRun(self._session, waiting.block, member).carry_out()
        self._go_on(member, None, None)

    def _keep_together(self, block: Block, home: str | None) -> None:
        """Assign the waiting boots of a block's cells to the same testbed; None leaves them to the testbed that takes
        the first."""
        boots = {one.index for one in self._session.plan.boots_of(block)}
        for other in self._waiting:
            if other.block.index in boots:
                other.home = home

    def _go_on(self, member: Member, result: Any, error: BaseException | None) -> None:
        """Send a block the result of its work, then submit its next work, or end it."""
        waiting, run = self._runs[member]
        try:
            work = run.send(result) if error is None else run.throw(error)
        except StopIteration as ended:
            del self._runs[member]
            self._stopping[waiting.block.index] = ended.value
            self._session.folder.write_stopping([row for rows in self._stopping.values() for row in rows])
            return
        except BlockUnreachable as unreachable:
            del self._runs[member]
            self._put_back(member, waiting, unreachable)
            return
        self._in_hand[self._executor.submit(member.name, work, partial(self._tell, work))] = member

    def _tell(self, work: Work, text: str) -> None:
        """Show a message that arrived while a trial was measured; see `orchestrator.run.work.Tell`."""
        if isinstance(work, RunTrial):
            progress = self._session.progress
            progress.bounds(work.trial, text) if text else progress.traffic(work.trial)

    def _put_back(self, member: Member, waiting: _Waiting, error: BlockUnreachable) -> None:
        """Postpone a block whose hosts could not be prepared, move it to another testbed, or give it up."""
        session, index = self._session, waiting.block.index
        told: dict[str, Any] = {"block": index, "testbed": member.name, "error": str(error)}
        if error.worker_lost and len(self._members) > 1:
            self._members.remove(member)
            session.folder.journal("testbed-lost", **told)
            session.progress.message(f"The testbed {member.name} is lost; its blocks move to other testbeds: {error}")
            self._waiting.appendleft(_Waiting(waiting.block, None, waiting.failed_on))
            self._keep_together(waiting.block, None)
        elif waiting.failed_on is None:
            session.folder.journal("block-postponed", **told)
            session.progress.message(f"Block {index} is postponed to the end: {error}")
            home = self._home_of_others(waiting.block)
            self._waiting.append(_Waiting(waiting.block, home, member.name))
            self._keep_together(waiting.block, home)
        else:
            session.folder.journal("block-given-up", **told)
            reason = f"its hosts could not be prepared: {error}"
            self._summary.given_up.append({"block": index, "reason": reason})
            session.progress.message(f"Block {index} is given up: {error}")
