"""Where the runs of a sweep are executed, some at a time.

An engine is a context manager that gives a function, which takes a run's arguments and the path of
its log and returns a `concurrent.futures.Future` of the process' exit status, negative where a
signal ended it. What runs when the block is left is stopped.
"""

import concurrent.futures
import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from train import backend

ROOT = Path(__file__).parent.parent.parent

COMMAND = ("-m", "train.run")
# TensorFlow's name of how many threads an operation is shared among.
THREADS = "TF_NUM_INTRAOP_THREADS"

Submit = Callable[[Sequence[str], str], concurrent.futures.Future]


@contextlib.contextmanager
def local(workers: int) -> Iterator[Submit]:
    """So many runs at a time on this machine, which share its cores.

    On TensorFlow each is a process of its own. On JAX a process goes on with the next run, so that
    what runs have in common is read and compiled once.
    """
    stopping = threading.Event()
    # Else each takes all cores: two runs at a time on two cores then took 1.12 times as long. By
    # workers and not by runs, since the number of threads decides the last bits of a result, and a
    # run that goes on should end like an undisturbed one.
    threads = max(1, (os.cpu_count() or 1) // workers)
    environment = {THREADS: str(threads)} if workers > 1 and THREADS not in os.environ else {}
    processes = _Processes(stopping)

    def run(arguments, log):
        if backend.name() == "jax":
            return processes.execute(arguments, log)
        return execute(arguments, log, stopping, environment)

    with concurrent.futures.ThreadPoolExecutor(workers) as executor:
        try:
            yield lambda arguments, log: executor.submit(run, arguments, log)
        finally:
            stopping.set()
            processes.kill()
            executor.shutdown(cancel_futures=True)


class _Processes(threading.local):
    """A process for each thread that asks for a run, which carries out one after another.

    Args:
        stopping: Ends the runs once it is set.
    """

    def __init__(self, stopping: threading.Event):
        self.stopping = stopping
        self.pool: concurrent.futures.ProcessPoolExecutor | None = None

    def execute(self, arguments: Sequence[str], log: str) -> int | None:
        """As the function `execute`."""
        if self.stopping.is_set():
            return None
        if self.pool is None:
            context = multiprocessing.get_context("spawn")
            self.pool = concurrent.futures.ProcessPoolExecutor(1, context)
        future = self.pool.submit(_run, list(arguments), log)
        while not self.stopping.is_set():
            try:
                return future.result(timeout=0.2)
            except concurrent.futures.TimeoutError:
                continue
            except concurrent.futures.BrokenExecutor:
                # As if it were the run's own process; the next run gets another.
                self.pool = None
                return -signal.SIGKILL
        return None

    def kill(self) -> None:
        """Ends them; a run goes on from its checkpoint when it is started again."""
        for process in multiprocessing.active_children():
            process.kill()


def _run(arguments: list[str], log: str) -> int:
    """Carries out a run in this process, whose output goes to its log."""
    with open(log, "ab") as output:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(output.fileno(), stream.fileno())
    from train import run

    try:
        return run.main(arguments)
    except Exception:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()


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
