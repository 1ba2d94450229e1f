"""What only the running program knows: dynamic sizes, which replica it is, and whether it is being exported."""

from __future__ import annotations

import inspect
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import keras

EXPORTERS = ("keras.src.export.onnx", "tf2onnx", "keras.src.export.litert", "tensorflow.lite")  # modules
FRACTIONS = 2**23  # how many numbers from 0 to 1 are drawn among: those of a float32's fraction

Rules = Sequence[tuple[Any, str]]  # whether it holds, and the words of the refusal up to the size


def checked(size: Any, rules: Rules) -> Any:
    """The size, a scalar tensor of TensorFlow, once the rules are found to hold; else InvalidArgumentError as it runs.

    XLA drops assertions and knows all sizes when it compiles: there a shape that cannot be stops the compilation.
    """
    import tensorflow as tf

    for holds, words in rules:
        with tf.control_dependencies([tf.debugging.Assert(holds, [words, size])]):
            size = tf.reshape(tf.identity(size), [tf.where(holds, 1, 2)], name=_as_name(words))[0]
    return size


def with_rank(value: Any, rank: int) -> Any:
    """The value, whose rank TensorFlow may not know yet: then it is checked as the program runs."""
    if keras.backend.backend() != "tensorflow" or value.shape.rank is not None:
        return value
    import tensorflow as tf

    return tf.ensure_shape(value, [None] * rank)


def unseeded() -> Any:
    """A seed that `keras.utils.set_random_seed` governs; on TensorFlow without a variable, so that graphs can be saved.

    Elsewhere None, which Keras takes for a stream of its own.
    """
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    class Unseeded(keras.random.SeedGenerator):
        def __init__(self) -> None:
            pass

        def next(self, ordered: bool = True) -> Any:
            return tf.cast(tf.random.uniform([2], maxval=2**31 - 1, dtype="int32"), "uint32")

    return Unseeded()


def _as_name(words: str) -> str:
    """Words as the name of an operation, which TensorFlow's message names."""
    return re.sub(r"[^A-Za-z0-9.]+", "_", words).strip("_.")


def replica() -> Any:
    """Number of the replica that computes, from 0; int or scalar tensor.

    JAX shards one program, and PyTorch runs one process each: there it is 0.
    """
    if keras.backend.backend() != "tensorflow":
        return 0
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return 0 if context is None else context.replica_id_in_sync_group


def uniform(shape: Sequence[Any], seed: Any) -> Any:
    """float32 from 0 to 1 from a seed, or from a stream; on TensorFlow the same under XLA.

    ONNX and LiteRT have no streams: a graph that is traced for them draws from a generator of its runtime, which starts
    as `keras.utils.set_random_seed` governs, the same whenever the model is loaded.

    Raises:
        ValueError: PyTorch traces. Its graph keeps the state of no stream: it would draw the same at each call, or
            others than the seed's.
    """
    if traced_by_torch():
        raise ValueError(
            "PyTorch exports or traces a pool that draws: must not be, since its graph keeps no stream; set "
            "inference='even' (max_pool_regions in place of the drop-in), or export from the TensorFlow backend"
        )
    if keras.backend.backend() != "tensorflow":
        return keras.random.uniform(shape, dtype="float32", seed=seed)
    import tensorflow as tf

    if not (isinstance(seed, keras.random.SeedGenerator) and exported_elsewhere()):
        # What `keras.random.uniform` makes of the low bits of the words it draws; compiled by XLA it takes the high.
        return tf.cast(keras.random.randint(shape, 0, FRACTIONS, "int32", seed), "float32") / FRACTIONS
    return tf.random.uniform(shape, seed=random.randrange(1, 2**24))  # which ONNX keeps as a float32


def as_constants(compute: Callable[[], list[Any]]) -> list[Any]:
    """Tensors that depend on nothing but numbers; a graph that is traced for ONNX or LiteRT holds them as constants."""
    if not exported_elsewhere():
        return compute()
    import tensorflow as tf

    with tf.init_scope():
        values = [tensor.numpy() for tensor in compute()]
    return [tf.constant(value) for value in values]


def exported_elsewhere() -> bool:
    """Whether TensorFlow traces a graph for ONNX or LiteRT, which know no compiled functions."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    frame = None if tf.executing_eagerly() else inspect.currentframe()
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith(EXPORTERS):
            return True
        frame = frame.f_back
    return False


def traced_by_torch() -> bool:
    """Whether PyTorch keeps what is computed as a graph: for ONNX, by `torch.export` or by `torch.jit.trace`."""
    if keras.backend.backend() != "torch":
        return False
    import torch

    return torch.onnx.is_in_onnx_export() or torch.compiler.is_exporting() or torch.jit.is_tracing()


def as_number(size: Any) -> Any:
    """A size of a map. Where PyTorch traces, it makes tensors of sizes that it knows: they are numbers again, and its
    graph is one for maps of these sizes.
    """
    return int(size) if size is not None and traced_by_torch() else size
