# SPDX-License-Identifier: Apache-2.0
"""IPsec: the kernel's ESP in tunnel mode with static keys, an XFRM interface and a pair of SAs for each tunnel."""

import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.agent.network_messages import AssociationCounters, AssociationsRequest, IpsecRequest, IpsecTunnels
from orchestrator.kernel.variants import Variant
from orchestrator.measure import layout, requests
from orchestrator.measure.roles import ask_roles, placement_of
from orchestrator.spec import GATEWAYS
from orchestrator.spec.fields import expected
from orchestrator.spec.overhead import Overhead
from orchestrator.systems.protocol import System, SystemReport, refuse_code
from orchestrator.testbed.protocol import OpenTestbed
from orchestrator.testbed.remote import AgentFailure, request_all

if TYPE_CHECKING:
    from orchestrator.spec.variants import VariantEntry

# By the cipher's name in a variant: the kernel's algorithm, and the bytes of its key with 4 of salt (RFC 4106, 7634).
ALGORITHMS: Mapping[str, tuple[str, int]] = {
    "aes-128-gcm": ("rfc4106(gcm(aes))", 20),
    "aes-256-gcm": ("rfc4106(gcm(aes))", 36),
    "chacha20-poly1305": ("rfc7539esp(chacha20,poly1305)", 36),
}
REPLAY_WINDOW = 4096  # packets, the maximum of XFRM (XFRMA_REPLAY_ESN_MAX); WireGuard's is 8128
# IPv4, SPI and sequence number, initialization vector, integrity check value; the length of the padding and the next
# header. With each of the ciphers, packets are padded to a multiple of 4 bytes.
_OVERHEAD = Overhead(20 + 8 + 8 + 16, trailer=2, multiple=4)


class IPsec(System):
    """See `System`."""

    label = "IPsec"
    devices = "esp"
    overhead = _OVERHEAD
    kernel_modules = ("esp4", "xfrm_user", "xfrm_interface")

    def check(self, entry: "VariantEntry") -> None:
        """Refuse a variant unless its only setting is a known cipher, and it has no build or code."""
        refuse_code(entry, "ipsec is part of the kernel and")
        if set(entry.settings) != {"cipher"} or entry.settings["cipher"] not in ALGORITHMS:
            found = ", ".join(f"{name}: {value}" for name, value in entry.settings.items()) or "nothing"
            raise expected(f"settings: {{cipher: {' or '.join(ALGORITHMS)}}}", because=f"ipsec is given {found}")

    def describe(self, settings: Mapping[str, str]) -> str:
        return f"unmodified IPsec of the kernel, {settings.get('cipher')}"

    def create(self, testbed: OpenTestbed, net: layout.Net, tunnels: int, variant: Variant | None) -> None:
        """Create the tunnels. Their keys derive from a new secret, which exists only in the agents' memory."""
        assert variant is not None
        algorithm, key_bytes = ALGORITHMS[variant.settings["cipher"]]
        secret = secrets.token_hex(32)
        ask_roles(
            testbed,
            ipsec_tunnels(net, tunnels),
            lambda part: IpsecRequest(part, secret, algorithm, key_bytes, REPLAY_WINDOW),
            30 + 0.2 * tunnels,
        )

    def report(
        self, testbed: OpenTestbed, variant: Variant | None, logs: Mapping[str, Mapping[str, Any]]
    ) -> SystemReport:
        """Return what the SAs counted, and the driver that encrypted."""
        assert variant is not None
        found = count(testbed, variant)
        said = found.check()
        sums = {role: dict(row) for role, row in found.by_role.items()}
        return SystemReport(found.driver, {"security_associations": sums}, (said,) if said else ())


_OUTER = ("198.19.0.0/17", "198.19.128.0/17")  # outer addresses of IPsec tunnels, on sides a and b


def outer_address(gateway: str, tunnel: int) -> str:
    """Return the outer address of an IPsec tunnel at one gateway."""
    return str(ipaddress.ip_network(_OUTER[GATEWAYS.index(gateway)])[tunnel])


def ipsec_tunnels(net: layout.Net, tunnels: int) -> dict[str, IpsecTunnels]:
    """Return the arguments of the agent's operation ``ipsec``, by gateway.

    Each tunnel has its own pair of outer addresses, which spreads packets over receive queues even where a NIC hashes
    addresses only.
    """
    return {
        gateway: {
            "far": far,
            "lines": [
                f"route replace local {_OUTER[GATEWAYS.index(gateway)]} dev lo",
                f"route replace {_OUTER[GATEWAYS.index(far)]} via {layout.wan_address(far)} dev wan0",
            ],
            "families": list(net.versions),
            "routes": requests.tunnel_routes(net, gateway, tunnels),
            "tunnels": [
                {
                    "device": net.device(i),
                    "number": i,
                    "mtu": net.mtu,
                    "here": outer_address(gateway, i),
                    "there": outer_address(far, i),
                }
                for i in range(1, tunnels + 1)
            ],
        }
        for gateway, far in (GATEWAYS, GATEWAYS[::-1])
    }


@dataclass(frozen=True, slots=True)
class Counted:
    """The counters of the SAs of both gateways.

    ``driver``: the code that encrypts, as /proc/crypto calls it; ``by_role``: {gateway: {"packets", "bytes", "replay",
    "integrity"}}; ``silent``: ROLE/tunnel N of SAs without a packet.
    """

    driver: str
    by_role: Mapping[str, Mapping[str, int]]
    silent: tuple[str, ...]

    def check(self) -> str | None:
        """Return a sentence about packets that the replay windows refused, or None if there are none.

        Raises AgentFailure if an SA carried nothing, or if packets failed authentication.
        """
        if self.silent:
            raise AgentFailure(f"No ESP packet is counted for {', '.join(self.silent[:5])}, though traffic passed.")
        broken, replayed = (sum(row[what] for row in self.by_role.values()) for what in ("integrity", "replay"))
        if broken:
            raise AgentFailure(f"{broken} ESP packets did not authenticate: the ends have different keys.")
        return f"replay: the gateways refused {replayed} ESP packets as seen before or too old" if replayed else None


def count(testbed: OpenTestbed, variant: Variant) -> Counted:
    """Read the counters of all SAs on the gateways."""
    roles = placement_of(testbed).split(dict.fromkeys(GATEWAYS))
    algorithm, _ = ALGORITHMS[variant.settings["cipher"]]
    asked = {host: AssociationsRequest(list(here), algorithm) for host, here in roles.items()}
    told = request_all(testbed.agents, asked)
    rows: dict[str, list[AssociationCounters]] = {}
    for answer in told.values():
        rows |= answer["counted"]
    sums = {
        role: {what: sum(row[what] for row in found) for what in ("packets", "bytes", "replay", "integrity")}
        for role, found in rows.items()
    }
    silent = [f"{role}/tunnel {row['tunnel']}" for role, found in rows.items() for row in found if not row["packets"]]
    return Counted(", ".join(sorted({answer["driver"] for answer in told.values()})), sums, tuple(silent))


SYSTEM = IPsec()
