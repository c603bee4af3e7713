"""One of two processes that train and measure together: ADDRESS NUMBER DATA."""

import json
import sys

import jax
import keras
import numpy as np
from keras import layers

from keras_bnact import BoundedBlock, measure
from keras_bnact.regularizers import WeightDecay


def make_model(order: str) -> keras.Model:
    """Strides and no pooling, where rounding decides which of two equal values is taken."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((12, 12, 3))])
    for number, filters in enumerate((6, 8)):
        layer = layers.Conv2D(filters, 3, strides=2, kernel_regularizer=WeightDecay(0.01))
        model.add(BoundedBlock(layer, "tanh", order, name=f"conv{number}"))
    model.add(layers.Flatten())
    model.add(layers.Dense(5, name="logits"))
    optimizer = keras.optimizers.SGD(0.02, momentum=0.9)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def main(address: str, number: int, data: str) -> None:
    """Prints losses, weights and the layers' means."""
    keras.distribution.initialize(address, num_processes=2, process_id=number)
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    assert len(jax.devices()) == 2 * len(jax.local_devices())
    given = np.load(data)
    # Of every batch of 16, each process trains on a half; it is given the whole to measure.
    x, y = (given[name].reshape(-1, 2, 8, *given[name].shape[1:])[:, number] for name in "xy")
    x, y = x.reshape(-1, *x.shape[2:]), y.reshape(-1)
    model = make_model("swap")
    losses = model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0).history["loss"]
    measured = measure(model, given["x"], batch_size=16)
    weights = [np.asarray(weight).tolist() for weight in model.get_weights()]
    print(json.dumps([losses, weights, measured.means()]))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
