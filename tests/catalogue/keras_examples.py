"""Small models after Keras' code examples, of their layers, wiring and own classes."""

import functools

import keras
import numpy as np
from keras import layers, ops

import catalogue
from catalogue import Row, stack

case = functools.partial(catalogue.case, slow=True)

ZERO_ONE = (0.0, 1.0)
register = keras.saving.register_keras_serializable("catalogue")


def relu(weights="", **keywords):
    """Of an activation without bounds, whichever."""
    return Row(bounds=None, weights=weights, **keywords)


def sigmoid(**keywords):
    return Row(bounds=ZERO_ONE, **keywords)


def relus(*names, **keywords):
    return {name: relu(**keywords) for name in names}


def integers(*shape, below=8):
    return lambda rng, n: rng.integers(0, below, (n, *shape)).astype("int32")


def normal(*shape):
    return lambda rng, n: rng.normal(size=(n, *shape)).astype("float32")


class Own(layers.Layer):
    """A layer of one's own, built, also once it is loaded, by being called."""

    def get_config(self):
        return super().get_config()

    def get_build_config(self):
        return None


# Images made of noise or of other images.
@case({
    "leaky1": relu("down1"),
    "leaky2": relu("down2"),
    "leaky3": relu("down3"),
    "relu1": relu("up1"),
    "relu2": relu("up2"),
    "image": Row(),
}, deep=True)  # fmt: skip
def pix2pix_generator():
    """tensorflow.org/tutorials/generative/pix2pix"""
    inputs = x = keras.Input((16, 16, 3))
    skips = []
    for n in (1, 2, 3):
        x = layers.Conv2D(3 + n, 4, 2, "same", use_bias=False, name=f"down{n}")(x)
        x = layers.BatchNormalization()(x) if n > 1 else x
        x = layers.LeakyReLU(name=f"leaky{n}")(x)
        skips.append(x)
    for n in (1, 2):
        x = layers.Conv2DTranspose(6 - n, 4, 2, "same", use_bias=False, name=f"up{n}")(x)
        x = layers.Dropout(0.5)(layers.BatchNormalization()(x))
        x = layers.Concatenate()([layers.ReLU(name=f"relu{n}")(x), skips[2 - n]])
    image = layers.Conv2DTranspose(3, 4, 2, "same", activation="tanh", name="image")
    return keras.Model(inputs, image(x))


@register
class ReflectionPadding2D(Own):
    def __init__(self, padding=1, **keywords):
        super().__init__(**keywords)
        self.padding = padding

    def call(self, inputs):
        around = [self.padding] * 2
        return ops.pad(inputs, [[0, 0], around, around, [0, 0]], mode="reflect")

    def get_config(self):
        return {**super().get_config(), "padding": self.padding}


@case(
    {
        **relus("relu", "relu#2", "relu#3", "relu#4", weights=None),
        "tanh": Row(weights="last"),
    },
    left_out=["ReflectionPadding2D"],
    deep=True,
)
def cyclegan_generator():
    """keras.io/examples/generative/cyclegan"""
    relu = layers.Activation("relu", name="relu")

    def instance_norm(x):
        return layers.GroupNormalization(groups=-1)(x)

    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, use_bias=False)(ReflectionPadding2D()(inputs))
    x = relu(instance_norm(x))
    x = relu(instance_norm(layers.Conv2D(6, 3, 2, "same", use_bias=False)(x)))
    y = layers.Conv2D(6, 3, use_bias=False)(ReflectionPadding2D()(x))
    y = layers.Conv2D(6, 3, use_bias=False)(ReflectionPadding2D()(relu(instance_norm(y))))
    x = layers.add([x, instance_norm(y)])
    x = relu(instance_norm(layers.Conv2DTranspose(4, 3, 2, "same", use_bias=False)(x)))
    x = layers.Conv2D(3, 7, name="last")(ReflectionPadding2D(3)(x))
    return keras.Model(inputs, layers.Activation("tanh", name="tanh")(x))


@case({"leaky1": relu("up1"), "leaky2": relu("up2"), "image": sigmoid()})
def dcgan_generator():
    """keras.io/examples/generative/dcgan_overriding_train_step"""
    return stack(
        (6,),
        layers.Dense(2 * 2 * 5),
        layers.Reshape((2, 2, 5)),
        layers.Conv2DTranspose(5, 4, 2, "same", name="up1"),
        layers.LeakyReLU(0.2, name="leaky1"),
        layers.Conv2DTranspose(6, 4, 2, "same", name="up2"),
        layers.LeakyReLU(0.2, name="leaky2"),
        layers.Conv2D(3, 5, padding="same", activation="sigmoid", name="image"),
    )


@case({"leaky1": relu("down1"), "leaky2": relu("down2"), "real": sigmoid()})
def dcgan_discriminator():
    """keras.io/examples/generative/dcgan_overriding_train_step"""
    return stack(
        (8, 8, 3),
        layers.Conv2D(4, 4, 2, "same", name="down1"),
        layers.LeakyReLU(0.2, name="leaky1"),
        layers.Conv2D(5, 4, 2, "same", name="down2"),
        layers.LeakyReLU(0.2, name="leaky2"),
        layers.Flatten(),
        layers.Dropout(0.2),
        layers.Dense(1, activation="sigmoid", name="real"),
    )


@case({"leaky": relu("hidden"), "leaky1": relu("conv1"), "tanh": Row(weights="conv2")}, deep=True)
def wgan_gp_generator():
    """keras.io/examples/generative/wgan_gp"""
    return stack(
        (6,),
        layers.Dense(4 * 4 * 5, use_bias=False, name="hidden"),
        layers.BatchNormalization(),
        layers.LeakyReLU(0.2, name="leaky"),
        layers.Reshape((4, 4, 5)),
        layers.UpSampling2D(),
        layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv1"),
        layers.BatchNormalization(),
        layers.LeakyReLU(0.2, name="leaky1"),
        layers.Dropout(0.3),
        layers.UpSampling2D(),
        layers.Conv2D(1, 3, padding="same", use_bias=False, name="conv2"),
        layers.BatchNormalization(),
        layers.Activation("tanh", name="tanh"),
        layers.Cropping2D(2),
    )


@register
class Spade(Own):
    """Normalizes, and shifts and scales by what the mask is convolved to."""

    def __init__(self, filters, **keywords):
        super().__init__(**keywords)
        self.filters = filters
        self.conv = layers.Conv2D(4, 3, padding="same", activation="relu", name=f"{self.name}_conv")
        self.gamma = layers.Conv2D(filters, 3, padding="same")
        self.beta = layers.Conv2D(filters, 3, padding="same")

    def call(self, x, mask):
        mask = self.conv(ops.image.resize(mask, x.shape[1:3], interpolation="nearest"))
        mean, variance = ops.moments(x, axes=(0, 1, 2), keepdims=True)
        normalized = (x - mean) / ops.sqrt(variance + 1e-5)
        return self.gamma(mask) * normalized + self.beta(mask)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


