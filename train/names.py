"""What the command line accepts by name, known without Keras, so that a mistake is told at once.

A test holds it equal to what the library has.
"""

ACTIVATIONS = (
    *("tanh", "lecun_tanh", "softsign", "hard_tanh", "arctan", "erf", "shifted_tanh"),
    *("penalized_tanh", "relu"),
)
# Name on the command line: Keras' dtype policy.
PRECISIONS = {
    "float32": "float32",
    "tf32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
    "float64": "float64",
}
# Name on the command line: class in keras.optimizers, and its arguments of a weight decay that is
# no penalty.
OPTIMIZERS = {
    "sgd": ("SGD", ()),
    "adamw": ("AdamW", ("weight_decay",)),
    "lamb": ("Lamb", ("weight_decay",)),
    "muon": ("Muon", ("weight_decay", "adam_weight_decay")),
}
SCHEDULES = ("steps", "cosine")
ORDERS = ("swap", "convention", "nobn")
# Name on the command line: function in keras_bnact.models and its own arguments.
MODELS = {
    "vgg16": ("VGG16", {"n": 16}),
    **{f"vgg16_{n}": ("VGG16", {"n": n}) for n in range(15, 7, -1)},
    "vgg11": ("VGG11", {}),
    "mobilenet": ("MobileNet", {}),
    **{f"resnet{n}": ("ResNet", {"n": n}) for n in (20, 32, 44, 56, 110)},
    "vit_layernorm": ("ViT", {"normalization": "layer_normalization"}),
    "vit_dyt": ("ViT", {"normalization": "dynamic_tanh"}),
}
# Those without batch normalization, of the order nobn alone.
UNNORMALIZED = ("vit_layernorm", "vit_dyt")
# Of their images, a side.
PATCHES = 8
# Name on the command line: what keras.initializers.get takes.
KERNEL_INITIALIZERS = {
    # PyTorch's default.
    "fan_in_uniform": {
        "class_name": "VarianceScaling",
        "config": {"scale": 1 / 3, "mode": "fan_in", "distribution": "uniform"},
    },
    "glorot_uniform": "glorot_uniform",
    "glorot_normal": "glorot_normal",
    "he_uniform": "he_uniform",
    "he_normal": "he_normal",
    "lecun_uniform": "lecun_uniform",
    "lecun_normal": "lecun_normal",
    "orthogonal": "orthogonal",
    # That of the first VGG.
    "small_normal": {"class_name": "RandomNormal", "config": {"stddev": 0.01}},
}
# Activations that TFLite cannot compute.
NOT_IN_TFLITE = ("arctan", "erf")
EXPORTS = ("saved_model", "tflite", "tflite_dynamic", "tflite_integer", "onnx")
BIAS_INITIALIZERS = {
    "zeros": "zeros",
    "ones": "ones",
    "small_normal": KERNEL_INITIALIZERS["small_normal"],
}
