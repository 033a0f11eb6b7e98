# SPDX-License-Identifier: Apache-2.0
"""The request for a campaign, and the state that all blocks of one session of a run share."""

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
    """A plan, with everything that is needed to carry it out.

    ``arguments``: the arguments other than the spec with which the plan was made, stored so that the run can be
    resumed. ``resume``: the directory of the run to resume. ``on_change``: given the changes since then, returns keep,
    rerun or abort. ``extensions``: code that it uses from outside this program.
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
    """The state that all blocks of one session of a run share. ``testbeds``: by name."""

    spec: "Experiment"
    plan: Plan
    testbeds: Mapping[str, Opened]
    variants: Mapping[str, Variant]
    folder: RunDirectory
    ledger: Ledger
    progress: CampaignProgress
