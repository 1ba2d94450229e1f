"""The settings of a run: typed, checked and normalised before anything heavy is imported.

Hydra composes `configs/` into `Settings`; OmegaConf refuses wrong types, `check` refuses wrong values with
one line that names the field, its value, what is allowed and what to do.
"""

from __future__ import annotations

import importlib.util
import math
from dataclasses import fields
from typing import cast

from omegaconf import DictConfig, OmegaConf

from fracpool.records import environment
from fracpool.settings import findings_schema, poolings
from fracpool.settings.check_networks import check_airbench, check_graham
from fracpool.settings.poolings import POOLINGS
from fracpool.settings.refusal import SettingsError, expanded, is_name, one_of, require
from fracpool.settings.schema import (
    BudgetSettings,
    ModelSettings,
    OptimizerSettings,
    PoolSettings,
    Settings,
    TrainerSettings,
)

ACTIVATIONS = ("elu", "relu", "gelu", "leaky_relu", "tanh", "linear")
OPTIMIZERS = ("adam", "sgd")
SCHEDULES = ("constant", "cosine", "exponential", "triangular")
WARMING = ("cosine", "triangular")  # schedules with a warm-up and a last rate
TASKS = ("train", "gradient")
PREDICTIONS = ("probabilities", "classes")
BACKENDS = ("tensorflow", "jax", "torch")
STRATEGIES = {"single": BACKENDS, "mirrored": ("tensorflow",), "seeds": ("jax",)}  # and the backends that have them
FLIPS = ("random", "alternating")
VIEWS = ("flip", "flip_shift")
PRECISIONS = ("float32", "mixed_bfloat16")
FURTHEST_SHIFT = 16  # pixels
LOGGERS = ("none", "tensorboard", "mlflow")
RETRIES = ("none", "failed", "diverged", "all")


def from_config(config: DictConfig, sweep: bool) -> tuple[Settings, list[str]]:
    """The checked settings of a composed config.

    Returns:
        The settings and the pool fields that were given but that this kind of pooling does not have. In a
        sweep those are set aside (`pool=max,fmp pool.ratio=1.4,1.47` trains max pool once); a single run
        that names one is refused.
    """
    settings, ignored = unchecked(config, sweep)
    check(settings)
    settings.results_dir = str(expanded("results_dir", settings.results_dir))
    if not settings.model.batch_norm:  # what has no effect makes no other run
        settings.model.batch_norm_momentum = ModelSettings.batch_norm_momentum
        settings.model.batch_norm_fused = False
    if settings.model.k is not None or settings.model.widths:
        settings.model.filters = ModelSettings().filters
    if settings.pool.match is not None:
        settings.pool.match, settings.pool.ratio = None, poolings.HALVING
    return settings, ignored


def unchecked(config: DictConfig, sweep: bool) -> tuple[Settings, list[str]]:
    """The same, of values that have their types but may be out of their range."""
    settings = cast(Settings, OmegaConf.to_object(typed(config)))
    return settings, _drop_foreign_pool_fields(settings.pool, sweep)


def typed(config: DictConfig) -> DictConfig:
    """The settings in a composed config, each held to its type from here on."""
    known = {f.name for f in fields(Settings)}
    if not set(config) <= known:
        config = OmegaConf.masked_copy(config, list(known))
    elif OmegaConf.get_type(config) is Settings:  # a sweep types what its points share, and not each of hundreds
        return config
    return cast(DictConfig, OmegaConf.merge(Settings, config))


def _drop_foreign_pool_fields(pool: PoolSettings, sweep: bool) -> list[str]:
    known_kind = pool.layer is not None or pool.kind in POOLINGS
    require(known_kind, "pool.kind", pool.kind, f"{one_of(POOLINGS)}, or name a pooling of your own with pool.layer")
    known = poolings.of(pool).settings
    foreign = [
        f.name
        for f in fields(pool)
        if f.name != "kind" and f.name not in known and getattr(pool, f.name) not in (None, {})
    ]
    if foreign and not sweep:
        name = foreign[0]
        having = ", ".join(k for k, p in POOLINGS.items() if name in p.settings) or "one of your own (pool.layer)"
        raise SettingsError(
            f"pool.{name}={getattr(pool, name)}: pool={pool.kind} has no {name}; leave it out, or choose pool={having}"
        )
    for name in foreign:
        setattr(pool, name, {} if name == "arguments" else None)
    return [f"pool.{name}" for name in foreign]


