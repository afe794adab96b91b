"""What a job may use of its machine, and what it has used."""

from __future__ import annotations

import math
import os
import sys
from contextlib import suppress
from pathlib import Path


def peak_memory_mib() -> float:
    """Return this process's peak resident memory in MiB; NaN where the system does not tell.

    Linux's own account of the process is read: `resource.getrusage` would count the parent's
    memory at the fork, too.
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return math.nan


def one_pool_of_threads(threads: int) -> None:
    """Give OpenCV as many threads as the job has cores; Snakemake tells BLAS itself."""
    cv2 = sys.modules.get("cv2")
    if cv2 is None:
        os.environ["OPENCV_FOR_THREADS_NUM"] = str(threads)
    else:
        cv2.setNumThreads(threads)
