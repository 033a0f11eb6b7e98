# SPDX-License-Identifier: Apache-2.0
"""Notebooks: those of orch with their text pairs, and those of users.

Of a pair the .py file is the source; the .ipynb is made from it and holds no outputs.
"""

from collections.abc import Iterable
from pathlib import Path

from orchestrator import paths
from orchestrator.errors import UserError
from orchestrator.listing import ending_in
from orchestrator.spec.catalog import known_notebooks
from orchestrator.spec.own_files import is_own_notebook, read_notebook

# In the environment of an executed notebook, this makes `Drawing.save`, which it calls, also write PDFs.
WITH_PDF = "ORCH_FIGURES_AS_PDF"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
_METADATA = {
    "kernelspec": KERNEL,
    "language_info": {"name": "python"},
    "jupytext": {"formats": "ipynb,py:percent"},
}


def pair(source: Path) -> str:
    """Return the .ipynb for a text file in jupytext's percent format; the same text for the same source."""
    import jupytext
    import nbformat

    notebook = jupytext.read(source, fmt="py:percent")
    notebook.metadata = nbformat.from_dict(_METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells, 1):
        cell["id"] = f"cell-{number:02d}"  # jupytext's are random
    return str(nbformat.writes(notebook)) + "\n"


def executable(source: Path) -> str:
    """Return a user's notebook as one that this interpreter can execute: in the current format, for its kernel.

    ``source``: a notebook of Jupyter (.ipynb), or one as text in a format of jupytext (.py). Raises UserError if it is
    neither.
    """
    import jupytext
    import nbformat

    try:
        text = source.read_text(encoding="utf-8-sig")
        notebook = jupytext.reads(text, "py") if source.suffix == ".py" else nbformat.reads(text, as_version=4)
        notebook.metadata |= nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
        return str(nbformat.writes(notebook)) + "\n"
    except (OSError, ValueError, LookupError, AttributeError, TypeError, nbformat.ValidationError) as error:
        raise UserError(f"is not a notebook that can be executed: {error}. Save it again in Jupyter") from error


def notebook_sources(names: Iterable[str | Path]) -> list[Path]:
    """Return the files of notebooks, each once: of orch's by name, and of your own by path.

    Raises UserError if there is no such notebook, if a file cannot be executed as one, or if two of them would have the
    same name in a run.
    """
    found: dict[str, Path] = {}
    for name in names:
        path = Path(name)
        if path.parent == paths.NOTEBOOKS and path.is_file():
            pass  # already found by its name
        elif isinstance(name, str) and not is_own_notebook(name):
            path = paths.NOTEBOOKS / f"{name}.ipynb"
            if not path.is_file():
                known = ", ".join(known_notebooks()) or "none"
                raise UserError(
                    f"The notebook {name} is not in {paths.NOTEBOOKS}. Known: {known}. Correct `notebooks:` in the "
                    "spec, or --notebook. A file of your own ends in .ipynb or .py."
                )
        else:
            read_notebook(path)
        if found.setdefault(path.stem, path) != path:
            raise UserError(f"{found[path.stem]} and {path} have the same name, which a run has only once. Rename one.")
    return list(found.values())


def write_pairs(folder: Path) -> list[Path]:
    """Write the .ipynb of every text notebook in ``folder`` next to it, and return their paths."""
    written = []
    for source in ending_in(folder, ".py"):
        target = source.with_suffix(".ipynb")
        target.write_text(pair(source), encoding="utf-8")
        written.append(target)
    return written
