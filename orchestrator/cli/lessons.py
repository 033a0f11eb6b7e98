# SPDX-License-Identifier: Apache-2.0
"""How long trials took in earlier runs on this computer, for estimates."""

from collections.abc import Mapping

from orchestrator.learned import learned
from orchestrator.plan import Lessons, lessons_key
from orchestrator.spec import REAL_CLOCK, SHARED_CPUS, VIRTUAL_CLOCK, Clock, RoleCpus

# Used until a run on this computer has been timed, by the testbed's clock: measured in the lab on two cores. If many
# virtual CPUs share these, setting up a trial and starting a machine take longer.
_DEFAULTS: dict[Clock, dict[str, float]] = {
    REAL_CLOCK: {"overhead": 0.8, "prepare": 3.0, "disk": 40_000.0},
    VIRTUAL_CLOCK: {"overhead": 3.0, "prepare": 15.0, "disk": 80_000.0},
}
_RESTART_S = 180.0  # of a physical host, including its firmware; an assumption, not a measurement


def lessons(
    provider: str, slots: int | None = None, role_cpus: RoleCpus = SHARED_CPUS, *, own_boots: bool = False
) -> Lessons:
    """Return the times and sizes known for testbeds of a provider.

    ``slots``: in virtual time, the number of virtual CPUs that run at a time; None in real time. ``role_cpus``: whether
    all roles share them. ``own_boots``: whether hosts that are not restarted between blocks are restarted for each
    boot.
    """
    clock = REAL_CLOCK if slots is None else VIRTUAL_CLOCK
    defaults = dict(_DEFAULTS[clock])
    keys = {name: name for name in defaults}
    if own_boots:
        keys["prepare"], defaults["prepare"] = "restart", _RESTART_S
    known = {name: learned(lessons_key(key, provider, clock), defaults[name]) for name, key in keys.items()}
    return _lessons({name: value or defaults[name] for name, value in known.items()}, slots, role_cpus)


def _lessons(taught: Mapping[str, float], slots: int | None, role_cpus: RoleCpus) -> Lessons:
    return Lessons(taught["overhead"], taught["prepare"], taught["disk"], slots, role_cpus)


def untaught(slots: int | None = None, role_cpus: RoleCpus = SHARED_CPUS) -> Lessons:
    """Return the assumptions for a computer without earlier runs. The arguments are those of `lessons`."""
    return _lessons(_DEFAULTS[REAL_CLOCK if slots is None else VIRTUAL_CLOCK], slots, role_cpus)
