# SPDX-License-Identifier: Apache-2.0
"""Requests about the MTU of the roles' links and of the paths between them."""

from __future__ import annotations

import dataclasses
import typing

from orchestrator.agent.messages import Nothing, Request


class WideLinks(typing.TypedDict):
    """Links whose MTU is to be at least ``mtu`` bytes."""

    devices: list[str]
    mtu: int


@dataclasses.dataclass
class WidenLinksRequest(Request[Nothing]):
    """Raise the MTU of each role's links that is smaller than requested, until `NarrowLinksRequest`."""

    operation = "widen_links"
    roles: typing.Mapping[str, WideLinks]


@dataclasses.dataclass
class NarrowLinksRequest(Request[Nothing]):
    """Set each MTU that was raised back to what it was."""

    operation = "narrow_links"


@dataclasses.dataclass
class ForgetPathsRequest(Request[Nothing]):
    """Make roles forget the MTUs of paths that they have discovered. ``ipv6``: also those of IPv6."""

    operation = "forget_paths"
    roles: typing.Sequence[str]
    ipv6: bool
