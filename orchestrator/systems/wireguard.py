# SPDX-License-Identifier: Apache-2.0
"""WireGuard, by the build of the module that the variant loads.

Each tunnel has its own device with one peer; a shared device on gateway-b has a peer for each tunnel instead.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.spec.fields import expected
from orchestrator.spec.overhead import WIREGUARD_OVERHEAD
from orchestrator.spec.problems import did_you_mean
from orchestrator.spec.variants import OURS, SETTINGS
from orchestrator.systems.protocol import System, SystemReport

if TYPE_CHECKING:
    from orchestrator.kernel.variants import Variant
    from orchestrator.measure.layout import Net
    from orchestrator.spec.variants import VariantEntry
    from orchestrator.testbed.protocol import OpenTestbed


class WireGuard(System):
    """See `System`."""

    label = "WireGuard"
    devices = "wg"
    overhead = WIREGUARD_OVERHEAD
    rekeys = True
    counts_losses = True
    shares_device = True
    roams = True

    def check(self, entry: "VariantEntry") -> None:
        """Refuse settings that the variant's build lacks; a build with the user's own code may have others."""
        if entry.build not in SETTINGS:
            hint = did_you_mean(entry.build, SETTINGS)
            because = f"there is no build {entry.build}.{hint}".rstrip(".")
            raise expected(f"build: {' or '.join(SETTINGS)}", because=because)
        own = bool(entry.patches or entry.source)
        for name, value in entry.settings.items():
            values = SETTINGS[entry.build].get(name)
            if values is None and not own:
                hint = did_you_mean(name, SETTINGS[entry.build]).rstrip(".")
                known = ", ".join(SETTINGS[entry.build])
                raise expected(f"settings of {known}", because=f"{entry.build} has no setting {name}.{hint}")
            if values is not None and value not in values and (name in OURS or not own):
                raise expected(f"{name}: {' or '.join(values)}", because=f"{name} is {value}")

    def load(self, testbed: "OpenTestbed", variant: "Variant") -> str:
        """Load the variant's module into the kernels of both gateways; return its build id, or both if they differ."""
        from orchestrator.agent.host_messages import VariantRequest
        from orchestrator.measure.roles import placement_of
        from orchestrator.spec import GATEWAYS
        from orchestrator.testbed.remote import request_all

        wanted = {}
        for host in placement_of(testbed).hosts_of(GATEWAYS):
            module = testbed.module(variant.build, host)
            wanted[host] = VariantRequest(module.path, module.build_id, variant.settings)
        loaded = request_all(testbed.agents, wanted)
        return ", ".join(sorted({answer["build_id"] for answer in loaded.values()}))

    def create(self, testbed: "OpenTestbed", net: "Net", tunnels: int, variant: "Variant | None") -> None:
        """Create and configure the devices of ``tunnels`` tunnels, in kernels that have loaded the variant's module."""
        from orchestrator.agent.network_messages import PeersRequest, TunnelsRequest
        from orchestrator.measure import requests
        from orchestrator.measure.roles import ask_roles
        from orchestrator.spec import GATEWAYS

        assert variant is not None
        patience_s = 30 + 0.2 * tunnels
        made = ask_roles(testbed, requests.tunnel_devices(net, tunnels), TunnelsRequest, patience_s)
        keys = {role: public for answer in made.values() for role, public in answer["public_keys"].items()}
        pinned = {role: testbed.cpus[role] for role in GATEWAYS} if variant.pinned else None
        peers = requests.tunnel_peers(net, keys, variant.threaded, variant.settings, pinned)
        ask_roles(testbed, peers, PeersRequest, patience_s)

    def report(
        self, testbed: "OpenTestbed", variant: "Variant | None", logs: Mapping[str, Mapping[str, Any]]
    ) -> SystemReport:
        """Return which implementation of ChaCha20-Poly1305 gateway-a uses."""
        from orchestrator.measure.roles import placement_of
        from orchestrator.spec import GATEWAYS

        return SystemReport(crypto=logs[placement_of(testbed).host_of(GATEWAYS[0])]["crypto"])


SYSTEM = WireGuard()
