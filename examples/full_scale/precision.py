"""What the device computes in, and how fast it can."""

import time

import jax
import jax.numpy as jnp
import keras

# Keras' dtype policy, and JAX' name of what matrix products of float32 are taken in.
PRECISIONS = {
    "float32": ("float32", "highest"),
    "tf32": ("float32", "tensorfloat32"),
    "bfloat16": ("mixed_bfloat16", "tensorfloat32"),
}
# Sides of the matrices whose product tells a device's speed.
SIDE = {"gpu": 8192, "cpu": 1024}
# So many are waited for at once, as a program's are; the best of some groups counts.
PRODUCTS = 10
GROUPS = 5
# An idle device takes its time to come to its speed.
WARM_UP_SECONDS = 1.0


def start(name: str) -> None:
    """Sets what is computed in, by a name of `PRECISIONS`."""
    policy, products = PRECISIONS[name]
    keras.config.set_dtype_policy(policy)
    jax.config.update("jax_default_matmul_precision", products)


def matmul() -> str:
    """What matrix products of float32 are taken in."""
    return jax.config.jax_default_matmul_precision


def devices() -> list[str]:
    """A line for each device that JAX sees, with what it is."""
    return [f"{device} {device.device_kind}" for device in jax.devices()]


def peak() -> float:
    """Operations a second of a plain product of matrices, in the type that networks compute in."""
    side = SIDE.get(jax.default_backend(), SIDE["cpu"])
    dtype = keras.config.dtype_policy().compute_dtype
    one, other = jax.random.normal(jax.random.key(0), (2, side, side)).astype(dtype)
    product = jax.jit(jnp.matmul)

    def seconds(number):
        began = time.perf_counter()
        jax.block_until_ready([product(one, other) for _ in range(number)])
        return time.perf_counter() - began

    # Compiles it, too.
    warm = seconds(1)
    while warm < WARM_UP_SECONDS:
        warm += seconds(PRODUCTS)
    return PRODUCTS * 2 * side**3 / min(seconds(PRODUCTS) for _ in range(GROUPS))
