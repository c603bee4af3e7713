"""Where the runs of a sweep are executed: each a process of `train.run`, some at a time.

An engine is a context manager that gives a function, which takes a run's arguments and the path of
its log and returns a `concurrent.futures.Future`, whose result is why the run failed, or None.
What runs when the block is left is stopped.
"""

import concurrent.futures
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from train.errors import IN_USE

ROOT = Path(__file__).parent.parent
# Seconds between two looks at a run that another process works on.
PATIENCE = 5.0

Submit = Callable[[Sequence[str], str], concurrent.futures.Future]


@contextlib.contextmanager
def local(workers: int) -> Iterator[Submit]:
    """Processes on this machine, so many at a time."""
    stopping = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(workers) as executor:
        try:
            yield lambda arguments, log: executor.submit(execute, arguments, log, stopping)
        finally:
            stopping.set()
            executor.shutdown(cancel_futures=True)


@contextlib.contextmanager
def ray(cpus_per_run: int, gpus_per_run: int) -> Iterator[Submit]:
    """Tasks of a Ray cluster, which gives each its cores and GPUs."""
    import ray

    environment = {"env_vars": {"PYTHONPATH": str(ROOT)}}
    ray.init(log_to_driver=False, runtime_env=environment, logging_level="error")
    tasks = []

    def submit(arguments: Sequence[str], log: str) -> concurrent.futures.Future:
        # Not tried again by Ray: a sweep that is started again does that.
        task = ray.remote(execute).options(
            num_cpus=cpus_per_run, num_gpus=gpus_per_run, max_retries=0
        )
        tasks.append(task.remote(list(arguments), log))
        return tasks[-1].future()

    try:
        yield submit
    finally:
        for task in tasks:
            ray.cancel(task)
        ray.shutdown()


def execute(
    arguments: Sequence[str], log: str, stopping: threading.Event | None = None
) -> str | None:
    """Runs `train.run` in a process of its own.

    Args:
        arguments: Its flags.
        log: The file that what it prints is appended to.
        stopping: Ends the process once it is set.

    Returns:
        Why it failed: what it said last; None where it did not.
    """
    stopping = stopping or threading.Event()
    while not stopping.is_set():
        with open(log, "ab") as output:
            code = _run([sys.executable, "-m", "train.run", *arguments], output, stopping)
        if code != IN_USE:
            break
        stopping.wait(PATIENCE)
    if stopping.is_set():
        return "stopped"
    if code < 0:
        return f"killed by signal {-code}"
    return _last_line(log) if code else None


def _run(command: Sequence[str], output: Any, stopping: threading.Event) -> int:
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output
    )
    try:
        while not stopping.is_set():
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(timeout=0.2)
        return -1
    finally:
        # It goes on from its last whole epoch when it is started again.
        process.kill()
        process.wait()


def _last_line(log: str) -> str:
    with open(log, "rb") as file:
        file.seek(max(0, os.path.getsize(log) - 2000))
        lines = file.read().decode(errors="replace").split("\n")
    said = [line.strip().removeprefix("train.run: ") for line in lines if line.strip()]
    return said[-1] if said else "it said nothing"