def check(settings: Settings) -> None:
    """Raises SettingsError for the first value that is out of its range."""
    s, model, optimizer, budget = settings, settings.model, settings.optimizer, settings.budget
    require(s.task in TASKS, "task", s.task, one_of(TASKS))
    require(0 <= s.seed < 2**31, "seed", s.seed, "a whole number from 0 to 2147483647")
    require(1 <= s.repeats <= 1024, "repeats", s.repeats, "a whole number from 1 to 1024")
    require(0 <= s.test_shift <= 16, "test_shift", s.test_shift, "a whole number of pixels from 0 to 16")
    allowed = "a whole number of pixels from 0 to 8"
    require(0 <= s.consistency_shift <= 8, "consistency_shift", s.consistency_shift, allowed)
    passes, shift = test_passes(s)
    shifts = (2 * shift + 1) ** 2
    allowed = f"at most {shifts}, as many shifts as test_shift={shift} has, or take a larger test_shift"
    require(not shift or passes <= shifts, "repeats", s.repeats, allowed)
    require(s.threads is None or 1 <= s.threads <= 1024, "threads", s.threads, "null (all cores) or a whole number ≥ 1")
    require(s.views in (None, *VIEWS), "views", s.views, f"null, or {one_of(VIEWS)}")
    require(s.precision in PRECISIONS, "precision", s.precision, one_of(PRECISIONS))
    require(s.backend in (None, *BACKENDS), "backend", s.backend, f"null (KERAS_BACKEND's) or {one_of(BACKENDS)}")
    require(s.retry in RETRIES, "retry", s.retry, one_of(RETRIES))
    require(s.predictions in PREDICTIONS, "predictions", s.predictions, one_of(PREDICTIONS))
    require(s.logger in LOGGERS, "logger", s.logger, one_of(LOGGERS))
    require(s.missing_data in ("error", "note"), "missing_data", s.missing_data, "error or note")
    allowed = "a folder of this machine or a mounted one: object stores can neither create nor rename a file at once"
    require("://" not in s.results_dir, "results_dir", s.results_dir, allowed)
    require(is_name(s.profile), "profile", repr(s.profile), "a folder name of letters, digits, _ and -")
    for name, value in (("experiment.name", s.experiment.name), ("model.name", model.name)):  # parts of paths
        require(is_name(value) or value == "", name, repr(value), "a file name of letters, digits, _ and -")
    poolings.of(s.pool).check(s.pool)
    if s.task == "gradient":
        _check_gradient(s.pool)

    require(1 <= model.conv_layers <= 100, "model.conv_layers", model.conv_layers, "a whole number from 1 to 100")
    if model.pools is not None:
        require(0 <= model.pools <= 100, "model.pools", model.pools, "null, or a whole number from 0 to 100")
    require(len(model.filters) > 0, "model.filters", model.filters, "at least one width, e.g. [32,64]")
    for width in model.filters:
        require(1 <= width <= 65536, "model.filters", model.filters, "widths from 1 to 65536")
    for width in model.dense:
        require(1 <= width <= 65536, "model.dense", model.dense, "widths from 1 to 65536, or [] for none")
    require(1 <= model.kernel <= 99, "model.kernel", model.kernel, "a whole number from 1 to 99")
    require(model.activation in ACTIVATIONS, "model.activation", model.activation, one_of(ACTIVATIONS))
    require(0 <= model.dropout < 1, "model.dropout", model.dropout, "0 ≤ rate < 1")
    require(0 <= model.dense_dropout < 1, "model.dense_dropout", model.dense_dropout, "0 ≤ rate < 1")
    allowed = "true with model.distort, whose background is grey"
    require(model.centre or not model.distort, "model.centre", model.centre, allowed)
    if model.k is not None:
        check_graham(model, s.pool)
    check_airbench(model)
    require(
        model.k is not None or not model.dropout_ramp, "model.dropout_ramp", model.dropout_ramp, "[] without model.k"
    )
    require(
        model.batch_norm or model.batch_norm_scale, "model.batch_norm_scale", False, "true without model.batch_norm"
    )
    momentum = model.batch_norm_momentum
    require(0 <= momentum < 1, "model.batch_norm_momentum", momentum, "0 ≤ momentum < 1")
    fused, alone = model.batch_norm_fused, s.trainer.strategy != "mirrored"
    require(alone or not fused, "model.batch_norm_fused", fused, "false with trainer.strategy=mirrored")

    _check_optimizer(optimizer, model)
    flip, moved = s.augmentation.flip, s.augmentation.shift
    require(flip in (None, *FLIPS), "augmentation.flip", flip, f"null, or {one_of(FLIPS)}")
    allowed = f"a whole number of pixels from 0 to {FURTHEST_SHIFT}"
    require(0 <= moved <= FURTHEST_SHIFT, "augmentation.shift", moved, allowed)

    require(1 <= budget.epochs <= 10**6, "budget.epochs", budget.epochs, "a whole number from 1 to 1000000")
    require(1 <= budget.batch_size <= 10**6, "budget.batch_size", budget.batch_size, "a whole number from 1")
    plain, allowed = budget.plain_epochs, f"a whole number from 0 to budget.epochs={budget.epochs}"
    require(0 <= plain <= budget.epochs, "budget.plain_epochs", plain, allowed)
    require(model.distort or not plain, "budget.plain_epochs", plain, "0 without model.distort")
    between, allowed = budget.test_every, f"a whole number of epochs from 1 to budget.epochs={budget.epochs}"
    require(1 <= between <= budget.epochs, "budget.test_every", between, allowed)
    if budget.train_examples is not None:
        require(budget.train_examples >= 1, "budget.train_examples", budget.train_examples, "null or ≥ 1")
        _check_warm_up(optimizer.warm_up, budget, budget.train_examples)

    findings_schema.check(s.experiment.findings)
    _check_trainer(s.trainer, budget.batch_size, s.backend)
    alone = s.trainer.strategy != "mirrored" or not optimizer.lookahead
    require(alone, "trainer.strategy", s.trainer.strategy, "single or seeds with optimizer.lookahead")
    whole = s.precision == "float32" or not model.batch_norm_fused or bool(model.widths)
    require(whole, "precision", s.precision, "float32 with model.batch_norm_fused, but in airbench's network")
    followed = s.trainer.strategy != "seeds" or s.logger == "none"
    require(followed, "logger", s.logger, "none with trainer.strategy=seeds, whose runs the loggers cannot tell apart")


