# SPDX-License-Identifier: Apache-2.0
"""IPsec: the kernel's ESP in tunnel mode with static keys, an XFRM interface and a pair of SAs for each tunnel."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.kernel.variants import Variant
from orchestrator.measure import layout
from orchestrator.measure.roles import placement_of
from orchestrator.spec import GATEWAYS
from orchestrator.testbed.protocol import Testbed
from orchestrator.testbed.remote import AgentFailure, together

# By the cipher's name in a variant: the kernel's algorithm, and the bytes of its key with 4 of salt (RFC 4106, 7634).
ALGORITHMS: Mapping[str, tuple[str, int]] = {
    "aes-128-gcm": ("rfc4106(gcm(aes))", 20),
    "aes-256-gcm": ("rfc4106(gcm(aes))", 36),
    "chacha20-poly1305": ("rfc7539esp(chacha20,poly1305)", 36),
}
REPLAY_WINDOW = 4096  # packets, the most that XFRM takes (XFRMA_REPLAY_ESN_MAX); WireGuard's is 8128
_HEADERS = 20 + 8 + 8 + 16  # IPv4, SPI and sequence number, initialization vector, integrity check value
_TRAILER = 2  # the length of the padding, and the next header


@dataclass(frozen=True, slots=True)
class IPsec:
    """See `orchestrator.systems.protocol.System`."""

    name: str = "ipsec"
    devices: str = "esp"
    rekeys: bool = False

    def load(self, testbed: Testbed, variant: Variant) -> None:
        """Nothing: ESP is the kernel's own."""
        del testbed, variant

    def create(self, testbed: Testbed, net: layout.Net, tunnels: int, variant: Variant) -> None:
        """Make so many tunnels. Their keys come from a new secret, which only the agents' memory has."""
        algorithm, key_bytes = ALGORITHMS[variant.settings["cipher"]]
        common = {"secret": secrets.token_hex(32), "algorithm": algorithm, "key_bytes": key_bytes}
        common["window"] = REPLAY_WINDOW
        split = placement_of(testbed).split(layout.ipsec_tunnels(net, tunnels))
        wanted = {host: {"gateways": part, **common} for host, part in split.items()}
        together(testbed.agents, "ipsec", wanted, 30 + 0.2 * tunnels)

    def outer_bytes(self, inner_bytes: int) -> int:
        """The packet with ESP's trailer is padded to a multiple of 4 bytes, with each of the ciphers."""
        return _HEADERS + -(-(inner_bytes + _TRAILER) // 4) * 4


@dataclass(frozen=True, slots=True)
class Counted:
    """What the SAs of both gateways counted. ``driver``: the code that encrypts, as /proc/crypto calls it; ``by_role``:
    {gateway: {"packets", "bytes", "replay", "integrity"}}; ``silent``: ROLE/tunnel N of SAs without a packet."""

    driver: str
    by_role: Mapping[str, Mapping[str, int]]
    silent: tuple[str, ...]

    def check(self) -> str | None:
        """A sentence on packets that the replay windows refused, None where there are none. Raises AgentFailure where
        an SA carried nothing, or packets did not authenticate."""
        if self.silent:
            raise AgentFailure(f"No ESP packet is counted for {', '.join(self.silent[:5])}, though traffic passed.")
        broken, replayed = (sum(row[what] for row in self.by_role.values()) for what in ("integrity", "replay"))
        if broken:
            raise AgentFailure(f"{broken} ESP packets did not authenticate: the ends have different keys.")
        return f"replay: the gateways refused {replayed} ESP packets as seen before or too old" if replayed else None


def count(testbed: Testbed, variant: Variant) -> Counted:
    """Read the counters of all SAs on the gateways."""
    roles = placement_of(testbed).split(dict.fromkeys(GATEWAYS))
    algorithm, _ = ALGORITHMS[variant.settings["cipher"]]
    asked = {host: {"roles": list(here), "algorithm": algorithm} for host, here in roles.items()}
    told = together(testbed.agents, "associations", asked, 30)
    rows: dict[str, list[dict[str, Any]]] = {}
    for answer in told.values():
        rows |= answer["counted"]
    sums = {
        role: {what: sum(row[what] for row in found) for what in ("packets", "bytes", "replay", "integrity")}
        for role, found in rows.items()
    }
    silent = [f"{role}/tunnel {row['tunnel']}" for role, found in rows.items() for row in found if not row["packets"]]
    return Counted(", ".join(sorted({answer["driver"] for answer in told.values()})), sums, tuple(silent))
