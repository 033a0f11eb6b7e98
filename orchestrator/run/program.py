# SPDX-License-Identifier: Apache-2.0
"""The part of this program that measures: the files that a trial comes to by its imports, and the packages.

A name that a package hands on, such as ``Limits`` of `orchestrator.spec`, leads to the file that has it, and not to all
that the package has: a new figure or command is no other measurement.
"""

import ast
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

from orchestrator.hashing import hash_files
from orchestrator.paths import CHECKOUT, PLAYBOOKS
from orchestrator.spec import PROVIDERS, SYSTEMS, TOOLS

_PACKAGE = "orchestrator"
# What is done on a testbed, here or by a worker, and on its hosts; and what no import names, but a registry.
_REGISTRIES = (PROVIDERS, SYSTEMS, TOOLS)
_ROOTS = (
    f"{_PACKAGE}.run.worker",
    f"{_PACKAGE}.agent.agent",
    *(module for registry in _REGISTRIES for module in registry.own.values()),
)
# Beside what is imported and the playbooks: what is started or sent by its path.
_FOLDER = "testbed"


@cache
def program_files() -> tuple[Path, ...]:
    """The files that take part in a measurement, sorted."""
    found = set(_modules().values())
    for folder in (PLAYBOOKS, CHECKOUT / _PACKAGE / _FOLDER):
        found |= {path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    return tuple(sorted(found))


def program_hash() -> str:
    """A hash over all of them."""
    return hash_files(program_files(), CHECKOUT)[:16]


@cache
def program_packages() -> dict[str, str]:
    """The versions of the packages that these files import, by the names of their distributions."""
    distributions = metadata.packages_distributions()
    files = [path for module, path in _modules().items() if module != _PACKAGE]
    names = {module.split(".")[0] for path in files for module, _ in _imports(path)}
    found = {distribution for name in names - {_PACKAGE} for distribution in distributions.get(name, ())}
    return {name: metadata.version(name) for name in sorted(found)}


@cache
def _modules() -> dict[str, Path]:
    """The modules that the roots come to: {name: file}."""
    found: dict[str, Path] = {}
    ahead = list(_ROOTS)
    while ahead:
        module = ahead.pop()
        path = _file_of(module)
        if path is None or module in found:
            continue
        found[module] = path
        if module == _PACKAGE:
            continue  # its front page, which offers notebooks what reads results
        for source, name in _imports(path):
            ahead += _targets(source, name)
    return found


def _file_of(module: str) -> Path | None:
    base = CHECKOUT.joinpath(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def _targets(module: str, name: str) -> list[str]:
    """The modules that an import of a name from a module of this package leads to."""
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
    """(module, name) of each import in a file, also inside functions; name is empty where the module itself is meant.
    Imports for a type checker alone are left out."""
    found: list[tuple[str, str]] = []
    for node in _nodes(ast.parse(path.read_text())):
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
