# SPDX-License-Identifier: Apache-2.0
"""Notebooks and claims of your own, which a spec names by path and of which a run stores copies."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from orchestrator.errors import UserError
from orchestrator.spec import catalog
from orchestrator.spec.document import Items, Mapping, Node, Scalar, read_source
from orchestrator.spec.fields import expected
from orchestrator.spec.own_claims import read_own_claims
from orchestrator.spec.problems import Problem, Span, SpecError
from orchestrator.spec.variants import Variants, is_outside

PUBLISHED, NO_CLAIMS = "published", "none"
EXPLORING = "explore"  # the notebook that `orch notebook` makes in a run, which no other may replace
NOTEBOOK_ENDINGS = (".ipynb", ".py")
_CLAIMS_ENDINGS = (".yaml", ".yml")
_MOST_BYTES = 8 * 2**20  # for one notebook
# Part of the name of a socket, which must be short.
_STEM = re.compile(r"[A-Za-z0-9][\w.-]{0,39}", re.ASCII)


def is_own_notebook(name: str) -> bool:
    """Return whether a spec's or a command line's notebook is a file rather than the name of one of orch's."""
    return name.endswith(NOTEBOOK_ENDINGS)


def is_own_claims(value: str) -> bool:
    """Return whether a spec's ``claims`` is a file."""
    return value.endswith(_CLAIMS_ENDINGS)


def _claims(value: str) -> str:
    if value not in (PUBLISHED, NO_CLAIMS) and not is_own_claims(value):
        raise expected(f"{PUBLISHED}, {NO_CLAIMS}, or a file of your own claims, such as my-claims.yaml")
    return value


NotebookName = Annotated[
    str, Field(min_length=1, json_schema_extra={"pattern": r"^[a-z0-9][a-z0-9-]{0,63}$|\.(ipynb|py)$"})
]
ClaimsChoice = Annotated[
    str,
    AfterValidator(_claims),
    Field(json_schema_extra={"pattern": rf"^({PUBLISHED}|{NO_CLAIMS})$|\.ya?ml$"}),
]


def own_files_of_spec(tree: Mapping, folder: Path, variants: Variants) -> tuple[dict[str, bytes], list[Problem]]:
    """Return the contents of the notebooks and claims that a spec names by path, by path relative to ``folder``, and
    all errors in them. ``variants``: those of the spec's own variants file."""
    found: dict[str, bytes] = {}
    problems: list[Problem] = []
    stems: dict[str, str] = {}
    # None if the variants file has errors, which are reported.
    known = (*variants.names, *catalog.known_variants()) if variants.names or "variants" not in tree.entries else None
    for name, span in _texts(tree.entries.get("notebooks")):
        if not is_own_notebook(name):
            continue
        path, trouble = PurePosixPath(name), _outside(name)
        if not trouble and path.stem in stems and stems[path.stem] != path.as_posix():
            trouble = f"{name} and {stems[path.stem]} would both be notebooks/{path.stem}.ipynb in a run. Rename one."
        if not trouble:
            try:
                found[path.as_posix()] = read_notebook(folder / path)
            except UserError as error:
                trouble = str(error)
        stems[path.stem] = path.as_posix()
        problems += [Problem(trouble, span)] if trouble else []
    for name, span in _texts(tree.entries.get("claims")):
        if not is_own_claims(name):
            continue
        if trouble := _outside(name):
            problems.append(Problem(trouble, span))
            continue
        path = PurePosixPath(name)
        try:
            source = read_source(folder / path)
            read_own_claims(source, known)
            found[path.as_posix()] = source.text.encode()
        except SpecError as error:
            problems += error.problems
        except UserError as error:
            problems.append(Problem(str(error), span))
    return found, problems


def read_notebook(file: Path) -> bytes:
    """Return the content of a notebook: a file of Jupyter (.ipynb), or text in a format of jupytext (.py).

    Raises UserError if it cannot be read, is no notebook, or has a name that a run cannot give it.
    """
    if not _STEM.fullmatch(file.stem):
        raise UserError(
            f"{file.name}: a notebook's name has at most 40 letters, digits, dots, hyphens and underscores. Rename it."
        )
    if file.stem in (*catalog.known_notebooks(), EXPLORING):
        raise UserError(f"orch has a notebook {file.stem} itself, which {file.name} would replace. Rename yours.")
    try:
        content = file.read_bytes()
    except (OSError, ValueError) as error:
        raise UserError(
            f"Cannot read {file}: {getattr(error, 'strerror', None) or error}. Check the path of the notebook."
        ) from error
    if len(content) > _MOST_BYTES:
        raise UserError(f"{file} is larger than {_MOST_BYTES >> 20} MiB. Clear its outputs.")
    try:
        text = content.decode("utf-8-sig")
        if file.suffix == ".py":
            ast.parse(text)
            return content
        notebook: Any = json.loads(text)
    except SyntaxError as error:
        raise UserError(f"{file} is not Python: line {error.lineno}: {error.msg}. Correct it.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is not a notebook: {error}. Save it again in Jupyter.") from error
    version = notebook.get("nbformat") if isinstance(notebook, dict) else None
    if type(version) is not int or version < 4 or not isinstance(notebook.get("cells"), list):
        raise UserError(f"{file} is not a notebook in version 4 of Jupyter's format. Save it again in Jupyter.")
    return content


def _outside(name: str) -> str:
    if not is_outside(name):
        return ""
    return f"{name} is not below the folder of the spec. A run stores a copy of what is there; move it there."


def _texts(node: Node | None) -> Iterator[tuple[str, Span]]:
    for one in node.items if isinstance(node, Items) else [node]:
        if isinstance(one, Scalar) and isinstance(one.value, str) and one.value:
            yield one.value, one.span
