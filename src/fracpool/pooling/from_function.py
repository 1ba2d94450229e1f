"""A function of images as a Keras layer, for poolings of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras


class FunctionLayer(keras.layers.Layer):
    """Gives what `function(images, **arguments)` gives. Unlike Keras' Lambda it lets the function's errors be seen."""

    def __init__(self, function: Callable[..., Any], arguments: Mapping[str, Any], name: str) -> None:
        super().__init__(name=name)
        self.function, self.arguments = function, dict(arguments)

    def call(self, images: Any) -> Any:
        return self.function(images, **self.arguments)
