# SPDX-License-Identifier: Apache-2.0
"""Factors that are settings of hosts, such as ``settings.gateways.net.core.netdev_budget``, or of the links of roles,
such as ``nics.gateways.gro``. A path names the roles, then the setting."""

import re
from collections.abc import Iterator
from collections.abc import Mapping as Levels
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from orchestrator.spec.document import Items, Mapping, Node
from orchestrator.spec.factors import Level
from orchestrator.spec.problems import Problem
from orchestrator.spec.testbed import GATEWAYS, ROLES

# The roles that a path can name: {name: roles}.
WHO: dict[str, tuple[str, ...]] = {
    **{role: (role,) for role in ROLES},
    "gateways": GATEWAYS,
    "ends": ("client", "server"),
    "all": ROLES,
}
SETTINGS, NICS = "settings.", "nics."
SettingLevel = Annotated[
    int | Annotated[str, StringConstraints(pattern=r"^[ -~]+$", max_length=200)],
    Field(description="The value to write to the setting."),
]
FeatureLevel = Annotated[bool, Field(description="Whether the links have the feature.")]
NumberLevel = Annotated[int, Field(ge=0, le=2**31 - 1, description="The value of the setting, as for ethtool.")]
_NAME = re.compile(r"(/sys/[A-Za-z0-9_.:/-]+|[a-z0-9_-]+(\.[A-Za-z0-9_/-]+)+)")
_FEATURE = re.compile(r"[a-z0-9][a-z0-9-]*")
# Settings of links that are not features, by the agent's names. The queues are tuning.channels in the testbed file.
_NUMBERS = ("ring-rx", "ring-tx", "coalesce-rx-usecs", "coalesce-tx-usecs")
_NOT_FEATURES = ("channels",)
_ROLES = "|".join(WHO)
# The patterns of setting paths for the JSON Schema, each with an example path as its key.
PATTERNS = {
    f"{SETTINGS}all.net.core.netdev_budget": rf"^settings\.({_ROLES})\.{_NAME.pattern}$",
    f"{NICS}all.gro": rf"^nics\.({_ROLES})\.(?!({'|'.join((*_NUMBERS, *_NOT_FEATURES))})$){_FEATURE.pattern}$",
    f"{NICS}all.ring-rx": rf"^nics\.({_ROLES})\.({'|'.join(_NUMBERS)})$",
}


def parsed(path: str) -> tuple[tuple[str, ...], str] | None:
    """Return the roles and the setting of a factor's path; None if it is not the path of a setting. Settings of links
    are named nics/NAME."""
    if path.startswith(NICS):
        who, _, name = path.removeprefix(NICS).partition(".")
        good = who in WHO and _FEATURE.fullmatch(name) and name not in _NOT_FEATURES
        return (WHO[who], f"nics/{name}") if good else None
    if not path.startswith(SETTINGS):
        return None
    who, _, name = path.removeprefix(SETTINGS).partition(".")
    good = who in WHO and _NAME.fullmatch(name) and not any(part in (".", "..") for part in name.split("/"))
    return (WHO[who], name) if good else None


def level_of(path: str) -> Any:
    """Return the type of the levels of a setting, given its path."""
    if not path.startswith(NICS):
        return SettingLevel
    return NumberLevel if path.rpartition(".")[2] in _NUMBERS else FeatureLevel


def settings_paths(tree: Mapping) -> tuple[str, ...]:
    """Return the paths of the settings that are factors in a spec or in one of its tiers."""
    tiers = tree.entries.get("tiers")
    parts: list[Node] = [tree, *(tiers.entries.values() if isinstance(tiers, Mapping) else ())]
    found: dict[str, None] = {}
    for part in parts:
        factors = part.entries.get("factors") if isinstance(part, Mapping) else None
        if isinstance(factors, Mapping):
            found |= dict.fromkeys(path for path in factors.entries if parsed(path))
    return tuple(found)


def settings_by_role(levels: Levels[str, Level]) -> dict[str, dict[str, str]]:
    """Return the settings that a cell asks for: {role: {setting: value}}. Later paths of the cell take precedence over
    earlier ones."""
    found: dict[str, dict[str, str]] = {}
    for path, level in levels.items():
        roles, name = parsed(path) or ((), "")
        for role in roles:
            found.setdefault(role, {})[name] = ("off", "on")[level] if isinstance(level, bool) else str(level)
    return found


def unfit_settings(tree: Mapping) -> Iterator[Problem]:
    """Yield problems with setting paths that are invalid or name roles that the topology does not have."""
    factors, topology = tree.entries.get("factors"), tree.entries.get("topology")
    if not isinstance(factors, Mapping):
        return
    for path, span in factors.keys.items():
        if not path.startswith((SETTINGS, NICS)):
            continue
        meant = parsed(path)
        if meant is None and path.startswith(NICS):
            yield Problem(
                f"{path} is not a setting of links. The form is nics, then one of {', '.join(WHO)}, then a feature by "
                f"ethtool's name, such as nics.gateways.gro, or one of {', '.join(_NUMBERS)}.",
                span,
            )
        elif meant is None:
            yield Problem(
                f"{path} is not a setting of a host. The form is settings, then one of {', '.join(WHO)}, then a sysctl "
                "or a file in /sys, as in settings.gateways.net.core.netdev_budget.",
                span,
            )
        elif getattr(topology, "value", None) == "gateway-to-gateway" and not set(meant[0]) <= set(GATEWAYS):
            yield Problem(f"{path} names a role that topology gateway-to-gateway does not have. Use gateways.", span)
    extra = tree.entries.get("include")
    for cell in extra.items if isinstance(extra, Items) else ():
        entries = cell.entries if isinstance(cell, Mapping) else {}
        if missing := [path for path in factors.keys if parsed(path) and path not in entries]:
            yield Problem(f"This cell has no {missing[0]}, which is a factor. Add it.", cell.span)
