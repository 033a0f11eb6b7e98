# SPDX-License-Identifier: Apache-2.0
"""The progress of a long stage: time spent, estimated time left, and other load on the computer."""

import os
import time
from collections.abc import Callable
from threading import Event, Thread

BEAT_S = 30.0
_TELLING_SHARE = 0.05  # below it, the share that is done predicts little
_BUSY = 1.5  # runnable processes per core above which other programs must be among them


def clock(seconds: float) -> str:
    """Return seconds as m:ss or h:mm:ss."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def about(seconds: float) -> str:
    """Return a duration in seconds as an estimate in words, such as 'about 8 min'."""
    return f"about {round(seconds)} s" if seconds < 90 else f"about {round(seconds / 60)} min"


class Stage:
    """A stage that has started. ``estimate_s``: its expected duration in seconds; None if unknown."""

    def __init__(
        self, title: str = "", estimate_s: float | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.title = title
        self.detail = ""
        self._estimate_s, self._share = estimate_s, 0.0
        self._now, self._began = now, now()

    def advance(self, detail: str, share: float | None = None) -> None:
        """Record the current step, and the share of the work that is done, if known."""
        self.detail = detail
        if share is not None:
            self._share = min(share, 1.0)

    @property
    def spent_s(self) -> float:
        """Return the time since the start, in seconds."""
        return self._now() - self._began

    @property
    def whole_s(self) -> float | None:
        """Return the expected total time in seconds, from the share that is done or else from the estimate."""
        if self._share >= _TELLING_SHARE:
            return self.spent_s / self._share
        return self._estimate_s

    def words(self) -> str:
        """Return a log line: the title, time spent and left, the current step, and other load."""
        left = f"{clock(self.spent_s)} so far"
        if self.whole_s is not None:
            rest = self.whole_s - self.spent_s
            left += f", {about(rest)} left" if rest > 0 else ", longer than estimated"
        return "; ".join(filter(None, (f"{self.title}: {left}", self.detail, competition())))


def competition() -> str:
    """Return a warning if more processes want to run than this computer has cores; else an empty string."""
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    if load < _BUSY * cores:
        return ""
    return f"other programs slow this down (load {load:.1f} on {cores} core{'s' * (cores != 1)})"


class Heartbeat:
    """Calls ``tell`` every ``beat_s`` seconds in a separate thread, until it is stopped."""

    def __init__(self, tell: Callable[[], None], beat_s: float = BEAT_S) -> None:
        self._tell, self._beat_s, self._ended = tell, beat_s, Event()
        Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while not self._ended.wait(self._beat_s):
            self._tell()

    @property
    def ended(self) -> bool:
        """Return whether it was stopped."""
        return self._ended.is_set()

    def stop(self) -> None:
        """Stop calling."""
        self._ended.set()
