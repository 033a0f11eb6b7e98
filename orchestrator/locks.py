# SPDX-License-Identifier: Apache-2.0
"""Locks between processes of one user, by name, in the cache."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orchestrator.paths import cache_home


@contextmanager
def lock(name: str, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a lock of the cache; it goes with the process, however that ends. ``on_wait`` is called where another
    process holds it, before waiting for it."""
    folder = cache_home() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
