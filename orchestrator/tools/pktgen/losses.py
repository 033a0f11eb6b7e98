# SPDX-License-Identifier: Apache-2.0
"""Where packets were lost on the path from the client to the server, from the kernel's counters at every hop. Pure.

A packet that is dropped can raise several counters: one that finds a CPU's backlog full on a virtual link counts as
dropped by the receiving device, by the sending device, by the tunnel whose device sent it, and by the CPU. The path is
therefore cut into sections, at counters of packets that passed, and a packet is looked for once in each.

Upstream WireGuard counts nothing if a ring is full, or a packet cannot be encrypted or decrypted, or is replayed
(wg_packet_create_data and wg_packet_tx_worker in send.c; wg_packet_consume_data and wg_packet_rx_poll in receive.c of
Linux 6.1 to 7.2). The packets that it dropped this way are those that entered its devices minus those that left them
and those that they did count as dropped. That is not a counter of the kernel, and is called ``wireguard uncounted``.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.spec import GATEWAYS

Counters = Mapping[str, Any]  # of a role, as from the agent's `hops`
_PROTOCOLS_IN = ("InHdrErrors", "InAddrErrors", "InDiscards", "InNoRoutes", "InTruncatedPkts", "IPReversePathFilter")
_PROTOCOLS_OUT = ("OutDiscards", "OutNoRoutes")
_LEAVING = ("output", "postrouting")
_TAKE_AND_DROP = ("netem", "fq_codel", "codel", "cake", "pie", "fq_pie", "red")  # report a dropped packet as accepted
CLIENT, SERVER = "client", "server"
A, B = GATEWAYS


def growth(before: Counters, after: Counters) -> dict[str, Any]:
    """Return the increase of a role's counters."""
    old_rules = {(name, hook): packets for name, hook, packets in before["rules"]}
    rules: dict[tuple[str, str], int] = {}
    for name, hook, packets in after["rules"]:
        rules[name, hook] = rules.get((name, hook), 0) + packets
    return {
        "devices": {
            name: {column: count - before["devices"].get(name, {}).get(column, 0) for column, count in counts.items()}
            for name, counts in after["devices"].items()
        },
        "protocols": {
            name: {counter: count - before["protocols"][name][counter] for counter, count in counts.items()}
            for name, counts in after["protocols"].items()
        },
        "qdiscs": {
            name: [kind, dropped - before["qdiscs"].get(name, (kind, 0))[1]]
            for name, (kind, dropped) in after["qdiscs"].items()
        },
        "rules": [[name, hook, packets - old_rules.get((name, hook), 0)] for (name, hook), packets in rules.items()],
        "sink": {
            tunnel: [now - was for now, was in zip(counts, before["sink"].get(tunnel, (0, 0)), strict=True)]
            for tunnel, counts in after["sink"].items()
        },
    }


class _Way:
    """The drops on a path as they are found: {"ROLE/WHAT": packets}."""

    def __init__(self, grown: Mapping[str, Counters], virtual: Iterable[str]) -> None:
        self.grown, self.virtual = grown, set(virtual)
        self.found: dict[str, int] = {}

    def note(self, role: str, what: str, packets: int) -> int:
        if packets:
            self.found[f"{role}/{what}"] = self.found.get(f"{role}/{what}", 0) + packets
        return packets

    def count(self, role: str, device: str, column: str) -> int:
        return int(self.grown[role]["devices"].get(device, {}).get(column, 0))

    def protocol(self, role: str, counter: str) -> int:
        return sum(int(counts.get(counter, 0)) for counts in self.grown[role]["protocols"].values())

    def forwarded(self, role: str) -> int:
        return self.protocol(role, "ForwDatagrams")

    def of_wireguard(self, role: str, column: str) -> int:
        return sum(self.count(role, name, column) for name in self.grown[role]["devices"] if name.startswith("wg"))

    def protocols(self, role: str, counters: Iterable[str]) -> int:
        return sum(self.note(role, f"ip {counter}", self.protocol(role, counter)) for counter in counters)

    def rules(self, role: str, hooks: Iterable[str]) -> int:
        wanted = set(hooks)
        return sum(
            self.note(role, f"nftables {name}", packets)
            for name, hook, packets in self.grown[role]["rules"]
            if hook in wanted
        )

    def qdisc(self, role: str, device: str, most: int | None = None) -> int:
        """Attribute packets that a queue dropped, at most ``most``; the rest is left for the next section."""
        kind, dropped = self.grown[role]["qdiscs"].get(device, ("", 0))
        taken = dropped if most is None else max(0, min(dropped, most))
        if taken:
            self.grown[role]["qdiscs"][device][1] -= taken
        return self.note(role, f"{device} queue {kind}", taken)

    def link(self, link: str, sender: tuple[str, str], receiver: tuple[str, str]) -> int:
        """Attribute packets dropped between two devices.

        On a virtual link the sender's count includes what the receiver refused.
        """
        sent, came = self.count(*sender, "tx_dropped"), self.count(*receiver, "rx_dropped")
        if link in self.virtual:
            came = max(0, came - sent)
        else:
            # A packet for which the ring had no room counts in dropped and fifo (virtio), or in fifo alone.
            sent = max(sent, self.count(*sender, "tx_fifo")) + self.count(*sender, "tx_errors")
            came = self._refused(sender, receiver)
        name = f"{sender[1]} link" if link in self.virtual else f"{sender[1]} tx"
        return self.note(sender[0], name, sent) + self.note(receiver[0], f"{receiver[1]} rx", came)

    def _refused(self, sender: tuple[str, str], receiver: tuple[str, str]) -> int:
        """Return how many packets a NIC did not hand up.

        Each driver decides which columns count a packet: mlx5 has what its port discards in fifo alone; alx and bnx2x
        also count what is in fifo or dropped among the errors. The result is therefore the number of packets missing
        between both ends, limited to the range from the largest column to the sum of all. (Most drivers count frame
        among the errors; virtio does not.)
        """
        columns = [self.count(*receiver, f"rx_{name}") for name in ("dropped", "errors", "fifo")]
        left = self.count(*sender, "tx_packets")
        if not left:
            return sum(columns)
        columns.append(self.count(*receiver, "rx_frame"))
        return min(max(left - self.count(*receiver, "rx_packets"), *columns), sum(columns))


