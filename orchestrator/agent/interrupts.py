# SPDX-License-Identifier: Apache-2.0
"""Which interrupts an interface's queues have: proc_interrupts(5), and the names that drivers give them."""

import os
import re

from orchestrator.agent.host import number_in, read_text, sysfs_of
from orchestrator.agent.nics import taken_nics
from orchestrator.agent.survey_messages import QueueInterruptsAnswer, QueueInterruptsRequest

# Names of interrupts that are for no queue, whatever the driver: its configuration, its mailbox, its errors, other
# functions of the same card. Numbers in them are no queues (i40e: fdir-TxRx-0; bnxt: bnxt_re-nq-0).
NO_QUEUE = re.compile(
    r"config|control|ctrl|async|misc|mgm?nt|mgmt|admin|mailbox|mbx|fdir|event|notify|err|link|lsc|other|cmd|pages|slow|"
    r"health|service|ptp|oicr|exn|hwc|fwevt|\bfw|_re-|rdma|roce|ceq|aeq|crypto|\bsp(-|$)|^qed_sp"
)
# At the end of a name it says which card, and its last digit is no queue.
PCI_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$")
# What stands between the counts and the names: the chip, and the number there with or without the way it is triggered.
# The chip may have blanks in its name: Hyper-V PCIe MSI.
TRIGGERED = re.compile(r"^(-?\d*-?(edge|level|event|fasteoi|percpu)|Edge|Level|None)$")
PLACE = re.compile(r"^-?\d+$")


def named_interrupts(text):
    """{number: name} of the interrupts that a driver asked for, from /proc/interrupts; of a shared one, the last name.

    A line without a name is an interrupt that nobody asked for: its interface is down.
    """
    lines = text.splitlines()
    cpus = len(lines[0].split()) if lines else 0
    found = {}
    for line in lines[1:]:
        number, _, rest = line.partition(":")
        words = behind_the_chip(rest.split()[cpus:])
        if number.strip().isdigit() and words:
            found[int(number)] = " ".join(words).split(", ")[-1]
    return found


def behind_the_chip(words):
    """The words of the names, of those that follow the counts."""
    triggered = [place for place, word in enumerate(words) if TRIGGERED.match(word)]
    if triggered:
        return words[triggered[0] + 1 :]
    words = words[1:]
    return words[1:] if words and PLACE.match(words[0]) else words


def queues_of(names, nic):
    """[[number, queue]] of {number: name}: the queue is the number at the end of a name.

    Where some interrupts say their queue, those that do not are for something else, such as the one with the name of
    the interface alone. Where none says it, the queue is the place among them.
    """
    bare = {number: name.split("@")[0] for number, name in names.items()}
    of_nic = re.compile(r"(?<![A-Za-z0-9])%s(?![0-9])" % re.escape(nic))  # an interface may be called uplink
    own = {number: of_nic.sub("", name) for number, name in bare.items()}
    fit = {number: name for number, name in own.items() if not NO_QUEUE.search(name.lower())}
    told = {}
    for number, name in fit.items():
        at_end = re.search(r"(\d+)\)?$", PCI_ADDRESS.sub("", name))
        others = [other for one, other in bare.items() if one != number]
        base = any(other.startswith(bare[number] + "-") for other in others)
        if at_end and not base:
            told[number] = int(at_end.group(1))
    if told:
        return [[number, told[number]] for number in sorted(told)]
    return [[number, place] for place, number in enumerate(sorted(fit))]


def interrupts_of(nic, sysfs="/sys"):
    """[[number, queue]] of an interface's queues; none while it is down, since drivers ask for them as it goes up.

    ``sysfs``: where the namespace's is mounted in which the interface is.
    """
    device = os.path.realpath("%s/class/net/%s/device" % (sysfs, nic))
    folders = [device + "/msi_irqs", os.path.dirname(device) + "/msi_irqs"]
    own = {int(name) for folder in folders if os.path.isdir(folder) for name in os.listdir(folder)}
    own = own or {number for number in (number_in(device + "/irq"),) if number}
    named = named_interrupts(read_text("/proc/interrupts"))
    return queues_of({number: name for number, name in named.items() if number in own}, nic)


def queue_interrupts(request: QueueInterruptsRequest) -> QueueInterruptsAnswer:
    """Of the interfaces that roles have, which are up: {} -> {"interrupts": {interface: [[number, queue]]}}, each by
    the name that the host knows it by."""
    del request
    return {
        "interrupts": {
            nic: interrupts_of(taken["device"], sysfs_of(taken["role"]))
            for nic, taken in taken_nics().items()
            if taken["role"] is not None
        }
    }
