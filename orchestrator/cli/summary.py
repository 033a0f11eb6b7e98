# SPDX-License-Identifier: Apache-2.0
"""What a run measured, as a table on the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from orchestrator.analysis.dataset import Run


def print_summary(run_dir: Path) -> None:
    """Print the median throughput of every cell, beside its ratio to the reference variant, and what is not ok."""
    from rich.console import Console

    from orchestrator.analysis.dataset import load

    run = load(run_dir)
    console = Console()
    console.print(f"Median throughput in Gbit/s, and how many times that of {run.reference}:")
    console.print(_table(run))
    if number := len(run.shared):
        console.print(
            f"{number} trials were measured while another testbed of the run used the same computer (shared_computer): "
            "they are in no median and no ratio."
        )
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
