# SPDX-License-Identifier: Apache-2.0
"""The iperf3 driver: the processes of a trial and their command lines. Pure.

There is at least one server and one client process per tunnel: the threads of one process share a core in the lab, and
iperf3 before 3.16 is single-threaded everywhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.agent.traffic_messages import Client, Server
from orchestrator.iperf3_version import SINCE, THREADS_SINCE, name_of, version
from orchestrator.measure.layout import SHARED, receiver_address, sender_address
from orchestrator.spec.fields import DEFAULT_MTU
from orchestrator.tools.iperf3.traffic import Iperf3Traffic

FIRST_PORT = 5201
# At its end iperf3 cancels its threads, for which the C library loads this one then, and aborts if it cannot.
UNWINDER = "libgcc_s.so.1"
MOST_PAIRS = 50_000  # to one address, because each has its own port
IDLE_S = 30  # how long a server without a client stays
PAIRS_STARTED_PER_S = 5  # at least, on a slow host
_HEADERS = {("tcp", 4): 40, ("tcp", 6): 60, ("udp", 4): 28, ("udp", 6): 48}  # bytes of IP and TCP or UDP
_TIME_STAMPS = 12  # bytes in every TCP segment (RFC 7323)


class Unsuitable(Exception):
    """The iperf3 of a host, or the experiment, does not allow a trial; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A client and a server process.

    ``name``: 1 or 1-2 (tunnel 1, process 2); ``number`` counts all, from 1. ``tunnel``: their tunnel, None if flows are
    spread over all.
    """

    number: int
    name: str
    tunnel: int | None
    sender: str
    receiver: str
    port: int

    @property
    def where(self) -> str:
        """Its name in a sentence."""
        return f"pair {self.number}" if self.tunnel is None else f"tunnel {self.name}"


def pairs(tunnels: int, traffic: Iperf3Traffic) -> list[Pair]:
    """Return the pairs of processes of a trial.

    With a subnet per tunnel there are ``processes`` pairs in each tunnel. With ``paths`` ecmp there are as many in
    total, or ``connections`` if given, without a tunnel of their own. Raises Unsuitable if they need too many ports.
    """
    version = traffic.ip_version
    found = []
    many = traffic.connections or tunnels * traffic.processes
    if traffic.paths == "ecmp" and many > MOST_PAIRS:
        asked = f"{tunnels} tunnels with {traffic.processes} processes"
        raise Unsuitable(f"{asked} need more than {MOST_PAIRS} ports of one address. Use fewer.")
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


def servers(role: str, wanted: Sequence[Pair]) -> list[Server]:
    """Return the agent's ``servers``, one per pair. Each waits for its client while all the others are started."""
    idle_s = IDLE_S + len(wanted) // PAIRS_STARTED_PER_S
    return [
        {
            "role": role,
            "name": f"server-{pair.name}",
            "address": pair.receiver,
            "port": pair.port,
            "preload": UNWINDER,
            "arguments": [
                *("iperf3", "--server", "--one-off", "--json", "--bind", pair.receiver),
                *("--port", str(pair.port), "--idle-timeout", str(idle_s)),
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
) -> list[Client]:
    """Return the agent's ``clients``, one per pair. ``mtu``: of the tunnels, in bytes.

    ``cpus``: those of the sender and of the receiver, which processes take in turn; None: they may run on any. iperf3
    takes only whole seconds for the omitted warm-up (--omit) and for the duration.
    """
    options = _options(traffic, mtu)
    return [
        {
            "role": role,
            "name": f"client-{pair.name}",
            "preload": UNWINDER,
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
    """Return the options of every client of a trial, apart from addresses and times."""
    options = {"forward": [], "reverse": ["--reverse"], "both": ["--bidir"]}[traffic.direction]
    if traffic.protocol == "udp":
        options += ["--udp", "--length", str(datagram(traffic, mtu))]
    if traffic.paced_bps is not None:
        each = traffic.paced_bps / (traffic.processes * traffic.streams)
        options += ["--bitrate", str(max(1, round(each)))]  # 0 would mean unlimited
    valued = {"--window": traffic.window_bytes, "--congestion": traffic.congestion, "--set-mss": traffic.mss_bytes}
    for option, value in valued.items():
        options += [option, str(value)] if value is not None else []
    return [*options, *(["--zerocopy"] if traffic.zerocopy else [])]


def _affinity(pair: Pair, cpus: tuple[Sequence[int], Sequence[int]]) -> tuple[str, str]:
    client, server = (each[(pair.number - 1) % len(each)] for each in cpus)
    return "--affinity", f"{client},{server}"


def datagram(traffic: Iperf3Traffic, mtu: int = DEFAULT_MTU) -> int:
    """Return the bytes in each UDP datagram: as the spec says, else what fits in a packet of a tunnel."""
    return traffic.datagram_bytes or mtu - _HEADERS["udp", traffic.ip_version]


def segment(traffic: Iperf3Traffic, mtu: int = DEFAULT_MTU) -> int:
    """Return the bytes that a TCP segment carries in a tunnel."""
    most = mtu - _HEADERS["tcp", traffic.ip_version]
    return min(traffic.mss_bytes or most, most) - _TIME_STAMPS


def header_bytes(traffic: Iperf3Traffic) -> int:
    """Return the bytes of the headers that each TCP segment has in a tunnel: IP, TCP and its time stamps."""
    return _HEADERS["tcp", traffic.ip_version] + _TIME_STAMPS


def check(said: Mapping[str, str | None], traffic: Iperf3Traffic) -> list[str]:
    """Return the marks that the hosts' iperf3 versions call for, a sentence each.

    Raises Unsuitable if a host's version cannot carry the traffic, or no version can.
    """
    if traffic.too_slow:
        raise Unsuitable(f"traffic.bitrate: {traffic.too_slow}.")
    wanted = ["--idle-timeout"]
    wanted += ["--bidir"] if traffic.direction == "both" else []
    wanted += ["--udp"] if traffic.protocol == "udp" else []
    marks = []
    for host, text in said.items():
        known = version(text)
        if known is None:  # missing, or another program: its output when it is used says more
            continue
        name = name_of(known)
        for option in wanted:
            if known < SINCE[option]:
                least = name_of(SINCE[option])
                lacks = "has no" if option == "--idle-timeout" else "gives no report that can be read with"
                raise Unsuitable(
                    f"iperf3 {name} of {host} {lacks} {option}, which needs {least} or later. Update iperf3."
                )
        if traffic.streams > 1 and known < THREADS_SINCE:
            single = f"iperf3 {name} of {host} has one thread for all {traffic.streams} streams of a process"
            marks.append(f"{single}: traffic.processes makes more processes.")
    return marks
