# SPDX-License-Identifier: Apache-2.0
"""The console script. Importing the program takes a moment; Ctrl-C then ends the process without a traceback."""

import signal


def main() -> None:
    """Import the program and run it. It handles Ctrl-C itself from `orchestrator.cli.streams.prepare` on."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from orchestrator.cli import app

    app.main()