@register
class SpadeBlock(Own):
    """A residual one, whose leaky_relu no layer is."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.spades = [Spade(4, name="spade1"), Spade(4, name="spade2")]
        self.convs = [layers.Conv2D(4, 3, padding="same") for _ in self.spades]

    def call(self, inputs, mask):
        x = inputs
        for spade, conv in zip(self.spades, self.convs, strict=True):
            x = conv(ops.leaky_relu(spade(x, mask), 0.2))
        return inputs + x


@case(
    {
        **relus("block/spade1/spade1_conv", "block/spade2/spade2_conv"),
        "leaky_relu": relu(None, a=lambda o: np.maximum(o["large"], 0.2 * o["large"])),
        "image": Row(),
    },
    left_out=["SpadeBlock", "Spade"],
    deep=True,
    replicas_differ="a replica normalizes with the statistics of its own share of the batch",
)
def gaugan_generator():
    """keras.io/examples/generative/gaugan"""
    latent, mask = keras.Input((6,)), keras.Input((8, 8, 3))
    x = layers.Reshape((4, 4, 4))(layers.Dense(4 * 4 * 4)(latent))
    x = layers.UpSampling2D(name="large")(SpadeBlock(name="block")(x, mask))
    x = ops.leaky_relu(x, 0.2)
    image = layers.Conv2D(3, 4, padding="same", activation="tanh", name="image")
    return keras.Model([latent, mask], image(x))


@register
class Sampling(Own):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, inputs):
        mean, log_variance = inputs
        noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(0.5 * log_variance) * noise


@case(
    {
        **relus("encoder/conv1", "encoder/conv2", "encoder/hidden"),
        **relus("decoder/wide", "decoder/up1"),
        "decoder/image": sigmoid(),
    },
    left_out=["Sampling"],
    replicas_differ="each replica draws its own codes",
)
def vae():
    """keras.io/examples/generative/vae"""
    images = keras.Input((8, 8, 1))
    x = layers.Conv2D(3, 3, 2, "same", activation="relu", name="conv1")(images)
    x = layers.Conv2D(4, 3, 2, "same", activation="relu", name="conv2")(x)
    x = layers.Dense(5, activation="relu", name="hidden")(layers.Flatten()(x))
    mean, log_variance = layers.Dense(2, name="mean")(x), layers.Dense(2, name="log_variance")(x)
    encoder = keras.Model(
        images, [mean, log_variance, Sampling()([mean, log_variance])], name="encoder"
    )
    decoder = stack(
        (2,),
        layers.Dense(4 * 4 * 3, activation="relu", name="wide"),
        layers.Reshape((4, 4, 3)),
        layers.Conv2DTranspose(3, 3, 2, "same", activation="relu", name="up1"),
        layers.Conv2DTranspose(1, 3, padding="same", activation="sigmoid", name="image"),
    )
    decoder.name = "decoder"
    inputs = keras.Input((8, 8, 1))
    mean, log_variance, code = encoder(inputs)
    return keras.Model(inputs, [decoder(code), mean, log_variance])


@register
class VectorQuantizer(Own):
    """The nearest of its vectors, with the gradient of what it takes."""

    def build(self, input_shape):
        self.embeddings = self.add_weight(shape=(input_shape[-1], 8), initializer="random_uniform")

    def call(self, x):
        flat = ops.reshape(x, (-1, x.shape[-1]))
        distances = (
            ops.sum(flat**2, axis=1, keepdims=True)
            + ops.sum(self.embeddings**2, axis=0)
            - 2 * ops.matmul(flat, self.embeddings)
        )
        nearest = ops.one_hot(ops.argmin(distances, axis=1), 8)
        quantized = ops.reshape(ops.matmul(nearest, ops.transpose(self.embeddings)), ops.shape(x))
        self.add_loss(0.25 * ops.mean((ops.stop_gradient(quantized) - x) ** 2))
        self.add_loss(ops.mean((quantized - ops.stop_gradient(x)) ** 2))
        return x + ops.stop_gradient(quantized - x)


@case(
    relus("encoder/conv1", "encoder/conv2", "decoder/up1", "decoder/up2"),
    left_out=["VectorQuantizer"],
)
def vq_vae():
    """keras.io/examples/generative/vq_vae"""
    encoder = stack(
        (8, 8, 1),
        layers.Conv2D(3, 3, 2, "same", activation="relu", name="conv1"),
        layers.Conv2D(4, 3, 2, "same", activation="relu", name="conv2"),
        layers.Conv2D(3, 1, padding="same"),
    )
    decoder = stack(
        (2, 2, 3),
        layers.Conv2DTranspose(4, 3, 2, "same", activation="relu", name="up1"),
        layers.Conv2DTranspose(3, 3, 2, "same", activation="relu", name="up2"),
        layers.Conv2DTranspose(1, 3, padding="same"),
    )
    encoder.name, decoder.name = "encoder", "decoder"
    inputs = keras.Input((8, 8, 1))
    return keras.Model(inputs, decoder(VectorQuantizer()(encoder(inputs))))


@register
class MaskedConv(Own):
    """Whose kernel each call masks, so that no pixel is told by those after it."""

    def __init__(self, kind, **keywords):
        super().__init__(**keywords)
        self.kind = kind
        self.conv = layers.Conv2D(4, 3, padding="same", activation="relu", name=f"{self.name}_conv")

    def build(self, input_shape):
        self.conv.build(input_shape)
        self.mask = np.zeros(self.conv.kernel.shape, "float32")
        self.mask[:1] = self.mask[1, :1] = 1.0
        self.mask[1, 1] = float(self.kind == "B")

    def call(self, inputs):
        self.conv.kernel.assign(self.conv.kernel * self.mask)
        return self.conv(inputs)

    def get_config(self):
        return {**super().get_config(), "kind": self.kind}


@case(
    {
        **relus("first/first_conv", "in", "masked/masked_conv", "out"),
        "pixels": sigmoid(),
    },
    left_out=["MaskedConv"],
)
def pixelcnn():
    """keras.io/examples/generative/pixelcnn"""
    inputs = keras.Input((6, 6, 1))
    x = MaskedConv("A", name="first")(inputs)
    y = layers.Conv2D(4, 1, activation="relu", name="in")(x)
    y = MaskedConv("B", name="masked")(y)
    y = layers.Conv2D(4, 1, activation="relu", name="out")(y)
    x = layers.add([x, y])
    return keras.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid", name="pixels")(x))


def coupling(name):
    inputs = keras.Input((2,))
    s = t = inputs
    for n in (1, 2):
        s = layers.Dense(4, activation="relu", name=f"{name}_s{n}")(s)
        t = layers.Dense(4, activation="relu", name=f"{name}_t{n}")(t)
    s = layers.Dense(2, activation="tanh", name=f"{name}_s")(s)
    return keras.Model(inputs, [s, layers.Dense(2, name=f"{name}_t")(t)], name=name)


@register
class RealNVP(keras.Model):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.couplings = [coupling("one"), coupling("other")]
        self.masks = np.array([[0, 1], [1, 0]], "float32")

    def call(self, x, training=None):
        log_determinant = 0.0
        for mask, layer in zip(self.masks, self.couplings, strict=True):
            mask = ops.convert_to_tensor(mask)
            kept, moved = x * mask, 1 - mask
            s, t = layer(kept)
            s, t = s * moved, t * moved
            x = moved * (x * ops.exp(-s) - t * ops.exp(-s)) + kept
            log_determinant -= ops.sum(s, axis=1)
        return x, log_determinant


@case(
    {
        f"{name}/{name}_{layer}": Row() if layer == "s" else relu()
        for name in ("one", "other")
        for layer in ("t1", "s1", "t2", "s2", "s")
    },
    inputs=normal(2),
    left_out=["RealNVP"],
)
def real_nvp():
    """keras.io/examples/generative/real_nvp"""
    model = RealNVP()
    model(np.zeros((1, 2), "float32"))
    return model


@case({"tanh1": Row(), "tanh2": Row()})
def wgan_graph_generator():
    """keras.io/examples/generative/wgan-graphs"""
    inputs = x = keras.Input((6,))
    for n in (1, 2):
        x = layers.Dropout(0.2)(layers.Dense(5, activation="tanh", name=f"tanh{n}")(x))
    bonds = layers.Reshape((2, 4, 4))(layers.Dense(32)(x))
    bonds = layers.Softmax(axis=1)((bonds + ops.transpose(bonds, (0, 1, 3, 2))) / 2)
    atoms = layers.Softmax(axis=2)(layers.Reshape((4, 3))(layers.Dense(12)(x)))
    return keras.Model(inputs, [bonds, atoms])


@register
class RelationalGraphConv(Own):
    def __init__(self, units, activation="relu", **keywords):
        super().__init__(**keywords)
        self.units = units
        self.activation = keras.activations.get(activation)

    def build(self, input_shape):
        bonds, atoms = input_shape
        self.kernel = self.add_weight(shape=(bonds[1], atoms[2], self.units), name="kernel")

    def call(self, inputs):
        bonds, atoms = inputs
        x = ops.matmul(bonds, atoms[:, None])
        return self.activation(ops.sum(ops.matmul(x, self.kernel), axis=1))

    def get_config(self):
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), "units": self.units, "activation": activation}


@case(
    {**relus("conv1"), "conv2": Row(), **relus("hidden")},
    left_out=["RelationalGraphConv"],
)
def wgan_graph_discriminator():
    """keras.io/examples/generative/wgan-graphs"""
    bonds, atoms = keras.Input((2, 4, 4)), keras.Input((4, 3))
    x = RelationalGraphConv(5, name="conv1")([bonds, atoms])
    x = RelationalGraphConv(6, "tanh", name="conv2")([bonds, x])
    x = layers.Dense(5, activation="relu", name="hidden")(layers.GlobalAveragePooling1D()(x))
    return keras.Model([bonds, atoms], layers.Dense(1)(layers.Dropout(0.2)(x)))


def swish_block(x, width, name):
    skip = x if x.shape[-1] == width else layers.Conv2D(width, 1)(x)
    x = layers.BatchNormalization()(x)
    x = layers.Conv2D(width, 3, padding="same", activation="swish", name=name)(x)
    return layers.Add()([layers.Conv2D(width, 3, padding="same")(x), skip])


@register
def sinusoids(x):
    angles = ops.multiply(x, [1.0, 3.0, 9.0])
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=3)


@case(relus("down", "middle", "up"), left_out=["Lambda"], deep=True)
def ddim_unet():
    """keras.io/examples/generative/ddim"""
    images, noise = keras.Input((8, 8, 3)), keras.Input((1, 1, 1))
    embedded = layers.Lambda(sinusoids, output_shape=(1, 1, 6))(noise)
    embedded = layers.UpSampling2D(8, interpolation="nearest")(embedded)
    x = layers.Concatenate()([layers.Conv2D(3, 1)(images), embedded])
    skip = swish_block(x, 4, "down")
    x = swish_block(layers.AveragePooling2D(2)(skip), 5, "middle")
    x = layers.UpSampling2D(interpolation="bilinear")(x)
    x = swish_block(layers.Concatenate()([x, skip]), 4, "up")
    return keras.Model([images, noise], layers.Conv2D(3, 1, kernel_initializer="zeros")(x))


# Images sorted, cut up and improved.
@register
class Patches(Own):
    """Squares of two pixels a side."""

    def call(self, images):
        x = ops.image.extract_patches(images, 2)
        return ops.reshape(x, (-1, x.shape[1] * x.shape[2], x.shape[3]))


@register
class PatchEncoder(Own):
    def __init__(self, units=6, **keywords):
        super().__init__(**keywords)
        self.units = units
        self.projection = layers.Dense(units)
        self.positions = layers.Embedding(9, units)

    def call(self, patches):
        return self.projection(patches) + self.positions(ops.arange(9))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


PATCHES = ["Patches", "PatchEncoder"]


@case(relus("mlp1_1", "mlp1_2", "mlp2_1", "mlp2_2", "head"), left_out=PATCHES, deep=True)
def vision_transformer():
    """keras.io/examples/vision/image_classification_with_vision_transformer"""
    inputs = keras.Input((6, 6, 3))
    x = PatchEncoder()(Patches()(inputs))
    for n in (1, 2):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        y = layers.MultiHeadAttention(num_heads=2, key_dim=6, dropout=0.1)(y, y)
        x = y = layers.Add()([y, x])
        y = layers.LayerNormalization(epsilon=1e-6)(y)
        for m, units in enumerate((8, 6), 1):
            y = layers.Dense(units, activation=keras.activations.gelu, name=f"mlp{n}_{m}")(y)
            y = layers.Dropout(0.1)(y)
        x = layers.Add()([y, x])
    x = layers.Flatten()(layers.LayerNormalization(epsilon=1e-6)(x))
    x = layers.Dense(5, activation=keras.activations.gelu, name="head")(layers.Dropout(0.5)(x))
    return keras.Model(inputs, layers.Dense(3)(x))


@register
class Mixer(Own):
    """Two perceptrons, of the patches and of the channels, after one normalization."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.mlp1, self.mlp2 = (
            keras.Sequential(
                [
                    layers.Dense(units, name=f"{self.name}_dense{n}"),
                    layers.Activation("gelu", name=f"{self.name}_gelu{n}"),
                    layers.Dense(units),
                    layers.Dropout(0.2),
                ],
                name=f"mlp{n}",
            )
            for n, units in ((1, 9), (2, 6))
        )
        self.normalize = layers.LayerNormalization(epsilon=1e-6)

    def call(self, inputs):
        x = ops.transpose(self.normalize(inputs), (0, 2, 1))
        x = ops.transpose(self.mlp1(x), (0, 2, 1)) + inputs
        return x + self.mlp2(self.normalize(x))


