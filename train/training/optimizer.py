"""The optimizer that the flags name, and the learning rate of its steps."""

from typing import Any

import keras
import numpy as np

from train import names
from train.training.schedule import learning_rate

NORMALIZATION = ("gamma", "beta")


def make(flags: Any, steps: int, model: keras.Model) -> keras.optimizers.Optimizer:
    """The optimizer, built for a network's weights.

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
    # At once, so that a checkpoint finds its state to restore.
    optimizer.build(model.trainable_variables)
    return optimizer


def schedule(flags: Any, steps: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """The learning rate by the step, counted from 0 over all epochs.

    Args:
        flags: The run's.
        steps: An epoch's.
    """
    schedules = keras.optimizers.schedules
    if flags.learning_rate_schedule == "cosine":
        every = flags.epochs * steps
        warmup = round((flags.warmup_fraction or 0.0) * every)
        if not warmup:
            return schedules.CosineDecay(flags.learning_rate, every)
        return schedules.CosineDecay(
            0.0, every - warmup, warmup_target=flags.learning_rate, warmup_steps=warmup
        )
    if not flags.learning_rate_drops:
        return flags.learning_rate
    # The last step of the rate before.
    ends = [drop * steps - 1 for drop in flags.learning_rate_drops]
    epochs = (0, *flags.learning_rate_drops)
    rates = [learning_rate(flags.learning_rate, flags.learning_rate_drops, e) for e in epochs]
    return schedules.PiecewiseConstantDecay(ends, rates)


def mean_rate(flags: Any, steps: int, epoch: int) -> float:
    """The mean learning rate of an epoch's steps; epochs are counted from 0."""
    if flags.learning_rate_schedule == "steps":
        return learning_rate(flags.learning_rate, flags.learning_rate_drops, epoch)
    of_epoch = keras.ops.arange(epoch * steps, (epoch + 1) * steps, dtype="int32")
    rates = keras.ops.vectorized_map(schedule(flags, steps), of_epoch)
    return float(f"{np.mean(keras.ops.convert_to_numpy(rates), dtype='float64'):.7g}")


def _without_decay(flags: Any, model: keras.Model) -> list[keras.Variable]:
    """Gammas and betas that are not to decay: all of them, or none."""
    decays = zip(NORMALIZATION, (flags.gamma_weight_decay, flags.beta_weight_decay), strict=True)
    free = [name for name, decay in decays if decay == 0.0]
    return [variable for variable in model.trainable_variables if variable.name in free]
