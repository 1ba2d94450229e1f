"""The grid of a sweep: each point composed, checked and planned before anything runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from operator import attrgetter
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fracpool.records.store import Store
from fracpool.settings import datasets, findings_schema, identity, selectors
from fracpool.settings.check import from_config, typed, unchecked
from fracpool.settings.config_files import override_value
from fracpool.settings.names import distinct_names, flatten, label
from fracpool.settings.refusal import ImpossibleNetwork, SettingsError, nearest
from fracpool.settings.schema import ExperimentSettings, Settings
from fracpool.sweep import interpolations
from fracpool.sweep.planned_run import PlannedRun, other_backend, plan, refuse_others

MOST_POINTS = 100_000
# Where records go and what is done about them: no part of what a run is.
OF_THE_SWEEP = (
    "results_dir", "profile", "experiment.name", "retry", "predictions", "missing_data", "logger", "plan", "threads",
    "trainer.at_once",
)  # fmt: skip


@dataclass
class Point:
    """A planned run, the overrides that give it, and its variant's name, which is told from the others of the sweep."""

    run: PlannedRun
    overrides: list[str]
    name: str = ""


@dataclass(frozen=True)
class Impossible:
    """A network of the grid that cannot be built, and why."""

    label: str
    reason: str
    settings: Settings


@dataclass
class Plan:
    """The whole sweep. `missing_data` is None or one line; `remarks` are lines on what it cannot answer."""

    settings: Settings
    points: list[Point] = field(default_factory=list)
    impossible: list[Impossible] = field(default_factory=list)
    missing_data: str | None = None
    remarks: list[str] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return self.points[0].run.store

    def pending(self) -> list[Point]:
        return [point for point in self.points if point.run.finished() is None]


def by_backend(pending: Iterable[Point]) -> tuple[list[Point], dict[str, list[Point]]]:
    """Those that this process can compute; and by backend those that are another one's."""
    here: list[Point] = []
    elsewhere: dict[str, list[Point]] = {}
    for point in pending:
        backend = other_backend(point.run.settings)
        (elsewhere.setdefault(backend, []) if backend else here).append(point)
    return here, elsewhere


def grid(arguments: list[str], loader: Any) -> list[list[Override]]:
    """For each point its overrides, each with a single value. A later override of a key replaces an earlier."""
    parser = OverridesParser.create(config_loader=loader)
    axes: dict[str, list[str]] = {}
    for override in parser.parse_overrides(arguments):
        key = override.get_key_element()
        if not override.is_sweep_override():
            axes[key] = [f"{key}={override.get_value_element_as_str()}" if not override.is_delete() else key]
            continue
        if not override.is_discrete_sweep():
            raise HydraException(f"{override.input_line}: this kind of sweep is unknown; give the values, as in 1,2,3")
        if override.key_or_group == "experiment":
            raise SettingsError(
                f"{override.input_line}: a sweep has one experiment, which brings its grid; run them one by one"
            )
        values = itertools.islice(override.sweep_string_iterator(), MOST_POINTS + 1)
        axes[key] = [f"{key}={value}" for value in values]
        if not axes[key]:
            raise SettingsError(f"{override.input_line}: has no values; give at least one, as in seed=0,1,2")
    if math.prod(map(len, axes.values())) > MOST_POINTS:
        raise SettingsError(
            f"the grid of {', '.join(axes)} has more than {MOST_POINTS} points; sweep over fewer values"
        )
    parsed = {text: parser.parse_override(text) for axis in axes.values() for text in axis}
    return [[parsed[text] for text in point] for point in itertools.product(*axes.values())]


class Composer:
    """Composes points. Hydra needs some 60 ms for each, so one composition serves all that choose the same
    groups, and plain values are set on a copy of it, as Hydra itself does after composing. What an experiment asks
    and leaves out is most of a config: it is kept apart and shared by all copies."""

    def __init__(self, config: DictConfig, loader: Any) -> None:
        self.config, self.loader = config, loader
        self.composed: dict[tuple[str, ...], tuple[DictConfig, dict[str, Any]]] = {}
        self.groups: dict[str, bool] = {}

    def compose(self, overrides: Sequence[Override]) -> tuple[DictConfig, dict[str, Any]]:
        """A point, and by name what was kept apart from its experiment."""
        plain = [o for o in overrides if self._is_plain_value(o)]
        rest = tuple(str(o.input_line) for o in overrides if o not in plain)
        if rest not in self.composed:
            whole = self.loader.load_sweep_config(self.config, list(rest))
            own = typed(whole)
            self.composed[rest] = own, _take_apart(own)
        shared, apart = self.composed[rest]
        config = deepcopy(shared)
        try:
            for override in plain:
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        except OmegaConfBaseException:  # composing it whole gives the error as Hydra words it
            self.loader.load_sweep_config(self.config, [str(o.input_line) for o in overrides])
            raise
        return config, apart

    def _is_plain_value(self, override: Override) -> bool:
        changes = not (override.is_add() or override.is_force_add() or override.is_delete())
        key = override.key_or_group
        return changes and not key.startswith(("hydra", "experiment.")) and not self._is_group(key)

    def _is_group(self, key: str) -> bool:
        if "." in key:  # a field in a group: parts of a group's name are told apart by /
            return False
        if key not in self.groups:  # Hydra reads its folders anew at each question
            self.groups[key] = bool(self.loader.repository.get_group_options(key))
        return self.groups[key]


