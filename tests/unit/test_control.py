# SPDX-License-Identifier: Apache-2.0
"""The control of virtual time: compute-only loops, and the conclusions from their work."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agent import control as loops
from orchestrator.agent.host_messages import ControlRequest
from orchestrator.measure import control


def told(cpus: int, slots: int, share: float = 1.0, alone: float = 1.0, one: float = 100.0) -> list[list[float]]:
    """Return the rates of a control in which all loops together do ``share`` of the expected work, on a computer that
    becomes faster all the time."""
    few = min(cpus, slots)
    kinds = (1.0, share, 1.0, alone)
    phases = control.phases(cpus, slots)
    assert set(phases[0::2]) == {few}
    return [[one * kinds[n % 4] * (1 + 0.01 * n)] * loops for n, loops in enumerate(phases)]


@given(st.integers(1, 64), st.integers(1, 16), st.floats(1e3, 1e9), st.floats(0.5, 1.5), st.floats(0.5, 1.5))
def test_n_loops_must_do_n_times_the_work_of_one(cpus: int, slots: int, one: float, share: float, alone: float) -> None:
    result = control.evaluate(told(cpus, slots, share, alone, one))
    assert result["cpus"] == cpus
    assert result["core_alone"] == pytest.approx(alone, rel=1e-3)
    if cpus <= slots:  # nothing to compare with
        assert result["times_one"] == cpus
        return
    assert result["times_one"] == pytest.approx(cpus * share, rel=1e-3, abs=1e-3)
    off = abs(share - 1)
    if off < 0.029:
        assert control.within(result, 0.03)
    if off > 0.031:
        assert not control.within(result, 0.03)


def test_one_slow_loop_shows() -> None:
    rates = told(16, 2)
    for phase in rates[1::4]:
        phase[3] *= 0.4
    result = control.evaluate(rates)
    assert result["times_one"] == pytest.approx(15.4)
    assert not control.within(result, 0.03)


def test_the_agents_loops_run_on_their_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    there, stay = os.pipe()
    monkeypatch.setattr(loops, "CONTROLLER", there)
    cpus = len(os.sched_getaffinity(0))
    try:
        rates = loops.control(ControlRequest(0.05, [1, cpus, 1]))["rates"]
    finally:
        os.close(there)
        os.close(stay)
    assert [len(phase) for phase in rates] == [1, cpus, 1]
    assert all(rate > 0 for phase in rates for rate in phase)


def test_a_loop_computes_in_the_phases_that_have_so_many() -> None:
    assert [loops.phases_of(loop, [2, 3, 2, 1]) for loop in range(3)] == [[0, 1, 2, 3], [0, 1, 2], [1]]
