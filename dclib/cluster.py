"""Many runs in many processes, on this machine or others, by Dask.

Dask starts the workers, gives each the next run when it has finished one, starts another worker
where one dies and gives its run to the next. Everything that makes this safe is not here: a run is
locked while it is trained, resumes after its last finished epoch, and its record appears whole.
"""

import logging
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

import dask
from dask.system import CPU_COUNT
from distributed import Client, Future, KilledWorker, LocalCluster, Status, get_worker

from dclib.errors import RunError
from dclib.experiment import Experiment
from dclib.sweep import Engine, EpochRow, Job, Result, State, attempt

SETTINGS = {
    "distributed.scheduler.allowed-failures": 10,  # deaths of its workers that a run survives
    "distributed.scheduler.worker-saturation": 1.0,  # a worker has the run it trains and no other
}
GONE = (Status.closed, Status.failed)
TIMEOUT = 20  # seconds that a scheduler may take to answer


@contextmanager
def engine(
    report: Callable[[Experiment, EpochRow], None], most: int, workers: int, scheduler: str | None
) -> Iterator[Engine]:
    """Workers for the length of a `with`; interrupted, they end with what they have finished.

    Args:
        report: called, in this thread, with every epoch that a worker has trained.
        most: no more workers than that are of use.
        workers: how many of this machine, 0 for as many as it has GPUs or cores.
        scheduler: the address of another cluster, to use instead.

    Raises:
        RunError: no scheduler answers at the address.
    """
    if scheduler:
        try:
            client = Client(scheduler, timeout=TIMEOUT, set_as_default=False)
        except (OSError, ValueError) as error:
            raise RunError(f"no Dask scheduler answers at {scheduler}: {error}") from error
        with client:
            yield lambda jobs: _attempts(client, jobs, report)
        return
    count = min(most, workers or _places())
    with (
        dask.config.set(SETTINGS),
        LocalCluster(
            n_workers=0,
            threads_per_worker=1,
            processes=True,
            memory_limit=0,  # whoever needs too much is told so by the system
            dashboard_address="127.0.0.1:0",  # any free port, or a second sweep would warn
            preload=[__name__],
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        cluster.scale(count)
        yield lambda jobs: _attempts(client, jobs, report, lambda: _revive(cluster, count))


def dask_setup(worker: Any) -> None:
    """What Dask calls in a worker when it starts: an interrupt is for the process that asked."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _places() -> int:
    """How many runs this machine trains at once: one on each GPU, else one on each core."""
    import torch

    return torch.cuda.device_count() or CPU_COUNT


def _attempts(
    client: Client,
    jobs: Iterable[Job],
    report: Callable[[Experiment, EpochRow], None],
    keep_up: Callable[[], None] = lambda: None,
) -> Iterator[Result]:
    """Let the workers attempt all jobs, the first ones first.

    What came of them is told as the epochs are, and not asked of the futures: the result of a
    worker that dies later would be lost, and the run attempted again to have it.
    """
    topic = f"dclib-{uuid4().hex}"
    given: dict[Any, Job] = {(topic, n): job for n, job in enumerate(jobs)}  # by key, in order
    inbox: SimpleQueue[Any] = SimpleQueue()  # what workers tell, and futures that ended
    client.subscribe_topic(topic, lambda event: inbox.put(event[1]))
    futures = client.map(_work, list(given.values()), list(given), key=list(given))
    pending = dict(zip(given, futures, strict=True))
    for future in futures:
        future.add_done_callback(inbox.put)
    while pending:
        keep_up()
        try:
            item = inbox.get(timeout=2)
        except Empty:
            continue
        key = item.key if isinstance(item, Future) else (topic, item["number"])
        if key not in pending:
            continue
        job = given[key]
        if not isinstance(item, Future) and "row" in item:
            report(job.experiment, item["row"])
        elif not isinstance(item, Future):
            pending.pop(key).release()
            yield job, State[item["state"]], item["message"]
        elif item.status != "finished":
            del pending[key]
            yield job, State.FAILED, _why(job, item)
    client.unsubscribe_topic(topic)


def _work(job: Job, key: tuple[str, int]) -> None:
    """What a worker does: one attempt, telling of every epoch and of what came of it."""
    import torch

    worker, (topic, number) = get_worker(), key

    def tell(**what: Any) -> None:
        worker.log_event(topic, {"number": number, **what})

    if torch.cuda.is_available() and isinstance(worker.name, int):  # one of several here
        torch.cuda.set_device(worker.name % torch.cuda.device_count())
    state, message = attempt(job, lambda row: tell(row=row))
    tell(state=state.name, message=message)


def _why(job: Job, future: Future) -> str:
    """Why a run ended without a word; an error that is not the run's own is raised."""
    try:
        future.result()
    except KilledWorker:
        why = "the process that trained it died again and again, for want of memory perhaps"
    except CancelledError:
        why = "the connection to the Dask scheduler is lost"
    return f"run {job.experiment.id} ({job.experiment.title}): {why}"


def _revive(cluster: LocalCluster, workers: int) -> None:
    """Replace workers that died before they were ready, which Dask does not."""
    gone = [name for name, one in cluster.workers.items() if one.status in GONE]
    for name in gone:
        del cluster.workers[name]
    if gone:
        cluster.scale(workers)
