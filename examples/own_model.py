"""A residual network of one's own, with batch normalization after the activation.

    python examples/own_model.py

trains on scikit-learn's digits, with each order, for a few seconds; they are too easy for the
order to matter.
"""

import keras
from sklearn.datasets import load_digits

from keras_bnact import BoundedBlock
from keras_bnact.regularizers import WeightDecay

# Nothing normalizes what the activation is given, so the weights must not saturate it.
INITIALIZER = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1 / 3, "mode": "fan_in", "distribution": "uniform"},
}


def block(filters: int, order: str) -> BoundedBlock:
    convolution = keras.layers.Conv2D(
        filters,
        3,
        padding="same",
        kernel_initializer=keras.initializers.get(INITIALIZER),
        kernel_regularizer=WeightDecay(5e-4),
    )
    return BoundedBlock(convolution, activation="lecun_tanh", order=order)


def make(order: str) -> keras.Model:
    inputs = keras.Input((8, 8, 1))
    x = block(16, order)(inputs)
    for _ in range(3):
        x = keras.layers.add([x, block(16, order)(x)])
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(x))


if __name__ == "__main__":
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1) / 8 - 1
    for order in ("convention", "swap"):
        keras.utils.set_random_seed(0)
        model = make(order)
        optimizer = keras.optimizers.SGD(0.03, momentum=0.9)
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(images[:1400], labels[:1400], epochs=5, verbose=0)
        _, accuracy = model.evaluate(images[1400:], labels[1400:], verbose=0)
        print(f"{order:10} test accuracy {accuracy:.3f}")
