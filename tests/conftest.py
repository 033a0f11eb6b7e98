# SPDX-License-Identifier: Apache-2.0
"""Which tests run, and in what order. The marks `lab` and `full` are described in pyproject.toml."""

import signal

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the computer is, and nothing about the project.
settings.register_profile("orch", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("orch")

# Under nohup, or in the background of a shell, some signals are ignored, and programs inherit that. The programs that
# tests start must meet signals as usual. A handler that does nothing still ignores them here, and is not inherited.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also run what is too long for every change")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--full"):
        skip = pytest.mark.skip(reason="runs with --full only")
        for item in items:
            if item.get_closest_marker("full"):
                item.add_marker(skip)
    # What needs no lab comes first: its failures show in seconds. But several workers begin with the modules that take
    # longest, so that they end at about the same time: those with tests for --full only, then the others of the lab.
    if hasattr(config, "workerinput"):
        long = {item.path for item in items if item.get_closest_marker("full")}
        items.sort(key=lambda item: (item.path not in long, item.get_closest_marker("lab") is None))
    else:
        items.sort(key=lambda item: item.get_closest_marker("lab") is not None)
