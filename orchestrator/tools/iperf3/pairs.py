# SPDX-License-Identifier: Apache-2.0
"""The iperf3 driver: which processes a trial has, and their command lines. Pure.

At least one server and one client process a tunnel: the threads of one process share a core in the lab, and iperf3
before 3.16 is single-threaded anywhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.iperf3_version import SINCE, THREADS_SINCE, name_of, version
from orchestrator.measure.layout import SHARED, receiver_address, sender_address
from orchestrator.spec.fields import DEFAULT_MTU
from orchestrator.tools.iperf3.traffic import Iperf3Traffic

FIRST_PORT = 5201
MOST_PAIRS = 50_000  # to one address: each has a port of its own
_HEADERS = {("tcp", 4): 40, ("tcp", 6): 60, ("udp", 4): 28, ("udp", 6): 48}  # bytes of IP and TCP or UDP
_TIME_STAMPS = 12  # bytes in every TCP segment (RFC 7323)


class Unsuitable(Exception):
    """The iperf3 of a host, or the experiment, does not allow a trial: a sentence."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A client and a server process. ``name``: 1 or 1-2 (tunnel 1, process 2); ``number`` counts all, from 1.

    ``tunnel``: the one that they have, None where flows are spread over all.
    """

    number: int
    name: str
    tunnel: int | None
    sender: str
    receiver: str
    port: int

    @property
    def where(self) -> str:
        """What a sentence calls it."""
        return f"pair {self.number}" if self.tunnel is None else f"tunnel {self.name}"


def pairs(tunnels: int, traffic: Iperf3Traffic) -> list[Pair]:
    """The processes of a trial: ``processes`` pairs in each tunnel, or without a tunnel of their own as many, or as
    many as ``connections`` says."""
    version = traffic.ip_version
    found = []
    many = traffic.connections or tunnels * traffic.processes
    if traffic.paths == "ecmp" and many > MOST_PAIRS:
        asked = f"{tunnels} tunnels with {traffic.processes} processes"
        raise Unsuitable(f"{asked} want more than {MOST_PAIRS} ports of one address: ask for fewer.")
    for number in range(1, many + 1):
        tunnel, process = divmod(number - 1, traffic.processes)
        tunnel += 1
        if traffic.paths == "ecmp":
            ends = sender_address(SHARED, version), receiver_address(SHARED, version)
            found.append(Pair(number, str(number), None, *ends, FIRST_PORT + number - 1))
            continue
        ends = sender_address(tunnel, version), receiver_address(tunnel, version)
        name = f"{tunnel}-{process + 1}" if traffic.processes > 1 else str(tunnel)
        found.append(Pair(number, name, tunnel, *ends, FIRST_PORT + process))
    return found


def servers(role: str, wanted: Iterable[Pair]) -> list[dict[str, Any]]:
    """The agent's ``servers``, one a pair."""
    return [
        {
            "role": role,
            "name": f"server-{pair.name}",
            "address": pair.receiver,
            "port": pair.port,
            "arguments": [
                *("iperf3", "--server", "--one-off", "--json", "--bind", pair.receiver),
                *("--port", str(pair.port), "--idle-timeout", "30"),
            ],
        }
        for pair in wanted
    ]


def clients(
    role: str,
    wanted: Iterable[Pair],
    traffic: Iperf3Traffic,
    cpus: tuple[Sequence[int], Sequence[int]] | None = None,
    mtu: int = DEFAULT_MTU,
) -> list[dict[str, Any]]:
    """The agent's ``clients``, one a pair. ``mtu``: of the tunnels.

    ``cpus``: those of the sender and of the receiver, which processes take in turn; None: they may run on any of them.
    iperf3 takes whole seconds only for the warm-up that it leaves out (--omit) and for the duration.
    """
    options = _options(traffic, mtu)
    return [
        {
            "role": role,
            "name": f"client-{pair.name}",
            "arguments": [
                *("iperf3", "--client", pair.receiver, "--bind", pair.sender, "--port", str(pair.port)),
                *("--json", "--omit", str(round(traffic.warm_up_s)), "--time", str(round(traffic.duration_s))),
                *("--parallel", str(traffic.streams), "--connect-timeout", "5000"),
                *options,
                *(_affinity(pair, cpus) if cpus else ()),
            ],
        }
        for pair in wanted
    ]


def _options(traffic: Iperf3Traffic, mtu: int) -> list[str]:
    """What every client of a trial is told beside addresses and times."""
    options = {"forward": [], "reverse": ["--reverse"], "both": ["--bidir"]}[traffic.direction]
    if traffic.protocol == "udp":
        options += ["--udp", "--length", str(datagram(traffic, mtu))]
    if traffic.paced_bps is not None:
        each = traffic.paced_bps / (traffic.processes * traffic.streams)
        options += ["--bitrate", str(max(1, round(each)))]  # 0 would be without a limit
    valued = {"--window": traffic.window_bytes, "--congestion": traffic.congestion, "--set-mss": traffic.mss_bytes}
    for option, value in valued.items():
        options += [option, str(value)] if value is not None else []
    return [*options, *(["--zerocopy"] if traffic.zerocopy else [])]


def _affinity(pair: Pair, cpus: tuple[Sequence[int], Sequence[int]]) -> tuple[str, str]:
    client, server = (each[(pair.number - 1) % len(each)] for each in cpus)
    return "--affinity", f"{client},{server}"


def datagram(traffic: Iperf3Traffic, mtu: int = DEFAULT_MTU) -> int:
    """Bytes in each UDP datagram: as asked for, else what fits in a packet of a tunnel."""
    return traffic.datagram_bytes or mtu - _HEADERS["udp", traffic.ip_version]


def segment(traffic: Iperf3Traffic, mtu: int = DEFAULT_MTU) -> int:
    """Bytes that a TCP segment carries in a tunnel."""
    most = mtu - _HEADERS["tcp", traffic.ip_version]
    return min(traffic.mss_bytes or most, most) - _TIME_STAMPS


def check(said: Mapping[str, str | None], traffic: Iperf3Traffic) -> list[str]:
    """What a person should know of the hosts' iperf3 versions, a sentence each.

    Raises Unsuitable where a host's version cannot carry the traffic, or no version can.
    """
    if traffic.too_slow:
        raise Unsuitable(f"traffic.bitrate: {traffic.too_slow}.")
    wanted = ["--idle-timeout"]
    wanted += ["--bidir"] if traffic.direction == "both" else []
    wanted += ["--udp"] if traffic.protocol == "udp" else []
    marks = []
    for host, text in said.items():
        known = version(text)
        if known is None:  # not there, or another program: what it prints when it is used says more
            continue
        name = name_of(known)
        for option in wanted:
            if known < SINCE[option]:
                least = name_of(SINCE[option])
                lacks = "has no" if option == "--idle-timeout" else "gives no report that can be read with"
                raise Unsuitable(f"iperf3 {name} of {host} {lacks} {option}; it takes {least} or later. Update iperf3.")
        if traffic.streams > 1 and known < THREADS_SINCE:
            single = f"iperf3 {name} of {host} has one thread for all {traffic.streams} streams of a process"
            marks.append(f"{single}: traffic.processes makes more processes.")
    return marks
