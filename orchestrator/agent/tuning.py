# SPDX-License-Identifier: Apache-2.0
"""The settings of this host that can be tuned for trials, read without changing anything."""

import contextlib
import glob
import os

from orchestrator.agent.ethtool import asked, groups_of, hash_of, most_of, value_or_none
from orchestrator.agent.host import CPUS, AgentError, first_word, number_in, read_text
from orchestrator.agent.interrupts import interrupts_of
from orchestrator.agent.settings import service_state
from orchestrator.agent.survey_messages import (
    Amount,
    Governor,
    IdleState,
    NamedSetting,
    NicTunables,
    TunablesAnswer,
    TunablesRequest,
    Turbo,
)

TURBO = ((CPUS + "/intel_pstate/no_turbo", "1"), (CPUS + "/cpufreq/boost", "0"))  # a file, and its value for off


def tunables(request: TunablesRequest) -> TunablesAnswer:
    """Return what can be tuned, with its present value.

    CPUs that are off line are left out: their files are missing, cannot be read (EBUSY), or have no effect. Energy
    preferences exist with intel_pstate and amd_pstate.
    """
    governors: dict[str, Governor] = {}
    for path in sorted(glob.glob(CPUS + "/cpufreq/policy*/scaling_governor")):
        now, choices = first_word(path), words_in(os.path.join(os.path.dirname(path), "scaling_available_governors"))
        if now is not None and choices is not None:
            file = os.path.join(os.path.dirname(path), "energy_performance_preference")
            preferred = first_word(file)
            preference: NamedSetting | None = None if preferred is None else {"name": file, "now": preferred}
            governors[path] = {"now": now, "choices": choices, "preference": preference}
    turbo: Turbo | None = None
    for path, off in TURBO:
        now = first_word(path)
        if turbo is None and now is not None:
            turbo = {"name": path, "off": off, "now": now}
    idle: list[IdleState] = []
    for path in sorted(glob.glob(CPUS + "/cpu[0-9]*/cpuidle/state[0-9]*")):
        latency_us, now = number_in(path + "/latency"), first_word(path + "/disable")
        off_line = first_word(path.rpartition("/cpuidle/")[0] + "/online") == "0"
        if latency_us is not None and now is not None and not off_line:
            idle.append({"name": path + "/disable", "latency_us": latency_us, "now": now})
    smt = first_word(CPUS + "/smt/control")
    irqbalance = None
    with contextlib.suppress(AgentError, OSError):
        irqbalance = service_state("irqbalance")
    return {
        "governors": governors,
        "turbo": turbo,
        "idle": idle,
        "smt": {"name": CPUS + "/smt/control", "now": smt} if smt in ("on", "off") else None,
        "irqbalance": irqbalance,
        "nics": {nic: nic_tunables(nic) for nic in request.nics if os.path.isdir("/sys/class/net/" + nic)},
    }


def nic_tunables(nic) -> NicTunables:
    """Return the tunables of an interface."""
    flows = asked("-n", nic, "rx-flow-hash", "udp4")
    queues = "/sys/class/net/%s/queues/" % nic
    files = sorted(glob.glob(queues + "rx-*/rps_cpus") + glob.glob(queues + "tx-*/xps_cpus"))
    masks = {path: first_word(path) for path in files}  # None: xps_cpus of an interface with one queue
    steering = {path: mask for path, mask in masks.items() if mask is not None}
    return {
        "channels": amount_of(nic, "channels"),
        "ring-rx": amount_of(nic, "ring-rx"),
        "ring-tx": amount_of(nic, "ring-tx"),
        "hash-udp4": hash_of(flows) or None if flows else None,
        "coalesce-rx-usecs": value_or_none(nic, "coalesce-rx-usecs"),
        "adaptive-rx": value_or_none(nic, "adaptive-rx"),
        "groups": groups_of(asked("-k", nic) or ""),
        "interrupts": interrupts_of(nic),
        "steering": steering,
    }


def amount_of(nic, what) -> "Amount | None":
    """Return a number of an interface that can be set; None if it has none."""
    numbers = most_of(nic, what)
    return {"now": numbers[0], "most": numbers[1]} if numbers else None


def words_in(path):
    """Return the words of a file; None if it cannot be read."""
    try:
        return read_text(path).split()
    except OSError:
        return None
