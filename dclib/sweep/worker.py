"""A worker, and how several are kept up on this machine.

`python -m dclib.sweep.worker ADDRESS` trains for the Dask scheduler at that address, one run at a
time, on one thread, and lives as long as its connection to it. Any signal ends it as the hardest
would, since nothing is lost but the epoch that it is at.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading

import torch
from distributed import Worker, get_worker
from distributed.core import Status

from dclib.errors import RunError
from dclib.records.experiment import Experiment
from dclib.sweep.attempt import State, attempt

TIMEOUT = 10  # seconds that a scheduler may take to answer


class Ended(Exception):
    """An attempt at a run came to another end than its record: a state, and why."""


_training = threading.Lock()  # random numbers are of a process, so it trains one run at a time


def work(topic: str, key: str, experiment: Experiment, terms: tuple[bool, float, float]) -> None:
    """Attempt a run and tell of its epochs under a topic.

    Raises:
        Ended: it was not finished.
    """
    tell = get_worker().log_event
    with _training:
        state, message = attempt(
            experiment, lambda row: tell(topic, [key, json.dumps(row)]), *terms
        )
    if state is not State.DONE:
        raise Ended(state, message)


async def serve(scheduler: str) -> None:
    """Work for a scheduler until it is gone; then this process ends as if it were killed."""
    try:
        worker = await Worker(
            scheduler,
            nthreads=1,
            memory_limit=0,  # none
            dashboard_address="127.0.0.1:0",
            death_timeout=TIMEOUT,
        )
        while worker.status is Status.running:
            await asyncio.sleep(0.2)
    except TimeoutError:
        print(f"no Dask scheduler answers at {scheduler}", file=sys.stderr, flush=True)
    signal.raise_signal(signal.SIGTERM)


class Workers:
    """Processes of one thread that train for a scheduler, each on a core or a GPU of its own."""

    def __init__(self, scheduler: str, count: int) -> None:
        named, gpus = os.environ.get("CUDA_VISIBLE_DEVICES"), torch.cuda.device_count()
        self.gpus = (named.split(",") if named else [str(n) for n in range(gpus)])[:gpus]
        self.scheduler = scheduler
        self.count = count
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Workers":
        self.told = tempfile.TemporaryFile()  # what they print
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()
        self.told.close()

    def keep_up(self) -> None:
        """Start the workers that are not running: for the first time, or as they were killed.

        Raises:
            RunError: one has ended by an error of its own, so that another would too.
        """
        for n in range(self.count):
            ended = self.processes[n].poll() if n in self.processes else 0
            if ended is not None and ended > 0:
                self.told.seek(0)
                lines = self.told.read().decode(errors="replace").strip().splitlines()
                why = lines[-1] if lines else f"status {ended}"
                raise RunError(f"workers cannot be started, `--workers 1` does without: {why}")
            if ended is not None:
                self.processes[n] = self.start(n)

    def start(self, number: int) -> "subprocess.Popen[bytes]":
        own = {"OMP_NUM_THREADS": "1", "DASK_LOGGING__DISTRIBUTED": "critical"}
        if self.gpus:
            own["CUDA_VISIBLE_DEVICES"] = self.gpus[number % len(self.gpus)]
        return subprocess.Popen(
            [sys.executable, "-m", "dclib.sweep.worker", self.scheduler],
            env=os.environ | own,
            stdin=subprocess.DEVNULL,
            stdout=self.told,
            stderr=self.told,
        )


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    asyncio.run(serve(*sys.argv[1:]))