@case(
    {
        f"blocks/{block}/mlp{n}/{block}_gelu{n}": relu(f"{block}_dense{n}")
        for block in ("mixer1", "mixer2")
        for n in (1, 2)
    },
    left_out=[*PATCHES, "Mixer"],
    deep=True,
)
def mlp_mixer():
    """keras.io/examples/vision/mlp_image_classification"""
    return patch_classifier(Mixer(name="mixer1"), Mixer(name="mixer2"))


def patch_classifier(*blocks):
    inputs = keras.Input((6, 6, 3))
    x = PatchEncoder()(Patches()(inputs))
    x = keras.Sequential(blocks, name="blocks")(x)
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling1D()(x))
    return keras.Model(inputs, layers.Dense(3)(x))


@register
class GatedMlp(Own):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.first = keras.Sequential(
            [layers.Dense(12, activation="gelu", name="gelu"), layers.Dropout(0.2)], name="first"
        )
        self.second = layers.Dense(6)
        self.spatial = layers.Dense(9, bias_initializer="ones")
        self.normalize = layers.LayerNormalization(), layers.LayerNormalization()

    def call(self, inputs):
        x = self.normalize[0](inputs)
        u, v = ops.split(self.first(x), 2, axis=2)
        v = ops.transpose(self.spatial(ops.transpose(self.normalize[1](v), (0, 2, 1))), (0, 2, 1))
        return x + self.second(u * v)


@case({"blocks/gated/first/gelu": relu()}, left_out=[*PATCHES, "GatedMlp"], deep=True)
def gated_mlp():
    """keras.io/examples/vision/mlp_image_classification"""
    return patch_classifier(GatedMlp(name="gated"))


@register
class FourierMixing(Own):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.ffn = keras.Sequential(
            [layers.Dense(6, activation="gelu", name="gelu"), layers.Dropout(0.2), layers.Dense(6)],
            name="ffn",
        )
        self.normalize = layers.LayerNormalization(), layers.LayerNormalization()

    def call(self, inputs):
        real, _ = ops.fft2((inputs, ops.zeros_like(inputs)))
        x = self.normalize[0](inputs + real)
        return self.normalize[1](x + self.ffn(x))


@case({"blocks/mixing/ffn/gelu": relu()}, left_out=[*PATCHES, "FourierMixing"], deep=True)
def fnet():
    """keras.io/examples/vision/mlp_image_classification"""
    return patch_classifier(FourierMixing(name="mixing"))


@case(relus("mlp"), left_out=PATCHES, deep=True)
def eanet():
    """keras.io/examples/vision/eanet"""
    inputs = keras.Input((6, 6, 3))
    x = PatchEncoder(8)(Patches()(inputs))
    y = layers.Dense(16)(layers.LayerNormalization()(x))
    y = ops.transpose(ops.reshape(y, (-1, 9, 4, 4)), (0, 2, 1, 3))
    y = layers.Softmax(axis=2)(layers.Dense(3)(y))
    y = y / (1e-9 + ops.sum(y, axis=-1, keepdims=True))
    y = layers.Dense(4)(layers.Dropout(0.2)(y))
    y = layers.Dense(8)(ops.reshape(ops.transpose(y, (0, 2, 1, 3)), (-1, 9, 16)))
    x = layers.add([layers.Dropout(0.2)(y), x])
    y = layers.Dense(8, activation="gelu", name="mlp")(layers.LayerNormalization()(x))
    x = layers.add([layers.Dense(8)(layers.Dropout(0.2)(y)), x])
    return keras.Model(
        inputs, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling1D()(x))
    )


def attended(name):
    """Latent vectors that attend to the data."""
    inputs = {
        "latent": keras.Input((4, 6), name="latent"),
        "data": keras.Input((9, 6), name="data"),
    }
    latent, data = (layers.LayerNormalization()(inputs[key]) for key in ("latent", "data"))
    query, key, value = layers.Dense(6)(latent), layers.Dense(6)(data), layers.Dense(6)(data)
    x = layers.Attention(use_scale=True, dropout=0.1)([query, key, value])
    x = layers.LayerNormalization()(layers.Add()([x, latent]))
    return keras.Model(inputs, layers.Add()([feed_forward(f"{name}_ffn")(x), x]), name=name)


