# SPDX-License-Identifier: Apache-2.0
"""Parsing of the kernel's log, and the rules for which records report a problem. No input or output.

What counts is a record's severity and how its text begins, never a word somewhere in it: "install" contains "stall",
and notes on a processor's weaknesses have WARNING after their own prefix. (printk_formats, kernel/panic.c, lib/bug.c,
kernel/hung_task.c, kernel/rcu/tree_stall.h, net/sched/sch_generic.c of Linux 6.1 to 7.2)
"""

import re
from collections import namedtuple

# ``level``: 0 (emergency) to 7 (debug); ``facility``: 0 is the kernel itself; ``at_us``: by the kernel's own clock,
# which starts at boot; ``text``: one line. Documentation/ABI/testing/dev-kmsg
Record = namedtuple("Record", "level facility sequence at_us text")

HEAD = re.compile(r"^(\d+),(\d+),(\d+),[^;]*;(.*)$")
CRITICAL = 2  # records of this or a more severe level are complaints, whatever they say
WARNING = 4  # the least severe level of the known faults
KNOWN = re.compile(
    "|".join(
        (
            r"^WARNING: ",  # WARN() and the lock checker
            r"^(\S+: )?(kernel )?BUG\b",  # BUG(), lockups, KASAN and its kin, corrupted slabs
            r"^(Internal error: )?Oops\b",
            r"^(general protection fault|invalid opcode|divide error|stack segment|Internal error|Kernel panic)\b",
            r"^Unable to handle kernel ",
            r"^(\S+: )?(KASAN|KCSAN|KMSAN|KFENCE|UBSAN): ",
            r"^INFO: (possible|trying to register|inconsistent|suspicious) ",
            r"^INFO: task .* blocked (in I/O wait )?for more than ",
            r"^INFO: task .* blocked on ",
            r"^(rcu: )?INFO: .*\bstalls?\b",
            r"^(rcu: )?\S+ kthread (starved|timer wakeup)",
            r"^irq \d+: nobody cared\b",
            r"^(\S+ )?(watchdog: ).*\b(soft lockup|hard LOCKUP)\b",
            r"^\S+: page allocation failure\b",
            r"^\S+ invoked oom-killer|^(Memory cgroup o|O)ut of memory: ",
            r"^(list_add|list_del|slab) .*corrupt|^refcount_t: ",
            r"^Memory failure: |^EDAC MC\d+: \d+ UE ",
            r"\bPCIe Bus Error: severity=Uncorrect|\bAER: (Multiple )?Uncorrect",
            r"^DMAR: \[DMA .* fault addr |\bAMD-Vi: Event logged \[|^arm-smmu\S* \S+: event 0x\S+ received",
            r"\bswiotlb buffer is full\b|^EEH: Frozen ",
            r"\btable full, dropping packet|\bRoute cache is full: consider increasing ",
            r"^(mce: )?CPU\d+: .* cpu clock (is )?throttled|^sched: .*RT throttling activated",
            r"^unregister_netdevice: waiting for ",
            r"\bMarking clocksource '[^']*' as unstable\b",
        )
    )
)

# Records at a severe level that report no fault: RHEL's notes on drivers, and a closed watchdog device.
NO_FAULT = re.compile(r"^Warning: (Deprecated|Unmaintained|Unsupported) |^watchdog: \S+: watchdog did not stop!")
# Hardware errors are at a severe level, even corrected ones. In the status after a bank's number, bit 61 stands for an
# uncorrected error. (arch/x86/kernel/cpu/mce/core.c, drivers/edac/mce_amd.c, drivers/acpi/apei/ghes.c)
HARDWARE_ERROR = re.compile(r"^(\S+ )?(\{\d+\})?\[Hardware Error\]: ")
UNCORRECTED = re.compile(r"Uncorrect|[Ff]atal\b|\|UE\||severity: recoverable|: \d+ Bank \d+: [2367abef][0-9a-f]{15}")

# Messages of mere information: full tables, and those of NIC drivers about a hung queue, or before a reset of the NIC.
INFORMATION = 6
INFORMED = re.compile(
    "|".join(
        (
            r": neighbor table overflow!|^TCP: out of memory -- ",
            r"\bNETDEV WATCHDOG: ",
            r"\btransmit (queue \d+ )?timed out\b",
            r"\b(Unit Hang|Tx hang|tx hang)\b",
            r"\b[Tt][Xx][ _][Tt]imeout\b|\bTimeout on tx queue\b",
            r"\bTX stuck with\b|\bTX q \d+ is paused for too long\b|\b[Kk]eep alive watchdog timeout\b",  # sfc, ena
            r"\blost tx completions is above the threshold\b|\bReset attempt failed\b|\bReset the device\b",  # ena
            r"\bInvalid (\S+ )?req_id\b",
            r"\bReset adapter\b|\bPCIe link lost\b|\bAdapter removed\b|\bfirmware error detected\b",  # igb, ixgbe, igc
            r"\bTX driver issue detected\b|\bMalicious Driver Detection event\b|\bHung TX queue\b",  # i40e, ice
            r"\bHardware reset detected\b|\bReset (warning|indication) received from the PF\b",  # iavf
            r"\bdevice's health compromised\b|\bHealth issue observed\b",  # mlx5
            r"\bsynd 0x\S+: firmware internal error\b",
            r"\btimeout\. Will cause a leak of a command resource\b|\bError cqe on cqn\b",
            r"\bFirmware (non-)?fatal reset event\b|\bError \(timeout: \d+\) msg \{",  # bnxt
            r"\bencountered fatal error, adapter stopped\b|\bMC assert\b",  # cxgb4, bnx2x
            r"\bis not a head!|\bUnexpected TXQ \(\d+\) queue failure\b",  # virtio
            r"\bPerforming reset\b|\bKicking queue \d",  # gve
            r"\bHWC: \S+ timed out\b|\bData path switched (from|to) VF\b",  # mana, netvsc
        )
    )
)


def records_in(text):
    """Return the records in what /dev/kmsg gave: one, followed by lines of its own keys, or several."""
    found = []
    for line in text.splitlines():
        head = HEAD.match(line)
        if head:
            priority, sequence, at_us, said = head.groups()
            level, facility = int(priority) & 7, int(priority) >> 3
            found.append(Record(level, facility, int(sequence), int(at_us), said.replace("\\x0a", " | ")))
    return found


def is_complaint(record):
    """Return True if a person should see a record: the kernel itself wrote it, and it is severe or a known fault."""
    if record.facility:
        return False  # a program wrote it
    if HARDWARE_ERROR.search(record.text):
        return bool(UNCORRECTED.search(record.text))
    if record.level <= WARNING and KNOWN.search(record.text):
        return True
    if record.level <= CRITICAL:
        return not NO_FAULT.search(record.text)
    return record.level <= INFORMATION and bool(INFORMED.search(record.text))
