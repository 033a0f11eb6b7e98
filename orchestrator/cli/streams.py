# SPDX-License-Identifier: Apache-2.0
"""Prepare the caller's standard streams, signals and variables so that a command can rely on them."""

import codecs
import errno
import fcntl
import io
import os
import select
import signal
import sys
from typing import Any, TextIO

_SHAPES = ("COLUMNS", "LINES")
_LEAST_COLUMNS = 10  # below it, the width is not a terminal's; some programs set 0 if they do not know it
_NOBODY_READS = (errno.EPIPE, errno.EIO, errno.ENXIO)  # the reader has ended, the terminal is gone


def prepare() -> None:
    """Make the streams usable, drop sizes that no terminal has, and let SIGTERM and SIGHUP act as Ctrl-C does.

    Streams that are closed, or open for the other direction, lead to /dev/null; a stream without a reader stops
    nothing, and characters that its encoding lacks become question marks.
    """
    for fd, unfit in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == unfit:
                os.close(fd)
                raise OSError
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free: this one
    codecs.register_error("orch", _nearest)
    sys.stdout, sys.stderr = _stream(1, sys.stdout), _stream(2, sys.stderr)
    for name in _SHAPES:
        if not _is_size(os.environ.get(name, str(_LEAST_COLUMNS))):
            del os.environ[name]
    interrupt_on_signals()


def _is_size(text: str) -> bool:
    return text.isdecimal() and int(text) >= _LEAST_COLUMNS


def interrupt_on_signals() -> None:
    """Let SIGTERM and SIGHUP act as Ctrl-C does, so that everything is cleaned up.

    A signal that the caller ignores stays ignored (nohup), except SIGCHLD: the exit statuses of programs would be lost,
    and read as success. A second SIGHUP, as a closing terminal sends, does not disturb the clean-up.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def interrupt(number: int, frame: object) -> None:
        if number == signal.SIGHUP:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # as orchestrator.cli.start leaves it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)


def ignore_signals() -> None:
    """Ignore signals while the process ends and removes its private folders. SIGQUIT still ends it at once."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


class _Stream(io.FileIO):
    """A file that accepts output without a reader. Errors on standard error never stop anything."""

    def write(self, data: Any) -> int:
        try:
            written: Any = super().write(data)
            while written is None:  # a pipe that is full and does not block, as some programs leave theirs
                room = select.poll()
                room.register(self, select.POLLOUT)
                room.poll()
                written = super().write(data)
        except OSError as error:
            if self.fileno() != 2 and error.errno not in _NOBODY_READS:
                raise
            return len(data)
        return int(written)


def _stream(fd: int, before: TextIO | None) -> TextIO:
    encoding = getattr(before, "encoding", None) or "utf-8"
    raw = _Stream(fd, "w", closefd=False)
    is_terminal = raw.isatty()
    buffered = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffered, encoding, "orch", line_buffering=is_terminal or fd == 2, write_through=fd == 2)


def _nearest(error: UnicodeError) -> tuple[bytes, int]:
    """Return a file name's bytes unchanged, with a question mark for each character that an encoding lacks."""
    assert isinstance(error, UnicodeEncodeError)
    wanted = error.object[error.start : error.end]
    data = b"".join(bytes([ord(one) - 0xDC00]) if 0xDC80 <= ord(one) <= 0xDCFF else b"?" for one in wanted)
    return data, error.end
