"""The devices that one run trains on: one, or several that mirror each other's weights (tf.distribute).

Each replica takes an equal part of every batch. Without GPUs the devices are logical ones that share the cores: nothing
is gained there, but the same program can be tried.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import tensorflow as tf

from fracpool.settings import SettingsError, TrainerSettings


def scope(trainer: TrainerSettings) -> AbstractContextManager[object]:
    """Where a model has to be built to be trained so. Raises SettingsError where the devices are not there."""
    if trainer.strategy != "mirrored":
        return nullcontext()
    return tf.distribute.MirroredStrategy(_names(trainer.devices)).scope()


def check(trainer: TrainerSettings) -> None:
    """Raises SettingsError if the run's devices are not there; sets logical ones up before TensorFlow starts."""
    if trainer.strategy == "mirrored":
        _names(trainer.devices)


def _names(count: int) -> list[str]:
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
