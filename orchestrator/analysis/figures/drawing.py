# SPDX-License-Identifier: Apache-2.0
"""A figure with its name and caption, and how it is written: identical bytes for identical data."""

import base64
import html
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.text import Text

from orchestrator.analysis import background
from orchestrator.analysis.figures import numbers
from orchestrator.analysis.figures.style import STYLE
from orchestrator.analysis.notebooks import WITH_PDF
from orchestrator.store.files import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_APART_PT = 2.0  # smallest distance between two labels of an axis
_OF_FORMAT: dict[str, dict[str, Any]] = {
    "pdf": {"metadata": {"CreationDate": None}},
    "png": {"pil_kwargs": {"compress_level": 3}},  # half the time of the usual 6, and files are a few percent larger
    "svg": {"metadata": {"Date": None}},
}


@dataclass(repr=False)
class Drawing:
    """A figure with its name and caption. ``name``: the file name without extension, which is stable. ``notes``: the
    sentences of the caption."""

    name: str
    title: str
    figure: "Figure"
    notes: list[str] = field(default_factory=list)
    _in_background: Path | None = field(default=None, init=False)  # the PNG that is being drawn

    @property
    def caption(self) -> str:
        """Return title and notes as one paragraph."""
        return " ".join([f"{self.title}.", *self.notes])

    def rendered(self, format: str) -> bytes:
        """Return the figure as pdf, png or svg; in an svg, the marks carry their numbers."""
        buffer = io.BytesIO()
        with mpl.rc_context(STYLE):
            self._show_dollars()
            self._fix_layout()
            texts = numbers.name_marks(self.figure) if format == "svg" else {}
            with _bare_fonts() if format == "pdf" else nullcontext():
                self.figure.savefig(buffer, format=format, dpi=300, **_OF_FORMAT[format])
        data = buffer.getvalue()
        return numbers.with_titles(data, texts, self._foot_pt()) if format == "svg" else data

    def _show_dollars(self) -> None:
        """Show dollar signs in texts, such as a unit, as they are: matplotlib reads mathematics between two of them.
        Only its own texts at a logarithmic axis are mathematics."""
        for text in self.figure.findobj(Text):
            assert isinstance(text, Text)
            if "$" in text.get_text() and "\\mathdefault" not in text.get_text():
                text.set_parse_math(False)

    def _foot_pt(self) -> float:
        """Return the height of the text at the figure's foot, in points."""
        feet = [text for text in self.figure.texts if text.get_gid() == numbers.FOOTER]
        return max((text.get_window_extent().y1 / self.figure.dpi * 72 + 2 for text in feet), default=0.0)

    def _fix_layout(self) -> None:
        """Compute the layout once, and round it: the solver's last digits differ between processes."""
        engine = self.figure.get_layout_engine()
        if engine is None:
            return
        if self.figure.axes:
            engine.execute(self.figure)  # as drawing does first, and without the time that drawing takes
        for axes in self.figure.axes:
            _thin_labels(axes)
        self.figure.set_layout_engine(None)  # no placeholder either: with one, matplotlib draws everything again
        for axes in self.figure.axes:
            left, bottom, width, height = (round(float(value), 5) for value in axes.get_position().bounds)
            axes.set_position((left, bottom, width, height))

    @cached_property
    def png(self) -> bytes:
        """Return the figure as PNG, with 300 dots per inch."""
        return self.rendered("png")

    def save(self, folder: Path | str, *, pdf: bool | None = None) -> None:
        """Write NAME.png, NAME.svg and the caption NAME.txt into ``folder``, each atomically.

        ``pdf``: also write NAME.pdf, which doubles the time; by default as requested by `orch report --pdf`. Without
        it, a PDF of an earlier drawing is removed. In the notebooks of a report, a background process does this.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        pdf = bool(os.environ.get(WITH_PDF)) if pdf is None else pdf
        png = folder / f"{self.name}.png"
        if background.draw(str(png), lambda: self._write(folder, pdf=pdf)):
            self._in_background = png
        else:
            self._write(folder, pdf=pdf)

    def _write(self, folder: Path, *, pdf: bool) -> None:
        if not pdf:
            (folder / f"{self.name}.pdf").unlink(missing_ok=True)
        for format in ("png", "svg", *(["pdf"] * pdf)):
            data = self.png if format == "png" else self.rendered(format)
            replace_file(folder / f"{self.name}.{format}", data, synced=False)
        replace_file(folder / f"{self.name}.txt", self.caption + "\n", synced=False)

    def _repr_html_(self) -> str:
        """Return the figure for a notebook, with a caption of the sentences that are not in its foot."""
        if self._in_background:
            source = background.placeholder(self._in_background)
        else:
            source = f"data:image/png;base64,{base64.b64encode(self.png).decode()}"
        width = int(self.figure.get_size_inches()[0] * 144)
        foot = " ".join(text.get_text() for text in self.figure.texts if text.get_gid() == numbers.FOOTER)
        foot = " ".join(foot.split())
        caption = " ".join([f"{self.title}.", *(note for note in self.notes if note not in foot)])
        alt = html.escape(self.title, quote=True)
        return (
            f'<img src="{source}" alt="{alt}" style="width:{width}px;max-width:100%;'
            f'background:white"><p style="max-width:{width}px"><small>{html.escape(caption)}</small></p>'
        )

    def __repr__(self) -> str:
        return f"<Drawing {self.name}: {self.title}>"


@contextmanager
def _bare_fonts() -> Iterator[None]:
    """Embed fonts without the tables for placing glyphs, which no PDF reader uses, since matplotlib has placed them.

    Reducing those tables of DejaVu to a figure's letters takes most of the time of writing a PDF.
    """
    from fontTools.subset import Options

    before = getattr(Options, "_drop_tables_default", None)
    if before is None:  # another version of the library: slower, but correct
        yield
        return
    Options._drop_tables_default = [*before, "GDEF", "GPOS", "GSUB", "kern", "MATH"]
    try:
        yield
    finally:
        Options._drop_tables_default = before


def _thin_labels(axes: "Axes") -> None:
    """Hide the labels of the x axis that would touch the one before; the last label is kept instead of its
    neighbour."""
    shown: list[Text] = []
    labels = [label for label in axes.get_xticklabels() if label.get_text() and label.get_visible()]
    for label in labels:
        box = label.get_window_extent()
        least = box.x0 - _APART_PT * axes.figure.dpi / 72
        while label is labels[-1] and len(shown) > 1 and shown[-1].get_window_extent().x1 > least:
            shown.pop().set_visible(False)
        if shown and shown[-1].get_window_extent().x1 > least:
            label.set_visible(False)
        else:
            shown.append(label)
