"""Run records as tidy tables: one row per run, and the experiments that the runs belong to.

A results folder may come from a stranger, so nothing in a record is trusted: a value of a wrong type sets
the record aside with one line, and text is cut and freed of control characters before anything shows it.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeGuard, cast

import pandas as pd

from fracpool import poolings
from fracpool.plain_text import count, text
from fracpool.records import Record, RecordError, Store
from fracpool.settings import BudgetSettings, ModelSettings, OptimizerSettings

COLUMNS = (
    "experiment", "variant", "dataset", "pool", "ratio", "conv_layers", "final_height", "final_width",
    "parameters", "macs", "train_examples", "epochs", "seed", "test_accuracy", "test_error", "repeats",
    "train_seconds", "status", "run_id",
)  # fmt: skip
COUNTS = (
    "conv_layers", "final_height", "final_width", "parameters", "macs", "train_examples", "epochs", "seed",
    "repeats", "test_examples",
)  # fmt: skip
TEST_PASSES = ("repeats", "test_shift")  # settings that follow from the pooling
USUAL = {
    f"{group}.{name}": value
    for group, kind in (("model", ModelSettings), ("optimizer", OptimizerSettings), ("budget", BudgetSettings))
    for name, value in asdict(kind()).items()
}
LOOSE = ""  # the name of the experiment that holds the runs of no experiment
MOST_LAYERS = 10_000
LEFTOVER_SECONDS = 3600.0  # no file takes as long to write


@dataclass(frozen=True)
class Variant:
    """A network without its seed. `name` tells it from the other variants of its experiment."""

    id: str
    name: str
    config: Mapping[str, Any]
    geometry: Mapping[str, Any]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The config by dotted keys: {"pool.kind": "fmp", "model.conv_layers": 2, …}.

        A field that came after the record was written has its default, which is what the record was made with.
        """
        later = {key: value for key, value in USUAL.items() if key.partition(".")[0] in self.config}
        return {**later, **flatten(self.config)}

    @cached_property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of the map that enters, and after every layer that changes it."""
        return sizes(self.geometry)

    @cached_property
    def pool(self) -> str:
        """What its pooling is called: "max pool", "FMP 1.47 random"."""
        return pool_name(self.config.get("pool") or {})

    @property
    def is_fmp(self) -> bool:
        return self.settings.get("pool.kind") == "fmp"

    @property
    def is_max(self) -> bool:
        return self.settings.get("pool.kind") == "max"

    @property
    def depth(self) -> int:
        """Number of convolutions; 0 where there is no network."""
        given = self.settings.get("model.conv_layers")
        return given if isinstance(given, int) and abs(given) < 10**6 else 0

    @property
    def ratio(self) -> float | None:
        """Its pooling ratio; 2 for 2×2 max pooling, None for a pooling without one."""
        given = self.settings.get("pool.ratio")
        if self.is_max:
            return 2.0
        return float(given) if _is_number(given) and given > 0 else None

    @cached_property
    def rest(self) -> dict[str, Any]:
        """Its settings without those of the pooling, and without those that change nothing: equal for networks that
        differ by their pooling only."""
        idle = {*TEST_PASSES, "model.name"}
        if not self.settings.get("model.batch_norm"):
            idle |= {"model.batch_norm_momentum", "model.batch_norm_fused"}
        rest = {k: v for k, v in self.settings.items() if not k.startswith("pool.") and k not in idle}
        if rest.get("model.pools", 0) is None:
            rest["model.pools"] = self.depth  # what null stands for
        return rest


@dataclass(frozen=True)
class Experiment:
    """What a sweep file says: the variants of the newest sweep, its planned runs and its findings."""

    name: str
    title: str
    question: str
    variants: tuple[Variant, ...] = ()
    findings: tuple[Mapping[str, Any], ...] = ()
    planned: tuple[str, ...] = ()
    older: tuple[str, ...] = ()
    impossible: tuple[Mapping[str, str], ...] = ()
    not_run: str | None = None
    command: str = ""
    commit: str = ""


@dataclass
class Results:
    """A results folder as read: experiments, the runs table, the records by id, and what could not be used.

    `runs` has COLUMNS and some more (variant_id, averaged_accuracy, seconds_per_epoch, …), one row per run.
    """

    root: Path
    experiments: list[Experiment]
    runs: pd.DataFrame
    records: dict[str, Record]
    problems: list[str] = field(default_factory=list)
    _by_variant: dict[str, dict[str, list[Record]]] = field(default_factory=dict, repr=False)

    def records_of(self, experiment: Experiment, variant: Variant) -> list[Record]:
        """The records of a variant's planned runs in an experiment."""
        if experiment.name not in self._by_variant:
            index: dict[str, list[Record]] = {}
            for run in experiment.planned:
                if run in self.records:
                    record = self.records[run]
                    index.setdefault(text(record.data["variant_id"]), []).append(record)
            self._by_variant[experiment.name] = index
        return self._by_variant[experiment.name].get(variant.id, [])

    def of(self, experiment: Experiment) -> pd.DataFrame:
        """The planned runs of an experiment that have a record."""
        return self.runs[self.runs["run_id"].isin(set(experiment.planned))]

    def missing(self, experiment: Experiment) -> list[str]:
        """Planned runs without a record."""
        return [run for run in experiment.planned if run not in self.records]


