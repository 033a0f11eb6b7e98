# SPDX-License-Identifier: Apache-2.0
"""Flame graphs as self-contained SVG files. After Gregg, The Flame Graph, CACM 59(6), 2016."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape

from orchestrator.analysis.profiles.samples import Profile
from orchestrator.analysis.profiles.stages import (
    DECRYPT,
    ENCRYPT,
    ENDS,
    FORWARDING,
    GENERATOR,
    IDLE,
    OTHER,
    POLL,
    SCHEDULING,
    SERVER,
    STAGES,
    TRANSMIT,
    WAITING,
    stage_of,
)

# Okabe and Ito's colours, as elsewhere, lighter for the second of two related stages.
COLOURS = {
    GENERATOR: "#999999",
    FORWARDING: "#56b4e9",
    ENCRYPT: "#d55e00",
    TRANSMIT: "#e69f00",
    DECRYPT: "#0072b2",
    POLL: "#009e73",
    SERVER: "#cccccc",
    ENDS: "#b3b3b3",
    SCHEDULING: "#cc79a7",
    OTHER: "#f0e442",
    WAITING: "#dddddd",
    IDLE: "#ffffff",
}
_WIDTH, _ROW, _LEAST = 1180.0, 17, 0.4  # pixels; a function narrower than _LEAST is left out
_CHARACTER = 6.6  # pixels


@dataclass
class _Node:
    """A function in a call tree. ``ns``: including everything that it called; ``stages``: {stage: ns}."""

    name: str
    ns: int = 0
    stages: dict[str, int] = field(default_factory=dict)
    below: dict[str, "_Node"] = field(default_factory=dict)

    def add(self, stage: str, ns: int) -> None:
        self.ns += ns
        self.stages[stage] = self.stages.get(stage, 0) + ns

    def child(self, name: str) -> "_Node":
        return self.below.setdefault(name, _Node(name))

    @property
    def stage(self) -> str:
        """Return the stage with most of its time."""
        return max(self.stages, key=lambda name: self.stages[name])


def flame_graph(profile: Profile) -> str:
    """Return the flame graph of a profile as SVG, without sleep.

    Widths are CPU time. Callers are below the functions that they call, with roles (or hosts) at the bottom. The colour
    of a function is that of its stage, and a tooltip shows its time.
    """
    root = _tree(profile)
    depth = _depth(root)
    height = (depth + 3) * _ROW + 8
    title = f"{profile.key}: {root.ns / 1e9:.3g} s of CPU time in {profile.seconds:.3g} s"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH + 20:.0f} {height}" role="img" '
        f'font-family="sans-serif" font-size="11"><title>{escape(title)}</title>',
        f'<rect width="100%" height="{height}" fill="#ffffff"/>',
        f'<text x="10" y="14" font-size="13" fill="#000000">{escape(title)}</text>',
        *_legend(root),
    ]
    if root.ns:
        parts += _drawn(root, 10.0, 0, height - 6, _WIDTH / root.ns, root.ns)
    return "\n".join([*parts, "</svg>\n"])


def _tree(profile: Profile) -> _Node:
    root = _Node("all")
    for stack in profile.stacks:
        stage = stage_of(stack.role, stack.task, stack.calls)
        if stage == IDLE:
            continue
        node = root
        node.add(stage, stack.ns)
        for name in (stack.role or stack.host, stack.task, *stack.calls):
            node = node.child(name)
            node.add(stage, stack.ns)
    return root


def _depth(node: _Node) -> int:
    return 1 + max((_depth(child) for child in node.below.values()), default=0)


def _legend(root: _Node) -> Iterator[str]:
    x = 10.0
    for stage in STAGES:
        if stage in root.stages:
            words = f"{stage} {root.stages[stage] / root.ns:.0%}"
            yield f'<rect x="{x:.0f}" y="21" width="10" height="10" fill="{COLOURS[stage]}" stroke="#777777"/>'
            yield f'<text x="{x + 14:.0f}" y="30" fill="#000000">{escape(words)}</text>'
            x += 26 + _CHARACTER * len(words)


def _drawn(node: _Node, left: float, level: int, bottom: int, scale: float, total: int) -> Iterator[str]:
    width = node.ns * scale
    if width < _LEAST:
        return
    y = bottom - (level + 1) * _ROW
    told = escape(f"{node.name}: {node.ns / 1e6:,.1f} ms, {node.ns / total:.1%}")
    room = int((width - 4) / _CHARACTER)
    label = node.name if len(node.name) <= room else f"{node.name[: room - 2]}.." if room > 4 else ""
    ink = "#ffffff" if level and node.stage == DECRYPT else "#000000"
    text = f'<text x="{left + 2:.1f}" y="{y + 12}" fill="{ink}">{escape(label)}</text>' if label else ""
    colour = "#e8e8e8" if level == 0 else COLOURS[node.stage]
    box = f'<rect x="{left:.1f}" y="{y}" width="{width:.1f}" height="{_ROW - 1}" fill="{colour}"/>'
    yield f"<g><title>{told}</title>{box}{text}</g>"
    for child in sorted(node.below.values(), key=lambda child: -child.ns):
        yield from _drawn(child, left, level + 1, bottom, scale, total)
        left += child.ns * scale
