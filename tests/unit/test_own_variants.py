# SPDX-License-Identifier: Apache-2.0
"""Variants that a spec brings: read with their code, built by content, planned, kept with the run."""

import os
import pickle
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator import cache
from orchestrator.kernel.builds import build_of, needed_builds, shipped_builds
from orchestrator.kernel.variants import shipped, variant
from orchestrator.paths import EXPERIMENTS, KERNEL
from orchestrator.plan import make_plan
from orchestrator.plan.capabilities import lab_capabilities
from orchestrator.spec import SpecError, check_file, load_experiment, load_testbed
from orchestrator.spec.variants import LARGEST_BYTES, OwnCode, read_variants
from orchestrator.store import RunDirectory

PATCH = "--- a/drivers/net/wireguard/send.c\n+++ b/drivers/net/wireguard/send.c\n"
SPEC = """\
experiment: mine
variants: sub/variants.yaml
factors: {variant: [vanilla, fast], cores: [1], tunnels: [1]}
traffic: {tool: iperf3, protocol: tcp, streams: 1, warm_up: 0s, duration: 1s}
repetitions: 1
"""
FILE = """\
fast:
  description: mine
  patches: [patches/one.patch]
  settings: {threaded: true}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    (tmp_path / "sub/patches").mkdir(parents=True)
    (tmp_path / "sub/patches/one.patch").write_text(PATCH)
    (tmp_path / "sub/variants.yaml").write_text(FILE)
    (tmp_path / "mine.yaml").write_text(SPEC)
    return tmp_path / "mine.yaml"


def variants_file(spec: Path, text: str) -> str:
    """Return what is wrong with a spec whose file of variants has this text."""
    (spec.parent / "sub/variants.yaml").write_text(text)
    with pytest.raises(SpecError) as refused:
        load_experiment(spec)
    return str(refused.value)


def test_a_variant_of_ones_own_is_planned_and_has_its_own_build(spec: Path) -> None:
    experiment = load_experiment(spec)
    (code,) = experiment.own_variants.code
    assert code == OwnCode("upstream", (("patches-one.patch", PATCH.encode()),))
    able = lab_capabilities(1, shipped().names)
    assert [left.what for left in make_plan(experiment, able).left_out] == ["variant fast (1 cell)"]
    plan = make_plan(experiment, able.with_own(experiment.own_variants, shipped()))
    assert not plan.left_out
    assert {trial.levels.variant for trial in plan.iterate() if trial.kind == "measure"} == {"vanilla", "fast"}
    found = variant("fast", experiment.own_variants.described)
    assert (found.build, found.threaded, found.settings) == (code.build, True, {})
    assert "is a valid spec" in check_file(spec)


def test_equal_code_is_one_build_and_other_code_another(spec: Path) -> None:
    text = FILE + FILE.replace("fast:", "same:").replace("true", "false")
    (spec.parent / "sub/variants.yaml").write_text(text)
    fast, same = read_variants(spec.parent / "sub/variants.yaml").described
    assert fast.code == same.code
    assert len(load_experiment(spec).own_variants.code) == 1
    assert fast.code is not None
    others = [replace(fast.code, base="multitunnel"), replace(fast.code, patches=(("patches-one.patch", b"x"),))]
    assert len({fast.build, *(other.build for other in others)}) == 3


def test_patches_come_after_those_of_the_base_and_source_over_its_own(tmp_path: Path) -> None:
    code = OwnCode("multitunnel", (("a.patch", b"1"), ("a#b.patch", b"2")), (("new.c", b"3"),))
    made = build_of(code)
    base = shipped_builds()["multitunnel"]
    assert base.digest == cache.hash_tree(KERNEL / "wireguard")
    made.write(tmp_path)
    lines = (tmp_path / "series").read_text().splitlines()
    assert lines[-2:] == ["own-0001-a.patch", "own-0002-a-b.patch"]
    assert lines[:-2] == (KERNEL / "wireguard/series").read_text().splitlines()
    assert (tmp_path / "patches/own-0002-a-b.patch").read_bytes() == b"2"
    assert (tmp_path / "src/new.c").read_bytes() == b"3"
    assert made.digest == cache.hash_tree(tmp_path)
    assert [build.name for build in needed_builds([code])] == ["multitunnel", "upstream", code.build]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            FILE.replace("patches:", "patchs:"),
            'variants.yaml:3:3: There is no key "fast.patchs". Did you mean pat',
        ),
        (FILE.replace("threaded", "treaded").replace("  patches: [patches/one.patch]\n", ""), "no setting treaded"),
        (FILE.replace("one.patch", "two.patch"), "sub/variants.yaml:3:13: Cannot read .*two.patch: No such file"),
        (FILE.replace("patches/one", "../one"), "3:13: ../one.patch is not below the folder"),
        (FILE.replace("settings", "build: multitunel\n  settings"), "no build multitunel. Did you mean multitunnel"),
        (FILE.replace("fast", "vanilla"), "and kernel/variants.yaml both define the variant vanilla"),
        (FILE.replace("fast", "quick"), "mine.yaml:3:30: There is no variant fast in .*sub/variants.yaml"),
        (FILE.replace("patches: [patches/one.patch]", "source: empty"), "empty is not a folder with files"),
        (FILE.replace("true", "2"), "threaded is 2. Expected threaded: true or false"),
        ("", "The file is empty"),
    ],
)
def test_a_mistake_in_a_file_of_variants_has_its_place(spec: Path, text: str, said: str) -> None:
    assert re.search(said, variants_file(spec, text)), variants_file(spec, text)


def test_a_file_of_variants_that_is_not_there_or_outside_is_said(spec: Path) -> None:
    for given, said in (("sub/none.yaml", r"mine.yaml:2:11: Cannot read .*none.yaml"), ("../v.yaml", "not below")):
        spec.write_text(SPEC.replace("sub/variants.yaml", given))
        with pytest.raises(SpecError, match=said):
            load_experiment(spec)


def test_a_folder_that_is_no_source_is_refused(spec: Path) -> None:
    (spec.parent / "sub/code").mkdir()
    (spec.parent / "sub/code/huge.bin").write_bytes(bytes(LARGEST_BYTES + 1))
    said = variants_file(spec, FILE.replace("patches: [patches/one.patch]", "source: code"))
    assert "exceed 8 MiB" in said


def test_a_source_of_which_a_part_cannot_be_read_or_named_is_refused(
    spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_source = FILE.replace("patches: [patches/one.patch]", "source: code")
    closed = spec.parent / "sub/code/closed"
    closed.mkdir(parents=True)
    (closed / "send.c").touch()
    (closed.parent / "queue.c").touch()
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(closed))
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        assert f"Cannot read '{closed}': Permission denied. Fix" in variants_file(spec, of_source)
    Path(os.fsdecode(os.fsencode(closed) + b"/\xff.c")).touch()
    assert r"/code/closed/\udcff.c': its name is not UTF-8. Fix that" in variants_file(spec, of_source)


def test_without_own_variants_a_spec_is_what_it_was(spec: Path) -> None:
    spec.write_text(SPEC.replace("variants: sub/variants.yaml\n", "").replace("fast", "inline"))
    experiment = load_experiment(spec)
    assert "variants" not in experiment.model_dump(mode="json")
    assert experiment.inputs == {}


def test_a_testbed_that_cannot_poll_in_threads_can_load_no_own_variant_that_does(spec: Path) -> None:
    own = load_experiment(spec).own_variants
    slow = replace(lab_capabilities(1, ("vanilla", "inline")), reasons={"variants": "no threads"})
    assert "fast" not in slow.with_own(own, shipped()).variants
    (spec.parent / "sub/variants.yaml").write_text(FILE.replace("true", "false"))
    assert "fast" in slow.with_own(load_experiment(spec).own_variants, shipped()).variants


def test_a_run_keeps_what_its_spec_names(spec: Path, tmp_path: Path) -> None:
    inputs = load_experiment(spec).inputs
    assert set(inputs) == {"sub/variants.yaml", "sub/patches/one.patch"}
    run = RunDirectory(tmp_path / "run", {"run_id": "r"})
    assert run.keep_inputs(inputs) == run.keep_inputs(inputs) == "inputs"
    changed = {**inputs, "sub/patches/one.patch": b"other"}
    assert run.keep_inputs(changed) == "inputs-2"
    run.close()
    assert (tmp_path / "run/inputs/sub/patches/one.patch").read_text() == PATCH
    assert (tmp_path / "run/inputs-2/sub/patches/one.patch").read_bytes() == b"other"


def test_a_testbed_carries_the_code_to_where_it_is_opened(spec: Path) -> None:
    code = load_experiment(spec).own_variants.code
    testbed = load_testbed("lab")
    assert testbed.own_code == ()
    assert pickle.loads(pickle.dumps(testbed.with_code(code))).own_code == code


def test_the_example_is_one_spec_beside_its_control() -> None:
    experiment = load_experiment(EXPERIMENTS / "own-patch/own-patch.yaml")
    able = lab_capabilities(2, shipped().names).with_own(experiment.own_variants, shipped())
    plan = make_plan(experiment, able)
    kinds = {(trial.kind, trial.levels.variant) for trial in plan.iterate()}
    assert {("measure", "vanilla"), ("measure", "longer-queue")} <= kinds
    assert any(kind not in ("measure", "baseline") and name == "vanilla" for kind, name in kinds)
