"""Kernels that need not import the libraries: forked from a process that has, once for all."""

import os
from importlib.metadata import EntryPoint
from multiprocessing import get_all_start_methods, get_context, parent_process
from threading import Thread
from typing import Any, cast

from ipykernel import kernelapp
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

NAME = "forked"
LIBRARIES = ["seaborn", "torchvision", "dclib.study.pages.book", __name__]


def use() -> None:
    """Let kernels that this process starts be forked, where the system can."""
    if "forkserver" not in get_all_start_methods():
        return
    factory = KernelProvisionerFactory.instance()
    entry = EntryPoint(NAME, f"{__name__}:Forked", KernelProvisionerFactory.GROUP_NAME)
    factory.provisioners[NAME] = entry
    factory.default_provisioner_name = NAME


class Forked(LocalProvisioner):
    """A kernel of this Python whose process is forked, from one that computes nothing itself."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start it with the options of a command, `python -m ipykernel_launcher OPTIONS`."""
        context = get_context("forkserver")
        context.set_forkserver_preload(LIBRARIES)
        options = cmd[cmd.index("ipykernel_launcher") + 1 :]
        self.cwd = kwargs.get("cwd") or os.getcwd()
        process = context.Process(target=_run, args=(options, kwargs["env"], self.cwd))
        process.start()
        self.process = cast(Any, _Child(process))
        self.pid = self.pgid = process.pid  # it leads a group of its own
        return self.connection_info


class _Child:
    """A process as `subprocess` has them."""

    stdin = stdout = stderr = None

    def __init__(self, process: Any) -> None:
        self.process = process
        self.pid = process.pid

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self) -> int:
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.process.kill()

    def terminate(self) -> None:
        self.process.terminate()


def _run(options: list[str], environment: dict[str, str], folder: str) -> None:
    """Be a kernel, until told otherwise or left alone."""
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    Thread(target=_end_with_parent, daemon=True).start()
    kernelapp.launch_new_instance(options, parent_handle=os.getppid())


def _end_with_parent() -> None:
    """The process that both were forked from lives as long as one of them does."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
