# SPDX-License-Identifier: Apache-2.0
"""The commands under "Run it again" name runs and specs that exist."""

import re
from pathlib import Path

import pytest

from orchestrator.analysis.page_words import commands_again
from orchestrator.paths import CHECKOUT, RESULTS

PAGES = sorted(RESULTS.glob("example*/report.html"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_the_page_of_an_example_names_its_own_folder(page: Path) -> None:
    named = re.findall(r"\./orch (?:rerun|report) ([^\s<]+)", page.read_text(encoding="utf-8"))
    assert len(named) == 2
    assert {CHECKOUT / name for name in named} == {page.parent}


def test_a_run_elsewhere_is_named_by_a_word_and_a_spec_of_ones_own_by_nothing(tmp_path: Path) -> None:
    meta = {"experiment": "scaling", "tier": "quick", "overrides": ["retries=1"], "run_id": "1"}
    known = commands_again(meta, tmp_path)
    assert known[0] == "./orch run exp/scaling.yaml --tier quick --set retries=1"
    assert [line.split()[2] for line in known[1:]] == ["RUN", "RUN"]
    assert [line.split()[1] for line in commands_again({**meta, "experiment": "own"}, tmp_path)] == ["rerun", "report"]


def test_a_testbed_file_beside_the_spec_has_to_be_named_again(tmp_path: Path) -> None:
    meta = {"experiment": "own", "spec": {"testbed": "my testbed.yaml"}}
    assert commands_again(meta, tmp_path)[0].startswith("./orch rerun RUN --testbed 'my testbed.yaml' ")
    named = meta | {"arguments": {"testbed": "rack.yaml"}}  # stored, so that it need not be named again
    assert "--testbed" not in commands_again(named, tmp_path)[0]
    assert "--testbed" not in commands_again(meta | {"spec": {"testbed": "lab"}}, tmp_path)[0]
