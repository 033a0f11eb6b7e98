# SPDX-License-Identifier: Apache-2.0
"""What a system under test offers a trial."""

from typing import Protocol

from orchestrator.kernel.variants import Variant
from orchestrator.measure.layout import Net
from orchestrator.testbed.protocol import Testbed


class System(Protocol):
    """``name``: as in variants; ``devices``: how the names of its tunnels' devices begin on the gateways; ``rekeys``:
    whether new keys are made after some time."""

    @property
    def name(self) -> str: ...

    @property
    def devices(self) -> str: ...

    @property
    def rekeys(self) -> bool: ...

    def load(self, testbed: Testbed, variant: Variant) -> str | None:
        """Have what the variant needs in the kernels of both gateways; the build ids of its module, None without."""
        ...

    def create(self, testbed: Testbed, net: Net, tunnels: int, variant: Variant) -> None:
        """Make so many tunnels between the gateways, with new keys and the routes into them."""
        ...

    def outer_bytes(self, inner_bytes: int) -> int:
        """The length of the IPv4 packet on the wire that carries an IP packet of ``inner_bytes``."""
        ...
