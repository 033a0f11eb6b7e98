# SPDX-License-Identifier: Apache-2.0
"""Errors that a user can act on.

A ``UserError`` carries one sentence (or several): what is wrong, where, and what to do. The command line prints it
without a traceback and ends with ``exit_status``. Anything else that escapes is a defect of this program.

Exit statuses: 0 all ok, 1 some trials failed or are invalid (or a claim is not reproduced, or a cell differs), 2 bad
input, 3 the testbed cannot be used, 4 nothing can be told of claims or of a comparison, 130 interrupted.
"""


class UserError(Exception):
    """The input is wrong: a file, a value or an option."""

    exit_status = 2


class TestbedError(UserError):
    """The testbed, or this computer as its home, cannot be used."""

    exit_status = 3
    __test__ = False  # not a pytest class, whatever its name suggests
