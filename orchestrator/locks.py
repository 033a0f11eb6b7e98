# SPDX-License-Identifier: Apache-2.0
"""Locks between processes of one user, by name, in the cache."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orchestrator.paths import cache_home
from orchestrator.store.files import try_lock, wait_for_lock


@contextmanager
def lock(name: str, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a lock of the cache while the context is entered; it is released when the process ends, however that
    happens. ``on_wait`` is called before waiting if another process holds it."""
    folder = cache_home() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as file:
        if not try_lock(file.fileno()):
            on_wait()
            wait_for_lock(file.fileno())
        yield