def self_attended(name):
    inputs = keras.Input((4, 6))
    x = layers.LayerNormalization()(inputs)
    x = layers.Add()([layers.MultiHeadAttention(2, 6, dropout=0.1)(x, x), inputs])
    y = feed_forward(f"{name}_ffn")(layers.LayerNormalization()(x))
    return keras.Model(inputs, layers.Add()([y, x]), name=name)


def feed_forward(name, activation="gelu", units=6):
    hidden = layers.Dense(units, activation=activation, name=f"{name}_hidden")
    return keras.Sequential([hidden, layers.Dense(units), layers.Dropout(0.2)], name=name)


@register
class Perceiver(keras.Model):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.latent = self.add_weight(shape=(4, 6), initializer="random_normal", name="latent")
        self.patches, self.encoder = Patches(), PatchEncoder()
        self.cross, self.own = attended("cross"), self_attended("own")
        self.pool, self.head = layers.GlobalAveragePooling1D(), feed_forward("head")

    def call(self, images):
        data = self.encoder(self.patches(images))
        latent = ops.expand_dims(self.latent, 0)
        for _ in range(2):
            latent = self.own(self.cross({"latent": latent, "data": data}))
        return self.head(self.pool(latent))


@case(
    {
        **relus("cross/cross_ffn/cross_ffn_hidden", "own/own_ffn/own_ffn_hidden"),
        "cross/cross_ffn/cross_ffn_hidden#2": relu("cross_ffn_hidden"),
        "own/own_ffn/own_ffn_hidden#2": relu("own_ffn_hidden"),
        **relus("head/head_hidden"),
    },
    inputs=normal(6, 6, 3),
    left_out=[*PATCHES, "Perceiver"],
    deep=True,
)
def perceiver():
    """keras.io/examples/vision/perceiver_image_classification"""
    model = Perceiver()
    model(np.zeros((1, 6, 6, 3), "float32"))
    return model


@case(
    {
        "gelu": relu("stem", g="norm"),
        "gelu1": relu("depthwise1", g="norm1"),
        "gelu2": relu("pointwise1", g="norm2"),
        "gelu3": relu("depthwise2", g="norm3"),
        "gelu4": relu("pointwise2", g="norm4"),
    },
    deep=True,
)
def convmixer():
    """keras.io/examples/vision/convmixer: normalized after the activation, as a swapped block is"""

    def activated(x, n=""):
        x = layers.Activation("gelu", name=f"gelu{n}")(x)
        return layers.BatchNormalization(name=f"norm{n}")(x)

    inputs = keras.Input((8, 8, 3))
    x = activated(layers.Conv2D(5, 2, 2, name="stem")(layers.Rescaling(0.5)(inputs)))
    for n in (1, 2):
        y = layers.DepthwiseConv2D(3, padding="same", name=f"depthwise{n}")(x)
        x = layers.Add()([activated(y, 2 * n - 1), x])
        x = activated(layers.Conv2D(5, 1, name=f"pointwise{n}")(x), 2 * n)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(x))


@register
def euclidean(vectors):
    x, y = vectors
    return ops.sqrt(ops.maximum(ops.sum(ops.square(x - y), axis=1, keepdims=True), 1e-7))


@case(
    {
        **{f"tower/{name}": Row() for name in ("conv1", "conv2", "hidden")},
        **{f"tower/{name}#2": Row(weights=name) for name in ("conv1", "conv2", "hidden")},
        "same": sigmoid(),
    },
    left_out=["Lambda"],
    deep=True,
)
def siamese_contrastive():
    """keras.io/examples/vision/siamese_contrastive"""
    tower = stack(
        (12, 12, 1),
        layers.BatchNormalization(),
        layers.Conv2D(4, 5, activation="tanh", name="conv1"),
        layers.AveragePooling2D(2),
        layers.Conv2D(5, 3, activation="tanh", name="conv2"),
        layers.AveragePooling2D(2),
        layers.Flatten(),
        layers.BatchNormalization(),
        layers.Dense(4, activation="tanh", name="hidden"),
    )
    tower.name = "tower"
    left, right = keras.Input((12, 12, 1)), keras.Input((12, 12, 1))
    x = layers.Lambda(euclidean, output_shape=(1,))([tower(left), tower(right)])
    same = layers.Dense(1, activation="sigmoid", name="same")
    return keras.Model([left, right], same(layers.BatchNormalization()(x)))


@case({
    "encoder/conv": relu(),
    "encoder/relu": relu("projection"),
    "encoder/conv#2": relu("conv"),
    "encoder/relu#2": relu("projection"),
    "predictor/hidden": relu(g="norm"),
    "predictor/hidden#2": relu("hidden", g="norm#2"),
}, deep=True)  # fmt: skip
def simsiam():
    """keras.io/examples/vision/simsiam"""
    encoder = stack(
        (6, 6, 3),
        layers.Conv2D(4, 3, activation="relu", name="conv"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(6, use_bias=False, name="projection"),
        layers.BatchNormalization(),
        layers.ReLU(name="relu"),
        layers.Dense(6, use_bias=False),
        layers.BatchNormalization(),
    )
    predictor = stack(
        (6,),
        layers.Dense(4, use_bias=False, activation="relu", name="hidden"),
        layers.BatchNormalization(name="norm"),
        layers.Dense(6),
    )
    encoder.name, predictor.name = "encoder", "predictor"
    views = [keras.Input((6, 6, 3)), keras.Input((6, 6, 3))]
    codes = [encoder(view) for view in views]
    return keras.Model(views, [*(predictor(code) for code in codes), *codes])


@register
class ConvBN(Own):
    """Whose activation is a function that it calls after its normalization."""

    def __init__(self, units, **keywords):
        super().__init__(**keywords)
        self.units = units
        self.conv = layers.Conv1D(units, 1, name=f"{self.name}_conv")
        self.norm = layers.BatchNormalization(momentum=0.0)
        self.activation = keras.activations.relu

    def call(self, inputs, training=None):
        return self.activation(self.norm(self.conv(inputs), training=training))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@register
class DenseBN(Own):
    """Whose activation is a layer."""

    def __init__(self, units, **keywords):
        super().__init__(**keywords)
        self.units = units
        self.dense = layers.Dense(units, name=f"{self.name}_dense")
        self.norm = layers.BatchNormalization(momentum=0.0)
        self.activation = layers.ReLU()

    def call(self, inputs, training=None):
        return self.activation(self.norm(self.dense(inputs), training=training))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@case(
    {
        "tnet/t1": relu("t1_conv"),
        "tnet/t2": relu("t2_dense"),
        "conv1": relu("conv1_conv"),
        "conv2": relu("conv2_conv"),
        "hidden": relu("hidden_dense"),
    },
    left_out=["ConvBN", "DenseBN"],
    deep=True,
)
def pointnet():
    """keras.io/examples/vision/pointnet"""
    points = keras.Input((7, 3))
    x = layers.GlobalMaxPooling1D()(ConvBN(5, name="t1")(points))
    x = layers.Dense(
        9,
        kernel_initializer="random_normal",
        bias_initializer=keras.initializers.Constant(np.eye(3).flatten().tolist()),
    )(DenseBN(4, name="t2")(x))
    turned = layers.Dot(axes=(2, 1))([points, layers.Reshape((3, 3))(x)])
    tnet = keras.Model(points, turned, name="tnet")

    inputs = keras.Input((7, 3))
    x = ConvBN(5, name="conv2")(ConvBN(4, name="conv1")(tnet(inputs)))
    x = DenseBN(4, name="hidden")(layers.GlobalMaxPooling1D()(x))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.Dropout(0.3)(x)))


