# SPDX-License-Identifier: Apache-2.0
"""Using testbeds from this process: it looks at them, opens them, and does the work on them."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Protocol, Self

from orchestrator.run.executor import DirectExecutor, Executor, LocalExecutor
from orchestrator.run.progress import CampaignProgress, MemberProgress
from orchestrator.spec import Testbed
from orchestrator.store import new_run_id
from orchestrator.testbed import open_testbed
from orchestrator.testbed.pool import MemberCapabilities, look, sharing_of


class Backend(Protocol):
    """A place from which testbeds are used. Use it as a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def look(self, testbeds: Sequence[Testbed]) -> dict[str, MemberCapabilities]:
        """Return the capabilities of testbeds, by name; this changes and starts nothing. Raises TestbedError."""
        ...

    def open(
        self,
        testbeds: Sequence[Testbed],
        seen: dict[str, MemberCapabilities],
        progress: CampaignProgress,
        *,
        wait: bool,
    ) -> contextlib.AbstractContextManager[Executor]:
        """Context manager that opens the testbeds and yields an executor for them. Raises TestbedError.

        ``seen``: the result of `look`; ``wait``: wait for other runs that use the testbeds.
        """
        ...


class LocalBackend:
    """This process as the place from which testbeds are used."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None: ...

    def look(self, testbeds: Sequence[Testbed]) -> dict[str, MemberCapabilities]:
        return {testbed.testbed: look(testbed) for testbed in testbeds}

    @contextlib.contextmanager
    def open(
        self,
        testbeds: Sequence[Testbed],
        seen: dict[str, MemberCapabilities],
        progress: CampaignProgress,
        *,
        wait: bool,
    ) -> Iterator[Executor]:
        if len(testbeds) == 1:
            with open_testbed(testbeds[0], progress, wait=wait) as opened:
                yield DirectExecutor(opened)
            return
        sharing = sharing_of(seen, new_run_id())
        with contextlib.ExitStack() as stack:
            all_opened = {}
            for testbed in testbeds:
                name = testbed.testbed
                here = open_testbed(testbed, MemberProgress(progress, name), wait=wait, sharing=sharing.get(name))
                all_opened[name] = stack.enter_context(here)
            computers = {name: str(seen[name].computer) for name in sharing}
            with LocalExecutor(all_opened, computers) as executor:
                yield executor