def read(root: Path) -> Results:
    """Reads a results folder; damaged files become lines in `problems`, never an exception."""
    store = Store(root)
    reading = store.read()
    sweeps, sweep_problems = store.read_sweeps()
    problems = [*reading.problems, *sweep_problems]
    rows: list[dict[str, Any]] = []
    records: dict[str, Record] = {}
    for record in reading.records:
        try:
            rows.append(_row(record))
            records[record.run_id] = record
        except RecordError as error:
            problems.append(str(error))
    experiments = []
    for name, sweep in sorted(sweeps.items()):
        try:
            experiments.append(_experiment(name, sweep))
        except RecordError as error:
            problems.append(f"{store.sweeps / name}.json: {error}; run the sweep again")
    experiments.sort(key=_by_first_finding)
    runs = _typed(pd.DataFrame(rows, columns=_all_columns()))
    experiments += _loose(runs, experiments, records)
    runs["experiment"] = _memberships(runs["run_id"], experiments)
    runs["variant"] = _names_over_all(runs, records)
    prefix = f"{root}/"
    shown = [text(problem.replace(prefix, ""), 600) for problem in problems]
    return Results(root, experiments, runs, records, shown)


def write(results: Results) -> None:
    """Writes runs.csv and runs.parquet: exactly COLUMNS, one row per run, sorted by experiment and variant."""
    order = ["experiment", "variant", "seed", "run_id"]
    table = results.runs.sort_values(order, kind="stable")[list(COLUMNS)].reset_index(drop=True)
    write_file(results.root / "runs.csv", as_csv(table))
    packed = io.BytesIO()
    table.to_parquet(packed, index=False)
    write_file(results.root / "runs.parquet", packed.getvalue())


def write_file(path: Path, content: str | bytes) -> None:
    """Replaces a file in one step: no reader sees half of it, and a link in its place is replaced, not followed."""
    hidden = path.with_name(f".{path.name}.{os.getpid()}")
    hidden.unlink(missing_ok=True)
    try:
        with open(hidden, "xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.replace(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)
    for left in path.parent.glob(f".{path.name}.*"):  # by processes that were killed while they wrote
        with contextlib.suppress(OSError):
            if time.time() - left.lstat().st_mtime > LEFTOVER_SECONDS:
                left.unlink()


def as_csv(table: pd.DataFrame) -> str:
    """A CSV that a spreadsheet opens without running anything in it.

    Text that starts like a formula gets an apostrophe in front (OWASP, "CSV Injection").
    """
    safe = table.copy()
    for name in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[name]):
            safe[name] = safe[name].map(_no_formula)
    return safe.to_csv(index=False, lineterminator="\n")


