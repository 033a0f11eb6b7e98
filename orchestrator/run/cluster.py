# SPDX-License-Identifier: Apache-2.0
"""Using testbeds through Dask workers, on this computer or on others.

A testbed is a Dask resource with its name: the worker that has the resource does the work on this testbed, one piece at
a time. Dask would wait for ever for a resource that no worker has, and silently rerun the work of a lost worker. Here,
the former is an error at once, and the latter a failed attempt that is stored.
"""

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from orchestrator.errors import TestbedError, UserError
from orchestrator.run import worker
from orchestrator.run.executor import ConcurrentExecutor, Executor, WorkerLost
from orchestrator.run.progress import CampaignProgress, MemberProgress
from orchestrator.run.provenance import source_identity
from orchestrator.run.work import Tell, Work
from orchestrator.spec import Testbed
from orchestrator.store import new_run_id
from orchestrator.testbed.pool import MemberCapabilities, sharing_of
from orchestrator.testbed.protocol import Sharing

if TYPE_CHECKING:
    from distributed import Client

_CONNECT_S = 10
_LOOK_S = 1.0  # interval between checks that a worker is still there
_BEAT_S = 10.0  # interval between the owner's signs of life to the workers
_RESTART_S = 30.0  # how long a worker may take to come back before its testbed counts as lost
_CLOSE_S = 60.0


