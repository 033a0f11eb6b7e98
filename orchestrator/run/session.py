# SPDX-License-Identifier: Apache-2.0
"""What a campaign is asked to do, and what all blocks of one session of a run share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.extensions import Extension
from orchestrator.kernel.variants import Variant
from orchestrator.plan import Plan
from orchestrator.run.ledger import Ledger
from orchestrator.run.progress import CampaignProgress
from orchestrator.run.work import Opened
from orchestrator.store import RunDirectory
from orchestrator.store.changes import Change

if TYPE_CHECKING:
    from orchestrator.spec import Experiment


@dataclass(frozen=True)
class Campaign:
    """A plan with all that is needed to carry it out.

    ``arguments``: what the plan was made with beside the spec, stored so that the run can go on with it. ``resume``:
    the run's directory to go on with. ``on_change``: given what has changed since, says keep, rerun or abort.
    ``extensions``: what it uses that is no part of this program.
    """

    spec: "Experiment"
    plan: Plan
    results: Path
    progress: CampaignProgress
    arguments: Mapping[str, Any] = field(default_factory=dict)
    resume: Path | None = None
    on_change: Callable[[Sequence[Change]], str] = lambda changes: "abort"
    extensions: Sequence[Extension] = ()


@dataclass(frozen=True)
class Session:
    """One session of a run: what all its blocks share. ``testbeds``: by name."""

    spec: "Experiment"
    plan: Plan
    testbeds: Mapping[str, Opened]
    variants: Mapping[str, Variant]
    folder: RunDirectory
    ledger: Ledger
    progress: CampaignProgress
