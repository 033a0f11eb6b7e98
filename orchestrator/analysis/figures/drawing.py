# SPDX-License-Identifier: Apache-2.0
"""A figure with its name and caption, and how it is written: the same bytes for the same data."""

import base64
import html
import io
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl

from orchestrator.analysis.figures import numbers
from orchestrator.analysis.figures.style import STYLE
from orchestrator.store.files import replace_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("pdf", "png", "svg")
_WITHOUT_DATE = {"pdf": {"CreationDate": None}, "png": {}, "svg": {"Date": None}}


@dataclass
class Drawing:
    """``name``: the file name's stem, which is stable. ``notes``: the sentences of the caption."""

    name: str
    title: str
    figure: "Figure"
    notes: list[str] = field(default_factory=list)

    @property
    def caption(self) -> str:
        """Title and notes as one paragraph."""
        return " ".join([f"{self.title}.", *self.notes])

    def rendered(self, format: str) -> bytes:
        """The figure as pdf, png or svg; the marks of an svg carry their numbers."""
        buffer = io.BytesIO()
        with mpl.rc_context(STYLE):
            self._fix_layout()
            texts = numbers.name_marks(self.figure)
            self.figure.savefig(buffer, format=format, dpi=300, metadata=_WITHOUT_DATE[format])
        data = buffer.getvalue()
        return numbers.with_titles(data, texts, self._foot_pt()) if format == "svg" else data

    def _foot_pt(self) -> float:
        """How much of the figure's height the text at its foot takes, in points."""
        feet = [text for text in self.figure.texts if text.get_gid() == numbers.FOOTER]
        return max((text.get_window_extent().y1 / self.figure.dpi * 72 + 2 for text in feet), default=0.0)

    def _fix_layout(self) -> None:
        """Lay out once, and round: the solver's last digits differ from process to process."""
        if self.figure.get_layout_engine() is None:
            return
        self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")
        for axes in self.figure.axes:
            left, bottom, width, height = (round(float(value), 5) for value in axes.get_position().bounds)
            axes.set_position((left, bottom, width, height))

    @cached_property
    def png(self) -> bytes:
        """The figure as PNG, 300 dots an inch."""
        return self.rendered("png")

    def save(self, folder: Path | str) -> None:
        """Write NAME.pdf, NAME.png, NAME.svg and the caption NAME.txt into ``folder``, each atomically."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for format in FORMATS:
            replace_file(folder / f"{self.name}.{format}", self.png if format == "png" else self.rendered(format))
        replace_file(folder / f"{self.name}.txt", self.caption + "\n")

    def _repr_html_(self) -> str:
        data = base64.b64encode(self.png).decode()
        width = int(self.figure.get_size_inches()[0] * 144)
        alt = html.escape(self.caption, quote=True)
        return (
            f'<img src="data:image/png;base64,{data}" alt="{alt}" style="width:{width}px;max-width:100%;'
            f'background:white"><p style="max-width:{width}px"><small>{html.escape(self.caption)}</small></p>'
        )
