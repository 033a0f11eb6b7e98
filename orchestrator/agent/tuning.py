# SPDX-License-Identifier: Apache-2.0
"""What of this host can be tuned for trials: read, and nothing else."""

import contextlib
import glob
import os
import re

from orchestrator.agent.ethtool import asked, hash_of, most_of, values_of
from orchestrator.agent.host import AgentError, first_word, number_in, read_text
from orchestrator.agent.settings import service_state

CPUS = "/sys/devices/system/cpu"
TURBO = ((CPUS + "/intel_pstate/no_turbo", "1"), (CPUS + "/cpufreq/boost", "0"))  # a file, and what means off in it


def tunables(request):
    """{"nics": [interface]} -> what can be tuned, with its present value; null or empty for what is not here.

    ``governors``: {file: {"now", "choices"}}; ``turbo``: {"name", "off", "now"}; ``idle``: [{"name", "latency_us",
    "now"}]; ``smt``: {"name", "now"}; ``irqbalance``: active or inactive; ``nics``: {interface: see nic_tunables}.
    """
    governors = {}
    for path in sorted(glob.glob(CPUS + "/cpufreq/policy*/scaling_governor")):
        choices = read_text(os.path.join(os.path.dirname(path), "scaling_available_governors")).split()
        governors[path] = {"now": first_word(path), "choices": choices}
    turbo = None
    for path, off in TURBO:
        if turbo is None and os.path.exists(path):
            turbo = {"name": path, "off": off, "now": first_word(path)}
    idle = [
        {"name": path + "/disable", "latency_us": number_in(path + "/latency"), "now": first_word(path + "/disable")}
        for path in sorted(glob.glob(CPUS + "/cpu[0-9]*/cpuidle/state[0-9]*"))
    ]
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
        "nics": {nic: nic_tunables(nic) for nic in request["nics"] if os.path.isdir("/sys/class/net/" + nic)},
    }


def nic_tunables(nic):
    """Of an interface: ``channels``, ``ring-rx``, ``ring-tx``: {"now", "most"}; ``hash-udp4``: letters of its fields;
    ``coalesce-rx-usecs``: as text; ``interrupts``: [[number, queue]]; ``steering``: {file: mask} of RPS and XPS."""
    found = {}
    for what in ("channels", "ring-rx", "ring-tx"):
        numbers = most_of(nic, what)
        found[what] = {"now": numbers[0], "most": numbers[1]} if numbers else None
    flows = asked("-n", nic, "rx-flow-hash", "udp4")
    found["hash-udp4"] = hash_of(flows) or None if flows else None
    found["coalesce-rx-usecs"] = values_of(asked("-c", nic) or "")[1].get("rx-usecs")
    queues = "/sys/class/net/%s/queues/" % nic
    files = sorted(glob.glob(queues + "rx-*/rps_cpus") + glob.glob(queues + "tx-*/xps_cpus"))
    steering = {path: first_word(path) for path in files if readable(path)}
    return {**found, "interrupts": interrupts_of(nic), "steering": steering}


def readable(path):
    try:
        read_text(path)
    except OSError:  # xps_cpus of an interface with one queue
        return False
    return True


def interrupts_of(nic):
    """[[number, queue]] of an interface's interrupts; the queue is the last number in the interrupt's name, else the
    interrupt's place among them. Those that are for no queue (configuration, asynchronous events) are left out."""
    device = os.path.realpath("/sys/class/net/%s/device" % nic)
    folders = [device + "/msi_irqs", os.path.dirname(device) + "/msi_irqs"]
    own = {int(name) for folder in folders if os.path.isdir(folder) for name in os.listdir(folder)}
    found = []  # type: list[list[int]]
    for line in read_text("/proc/interrupts").splitlines()[1:]:
        number, _, rest = line.partition(":")
        if number.strip().isdigit() and int(number) in own:
            name = rest.split()[-1]
            if re.search("config|control|async|ctrl|misc|fw", name):
                continue
            digits = re.findall(r"\d+", name.split("@")[0])
            found.append([int(number), int(digits[-1]) if digits else len(found)])
    return found
