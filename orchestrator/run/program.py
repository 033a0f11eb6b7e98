# SPDX-License-Identifier: Apache-2.0
"""The part of this program that measures: the files that a trial reaches through imports, and the packages.

A name that a package re-exports, such as ``Limits`` of `orchestrator.spec`, leads to the file that defines it, not to
every file of the package: so a new figure or command does not count as a change of the measurement.
"""

import ast
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

from orchestrator.hashing import hash_files
from orchestrator.listing import sources_below
from orchestrator.paths import CHECKOUT, PLAYBOOKS
from orchestrator.spec import PROVIDERS, SYSTEMS, TOOLS

_PACKAGE = "orchestrator"
# The entry points of work on a testbed and on its hosts, and the modules that only a registry names.
_REGISTRIES = (PROVIDERS, SYSTEMS, TOOLS)
_ROOTS = (
    f"{_PACKAGE}.run.worker",
    f"{_PACKAGE}.agent.agent",
    *(module for registry in _REGISTRIES for module in registry.own.values()),
)
# Beside the imports and the playbooks: files that are started or sent by path.
_FOLDER = "testbed"


@cache
def program_files() -> tuple[Path, ...]:
    """Return the files that take part in a measurement, sorted."""
    found = set(_modules().values())
    for folder in (PLAYBOOKS, CHECKOUT / _PACKAGE / _FOLDER):
        found.update(sources_below(folder))
    return tuple(sorted(found))


def program_hash() -> str:
    """Return a hash of all files that take part in a measurement (16 hexadecimal digits)."""
    return hash_files(program_files(), CHECKOUT)[:16]


@cache
def program_packages() -> dict[str, str]:
    """Return the versions of the packages that these files import, by distribution name."""
    distributions = metadata.packages_distributions()
    files = [path for module, path in _modules().items() if module != _PACKAGE]
    names = {module.split(".")[0] for path in files for module, _ in _imports(path)}
    found = {distribution for name in names - {_PACKAGE} for distribution in distributions.get(name, ())}
    return {name: metadata.version(name) for name in sorted(found)}


@cache
def _modules() -> dict[str, Path]:
    """Return the modules that the roots lead to: {name: file}."""
    found: dict[str, Path] = {}
    ahead = list(_ROOTS)
    while ahead:
        module = ahead.pop()
        path = _file_of(module)
        if path is None or module in found:
            continue
        found[module] = path
        if module == _PACKAGE:
            continue  # its __init__.py offers notebooks what reads results, which does not measure
        for source, name in _imports(path):
            ahead += _targets(source, name)
    return found


def _file_of(module: str) -> Path | None:
    base = CHECKOUT.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def _targets(module: str, name: str) -> list[str]:
    """Return the modules to which importing a name from a module of this package leads."""
    if module.split(".")[0] != _PACKAGE:
        return []
    if not name:
        return [module]
    if _file_of(f"{module}.{name}"):
        return [f"{module}.{name}"]
    path = _file_of(module)
    if path is not None and path.name == "__init__.py":
        handed_on = [source for source, other in _imports(path) if other == name]
        if handed_on:
            return [target for source in handed_on for target in _targets(source, name)]
    return [module]


@cache
def _imports(path: Path) -> tuple[tuple[str, str], ...]:
    """Return (module, name) of each import in a file, also inside functions; the name is empty if the module itself is
    imported. Imports under TYPE_CHECKING are left out."""
    found: list[tuple[str, str]] = []
    for node in _nodes(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [(node.module, alias.name) for alias in node.names]
    return tuple(found)


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            for other in child.orelse:
                yield other
                yield from _nodes(other)
            continue
        yield child
        yield from _nodes(child)
