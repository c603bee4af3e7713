"""A network trained by `train.run`, served without Keras or this library.

python -m train.run --epochs=2 --width=0.1 --run_dir=runs/served
python examples/saved_model.py runs/served/saved_model
"""

import sys

import tensorflow as tf
from sklearn.datasets import load_digits

if __name__ == "__main__":
    (folder,) = sys.argv[1:]
    served = tf.saved_model.load(folder).signatures["serving_default"]

    images, labels = load_digits(return_X_y=True)
    # As the network was trained on them: 32x32 pixels of 0 to 255.
    images = images[:16].reshape(-1, 8, 8, 1) * (255 / 16)
    images = images.repeat(4, 1).repeat(4, 2).repeat(3, 3)

    logits = served(images=tf.constant(images, tf.float32))["logits"]
    print("said ", *tf.argmax(logits, axis=1).numpy())
    print("is   ", *labels[:16])
