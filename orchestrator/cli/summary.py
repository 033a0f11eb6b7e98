# SPDX-License-Identifier: Apache-2.0
"""The summary of a run on the terminal: the winner, one bar per cell, the main ratios, and what is not ok."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from orchestrator.analysis.dataset import Run

_EIGHTHS = " ▏▎▍▌▋▊▉"
_SHORTEST_BAR, _LONGEST_BAR = 6, 40
_LOAD_WORDS = "other programs|a hypervisor took"  # in reasons of orchestrator.measure.judge
LOAD_ADVICE = (
    "Other programs used this computer. Stop them first, keep such attempts with --busy mark, or measure in virtual "
    "time (--testbed virtual-lab), where load only makes a run longer."
)


def print_summary(run_dir: Path, console: "Console | None" = None) -> None:
    """Print the summary of a run. ``console``: standard output by default."""

    from orchestrator.analysis.dataset import load
    from orchestrator.analysis.headline import headline
    from orchestrator.cli.consoles import output

    run = load(run_dir)
    console = console or output()
    first = headline(run)
    console.print()
    console.print(first.verdict, style="bold", markup=False)
    for sentence in filter(None, (first.ratios, *first.remarks)):
        console.print(sentence, markup=False)
    console.print()
    if run.counts_packets:
        console.print(f"Median packet rate in {run.in_its_time('kpps')}:")
        console.print(_packets(run))
        console.print()
    elif not run.cells().empty:
        quantity = run.quantity
        better = f" ({quantity.direction})" if quantity.direction else ""
        if run.virtual_time or better:
            console.print(f"{quantity.axis}{better}, {run.measured_in}:", markup=False)
        console.print(_table(run, console))
        if bool(run.cells()["generator_bound"].any()):
            console.print("*: close to the baseline; the generator may be the limit.", markup=False)
        console.print()
    if number := len(run.shared):
        console.print(
            f"{number} trials were measured while another testbed of the run used the same computer (shared_computer). "
            "They are excluded from all medians and ratios."
        )
    for sentence in load_sentences(run):
        console.print(sentence, markup=False)
    for name, what in _claims(run).items():
        console.print(f"Claims {name}: {', '.join(what)}. `orch verify` says why.", markup=False)
    counts = run.counts()
    others = ", ".join(f"{number} {status}" for status, number in counts.items() if number and status != "ok")
    console.print(f"{counts['ok']} of {sum(counts.values())} trials are ok" + (f"; {others}." if others else "."))


def beside_load(run: "Run") -> tuple[int, int]:
    """Return the number of attempts that competing load marked, and the number that it made invalid."""
    tries = run.attempts
    marked, invalid = (
        int(tries.loc[tries["status"] == status, column].fillna("").str.contains(_LOAD_WORDS).sum())
        for status, column in (("ok", "marks"), ("invalid", "reasons"))
    )
    return marked, invalid


def load_sentences(run: "Run") -> list[str]:
    """Return sentences on the effect of competing load on a run; none if there was none."""
    marked, invalid = beside_load(run)
    found = []
    for count, what in ((marked, "are marked but count"), (invalid, "are invalid")):
        if count:
            found.append(
                f"Other programs used the computer during {count} of {len(run.attempts)} attempts; these {what}."
            )
    return [*found, "Their results may be too low."] if marked else found


def _claims(run: "Run") -> dict[str, list[str]]:
    """Return the names of the claims by verdict."""
    found: dict[str, list[str]] = {}
    for verdict in run.verify():
        found.setdefault(verdict.verdict, []).append(verdict.claim)
    return found


def _table(run: "Run", console: "Console") -> "Table":
    """Return a table with one row per cell: its median as a number and a bar, its spread, and the ratio to the
    reference.
    """
    from rich.table import Table
    from rich.text import Text

    from orchestrator.analysis.figures.style import BLACK, look
    from orchestrator.spec import Cell, factor_of

    quantity = run.quantity
    low, high = quantity.of("low"), quantity.of("high")
    rows: Any = run.cells().to_dict("records")
    ratios: dict[Cell, Any] = {Cell.of(row): row for row in run.ratios().to_dict("records")}
    colours = {name: "" if colour == BLACK else colour for name, (colour, _, _) in look(run.variants).items()}
    sized = any(Cell.of(row).packet_size is not None for row in rows)
    paths = run.further_factors
    headings = ["cores", "tunnels", *(["bytes"] if sized else []), *(factor_of(path).label for path in paths)]
    headings += ["variant", quantity.unit, "", "spread", "n"]
    headings += [f"times {run.reference}"] if len(run.variants) > 1 else []
    top = max((row[quantity.of("high")] for row in rows if row["n"]), default=1.0) or 1.0
    lines: list[tuple[list[str], float, str]] = []  # texts, length of the bar (0 to 1), variant
    before: Cell | None = None
    for row in rows:
        key = Cell.of(row)
        place = [str(key.cores), str(key.tunnels), *([str(key.packet_size or "-")] if sized else [])]
        place += [factor_of(path).show(key[path]) if path in key else "-" for path in paths]
        shown = ["" for _ in place] if before and before.place == key.place else place
        before = key
        ratio = ratios.get(key)
        lost = [f"{row[status]} {status}" for status in ("failed", "invalid", "missing") if row[status]]
        number = (
            f"{quantity.number(row[quantity.of('median')])}{'*' if row['generator_bound'] else ''}" if row["n"] else "-"
        )
        spread = f"{quantity.number(row[low])} to {quantity.number(row[high])}" if row["n"] > 1 else ""
        if row["modes"]:
            number = " or ".join(quantity.number(row[quantity.of(f"{side}_mode")]) for side in ("lower", "upper"))
            spread = f"{row['lower_mode_n']} and {row['upper_mode_n']} trials"
        texts = [*shown, key.variant, number, "" if row["n"] else ", ".join(lost), spread, str(row["n"])]
        texts += [f"{ratio['median']:.2f}" if ratio else ""] * (len(headings) - len(texts))
        lines.append((texts, row[quantity.of("median")] / top if row["n"] else 0.0, key.variant))
    at = headings.index("")
    widths = [
        max(len(line[place]) for line in (headings, *(texts for texts, _, _ in lines)))
        for place in range(len(headings))
    ]
    if console.width - sum(widths) + widths[at] - 2 * len(headings) < _SHORTEST_BAR:  # a narrow terminal
        drop = headings.index("spread")
        columns: list[list[Any]] = [headings, widths, *(texts for texts, _, _ in lines)]
        for column in columns:
            del column[drop]
    in_full = console.encoding.lower().startswith("utf")
    room = console.width - sum(widths) + widths[at] - 2 * len(headings)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in headings:
        side: Any = "left" if heading in ("variant", "") else "right"
        table.add_column(heading, justify=side, no_wrap=True, overflow="crop")
    for texts, share, variant in lines:
        drawn = Text(texts[at], style="red")
        if share:
            drawn = Text(_bar(share, min(_LONGEST_BAR, max(room, _SHORTEST_BAR)), in_full), style=colours[variant])
        table.add_row(*texts[:at], drawn, *texts[at + 1 :])
    return table


def _bar(share: float, width: int, in_full: bool) -> str:
    """Return a bar that fills a share of ``width`` columns, in eighths of a column if the terminal can show them."""
    if not in_full:
        return "#" * round(share * width)
    eighths = round(share * width * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _packets(run: "Run") -> "Table":
    from rich.table import Table

    from orchestrator.analysis.packets import CLOSED_LOOP, goals, packet_cells
    from orchestrator.spec import Cell, factor_of

    every = packet_cells(run)
    rows = every[every["goal"] == goals(run)[0]].to_dict("records")
    closed = any(row["bounded_by"] == CLOSED_LOOP for row in rows)
    table = Table(box=None, caption="*: in a closed loop, a different quantity" if closed else None)
    paths = run.further_factors
    for name in ("cores", "tunnels", "packet", *(factor_of(path).label for path in paths), *run.variants):
        table.add_column(name, justify="right")
    for place in dict.fromkeys(Cell.of(row).place for row in rows):
        here = {row["variant"]: row for row in rows if Cell.of(row).place == place and row["n"]}
        texts = [
            f"{here[name]['median_pps'] / 1e3:.4g}{'*' * (here[name]['bounded_by'] == CLOSED_LOOP)}"
            if name in here
            else "-"
            for name in run.variants
        ]
        more = [factor_of(path).show(place[path]) if path in place else "-" for path in paths]
        table.add_row(str(place.cores), str(place.tunnels), str(place.packet_size), *more, *texts)
    return table
