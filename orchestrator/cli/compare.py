# SPDX-License-Identifier: Apache-2.0
"""`orch compare`: compare two runs cell by cell, and list how their set-ups differ."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from orchestrator.analysis.comparing import Comparison

CANNOT_TELL_STATUS = 4
_MOST_DIFFERENCES = 40
_LONG = 100


def compare(
    a: Annotated[
        Path,
        typer.Argument(metavar="A", help="A run: its folder, a folder of runs (the newest is taken), or an archive."),
    ],
    b: Annotated[Path, typer.Argument(metavar="B", help="The run to compare with it.")],
    json_output: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> int:
    """Compare two runs: throughput by cell, speed-ups between variants, spec and environment.

    The exit status is 0 when no cell differs by more than noise, 1 when one does, 4 when no cell can be compared, 2 for
    bad input. If one run is in virtual time and the other in real time, only speed-ups are compared, and they decide
    the status.
    """
    from orchestrator.analysis.dataset import load
    from orchestrator.cli.runs import chosen_run

    found = load(chosen_run(a)).compare(chosen_run(b))
    if json_output:
        print(json.dumps(found.to_json()))
    else:
        show(found)
    return status_of(found)


def status_of(comparison: "Comparison") -> int:
    """Return the exit status for a comparison: 0, 1 or 4; see `compare`."""
    from orchestrator.analysis.comparing import DIFFERS, SAME

    outcomes = set(comparison.decisive["outcome"])
    return 1 if DIFFERS in outcomes else 0 if SAME in outcomes else CANNOT_TELL_STATUS


def show(comparison: "Comparison") -> None:
    """Print a comparison."""
    from rich.markup import escape

    from orchestrator.analysis.comparing import METHOD
    from orchestrator.analysis.packets import GOALS
    from orchestrator.cli.consoles import output

    console = output()
    for name, run in (("A", comparison.a), ("B", comparison.b)):
        console.print(f"[bold]{name}[/]  {escape(run.run_id)}  {escape(run.title)}", soft_wrap=True, markup=True)
    hardware = comparison.hardware
    if hardware:
        console.print("[bold]The hardware differs[/], which alone changes absolute numbers. A -> B:", markup=True)
        for change in hardware:
            console.print(f"  {change.what}: {_difference(change.was, change.now)}", soft_wrap=True)
    for sentence in comparison.clocks:
        console.print(sentence, style="bold")
    against = f"Speed-up over {comparison.reference} (the speed of the hosts cancels)"
    quantity = comparison.a.quantity
    better = f" ({quantity.direction})" if quantity.direction else ""
    measured = (
        comparison.a.in_its_time(f"{quantity.label}{better}, median in {quantity.unit}"),
        comparison.cells,
        (quantity.of("median_a"), quantity.of("median_b")),
        quantity.scale,
    )
    if comparison.goal:
        title = f"Packets, median in {comparison.a.in_its_time('Mpps')}: {GOALS[comparison.goal][2]}"
        measured = (title, comparison.cells, ("median_a_pps", "median_b_pps"), 1e6)
    for title, frame, medians, unit in (
        measured,
        (against, comparison.speed_ups, ("speed_up_a", "speed_up_b"), 1.0),
    ):
        if len(frame) and not (comparison.of_different_clocks and frame is comparison.cells):
            console.print(f"\n{title}:")
            console.print(_table(frame, medians, unit))
            for line in _reasons(frame):
                console.print(line, style="dim")
    console.print(f"\n{comparison.sentence}", style="bold")
    if comparison.could_have_told:
        console.print(comparison.could_have_told)
    console.print(METHOD, style="dim")
    differences = [change for change in comparison.differences if change not in hardware]
    console.print(
        f"\n{'Other d' if hardware else 'D'}ifferences, A -> B:"
        if differences
        else "\nSpec, variants, environment and versions are the same."
        if not hardware
        else "\nSpec, variants and versions are the same."
    )
    for change in differences[:_MOST_DIFFERENCES]:
        console.print(f"  {change.what}: {_difference(change.was, change.now)}", soft_wrap=True)
    if len(differences) > _MOST_DIFFERENCES:
        console.print(f"  and {len(differences) - _MOST_DIFFERENCES} more; --json has all")


# A word and its colour for each outcome.
_WORDS = {"differs": ("yes", "red"), "no difference seen": ("no", "green"), "cannot tell": ("cannot tell", "yellow")}


def _table(frame: "pd.DataFrame", medians: tuple[str, str], unit: float) -> "Table":
    from rich.table import Table
    from rich.text import Text

    from orchestrator.spec import Cell, factor_of
    from orchestrator.spec.factors import is_path

    sizes = bool(frame["packet_size"].notna().any())
    paths = [str(name) for name in frame.columns if is_path(str(name))]
    table = Table(box=None, padding=(0, 1, 0, 0))
    further = [factor_of(path).label for path in paths]
    for name in ("cores", "tunnels", *(["packets"] if sizes else []), *further):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("variant", overflow="fold")
    for name in ("n", "A", "B", "B / A", "interval", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("differs?", no_wrap=True)
    for row in frame.to_dict("records"):
        cell = Cell.of(row)
        levels = [row["cores"], row["tunnels"], *([row["packet_size"] or ""] if sizes else [])]
        levels += [factor_of(path).show(cell[path]) if path in cell else "" for path in paths]
        levels.append(row["variant"])
        span = "" if math.isnan(row["low"]) else f"{row['low']:.2f} - {row['high']:.2f}"
        span += "*" if row["interval"].startswith("range") else " "
        numbers = [f"{row['n_a']}, {row['n_b']}", *(_number(row[name] / unit) for name in medians)]
        word = Text(*_WORDS[row["outcome"]])
        table.add_row(*map(str, levels), *numbers, _number(row["ratio"]), span, _p(row["p_holm"]), word)
    return table


def _reasons(frame: "pd.DataFrame") -> Iterator[str]:
    """Yield the legend of the table: why rows are undecided, and how many."""
    if frame["interval"].str.startswith("range").any():
        yield "*: range, because there are too few trials for an interval"
    for reason, count in frame.loc[frame["reason"] != "", "reason"].value_counts(sort=False).items():
        yield f"cannot tell ({count} of {len(frame)}): {reason}"


def _difference(was: str, now: str) -> str:
    """Return both texts, or, if they are long, the words that only one of them has."""
    if max(len(was), len(now)) <= _LONG:
        return f"{was} -> {now}"
    before, after = (dict.fromkeys(text.split()) for text in (was, now))
    gone, new = (
        " ".join(word for word in one if word not in other) for one, other in ((before, after), (after, before))
    )
    return "; ".join(f"only in {name}: {words}" for name, words in (("A", gone), ("B", new)) if words)


def _number(value: Any) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _p(value: float) -> str:
    return "-" if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"
