# SPDX-License-Identifier: Apache-2.0
"""The interface of a system under test: its variants' settings, how its tunnels are made, and checks after traffic."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.programs import Program
from orchestrator.spec.fields import expected
from orchestrator.spec.overhead import Overhead

if TYPE_CHECKING:
    from orchestrator.kernel.variants import Variant
    from orchestrator.measure.layout import Net
    from orchestrator.spec.variants import VariantEntry
    from orchestrator.testbed.protocol import OpenTestbed

_DEVICES = re.compile(r"([a-z][a-z0-9-]{0,9})?")  # a number follows, and Linux allows 15 bytes


@dataclass(frozen=True)
class SystemReport:
    """The report of a system after a trial's traffic.

    ``crypto``: the code that encrypted, as the kernel names it, None if unknown; ``measurements``: what an attempt
    stores, as JSON values; ``marks``: sentences that mark the attempt.
    """

    crypto: str | None = None
    measurements: Mapping[str, Any] = field(default_factory=dict)
    marks: Sequence[str] = ()


class System:
    """A system under test.

    A built-in system is the ``SYSTEM`` of a module of `orchestrator.systems`. An external one is the ``SYSTEM`` of the
    file or folder that a variant's ``system`` names, or of a package's entry point in the group ``orch.systems``.

    ``label``: its name in text; ``devices``: the prefix of its tunnel devices' names on the gateways, empty where it
    has no tunnels; ``rekeys``: whether keys are renewed after some time; ``counts_losses``: whether its devices count
    every packet that they drop, so that pktgen can say where packets were lost; ``shares_device``: whether one device
    can have all tunnels (``tunnel.device`` shared); ``roams``: whether a gateway follows its peer to another UDP port
    (``tunnel.roam_every``); ``programs``: what hosts need in addition to what every trial needs; ``kernel_modules``:
    what the gateways' kernels need, built in or as a module, by the names that modprobe takes. The preflight check of
    hosts that are reached by SSH looks for both. ``overhead``: what it adds to each packet.
    """

    label: str = ""
    devices: str = ""
    rekeys: bool = False
    counts_losses: bool = False
    shares_device: bool = False
    roams: bool = False
    programs: tuple[Program, ...] = ()
    kernel_modules: tuple[str, ...] = ()
    overhead: Overhead = Overhead()

    def faults(self) -> Iterator[str]:
        """Yield clauses on what it lacks to be a system from outside this program."""
        if not self.label:
            yield "it has no label"
        if type(self).create is System.create:
            yield "it has no method create"
        if not _DEVICES.fullmatch(self.devices):
            yield f"devices is {self.devices!r}, not at most 10 lower-case letters and digits, the first a letter"
        overhead: Any = self.overhead
        if not isinstance(overhead, Overhead):
            yield "overhead is not an Overhead"

    def check(self, entry: "VariantEntry") -> None:
        """Refuse an invalid variant, by raising `orchestrator.spec.fields.expected`.

        By default a variant may have no settings, builds or code.
        """
        refuse_code(entry, self.label)
        if entry.settings:
            raise expected("no settings", because=f"{self.label} has no setting {next(iter(entry.settings))}")

    def describe(self, settings: Mapping[str, str]) -> str:
        """Return a description of a variant with these settings, for the report."""
        more = ", ".join(f"{key} = {value}" for key, value in sorted(settings.items()))
        return f"{self.label}{f', {more}' if more else ''}"

    def load(self, testbed: "OpenTestbed", variant: "Variant") -> str | None:
        """Load what the variant needs into the kernels of both gateways, and return its module's build ids.

        Returns None for a system without a module.
        """
        return None

    def create(self, testbed: "OpenTestbed", net: "Net", tunnels: int, variant: "Variant | None") -> None:
        """Create ``tunnels`` tunnels between the gateways, with new keys and the routes into them.

        Raises TestbedError.
        """
        raise NotImplementedError

    def report(
        self, testbed: "OpenTestbed", variant: "Variant | None", logs: Mapping[str, Mapping[str, Any]]
    ) -> SystemReport:
        """Return what the system reports after the traffic.

        ``logs``: the answers of the agent's operation ``kernel_log``, by host. Raises AgentFailure if the tunnels did
        not do their job.
        """
        return SystemReport()


def refuse_code(entry: "VariantEntry", who: str) -> None:
    """Refuse a variant that has a build or code. ``who``: the subject of the reason's sentence."""
    if other := sorted(entry.model_fields_set & {"build", "patches", "source"}):
        raise expected("system and settings only", because=f"{who} has no {other[0]}")


def make_devices(testbed: "OpenTestbed", net: "Net", tunnels: int, lines: Mapping[str, Sequence[str]]) -> None:
    """Create tunnels by ip-batch lines (ip(8)) in each gateway's namespace, and route their traffic into them.

    ``lines``: {gateway: lines}, which create a device with the name ``net.device(i)`` for each tunnel i.
    """
    from orchestrator.agent.network_messages import IpTunnels, IpTunnelsRequest
    from orchestrator.measure import requests
    from orchestrator.measure.roles import ask_roles

    wanted: dict[str, IpTunnels] = {
        gateway: {
            "lines": [*mine, *(f"link set {net.device(i)} up mtu {net.mtu}" for i in range(1, tunnels + 1))],
            "devices": [net.device(i) for i in range(1, tunnels + 1)],
            "routes": requests.tunnel_routes(net, gateway, tunnels),
        }
        for gateway, mine in lines.items()
    }
    ask_roles(testbed, wanted, IpTunnelsRequest, 30 + tunnels)
