"""Runs in which one file operation fails, or that are killed at it: `make faults`.

A short run is made without a fault, and its file operations are listed. Then it is made again and
again, each time with another fault, and once more without one; what it leaves, what it says and how
it ends go into a table. Operations of one kind on one file count as alike, of which one is drawn.
"""

import argparse
import collections
import concurrent.futures
import csv
import dataclasses
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import faulty

ROOT = Path(__file__).parent.parent
RUN = [
    *("--model=vgg16_8", "--width=0.05", "--train_examples=96", "--test_examples=99"),
    *("--batch_size=32", "--epochs=2", "--statistics_every=1", "--checkpoint_every=2"),
    "--deterministic",
]
TABLES = ("history.csv", "statistics.csv", "gradients.csv")
MOMENTS = 25
# Of a kill that comes at a moment and not at an operation.
MOMENT = "kill at a moment"


@dataclasses.dataclass(frozen=True)
class Case:
    """A fault: of which kind, and at which operation, or after how many seconds."""

    kind: str
    at: int = 0
    seconds: float | None = None


@dataclasses.dataclass
class Outcome:
    """What became of a run with a fault, and of the same run afterwards."""

    case: Case
    status: int
    operations: int
    seconds: float
    sentence: bool
    torn: list[str]
    epochs_lost: int
    ended_alike: bool
    said: str


def serve() -> None:
    """Makes runs in copies of this process, which has imported what they take long to import."""
    from train import run
    from train.training import driver, start, tensorflow_loop  # noqa: F401

    for line in sys.stdin:
        asked = json.loads(line)
        began = time.perf_counter()
        place = Path(asked["run_dir"])
        forked = faulty.Forked(
            place,
            asked["at"],
            asked["fault"],
            lambda: run.main([*RUN, f"--run_dir={place}"]),  # noqa: B023
            Path(asked["output"]),
        )
        if asked["seconds"] is not None:
            timer = threading.Timer(asked["seconds"], os.kill, (forked.process, signal.SIGKILL))
            timer.start()
        status = forked.wait()
        if asked["seconds"] is not None:
            timer.cancel()
        told = status, forked.operations, time.perf_counter() - began
        print(json.dumps(told), file=sys.__stdout__, flush=True)


class Server:
    """A process that `serve`s."""

    def __init__(self, library: Path, folder: Path):
        self.folder, self._output = folder, folder / "output.txt"
        folder.mkdir()
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env={**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": str(ROOT)},
        )

    def operations(self) -> list[str]:
        """Those of the last run."""
        return self._output.with_suffix(faulty.OPERATIONS).read_text().splitlines()

    def run(self, place: Path, case: Case) -> tuple[int, int, float, str]:
        """Status, operations, seconds and what was said."""
        asked = {
            "run_dir": str(place),
            "at": case.at,
            "fault": faulty.FAULTS.get(case.kind, 0),
            "seconds": case.seconds,
            "output": str(self._output),
        }
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        status, operations, seconds = json.loads(self._process.stdout.readline())
        return status, operations, seconds, self._output.read_text()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def torn(place: Path) -> list[str]:
    """Files under their own names that are not whole."""
    found = []
    for path in sorted(place.glob("[!.]*")):
        try:
            _check(path)
        except Exception as error:
            found.append(f"{path.name} ({error!r})")
    return found


def _check(path: Path) -> None:
    if path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".csv":
        assert path.read_text().endswith("\n")
        header, *rows = csv.reader(path.open(newline=""))
        assert rows
        assert all(len(row) == len(header) for row in rows)
    elif path.suffix in (".npz", ".keras"):
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
    elif path.suffix == ".html":
        assert path.read_text().rstrip().endswith("</html>")
    elif path.name == "saved_model":
        assert {"saved_model.pb", "variables"} <= {entry.name for entry in path.iterdir()}


def rows(place: Path) -> int:
    """Epochs that its table tells."""
    try:
        return len((place / "history.csv").read_text().splitlines()) - 1
    except FileNotFoundError:
        return 0


def gone_on_after(said: str) -> int:
    """Epochs that a run found finished."""
    if "holds this run, finished" in said:
        return 2
    place = re.search(r"Going on after (step \d+ of )?epoch (\d+)", said)
    return 0 if place is None else int(place[2]) - bool(place[1])


def results(place: Path) -> dict[str, object]:
    """All that two runs of the same flags have in common, bit for bit."""
    found: dict[str, object] = {name: (place / name).read_bytes() for name in TABLES}
    summary = json.loads((place / "summary.json").read_text())
    timed = ("seconds", "seconds_in_all", "images_per_second", "operations_per_second")
    found["summary"] = {name: value for name, value in summary.items() if name not in timed}
    for name in ("channels.npz", "checkpoint.npz"):
        with zipfile.ZipFile(place / name) as archive:
            members = [member for member in archive.namelist() if member != "progress.npy"]
            found[name] = {member: archive.read(member) for member in members}
    with zipfile.ZipFile(place / "model.keras") as archive:
        found["model.keras"] = _weights(archive.read("model.weights.h5"))
    found["files"] = sorted(path.name for path in place.glob("[!.]*"))
    model = place / "saved_model"
    found["saved_model"] = sorted(str(path.relative_to(model)) for path in model.rglob("*"))
    return found


