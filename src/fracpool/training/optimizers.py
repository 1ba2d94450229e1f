"""The optimizer of a run: Keras' own, and what they lack of airbench's recipe."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from fracpool.settings.schema import ModelSettings, OptimizerSettings

Tensor = Any
PULL = 0.95  # what a step leaves of the average of weights by the end of the training (Jordan, arXiv 2404.00498)
WHITENING_BIAS = "whiten/bias"


def optimizer(
    settings: OptimizerSettings, steps_per_epoch: int, epochs: int, whiten_epochs: int = ModelSettings.whiten_epochs
) -> keras.optimizers.Optimizer:
    """The optimizer for so many steps; `whiten_epochs` is how long the whitening convolution's bias is trained."""
    rate = _rate(settings, steps_per_epoch, steps_per_epoch * epochs)
    decay = settings.weight_decay or None
    average = {"use_ema": settings.average > 0, "ema_momentum": settings.average}
    if settings.name == "adam":
        return keras.optimizers.Adam(rate, weight_decay=decay, **average)
    usual = {"momentum": settings.momentum, "nesterov": settings.momentum > 0, "weight_decay": decay, **average}
    if settings.lookahead:
        usual |= {"use_ema": True, "ema_momentum": PULL, "ema_overwrite_frequency": settings.lookahead}
    if settings.norm_bias_rate == 1 and not settings.lookahead and not whiten_epochs:
        return keras.optimizers.SGD(rate, **usual)
    steps, trained = steps_per_epoch * epochs, steps_per_epoch * whiten_epochs
    return AirbenchSGD(rate, steps, norm_bias_rate=settings.norm_bias_rate, whiten_steps=trained, **usual)


def _rate(settings: OptimizerSettings, steps_per_epoch: int, steps: int) -> Any:
    peak, rising = settings.learning_rate, int(settings.warm_up * steps)
    schedules = keras.optimizers.schedules
    match settings.schedule:
        case "cosine" if rising:
            warm = {"warmup_target": peak, "warmup_steps": rising}
            return schedules.CosineDecay(settings.rate_start * peak, steps - rising, settings.rate_end, **warm)
        case "cosine":
            return schedules.CosineDecay(peak, steps, settings.rate_end)
        case "exponential":
            return schedules.ExponentialDecay(peak, steps_per_epoch, float(np.exp(-settings.decay)), staircase=True)
        case "triangular":
            return Triangular(peak, steps, rising, settings.rate_start, settings.rate_end)
    return peak


@keras.saving.register_keras_serializable(package="fracpool")
class Triangular(keras.optimizers.schedules.LearningRateSchedule):
    """Straight up to the peak, then straight down.

    Args:
        peak: The highest rate.
        steps: Of the whole training.
        rising: Steps up to the peak.
        start, end: First and last rate, as shares of the peak.
    """

    def __init__(self, peak: float, steps: int, rising: int, start: float = 0.0, end: float = 0.0) -> None:
        super().__init__()
        self.peak, self.steps, self.rising, self.start, self.end = peak, steps, rising, start, end

    def __call__(self, step: Tensor) -> Tensor:
        step = ops.cast(step, "float32")
        up = self.start + (1 - self.start) * step / max(self.rising, 1)
        down = 1 - (1 - self.end) * (step - self.rising) / (self.steps - self.rising)
        return self.peak * ops.where(step < self.rising, up, down)

    def get_config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("peak", "steps", "rising", "start", "end")}


@keras.saving.register_keras_serializable(package="fracpool")
class AirbenchSGD(keras.optimizers.SGD):
    """Keras' SGD, with three parts of airbench's recipe (Jordan, arXiv 2404.00498).

    Lookahead is on with `use_ema` and `ema_overwrite_frequency=n`: after every n steps the average of the weights moves
    towards them, and they go back to it. It keeps 0.95ⁿ · (share of the training done)³ of the average, so weights
    are free at first. Of batch norm only the biases take part in the average, as in `average`.

    Args:
        steps: Of the whole training.
        norm_bias_rate: Times the learning rate, for the biases of batch norm; weight decay does not grow with it.
        whiten_steps: After which the bias of the whitening convolution stays as it is. It has no weight decay.
    """

    def __init__(
        self, learning_rate: Any, steps: int, norm_bias_rate: float = 1.0, whiten_steps: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.steps, self.norm_bias_rate, self.whiten_steps = steps, norm_bias_rate, whiten_steps

    def build(self, variables: list[Any]) -> None:
        if not self.built:
            self.exclude_from_weight_decay(var_list=[v for v in variables if v.path == WHITENING_BIAS])
        super().build(variables)

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Tensor) -> None:
        path = self._trainable_variables[self._get_variable_index(variable)].path  # what is given may be the backend's
        if path.endswith("/beta"):
            learning_rate = learning_rate * self.norm_bias_rate
        if path == WHITENING_BIAS:
            trained = ops.cast(self.iterations < self.whiten_steps, variable.dtype)
            gradient = gradient * trained
            if self.momentum:
                past = self.momentums[self._get_variable_index(variable)]
                self.assign(past, past * trained)
        super().update_step(gradient, variable, learning_rate)

    def _update_model_variables_moving_average(self, trainable_variables: list[Any]) -> None:
        if not self.ema_overwrite_frequency:
            super()._update_model_variables_moving_average(trainable_variables)
            return
        done = self.iterations + 1
        progress = ops.cast(done, "float32") / self.steps
        pulled = ops.equal(done % self.ema_overwrite_frequency, 0)
        kept = ops.where(pulled, self.ema_momentum**self.ema_overwrite_frequency * progress**3, 1.0)
        kept = ops.where(done == 1, 0.0, kept)  # the average starts as the weights
        for variable, average in zip(trainable_variables, self._model_variables_moving_average, strict=True):
            average.assign(kept * average + (1 - kept) * variable)

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("steps", "norm_bias_rate", "whiten_steps")}
        return {**super().get_config(), **own}