def _no_formula(value: Any) -> Any:
    return "'" + value if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def flatten(config: Mapping[str, Any], prefix: str = "", levels: int = 5) -> dict[str, Any]:
    """{"a": {"b": 1}} as {"a.b": 1}; what is nested deeper than `levels` stays as it is."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and levels:
            flat |= flatten(value, f"{prefix}{key}.", levels - 1)
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def sizes(geometry: Mapping[str, Any]) -> list[tuple[int, int]]:
    """(height, width) of the input map and after each layer that changes it, up to the dense layers."""
    found: list[tuple[int, int]] = []
    for layer in geometry.get("layers", ()):
        if layer["kind"] == "flatten":
            break
        size = (layer["height"], layer["width"])
        if not found or found[-1] != size:
            found.append(size)
    return found


def pool_name(pool: Mapping[str, Any]) -> str:
    """The name that the registry of poolings gives; the bare kind where it knows none."""
    given = cast(Any, SimpleNamespace(**pool))
    try:
        return text(poolings.of(given).label(given), 80)
    except (AttributeError, KeyError, TypeError, ValueError):
        return text(pool.get("kind", "unknown pool"), 80)


def network_names(variants: Sequence[Variant], without: tuple[str, ...] = ()) -> dict[str, str]:
    """By variant id: what its network is called without its pooling: "2 conv", "2 conv, batch norm".

    Settings that start like one of `without` make no difference either.
    """
    networks: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for variant in variants:
        rest = {key: value for key, value in variant.rest.items() if not key.startswith(without)}
        networks.setdefault(network_key(variant, without), (f"{variant.depth} conv", rest))
    names = dict(zip(networks, distinct_names(list(networks.values())), strict=True))
    return {variant.id: names[network_key(variant, without)] for variant in variants}


def network_key(variant: Variant, without: tuple[str, ...] = ()) -> str:
    """Equal for variants that differ by their pooling (and the settings in `without`) only."""
    return settings_key(variant.rest, without)


def settings_key(settings: Mapping[str, Any], without: Iterable[str] = ()) -> str:
    """Equal for equal settings, whatever their order; keys that start like one of `without` are left out."""
    left_out = tuple(without)
    return repr([(key, settings[key]) for key in sorted(settings) if not key.startswith(left_out)])


def size_text(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def sizes_text(found: Sequence[tuple[int, int]]) -> str:
    """28 → 19 → 12; with both sides where a map is not square."""
    return " → ".join(str(h) if h == w else size_text((h, w)) for h, w in found)


def natural(name: str) -> list[tuple[int, str]]:
    """Sorts F2 before F10."""
    return [(int(piece[:18]), "") if piece.isdecimal() else (-1, piece) for piece in re.split(r"(\d+)", name)]


def number(value: Any, name: str, optional: bool = False) -> float | None:
    """A finite number from a record, or RecordError."""
    if value is None and optional:
        return None
    if not _is_number(value):
        raise RecordError(f"{name} is {text(value, 40)!r}, no number")
    return value


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


# ---- one record → one row ----


def _all_columns() -> list[str]:
    extra = ["variant_id", "label", "averaged_accuracy", "seconds_per_epoch", "test_examples", "finished"]
    return [*COLUMNS, *extra]


def _row(record: Record) -> dict[str, Any]:
    try:
        return _unchecked_row(record.data)
    except (RecordError, AttributeError, KeyError, TypeError, ValueError) as error:
        what = str(error) if isinstance(error, RecordError) else f"{type(error).__name__}: {error}"
        place = record.folder / "record.json"
        raise RecordError(f"{place}: {what}; set the folder aside and run it again") from None


def _typed(runs: pd.DataFrame) -> pd.DataFrame:
    """Whole numbers stay whole where some are missing, and empty columns have a type."""
    measures = ("ratio", "test_accuracy", "test_error", "train_seconds", "averaged_accuracy", "seconds_per_epoch")
    types = dict.fromkeys(COUNTS, "Int64") | dict.fromkeys(measures, "float64")
    return runs.astype(types)


def _unchecked_row(data: Mapping[str, Any]) -> dict[str, Any]:
    config, metrics, timings = data["config"], data["metrics"], data.get("timings") or {}
    geometry, about = _checked_geometry(data["geometry"]), data.get("data") or {}
    pool, model, budget = config["pool"], config.get("model") or {}, config.get("budget") or {}
    for part in (config, metrics, timings, about, pool, model, budget, data["files"]):
        if not isinstance(part, Mapping):
            raise RecordError(f"holds {text(part, 40)!r} in place of a group of fields")
    if not isinstance(pool["kind"], str):
        raise RecordError(f"pool.kind is {text(pool['kind'], 40)!r}, no name")
    numeric = {
        "ratio": pool.get("ratio"),
        "conv_layers": model.get("conv_layers"),
        "final_height": geometry.get("final_height"),
        "final_width": geometry.get("final_width"),
        "parameters": geometry.get("parameters"),
        "macs": geometry.get("macs"),
        "train_examples": about.get("train_examples", budget.get("train_examples")),
        "epochs": budget.get("epochs"),
        "test_accuracy": metrics.get("test_accuracy"),
        "test_error": metrics.get("test_error"),
        "repeats": metrics.get("repeats"),
        "train_seconds": timings.get("train_seconds"),
        "averaged_accuracy": metrics.get("averaged_accuracy"),
        "seconds_per_epoch": timings.get("seconds_per_epoch"),
        "test_examples": about.get("test_examples"),
    }
    if data["status"] == "completed" and config.get("task") != "gradient":
        number(metrics.get("test_accuracy"), "test_accuracy")
    row: dict[str, Any] = {name: number(value, name, optional=True) for name, value in numeric.items()}
    for name in ("test_accuracy", "test_error", "averaged_accuracy"):
        if row[name] is not None and not 0 <= row[name] <= 1:
            raise RecordError(f"{name} is {row[name]}, not between 0 and 1")
    for name in COUNTS:
        _whole(row.get(name), name)
    seed = _whole(data["seed"], "seed")
    if seed is None:
        raise RecordError("seed is missing")
    if text(data["run_id"]) != data["run_id"]:
        raise RecordError("run_id holds characters that no run id has")
    return row | {
        "dataset": text((config.get("dataset") or {}).get("name", about.get("name", ""))),
        "pool": text(pool["kind"]),
        "seed": seed,
        "status": data["status"],
        "run_id": text(data["run_id"]),
        "variant_id": text(data["variant_id"]),
        "label": text(data.get("label") or "unnamed"),
        "finished": text(data.get("finished", "")),
    }


def _whole(value: Any, name: str) -> int | None:
    """A whole number from a record that fits a column of the table, or None; else RecordError."""
    if value is None:
        return None
    if number(value, name) != int(value) or abs(value) >= 2**63:
        raise RecordError(f"{name} is {text(value, 40)}, no whole number")
    return int(value)


def _checked_geometry(geometry: Any) -> Mapping[str, Any]:
    """A record's geometry, or RecordError; a check without a network has an empty one."""
    if not isinstance(geometry, Mapping):
        raise RecordError("geometry is no group of fields")
    layers = geometry.get("layers", [])
    if not isinstance(layers, list) or len(layers) > MOST_LAYERS:
        raise RecordError("geometry.layers is no list of layers")
    for name in ("final_height", "final_width", "parameters", "macs"):
        _whole(geometry.get(name), name)
    for layer in layers:
        if not isinstance(layer, Mapping):
            raise RecordError("geometry.layers holds something that is no layer")
        for name in ("height", "width"):
            size = _whole(layer.get(name), f"{name} of a layer")
            if size is None or not 1 <= size <= 10**6:
                raise RecordError(f"{name} of a layer is {size}")
        if not isinstance(layer.get("kind"), str):
            raise RecordError("a layer has no kind")
    return geometry


