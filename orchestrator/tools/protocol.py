# SPDX-License-Identifier: Apache-2.0
"""What a tool is: its keys of a spec, the quantity that it measures, and how it measures over tunnels that are ready.

Most tools start a server and a client for each tunnel and read a number from what they print: these have
`Tool.servers`, `Tool.clients` and `Tool.read`. One that works in another way has a `Tool.run` of its own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.programs import Program
from orchestrator.spec.document import Mapping as Tree
from orchestrator.spec.own_tools import OwnQuantity
from orchestrator.spec.problems import Problem
from orchestrator.spec.tool_checks import packet_sizes, tool_named_in
from orchestrator.spec.traffic import Traffic

if TYPE_CHECKING:
    from orchestrator.measure.after_traffic import AfterTraffic
    from orchestrator.measure.attempt import Attempt
    from orchestrator.measure.driving import Driven, Job, Processes
    from orchestrator.spec import Cell


@dataclass(frozen=True)
class Jobs:
    """What a tool has the hosts run. ``servers``: at the receiving end, before the traffic; ``clients``: at the sending
    end, asked for when the CPUs of the hosts are as they stay.

    The window that is sampled begins after ``warm_up_s`` of the clients and lasts ``duration_s``. ``suffix``: of the
    files that keep what processes print; ``grace_s``: how much longer than its time a client may take, None for the
    usual; ``files``: what each host gets, by path; ``echoes``: the round trips that the sending end times meanwhile, as
    the agent's `Echoes` takes them; ``measured``: whether they are what the trial measures, so that its spec's probes
    run beside them, and no warm-up.
    """

    servers: Sequence["Job"]
    clients: Callable[[], Sequence["Job"]]
    warm_up_s: float
    duration_s: float
    suffix: str = ".out"
    grace_s: float | None = None
    files: Mapping[str, bytes] | None = None
    echoes: Mapping[str, Any] | None = None
    measured: bool = True

    def drive(self, attempt: "Attempt") -> "Driven":
        """Have them run, and sample around them. Raises TestbedError where a host does not answer."""
        from orchestrator.measure.driving import drive

        return drive(attempt, self)


@dataclass(frozen=True)
class Reading:
    """What a tool read from what its processes printed.

    ``value``: the trial's number, in the unit of the tool's quantity; None where its measurements have columns of their
    own. ``measurements``: what else an attempt keeps, as JSON values. ``evidence``: fields of
    `orchestrator.measure.judge.Evidence` that the tool knows; ``evidence_after``: those that it knows once
    the hosts have been asked what they counted.
    """

    value: float | None = None
    measurements: Mapping[str, Any] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)
    evidence_after: "Callable[[AfterTraffic], Mapping[str, Any]] | None" = None


def server(attempt: "Attempt", name: str, arguments: Sequence[str], address: str, port: int | None) -> "Job":
    """A server at the receiving end. Clients begin when something listens at ``address`` and ``port``, by TCP or UDP;
    with port None, when it runs."""
    role = attempt.ends.receiver
    return {"role": role, "name": name, "address": address, "port": port, "any": True, "arguments": list(arguments)}


def client(attempt: "Attempt", name: str, arguments: Sequence[str]) -> "Job":
    """A client at the sending end, which ends by itself."""
    return {"role": attempt.ends.sender, "name": name, "any": True, "arguments": list(arguments)}


class Tool:
    """A tool. One of this program is the ``TOOL`` of a module of `orchestrator.tools`; one of your own, that of a file
    or folder that ``traffic.tool`` names, or of a package's entry point of the group ``orch.tools``.

    ``summary``: what it measures, in a few words. ``schema``: the keys that ``traffic`` has with it, a subclass of
    `Traffic` with a default for each. ``measures``: the quantity of its number. ``packet_sizes``: whether it sends
    packets of the factor ``packet_size``; ``sizes_instead``: what a refusal of that factor says. ``traceable``:
    whether polls, profiles and samples over time can be recorded beside it, and a spec's probes; ``probed``: whether
    the latter can where the others cannot; ``places_losses``: whether it needs a
    system that counts every packet that it drops; ``binds``: whether its clients bind to their tunnel's own address;
    routes see to it where they do not; ``programs``: what hosts must have beside what every trial
    needs, for which the preflight looks on hosts that are reached by SSH.
    """

    summary: str = ""
    schema: type[Traffic] = Traffic
    measures: OwnQuantity | None = None
    packet_sizes: bool = False
    sizes_instead: str = ""
    traceable: bool = True
    probed: bool = False
    places_losses: bool = False
    binds: bool = False
    programs: tuple[Program, ...] = ()

    # --- before anything is measured ---

    def quantity(self, traffic: Traffic) -> OwnQuantity | None:
        """The quantity that it measures with this traffic; None of tools whose columns say it."""
        return self.measures

    def problems(self, tree: Tree) -> Iterator[Problem]:
        """What is wrong with a spec that uses it, beside what its schema refuses."""
        name = tool_named_in(tree)
        yield from packet_sizes(tree, name, self.packet_sizes, self.sizes_instead)
        if not self.traceable and "trace" in tree.entries:
            yield Problem("Traces and profiles need the tool iperf3. Remove trace.", tree.keys["trace"])
        if not self.traceable and "sample_every" in tree.entries:
            what = "Nothing is sampled during the loads of this tool. Remove sample_every."
            yield Problem(what, tree.keys["sample_every"])
        if not (self.traceable or self.probed) and "probes" in tree.entries:
            yield Problem("Nothing runs beside the loads of this tool. Remove probes.", tree.keys["probes"])

    def outdated(self, versions: Mapping[str, str | None]) -> str:
        """Why its programs are too old on a host, a sentence without a period; empty if they are not.

        ``versions``: what programs print of their version, by name; None of one that is not there."""
        return ""

    # --- over tunnels that are ready ---

    def largest_packet(self, levels: "Cell") -> int | None:
        """Bytes of the IP packet that must pass whole before it begins; None for any."""
        return None

    def prepare(self, attempt: "Attempt") -> Jobs:
        """What the hosts are to run in a trial. Raises AgentFailure where they lack what it needs."""
        traffic = attempt.trial.traffic
        return Jobs(self.servers(attempt), lambda: self.clients(attempt), traffic.warm_up_s, traffic.duration_s)

    def servers(self, attempt: "Attempt") -> "Sequence[Job]":
        """Its servers, of `server`."""
        return ()

    def clients(self, attempt: "Attempt") -> "Sequence[Job]":
        """Its clients, of `client`."""
        raise NotImplementedError

    def read(self, attempt: "Attempt", processes: "Processes") -> Reading:
        """What the processes printed: {name: {"status", "out", "err"}}. Raises BadReport where that is no number."""
        raise NotImplementedError

    def run(self, attempt: "Attempt") -> None:
        """Measure; the outcome gets measurements, probes and a verdict.

        Raises BadReport where a report is no number, and TestbedError where a host does not answer.
        """
        from orchestrator.measure.evaluating import evaluate
        from orchestrator.measure.latency import beside_traffic

        driven = self.prepare(attempt).drive(attempt)
        if driven.echoes is not None:
            attempt.outcome.measurements["latency"] = [beside_traffic(driven.echoes)]
        evaluate(attempt, driven, self.read(attempt, driven.processes), self.quantity(attempt.trial.traffic))

    def clean_up(self, attempt: "Attempt") -> None:
        """Remove what it left in the hosts, whether or not the trial was ok. Raises TestbedError."""
