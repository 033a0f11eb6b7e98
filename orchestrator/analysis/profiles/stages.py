# SPDX-License-Identifier: Apache-2.0
"""Assignment of call chains to the stages of a packet's path. Pure rules over the names of functions.

The innermost function that has a stage decides: forwarding a packet in a softirq that began while another was sent
counts as forwarding. The names are those of Linux 6.1 to 7.2 and of kernel/wireguard; suffixes that a compiler appends
(``.isra.0``) are ignored.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

GENERATOR, FORWARDING, ENCRYPT, TRANSMIT = "generator", "forwarding", "encrypt", "serial transmit"
DECRYPT, POLL, SERVER, ENDS = "decrypt", "poll", "server", "generator or server"
SCHEDULING, OTHER, WAITING, IDLE = "scheduling", "other", "generator waits", "idle"
STAGES = (GENERATOR, FORWARDING, ENCRYPT, TRANSMIT, DECRYPT, POLL, SERVER, ENDS, SCHEDULING, OTHER, WAITING, IDLE)
NO_WORK = (WAITING, IDLE)  # stages that are not part of the cost of a packet
USER = "[user]"
_HOST = "[host]"  # the frame of host functions that User-Mode Linux calls, such as sleeping
_GENERATORS = ("iperf3", "kpktgend")  # prefixes of the names of tasks that generate or receive traffic

_FUNCTIONS = {
    SCHEDULING: """schedule __schedule schedule_idle __cond_resched preempt_schedule_common try_to_wake_up
        ttwu_do_activate sched_ttwu_pending wake_up_process queue_work_on __queue_work kick_pool worker_thread
        process_one_work __flush_smp_call_function_queue generic_smp_call_function_single_interrupt sched_tick
        scheduler_tick sched_balance_softirq sched_balance_rq load_balance cpu_startup_entry do_idle
        cpuidle_idle_call default_idle_call cpuidle_enter cpuidle_enter_state arch_cpu_idle um_idle_sleep
        os_idle_sleep""",
    ENCRYPT: """encrypt_packet encrypt_linear wg_aead_encrypt wg_packet_encrypt_worker chacha20poly1305_encrypt
        chacha20poly1305_encrypt_sg_inplace crypto_aead_encrypt esp_output esp6_output esp_output_tail
        esp6_output_tail""",
    DECRYPT: """decrypt_packet decrypt_any decrypt_linear wg_aead_decrypt wg_packet_decrypt_worker
        chacha20poly1305_decrypt chacha20poly1305_decrypt_sg_inplace crypto_aead_decrypt esp_input esp6_input""",
    TRANSMIT: """wg_packet_tx_worker wg_packet_create_data_done wg_packet_send_inline send_list_inline
        send_chunk_inline send_staged_inline wg_socket_send_skb_to_peer wg_socket_send_list_to_peer xfrm_output
        xfrm_output_resume xfrm_output2""",
    POLL: """wg_packet_rx_poll wg_packet_consume_data_done napi_threaded_poll napi_threaded_poll_loop""",
    FORWARDING: """wg_xmit wg_packet_send_staged_packets wg_receive wg_packet_receive wg_packet_consume_data ip_forward
        ip6_forward ip_rcv ip_list_rcv ip_sublist_rcv ipv6_rcv ipv6_list_rcv udp_rcv udpv6_rcv process_backlog
        netif_receive_skb netif_receive_skb_list_internal __netif_receive_skb __netif_receive_skb_core
        __netif_receive_skb_list_core __netif_receive_skb_one_core net_rx_action __napi_poll veth_poll xfrm_input
        xfrm4_rcv xfrm6_rcv""",
    GENERATOR: """tcp_sendmsg tcp_sendmsg_locked tcp_write_xmit tcp_push tcp_push_one tcp_ack tcp_tsq_handler
        tcp_tsq_workfn tcp_tasklet_func tcp_xmit_retransmit_queue udp_sendmsg udpv6_sendmsg pktgen_thread_worker
        pktgen_xmit""",
    SERVER: """tcp_recvmsg tcp_recvmsg_locked tcp_data_queue tcp_v4_rcv tcp_v6_rcv tcp_rcv_established tcp_send_ack
        udp_recvmsg udpv6_recvmsg""",
}
# Functions in which a CPU is asleep, or was until the interrupt that took the sample.
_ASLEEP = frozenset(
    (
        *("os_idle_sleep", "um_idle_sleep", "arch_cpu_idle", "default_idle", "native_safe_halt", "pv_native_safe_halt"),
        *("mwait_idle", "intel_idle", "intel_idle_irq", "intel_idle_ibrs", "acpi_idle_do_entry", "acpi_safe_halt"),
        *("cpuidle_enter_state", "poll_idle", "cpu_do_idle"),
    )
)
FUNCTIONS: Mapping[str, str] = MappingProxyType(
    {name: stage for stage, names in _FUNCTIONS.items() for name in names.split()}
)


# What pktgen calls until the next packet is due (spin in net/core/pktgen.c). It spins if that takes below 0.1 ms.
_PKTGEN, _WAITS = ("pktgen_xmit", "pktgen_thread_worker"), ("spin", "ktime_get")


def stage_of(role: str, task: str, calls: Sequence[str]) -> str:
    """Return the stage of a call chain, one of STAGES.

    ``role``: the CPU's role, or empty if roles share CPUs; ``task``: the name of the process or kernel thread;
    ``calls``: functions, the outermost first. On CPUs of the client alone, everything but sleep is the generator, and
    on those of the server the server; a packet generator that waits is a stage of its own. If roles share CPUs, the
    programs of client and server cannot be distinguished by name.
    """
    names = [_plain(name) for name in calls]
    innermost = next((name for name in reversed(names) if name != _HOST), "")
    if innermost in _ASLEEP:
        return IDLE
    if _waits(names):
        return WAITING
    if role in ("client", "server"):
        return GENERATOR if role == "client" else SERVER
    found = next((FUNCTIONS[name] for name in reversed(names) if name in FUNCTIONS), None)
    if found is not None:
        return found
    return ENDS if calls and calls[-1] == USER and task.startswith(_GENERATORS) else OTHER


def _waits(calls: Sequence[str]) -> bool:
    """Return whether a call chain is that of a packet generator that waits until its next packet is due."""
    place = max((at for at, name in enumerate(calls) if name in _PKTGEN), default=None)
    return place is not None and len(calls) > place + 1 and calls[place + 1] in _WAITS


def _plain(name: str) -> str:
    return name.partition(".")[0]
