"""A Keras network's twin in PyTorch, channels last: the same weights and the same steps."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import torch
import torch.nn.functional
from torch import nn

from keras_bnact import BoundedBlock


class Twin(nn.Module):
    """What a functional Keras model of one layer after another computes.

    Args:
        model: Of convolutions, dense layers, poolings and BoundedBlocks of these.

    Raises:
        NotImplementedError: For any other layer.
    """

    def __init__(self, model: keras.Model):
        super().__init__()
        twins = [
            _twin(step, len(layer.output.shape))
            for layer in model.layers[1:]
            for step in (layer.steps if isinstance(layer, BoundedBlock) else [layer])
        ]
        self.layers = nn.Sequential(*twins).to(memory_format=torch.channels_last)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


def training_step(
    twin: Twin, images: np.ndarray, labels: np.ndarray, rate: float, momentum: float
) -> Callable[[], float]:
    """A function that trains on the images once by SGD and returns the loss."""
    optimizer = torch.optim.SGD(twin.parameters(), rate, momentum)
    images, labels = _tensors(images, labels)

    def step():
        twin.train()
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(twin(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def evaluation_step(twin: Twin, images: np.ndarray, labels: np.ndarray) -> Callable[[], float]:
    """A function that returns the loss on the images, at inference."""
    images, labels = _tensors(images, labels)

    def step():
        twin.eval()
        with torch.inference_mode():
            return nn.functional.cross_entropy(twin(images), labels).item()

    return step


def _tensors(images: np.ndarray, labels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.from_numpy(np.moveaxis(images, -1, 1).copy())
    return images.contiguous(memory_format=torch.channels_last), torch.from_numpy(labels)


def _twin(layer: keras.layers.Layer, rank: int) -> nn.Module:
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return _convolution(layer, np.moveaxis(np.asarray(layer.kernel), (2, 3), (0, 1)), True)
    if isinstance(layer, keras.layers.Conv2D):
        return _convolution(layer, np.transpose(layer.kernel, (3, 2, 0, 1)), False)
    if isinstance(layer, keras.layers.Dense):
        dense = nn.Linear(*layer.kernel.shape, bias=layer.use_bias)
        _assign(dense, np.transpose(layer.kernel), layer.bias)
        return dense
    if isinstance(layer, keras.layers.BatchNormalization):
        return _normalization(layer, rank)
    if isinstance(layer, keras.layers.Activation):
        return {"tanh": nn.Tanh, "relu": nn.ReLU}[layer.activation.__name__]()
    if isinstance(layer, keras.layers.MaxPooling2D):
        return nn.MaxPool2d(layer.pool_size, layer.strides)
    if isinstance(layer, keras.layers.GlobalAveragePooling2D):
        return _Global()
    if isinstance(layer, keras.layers.Flatten):
        return _Flatten()
    raise NotImplementedError(f"Layer '{layer.name}' has no twin here: {type(layer).__name__}.")


def _convolution(layer: Any, kernel: np.ndarray, depthwise: bool) -> nn.Module:
    size, stride = layer.kernel_size[0], layer.strides[0]
    outputs, inputs = kernel.shape[0], kernel.shape[0] if depthwise else kernel.shape[1]
    groups = inputs if depthwise else 1
    # Keras pads an even image for a stride of 2 at its end alone.
    even = stride == 1
    convolution = nn.Conv2d(
        inputs,
        outputs,
        size,
        stride,
        padding=size // 2 if even else 0,
        groups=groups,
        bias=layer.use_bias,
    )
    _assign(convolution, kernel, layer.bias)
    return convolution if even else nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), convolution)


def _normalization(layer: Any, rank: int) -> nn.Module:
    kind = nn.BatchNorm2d if rank == 4 else nn.BatchNorm1d
    twin = kind(layer.gamma.shape[0], eps=layer.epsilon, momentum=1.0 - layer.momentum)
    _assign(twin, layer.gamma, layer.beta)
    return twin


def _assign(module: nn.Module, weight: Any, bias: Any) -> None:
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(np.array(weight)))
        if bias is not None:
            module.bias.copy_(torch.from_numpy(np.array(bias)))


class _Flatten(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # In Keras' order.
        return x.permute(0, 2, 3, 1).flatten(1)


class _Global(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))
