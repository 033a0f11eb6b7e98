# SPDX-License-Identifier: Apache-2.0
"""The health of hosts: the condition of each, and its history."""

import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from orchestrator.commands import capture
from orchestrator.store.writing import now

_POWER_S = 120  # a management controller may take its time


class Condition(StrEnum):
    """The condition of a host while a run uses it.

    well -> agent silent: a request was not answered, or an answer is overdue; a new agent is sent.

    well, agent silent -> ssh silent: a login gets no answer; the host may be restarting, so the run waits for it.

    agent silent, ssh silent -> restarted: that took too long, and the power command of the testbed's file was run.

    well -> restarted: a block needs a boot of its own, and the host was asked to restart.

    any -> well: a new agent answers and holds the host.

    any -> broken: time is up and nothing is left to try, or the power command failed.
    """

    WELL = "well"
    AGENT_SILENT = "agent silent"
    SSH_SILENT = "ssh silent"
    RESTARTED = "restarted"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of a host's condition. ``at``: time by this computer's clock; ``why``: a sentence."""

    at: str
    before: Condition
    after: Condition
    why: str


class Health:
    """The condition of each host, and the transitions that have not been recorded yet."""

    def __init__(self) -> None:
        self._transitions: dict[str, list[Transition]] = {}
        self._conditions: dict[str, Condition] = {}

    def of(self, host: str) -> Condition:
        """Return the condition of a host."""
        return self._conditions.get(host, Condition.WELL)

    def become(self, host: str, condition: Condition, why: str) -> None:
        """Record a host's condition. Does nothing if it is unchanged."""
        before = self.of(host)
        if condition != before:
            self._transitions.setdefault(host, []).append(Transition(now(), before, condition, why))
            self._conditions[host] = condition

    def told(self, host: str) -> str:
        """Return the transitions that have not been recorded yet, as text."""
        return "; ".join(f"{one.after} at {one.at} ({one.why.rstrip('.')})" for one in self._transitions.get(host, []))

    def take(self) -> dict[str, list[dict[str, Any]]]:
        """Return the transitions of each host that has any, as JSON values for the record, and clear them."""
        taken = {host: [asdict(one) for one in transitions] for host, transitions in self._transitions.items()}
        self._transitions.clear()
        return taken


def power_cycle(command: Sequence[str]) -> str:
    """Run a power command on this computer. Return an empty text if it succeeded, otherwise its output without its
    arguments, which may be secret."""
    try:
        done = capture(list(command), timeout_s=_POWER_S)
    except subprocess.TimeoutExpired:
        return f"`{command[0]}` took more than {_POWER_S} s"
    except OSError as error:
        return f"`{command[0]}` cannot be run: {error.strerror}"
    if not done.returncode:
        return ""
    said = ((done.stderr or done.stdout).strip().splitlines() or ["it said nothing"])[-1]
    return f"`{command[0]}` ended with status {done.returncode}: {said}"
