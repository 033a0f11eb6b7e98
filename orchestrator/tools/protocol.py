# SPDX-License-Identifier: Apache-2.0
"""The interface of a tool: its keys in a spec, the quantity that it measures, and its run over tunnels that are ready.

Most tools start a server and a client for each tunnel and read a number from what they print: these have
`Tool.servers`, `Tool.clients` and `Tool.read`. A tool that works differently has its own `Tool.run`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.programs import Program
from orchestrator.spec.document import Mapping as Tree
from orchestrator.spec.own_tools import OwnQuantity
from orchestrator.spec.problems import Problem
from orchestrator.spec.tool_checks import packet_sizes, text_of, tool_named_in
from orchestrator.spec.traffic import Traffic

if TYPE_CHECKING:
    from orchestrator.agent.traffic_messages import Client, EchoStream, Server
    from orchestrator.measure.after_traffic import AfterTraffic
    from orchestrator.measure.attempt import Attempt
    from orchestrator.measure.driving import Driven, Processes
    from orchestrator.spec import Cell


@dataclass(frozen=True)
class Jobs:
    """The processes that a tool runs on the hosts.

    ``servers``: at the receiving end, before the traffic; ``clients``: at the sending end, called once the CPUs of the
    hosts are settled. The sampled window begins ``warm_up_s`` after the clients start and lasts ``duration_s``.
    ``suffix``: of the files that keep what processes print; ``grace_s``: how much longer than planned a client may
    take, None for the default; ``files``: files for each host, by path; ``echoes``: the round trips that the sending
    end times meanwhile, as the agent's `Echoes` takes them; ``measured``: False for a warm-up, during which the spec's
    probes do not run.
    """

    servers: Sequence["Server"]
    clients: Callable[[], Sequence["Client"]]
    warm_up_s: float
    duration_s: float
    suffix: str = ".out"
    grace_s: float | None = None
    files: Mapping[str, bytes] | None = None
    echoes: "EchoStream | None" = None
    measured: bool = True

    def drive(self, attempt: "Attempt") -> "Driven":
        """Run the processes, with sampling around them. Raises TestbedError if a host does not answer."""
        from orchestrator.measure.driving import drive

        return drive(attempt, self)


@dataclass(frozen=True)
class Reading:
    """The result that a tool read from the output of its processes.

    ``value``: the trial's number, in the unit of the tool's quantity; None if its measurements have columns of their
    own. ``measurements``: further values that an attempt stores, as JSON values. ``evidence``: fields of
    `orchestrator.measure.judge.Evidence` that the tool knows; ``evidence_after``: returns those that depend on the
    hosts' counters after the traffic.
    """

    value: float | None = None
    measurements: Mapping[str, Any] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)
    evidence_after: "Callable[[AfterTraffic], Mapping[str, Any]] | None" = None


def server(attempt: "Attempt", name: str, arguments: Sequence[str], address: str, port: int | None) -> "Server":
    """Return a server at the receiving end.

    Clients begin when something listens at ``address`` and ``port``, by TCP or UDP; with port None, once the server
    runs.
    """
    role = attempt.ends.receiver
    return {"role": role, "name": name, "address": address, "port": port, "any": True, "arguments": list(arguments)}


def client(attempt: "Attempt", name: str, arguments: Sequence[str]) -> "Client":
    """Return a client at the sending end, which ends by itself."""
    return {"role": attempt.ends.sender, "name": name, "any": True, "arguments": list(arguments)}


class Tool:
    """A tool that sends traffic and measures it.

    A built-in tool is the ``TOOL`` of a module of `orchestrator.tools`. An external one is the ``TOOL`` of the file or
    folder that ``traffic.tool`` names, or of a package's entry point in the group ``orch.tools``.

    ``summary``: what it measures, in a few words. ``schema``: its keys in ``traffic``, a subclass of `Traffic` with a
    default for each. ``measures``: the quantity of its number. ``packet_sizes``: whether it sends packets of the factor
    ``packet_size``; ``sizes_instead``: the alternative that a refusal of that factor names. ``traceable``: whether
    polls, profiles, samples over time and a spec's probes can be recorded while it runs; ``profiled``: whether profiles
    can even if the others cannot, and ``probed``: whether the probes can; ``places_losses``: whether it needs a system
    that counts every packet that it drops; ``binds``: whether its clients bind to their tunnel's own address (otherwise
    routes select it); ``programs``: what hosts need in addition to what every trial needs, checked by the preflight of
    hosts reached by SSH.
    """

    summary: str = ""
    schema: type[Traffic] = Traffic
    measures: OwnQuantity | None = None
    packet_sizes: bool = False
    sizes_instead: str = ""
    traceable: bool = True
    profiled: bool = False
    probed: bool = False
    places_losses: bool = False
    binds: bool = False
    programs: tuple[Program, ...] = ()

    # --- before anything is measured ---

    def faults(self) -> Iterator[str]:
        """Yield clauses on what it lacks to be a tool from outside this program."""
        own = type(self)
        if not self.summary:
            yield "it has no summary"
        if not (isinstance(self.schema, type) and issubclass(self.schema, Traffic) and self.schema is not Traffic):
            yield "its schema is not a subclass of orchestrator.spec.Traffic"
        if not isinstance(self.measures, OwnQuantity):
            yield "it does not say what it measures (measures, an OwnQuantity)"
        if own.run is Tool.run:
            if own.read is Tool.read:
                yield "it has no method read"
            if own.clients is Tool.clients and own.prepare is Tool.prepare:
                yield "it has no method clients"

    def quantity(self, traffic: Traffic) -> OwnQuantity | None:
        """Return the quantity that it measures with this traffic; None for tools whose columns define it."""
        return self.measures

    def problems(self, tree: Tree) -> Iterator[Problem]:
        """Yield the problems of a spec that uses it, apart from those that its schema reports."""
        name = tool_named_in(tree)
        yield from packet_sizes(tree, name, self.packet_sizes, self.sizes_instead)
        if not self.traceable and "trace" in tree.entries:
            if not self.profiled:
                yield Problem("Polls and profiles need the tool iperf3. Remove this key.", tree.keys["trace"])
            elif text_of(tree, "trace") != "profile":
                message = "Polls are recorded only with the tool iperf3. Use the probe profile, or remove this key."
                yield Problem(message, tree.keys["trace"])
        if not self.traceable and "sample_every" in tree.entries:
            what = "Nothing is sampled during the loads of this tool. Remove sample_every."
            yield Problem(what, tree.keys["sample_every"])
        if not (self.traceable or self.probed) and "probes" in tree.entries:
            yield Problem("Nothing runs beside the loads of this tool. Remove probes.", tree.keys["probes"])

    def outdated(self, versions: Mapping[str, str | None]) -> str:
        """Return why its programs are too old on a host, as a sentence without a period; empty if they are not.

        ``versions``: what programs print as their version, by name; None for a missing one.
        """
        return ""

    # --- over tunnels that are ready ---

    def largest_packet(self, levels: "Cell") -> int | None:
        """Return the bytes of the IP packet that must pass unfragmented before the traffic begins; None for any."""
        return None

    def prepare(self, attempt: "Attempt") -> Jobs:
        """Return the processes of a trial. Raises AgentFailure if the hosts lack what it needs."""
        traffic = attempt.trial.traffic
        return Jobs(self.servers(attempt), lambda: self.clients(attempt), traffic.warm_up_s, traffic.duration_s)

    def servers(self, attempt: "Attempt") -> "Sequence[Server]":
        """Return its servers, made by `server`."""
        return ()

    def clients(self, attempt: "Attempt") -> "Sequence[Client]":
        """Return its clients, made by `client`."""
        raise NotImplementedError

    def read(self, attempt: "Attempt", processes: "Processes") -> Reading:
        """Return the reading from what the processes printed: {name: {"status", "out", "err"}}.

        Raises BadReport if that has no number.
        """
        raise NotImplementedError

    def run(self, attempt: "Attempt") -> None:
        """Measure, and store measurements, probes and a verdict in the outcome.

        Raises BadReport if a report has no number, and TestbedError if a host does not answer.
        """
        from orchestrator.measure.evaluating import evaluate
        from orchestrator.measure.latency import beside_traffic

        driven = self.prepare(attempt).drive(attempt)
        if driven.echoes is not None:
            attempt.outcome.measurements["latency"] = [beside_traffic(driven.echoes)]
        evaluate(attempt, driven, self.read(attempt, driven.processes), self.quantity(attempt.trial.traffic))

    def clean_up(self, attempt: "Attempt") -> None:
        """Remove what it left on the hosts, whether or not the trial was ok. Raises TestbedError."""
