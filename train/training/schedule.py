"""What changes, and what ends, as epochs go by."""

from collections.abc import Mapping, Sequence


def learning_rate(initial: float, drops: Sequence[int], epoch: int) -> float:
    """The learning rate of an epoch counted from 0: a tenth after every drop passed."""
    # To the digits of float32: 0.07 / 10 is 0.007000000000000001.
    return float(f"{initial / 10 ** sum(epoch >= drop for drop in drops):.7g}")


def is_measured(epoch: int, every: int) -> bool:
    """Whether an epoch counted from 0 is the first, or one of every so many."""
    return epoch == 0 or (epoch + 1) % every == 0


def stops_early(history: Sequence[Mapping[str, float]], patience: int | None) -> bool:
    """Whether the last `patience` epochs brought no better validation accuracy.

    Asked of the history alone, so that a resumed run stops where an undisturbed one would.
    """
    if patience is None:
        return False
    accuracies = [row["val_accuracy"] for row in history]
    return len(accuracies) > patience and (
        max(accuracies[-patience:]) <= max(accuracies[:-patience])
    )
