"""The paper at full scale on one GPU, with JAX and without TensorFlow."""
