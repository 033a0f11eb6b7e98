# SPDX-License-Identifier: Apache-2.0
"""The names that specs may use: variants, testbeds and notebooks of the checkout."""

import functools

import yaml

from orchestrator import paths


@functools.cache
def known_variants() -> tuple[str, ...]:
    """The variants of kernel/variants.yaml, in its order."""
    return tuple(yaml.safe_load((paths.KERNEL / "variants.yaml").read_text()))


def known_testbeds() -> tuple[str, ...]:
    """The names of the files in experiments/testbeds, sorted."""
    return tuple(sorted(path.stem for path in paths.TESTBEDS.glob("*.yaml")))


def known_notebooks() -> tuple[str, ...]:
    """The notebooks of the checkout, sorted."""
    return tuple(sorted(path.stem for path in paths.NOTEBOOKS.glob("*.ipynb")))


def known_specs() -> tuple[str, ...]:
    """The specs of the checkout, sorted."""
    return tuple(sorted(path.stem for path in paths.EXPERIMENTS.glob("*.yaml")))


def is_file_name(testbed: str) -> bool:
    """Whether a spec's ``testbed`` is a file rather than a name in experiments/testbeds."""
    return "/" in testbed or testbed.endswith((".yaml", ".yml"))
