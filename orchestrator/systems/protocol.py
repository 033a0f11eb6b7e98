# SPDX-License-Identifier: Apache-2.0
"""What a system under test is: what its variants may say, how its tunnels are made, and what it is asked afterwards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.programs import Program
from orchestrator.spec.fields import expected

if TYPE_CHECKING:
    from orchestrator.kernel.variants import Variant
    from orchestrator.measure.layout import Net
    from orchestrator.spec.variants import Entry
    from orchestrator.testbed.protocol import Testbed


@dataclass(frozen=True)
class LookBack:
    """What a system says after a trial's traffic. ``crypto``: which code encrypted, in the kernel's words, None where
    nothing says so; ``measurements``: what an attempt keeps, as JSON values; ``marks``: sentences that mark it."""

    crypto: str | None = None
    measurements: Mapping[str, Any] = field(default_factory=dict)
    marks: Sequence[str] = ()


class System:
    """A system under test. One of this program is the ``SYSTEM`` of a module of `orchestrator.systems`; one of your
    own, that of a file or folder that a variant's ``system`` names, or of a package's entry point of the group
    ``orch.systems``.

    ``label``: what text calls it; ``devices``: how the names of its tunnels' devices begin on the gateways, empty where
    it has no tunnels; ``rekeys``: whether new keys are made after some time; ``counts_losses``: whether its devices
    count every packet that they drop, so that pktgen can say where packets were lost; ``shares_device``: whether one
    device can have all tunnels (``tunnel.device`` shared); ``roams``: whether a gateway follows the other one to
    another UDP port (``tunnel.roam_every``); ``programs``: what hosts must have beside what every trial needs;
    ``kernel_modules``: what the gateways' kernels must have, built in or as a module, by the names that modprobe takes.
    The preflight of hosts that are reached by SSH looks for both.
    """

    label: str = ""
    devices: str = ""
    rekeys: bool = False
    counts_losses: bool = False
    shares_device: bool = False
    roams: bool = False
    programs: tuple[Program, ...] = ()
    kernel_modules: tuple[str, ...] = ()

    def check(self, entry: "Entry") -> None:
        """Refuse a variant that it cannot be, with `orchestrator.spec.fields.expected`. By default it has no settings,
        no builds and no code."""
        refuse_code(entry, self.label)
        if entry.settings:
            raise expected("no settings", because=f"{self.label} has no setting {next(iter(entry.settings))}")

    def describe(self, settings: Mapping[str, str]) -> str:
        """What a variant of it is, for the report."""
        more = ", ".join(f"{key} = {value}" for key, value in sorted(settings.items()))
        return f"{self.label}{f', {more}' if more else ''}"

    def load(self, testbed: "Testbed", variant: "Variant") -> str | None:
        """Have what the variant needs in the kernels of both gateways; the build ids of its module, None without."""
        return None

    def create(self, testbed: "Testbed", net: "Net", tunnels: int, variant: "Variant | None") -> None:
        """Make so many tunnels between the gateways, with new keys and the routes into them. Raises TestbedError."""
        raise NotImplementedError

    def look_back(
        self, testbed: "Testbed", variant: "Variant | None", logs: Mapping[str, Mapping[str, Any]]
    ) -> LookBack:
        """What it says after the traffic. ``logs``: of the agent's operation ``kernel_log``, by host. Raises
        AgentFailure where the tunnels did not do what they are for."""
        return LookBack()

    def outer_bytes(self, inner_bytes: int) -> int:
        """The length of the IPv4 packet on the wire that carries an IP packet of ``inner_bytes``."""
        raise NotImplementedError


def refuse_code(entry: "Entry", who: str) -> None:
    """Refuse a variant that has a build or code. ``who``: what has none, the beginning of the reason."""
    if other := sorted(entry.model_fields_set & {"build", "patches", "source"}):
        raise expected("system and settings only", because=f"{who} has no {other[0]}")


def make_devices(testbed: "Testbed", net: "Net", tunnels: int, lines: Mapping[str, Sequence[str]]) -> None:
    """Make tunnels by ip-batch lines (ip(8)) in each gateway's namespace, and route each tunnel's traffic into its
    device. ``lines``: {gateway: lines}, which make a device with the name ``net.device(i)`` for each tunnel i."""
    from orchestrator.measure import requests
    from orchestrator.measure.roles import ask_roles

    wanted = {
        gateway: {
            "lines": [*mine, *(f"link set {net.device(i)} up mtu {net.mtu}" for i in range(1, tunnels + 1))],
            "devices": [net.device(i) for i in range(1, tunnels + 1)],
            "routes": requests.tunnel_routes(net, gateway, tunnels),
        }
        for gateway, mine in lines.items()
    }
    ask_roles(testbed, "ip_tunnels", wanted, 30 + tunnels, key="gateways")
