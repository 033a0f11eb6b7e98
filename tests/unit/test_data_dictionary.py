# SPDX-License-Identifier: Apache-2.0
"""The data dictionary names the columns that frames really have, and Parquet files carry it."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

import orchestrator
from orchestrator.analysis import dictionary
from orchestrator.cli.app import run_command
from orchestrator.paths import CHECKOUT
from orchestrator.store import columns
from orchestrator.store.tables import write_tables
from tests.unit.synthetic_run import write_run

EXAMPLES = ("example", "example-black-hole", "example-packet-rate", "example-virtual")


def frame_of(run: orchestrator.Run, name: str) -> pd.DataFrame:
    if name.startswith("compare(other)."):
        return getattr(run.compare(run), name.partition(".")[2])  # type: ignore[no-any-return]
    found = getattr(run, name.removesuffix("()"))
    return found() if callable(found) else found  # type: ignore[no-any-return]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_column_of_every_frame_is_in_the_dictionary_and_the_other_way_round(example: str) -> None:
    run = orchestrator.load(CHECKOUT / "results" / example)
    for table in dictionary.TABLES:
        if run.counts_packets and table.name.startswith("compare"):
            continue  # of packet rates: median_a_pps
        names = set(dictionary.names_of(table.name))
        found = set(frame_of(run, table.name).columns)
        older = {"trials", "attempts"}  # the tables of examples that an earlier version wrote lack columns
        assert found <= names if table.name in older else found == names, table.name


def test_a_runs_parquet_files_say_what_each_column_means(tmp_path: Path) -> None:
    folder = write_run(tmp_path, rounds=2)
    write_tables(folder)
    for name, own in (("trials", columns.ATTEMPTS), ("attempts", columns.ATTEMPT)):
        schema = pq.read_schema(folder / f"{name}.parquet")
        assert schema.names == [column.name for column in (*columns.SHARED, own)]
        for column in (*columns.SHARED, own):
            stored = {key.decode(): text.decode() for key, text in schema.field(column.name).metadata.items()}
            assert stored == column.metadata
            assert stored["meaning"].endswith(".")


def test_the_page_of_the_docs_is_the_dictionary(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["schema", "data"]) == 0
    assert (CHECKOUT / "docs" / "data.md").read_text() == capsys.readouterr().out


def test_a_unit_that_a_name_ends_with_is_the_columns_unit() -> None:
    endings = {"_bps": "bit/s", "_pps": "packets/s", "_s": "s", "_bytes": "bytes"}
    for table in dictionary.TABLES:
        for column in table.columns:
            for ending, unit in endings.items():
                if column.name.endswith(ending):
                    assert column.unit == unit, (table.name, column.name)


def test_units_and_meanings_are_a_frame_too() -> None:
    run = orchestrator.load(CHECKOUT / "results" / "example")
    table = run.dictionary().set_index(["table", "column"])
    assert table.loc[("trials", "throughput_bps"), "unit"] == "bit/s"
    assert table["meaning"].str.len().min() > 5