@case(
    {
        "relu": relu("entry"),
        # After another activation, and after a sum.
        "a1": relu(None),
        "b1": relu("separable1"),
        "a2": relu(None),
        "b2": relu("separable2"),
        "c1": relu(None),
        "d1": relu("transposed1"),
        "c2": relu(None),
        "d2": relu("transposed2"),
    },
    deep=True,
)
def xception_unet():
    """keras.io/examples/vision/oxford_pets_image_segmentation"""

    def norm(x):
        return layers.BatchNormalization()(x)

    def activation(name, x):
        return layers.Activation("relu", name=name)(x)

    inputs = keras.Input((8, 8, 3))
    x = norm(layers.Conv2D(4, 3, 2, "same", name="entry")(inputs))
    x = before = activation("relu", x)
    for n, filters in ((1, 5), (2, 6)):
        x = activation(f"a{n}", x)
        x = norm(layers.SeparableConv2D(filters, 3, padding="same", name=f"separable{n}")(x))
        x = activation(f"b{n}", x)
        x = norm(layers.SeparableConv2D(filters, 3, padding="same")(x))
        x = layers.MaxPooling2D(3, 2, "same")(x)
        x = before = layers.add([x, layers.Conv2D(filters, 1, 2, "same")(before)])
    for n, filters in ((1, 5), (2, 4)):
        x = activation(f"c{n}", x)
        x = norm(layers.Conv2DTranspose(filters, 3, padding="same", name=f"transposed{n}")(x))
        x = activation(f"d{n}", x)
        x = norm(layers.Conv2DTranspose(filters, 3, padding="same")(x))
        before = layers.Conv2D(filters, 1, padding="same")(layers.UpSampling2D()(before))
        x = before = layers.add([layers.UpSampling2D()(x), before])
    return keras.Model(inputs, layers.Conv2D(3, 3, activation="softmax", padding="same")(x))


def rectified(norm):
    return lambda outputs: np.maximum(outputs[norm], 0)


@case(
    {
        f"relu{suffix}": relu(f"conv{n}", a=rectified(f"norm{n}"))
        for n, suffix in enumerate(("", "_1", "_2", "_3", "_4", "_5"))
    },
    deep=True,
)
def deeplabv3_plus():
    """keras.io/examples/vision/deeplabv3_plus: its activations are functions"""
    count = iter(range(6))

    def block(x, filters, **keywords):
        n = next(count)
        x = layers.Conv2D(filters, padding="same", use_bias=False, name=f"conv{n}", **keywords)(x)
        return ops.relu(layers.BatchNormalization(name=f"norm{n}")(x))

    inputs = keras.Input((8, 8, 3))
    low = block(inputs, 4, kernel_size=3)
    x = block(low, 4, kernel_size=3, strides=2)
    pooled = block(layers.AveragePooling2D(4)(x), 3, kernel_size=1)
    pooled = layers.UpSampling2D(4, interpolation="bilinear")(pooled)
    wide = block(x, 3, kernel_size=3, dilation_rate=2)
    x = block(layers.Concatenate()([pooled, wide]), 4, kernel_size=1)
    x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    x = block(layers.Concatenate()([x, low]), 4, kernel_size=3)
    return keras.Model(inputs, layers.Conv2D(2, 1)(x))


@case(relus("conv1", "conv2", "conv3"))
def super_resolution():
    """keras.io/examples/vision/super_resolution_sub_pixel"""
    inputs = x = keras.Input((6, 6, 1))
    for n, size in enumerate((5, 3, 3), 1):
        x = layers.Conv2D(
            4, size, padding="same", activation="relu", kernel_initializer="orthogonal",
            name=f"conv{n}",
        )(x)  # fmt: skip
    x = ops.reshape(layers.Conv2D(4, 3, padding="same")(x), (-1, 6, 6, 2, 2, 1))
    return keras.Model(inputs, ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, 12, 12, 1)))


@register
class ZeroDCE(keras.Model):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        relu = {"padding": "same", "activation": "relu"}
        inputs = keras.Input((None, None, 3))
        first = layers.Conv2D(4, 3, **relu, name="conv1")(inputs)
        second = layers.Conv2D(4, 3, **relu, name="conv2")(first)
        x = layers.Conv2D(4, 3, **relu, name="conv3")(layers.Concatenate()([first, second]))
        curves = layers.Conv2D(6, 3, padding="same", activation="tanh", name="curves")(x)
        self.dce = keras.Model(inputs, curves, name="dce")

    def call(self, x):
        for curve in ops.split(self.dce(x), 2, axis=3):
            x = x + curve * (ops.square(x) - x)
        return x


@case(
    {**relus("dce/conv1", "dce/conv2", "dce/conv3"), "dce/curves": Row()},
    inputs=lambda rng, n: rng.uniform(0, 1, (n, 6, 6, 3)).astype("float32"),
    left_out=["ZeroDCE"],
)
def zero_dce():
    """keras.io/examples/vision/zero_dce"""
    model = ZeroDCE()
    model(np.zeros((1, 6, 6, 3), "float32"))
    return model


@register
class Involution(Own):
    """Gives what a kernel of its own makes at each place, and the kernel."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.generator = keras.Sequential(
            [
                layers.Conv2D(3, 1, name=f"{self.name}_conv"),
                layers.BatchNormalization(),
                layers.ReLU(name=f"{self.name}_relu"),
                layers.Conv2D(9, 1),
            ],
            name="generator",
        )

    def call(self, x, training=None):
        size, channels = x.shape[1:3], x.shape[-1]
        kernel = ops.reshape(self.generator(x, training=training), (-1, *size, 9, 1))
        around = ops.image.extract_patches(x, 3, 1, padding="same")
        around = ops.reshape(around, (-1, *size, 9, channels))
        return ops.sum(kernel * around, axis=3), kernel


@case(
    {
        "one/generator/one_relu": relu("one_conv"),
        "relu": relu("one"),
        "other/generator/other_relu": relu("other_conv"),
        "hidden": relu(),
    },
    left_out=["Involution"],
    deep=True,
)
def involution():
    """keras.io/examples/vision/involution"""
    inputs = keras.Input((6, 6, 3))
    x, _ = Involution(name="one")(inputs)
    x = layers.MaxPooling2D()(layers.ReLU(name="relu")(x))
    x, _ = Involution(name="other")(x)
    x = layers.Dense(5, activation="relu", name="hidden")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(3)(x))


@register
class AttentionOfInstances(Own):
    """Calls tanh and sigmoid itself."""

    def build(self, input_shapes):
        size = input_shapes[0][-1]
        self.v, self.u = (self.add_weight(shape=(size, 4), name=name) for name in "vu")
        self.w = self.add_weight(shape=(4, 1), name="w")

    def call(self, instances):
        scores = [
            ops.matmul(ops.tanh(ops.matmul(x, self.v)) * ops.sigmoid(ops.matmul(x, self.u)), self.w)
            for x in instances
        ]
        return ops.unstack(ops.softmax(ops.stack(scores), axis=0), 3)


@case(
    {f"{dense}{call}": relu(dense) for dense in ("dense1", "dense2") for call in ("", "#2", "#3")},
    left_out=["AttentionOfInstances"],
)
def attention_mil():
    """keras.io/examples/vision/attention_mil_classification"""
    dense1 = layers.Dense(6, activation="relu", name="dense1")
    dense2 = layers.Dense(5, activation="relu", name="dense2")
    bag = [keras.Input((3, 3)) for _ in range(3)]
    embedded = [dense2(dense1(layers.Flatten()(instance))) for instance in bag]
    attention = AttentionOfInstances()(embedded)
    weighted = [layers.multiply(pair) for pair in zip(attention, embedded, strict=True)]
    return keras.Model(bag, layers.Dense(2, activation="softmax")(layers.concatenate(weighted)))


@case({**relus("conv1", "conv2", "hidden"), "viable": sigmoid()})
def image_classification_3d():
    """keras.io/examples/vision/3D_image_classification: it pools before it normalizes"""
    return stack(
        (8, 8, 8, 1),
        layers.Conv3D(3, 3, activation="relu", name="conv1"),
        layers.MaxPool3D(),
        layers.BatchNormalization(),
        layers.Conv3D(4, 2, activation="relu", name="conv2"),
        layers.MaxPool3D(),
        layers.BatchNormalization(),
        layers.GlobalAveragePooling3D(),
        layers.Dense(5, activation="relu", name="hidden"),
        layers.Dropout(0.3),
        layers.Dense(1, activation="sigmoid", name="viable"),
    )


@case({"frames": sigmoid()}, left_out=["rnn1", "rnn2", "rnn3"])
def next_frames():
    """keras.io/examples/vision/conv_lstm"""
    rnn = {"padding": "same", "return_sequences": True, "activation": "relu"}
    return stack(
        (3, 6, 6, 1),
        layers.ConvLSTM2D(3, 5, **rnn, name="rnn1"),
        layers.BatchNormalization(),
        layers.ConvLSTM2D(3, 3, **rnn, name="rnn2"),
        layers.BatchNormalization(),
        layers.ConvLSTM2D(3, 1, **rnn, name="rnn3"),
        layers.Conv3D(1, 3, activation="sigmoid", padding="same", name="frames"),
    )


def both(n):
    lstm = layers.LSTM(3, return_sequences=True, dropout=0.25, name="lstm")
    return layers.Bidirectional(lstm, name=f"both{n}")


@case(
    relus("conv1", "conv2", "hidden"),
    left_out=[f"both{n}/{way}_lstm" for n in (1, 2) for way in ("forward", "backward")],
)
def captcha_ocr():
    """keras.io/examples/vision/captcha_ocr"""
    conv = {"padding": "same", "activation": "relu", "kernel_initializer": "he_normal"}
    return stack(
        (12, 8, 1),
        layers.Conv2D(3, 3, **conv, name="conv1"),
        layers.MaxPooling2D(),
        layers.Conv2D(4, 3, **conv, name="conv2"),
        layers.MaxPooling2D(),
        layers.Reshape((3, 2 * 4)),
        layers.Dense(5, activation="relu", name="hidden"),
        layers.Dropout(0.2),
        both(1),
        both(2),
        layers.Dense(4, activation="softmax"),
    )


# Sound, series and text.
@case(
    {
        **{f"{kind}{n}": Row() if kind == "filter" else sigmoid()
           for n in (1, 2, 4) for kind in ("filter", "gate")},
        "relu": relu(None),
        "last": relu(),
    },
    deep=True,
)  # fmt: skip
def wavenet():
    """No example of Keras' own: its gates as layers."""
    inputs = keras.Input((12, 2))
    x = layers.Conv1D(4, 2, padding="causal")(inputs)
    skips = []
    for n in (1, 2, 4):
        causal = {"padding": "causal", "dilation_rate": n}
        gates = [
            layers.Conv1D(4, 2, activation="tanh", name=f"filter{n}", **causal)(x),
            layers.Conv1D(4, 2, activation="sigmoid", name=f"gate{n}", **causal)(x),
        ]
        skips.append(layers.Conv1D(4, 1)(layers.Multiply()(gates)))
        x = layers.Add()([x, skips[-1]])
    x = layers.Activation("relu", name="relu")(layers.Add()(skips))
    x = layers.Conv1D(5, 1, activation="relu", name="last")(x)
    return keras.Model(inputs, layers.Conv1D(3, 1, activation="softmax")(x))


