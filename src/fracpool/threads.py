"""How many threads TensorFlow computes with: set once per process, before it computes anything."""

from __future__ import annotations

import tensorflow as tf

from fracpool.environment import cores
from fracpool.settings import SettingsError


def use(threads: int | None) -> None:
    """Raises SettingsError if this process already computes with another number; None leaves it as it is."""
    if threads is None:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError as error:
        raise SettingsError(
            f"threads={threads}: this process already computes with {in_use()}; start a new one for another number"
        ) from error


def in_use() -> int:
    return tf.config.threading.get_intra_op_parallelism_threads() or cores()
