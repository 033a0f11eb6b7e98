# SPDX-License-Identifier: Apache-2.0
"""The names that specs may use: variants, kernels, testbeds and notebooks of the checkout."""

import functools
from pathlib import Path

import yaml

from orchestrator import paths
from orchestrator.listing import ending_in


@functools.cache
def known_variants() -> tuple[str, ...]:
    """Return the variants of kernel/variants.yaml, in file order."""
    return tuple(yaml.safe_load((paths.KERNEL / "variants.yaml").read_bytes()))


@functools.cache
def systems_of_variants() -> dict[str, str]:
    """Return the system under test of each variant of kernel/variants.yaml that names one."""
    described = yaml.safe_load((paths.KERNEL / "variants.yaml").read_bytes())
    return {name: entry["system"] for name, entry in described.items() if "system" in entry}


@functools.cache
def pinned_variants() -> frozenset[str]:
    """Return the variants of kernel/variants.yaml that confine the work of each tunnel's device to one CPU."""
    described = yaml.safe_load((paths.KERNEL / "variants.yaml").read_bytes())
    return frozenset(name for name, entry in described.items() if (entry.get("settings") or {}).get("cpus") == "own")


@functools.cache
def known_kernels() -> tuple[str, ...]:
    """Return the Debian kernels of kernel/releases.yaml, in file order."""
    return tuple(yaml.safe_load((paths.KERNEL / "releases.yaml").read_bytes()))


AUTO = "auto"  # in place of a testbed: the best that this computer offers; see orchestrator.testbed.choice


def known_testbeds() -> tuple[str, ...]:
    """Return the names of the files in experiments/testbeds, sorted."""
    return tuple(path.stem for path in ending_in(paths.TESTBEDS, ".yaml"))


def known_notebooks() -> tuple[str, ...]:
    """Return the notebooks of the checkout, sorted."""
    return tuple(path.stem for path in ending_in(paths.NOTEBOOKS, ".ipynb"))


def known_specs() -> tuple[str, ...]:
    """Return the specs of the checkout, sorted."""
    return tuple(path.stem for path in ending_in(paths.EXPERIMENTS, ".yaml"))


def is_file_name(testbed: str) -> bool:
    """Return whether a spec's ``testbed`` is a file rather than a name in experiments/testbeds."""
    return "/" in testbed or testbed.endswith((".yaml", ".yml"))


def testbed_name_or_path(testbed: str, spec: Path) -> str:
    """Return a spec's ``testbed`` as `load_testbed` takes it: a name, or a file, which is beside the spec if it exists
    there."""
    beside = spec.parent / testbed
    return str(beside) if is_file_name(testbed) and beside.is_file() else testbed
