"""The fields of a run's settings, with their types and defaults: the schema of `configs/`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class DatasetSettings:
    name: str = "mnist"
    data_dir: str | None = None  # TFDS folder; None: TFDS_DATA_DIR, then TFDS' own default
    loader: str | None = None  # a data set of one's own: module.name of a function that returns it
    held_out: int | None = None  # training images to test on in place of the test set, to choose settings by


@dataclass
class PoolSettings:
    """A field that a kind of pooling does not have is None or empty (`Pooling.settings` lists those it has)."""

    kind: str = "max"
    ratio: float | None = None
    match: str | None = None  # max: the sizes that 2×2 max pooling gives, in place of a ratio
    pseudo_random: bool | None = None
    overlapping: bool | None = None
    window: int | None = None
    regions_per: str | None = None
    grid: int | None = None
    layer: str | None = None  # a pooling of one's own: module.name of a Keras layer or function
    arguments: dict[str, Any] = field(default_factory=dict)  # of that layer
    stochastic: bool | None = None


@dataclass
class ModelSettings:
    name: str = "plain"
    conv_layers: int = 2
    pools: int | None = None  # None: one after each convolution
    filters: list[int] = field(default_factory=lambda: [32, 64])
    kernel: int = 3
    pad_to: int | None = None
    pointwise: bool = False
    batch_norm: bool = False
    batch_norm_momentum: float = 0.99
    batch_norm_fused: bool = False
    activation: str = "elu"
    dropout: float = 0.0
    dense: list[int] = field(default_factory=lambda: [128])
    dense_dropout: float = 0.0
    centre: bool = False
    distort: bool = False
    k: int | None = None  # builds Graham's network, whose convolution n has k·n filters
    dropout_ramp: list[float] = field(default_factory=list)  # its rates, one for each convolution; []: none
    widths: list[int] = field(default_factory=list)  # builds airbench's network, whose blocks are so wide
    whiten_epochs: int = 0  # in which its whitening convolution's bias is trained
    batch_norm_scale: bool = True
    dirac: bool = False


@dataclass
class OptimizerSettings:
    name: str = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    schedule: str = "constant"
    decay: float = 0.0  # exponential schedule: learning rate · e^(−decay · epoch)
    average: float = 0.0  # what a step leaves of the average of weights, which is tested; 0: the weights are
    warm_up: float = 0.0  # share of the training in which the rate rises; of the cosine and triangular schedules
    rate_start: float = 0.0  # of the warm-up, as a share of learning_rate
    rate_end: float = 0.0  # of the cosine and triangular schedules, the same
    weight_decay: float = 0.0  # a step takes weight_decay · learning rate of each weight
    norm_bias_rate: float = 1.0  # times the learning rate, for the biases of batch norm
    lookahead: int = 0  # steps after which weights and their average meet; 0: never
    label_smoothing: float = 0.0  # share of each label that is spread evenly over the classes


@dataclass
class BudgetSettings:
    epochs: int = 10
    train_examples: int | None = None  # None: the whole training set
    batch_size: int = 100
    plain_epochs: int = 0  # the last ones, without model.distort
    test_every: int = 1  # epochs from one test to the next; the last epoch always ends with one


@dataclass
class AugmentationSettings:
    """What is done to training images; None or 0: nothing."""

    flip: str | None = None  # random, or alternating from epoch to epoch
    shift: int = 0  # furthest move along each axis, in pixels


@dataclass
class TrainerSettings:
    strategy: str = "single"
    devices: int = 2  # of the mirrored strategy
    at_once: int = 8  # of the seeds strategy
    others: list[int] = field(default_factory=list)  # seeds of the same program; a sweep fills it in


@dataclass
class ExperimentSettings:
    name: str = ""
    title: str = ""
    chapter: str = ""  # of the report that tells it; chapters are in order of the number in front, which is not shown
    question: str = ""
    findings: dict[str, Any] = field(default_factory=dict)
    leave_out: list[Any] = field(default_factory=list)  # points of the grid: [{pool.kind: fmp, model.pools: 3}, …]


@dataclass
class Settings:
    dataset: DatasetSettings = field(default_factory=DatasetSettings)
    pool: PoolSettings = field(default_factory=PoolSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    experiment: ExperimentSettings = field(default_factory=ExperimentSettings)
    task: str = "train"
    seed: int = 0
    repeats: int = 8
    test_shift: int = 0  # pixels; see `test_passes`
    consistency_shift: int = 0  # pixels; > 0: count the test images that keep their class when moved by 1 to so many
    views: str | None = None  # of each test image, averaged: flip, or flip_shift
    precision: str = "float32"  # or mixed_bfloat16: Keras' dtype policy
    backend: str | None = None  # that a run is of; None: the one that Keras runs on
    threads: int | None = None  # None: all cores, shared out among the workers of a launcher
    results_dir: str = "results"
    profile: str = "mine"
    retry: str = "none"
    predictions: str = "probabilities"
    missing_data: str = "error"
    logger: str = "none"
    plan: bool = False


def register() -> None:
    """Makes the schema known to Hydra, which nothing else here needs: the report reads the defaults, too."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    store.store(name="schema", node=Settings)