def _take_apart(config: DictConfig) -> dict[str, Any]:
    """Takes an experiment's `findings` and `leave_out` out of a config; leaves those that interpolations need, or that
    are of a wrong type, which is refused with the rest of the config."""
    plain = OmegaConf.to_container(config, resolve=False)
    experiment = plain.get("experiment") if isinstance(plain, dict) else None
    taken = {}
    for name, kind in (("findings", dict), ("leave_out", list)):
        value = experiment.get(name) if isinstance(experiment, dict) else None
        wrong = not isinstance(value, kind) or not all(isinstance(item, str | dict) for item in value)
        if not wrong and "${" not in repr(value) and f"experiment.{name}" not in repr(plain):
            taken[name] = value
            config.experiment[name] = kind()
    return taken


def plan_all(composer: Composer, grid: list[list[Override]]) -> Plan:
    points: dict[str, Point] = {}
    impossible: dict[str, Impossible] = {}
    missing = None
    settings: Settings | None = None
    first: Settings | None = None
    for settings, overrides in _all_settings(composer, grid):
        first = first or settings
        _require_one_sweep(settings, first)
        if _is_left_out(settings):
            continue
        try:
            run = plan(settings)
        except ImpossibleNetwork as error:
            impossible[label(settings)] = Impossible(label(settings), str(error), settings)
            continue
        if run.run_id is None:
            missing = missing or datasets.missing(settings.dataset)
        points.setdefault(run.key, Point(run, overrides))
    if settings is None or not points:
        reason = next((one.reason for one in impossible.values()), "the grid is empty")
        raise SettingsError(f"nothing to run: no network of the sweep can be built ({reason})")
    return Plan(
        settings=settings,
        points=_named(_seeds_together(list(points.values()))),
        impossible=list(impossible.values()),
        missing_data=missing,
    )


def _is_left_out(settings: Settings) -> bool:
    """Whether the experiment does not want this point of its grid: one of `leave_out` holds for it."""
    patterns = settings.experiment.leave_out
    if not patterns:
        return False
    flat = flatten(asdict(replace(settings, experiment=ExperimentSettings())))
    for pattern in patterns:
        if not isinstance(pattern, dict):
            raise SettingsError(
                f"experiment.leave_out={patterns}: must be a list of settings and values, such as "
                f"[{{pool.kind: fmp, model.pools: 3}}]"
            )
        for key in pattern:
            if key not in flat and not key.startswith("pool.arguments."):  # which only some poolings have
                raise SettingsError(f"experiment.leave_out={patterns}: {key} is no setting; {nearest(key, list(flat))}")
    return any(selectors.matches(flat, pattern) for pattern in patterns)


def _all_settings(composer: Composer, grid: list[list[Override]]) -> Iterator[tuple[Settings, list[str]]]:
    """The settings of each point, and the overrides that give them anywhere; points that differ in the seed alone are
    composed and checked once, unless something is interpolated: it may well be the seed."""
    known: dict[tuple[str, ...], Settings] = {}
    for point in grid:
        overrides = [str(o.input_line) for o in point]
        without_seed = tuple(o for o in overrides if not o.startswith("seed="))
        seed = next((o.value() for o in point if o.key_or_group == "seed"), None)
        if isinstance(seed, int) and 0 <= seed < 2**31 and without_seed in known:
            yield replace(known[without_seed], seed=seed), overrides
            continue
        config, apart = composer.compose(point)
        try:
            settings, _ = from_config(config, sweep=True)
            findings_schema.check(apart.get("findings", {}))
            settings = _with_experiment(settings, apart)
        except SettingsError:
            if _is_left_out(_with_experiment(unchecked(config, sweep=True)[0], apart)):
                continue  # a point that cannot be is one that nobody wants
            raise
        refuse_others(settings)
        interpolated = list(interpolations.overrides(config))
        if not interpolated:
            known[without_seed] = settings
        yield settings, [*overrides, *interpolated]


def _with_experiment(settings: Settings, values: dict[str, Any]) -> Settings:
    return replace(settings, experiment=replace(settings.experiment, **values))


def _require_one_sweep(settings: Settings, first: Settings) -> None:
    """Raises SettingsError for a setting that does not tell runs apart, and so can have but one value in a sweep."""
    for name in OF_THE_SWEEP:
        here, there = (attrgetter(name)(each) for each in (settings, first))
        if here != there:
            raise SettingsError(
                f"{name}={override_value(there)},{override_value(here)}: has one value in a sweep, whose runs it does "
                f"not tell apart; start a sweep for each"
            )


def _seeds_together(points: list[Point]) -> list[Point]:
    """The seeds of a variant follow one another: its compiled program then serves them all."""
    order: dict[str, int] = {}
    for point in points:
        order.setdefault(identity.variant_id(point.run.settings), len(order))
    return sorted(points, key=lambda point: order[identity.variant_id(point.run.settings)])


def _named(points: list[Point]) -> list[Point]:
    """Each with the label of its variant and the settings in which those of one label differ."""
    settings = {identity.variant_id(point.run.settings): point.run.settings for point in points}
    names = distinct_names([(label(one), flatten(identity.config(one))) for one in settings.values()])
    by_variant = dict(zip(settings, names, strict=True))
    return [replace(point, name=by_variant[identity.variant_id(point.run.settings)]) for point in points]


def one_per_dataset(whole: Plan) -> list[Settings]:
    return list({p.run.settings.dataset.name: p.run.settings for p in whole.points}.values())
