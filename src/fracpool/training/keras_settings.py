"""Keras' settings that are global to a process, as each run has them: ids stand for these.

They come from Keras' own file (keras.json), from variables of the shell (KERAS_MAX_EPOCHS) and from whoever uses Keras
in the same process, such as a notebook.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from fracpool.records import environment
from fracpool.settings.refusal import SettingsError, require


@contextmanager
def usual() -> Iterator[None]:
    """Within, Keras computes as it does where nobody has changed its settings; after it, as before.

    Raises SettingsError for what cannot be set any more once Keras is loaded.
    """
    wanted, loaded = environment.backend(), keras.backend.backend()
    if wanted != loaded:
        raise SettingsError(
            f"KERAS_BACKEND={wanted}: this process has already loaded Keras with {loaded}; start a new one"
        )
    require(not keras.config.is_nnx_enabled(), "KERAS_NNX_ENABLED", True, "false, in keras.json too, or not set")
    config = keras.config
    before = (
        (config.set_floatx, config.floatx(), "float32"),
        (config.set_epsilon, config.epsilon(), 1e-7),
        (config.set_image_data_format, config.image_data_format(), "channels_last"),
        (config.set_dtype_policy, config.dtype_policy(), "float32"),
        (config.set_max_epochs, config.max_epochs(), None),
        (config.set_max_steps_per_epoch, config.max_steps_per_epoch(), None),
    )
    for set_to, _, value in before:
        set_to(value)
    try:
        yield
    finally:
        for set_to, value, _ in before:
            set_to(value)