def _weights(content: bytes) -> list[bytes]:
    import io

    import h5py

    found = []
    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(
            lambda _, item: found.append(item[()].tobytes()) if hasattr(item, "dtype") else None
        )
    return found


def outcome(server: Server, case: Case, expected: dict[str, object]) -> Outcome:
    """Makes a run with a fault, looks at it, and lets the same command go on."""
    place = server.folder / "run"
    shutil.rmtree(place, ignore_errors=True)
    status, operations, seconds, said = server.run(place, case)
    left = torn(place)
    told = rows(place)
    again, _, _, said_again = server.run(place, Case("none"))
    alike = again == 0 and results(place) == expected
    problems = [line for line in said.splitlines() if line.startswith("train.run: ")]
    return Outcome(
        case=case,
        status=status,
        operations=operations,
        seconds=seconds,
        # Nothing, where the run has come to its end all the same.
        sentence=len(problems) == (status != 0) and "Traceback" not in said,
        torn=left,
        epochs_lost=max(0, told - gone_on_after(said_again)),
        ended_alike=alike,
        said=said if again == 0 else said + said_again,
    )


def alike(operations: list[str]) -> dict[str, list[int]]:
    """The numbers, from 1, of the operations that are alike."""
    found: dict[str, list[int]] = {}
    for number, operation in enumerate(operations, 1):
        # The names of events and of hard-disk copies hold times and numbers.
        found.setdefault(re.sub(r"\d+", "0", operation), []).append(number)
    return found


def cases(operations: list[str], seconds: float, every: bool) -> list[Case]:
    """The faults to try.

    Args:
        operations: Of a run.
        seconds: That it takes.
        every: Whether every operation fails in every way; else one of those that are alike fails,
            with one error or another, and one is killed at.
    """
    drawn = random.Random(0)
    if every:
        numbers = range(1, len(operations) + 1)
        at_operations = [Case(kind, at) for at in numbers for kind in faulty.FAULTS]
    else:
        errors = itertools.cycle(("ENOSPC", "EIO"))
        at_operations = [
            Case(kind, drawn.choice(numbers))
            for numbers in alike(operations).values()
            for kind in (next(errors), "kill")
        ]
    moments = [Case(MOMENT, seconds=drawn.uniform(0.0, seconds)) for _ in range(MOMENTS)]
    return at_operations + moments


def table(outcomes: list[Outcome]) -> str:
    """A row for each kind of fault."""
    lines = [
        "| fault | tried | ended the run | one sentence | half-written files | epochs lost | "
        "ended alike |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    by_kind = collections.defaultdict(list)
    for one in outcomes:
        by_kind[one.case.kind].append(one)
    for kind, some in by_kind.items():
        ended = [one for one in some if one.status]
        sentences = sum(one.sentence for one in ended) if kind in ("ENOSPC", "EIO") else "-"
        lines.append(
            f"| {kind} | {len(some)} | {len(ended)} | {sentences} | "
            f"{sum(len(one.torn) for one in some)} | {sum(one.epochs_lost for one in some)} | "
            f"{sum(one.ended_alike for one in some)} |"
        )
    return "\n".join(lines)


def failed(one: Outcome) -> bool:
    killed = one.case.kind in ("kill", MOMENT)
    return bool(one.torn or one.epochs_lost or not one.ended_alike or not (one.sentence or killed))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--every", action="store_true", help="let every single operation fail")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return 0
    with tempfile.TemporaryDirectory() as folder:
        outcomes = _tried(Path(folder), arguments.every, arguments.workers)
    print(f"\n{table(outcomes)}")
    bad = [one for one in outcomes if failed(one)]
    for one in bad:
        print(f"\n{one.case}: status {one.status}, {one.torn}, lost {one.epochs_lost}\n{one.said}")
    return int(bool(bad))


def _tried(folder: Path, every: bool, workers: int) -> list[Outcome]:
    library = faulty.compiled(folder)
    servers = [Server(library, folder / str(i)) for i in range(workers)]
    place = folder / "undisturbed"
    status, operations, seconds, said = servers[0].run(place, Case("none"))
    assert status == 0, said
    expected = results(place)
    listed = servers[0].operations()
    chosen = cases(listed, seconds, every)
    print(
        f"{operations} file operations, {len(alike(listed))} that are not alike, in "
        f"{seconds:.1f} s; {len(chosen)} faults",
        flush=True,
    )
    free = list(servers)

    def one(case: Case) -> Outcome:
        server = free.pop()
        try:
            return outcome(server, case, expected)
        finally:
            free.append(server)

    outcomes = []
    with concurrent.futures.ThreadPoolExecutor(workers) as executor:
        for found in executor.map(one, chosen):
            outcomes.append(found)
            bad = " !" if failed(found) else ""
            print(f"{found.case} {found.status} after {found.operations}{bad}", flush=True)
    for server in servers:
        server.close()
    return outcomes


if __name__ == "__main__":
    sys.exit(main())