@case(
    {
        "tanh": Row(a=lambda o: np.tanh(o["filter1"]), weights="filter1"),
        "sigmoid": sigmoid(a=lambda o: 1 / (1 + np.exp(-o["gate1"])), weights="gate1"),
        "tanh_1": Row(a=lambda o: np.tanh(o["filter2"]), weights="filter2"),
        "sigmoid_1": sigmoid(a=lambda o: 1 / (1 + np.exp(-o["gate2"])), weights="gate2"),
    },
    deep=True,
)
def wavenet_of_functions():
    """No example of Keras' own: its gates as functions."""
    inputs = x = keras.Input((12, 4))
    for n in (1, 2):
        causal = {"padding": "causal", "dilation_rate": n}
        filtered = ops.tanh(layers.Conv1D(4, 2, name=f"filter{n}", **causal)(x))
        x = x + filtered * ops.sigmoid(layers.Conv1D(4, 2, name=f"gate{n}", **causal)(x))
    return keras.Model(inputs, layers.Conv1D(3, 1)(x))


@case({
    "relu1": relu("conv1"),
    "sum1": relu(None),
    "relu2": relu("conv2"),
    "sum2": relu(None),
    "hidden": relu(),
}, deep=True)  # fmt: skip
def speaker_recognition():
    """keras.io/examples/audio/speaker_recognition_using_cnn"""
    inputs = x = keras.Input((16, 1))
    for n in (1, 2):
        skip = layers.Conv1D(2 + n, 1, padding="same")(x)
        x = layers.Conv1D(2 + n, 3, padding="same", name=f"conv{n}")(x)
        x = layers.Conv1D(2 + n, 3, padding="same")(layers.Activation("relu", name=f"relu{n}")(x))
        x = layers.Activation("relu", name=f"sum{n}")(layers.Add()([x, skip]))
        x = layers.MaxPool1D(2, 2)(x)
    x = layers.Flatten()(layers.AveragePooling1D(3, 3)(x))
    x = layers.Dense(5, activation="relu", name="hidden")(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(x))


@case(
    {"relu1": relu("conv1"), "relu2": relu("conv2"), "relu3": relu("hidden")},
    left_out=["both/forward_gru", "both/backward_gru"],
    deep=True,
)
def deep_speech():
    """keras.io/examples/audio/ctc_asr"""
    gru = layers.GRU(3, return_sequences=True, reset_after=True, name="gru")
    return stack(
        (12, 8),
        layers.Reshape((12, 8, 1)),
        layers.Conv2D(3, (3, 3), (2, 2), "same", use_bias=False, name="conv1"),
        layers.BatchNormalization(),
        layers.ReLU(name="relu1"),
        layers.Conv2D(3, (3, 3), (1, 2), "same", use_bias=False, name="conv2"),
        layers.BatchNormalization(),
        layers.ReLU(name="relu2"),
        layers.Reshape((6, 2 * 3)),
        layers.Bidirectional(gru, name="both"),
        layers.Dropout(0.5),
        layers.Dense(6, name="hidden"),
        layers.ReLU(name="relu3"),
        layers.Dropout(0.5),
        layers.Dense(4, activation="softmax"),
    )


@case({"relu1": relu("conv1"), "relu2": relu("conv2"), "relu3": relu("conv3")}, deep=True)
def timeseries_classification():
    """keras.io/examples/timeseries/timeseries_classification_from_scratch"""
    inputs = x = keras.Input((12, 1))
    for n in (1, 2, 3):
        x = layers.Conv1D(4, 3, padding="same", name=f"conv{n}")(x)
        x = layers.ReLU(name=f"relu{n}")(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(x))


@case(relus("conv1", "conv2", "mlp"), deep=True)
def timeseries_transformer():
    """keras.io/examples/timeseries/timeseries_classification_transformer: ends in channels first"""
    inputs = x = keras.Input((7, 2))
    for n in (1, 2):
        y = layers.MultiHeadAttention(num_heads=2, key_dim=3, dropout=0.25)(x, x)
        x = layers.LayerNormalization(epsilon=1e-6)(layers.Dropout(0.25)(y)) + x
        y = layers.Conv1D(4, 1, activation="relu", name=f"conv{n}")(x)
        y = layers.Conv1D(2, 1)(layers.Dropout(0.25)(y))
        x = layers.LayerNormalization(epsilon=1e-6)(y) + x
    x = layers.GlobalAveragePooling1D(data_format="channels_last")(x)
    x = layers.Dropout(0.4)(layers.Dense(5, activation="relu", name="mlp")(x))
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(x))


@case(relus("down1", "down2", "up1", "up2"))
def timeseries_autoencoder():
    """keras.io/examples/timeseries/timeseries_anomaly_detection"""
    conv = {"padding": "same", "strides": 2, "activation": "relu"}
    return stack(
        (12, 1),
        layers.Conv1D(4, 5, **conv, name="down1"),
        layers.Dropout(0.2),
        layers.Conv1D(3, 5, **conv, name="down2"),
        layers.Conv1DTranspose(3, 5, **conv, name="up1"),
        layers.Dropout(0.2),
        layers.Conv1DTranspose(4, 5, **conv, name="up2"),
        layers.Conv1DTranspose(1, 5, padding="same"),
    )


@register
class TokenAndPosition(Own):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.tokens, self.positions = layers.Embedding(8, 6), layers.Embedding(7, 6)

    def call(self, x):
        return self.tokens(x) + self.positions(ops.arange(ops.shape(x)[-1]))


