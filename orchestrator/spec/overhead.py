# SPDX-License-Identifier: Apache-2.0
"""The bytes that a system under test adds to each packet."""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.spec.fields import DEFAULT_MTU


@dataclass(frozen=True, slots=True)
class Overhead:
    """The length of the packets that carry IP packets through tunnels, which are padded and get headers.

    All in bytes. ``headers``: what is added after padding, from the outer IPv4 header to an authentication tag;
    ``trailer``: what is added before; ``multiple``: packets are padded to a multiple of this; ``within_mtu``: but not
    beyond the MTU of the tunnel.
    """

    headers: int = 0
    trailer: int = 0
    multiple: int = 1
    within_mtu: bool = False

    @classmethod
    def of(cls, recorded: Mapping[str, int]) -> "Overhead":
        """Return the overhead that `dataclasses.asdict` recorded in a run."""
        multiple = max(1, recorded["multiple"])
        return cls(recorded["headers"], recorded["trailer"], multiple, bool(recorded["within_mtu"]))

    def outer_bytes(self, inner_bytes: float, mtu: int = DEFAULT_MTU) -> float:
        """Return the length of the IPv4 packet on the wire that carries an IP packet. ``inner_bytes``: the length of
        that packet, or the mean of several; ``mtu``: of the tunnel."""
        padded = -(-(inner_bytes + self.trailer) // self.multiple) * self.multiple
        if self.within_mtu:
            padded = max(inner_bytes, min(padded, mtu))
        return self.headers + padded


# IPv4, UDP, the header from type to counter, and the tag; padding as in send.c of the kernel's module.
WIREGUARD_OVERHEAD = Overhead(20 + 8 + 16 + 16, multiple=16, within_mtu=True)
