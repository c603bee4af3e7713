"""Where the runs of a sweep are executed, some at a time.

An engine is a context manager that gives a function, which takes a run's arguments and the path of
its log and returns a `concurrent.futures.Future` of the process' exit status, negative where a
signal ended it. What runs when the block is left is stopped.
"""

import concurrent.futures
import contextlib
import multiprocessing
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from train import backend

ROOT = Path(__file__).parent.parent.parent

COMMAND = ("-m", "train.run")
# Ends the name of a file beside a run's log, wherever that runs: it is to end.
END = ".end"
# Seconds that a run has to save where it is.
GRACE = 10.0
# TensorFlow's name of how many threads an operation is shared among.
THREADS = "TF_NUM_INTRAOP_THREADS"
# JAX' name of whether a process takes a GPU's memory at once.
PREALLOCATE = "XLA_PYTHON_CLIENT_PREALLOCATE"

Submit = Callable[[Sequence[str], str], concurrent.futures.Future]


@contextlib.contextmanager
def local(workers: int) -> Iterator[Submit]:
    """So many runs at a time on this machine, which share its cores.

    On TensorFlow each is a process of its own. On JAX a worker's process goes on with its next run,
    so that what runs have in common is read and compiled once.
    """
    stopping = threading.Event()
    environment = _shares(workers)
    idle: list[_Worker] = []

    def run(arguments, log):
        if backend.name() != "jax":
            return execute(arguments, log, stopping, environment)
        if stopping.is_set():
            return None
        worker = idle.pop() if idle else _Worker(environment)
        status = worker.execute(arguments, log, stopping)
        if worker.is_alive():
            idle.append(worker)
        return status

    with concurrent.futures.ThreadPoolExecutor(workers) as executor:
        try:
            yield lambda arguments, log: executor.submit(run, arguments, log)
        finally:
            stopping.set()
            executor.shutdown(cancel_futures=True)
            for worker in idle:
                worker.kill()


def _shares(workers: int) -> dict[str, str]:
    """Variables by which runs at a time share cores and GPU; what the user has set stays."""
    if workers == 1:
        return {}
    # Else each takes all cores: two runs at a time on two cores then took 1.12 times as long. By
    # workers and not by runs, since the number of threads decides the last bits of a result, and a
    # run that goes on should end like an undisturbed one.
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    # Else JAX' first run takes three quarters of the memory.
    shares = {THREADS: threads, PREALLOCATE: "false"}
    return {name: value for name, value in shares.items() if name not in os.environ}


class _Worker:
    """A process that carries out runs one after another, and ends when this one does.

    Args:
        environment: Variables of the process beside those of this one.
    """

    def __init__(self, environment: Mapping[str, str]):
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_work, args=(other, environment), daemon=True)
        self._process.start()
        other.close()

    def execute(self, arguments: Sequence[str], log: str, stopping: threading.Event) -> int | None:
        """As the function `execute`."""
        no_end(log)
        self._connection.send((list(arguments), log))
        while not stopping.is_set() and not _is_to_end(log):
            if self._connection.poll(0.2):
                with contextlib.suppress(EOFError):
                    return self._connection.recv()
                # It has died.
                self._process.join()
                return self._process.exitcode
        # A run goes on from its checkpoint when it is started again.
        self.kill()
        return None

    def is_alive(self) -> bool:
        """Whether it can carry out another run."""
        return self._process.is_alive()

    def kill(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.join()


def _work(connection: Any, environment: Mapping[str, str]) -> None:
    """Carries out runs in this process, whose output goes to their logs."""
    os.environ.update(environment)
    from train import run

    # Until the process that asks for them is no more.
    with contextlib.suppress(EOFError):
        while True:
            arguments, log = connection.recv()
            with open(log, "ab") as output:
                for stream in (sys.stdout, sys.stderr):
                    os.dup2(output.fileno(), stream.fileno())
            try:
                status = run.main(arguments)
            except Exception:
                sys.stdout.flush()
                traceback.print_exc()
                status = 1
            sys.stdout.flush()
            connection.send(status)


@contextlib.contextmanager
def ray(cpus_per_run: int, gpus_per_run: int) -> Iterator[Submit]:
    """Tasks of a Ray cluster, which gives each its cores and GPUs."""
    import ray

    environment = {"PYTHONPATH": str(ROOT), "KERAS_BACKEND": backend.name()}
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


def end(log: str) -> None:
    """Has the run of a log end where it is: it saves, and would go on from there."""
    Path(f"{log}{END}").touch()


def no_end(log: str) -> None:
    """Takes `end` back, of what has ended or begins."""
    Path(f"{log}{END}").unlink(missing_ok=True)


def _is_to_end(log: str) -> bool:
    return Path(f"{log}{END}").exists()


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
    no_end(log)
    # Where a module with an activation of the user's own may be.
    search_path = [os.getcwd(), *filter(None, [os.environ.get("PYTHONPATH")])]
    with open(log, "ab") as output:
        process = subprocess.Popen(
            [sys.executable, *COMMAND, *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(search_path),
                **(environment or {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        while not stopping.is_set() and not _is_to_end(log):
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(timeout=0.2)
        return None
    finally:
        # It saves where it is, and goes on from there when it is started again.
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
