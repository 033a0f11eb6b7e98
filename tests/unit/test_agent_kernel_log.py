# SPDX-License-Identifier: Apache-2.0
"""Which records of a kernel's log count as complaints, and from when on. The texts are in the form of Linux 6.1 to
7.2."""

import os
from collections.abc import Iterator

import pytest

from orchestrator.agent import probes
from orchestrator.agent.complaints import Record, is_complaint, records_in
from orchestrator.agent.host_messages import KernelLogRequest, WatchKernelLogRequest

FAULTS = [
    (4, "WARNING: CPU: 1 PID: 77 at net/core/dev.c:3000 dev_thing+0x1/0x2 [wireguard]"),
    (4, "WARNING: net/core/dev.c:3000 at dev_thing+0x1/0x2, CPU#1: iperf3/77"),
    (4, "WARNING: possible circular locking dependency detected"),
    (1, "BUG: kernel NULL pointer dereference, address: 0000000000000010"),
    (3, "BUG: scheduling while atomic: iperf3/812/0x00000101"),
    (0, "watchdog: BUG: soft lockup - CPU#3 stuck for 26s! [kworker/3:1:99]"),
    (0, "watchdog: Watchdog detected hard LOCKUP on cpu 5"),
    (2, "kernel BUG at mm/slub.c:440!"),
    (0, "Oops: 0002 [#1] PREEMPT SMP NOPTI"),
    (0, "Internal error: Oops: 0000000096000004 [#1] SMP"),
    (4, "general protection fault, probably for non-canonical address 0xdead000000000108: 0000 [#1] SMP"),
    (3, "INFO: task kworker/u8:2:310 blocked for more than 120 seconds."),
    (3, "rcu: INFO: rcu_preempt self-detected stall on CPU"),
    (3, "rcu: INFO: rcu_sched detected stalls on CPUs/tasks:"),
    (3, "rcu: rcu_preempt kthread starved for 2500 jiffies! g1 f0x0 RCU_GP_WAIT_FQS(5) ->state=0x0 ->cpu=0"),
    (4, "NETDEV WATCHDOG: ens4 (e1000e): transmit queue 0 timed out"),
    (2, "ixgbe 0000:81:00.0 ens4f1: NETDEV WATCHDOG: CPU: 2: transmit queue 3 timed out 5120 ms"),
    (3, "e1000e 0000:00:1f.6 eno2: Detected Hardware Unit Hang:"),
    (4, "ice 0000:17:00.0 en7: tx_timeout: VSI_num: 7, Q 3, NTC: 0x1, HW_HEAD: 0x2"),
    (3, "pcieport 0000:00:01.1: PCIe Bus Error: severity=Uncorrectable (Fatal), type=Transaction Layer"),
    (3, "BUG: KASAN: slab-out-of-bounds in wg_packet_rx_poll+0x1/0x2 [wireguard]"),
    (4, "UBSAN: array-index-out-of-bounds in drivers/net/x.c:12:3"),
    (0, "unregister_netdevice: waiting for wg3 to become free. Usage count = 2"),
    (4, "swapper/0: page allocation failure: order:0, mode:0x820(GFP_ATOMIC), nodemask=(null)"),
    (3, "Out of memory: Killed process 4242 (iperf3) total-vm:1kB, anon-rss:1kB"),
    (3, "Memory cgroup out of memory: Killed process 4242 (iperf3) total-vm:1kB, anon-rss:1kB"),
    (3, "ixgbe 0000:81:00.0 ens4f1: initiating reset due to tx timeout"),
    (3, "ena 0000:00:05.0 ens5: TX q 3 is paused for too long (threshold 10000000). Time since last napi 5 usec."),
    (3, "ena 0000:00:05.0: Keep alive watchdog timeout."),
    (3, "sfc 0000:01:00.0 ens2: TX stuck with port_enabled=1: resetting channels"),
    (3, "i40e 0000:02:00.0: TX driver issue detected, PF reset issued"),
    (3, "mlx5_core 0000:81:00.0: poll_health:801:(pid 0): device's health compromised - reached miss count"),
    (3, "mlx5_core 0000:81:00.0: print_health_info:424:(pid 0): synd 0x1: firmware internal error"),
    (3, "pcieport 0000:00:1c.0: AER: Uncorrectable (Fatal) error message received from 0000:03:00.0"),
    (3, "DMAR: [DMA Write NO_PASID] Request device [03:00.0] fault addr 0xfffff000 [fault reason 0x05] PTE"),
    (3, "mlx5_core 0000:81:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000f address=0xf0 flags=0x0020]"),
    (0, "EDAC MC0: 1 UE memory read error on CPU_SrcID#0_MC#0_Chan#1_DIMM#0"),
    (4, "nf_conntrack: nf_conntrack: table full, dropping packet"),
    (4, "CPU3: Package temperature is above threshold, cpu clock is throttled (total events = 12)"),
    (4, "sched: RT throttling activated"),
    (3, "INFO: task jbd2/vda1-8:77 blocked in I/O wait for more than 122 seconds."),
    (3, "igb 0000:0a:00.1 ens9f1: Reset adapter"),
    (3, "e1000e 0000:00:1f.6 ens9: Reset adapter unexpectedly"),
    (3, "igc 0000:0a:00.0 ens9: PCIe link lost, device now detached"),
    (2, "ixgbe 0000:0a:00.0: Adapter removed"),
    (
        3,
        "ena 0000:00:06.0 ens6: The number of lost tx completions is above the threshold (129 > 128). Reset the device",
    ),
    (2, "something of a kind that nobody has seen, and critical"),
    # Drivers say some of it as mere information.
    (6, "NETDEV WATCHDOG: ens9 (i40e): transmit queue 5 timed out"),
    (6, "ixgbe 0000:0a:00.1 ens9f1: tx hang 2 detected on queue 7, resetting adapter"),
    (6, "ice 0000:0a:00.0: Malicious Driver Detection event 3 on TX queue 12 PF# 0 VF# 0"),
    (6, "i40e 0000:0a:00.0: Malicious Driver Detection event 0x03 on TX queue 12 PF number 0x00 VF number 0x00"),
    (6, "i40e 0000:0a:00.0: TX driver issue detected on PF"),
    (3, "tg3 0000:0a:00.0 ens9: transmit timed out, resetting"),
    (6, "gve 0000:00:07.0 ens7: Timeout on tx queue 3"),
    (
        4,
        "mlx5_core 0000:0a:00.0: CREATE_SQ(0x904) timeout. Will cause a leak of a command resource",
    ),
    (3, "mlx5_core 0000:0a:00.0: cmd[3]: MODIFY_RQ(0x909) Async, timeout. Will cause a leak of a command resource"),
    (3, "mlx5_core 0000:0a:00.0 ens9np0: Error cqe on cqn 0x41, ci 0x7, qn 0x1, opcode 0xd, syndrome 0x4"),
    (3, "bnxt_en 0000:0a:00.0 ens9np0: Error (timeout: 500015) msg {0x61 0x12} len:0"),
    (4, "bnxt_en 0000:0a:00.0 ens9np0: Firmware fatal reset event, data1: 0x1, data2: 0x2"),
    (3, "ena 0000:00:06.0 ens6: Reset attempt failed. Can not reset the device"),
    (3, 'irq 31: nobody cared (try booting with the "irqpoll" option)'),
    (3, "pcieport 0000:00:1c.0: AER: Multiple Uncorrectable (Non-Fatal) error message received from 0000:0a:00.0"),
    (4, "Route cache is full: consider increasing sysctl net.ipv6.route.max_size."),
    (4, "mce: CPU3: Core temperature is above threshold, cpu clock is throttled (total events = 7)"),  # before 5.12
    (6, "neighbour: arp_cache: neighbor table overflow!"),
    (6, "TCP: out of memory -- consider tuning tcp_mem"),
    (4, "ixgbe 0000:0a:00.0: swiotlb buffer is full (sz: 4096 bytes), total 32768 (slots), used 32768 (slots)"),
    (3, "arm-smmu-v3 arm-smmu-v3.5.auto: event 0x10 received:"),
    (3, "EEH: Frozen PHB#5-PE#0 detected"),
    # Hardware errors that were not corrected
    (0, "mce: [Hardware Error]: CPU 5: Machine Check Exception: 5 Bank 4: b200000000070005"),
    (0, "mce: [Hardware Error]: CPU 5: Machine Check: 0 Bank 3: bd80000000100134"),
    (0, "[Hardware Error]: Uncorrected, software restartable error."),
    (0, "[Hardware Error]: CPU:5 (19:11:1) MC2_STATUS[-|UE|MiscV|AddrV|PCC|-|SyndV|UECC|-|-|-]: 0xfea0000000010135"),
    (3, "{7}[Hardware Error]: event severity: recoverable"),
    # Drivers of clouds and servers
    (3, "ena 0000:00:06.0 ens6: Potential MSIX issue on Tx side Queue = 5. Reset the device"),
    (3, "ena 0000:00:06.0 ens6: Invalid rx req_id: 4097"),
    (3, "virtio_net virtio5: output.3:id 77 is not a head!"),
    (4, "virtio_net virtio5 ens9: Unexpected TXQ (3) queue failure: -5"),
    (3, "mlx5_core 0000:0a:00.0: print_health:1:(pid 0): Health issue observed, firmware internal error, severity(3)"),
    (3, "mana 7870:00:00.0: HWC: Request timed out!"),
    (6, "hv_netvsc 0b0b0b0b-0b0b eth9: Data path switched from VF: enP9s9"),
    (6, "iavf 0000:0a:02.0: Reset indication received from the PF"),
    (3, "i40e 0000:0a:00.0: VSI_seid 395, Hung TX queue 9, tx_pending_hw: 1, NTC:0x5"),
    (6, "gve 0000:00:07.0 ens7: Kicking queue 5"),
]
HARMLESS = [
    (4, "Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on, data leaks possible"),
    (4, "RETBleed: WARNING: Spectre v2 mitigation leaves CPU vulnerable to RETBleed attacks, data leaks possible!"),
    (3, "RETBleed: WARNING: Spectre v2 mitigation leaves CPU vulnerable to RETBleed attacks, data leaks possible!"),
    (6, "rcu: RCU event tracing is enabled; installed stall timeouts"),
    (6, "ACPI: Reinstalled table [SSDT]"),
    (4, "wireguard: loading out-of-tree module taints kernel."),
    (5, "wireguard: module verification failed: signature and/or required key missing - tainting kernel"),
    (4, "perf: interrupt took too long (2511 > 2500), lowering kernel.perf_event_max_sample_rate to 79500"),
    (4, "workqueue: wg_packet_encrypt_worker [wireguard] hogged CPU for >10000us 4 times, consider switching"),
    (6, "traps: iperf3[99] general protection fault ip:1 sp:2 error:0 in libc.so.6"),
    (6, "debug: a note on WARNING: and BUG: and Oops"),
    (4, "pcieport 0000:00:1c.0: PCIe Bus Error: severity=Corrected, type=Physical Layer, (Receiver ID)"),
    (6, "mce: [Hardware Error]: Machine check events logged"),
    (4, "VMSCAPE: SMT on, STIBP is required for full protection. See https://docs.kernel.org/"),
    (3, "ACPI BIOS Error (bug): Could not resolve symbol [\\_SB.PCI0.XHC], AE_NOT_FOUND (20240322/psargs-330)"),
    (3, "[Firmware Bug]: TSC_DEADLINE disabled due to Errata; please update microcode to version 0x52 or later"),
    (4, "x86/split lock detection: #AC: qemu/1234 took a split_lock trap at address: 0x7f00"),
    (4, "ixgbe 0000:0a:00.0 ens9: NIC Link is Down"),
    (6, "igb 0000:0a:00.1: added PHC on ens9f1"),
    (3, "usb 1-4: device descriptor read/64, error -71"),
    (6, "BUG: or WARNING: as mere information"),
    (4, "ena 0000:00:06.0 ens6: Device reset completed successfully, Driver info: none"),
    (4, "MMIO Stale Data CPU bug present and SMT on, data leak possible. See https://docs.kernel.org/"),
    (4, "clocksource: Long readout interval, skipping watchdog check: cs_nsec: 1 wd_nsec: 2"),
    (4, "hrtimer: interrupt took 91234 ns"),
    (3, "INFO: NMI handler (perf_event_nmi_handler) took too long to run: 1.501 msecs"),
    (4, "EDAC MC1: 1 CE memory read error on CPU_SrcID#0_MC#1_Chan#0_DIMM#0"),
    (4, "nvme nvme1: I/O tag 7 (d007) QID 3 timeout, aborting req_op:WRITE(1)"),
    (4, "kvm: SMP vm created on host with unstable TSC; guest TSC will not be reliable"),
    # RHEL's notes on drivers, such as that of iptables-nft
    (2, "Warning: Deprecated Driver is detected: nft_compat will not be maintained in a future major release"),
    (2, "Warning: Unmaintained driver is detected: ip_set"),
    (4, "TECH PREVIEW: WireGuard may not be fully supported."),
    (2, "watchdog: watchdog0: watchdog did not stop!"),
    # Hardware errors that were corrected
    (0, "[Hardware Error]: Corrected error, no action required."),
    (0, "[Hardware Error]: CPU:5 (19:11:1) MC17_STATUS[Over|CE|MiscV|AddrV|-|-|SyndV|CECC|-|-|-]: 0xdc2040000400011b"),
    (0, "[Hardware Error]: cache level: L3/GEN, tx: GEN, mem-tx: RD"),
    (0, "mce: [Hardware Error]: CPU 5: Machine Check: 0 Bank 8: 8c00004000010091"),
    (4, "{7}[Hardware Error]: event severity: corrected"),
    (4, "ixgbe 0000:0a:00.0 ens9: enabling UDP RSS: fragmented packets may arrive out of order to the stack above"),
    (4, "bond9: Warning: No 802.3ad response from the link partner for any adapters in the bond"),
    (6, "smpboot: CPU 5 is now offline"),
    (6, "mce: CPU5: Core temperature/speed normal"),
    (4, "IRQ 45: no longer affine to CPU5"),
]


