"""A search by Optuna, whose trials are runs: which come next, and which are cut short.

A trial's values follow from the search's seed and from the trials that are over, and so does
whether it is cut short. So that this does not depend on which of several at a time is faster, a
trial knows of those alone that are as many numbers before it: a search that was stopped and goes
on ends like an undisturbed one.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from train import backend, options
from train.errors import InUseError, UsageError, file_errors
from train.run_directory import RunDirectory, State
from train.sweeps import grid
from train.sweeps.grid import Run
from train.sweeps.ranges import Range

# What has been found out, for Optuna's own tools; the runs alone decide how a search goes on.
JOURNAL = "search.journal"
STUDY = "search"
JUDGED_BY = "val_accuracy"


@dataclasses.dataclass
class Trial:
    """One that is not over.

    Attributes:
        number: From 0.
        run: What it trains.
        directory: Where.
        asked: Optuna's, in a study of the trials that it knows of.
        judged: How many epochs have been judged.
        pruned: The epoch, from 1, at which it is cut short.
    """

    number: int
    run: Run
    directory: RunDirectory
    asked: Any
    judged: int = 0
    pruned: int | None = None


class Search:
    """A search, as `train.sweeps.execution` carries it out.

    Args:
        ranges: What is chosen from, by the flag.
        common: All other flags of the runs.
        trials: How many.
        at_once: How many at a time.
        folder: Where the runs are.

    Attributes:
        runs: Those of the trials so far, each once.
        pruned: The epoch at which each that is cut short is.
    """

    def __init__(
        self,
        ranges: Mapping[str, Range],
        common: Any,
        trials: int,
        at_once: int,
        folder: Path,
    ):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.ranges, self.common, self.folder = ranges, common, folder
        self.trials, self.at_once = trials, at_once
        self.runs: list[Run] = []
        self.pruned: dict[Run, int] = {}
        self._distributions = {name: one.distribution() for name, one in ranges.items()}
        self._active: dict[int, Trial] = {}
        # Those over by number, and as many of them as follow one another from 0.
        self._over: dict[int, Any] = {}
        self._history: list[Any] = []
        self._failed = False
        # Runs of which a trial was not cut short, and trials that need no run.
        self._whole: set[Run] = set()
        self._made_before = 0
        self._journal = self._opened()

    @property
    def epochs(self) -> int:
        """Of the trials that have to be run."""
        return (self.trials - self._made_before) * self.common.epochs

    def directory(self, run: Run) -> RunDirectory:
        return RunDirectory(self.folder / run.name, options.as_text(run.flags))

    def ready(self) -> list[Run]:
        """Runs of the next trials, as far as those that they know of are over."""
        found = []
        while not self._failed and (trial := self._next()) is not None:
            self._active[trial.number] = trial
            if self._is_over(trial):
                self._made_before += 1
                self._end(trial)
            else:
                found.append(trial.run)
        return found

    def cut_short(self, run: Run) -> int | None:
        """The epoch after which a run is not worth going on, by the epochs that it has finished."""
        trial = self._trial(run)
        self._judge(trial)
        return trial.pruned

    def end(self, run: Run, failed: bool) -> None:
        """Takes notice that a run has ended."""
        trial = self._trial(run)
        if failed:
            # The next trials would have to know of it.
            self._failed = True
            del self._active[trial.number]
        else:
            self._end(trial)

    def _trial(self, run: Run) -> Trial:
        return next(trial for trial in self._active.values() if trial.run is run)

    def _next(self) -> Trial | None:
        number = len(self._over) + len(self._active)
        known = max(0, number - self.at_once + 1)
        if number >= self.trials or len(self._history) < known:
            return None
        asked = self._ask(number, self._history[:known])
        self._check_stored(number, asked.params)
        settings = {name: one.text(asked.params[name]) for name, one in self.ranges.items()}
        (run,) = grid.runs({name: [value] for name, value in settings.items()}, self.common)
        if any(trial.run.settings == run.settings for trial in self._active.values()):
            # The same values again: their run is this one's, too.
            return None
        same = [one for one in self.runs if one.settings == run.settings]
        self.runs += [] if same else [run]
        run = same[0] if same else run
        return Trial(number, run, self.directory(run), asked)

    def _ask(self, number: int, known: Sequence[Any]) -> Any:
        import optuna

        study = optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=self.common.seed + number),
            pruner=optuna.pruners.MedianPruner(),
        )
        study.add_trials(known)
        return study.ask(self._distributions)

    def _is_over(self, trial: Trial) -> bool:
        self._judge(trial)
        try:
            state = trial.directory.state(overwrite=False)
        except InUseError:
            return False
        if state is not State.NEW:
            trial.directory.check_backend(backend.name())
        return trial.pruned is not None or state.is_over

    def _judge(self, trial: Trial) -> None:
        """Looks at the epochs that are finished but the last, one after another."""
        accuracies = _accuracies(trial.directory)[: trial.run.flags.epochs - 1]
        for epoch, accuracy in enumerate(accuracies, start=1):
            if epoch <= trial.judged or trial.pruned is not None:
                continue
            trial.asked.report(accuracy, epoch)
            trial.judged = epoch
            if trial.asked.should_prune():
                trial.pruned = epoch

    def _end(self, trial: Trial) -> None:
        import optuna

        self._judge(trial)
        diverged = trial.directory.diverged_at()
        whole = trial.pruned is None and diverged is None
        states = optuna.trial.TrialState
        reported = _accuracies(trial.directory)[: trial.pruned or trial.judged]
        self._over[trial.number] = optuna.trial.create_trial(
            state=states.COMPLETE if whole else states.PRUNED,
            value=trial.directory.summary()["validation"]["accuracy"] if whole else None,
            params=trial.asked.params,
            distributions=self._distributions,
            intermediate_values=dict(enumerate(reported, start=1)),
            user_attrs={"run": trial.run.name},
        )
        if trial.pruned is None:
            self._whole.add(trial.run)
            self.pruned.pop(trial.run, None)
        elif trial.run not in self._whole:
            self.pruned[trial.run] = trial.pruned
        del self._active[trial.number]
        while len(self._history) in self._over:
            self._record(self._over[len(self._history)])

    def _record(self, over: Any) -> None:
        """Adds the next trial to what others know of, and to the journal."""
        with self._files():
            if len(self._history) >= len(self._journal.get_trials(deepcopy=False)):
                self._journal.add_trial(over)
        self._history.append(over)

    def _check_stored(self, number: int, params: Mapping[str, Any]) -> None:
        """Refuses to go on where Optuna would have chosen otherwise, by another version, say."""
        with self._files():
            stored = self._journal.get_trials(deepcopy=False)
        if number < len(stored) and stored[number].params != params:
            raise UsageError(
                f"{self.folder / JOURNAL} has other values for trial {number} than are chosen now, "
                "by another version of Optuna perhaps: go on with that, or give another "
                "--sweep_dir."
            )

    def _opened(self) -> Any:
        """Optuna's study in the journal, made if need be.

        Raises:
            UsageError: If it is damaged, or of another search.
        """
        import optuna
        from optuna.storages.journal import JournalFileBackend

        path = self.folder / JOURNAL
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._files():
            storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
            study = optuna.create_study(
                storage=storage, study_name=STUDY, direction="maximize", load_if_exists=True
            )
            before = study.user_attrs
            for name, value in self._described().items():
                if before.get(name, value) != value:
                    raise UsageError(
                        f"{path} is of a search with other {name} ({before[name]} there, {value} "
                        "here): give the same, or another --sweep_dir."
                    )
                if name not in before:
                    study.set_user_attr(name, value)
        return study

    def _described(self) -> dict[str, str]:
        """What a search is, by what messages call it."""
        ranges = (f"{name}={one.kind}:{one.values}" for name, one in self.ranges.items())
        return {
            "ranges": " ".join(ranges),
            # Of which each trial knows how many were before it.
            "--workers": str(self.at_once),
            "flags": options.as_text(self.common).replace("\n", " ").strip(),
        }

    @contextlib.contextmanager
    def _files(self) -> Iterator[None]:
        path = self.folder / JOURNAL
        with file_errors(f"--sweep_dir={self.folder}"):
            try:
                yield
            except (UsageError, OSError):
                raise
            except Exception as error:
                reason = " ".join(str(error).split()) or type(error).__name__
                raise UsageError(
                    f"{path} is damaged ({reason}): delete it, and it is written anew of the runs."
                ) from error


def _accuracies(directory: RunDirectory) -> list[float]:
    """On the held-out images, of the epochs that are finished."""
    with contextlib.suppress(KeyError, ValueError):
        return [float(row[JUDGED_BY]) for row in directory.epochs()]
    # Damaged, and written anew by the run.
    return []
