# SPDX-License-Identifier: Apache-2.0
"""Marks that carry their numbers: an SVG file shows them under the pointer in any browser, without a script."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary
from xml.etree import ElementTree

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

SVG = "http://www.w3.org/2000/svg"
for _prefix, _space in (("", SVG), ("xlink", "http://www.w3.org/1999/xlink")):
    ElementTree.register_namespace(_prefix, _space)
FOOTER, HEAD = "footer", "head"  # the ids of the texts at a sheet's foot and head
_TEXTS: "WeakKeyDictionary[Artist, list[str]]" = WeakKeyDictionary()


def carry(artist: "Artist", texts: Iterable[str]) -> None:
    """Attach one text to each point of a scatter, in order, or to a bar or text. Marks drawn as pixels get none."""
    _TEXTS[artist] = list(texts)


def carry_rows(artist: "Artist", rows: "pd.DataFrame", text: Callable[[Mapping[str, Any]], str]) -> None:
    """Attach to each point of a scatter the text of its row."""
    carry(artist, map(text, records(rows)))


def records(rows: "pd.DataFrame") -> list[dict[Any, Any]]:
    """Return the rows of a frame as `DataFrame.to_dict` does, in a fraction of the time for frames with many
    columns."""
    return [dict(zip(rows.columns, row, strict=True)) for row in rows.to_numpy(dtype=object).tolist()]


def name_marks(figure: "Figure") -> dict[str, list[str]]:
    """Give every artist that carries texts an id for the file, and return {id: texts}."""
    found = {}
    for number, artist in enumerate(figure.findobj(lambda artist: artist in _TEXTS)):
        if not artist.get_rasterized():
            artist.set_gid(f"numbers-{number}")
            found[f"numbers-{number}"] = _TEXTS[artist]
    return found


def with_titles(svg: bytes, texts: dict[str, list[str]], foot_pt: float) -> bytes:
    """Return a matplotlib SVG with a <title> in each mark, and the height of its footer in ``data-foot``."""
    root = ElementTree.fromstring(svg)
    for unused in root.findall(f"{{{SVG}}}metadata"):
        root.remove(unused)
    root.set("data-foot", f"{foot_pt:.1f}")
    for group in root.iter(f"{{{SVG}}}g"):
        mine = texts.get(group.get("id", ""))
        if mine is None:
            continue
        uses = list(group.iter(f"{{{SVG}}}use"))  # points, or the letters of a text, which has one title
        marks = [group] if len(mine) == 1 or not uses else uses
        if len(marks) == len(mine):  # no number is better than one on the wrong mark
            for mark, text in zip(marks, mine, strict=True):
                title = ElementTree.Element(f"{{{SVG}}}title")
                title.text = text
                mark.insert(0, title)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'.encode()


# Colours of style.py that a page replaces by its own, so that a figure fits its light and its dark look.
_OF_PAGE = {
    **dict.fromkeys(("#000000", "#222222", "#333333"), "ink"),
    **dict.fromkeys(("#444444", "#555555", "#767676", "#808080", "#9a9a9a"), "soft"),
    **dict.fromkeys(("#d9d9d9", "#e6e6e6"), "line"),
    "#ffffff": "paper",
    "#0072b2": "blue",
    "#d55e00": "vermilion",
    "#009e73": "green",
    "#8f3b76": "published",
}


def colour_on_page(colour: str) -> str:
    """Return the page's variable for a colour of a figure (#rrggbb), or the colour itself if there is none."""
    name = _OF_PAGE.get(colour.lower())
    return f"var(--{name})" if name else colour


def for_page(svg: bytes, name: str) -> tuple[str, float]:
    """Return the figure as an element of a page, and its width in points.

    It has its own ids, the page's colours for paper and ink, and no footer, since the page has the whole caption below
    it.
    """
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in [child for child in parent if child.get("id") == FOOTER or child.tag == f"{{{SVG}}}style"]:
            parent.remove(child)
            root.extend(child.iter(f"{{{SVG}}}defs"))  # the shapes of letters, which other texts also use
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "id":
                value = f"{name}-{value}"
            elif key.endswith("href") and value.startswith("#"):
                value = f"#{name}-{value[1:]}"
            elif "url(#" in value:
                value = value.replace("url(#", f"url(#{name}-")
            if key in ("style", "fill", "stroke"):
                value = re.sub(r"#[0-9a-fA-F]{6}\b", lambda found: colour_on_page(found[0]), value)
            element.set(key, value)
    left, top, width, height = (float(part) for part in root.get("viewBox", "0 0 1 1").split())
    height -= float(root.get("data-foot", "0"))
    root.attrib = {"viewBox": f"{left:g} {top:g} {width:g} {height:g}", "aria-hidden": "true"}
    text = ElementTree.tostring(root, encoding="unicode")
    return re.sub(r"\s*\n\s*", "\n", text).replace(f' xmlns="{SVG}"', ""), width
