# SPDX-License-Identifier: Apache-2.0
"""Notebooks and their text pairs. The .py file is the source; the .ipynb is made from it and holds no outputs."""

from pathlib import Path

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


def write_pairs(folder: Path) -> list[Path]:
    """Write the .ipynb of every text notebook in ``folder`` next to it, and return their paths."""
    written = []
    for source in sorted(folder.glob("*.py")):
        target = source.with_suffix(".ipynb")
        target.write_text(pair(source), encoding="utf-8")
        written.append(target)
    return written