def test_passes(settings: Settings) -> tuple[int, int]:
    """How many test passes are averaged, and up to how many pixels the images are moved in them.

    Where pooling is random, passes differ by their regions. Elsewhere they are alike, unless `test_shift` moves
    the images: the control that tells what random regions win by averaging from what any averaging wins.
    """
    if poolings.of(settings.pool).stochastic(settings.pool):
        return settings.repeats, 0
    return (settings.repeats, settings.test_shift) if settings.test_shift else (1, 0)


def is_tested(epoch: int, epochs: int, test_every: int) -> bool:
    """Whether an epoch of a training, counted from 1, ends with a test; the last one always does."""
    return epoch % test_every == 0 or epoch == epochs


def test_views(settings: Settings) -> int:
    """How many passes over views and moves of the images are tested, with drawn and with even regions."""
    once = {None: 0, "flip": 2, "flip_shift": 6}[settings.views] + 4 * settings.consistency_shift
    return once * (1 + poolings.of(settings.pool).stochastic(settings.pool))


def _check_optimizer(optimizer: OptimizerSettings, model: ModelSettings) -> None:
    require(optimizer.name in OPTIMIZERS, "optimizer.name", optimizer.name, one_of(OPTIMIZERS))
    rate = optimizer.learning_rate
    require(0 < rate < math.inf, "optimizer.learning_rate", rate, "a positive number, e.g. 0.001")
    require(0 <= optimizer.momentum < 1, "optimizer.momentum", optimizer.momentum, "0 ≤ momentum < 1")
    schedule = optimizer.schedule
    require(schedule in SCHEDULES, "optimizer.schedule", schedule, one_of(SCHEDULES))
    require(0 <= optimizer.decay < math.inf, "optimizer.decay", optimizer.decay, "a number ≥ 0")
    require(
        0 <= optimizer.warm_up < 1, "optimizer.warm_up", optimizer.warm_up, "a share of the training, 0 ≤ share < 1"
    )
    for name in ("rate_start", "rate_end"):
        share = getattr(optimizer, name)
        require(0 <= share <= 1, f"optimizer.{name}", share, "a share of optimizer.learning_rate, 0 ≤ share ≤ 1")
    for name in ("warm_up", "rate_start", "rate_end"):
        share, allowed = getattr(optimizer, name), f"0 with optimizer.schedule={schedule}; take {' or '.join(WARMING)}"
        require(schedule in WARMING or not share, f"optimizer.{name}", share, allowed)
    require(0 <= optimizer.average < 1, "optimizer.average", optimizer.average, "0 (none) or below 1, e.g. 0.999")
    decay, smoothing = optimizer.weight_decay, optimizer.label_smoothing
    require(0 <= decay < math.inf, "optimizer.weight_decay", decay, "a number ≥ 0, e.g. 0.001")
    require(0 <= smoothing < 1, "optimizer.label_smoothing", smoothing, "0 ≤ share < 1, e.g. 0.1")
    times, steps = optimizer.norm_bias_rate, optimizer.lookahead
    require(0 < times < math.inf, "optimizer.norm_bias_rate", times, "a positive number, e.g. 64")
    require(model.batch_norm or times == 1, "optimizer.norm_bias_rate", times, "1 without model.batch_norm")
    require(0 <= steps <= 10**6, "optimizer.lookahead", steps, "0 (none) or a whole number of steps, e.g. 5")
    sgd = optimizer.name == "sgd"
    require(sgd or times == 1, "optimizer.norm_bias_rate", times, f"1 with optimizer={optimizer.name}; take sgd")
    require(sgd or not steps, "optimizer.lookahead", steps, f"0 with optimizer={optimizer.name}; take sgd")
    require(not steps or not optimizer.average, "optimizer.average", optimizer.average, "0 with optimizer.lookahead")
    epochs, allowed = model.whiten_epochs, f"0 with optimizer={optimizer.name}; take sgd"
    require(sgd or not epochs, "model.whiten_epochs", epochs, allowed)