@register
class TransformerBlock(Own):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.attention = layers.MultiHeadAttention(num_heads=2, key_dim=6)
        self.ffn = feed_forward("ffn", "relu")
        self.norms = [layers.LayerNormalization(epsilon=1e-6) for _ in range(2)]
        self.drops = [layers.Dropout(0.1) for _ in range(2)]

    def call(self, x, training=None):
        y = self.drops[0](self.attention(x, x), training=training)
        x = self.norms[0](x + y)
        return self.norms[1](x + self.drops[1](self.ffn(x), training=training))


@case(
    relus("block/ffn/ffn_hidden", "hidden"),
    inputs=integers(7),
    left_out=["TokenAndPosition", "TransformerBlock"],
    deep=True,
)
def text_transformer():
    """keras.io/examples/nlp/text_classification_with_transformer"""
    return text_classifier(TransformerBlock(name="block"))


def text_classifier(block):
    inputs = keras.Input((7,), dtype="int32")
    x = layers.GlobalAveragePooling1D()(block(TokenAndPosition()(inputs)))
    x = layers.Dense(5, activation="relu", name="hidden")(layers.Dropout(0.1)(x))
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.Dropout(0.1)(x)))


@register
class Switch(Own):
    """Each token goes to the expert that a router, noisy in training, tells."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.router = layers.Dense(2)
        self.experts = [feed_forward(f"expert{n}", "relu") for n in (1, 2)]
        self.seed_generator = keras.random.SeedGenerator(7)

    def call(self, inputs, training=None):
        scores = self.router(inputs)
        if training:
            noise = keras.random.uniform(ops.shape(scores), 0.9, 1.1, seed=self.seed_generator)
            scores = scores + noise
        shares = ops.softmax(scores)
        shares = shares * ops.one_hot(ops.argmax(shares, axis=-1), 2)
        x = [expert(inputs) for expert in self.experts]
        return sum(shares[..., n : n + 1] * y for n, y in enumerate(x))


@case(
    relus("switch/expert1/expert1_hidden", "switch/expert2/expert2_hidden", "hidden"),
    inputs=integers(7),
    left_out=["TokenAndPosition", "Switch"],
    deep=True,
)
def switch_transformer():
    """keras.io/examples/nlp/text_classification_with_switch_transformer"""
    return text_classifier(Switch(name="switch"))


@case(
    {},
    left_out=["encoder", "decoder"],
    refused=dict.fromkeys(
        ("measure", "measure_gradients", "save_and_load", "fit", "two_replicas"),
        "no activation that can be measured.*not seen is encoder, in a loop over time steps",
    ),
)
def lstm_seq2seq():
    """keras.io/examples/nlp/lstm_seq2seq: its only activation of its own is softmax"""
    source, target = keras.Input((6, 4)), keras.Input((5, 3))
    _, *states = layers.LSTM(3, return_state=True, name="encoder")(source)
    decoder = layers.LSTM(3, return_sequences=True, return_state=True, name="decoder")
    x, _, _ = decoder(target, initial_state=states)
    return keras.Model([source, target], layers.Dense(3, activation="softmax")(x))


@register
class SpeechTransformer(keras.Model):
    """Reads sound, convolved, and writes text, of which it sees what comes before."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.sound = keras.Sequential(
            [
                layers.Conv1D(6, 5, 2, "same", activation="relu", name="conv1"),
                layers.Conv1D(6, 5, 2, "same", activation="relu", name="conv2"),
            ],
            name="sound",
        )
        self.text, self.block = TokenAndPosition(), TransformerBlock(name="block")
        self.own = layers.MultiHeadAttention(num_heads=2, key_dim=6)
        self.other = layers.MultiHeadAttention(num_heads=2, key_dim=6)
        self.norms = [layers.LayerNormalization() for _ in range(3)]
        self.ffn, self.head = feed_forward("decoder_ffn", "relu"), layers.Dense(8)

    def call(self, inputs, training=None):
        sound, text = inputs
        sound = self.block(self.sound(sound), training=training)
        x = self.text(text)
        x = self.norms[0](x + self.own(x, x, use_causal_mask=True, training=training))
        x = self.norms[1](x + self.other(x, sound, training=training))
        return self.head(self.norms[2](x + self.ffn(x, training=training)))


@case(
    {
        **relus("sound/conv1", "sound/conv2", "block/ffn/ffn_hidden"),
        **relus("decoder_ffn/decoder_ffn_hidden"),
    },
    inputs=lambda rng, n: [normal(12, 3)(rng, n), integers(7)(rng, n)],
    left_out=["SpeechTransformer", "TransformerBlock", "TokenAndPosition"],
    deep=True,
)
def transformer_asr():
    """keras.io/examples/audio/transformer_asr"""
    model = SpeechTransformer()
    model([np.zeros((1, 12, 3), "float32"), np.zeros((1, 7), "int32")])
    return model


# Tables, graphs and games.
@case(
    {"relu1": relu("dense1"), "relu2": relu("dense2")},
    inputs=lambda rng, n: {"number": normal(1)(rng, n), "kind": integers()(rng, n)},
    deep=True,
)
def deep_and_cross():
    """keras.io/examples/structured_data/wide_deep_cross_networks"""
    number, kind = keras.Input((1,), name="number"), keras.Input((), name="kind", dtype="int32")
    x = layers.concatenate([number, layers.Embedding(8, 3)(kind)])
    cross = start = layers.BatchNormalization()(x)
    for _ in range(2):
        cross = start * layers.Dense(4)(cross) + cross
    cross = layers.BatchNormalization()(cross)
    deep = start
    for n in (1, 2):
        deep = layers.BatchNormalization()(layers.Dense(5, name=f"dense{n}")(deep))
        deep = layers.Dropout(0.1)(layers.ReLU(name=f"relu{n}")(deep))
    merged = layers.Dense(3, activation="softmax")(layers.concatenate([cross, deep]))
    return keras.Model({"number": number, "kind": kind}, merged)


@case(
    {"gelu": relu(), "selu1": relu(g="norm"), "selu2": relu(), "income": sigmoid()},
    inputs=lambda rng, n: {"kinds": integers(3)(rng, n), "numbers": normal(2)(rng, n)},
    deep=True,
)
def tab_transformer():
    """keras.io/examples/structured_data/tabtransformer"""
    kinds = keras.Input((3,), name="kinds", dtype="int32")
    numbers = keras.Input((2,), name="numbers")
    columns = [layers.Embedding(8, 4)(kinds[:, n]) for n in range(3)]
    x = ops.stack(columns, axis=1)
    y = layers.MultiHeadAttention(num_heads=2, key_dim=4, dropout=0.2)(x, x)
    x = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([y, x]))
    y = layers.Dense(4, activation=keras.activations.gelu, name="gelu")(x)
    x = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([layers.Dropout(0.2)(y), x]))
    x = layers.concatenate([layers.Flatten()(x), layers.LayerNormalization()(numbers)])
    x = layers.BatchNormalization()(x)
    x = layers.Dense(6, activation=keras.activations.selu, name="selu1")(x)
    x = layers.BatchNormalization(name="norm")(layers.Dropout(0.2)(x))
    x = layers.Dense(5, activation=keras.activations.selu, name="selu2")(x)
    x = layers.Dense(1, activation="sigmoid", name="income")(layers.Dropout(0.2)(x))
    return keras.Model({"kinds": kinds, "numbers": numbers}, x)


@register
class GatedResidual(Own):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.elu = layers.Dense(4, activation="elu", name=f"{self.name}_elu")
        self.linear, self.project = layers.Dense(4), layers.Dense(4)
        self.value = layers.Dense(4)
        self.gate = layers.Dense(4, activation="sigmoid", name=f"{self.name}_gate")
        self.drop, self.normalize = layers.Dropout(0.15), layers.LayerNormalization()

    def call(self, inputs, training=None):
        x = self.drop(self.linear(self.elu(inputs)), training=training)
        return self.normalize(self.project(inputs) + self.value(x) * self.gate(x))


@register
class VariableSelection(Own):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.features = [GatedResidual(name=f"feature{n}") for n in (1, 2)]
        self.all = GatedResidual(name="all")
        self.weigh = layers.Dense(2, activation="softmax")

    def call(self, inputs, training=None):
        together = self.all(ops.concatenate(inputs, axis=-1), training=training)
        weights = ops.expand_dims(self.weigh(together), -1)
        each = [layer(x, training=training) for layer, x in zip(self.features, inputs, strict=True)]
        return ops.sum(weights * ops.stack(each, axis=1), axis=1)


