"""What a record says of where and how it was made."""

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision

from dclib import paths


def code() -> dict[str, Any]:
    """The commit of the code that is running, and whether dclib is as committed there."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=paths.root(), capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        if not paths.cloned():  # another repository may hold the installed package
            raise FileNotFoundError(paths.root())
        return {"commit": git("rev-parse", "HEAD"), "clean": not git("status", "-s", "dclib")}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "unknown", "clean": False}


def machine() -> dict[str, Any]:
    """The processor, and the versions that a run's numbers may depend on."""
    return {
        "processor": _processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": np.__version__,
        "system": sys.platform,
    }


def _processor() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else []:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
