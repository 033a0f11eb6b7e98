# SPDX-License-Identifier: Apache-2.0
"""Figures as PDF embed the parts of a font that a reader needs, and no more."""

import contextlib
import io
import re
import zlib
from pathlib import Path

from fontTools.ttLib import TTFont, TTLibError

from orchestrator.analysis import figures
from orchestrator.analysis.dataset import load
from tests.unit.synthetic_run import write_run


def test_the_letters_are_embedded_without_the_tables_that_place_them(tmp_path: Path) -> None:
    data = figures.throughput_tunnels(load(write_run(tmp_path, rounds=2))).rendered("pdf")
    fonts = []
    for match in re.finditer(rb"stream\r?\n", data):
        with contextlib.suppress(zlib.error, TTLibError):
            fonts.append(TTFont(io.BytesIO(zlib.decompressobj().decompress(data[match.end() :]))))
    assert fonts
    assert max(map(_outlines, fonts)) > 10
    for font in fonts:
        assert not {"GSUB", "GPOS", "GDEF", "kern"} & set(font.keys())
        assert _outlines(font)


def _outlines(font: TTFont) -> int:
    return sum(font["glyf"][name].numberOfContours > 0 for name in font.getGlyphOrder())