@pytest.mark.parametrize(("level", "text"), FAULTS)
def test_a_fault_is_a_complaint(level: int, text: str) -> None:
    assert is_complaint(Record(level, 0, 1, 1, text))


@pytest.mark.parametrize(("level", "text"), HARMLESS)
def test_what_only_sounds_like_one_is_none(level: int, text: str) -> None:
    assert not is_complaint(Record(level, 0, 1, 1, text))


def test_what_a_program_writes_into_the_log_is_none() -> None:
    (record,) = records_in("9,5,7,-;BUG: this is a test of a program\n")  # facility 1, level 1
    assert (record.facility, record.level) == (1, 1)
    assert not is_complaint(record)


def test_lines_of_a_records_own_keys_are_no_records() -> None:
    found = records_in("4,7,99,-;ens4: it began\\x0aand went on\n SUBSYSTEM=pci\n DEVICE=+pci:0000\n6,8,100,c;x\n")
    assert [(r.level, r.sequence, r.at_us, r.text) for r in found] == [
        (4, 7, 99, "ens4: it began | and went on"),
        (6, 8, 100, "x"),
    ]


class Kmsg:
    """Stands for /dev/kmsg: records that are written while it is read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ours, theirs = os.pipe2(os.O_NONBLOCK)
        self.into = theirs
        self.log = probes.KernelLog()
        self.log.descriptor = self.ours
        self.log.began_us = 50e6
        monkeypatch.setattr(probes, "KERNEL_LOG", self.log)

    def say(self, *records: str) -> None:
        os.write(self.into, "".join(record + "\n" for record in records).encode())

    def complaints(self) -> list[str]:
        found: list[str] = probes.kernel_log(KernelLogRequest(2))["complaints"]
        return found


@pytest.fixture
def kmsg(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kmsg]:
    made = Kmsg(monkeypatch)
    yield made
    os.close(made.ours)
    os.close(made.into)


def test_what_is_older_than_the_agent_is_nobodys_fault(kmsg: Kmsg) -> None:
    kmsg.say("4,1,1000000,-;WARNING: CPU: 0 PID: 1 at init/main.c:1 x+0x1/0x2", "6,2,2000000,-;orch-lab: crypto: avx2")
    assert probes.kernel_log(KernelLogRequest(2)) == {"complaints": [], "crypto": "avx2"}
    kmsg.say("4,3,60000000,-;WARNING: CPU: 0 PID: 9 at net/x.c:1 y+0x1/0x2")
    assert kmsg.complaints() == ["WARNING: CPU: 0 PID: 9 at net/x.c:1 y+0x1/0x2"]


def test_each_trial_is_told_of_its_own_by_the_records_numbers_whatever_the_clock_says(kmsg: Kmsg) -> None:
    kmsg.say("3,11,70000000,-;BUG: scheduling while atomic: a/1/0x1")
    probes.watch_kernel_log(WatchKernelLogRequest())
    assert kmsg.complaints() == []
    kmsg.say(*(f"3,{12 + number},1000,-;BUG: number {number}" for number in range(3)))
    assert kmsg.complaints() == ["BUG: number 0", "BUG: number 1"]  # the first ones, from which the others follow
    probes.watch_kernel_log(WatchKernelLogRequest())
    assert kmsg.complaints() == []


def test_a_log_without_a_word_is_followed_from_its_first_record(kmsg: Kmsg) -> None:
    probes.watch_kernel_log(WatchKernelLogRequest())
    kmsg.say("1,0,5,-;BUG: unable to handle page fault for address: ffff")
    assert kmsg.complaints() == ["BUG: unable to handle page fault for address: ffff"]
