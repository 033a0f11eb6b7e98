# SPDX-License-Identifier: Apache-2.0
"""Errors that a user can act on.

A ``UserError`` carries one sentence (or several): what is wrong, where, and what to do. The command line prints it
without a traceback and ends with ``exit_status``. Anything else that escapes is a defect of this program.

Exit statuses: 0 all ok, 1 some trials failed or are invalid (or a claim is not reproduced, or a cell differs), 2 bad
input, 3 the testbed cannot be used, 4 nothing can be told of claims or of a comparison, 130 interrupted.
"""

import errno
import os
import shutil
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_LONGEST_SHOWN = 200  # characters of a path


class UserError(Exception):
    """The user's input is wrong: a file, a value or an option."""

    exit_status = 2


class TestbedError(UserError):
    """The testbed, or this computer as its host, cannot be used.

    ``health``: the changes of each host's health up to then, as JSON values; empty if nothing is known.
    """

    exit_status = 3
    health: Mapping[str, Any] = MappingProxyType({})
    __test__ = False  # not a pytest class, whatever its name suggests


# Errors that are not defects of this program: missing permissions, limits of file systems, exhausted resources.
_OF_THE_PATH = {
    errno.EACCES: "Change its permissions, or name another place.",
    errno.EPERM: "Change its permissions, or name another place.",
    errno.EROFS: "Name a place that can be written.",
    errno.ENAMETOOLONG: "Name something shorter.",
    errno.ENOTDIR: "Check the name: a part of it is not a folder.",
    errno.EISDIR: "Name a file.",
    errno.ELOOP: "Its symbolic links lead in a circle; name what they should lead to.",
    errno.ENOENT: "Check the name; it may have been removed meanwhile.",
    errno.ESTALE: "It was removed or replaced on its server; name it again.",
    errno.EILSEQ: "Rename it with characters that its file system, and UTF-8, can hold.",
    errno.EMLINK: "Its folder has as many entries as the file system allows; name another one.",
    errno.ENOKEY: "It is encrypted; unlock it, and try again.",
    errno.EXDEV: "Name places on one file system.",
    errno.ETXTBSY: "A running program has it open; try again when that has ended.",
    errno.EBUSY: "Another program uses it; try again when that has ended.",
}
# Of a path: file systems over a network, or in user space. Without a path, they are of a socket.
_OF_SERVERS = (errno.ENOTCONN, errno.ECONNABORTED, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENOLINK)
_UNABLE = "Its file system cannot do that. Name a place on another one."
_FULL = "Free some space, and try again."
_FAILING = "The device or the connection to it fails. Look at the kernel's log, and try again elsewhere."
_DAMAGED = "Its file system is damaged. Check it (fsck), and try again elsewhere."
_EXHAUSTED = "This computer has none left; free some, and try again."
_OF_THE_COMPUTER = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "Its file system, or `ulimit -f`, allows no larger file. Raise the limit, or name another place.",
    errno.ENOMEM: _EXHAUSTED,
    errno.EMFILE: "Raise the limit (`ulimit -n`), and try again.",
    errno.ENFILE: _EXHAUSTED,
    errno.EAGAIN: _EXHAUSTED,
    **dict.fromkeys((errno.EIO, errno.EREMOTEIO, errno.ENODEV, errno.ENXIO, errno.ENOMEDIUM), _FAILING),
    **dict.fromkeys((errno.EUCLEAN, errno.EBADMSG, errno.EPROTO, errno.ENODATA), _DAMAGED),
    **dict.fromkeys(_OF_SERVERS, "Its file system is no longer connected. Mount it again, and try again."),
    errno.ENOSYS: _UNABLE,
    errno.EOPNOTSUPP: _UNABLE,
    errno.ENOLCK: _UNABLE,
}


def refusal(error: OSError) -> UserError | None:
    """Return an error of the operating system as one for the user, which says what was refused, why, and what to do.

    It is a TestbedError if a resource of this computer is exhausted or a device fails. Return None if the error is more
    likely a defect of this program.
    """
    if isinstance(error, shutil.Error):  # of copying a tree: a list of (from, to, why)
        why = error.args[0][0] if error.args and error.args[0] else None
        return UserError(f"{why[0]} cannot be copied: {why[2]}.") if isinstance(why, tuple) else None
    remedy = _OF_THE_PATH.get(error.errno or 0)
    kind = UserError if remedy else TestbedError
    remedy = remedy or _OF_THE_COMPUTER.get(error.errno or 0)
    named = error.filename2 or error.filename  # of renaming: the name that was wanted
    name = os.fsdecode(named) if isinstance(named, str | bytes) else ""
    if remedy is None or (error.errno in _OF_SERVERS and not name):
        return None
    if len(name) > _LONGEST_SHOWN:
        name = f"{name[:_LONGEST_SHOWN]}…"
    where = f"{name}: " if name else ""
    return kind(f"{where}{error.strerror}. {remedy}")
