"""The paper's networks, built of `BoundedBlock`s from tables of blocks."""

from keras_bnact.models.blocks import KERNEL_INITIALIZER
from keras_bnact.models.mobilenet import MobileNet
from keras_bnact.models.vgg import VGG11, VGG16

__all__ = ["KERNEL_INITIALIZER", "VGG11", "VGG16", "MobileNet"]
