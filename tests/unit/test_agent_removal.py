# SPDX-License-Identifier: Apache-2.0
"""Tunnels are removed while the next trial is being prepared, and what comes after that waits for it."""

import threading
from collections.abc import Iterator

import pytest

from orchestrator.agent import agent, removal
from orchestrator.agent.host import AgentError
from orchestrator.agent.network_messages import RemoveTunnelsRequest


class Kernel:
    """A kernel whose devices lose their names at once, and of which nothing is left when ``done`` is set."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.done, self.refuses = threading.Event(), ""
        self.groups = {"gateway-a": [51820], "gateway-b": [51820, 51821]}
        self.asked: list[tuple[str, int]] = []
        patch.setattr(removal, "has_ipsec", lambda role: False)
        patch.setattr(removal, "groups_in", lambda role: self.groups[role])
        patch.setattr(removal, "remove_groups", self.remove)

    def remove(self, parts: list[tuple[str, int]]) -> None:
        if self.refuses:
            raise AgentError(self.refuses)
        self.asked += parts
        self.groups = {role: [] for role in self.groups}
        self.done.wait(30)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    found = Kernel(monkeypatch)
    yield found
    found.done.set()
    removal.finish_removal()


def test_a_removal_ends_beside_what_prepares_a_trial_and_before_all_else(kernel: Kernel) -> None:
    assert removal.remove_tunnels(RemoveTunnelsRequest(["gateway-a", "gateway-b"])) == {}
    assert kernel.asked == [("gateway-a", 51820), ("gateway-b", 51820), ("gateway-b", 51821)]
    assert agent.answer({"op": "clock"})["ok"]
    assert "under way" in removal.REMOVAL
    threading.Timer(0.05, kernel.done.set).start()
    assert agent.answer({"op": "pause", "seconds": 0.0})["ok"]
    assert kernel.done.is_set()
    assert removal.REMOVAL == {}


def test_what_cannot_be_removed_is_told_at_once_or_by_the_next_operation(kernel: Kernel) -> None:
    kernel.refuses = "removing the tunnels on gateway-a: busy."
    with pytest.raises(AgentError, match="gateway-a: busy"):
        removal.remove_tunnels(RemoveTunnelsRequest(["gateway-a"]))
    kernel.groups["gateway-a"] = []
    removal.REMOVAL["under way"] = removal.concurrent.futures.ThreadPoolExecutor(1).submit(kernel.remove, [])
    answer = agent.answer({"op": "pause", "seconds": 0.0})
    assert answer == {"ok": False, "error": kernel.refuses}
    assert agent.answer({"op": "pause", "seconds": 0.0})["ok"]


def test_only_operations_that_there_are_may_go_beside_a_removal() -> None:
    assert set(agent.OPERATIONS) > agent.BESIDE_A_REMOVAL
    assert not agent.BESIDE_A_REMOVAL & {"measure", "remove_tunnels", "leave", "unlink", "links", "restart"}
