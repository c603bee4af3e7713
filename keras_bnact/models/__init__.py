"""The paper's networks, and two beyond it, built of `BoundedBlock`s."""

from keras_bnact.models.blocks import KERNEL_INITIALIZER
from keras_bnact.models.mobilenet import MobileNet
from keras_bnact.models.resnet import ResNet
from keras_bnact.models.vgg import VGG11, VGG16
from keras_bnact.models.vit import ViT

__all__ = ["KERNEL_INITIALIZER", "VGG11", "VGG16", "MobileNet", "ResNet", "ViT"]