def _check_warm_up(share: float, budget: BudgetSettings, examples: int) -> None:
    """That a training of so many images is long enough to warm up in it."""
    steps = math.ceil(examples / budget.batch_size)  # of an epoch
    is_met = not share or int(share * steps * budget.epochs) >= 1
    least = 1 if is_met else math.ceil(1 / share / steps)
    allowed = f"at least {least} with optimizer.warm_up={share}, which gets no step of {steps} an epoch"
    require(is_met, "budget.epochs", budget.epochs, allowed)


def _check_trainer(trainer: TrainerSettings, batch: int, backend: str | None) -> None:
    strategy, devices = trainer.strategy, trainer.devices
    require(strategy in STRATEGIES, "trainer.strategy", strategy, one_of(STRATEGIES))
    _check_backend("backend" if backend else "KERAS_BACKEND", backend or environment.backend(), strategy)
    allowed = f"a whole number from 1 to budget.batch_size={batch}, which the devices share"
    require(1 <= devices <= batch or strategy != "mirrored", "trainer.devices", devices, allowed)
    require(1 <= trainer.at_once <= 1024, "trainer.at_once", trainer.at_once, "a whole number from 1 to 1024")


def _check_backend(field: str, backend: str, strategy: str) -> None:
    require(backend in BACKENDS, field, backend, one_of(BACKENDS))
    if backend == environment.backend() and importlib.util.find_spec(backend) is None:
        raise SettingsError(f'{field}={backend}: the package {backend} is missing; pip install "fracpool[{backend}]"')
    having = STRATEGIES[strategy]
    require(backend in having, field, backend, f"{' or '.join(having)} for trainer.strategy={strategy}")


def _check_gradient(pool: PoolSettings) -> None:
    """What TensorFlow's op, which the task compares with, does not have."""
    if importlib.util.find_spec("tensorflow") is None:
        raise SettingsError("task=gradient: the package tensorflow is missing, whose op it checks; install it")
    require(pool.kind == "fmp", "pool", pool.kind, "fmp for task=gradient, which checks its gradient")
    require(pool.window is None, "pool.window", pool.window, "null for task=gradient")
    require(pool.regions_per == "batch", "pool.regions_per", pool.regions_per, "batch for task=gradient")
