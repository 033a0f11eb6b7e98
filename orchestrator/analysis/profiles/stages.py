# SPDX-License-Identifier: Apache-2.0
"""Which stage of a packet's path a chain of calls belongs to. Pure rules over the names of functions.

The innermost function that has a stage decides: a packet that is forwarded in a softirq which began while another was
sent is forwarding. The names are those of Linux 6.1 to 7.2 and of kernel/wireguard; what a compiler appends to a name
(``.isra.0``) does not count.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

GENERATOR, FORWARDING, ENCRYPT, TRANSMIT = "generator", "forwarding", "encrypt", "serial transmit"
DECRYPT, POLL, SERVER, ENDS = "decrypt", "poll", "server", "generator or server"
OTHER, IDLE = "other", "idle"
STAGES = (GENERATOR, FORWARDING, ENCRYPT, TRANSMIT, DECRYPT, POLL, SERVER, ENDS, OTHER, IDLE)
USER = "[user]"
_GENERATORS = ("iperf3", "kpktgend")  # what the names of tasks that make or take traffic begin with

_FUNCTIONS = {
    IDLE: """do_idle cpu_startup_entry default_idle_call arch_cpu_idle um_idle_sleep os_idle_sleep cpuidle_enter
        cpuidle_idle_call""",
    ENCRYPT: """encrypt_packet wg_packet_encrypt_worker chacha20poly1305_encrypt chacha20poly1305_encrypt_sg_inplace
        crypto_aead_encrypt esp_output esp6_output esp_output_tail esp6_output_tail""",
    DECRYPT: """decrypt_packet wg_packet_decrypt_worker chacha20poly1305_decrypt chacha20poly1305_decrypt_sg_inplace
        crypto_aead_decrypt esp_input esp6_input""",
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
FUNCTIONS: Mapping[str, str] = MappingProxyType(
    {name: stage for stage, names in _FUNCTIONS.items() for name in names.split()}
)


def stage_of(role: str, task: str, calls: Sequence[str]) -> str:
    """The stage of a chain of calls, one of STAGES.

    ``role``: whose CPU it ran on, "" where roles share CPUs; ``task``: the name of the process or kernel thread;
    ``calls``: functions, the outermost first. On CPUs of the client alone everything that is not idle is the generator,
    on those of the server the server. Where roles share CPUs, programs cannot be told apart by their names.
    """
    found = next((FUNCTIONS[name] for name in map(_plain, reversed(calls)) if name in FUNCTIONS), None)
    if found == IDLE:
        return IDLE
    if role in ("client", "server"):
        return GENERATOR if role == "client" else SERVER
    if found is not None:
        return found
    return ENDS if calls and calls[-1] == USER and task.startswith(_GENERATORS) else OTHER


def _plain(name: str) -> str:
    return name.partition(".")[0]
