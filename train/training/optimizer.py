"""The optimizer that the flags name, and the learning rate of its steps."""

from typing import Any

import keras
import numpy as np

from train import names
from train.training.schedule import learning_rate

NORMALIZATION = ("gamma", "beta")
# DyT's, and the places of tokens.
NEVER = ("alpha", "embeddings")


def make(flags: Any, steps: int, model: keras.Model) -> keras.optimizers.Optimizer:
    """The optimizer of a network's weights, to be built.

    Args:
        flags: The run's.
        steps: An epoch's.
        model: The network; without weight penalties where the optimizer decays weights itself.
    """
    rate = schedule(flags, steps)
    if flags.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(rate, momentum=flags.momentum)
    else:
        name, decays = names.OPTIMIZERS[flags.optimizer]
        kind = getattr(keras.optimizers, name)
        optimizer = kind(rate, **dict.fromkeys(decays, flags.weight_decay))
        optimizer.exclude_from_weight_decay(_without_decay(flags, model))
    return optimizer


def schedule(flags: Any, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate by the step, counted from 0 over all epochs.

    Also where it never changes: a number would be a variable of the optimizer's, and a run that is
    extended by drops would not have it.

    Args:
        flags: The run's.
        steps: An epoch's.
    """
    schedules = keras.optimizers.schedules
    if flags.learning_rate_schedule == "cosine":
        every = flags.epochs * steps
        warmup = _warmup(flags, every)
        if not warmup:
            return schedules.CosineDecay(flags.learning_rate, every)
        return schedules.CosineDecay(
            0.0, every - warmup, warmup_target=flags.learning_rate, warmup_steps=warmup
        )
    drops = [*flags.learning_rate_drops, flags.epochs]
    # The last step of the rate before.
    ends = [drop * steps - 1 for drop in drops]
    rates = [learning_rate(flags.learning_rate, drops[:-1], epoch) for epoch in (0, *drops)]
    return schedules.PiecewiseConstantDecay(ends, rates)


def mean_rate(flags: Any, steps: int, epoch: int) -> float:
    """The mean learning rate of an epoch's steps; epochs are counted from 0."""
    if flags.learning_rate_schedule == "steps":
        return learning_rate(flags.learning_rate, flags.learning_rate_drops, epoch)
    every = flags.epochs * steps
    warmup = _warmup(flags, every)
    step = np.arange(epoch * steps, (epoch + 1) * steps)
    down = (1.0 + np.cos(np.pi * (step - warmup) / (every - warmup))) / 2.0
    parts = np.where(step < warmup, step / max(warmup, 1), down)
    return float(f"{flags.learning_rate * parts.mean():.7g}")


def _warmup(flags: Any, every: int) -> int:
    """Of all steps those in which the learning rate grows; one at least is left."""
    return min(round((flags.warmup_fraction or 0.0) * every), every - 1)


def _without_decay(flags: Any, model: keras.Model) -> list[keras.Variable]:
    """What is not to decay: what has no penalty with SGD, and all gammas or betas, or none."""
    decays = zip(NORMALIZATION, (flags.gamma_weight_decay, flags.beta_weight_decay), strict=True)
    free = [*NEVER, *(name for name, decay in decays if decay == 0.0)]
    return [variable for variable in model.trainable_variables if variable.name in free]
