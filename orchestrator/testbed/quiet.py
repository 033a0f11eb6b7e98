# SPDX-License-Identifier: Apache-2.0
"""Waiting until other programs leave the processors of a testbed to it."""

import time
from collections.abc import Callable


def wait_until_below(load: Callable[[], float], share: float, most_s: float) -> bool:
    """Read a load again and again until it is below ``share`` of a core. Return False if it is not after ``most_s``
    seconds.

    ``load``: measures for a while, and returns how many cores were busy meanwhile.
    """
    deadline = time.monotonic() + most_s
    while load() >= share:
        if time.monotonic() > deadline:
            return False
    return True
