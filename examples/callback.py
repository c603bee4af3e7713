"""How layers fare while a model trains: a callback, and the course of one channel's skewness.

    python examples/callback.py

needs scikit-learn, for its digits.
"""

import keras
from sklearn.datasets import load_digits

from keras_bnact import models
from keras_bnact.callbacks import ActivationStatistics

if __name__ == "__main__":
    images, labels = load_digits(return_X_y=True)
    # 8x8 pixels of 0 to 16 to 32x32 ones of -1 to 1.
    images = images.reshape(-1, 8, 8, 1).repeat(4, 1).repeat(4, 2).repeat(3, 3) / 8 - 1

    keras.utils.set_random_seed(0)
    model = models.VGG16(8, order="swap", width=0.1)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss, metrics=["accuracy"])

    statistics = ActivationStatistics(images[1400:])
    history = model.fit(
        images[:1400], labels[:1400], epochs=3, verbose=0, callbacks=[statistics]
    ).history

    print("epoch   accuracy   saturation   sparsity   skewness of conv5's first channel")
    for epoch, measured in statistics.epochs.items():
        print(
            f"{epoch + 1:5}   {history['accuracy'][epoch]:8.3f}   "
            f"{history['saturation'][epoch]:10.3f}   {history['sparsity'][epoch]:8.3f}   "
            f"{measured['conv5'].channel_skewness[0]:+.3f}"
        )
