# SPDX-License-Identifier: Apache-2.0
"""The campaign: every block, round and trial of a plan, each stored when it has ended, also one that goes on.

The policy for what goes wrong: a trial that is not ok is tried again at once, up to the spec's ``retries``; after one
that other load spoiled, the computer gets some time to calm down. A host that is lost is prepared again, which restarts
it where the provider can. A block whose hosts cannot be prepared is postponed to the end, tried once more there, and
then given up: its trials are missing, with the reason.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.run.block import BlockRun, BlockUnreachable, TrialNotOk
from orchestrator.run.opening import open_run
from orchestrator.run.session import Campaign, Session
from orchestrator.store import StoreError, read_stopping
from orchestrator.store.tables import needed_trials
from orchestrator.testbed.protocol import Testbed


@dataclass
class Summary:
    """How a campaign ended: trials by status, why it stopped before its end, and the blocks that were given up.

    ``unusable``: no block could be prepared and nothing was measured.
    """

    path: Path
    statuses: Counter[str] = field(default_factory=Counter)
    interrupted: bool = False
    stopped: str | None = None
    given_up: list[dict[str, Any]] = field(default_factory=list)
    unusable: bool = False


def carry_out(campaign: Campaign, testbed: Testbed) -> Summary:
    """Run the campaign on an entered testbed. Finished attempts are stored as they end, whatever comes after.

    KeyboardInterrupt ends it cleanly: the attempt in flight is discarded, the rest is kept. Raises UserError where a
    run cannot be gone on with.
    """
    session = open_run(campaign, testbed)
    folder, plan, ledger = session.folder, session.plan, session.ledger
    summary = Summary(folder.path)
    finished = [trial for trial in plan.iterate() if ledger.is_ok(trial.trial_id)]
    campaign.progress.plan(plan, finished)
    state = "stopped"
    try:
        _carry_out_blocks(session, summary)
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


def _carry_out_blocks(session: Session, summary: Summary) -> None:
    """Every block of the plan, those that could not be prepared once more at the end."""
    folder, blocks = session.folder, session.plan.blocks
    before = read_stopping(folder.path)
    stopping = {block.index: [row for row in before if row["block"] == block.index] for block in blocks}
    waiting = deque((block, False) for block in blocks)
    while waiting:
        block, postponed = waiting.popleft()
        try:
            stopping[block.index] = BlockRun(session, block).carry_out()
        except BlockUnreachable as error:
            event = "given-up" if postponed else "postponed"
            folder.journal(f"block-{event}", block=block.index, error=str(error))
            if postponed:
                summary.given_up.append({"block": block.index, "reason": f"its hosts could not be prepared: {error}"})
                session.progress.message(f"Block {block.index} is given up: {error}")
            else:
                session.progress.message(f"Block {block.index} is postponed to the end: {error}")
                waiting.append((block, True))
            continue
        folder.write_stopping([row for rows in stopping.values() for row in rows])
    folder.update(given_up=summary.given_up)
