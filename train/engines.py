"""Where the runs of a sweep are executed: each a process of `train.run`, some at a time.

An engine is a context manager that gives a function, which takes a run's arguments and the path of
its log and returns a `concurrent.futures.Future` of the process' exit status, negative where a
signal ended it. What runs when the block is left is stopped.
"""

import concurrent.futures
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent

COMMAND = ("-m", "train.run")
# TensorFlow's name of how many threads an operation is shared among.
THREADS = "TF_NUM_INTRAOP_THREADS"

Submit = Callable[[Sequence[str], str], concurrent.futures.Future]


@contextlib.contextmanager
def local(workers: int) -> Iterator[Submit]:
    """Processes on this machine, so many at a time, which share its cores."""
    stopping = threading.Event()
    # Else each takes all cores: two runs at a time on two cores then took 1.12 times as long. By
    # workers and not by runs, since the number of threads decides the last bits of a result, and a
    # run that goes on should end like an undisturbed one.
    threads = max(1, (os.cpu_count() or 1) // workers)
    environment = {THREADS: str(threads)} if workers > 1 and THREADS not in os.environ else {}
    with concurrent.futures.ThreadPoolExecutor(workers) as executor:
        try:
            yield lambda arguments, log: executor.submit(
                execute, arguments, log, stopping, environment
            )
        finally:
            stopping.set()
            executor.shutdown(cancel_futures=True)


@contextlib.contextmanager
def ray(cpus_per_run: int, gpus_per_run: int) -> Iterator[Submit]:
    """Tasks of a Ray cluster, which gives each its cores and GPUs."""
    import ray

    environment = {"PYTHONPATH": str(ROOT)}
    if not gpus_per_run:
        # Ray leaves a task that asks for none those of its node.
        environment["CUDA_VISIBLE_DEVICES"] = ""
    ray.init(log_to_driver=False, runtime_env={"env_vars": environment}, logging_level="error")
    tasks = []

    def execute_and_say_where(arguments: Sequence[str], log: str) -> int | None:
        with open(log, "a") as output:
            print(f"On Ray's node {ray.get_runtime_context().get_node_id()}", file=output)
        return execute(arguments, log)

    def submit(arguments: Sequence[str], log: str) -> concurrent.futures.Future:
        # Not tried again by Ray: a sweep that is started again does that.
        task = ray.remote(execute_and_say_where).options(
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
    arguments: Sequence[str],
    log: str,
    stopping: threading.Event | None = None,
    environment: Mapping[str, str] | None = None,
) -> int | None:
    """Runs `train.run` in a process of its own.

    Args:
        arguments: Its flags.
        log: The file that what it prints is appended to.
        stopping: Ends the process once it is set.
        environment: Variables of the process beside those of this one.

    Returns:
        Its exit status; None where it was ended or not begun.
    """
    stopping = stopping or threading.Event()
    if stopping.is_set():
        return None
    with open(log, "ab") as output:
        process = subprocess.Popen(
            [sys.executable, *COMMAND, *arguments],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        while not stopping.is_set():
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(timeout=0.2)
        return None
    finally:
        # It goes on from its last whole epoch when it is started again.
        process.kill()
        process.wait()
