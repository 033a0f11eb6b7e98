# SPDX-License-Identifier: Apache-2.0
"""The agent's check that a role reaches the other ends of its links."""

from contextlib import nullcontext
from typing import Any

import pytest

from orchestrator.agent import roles
from orchestrator.agent.host import AgentError


class Echo:
    """A socket for echo requests, whose answers take ``answer_s`` and may have ``most`` bytes."""

    def __init__(self, answer_s: float, most: int = 9000) -> None:
        self.answer_s, self.most = answer_s, most
        self.timeout = 0.0

    def __enter__(self) -> "Echo":
        return self

    def __exit__(self, *_: object) -> None: ...

    def setsockopt(self, *_: int) -> None: ...

    def settimeout(self, seconds: float) -> None:
        self.timeout = seconds


class Clock:
    """A time that passes while answers are waited for."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def reached(monkeypatch: pytest.MonkeyPatch, echo: Echo) -> None:
    clock = Clock()

    def exchanged(echo: Echo, address: str, size: int, number: int) -> bool:
        comes = echo.answer_s <= echo.timeout and size <= echo.most
        clock.now += echo.answer_s if comes else echo.timeout
        return comes

    fakes: dict[str, Any] = {"inside": lambda role: nullcontext(), "exchanged": exchanged, "time": clock}
    for name, fake in fakes.items():
        monkeypatch.setattr(roles, name, fake)
    monkeypatch.setattr(roles.socket, "socket", lambda *_: echo)
    roles.reach("gateway-a", "198.18.0.2", 1500)


@pytest.mark.parametrize("answer_s", [0.001, 0.3, 1.5])
def test_a_neighbour_that_answers_late_is_reached(answer_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    reached(monkeypatch, Echo(answer_s))


def test_a_neighbour_without_an_answer_is_told_from_one_with_a_small_mtu(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AgentError, match=r"gateway-a does not reach 198\.18\.0\.2 over its link within 15 s"):
        reached(monkeypatch, Echo(60.0))
    with pytest.raises(AgentError, match="with small packets, and not with those of 1500 bytes"):
        reached(monkeypatch, Echo(0.001, 1000))