def lost(grown: Mapping[str, Counters], sent: int, virtual: Iterable[str], tunnels: bool) -> dict[str, int]:
    """Return the packets dropped on the path by {"ROLE/COUNTER"}, without zeros; for site-to-site.

    ``grown``: the increase of each role's counters; ``sent``: packets that the client handed to its interface;
    ``virtual``: links within a host; ``tunnels``: False without tunnels.
    """
    way = _Way(grown, virtual)
    # From the client to gateway a, until a packet is forwarded there.
    before = way.link("lan-a", (CLIENT, "lan0"), (A, "lan0"))
    before += way.protocols(A, _PROTOCOLS_IN) + way.rules(A, ("ingress", "prerouting", "input", ""))
    # Packets dropped while being forwarded count as forwarded in newer kernels (6.7 and later), not in older ones.
    while_forwarding = way.rules(A, ("forward",)) + way.note(A, "ip FragFails", way.protocol(A, "FragFails"))
    if tunnels:
        forwarded = way.forwarded(A)
        counted = while_forwarding - max(0, min(while_forwarding, sent - before - forwarded))
        _into_tunnels(way, forwarded - counted)
        _out_of_tunnels(way)
    else:
        way.protocols(A, _PROTOCOLS_OUT)
        way.rules(A, _LEAVING)
        way.qdisc(A, "wan0")
        way.link("wan", (A, "wan0"), (B, "wan0"))
    # From gateway b, on either side of its tunnels, to the server's sink.
    way.protocols(B, (*_PROTOCOLS_IN, *_PROTOCOLS_OUT, "FragFails"))
    way.rules(B, ("ingress", "prerouting", "input", "forward", "", *_LEAVING))
    way.qdisc(B, "lan0")
    way.link("lan-b", (B, "lan0"), (SERVER, "lan0"))
    way.protocols(SERVER, _PROTOCOLS_IN)
    way.rules(SERVER, ("ingress", "prerouting", "input", ""))
    return way.found


def _into_tunnels(way: _Way, entered: int) -> None:
    """Attribute the drops of gateway a's devices and of the link.

    A device counts a packet as sent once the link took it.
    """
    devices = {name for name in way.grown[A]["devices"] if name.startswith("wg")}
    missing = entered - way.of_wireguard(A, "tx_packets")
    dropped = way.of_wireguard(A, "tx_dropped")  # includes drops further down: by a rule, a queue or a virtual link
    refused = way.count(A, "wan0", "tx_dropped") if "wan" in way.virtual else 0
    below = way.rules(A, ("output",)) + way.protocols(A, _PROTOCOLS_OUT) + refused
    passing = way.rules(A, ("postrouting",))  # into the device, or after it; the device counts only the latter
    takes = way.grown[A]["qdiscs"].get("wan0", ("",))[0] in _TAKE_AND_DROP
    queued = way.qdisc(A, "wan0", dropped - below - (passing if takes else 0))
    below += passing + queued
    below += sum(way.qdisc(A, device) for device in devices)
    way.note(A, "wireguard tx_dropped", max(0, dropped - below))
    errors = way.note(A, "wireguard tx_errors", way.of_wireguard(A, "tx_errors"))
    way.note(A, "wireguard uncounted", missing - errors - below - max(0, dropped - below))
    way.qdisc(A, "wan0")  # dropped although the queue had accepted it
    way.link("wan", (A, "wan0"), (B, "wan0"))


def _out_of_tunnels(way: _Way) -> None:
    """Attribute the drops of gateway b's devices.

    They lie between the UDP datagrams that the devices received and the packets that they delivered.
    """
    way.note(B, "udp InErrors", way.protocol(B, "InErrors"))
    way.note(B, "udp NoPorts", way.protocol(B, "NoPorts"))
    errors = way.note(B, "wireguard rx_errors", way.of_wireguard(B, "rx_errors"))
    missing = way.protocol(B, "InDatagrams") - way.of_wireguard(B, "rx_packets")
    way.note(B, "wireguard uncounted", missing - errors)
    way.note(B, "wireguard rx_dropped", way.of_wireguard(B, "rx_dropped"))  # after it was handed up
