# SPDX-License-Identifier: Apache-2.0
"""The interrupts of an interface's queues, from proc_interrupts(5) and the names that drivers give them."""

import os
import re

from orchestrator.agent.host import number_in, read_text, sysfs_of
from orchestrator.agent.nics import taken_nics
from orchestrator.agent.survey_messages import QueueInterruptsAnswer, QueueInterruptsRequest

# Names of interrupts that belong to no queue, in any driver: its configuration, its mailbox, its errors, other
# functions of the same NIC. Numbers in them are not queues (i40e: fdir-TxRx-0; bnxt: bnxt_re-nq-0).
NO_QUEUE = re.compile(
    r"config|control|ctrl|async|misc|mgm?nt|mgmt|admin|mailbox|mbx|fdir|event|notify|err|link|lsc|other|cmd|pages|slow|"
    r"health|service|ptp|oicr|exn|hwc|fwevt|\bfw|_re-|rdma|roce|ceq|aeq|crypto|\bsp(-|$)|^qed_sp"
)
# At the end of a name it identifies the NIC, and its last digit is not a queue.
PCI_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$")
# The words between the counts and the names: the chip, and its number there with or without the kind of trigger. The
# chip's name may contain blanks: Hyper-V PCIe MSI.
TRIGGERED = re.compile(r"^(-?\d*-?(edge|level|event|fasteoi|percpu)|Edge|Level|None)$")
PLACE = re.compile(r"^-?\d+$")
QUEUE = re.compile(r"(\d+)(\)|-[rt]x)?$")  # at the end of a name; en7-q3-tx is Xen's


def named_interrupts(text):
    """Return {number: name} of the interrupts that drivers requested, from /proc/interrupts.

    A shared interrupt has its last name. A line without a name is an interrupt that nobody requested: its interface is
    down.
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
    """Return the words of the names, among those that follow the counts."""
    triggered = [place for place, word in enumerate(words) if TRIGGERED.match(word)]
    if triggered:
        return words[triggered[0] + 1 :]
    words = words[1:]
    return words[1:] if words and PLACE.match(words[0]) else words


def queues_of(names, nic):
    """Return [[number, queue]] for {number: name}; the queue is the number at the end of a name.

    If some names have a queue, the others belong to something else, such as the one with the name of the interface
    alone. If none has, the queue is the index among them.
    """
    bare = {number: name.split("@")[0] for number, name in names.items()}
    # The interface's name may match NO_QUEUE, as uplink does.
    own = {number: naming(nic).sub("", name) for number, name in bare.items()}
    fit = {number: name for number, name in own.items() if not NO_QUEUE.search(name.lower())}
    told = {}
    for number, name in fit.items():
        at_end = QUEUE.search(PCI_ADDRESS.sub("", name))
        others = [other for one, other in bare.items() if one != number]
        base = any(other.startswith(bare[number] + "-") for other in others)
        if at_end and not base:
            told[number] = int(at_end.group(1))
    if told:
        return [[number, told[number]] for number in sorted(told)]
    return [[number, place] for place, number in enumerate(sorted(fit))]


def naming(nic):
    """Return a pattern that finds an interface's name in that of an interrupt."""
    return re.compile(r"(?<![A-Za-z0-9])%s(?![0-9])" % re.escape(nic))


def interrupts_of(nic, sysfs="/sys"):
    """Return [[number, queue]] of an interface's queues.

    It is empty while the interface is down, since drivers request interrupts on going up. Devices that are not on PCI,
    such as those of Xen and of many Arm boards, do not list their interrupts, which are found by the interface's name.
    ``sysfs``: where the sysfs of the interface's namespace is mounted.
    """
    device = os.path.realpath("%s/class/net/%s/device" % (sysfs, nic))
    folders = [device + "/msi_irqs", os.path.dirname(device) + "/msi_irqs"]
    own = {int(name) for folder in folders if os.path.isdir(folder) for name in os.listdir(folder)}
    own = own or {number for number in (number_in(device + "/irq"),) if number}
    named = named_interrupts(read_text("/proc/interrupts"))
    if not own and os.path.isdir(device) and "/pci" not in device:
        own = {number for number, name in named.items() if naming(nic).search(name)}
    return queues_of({number: name for number, name in named.items() if number in own}, nic)


def queue_interrupts(request: QueueInterruptsRequest) -> QueueInterruptsAnswer:
    """Return the interrupts of the queues of the interfaces that roles have, which are up."""
    del request
    return {
        "interrupts": {
            nic: interrupts_of(taken["device"], sysfs_of(taken["role"]))
            for nic, taken in taken_nics().items()
            if taken["role"] is not None
        }
    }