# ---- sweep files → experiments ----


def _experiment(name: str, sweep: Mapping[str, Any]) -> Experiment:
    try:
        variants = sweep.get("variants") or []
        labelled = [
            (text(v["variant_id"]), text(v["label"]), v["config"], _checked_geometry(v.get("geometry") or {}))
            for v in variants
        ]
        names = distinct_names([(label, flatten(config)) for _, label, config, _ in labelled])
        return Experiment(
            name=text(name),
            title=text(sweep.get("title") or name),
            question=text(sweep.get("question") or "", 600),
            variants=tuple(
                Variant(id_, shown, config, geometry)
                for (id_, _, config, geometry), shown in zip(labelled, names, strict=True)
            ),
            findings=_findings(sweep.get("findings") or []),
            planned=tuple(dict.fromkeys(_texts(sweep.get("runs")))),
            older=tuple(_texts(sweep.get("older"))),
            impossible=tuple(
                {"label": text(entry["label"]), "reason": text(entry["reason"], 600)}
                for entry in sweep.get("impossible") or []
            ),
            not_run=text(sweep["not_run"], 600) if sweep.get("not_run") else None,
            command=text(sweep.get("command") or "", 2000),
            commit=text(sweep.get("commit") or ""),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RecordError(f"not a sweep file ({type(error).__name__}: {error})") from None


def _by_first_finding(experiment: Experiment) -> tuple[Any, str]:
    ids = [natural(str(finding.get("id"))) for finding in experiment.findings]
    return min(ids, default=natural("~")), experiment.name


def _findings(given: Any) -> tuple[Mapping[str, Any], ...]:
    """Findings as a list of {id, …}; a mapping id → finding, as the YAML has it, is the same thing."""
    if isinstance(given, Mapping):
        return tuple({"id": str(key), **value} for key, value in given.items())
    return tuple(dict(finding) for finding in given)


def _texts(values: Any) -> list[str]:
    return [text(value) for value in values or ()]


def _loose(runs: pd.DataFrame, experiments: Iterable[Experiment], records: Mapping[str, Record]) -> list[Experiment]:
    """The experiment of the runs that no sweep file names (made by single calls), if there are any."""
    named = {run for e in experiments for run in (*e.planned, *e.older)}
    loose = runs[~runs["run_id"].isin(named)]
    if loose.empty:
        return []
    first = loose.drop_duplicates("variant_id")
    found = [records[run].data for run in first["run_id"]]
    names = distinct_names([(label, _telling(d)) for label, d in zip(first["label"], found, strict=True)])
    variants = [
        Variant(id_, name, d["config"], d["geometry"])
        for id_, name, d in zip(first["variant_id"], names, found, strict=True)
    ]
    return [Experiment(LOOSE, "Runs outside the experiments", "", tuple(variants), planned=tuple(loose["run_id"]))]


def _memberships(run_ids: pd.Series, experiments: Iterable[Experiment]) -> list[str]:
    members: dict[str, list[str]] = {}
    for experiment in experiments:
        for run in (*experiment.planned, *experiment.older):
            members.setdefault(run, []).append(experiment.name)
    return [";".join(sorted(set(members.get(run, [])))) for run in run_ids]


def _names_over_all(runs: pd.DataFrame, records: Mapping[str, Record]) -> list[str]:
    first = runs.drop_duplicates("variant_id")
    labelled = [
        (label, _telling(records[run].data)) for label, run in zip(first["label"], first["run_id"], strict=True)
    ]
    by_id = dict(zip(first["variant_id"], distinct_names(labelled), strict=True))
    return [by_id[id_] for id_ in runs["variant_id"]]


def _telling(data: Mapping[str, Any]) -> dict[str, Any]:
    """The settings by which a record's variant is told from others; results of another version are none of its."""
    return flatten(data["config"]) | {"results_version": data.get("results_version")}


def distinct_names(labelled: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """Labels, each with the settings in which it differs from the others of the same label.

    Args:
        labelled: (label, flat settings) per variant.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for label, settings in labelled:
        groups.setdefault(label, []).append(settings)
    differing = {label: _differing_keys(group) for label, group in groups.items()}
    names = []
    for label, settings in labelled:
        extra = [_setting_text(key, settings[key]) for key in differing[label] if key in settings]
        names.append(text(", ".join([label, *extra])))
    return names


def _differing_keys(group: Sequence[Mapping[str, Any]]) -> list[str]:
    """Those that tell the settings apart; what is off in some and lacks a meaning in the others does not."""
    if len(group) == 1:
        return []
    keys = dict.fromkeys(key for settings in group for key in settings)
    return [key for key in keys if len(Counter(repr(settings.get(key) or None) for settings in group)) > 1]


def _setting_text(key: str, value: Any) -> str:
    """A setting in words: "no dropout", "batch norm", "5 epochs", "mnist", "3×3 filters"."""
    name = key.rsplit(".", 1)[-1].replace("_", " ")
    if key.endswith(".name"):
        return str(value)
    if name == "train examples":
        return f"{value:,} images" if _is_number(value) else "all images"
    if name == "kernel":
        return f"{value}×{value} filters"
    if name == "pad to" and value:
        return f"padded to {value}×{value}"
    name = {"pad to": "padding", "pointwise": "1×1 convolutions"}.get(name, name)
    if value is None or value is False or value == 0:
        return f"no {name}"
    if value is True:
        return name
    if name in ("epochs", "pools"):
        return count(value, name[:-1])
    return f"{name} {value}"