@case(
    {
        f"selection/{name}/{name}_{kind}": relu() if kind == "elu" else sigmoid()
        for name in ("all", "feature1", "feature2")
        for kind in ("elu", "gate")
    }
    | {"income": sigmoid()},
    inputs=lambda rng, n: [normal(3)(rng, n), integers()(rng, n)],
    left_out=["GatedResidual", "VariableSelection"],
    deep=True,
)
def gated_residual_network():
    """keras.io/examples/structured_data/classification_with_grn_and_vsn"""
    numbers, kind = keras.Input((3,)), keras.Input((), dtype="int32")
    encoded = [layers.Dense(4)(numbers), layers.Embedding(8, 4)(kind)]
    x = VariableSelection(name="selection")(encoded)
    return keras.Model([numbers, kind], layers.Dense(1, activation="sigmoid", name="income")(x))


@register
class DecisionTree(Own):
    """Each decision's probability, and so that of each leaf."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.decisions = layers.Dense(4, activation="sigmoid", name=f"{self.name}_decisions")

    def build(self, input_shape):
        self.used = np.eye(input_shape[-1], dtype="float32")[:, :4]
        self.decisions.build((None, 4))
        self.leaves = self.add_weight(shape=(4, 3), initializer="random_normal", name="leaves")

    def call(self, features):
        decisions = ops.expand_dims(self.decisions(ops.matmul(features, self.used)), 2)
        decisions = ops.concatenate([decisions, 1 - decisions], axis=2)
        first = ops.repeat(decisions[:, 1], 2, axis=1)
        leaves = first * ops.reshape(decisions[:, 2:], (-1, 4))
        return ops.matmul(leaves, ops.softmax(self.leaves))


@case(
    {f"tree{n}/tree{n}_decisions": sigmoid() for n in (1, 2)},
    left_out=["DecisionTree"],
)
def neural_decision_forest():
    """keras.io/examples/structured_data/deep_neural_decision_forests"""
    inputs = keras.Input((6,))
    x = layers.BatchNormalization()(inputs)
    return keras.Model(inputs, layers.average([DecisionTree(name=f"tree{n}")(x) for n in (1, 2)]))


@register
class Recommender(keras.Model):
    """Embeddings and a sigmoid that it calls itself."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        he = {"embeddings_initializer": "he_normal"}
        self.user, self.movie = layers.Embedding(8, 4, **he), layers.Embedding(8, 4, **he)
        self.user_bias, self.movie_bias = layers.Embedding(8, 1), layers.Embedding(8, 1)

    def call(self, inputs):
        user, movie = inputs[:, 0], inputs[:, 1]
        x = ops.sum(self.user(user) * self.movie(movie), axis=1, keepdims=True)
        return ops.sigmoid(x + self.user_bias(user) + self.movie_bias(movie))


@case(
    {},
    inputs=integers(2),
    refused=dict.fromkeys(
        ("measure", "measure_gradients", "save_and_load", "fit", "two_replicas"),
        "no activation that can be measured",
    ),
)
def collaborative_filtering():
    """keras.io/examples/structured_data/collaborative_filtering_movielens"""
    model = Recommender()
    model(np.zeros((1, 2), "int32"))
    return model


def normalized_twice(name):
    """Two dense layers, each after a normalization."""
    return keras.Sequential(
        [
            step
            for n in (1, 2)
            for step in (
                layers.BatchNormalization(name=f"{name}_norm{n}"),
                layers.Dropout(0.2),
                layers.Dense(4, activation="gelu", name=f"{name}_gelu{n}"),
            )
        ],
        name=name,
    )


@register
class GraphConv(Own):
    """Of a graph's nodes, its edges and their weights, which are no examples."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.prepare = normalized_twice(f"{self.name}_prepare")
        self.update = normalized_twice(f"{self.name}_update")

    def call(self, inputs, training=None):
        nodes, edges, weights = inputs
        messages = self.prepare(ops.take(nodes, edges[1], axis=0), training=training)
        messages = messages * ops.expand_dims(weights, -1)
        received = ops.segment_sum(messages, edges[0], num_segments=12)
        x = self.update(ops.concatenate([nodes, received], axis=1), training=training)
        return x / ops.sqrt(ops.sum(x**2, axis=-1, keepdims=True) + 1e-6)


@register
class NodeClassifier(keras.Model):
    """Its input are the numbers of nodes; the graph is part of itself."""

    def __init__(self, **keywords):
        super().__init__(**keywords)
        rng = np.random.default_rng(5)
        self.nodes = rng.normal(size=(12, 4)).astype("float32")
        self.edges = rng.integers(0, 12, (2, 20)).astype("int32")
        self.edge_weights = np.full(20, 0.05, "float32")
        self.before, self.after = normalized_twice("before"), normalized_twice("after")
        self.convs = GraphConv(name="conv1"), GraphConv(name="conv2")
        self.head = layers.Dense(3)

    def call(self, numbers, training=None):
        x = self.before(self.nodes, training=training)
        for conv in self.convs:
            x = conv((x, self.edges, self.edge_weights), training=training) + x
        x = self.after(x, training=training)
        return self.head(ops.take(x, ops.cast(numbers, "int32"), axis=0))


@case(
    {
        path + f"{name}/{name}_gelu{n}": relu(g=f"{name}_norm2" if n == 1 else None)
        for path, name in (
            ("", "before"),
            ("conv1/", "conv1_prepare"),
            ("conv1/", "conv1_update"),
            ("conv2/", "conv2_prepare"),
            ("conv2/", "conv2_update"),
            ("", "after"),
        )
        for n in (1, 2)
    },
    inputs=integers(below=12),
    left_out=["NodeClassifier", "GraphConv"],
    deep=True,
    replicas_differ="each replica has the whole graph, which then counts twice",
)
def node_classification():
    """keras.io/examples/graph/gnn_citations"""
    model = NodeClassifier()
    model(np.zeros(1, "int32"))
    return model


@case({**relus("hidden1", "hidden2"), "action": Row()})
def ddpg_actor():
    """keras.io/examples/rl/ddpg_pendulum"""
    inputs = keras.Input((3,))
    x = layers.Dense(6, activation="relu", name="hidden1")(inputs)
    x = layers.Dense(6, activation="relu", name="hidden2")(x)
    small = keras.initializers.RandomUniform(-0.003, 0.003)
    x = layers.Dense(1, activation="tanh", kernel_initializer=small, name="action")(x)
    return keras.Model(inputs, x * 2.0)


@case(relus("state1", "state2", "action1", "hidden"))
def ddpg_critic():
    """keras.io/examples/rl/ddpg_pendulum"""
    state, action = keras.Input((3,)), keras.Input((1,))
    x = layers.Dense(4, activation="relu", name="state1")(state)
    x = layers.Dense(5, activation="relu", name="state2")(x)
    y = layers.Dense(5, activation="relu", name="action1")(action)
    x = layers.Dense(6, activation="relu", name="hidden")(layers.Concatenate()([x, y]))
    return keras.Model([state, action], layers.Dense(1)(x))


@case(relus("common"))
def actor_critic():
    """keras.io/examples/rl/actor_critic_cartpole"""
    inputs = keras.Input((4,))
    common = layers.Dense(6, activation="relu", name="common")(inputs)
    action = layers.Dense(2, activation="softmax")(common)
    return keras.Model(inputs, [action, layers.Dense(1)(common)])


@register
def channels_to_the_end(x):
    return ops.transpose(x, (0, 2, 3, 1))


@case(relus("conv1", "conv2", "hidden"), left_out=["Lambda"])
def deep_q_network():
    """keras.io/examples/rl/deep_q_network_breakout"""
    return stack(
        (2, 12, 12),
        layers.Lambda(channels_to_the_end, output_shape=(12, 12, 2)),
        layers.Conv2D(4, 4, strides=2, activation="relu", name="conv1"),
        layers.Conv2D(4, 3, strides=1, activation="relu", name="conv2"),
        layers.Flatten(),
        layers.Dense(6, activation="relu", name="hidden"),
        layers.Dense(3),
    )
