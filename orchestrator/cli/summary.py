# SPDX-License-Identifier: Apache-2.0
"""What a run measured, as a table on the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from orchestrator.analysis.dataset import Run


def print_summary(run_dir: Path) -> None:
    """Print the median of every cell, of throughput beside its ratio to the reference variant, and what is not ok."""
    from rich.console import Console

    from orchestrator.analysis.dataset import load

    run = load(run_dir)
    console = Console()
    if run.counts_packets:
        console.print("Median packet rate in kpps:")
        console.print(_packets(run))
    else:
        console.print(f"Median throughput in Gbit/s, and how many times that of {run.reference}:")
        console.print(_table(run))
    counts = run.counts()
    others = ", ".join(f"{number} {status}" for status, number in counts.items() if number and status != "ok")
    console.print(f"{counts['ok']} of {sum(counts.values())} trials are ok" + (f"; {others}." if others else "."))


def _table(run: "Run") -> "Table":
    from rich.table import Table

    from orchestrator.analysis.cells import cells, ratios

    table = Table(box=None)
    for name in ("cores", "tunnels", *run.variants):
        table.add_column(name, justify="right")
    against = {(row["variant"], row["cores"], row["tunnels"]): row["median"] for row in ratios(run).to_dict("records")}
    every = cells(run)
    for cores, tunnels in sorted({(int(c), int(t)) for c, t in zip(every["cores"], every["tunnels"], strict=True)}):
        rows = every[(every["cores"] == cores) & (every["tunnels"] == tunnels) & (every["n"] > 0)]
        medians = dict(zip(rows["variant"], rows["median_bps"].astype(float), strict=True))
        texts = []
        for name in run.variants:
            ratio = against.get((name, cores, tunnels))
            value = f"{medians[name] / 1e9:.2f}" if name in medians else "-"
            texts.append(value + (f" [dim]({ratio:.2f})[/]" if ratio is not None else ""))
        table.add_row(str(cores), str(tunnels), *texts)
    return table


def _packets(run: "Run") -> "Table":
    from rich.table import Table

    from orchestrator.analysis.cells import Key
    from orchestrator.analysis.packets import goals, packet_cells

    table = Table(box=None)
    for name in ("cores", "tunnels", "packet", *run.variants):
        table.add_column(name, justify="right")
    every = packet_cells(run)
    rows = every[every["goal"] == goals(run)[0]].to_dict("records")
    for place in dict.fromkeys(Key.of(row).place for row in rows):
        here = {row["variant"]: row for row in rows if Key.of(row).place == place and row["n"]}
        texts = [f"{here[name]['median_pps'] / 1e3:.4g}" if name in here else "-" for name in run.variants]
        table.add_row(str(place[0]), str(place[1]), place[3], *texts)
    return table
