"""The layers of a network of `keras.applications`, measured as it is.

    python examples/keras_applications.py imagenet
    python examples/keras_applications.py random

"imagenet" downloads trained weights. ReLU has no bound: its saturation is relative to each
channel's largest value, and marked with an asterisk.
"""

import sys

import keras
import numpy as np

from keras_bnact import measure

if __name__ == "__main__":
    (weights,) = sys.argv[1:] or ["imagenet"]
    model = keras.applications.MobileNet(
        input_shape=(128, 128, 3), weights=None if weights == "random" else weights
    )
    # In place of photographs of yours, in 0 to 255.
    images = np.random.default_rng(0).uniform(0, 255, (64, 128, 128, 3))
    images = keras.applications.mobilenet.preprocess_input(images)

    layers = measure(model, images, batch_size=16)
    print(layers)
    sparsest = max(layers, key=lambda layer: layer.sparsity)
    print(f"\nThe sparsest layer is {sparsest.name}, {sparsest.zero_channels} of whose")
    print(f"{len(sparsest.channel_mean)} channels are always zero on these images.")
