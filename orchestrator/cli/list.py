# SPDX-License-Identifier: Apache-2.0
"""`orch list`: the stored runs, newest first."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.errors import UserError
from orchestrator.paths import RESULTS

_OK = "ok"
_WIDE = 10_000  # columns: wider than any table


def list_runs(
    folder: Annotated[
        Path, typer.Argument(help="A folder with runs, such as results or results/scaling, or a run.")
    ] = RESULTS,
    json_output: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """List the runs in a folder, newest first, with their start time, testbed, and number of ok trials."""
    from orchestrator.store.reading import is_run, newest_first, runs_below

    runs = [] if not folder.is_dir() else [folder] if is_run(folder) else newest_first(runs_below(folder))
    found = [_about(run) for run in runs]
    if json_output:
        print(json.dumps({"runs": found}))
        return
    if not found:
        raise UserError(f"There is no run in {folder}. Start one: orch run exp/scaling.yaml --tier smoke")
    _show(found)


def _about(run: Path) -> dict[str, Any]:
    """Return what the list shows of a run. If it cannot be read, ``damaged`` says why."""
    from orchestrator.store import read_run

    try:
        meta = read_run(run)
        statuses = list(_statuses(run))
    except UserError as error:
        return {"path": str(run), "damaged": str(error)}
    return {
        "path": str(run),
        "experiment": meta["experiment"],
        "tier": meta.get("tier"),
        "testbed": meta["testbed"]["name"],
        "clock": meta["testbed"].get("clock") or "real",
        "started_at": meta.get("started_at"),
        "state": meta.get("state") or "unknown",
        "trials": len(statuses),
        "ok": statuses.count(_OK),
    }


def _statuses(run: Path) -> Iterator[str]:
    """Return the status of each trial, from trials.parquet or, without it, from the attempts."""
    from pyarrow import ArrowException, BufferReader, parquet

    from orchestrator.store.tables import tables

    try:
        # Arrow reads ahead in a Python file object with its own threads. A thread that calls Python while the process
        # ends aborts it.
        data = BufferReader((run / "trials.parquet").read_bytes())
        column = parquet.ParquetFile(data).read(columns=["status"], use_threads=False)["status"]
    except (OSError, ArrowException, KeyError):
        column = tables(run)[0]["status"]
    yield from map(str, column.to_pylist())


def _show(found: list[dict[str, Any]]) -> None:
    """Print a table or, where the terminal is too narrow for it, two lines for each run: a path is never broken."""
    from rich.table import Table

    from orchestrator.cli.consoles import output

    table = Table(box=None, padding=(0, 1, 0, 0))
    for name in ("began", "experiment", "tier", "testbed", "state"):
        table.add_column(name, overflow="fold")
    table.add_column("ok", justify="right", no_wrap=True)
    table.add_column("run", overflow="fold")
    rows = [_cells(run) for run in found]
    for row in rows:
        table.add_row(*row)
    console = output()
    if console.measure(table, options=console.options.update(width=_WIDE)).maximum <= console.width:
        console.print(table)
    else:
        for *row, ok, path in rows:
            counted = f", {ok} ok" if ok else ""
            console.print(f"{', '.join(filter(None, row))}{counted}\n  {path}", soft_wrap=True)
    for run in found:
        if "damaged" in run:
            console.print(f"{run['damaged']}", soft_wrap=True)


def _cells(run: dict[str, Any]) -> list[str]:
    """Return a run's row of the table."""
    path = _shown(Path(run["path"]))
    if "damaged" in run:
        return ["", "", "", "", "damaged", "", path]
    began = str(run["started_at"] or "?")[:16].replace("T", " ")
    testbed = run["testbed"] + ", virtual time" * (run["clock"] == "virtual")
    return [
        began,
        run["experiment"],
        run["tier"] or "-",
        testbed,
        run["state"],
        f"{run['ok']} of {run['trials']}",
        path,
    ]


def _shown(path: Path) -> str:
    """Return a path as one would type it in the current folder."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
