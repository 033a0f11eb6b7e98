# SPDX-License-Identifier: Apache-2.0
"""F5: the ratios that the paper's claims are about, with the published values and the accepted ranges."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from orchestrator.analysis.cells import values_of
from orchestrator.analysis.claims import ClaimEvidence, ClaimVerdict, load_claims, verify
from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import captions, numbers, parts
from orchestrator.analysis.figures.drawing import Drawing
from orchestrator.analysis.figures.style import BLACK, COLUMN_IN, GREY, PUBLISHED_COLOUR, STYLE
from orchestrator.analysis.stored import own_claims

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "f5-speed-ups-published"
TITLE = "The ratios that the claims are about, beside the published values"
_ROW_IN, _PLOT_PT, _SMALL_PT = 0.5, 155.0, 6.2  # row height, approximate axes width, font size of marks' names
_TICKS = (0.25, 0.5, 1, 2, 4, 8, 16, 32)
_BAND, _BAND_HEIGHT = 0.14, 0.72  # opacity of an accepted range, and its share of a row's height
_ARROW = 1.5  # end of an arrow as a multiple of the published bound


@dataclass(frozen=True)
class _Published:
    """A published value, drawn once for all rows (``first`` to ``last``) of a claim that share it.

    ``relation``: about, below or at least, as in the claim.
    """

    verdict: ClaimVerdict
    text: str
    value: float
    relation: str
    first: int
    last: int

    @property
    def y(self) -> float:
        """Return the height at which it is drawn."""
        return -(self.first + self.last) / 2


def published(run: Run) -> Drawing:
    """Return F5 of a run: a row for each ratio by which a claim is tested, measured and published, with the verdict."""
    found = [(v, e) for v in verify(run) for e in v.evidence if e.statistic == "ratio" and e.published_value]
    measured = [(v, e) for v, e in found if e.median is not None]
    if not measured:
        why = "the run has no valid trials of the cells that a claim is about."
        if own_claims(run) and not found:
            why = "none of the claims of its spec has a published ratio."
        return parts.nothing(run, NAME, TITLE, why)
    absent = [f"{v.claim} ({e.name})" for v, e in found if e.median is None]
    cells = {e.cores for _, e in measured if e.cores}
    at = f"{min(cells)}" if len(cells) == 1 else f"{min(cells)} to {max(cells)}"
    values = _once(measured, run)
    face = [
        f"{_marks(values)}: as published, for other hardware. Shaded: what the claim accepts.",
        f"Bars: medians measured here, with {at} cores; dots: pairs "
        f"({captions.sizes_in_words(e.n for _, e in measured)}); lines: "
        f"{captions.whiskers(e.interval for _, e in measured)}.",
        f"Without a number here: {', '.join(absent)}." if absent else "",
        captions.loss_note(run.planned, run.invalid, drawn=False),
        *captions.context_notes(run),
    ]
    claims_of: dict[str, dict[str, None]] = {}
    for verdict, _ in measured:
        claims_of.setdefault(verdict.source, {})[verdict.claim] = None
    sources = [f"{', '.join(claims)}: {source}" for source, claims in claims_of.items()]
    notes = [note for note in [*face, "Published values from:", "; ".join(sources) + "."] if note]
    by_name = {str(key): value for key, value in values_of(run, run.measured).items()}
    with mpl.rc_context(STYLE):
        figure = parts.sheet(run, COLUMN_IN, 0.55 + _ROW_IN * len(measured), face)
        axes = figure.subplots()
        extremes = [1.0, *(_end(one) for one in values), *(one.value for one in values)]
        for place, (verdict, evidence) in enumerate(measured):
            extremes += _draw_row(axes, -place, verdict, evidence, by_name)
        axes.axvline(1.0, color=GREY, linestyle=":", linewidth=1.1, zorder=1)
        axes.set_xscale("log")
        axes.set_xlim(min(extremes) / 1.25, max(extremes) * 1.25)
        for place, (verdict, evidence) in enumerate(measured):
            _draw_accepted(axes, -place, verdict, evidence)
            _name(axes, float(evidence.median or 0.0), -place, f"{evidence.median:.3g}", BLACK, 5)
        for one in values:
            _draw_published(axes, one)
        axes.xaxis.set_major_locator(FixedLocator(_TICKS))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlabel("Ratio (logarithmic)")
        axes.set_ylim(-len(measured) + 0.4, 0.6)
        axes.set_yticks([-i for i in range(len(measured))], _row_names(measured))
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")
    return Drawing(NAME, TITLE, figure, notes)


def _once(measured: Sequence[tuple[ClaimVerdict, ClaimEvidence]], run: Run) -> list[_Published]:
    """Return the published values without repetition: adjacent rows of a claim with the same value share it."""
    relations = {
        (claim.claim, test.name): test.published.relation
        for claim in (*load_claims(), *own_claims(run))
        for test in claim.tests
        if test.published
    }
    found: list[_Published] = []
    for place, (verdict, evidence) in enumerate(measured):
        before = found[-1] if found else None
        if before and (before.verdict.claim, before.text) == (verdict.claim, evidence.published):
            found[-1] = _Published(verdict, before.text, before.value, before.relation, before.first, place)
        else:
            relation = relations.get((verdict.claim, evidence.name), "about")
            value = float(evidence.published_value or 1.0)
            found.append(_Published(verdict, evidence.published, value, relation, place, place))
    return found


def _marks(values: Sequence[_Published]) -> str:
    """Return the meaning of the marks for published values, in words."""
    points = any(one.relation == "about" for one in values)
    arrows = any(one.relation != "about" for one in values)
    return " and ".join([*(["Diamonds"] if points else []), *(["arrows (bounds)" if points else "Arrows"] * arrows)])


def _row_names(measured: Sequence[tuple[ClaimVerdict, ClaimEvidence]]) -> list[str]:
    """Return the cells of each row, with the verdict above the first row of each claim."""
    names = []
    before = ""
    for verdict, evidence in measured:
        above, below = _told_apart(evidence.of, evidence.to)
        said = verdict.verdict.removesuffix(" in virtual time")  # the figure's head says so for all
        head = f"{verdict.claim}: {said}\n" if verdict.claim != before else ""
        names.append(f"{head}{above}\nover {below}")
        before = verdict.claim
    return names


def _told_apart(of: str, to: str) -> list[str]:
    """Return two cells by their variants and the levels in which they differ, or their tunnels if in none."""
    both = [cell.split(", ") for cell in (of, to)]  # variant, cores, tunnels, further levels
    shown = [i for i, (one, other) in enumerate(zip(*both, strict=False)) if i >= 2 and one != other] or [2]
    return [", ".join([cell[0], *(cell[i] for i in shown)]) for cell in both]


def _end(one: _Published) -> float:
    """Return where the arrow of a published bound ends."""
    return one.value * {"below": 1 / _ARROW, "at least": _ARROW}.get(one.relation, 1.0)


def _draw_published(axes: "Axes", one: _Published) -> None:
    """Draw a diamond at a value or an arrow from a bound, with a line to its rows if there are several."""
    about = f"{one.verdict.claim}\npublished: {one.text}\n{one.verdict.source}"
    style: dict[str, Any] = {"color": PUBLISHED_COLOUR, "linewidth": 1.2, "zorder": 5}
    if one.last > one.first:
        axes.plot([one.value] * 2, [-one.first + 0.1, -one.last - 0.1], **{**style, "linewidth": 0.7, "zorder": 2})
    if one.relation == "about":
        mark = axes.scatter(
            [one.value], [one.y], s=26, marker="D", facecolors="none", edgecolors=PUBLISHED_COLOUR, linewidths=1.2
        )
        mark.set_zorder(5)
    else:
        end = _end(one)
        axes.plot([one.value, end], [one.y, one.y], **style)
        axes.scatter([end], [one.y], s=20, marker="<" if end < one.value else ">", color=PUBLISHED_COLOUR, zorder=5)
        mark = axes.scatter([one.value], [one.y], s=40, marker="|", color=PUBLISHED_COLOUR, linewidths=1.4, zorder=5)
    numbers.carry(mark, [about])
    if one.last > one.first:
        axes.annotate(
            f"published: {one.text}",
            (one.value, one.y),
            (6, 0),
            textcoords="offset points",
            va="center",
            fontsize=_SMALL_PT,
            color=PUBLISHED_COLOUR,
        )
    else:
        _name(axes, one.value, one.y, f"published: {one.text}", PUBLISHED_COLOUR, -5)


def _draw_accepted(axes: "Axes", y: float, verdict: ClaimVerdict, evidence: ClaimEvidence) -> None:
    """Draw a claim's accepted range as a band, up to the end of the axis if it is unbounded. The x limits must be set
    before."""
    left, right = axes.get_xlim()
    low = left if evidence.accepted_low is None else max(left, evidence.accepted_low)
    high = right if evidence.accepted_high is None else min(right, evidence.accepted_high)
    if low >= high:
        return
    bar = axes.barh(
        [y], [high - low], _BAND_HEIGHT, [low], color=PUBLISHED_COLOUR, alpha=_BAND, linewidth=0, zorder=1.5
    )
    sides = [
        f"{word} {bound:.3g}"
        for word, bound in (("from", evidence.accepted_low), ("to", evidence.accepted_high))
        if bound is not None
    ]
    numbers.carry(bar[0], [f"{verdict.claim}, {evidence.name}\naccepted: {' '.join(sides)} times"])
    axes.set_xlim(left, right)


def _name(axes: "Axes", x: float, y: float, text: str, colour: str, up: float) -> None:
    """Draw a text above (or below) a mark, inside the axes. The x limits must be set before."""
    low, high = axes.get_xlim()
    half = 0.02 + len(text) * 0.29 * _SMALL_PT / _PLOT_PT  # about half its width, as a share of the axes'
    along = min(max(math.log(x / low) / math.log(high / low), half), 1 - half)
    style: dict[str, Any] = {"fontsize": _SMALL_PT, "color": colour, "va": "bottom" if up > 0 else "top"}
    across = axes.get_yaxis_transform()
    axes.annotate(text, (along, y), (0, up), across, textcoords="offset points", ha="center", **style)


def _draw_row(
    axes: "Axes", y: float, verdict: ClaimVerdict, evidence: ClaimEvidence, values: Mapping[str, Mapping[Any, float]]
) -> list[float]:
    """Draw the measured values at the height ``y``, and return the values that must lie within the axis."""
    above, below = values[evidence.of], values[evidence.to]
    shared = [above[key] / below[key] for key in above if below.get(key, 0) > 0]
    median, low, high = (float(value or 0.0) for value in (evidence.median, evidence.low, evidence.high))
    spread = [0.16 * (i / max(1, len(shared) - 1) - 0.5) for i in range(len(shared))]
    axes.scatter(shared, [y + s for s in spread], s=7, color=BLACK, alpha=0.4, linewidths=0, zorder=3)
    axes.plot([low, high], [y, y], color=BLACK, linewidth=0.8, zorder=4)
    dash = axes.scatter([median], [y], s=60, marker="|", color=BLACK, linewidths=1.6, zorder=5)
    spread_text = f"{evidence.interval} {low:.3g} to {high:.3g}, n = {evidence.n}"
    cells = f"{evidence.of}\nover {evidence.to}"
    about = f"{verdict.claim}, {evidence.name}"
    numbers.carry(dash, [f"{about}\nmeasured here: {median:.3g} times\n{spread_text}\n{cells}\n{verdict.verdict}"])
    return [*shared, low, high]
