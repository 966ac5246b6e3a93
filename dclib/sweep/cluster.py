"""Many runs in many processes, on this machine or others, by Dask.

Here runs are handed out to workers, one to each, and handed out again when a worker died. What
makes this safe is elsewhere: a run is locked while it is trained, resumes after its last finished
epoch, and its record appears whole.
"""

import asyncio
import json
import logging
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

import dask
import torch
from dask.system import CPU_COUNT
from distributed import Client, Future, KilledWorker, LocalCluster, rpc
from distributed.comm import CommClosedError

from dclib.errors import RunError
from dclib.records.experiment import Experiment
from dclib.sweep.attempt import Attempt, Attempts, State, Tell, Terms
from dclib.sweep.worker import TIMEOUT, Ended, Workers, work

SETTINGS = {
    "distributed.scheduler.allowed-failures": 0,  # deaths are counted here, by run
    "distributed.scheduler.worker-ttl": None,  # a worker is there as long as it is connected
}
LOGS = ("distributed", "distributed.client", "tornado.application")  # what matters is raised
DEATHS = 20  # of workers at the same run, without an epoch between them, after which it has failed


def places() -> int:
    """How many runs this machine trains at a time: one per GPU, or core where there is none."""
    return torch.cuda.device_count() or CPU_COUNT


@contextmanager
def trainers(report: Tell, terms: Terms, workers: int, scheduler: str | None) -> Iterator[Attempts]:
    """Workers for the length of a `with`; interrupted, they end with what they have finished.

    Args:
        report: called, in this thread, with every epoch that a worker has trained.
        terms: of the attempt at a run, asked for when it is handed out.
        workers: how many of this machine.
        scheduler: the address of another cluster, whose workers train instead.

    Raises:
        RunError: no scheduler answers at the address, or workers cannot be started.
    """
    for name in LOGS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with _elsewhere(scheduler) if scheduler else _here(workers) as (client, keep_up):
        try:
            yield _Sweep(client, report, terms, keep_up).attempts
        except CommClosedError as error:
            raise RunError(
                "the connection to the scheduler is lost; finished work stays"
            ) from error


@contextmanager
def _elsewhere(scheduler: str) -> Iterator[tuple[Client, Callable[[], None]]]:
    """A cluster that is there already; its workers are not ours to keep up."""
    try:
        with ThreadPoolExecutor(1) as apart:  # a notebook has a loop of its own
            about = apart.submit(asyncio.run, asyncio.wait_for(_ask(scheduler), TIMEOUT)).result()
        if about["type"] != "Scheduler":
            raise ValueError(f"it is a {about['type']}")
        client = Client(scheduler, timeout=TIMEOUT, set_as_default=False)
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, ImportError) as error:
        why = str(error) or f"nothing within {TIMEOUT} s"
        raise RunError(f"no Dask scheduler answers at {scheduler}: {why}") from error
    with client:
        if not client.nthreads():
            print(f"{scheduler} has no workers yet: waiting for them", file=sys.stderr, flush=True)
        yield client, lambda: None


async def _ask(scheduler: str) -> dict[str, Any]:
    """What a server of Dask says it is; what is none may take a connection and never answer."""
    async with rpc(scheduler) as server:
        about: dict[str, Any] = await server.identity()
        return about


@contextmanager
def _here(workers: int) -> Iterator[tuple[Client, Callable[[], None]]]:
    """A cluster of this machine, and what keeps its workers up."""
    with (
        dask.config.set(SETTINGS),
        LocalCluster(
            n_workers=0,  # its own are given up when they die while they start
            dashboard_address="127.0.0.1:0",  # any free port, or a second sweep would warn
            scheduler_kwargs={"dashboard": False},
            silence_logs=False,  # would end with the cluster, before its last words
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
        Workers(cluster.scheduler_address, workers) as own,
    ):
        yield client, own.keep_up


class _Sweep:
    """Hands out runs, one to a worker, and hears what comes of them.

    What came of a run is in how its task ended, not in a result: that of a worker which dies later
    would be computed again.
    """

    def __init__(
        self, client: Client, report: Tell, terms: Terms, keep_up: Callable[[], None]
    ) -> None:
        self.client, self.report, self.terms, self.keep_up = client, report, terms, keep_up
        self.inbox: SimpleQueue[tuple[str, str | None]] = SimpleQueue()  # a key, its epoch or end
        self.topic = f"dclib-{uuid4().hex}"
        client.subscribe_topic(self.topic, lambda event: self.inbox.put(event[1]))

    def attempts(self, experiments: Sequence[Experiment]) -> Iterator[Attempt]:
        """Let workers attempt all runs, the first ones first; a run whose worker died, again."""
        waiting = deque(experiments)
        given: dict[str, tuple[Experiment, Future]] = {}  # by key
        deaths: Counter[Experiment] = Counter()
        while waiting or given:
            self.keep_up()
            if waiting and len(given) < len(self.client.nthreads()):
                key, experiment = f"{self.topic}-{uuid4().hex}", waiting.popleft()
                given[key] = experiment, self.hand_out(key, experiment)
                continue
            try:
                key, told = self.inbox.get(timeout=0.5)
            except Empty:
                continue
            if key not in given:
                continue
            experiment, future = given[key]
            if told is not None:
                deaths[experiment] = 0
                self.report(experiment, json.loads(told))
                continue
            del given[key]
            error = _error(future)
            if isinstance(error, KilledWorker):
                deaths[experiment] += 1 + error.allowed_failures
                if deaths[experiment] < DEATHS:
                    waiting.appendleft(experiment)
                    continue
                why = f"{deaths[experiment]} processes died at it, for want of memory perhaps"
                error = Ended(State.FAILED, f"run {experiment.id} ({experiment.title}): {why}")
            if isinstance(error, Ended):
                yield experiment, *error.args
            elif error:
                raise error
            else:
                yield experiment, State.DONE, ""

    def hand_out(self, key: str, experiment: Experiment) -> Future:
        terms = self.terms(experiment)
        future = self.client.submit(work, self.topic, key, experiment, terms, key=key)
        future.add_done_callback(lambda _: self.inbox.put((key, None)))
        return future


def _error(future: Future) -> BaseException | None:
    """What a task ended by."""
    if future.status == "cancelled":
        return CommClosedError()
    return future.exception() if future.status == "error" else None
