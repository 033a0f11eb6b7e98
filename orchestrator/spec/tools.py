# SPDX-License-Identifier: Apache-2.0
"""The tool that a spec chooses with ``traffic.tool``: a name, or the path of a file or folder."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.extensions import Extension
from orchestrator.spec.document import Mapping, Scalar
from orchestrator.spec.known_tools import TOOLS, any_traffic, own_tool
from orchestrator.spec.problems import Problem, nearest
from orchestrator.spec.tool_checks import foreign_keys, tool_named_in
from orchestrator.spec.traffic import Traffic


@dataclass(frozen=True)
class Choice:
    """The tool of a spec. ``schema``: the model of its traffic; ``tool``: an `orchestrator.tools.Tool`; ``extension``:
    its origin, if it is from outside this program; ``trouble``: why there is no tool, in which case the other two are
    None."""

    schema: type[Traffic]
    tool: Any = None
    extension: Extension | None = None
    trouble: Problem | None = None

    def applied(self, traffic: Traffic) -> Traffic:
        """Return a spec's traffic as measured by this tool."""
        return traffic if self.extension is None else traffic.with_tool(self.extension.name, self.tool, self.extension)

    def problems(self, tree: Mapping) -> Iterator[Problem]:
        """Yield the problems that the tool finds in a resolved spec, apart from keys of other tools."""
        if self.tool is not None and isinstance(tree.entries.get("traffic"), Mapping):
            yield from self.tool.problems(tree)

    def foreign(self, tree: Mapping) -> list[Problem]:
        """Return the problems with keys of other tools in a resolved spec's traffic."""
        traffic = tree.entries.get("traffic")
        if self.tool is None or not isinstance(traffic, Mapping):
            return []
        return list(foreign_keys(traffic, tool_named_in(tree), self.schema))


def tool_chosen(tree: Mapping, folder: Path) -> Choice:
    """Return the tool of a resolved spec. ``folder``: the spec's, to which a path is relative."""
    traffic = tree.entries.get("traffic")
    node = traffic.entries.get("tool") if isinstance(traffic, Mapping) else None
    name = node.value if isinstance(node, Scalar) else None
    if node is not None and not isinstance(name, str):
        return Choice(any_traffic())  # the wrong type is reported elsewhere
    name = tool_named_in(tree)
    try:
        found = TOOLS.find(name, folder)
        if found is None:
            near = nearest(name, TOOLS.names)
            hint = f" Did you mean {near}?" if near else ""
            raise UserError(f"traffic.tool: {name} is not one of {', '.join(TOOLS.names)}.{hint}")
        if not found.foreign:
            tool = own_tool(name)
            return Choice(tool.schema, tool)
        tool = TOOLS.load(found)
        return Choice(tool.schema, tool, found)
    except UserError as error:
        assert node is not None
        return Choice(any_traffic(), trouble=Problem(str(error), node.span))