class Cluster:
    """The workers of a Dask scheduler. Entering it raises UserError if Dask is not installed, TestbedError if no
    scheduler answers."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._client: Client | None = None

    def __enter__(self) -> Self:
        try:
            from distributed import Client
        except ImportError as error:
            raise UserError("--dask needs the package distributed. Install it: `pip install 'orch[dask]'`.") from error
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # we report errors in sentences of our own
        try:
            self._client = Client(self.address, timeout=_CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise TestbedError(
                f"No Dask scheduler answers at {self.address} ({error}). Start one with `dask scheduler`, and name "
                "its address, such as tcp://HOST:8786."
            ) from error
        return self

    def __exit__(self, *exception: object) -> None:
        if self._client is not None:
            with contextlib.suppress(Exception):
                self._client.close(timeout=5)

    @property
    def client(self) -> "Client":
        """The connection to the scheduler."""
        assert self._client is not None
        return self._client

    def workers(self) -> dict[str, set[str]]:
        """Return {worker's address: its resources}. Raises WorkerLost if the scheduler does not answer."""
        try:
            found = self.client.scheduler_info()["workers"]
        except (OSError, TimeoutError) as error:
            raise WorkerLost(f"the Dask scheduler at {self.address} does not answer ({error})") from error
        return {address: {name for name, n in about["resources"].items() if n} for address, about in found.items()}

    def look(self, testbeds: Sequence[Testbed]) -> dict[str, MemberCapabilities]:
        """Have each testbed's worker look at it. Raises TestbedError if a testbed has no worker, or its worker has
        another version of this program."""
        there = self.workers()
        offered = set().union(*there.values())
        missing = [testbed.testbed for testbed in testbeds if testbed.testbed not in offered]
        if missing:
            known = f"they have {', '.join(sorted(offered))}" if offered else "there are no resources at all"
            raise TestbedError(
                f"No worker of {self.address} has the resource {missing[0]}; {known}. Start one for it: "
                f"`dask worker {self.address} --nthreads 1 --resources {missing[0]}=1`."
            )
        seen = {}
        mine = str(source_identity()["program_hash"])
        for testbed in testbeds:
            name = testbed.testbed
            address = next(address for address, resources in there.items() if name in resources)
            seen[name], theirs = self.ask(name, address, worker.look_there, testbed)
            if theirs != mine:
                raise TestbedError(
                    f"The worker {address}, which has the testbed {name}, has a different version of this program than "
                    "this process. Bring both to the same commit, and start it again."
                )
        return seen

    def ask(
        self,
        testbed: str,
        address: str,
        what: Callable[..., Any],
        *arguments: Any,
        ending: threading.Event | None = None,
    ) -> Any:
        """Have a worker call a function that uses a testbed; return or raise what the function does.

        Raises WorkerLost if the worker is lost meanwhile, TestbedError once ``ending`` is set.
        """
        place: dict[str, Any] = {"workers": [address], "allow_other_workers": False, "resources": {testbed: 1}}
        future = self.client.submit(what, *arguments, **place, key=f"orch-{uuid.uuid4()}", pure=False, retries=0)
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        lost = f"the worker {address}, which had the testbed {testbed}, was lost"
        try:
            while not done.wait(_LOOK_S):
                if ending is not None and ending.is_set():
                    raise TestbedError(f"The work on the testbed {testbed} was cancelled.")
                if testbed not in self.workers().get(address, ()):
                    raise WorkerLost(lost)
            if future.status == "finished":
                return future.result()
            error = future.exception() if future.status == "error" else None
        finally:
            future.release()
        if isinstance(error, UserError):
            raise error
        if error is None or type(error).__name__ == "KilledWorker":
            raise WorkerLost(lost)
        if isinstance(error, ImportError):
            raise TestbedError(f"The worker {address} lacks what the testbed {testbed} needs: {error}.")
        raise error

    @contextlib.contextmanager
    def open(
        self,
        testbeds: Sequence[Testbed],
        seen: dict[str, MemberCapabilities],
        progress: CampaignProgress,
        *,
        wait: bool,
    ) -> Iterator[Executor]:
        with ClusterExecutor(self, testbeds, seen, progress, wait=wait) as executor:
            progress.stage("Opening the testbeds", 5)
            executor.open_all()
            yield executor


class ClusterExecutor(ConcurrentExecutor):
    """An executor whose testbeds are opened and used by Dask workers."""

    def __init__(
        self,
        cluster: Cluster,
        testbeds: Sequence[Testbed],
        seen: Mapping[str, MemberCapabilities],
        progress: CampaignProgress,
        *,
        wait: bool,
    ) -> None:
        self._token = new_run_id()
        self._sharing: Mapping[str, Sharing] = sharing_of(seen, self._token)
        super().__init__(
            [testbed.testbed for testbed in testbeds], {name: str(seen[name].computer) for name in self._sharing}
        )
        self._cluster, self._wait = cluster, wait
        self._specs = {testbed.testbed: testbed for testbed in testbeds}
        self._progress = {name: MemberProgress(progress, name) for name in self._specs}
        self._openings: dict[str, tuple[str, str]] = {}  # by testbed: the opening's name and its worker
        self._tells: dict[str, Tell] = {}
        self._ending = threading.Event()
        for name in self._specs:
            cluster.client.subscribe_topic(self._topic(name), partial(self._hear, name))
        threading.Thread(target=self._beat, daemon=True).start()

    def _topic(self, testbed: str) -> str:
        return f"orch-{self._token}-{testbed}"

    def _hear(self, testbed: str, event: tuple[float, dict[str, Any]]) -> None:
        """Handle an event that a worker sent."""
        _, told = event
        if told["call"] == "traffic":
            if tell := self._tells.get(testbed):
                tell(told["text"])
        elif told["call"] == "detail":
            self._progress[testbed].detail(told["text"])
        else:
            self._progress[testbed].message(told["text"])

    def _beat(self) -> None:
        """Tell the workers periodically that the owner is alive."""
        while not self._ending.wait(_BEAT_S):
            for opening, address in list(self._openings.values()):
                self._run(worker.hear_there, opening, address)

    def _run(self, what: Callable[[str], None], opening: str, address: str) -> None:
        """Call a function on an opening in its worker immediately, even while the worker is busy."""
        with contextlib.suppress(Exception):  # a lost worker is reported to whoever waits for its work
            self._cluster.client.run(what, opening, workers=[address])

    def open_all(self) -> None:
        """Open all testbeds concurrently. Raises TestbedError."""
        for opening in [self._threads[name].submit(self._open, name, 0.0) for name in self.testbeds]:
            opening.result()

    def _open(self, testbed: str, patience_s: float) -> None:
        """Open a testbed on a worker that has its resource; wait up to ``patience_s`` seconds for one. Raises
        TestbedError."""
        deadline = time.monotonic() + patience_s
        while not (there := [one for one, resources in self._cluster.workers().items() if testbed in resources]):
            if self._ending.is_set() or time.monotonic() > deadline:
                raise WorkerLost(f"no worker has the resource {testbed} any more")
            time.sleep(_LOOK_S)
        opening, address = uuid.uuid4().hex, there[0]
        send = _Sender(self._topic(testbed))
        self._openings[testbed] = opening, address  # so that it is closed in the end, even if opening is cancelled
        work = (opening, self._specs[testbed], self._sharing.get(testbed), self._wait, send)
        try:
            self._cluster.ask(testbed, address, worker.open_there, *work, ending=self._ending)
        except TestbedError:
            if not self._ending.is_set():
                del self._openings[testbed]
            raise

    def _do(self, testbed: str, work: Work, tell: Tell) -> Any:
        self._tells[testbed] = tell
        if testbed not in self._openings:
            self._open(testbed, _RESTART_S)
        opening, address = self._openings[testbed]
        try:
            return self._cluster.ask(testbed, address, worker.work_there, opening, work, ending=self._ending)
        except WorkerLost:
            self._openings.pop(testbed, None)
            raise

    def _break_off(self, testbed: str) -> None:
        self._ending.set()
        if testbed in self._openings:
            self._run(worker.break_off_there, *self._openings[testbed])

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        self._ending.set()
        for testbed, (opening, address) in self._openings.items():
            with contextlib.suppress(Exception):  # the worker closes the rest when it hears nothing from the owner
                self._cluster.ask(testbed, address, worker.close_there, opening, ending=_Deadline(_CLOSE_S))


class _Deadline(threading.Event):
    """An event that sets itself after a number of seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._at = time.monotonic() + seconds

    def is_set(self) -> bool:
        return time.monotonic() > self._at


class _Sender:
    """Sends messages to the owner from the worker in which it is first called."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._worker: Any = None

    def __call__(self, message: dict[str, Any]) -> None:
        if self._worker is None:
            from distributed import get_worker

            self._worker = get_worker()
        self._worker.log_event(self._topic, message)

    def __reduce__(self) -> tuple[type["_Sender"], tuple[str]]:
        return _Sender, (self._topic,)
