"""What a run computes on: how many threads, and one device or several that mirror each other's weights (tf.distribute).

Each replica takes an equal part of every batch. Without GPUs the devices are logical ones that share the cores: nothing
is gained there, but the same program can be tried.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from fracpool.records import environment
from fracpool.settings.refusal import SettingsError
from fracpool.settings.schema import TrainerSettings


def scope(trainer: TrainerSettings) -> AbstractContextManager[object]:
    """Where a model has to be built to be trained so. Raises SettingsError where the devices are not there."""
    if trainer.strategy != "mirrored":
        return nullcontext()
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(_names(trainer.devices)).scope()


def check(trainer: TrainerSettings) -> None:
    """Raises SettingsError if the run's devices are not there; sets logical ones up before TensorFlow starts."""
    if trainer.strategy == "mirrored":
        _names(trainer.devices)


def _names(count: int) -> list[str]:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus and count > len(gpus):
        raise SettingsError(f"trainer.devices={count}: must be at most {len(gpus)}, the GPUs of this machine")
    if gpus:
        return [f"GPU:{number}" for number in range(count)]
    cpu = tf.config.list_physical_devices("CPU")[0]
    wanted = [tf.config.LogicalDeviceConfiguration()] * count
    there = tf.config.get_logical_device_configuration(cpu) or [None]
    if len(there) < count:
        try:
            tf.config.set_logical_device_configuration(cpu, wanted)
        except RuntimeError as error:
            raise SettingsError(
                f"trainer.devices={count}: this process already computes on {len(there)}; start a new one for more"
            ) from error
    return [f"CPU:{number}" for number in range(count)]


_asked_for: int | None = None  # of JAX, which has no way to ask it


def use(threads: int | None) -> None:
    """Raises SettingsError if this process already computes with another number; None leaves it as it is."""
    global _asked_for
    if threads is None:
        return
    match environment.backend():
        case "tensorflow":
            _tensorflow_uses(threads)
        case "torch":
            import torch

            torch.set_num_threads(threads)
        case _:
            _asked_for = threads


def _tensorflow_uses(threads: int) -> None:
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError as error:
        if threads_in_use() == threads:  # without having been told, as one thread for each core is its default
            return
        raise SettingsError(
            f"threads={threads}: this process already computes with {threads_in_use()}; start a new one for another "
            "number"
        ) from error


def threads_in_use() -> int:
    """Threads that share the sums of one run."""
    match environment.backend():
        case "tensorflow":
            import tensorflow as tf

            return tf.config.threading.get_intra_op_parallelism_threads() or environment.cores()
        case "torch":
            import torch

            return int(torch.get_num_threads())
    return _asked_for or environment.cores()
