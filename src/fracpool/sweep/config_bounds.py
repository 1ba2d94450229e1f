"""How large a config may be and what its interpolations may reach: it may come from a stranger (`--config-dir`).

A file is measured before it is built, with all its anchors written out. An interpolation may need so many others and
make a text so long; it reaches other fields of the config, and neither the environment nor anything that makes more
config. All that holds wherever a config is composed or read, in this process and in the workers of a launcher.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import yaml
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, ListConfig
from omegaconf.base import Container
from omegaconf.basecontainer import BaseContainer
from omegaconf.errors import (
    InterpolationResolutionError,
    InterpolationToMissingValueError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from fracpool.records.plain_text import text
from fracpool.settings.refusal import SettingsError

MAX_FILE_BYTES = 2**20
MOST_VALUES = 20_000  # of a file, and of a whole config
DEEPEST = 30
MOST_LOADED = 1000  # files that a list of defaults brings, each as often as it stands there
MOST_TAKEN = 2_000  # values that an interpolation brings, of a whole config
MOST_NEEDED = 100  # interpolations for the value of one
LONGEST_TEXT = 100_000
# Beside the environment, of which a command line may name variables, and a config none.
RESOLVERS = ("now", "oc.decode", "oc.deprecated", "oc.dict.keys", "oc.dict.values", "oc.select", "fracpool.fields")
ENVIRONMENT = "oc.env"
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


# ---- files ----

# Files that were loaded, as they were then: a sweep composes the same ones again for each choice of groups.
_LOADED: dict[str, tuple[tuple[int, int, int], ConfigResult]] = {}


class BoundedFiles(FileConfigSource):
    """Hydra's source of config files, which measures a file before it builds what the file says."""

    def load_config(self, config_path: str) -> ConfigResult:
        path = os.path.join(self.path, self._normalize_file_name(config_path))
        try:
            if not os.path.exists(path):
                return super().load_config(config_path)  # Hydra has its own words for what is not there
            found = os.stat(path)
            version = (found.st_ino, found.st_size, found.st_mtime_ns)
            known, loaded = _LOADED.get(path, (None, None))
            if loaded is None or version != known or loaded.provider != self.provider:
                _measure(path)
                loaded = super().load_config(config_path)
                _LOADED[path] = version, loaded
            return deepcopy(loaded)
        except SettingsError:
            raise
        except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
            raise SettingsError(f"{path}: cannot be read as YAML ({text(error, 200)})") from None


# What stands in Hydra's registry goes to a launcher's workers, where Hydra tells sources apart by this name.
BoundedFiles.__name__ = FileConfigSource.__name__


class BoundedRepository(CachingConfigRepository):
    """Hydra's repository, which counts what a list of defaults brings: it may bring the same file again and again."""

    loaded = 0

    def load_config(self, config_path: str) -> ConfigResult | None:
        self.loaded += 1
        if self.loaded > MOST_LOADED:
            raise SettingsError(f"{config_path}: the lists of defaults bring more than {MOST_LOADED} files; take fewer")
        return super().load_config(config_path)


def _measure(path: str) -> None:
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_FILE_BYTES:
        raise SettingsError(f"{path}: a config is a file of at most {MAX_FILE_BYTES} bytes")
    with open(path, encoding="utf-8") as file:
        content = file.read(MAX_FILE_BYTES)
    if _values(content) > MOST_VALUES:
        raise SettingsError(f"{path}: holds more than {MOST_VALUES} values, anchors written out; make it smaller")


def _values(content: str) -> int:
    """How many values a YAML file holds, with its anchors written out: told from its events, before any is built."""
    anchors: dict[str, int] = {}
    open_names: list[str | None] = []
    sizes = [0]
    for event in yaml.parse(content, Loader=_YAML):
        if isinstance(event, yaml.CollectionStartEvent):
            open_names.append(event.anchor)
            sizes.append(1)
            if len(sizes) > DEEPEST:
                return MOST_VALUES + 1
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            name, size = open_names.pop(), sizes.pop()
        elif isinstance(event, yaml.ScalarEvent):
            name, size = event.anchor, 1 + len(event.value) // 100
        elif isinstance(event, yaml.AliasEvent):
            name, size = None, anchors.get(event.anchor, MOST_VALUES + 1)  # of what holds itself there is no end
        else:
            continue
        if name is not None:
            anchors[name] = size
        sizes[-1] += size
        if sizes[-1] > MOST_VALUES:
            break
    return sizes[-1] if len(sizes) == 1 else MOST_VALUES + 1


# ---- interpolations ----


class _Needed:
    """How many interpolations the one that is being resolved has needed."""

    depth, count = 0, 0


_resolve = Container.resolve_parse_tree


def _bounded_resolve(self: Container, *arguments: Any, **options: Any) -> Any:
    if _Needed.depth == 0:
        _Needed.count = 0
    _Needed.count += 1
    if _Needed.count > MOST_NEEDED:
        raise InterpolationResolutionError(f"needs more than {MOST_NEEDED} other values; write it out")
    _Needed.depth += 1
    try:
        value = _resolve(self, *arguments, **options)
    finally:
        _Needed.depth -= 1
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        raise InterpolationResolutionError(f"makes a text of more than {LONGEST_TEXT} characters")
    return value


def hold(variables: Collection[str] | None = None) -> None:
    """From now on the bounds hold in this process, and of the environment these `variables` may be asked for."""
    known = BaseContainer._resolvers
    environment = known[ENVIRONMENT]
    if variables is not None or not isinstance(environment, _SomeOf):
        environment = _SomeOf(environment, variables or ())
    BaseContainer._resolvers = {n: known[n] for n in RESOLVERS if n in known} | {ENVIRONMENT: environment}
    Container.resolve_parse_tree = _bounded_resolve  # type: ignore[method-assign]


@dataclass(frozen=True)
class _SomeOf:
    """OmegaConf's resolver of the environment, for some of its variables."""

    resolver: Callable[..., Any]
    variables: Collection[str]

    def __call__(self, root: Any, parent: Any, node: Any, arguments: tuple[Any, ...], shown: Any) -> Any:
        if not arguments or arguments[0] not in self.variables:
            raise InterpolationResolutionError(
                "no config can ask for a variable of the environment; give FIELD='${oc.env:NAME}' yourself"
            )
        return self.resolver(root, parent, node, arguments, shown)


@contextlib.contextmanager
def held(arguments: Sequence[str]) -> Iterator[None]:
    """Within, the bounds hold in this process, for the command line of these `arguments`."""
    Plugins.instance()  # Hydra registers its own source of files before ours takes its place
    sources, resolvers = SourcesRegistry.instance().types, BaseContainer._resolvers
    before = sources["file"]
    sources["file"] = BoundedFiles
    hold(re.findall(r"oc\.env:\s*(\w+)", " ".join(arguments)))
    try:
        yield
    finally:
        Container.resolve_parse_tree = _resolve  # type: ignore[method-assign]
        BaseContainer._resolvers = resolvers
        sources["file"] = before


# ---- a whole config ----


def entries(node: DictConfig, field: str = "", keys: Collection[str] | None = None) -> Iterator[tuple[str, Any, bool]]:
    """(field, value, whether it stands there literally) of everything in a config, or in some of its parts, resolved
    as Hydra will resolve it; SettingsError where that is no value or there are too many. What is missing yet is left
    out."""
    count = taken = 0
    for entry in _entries(node, field, True, 0, keys):
        count, taken = count + 1, taken + (not entry[2])
        if count > MOST_VALUES or taken > MOST_TAKEN:
            many = f"{MOST_VALUES} values, or {MOST_TAKEN} by interpolation"
            raise SettingsError(f"{field or 'the config'}: holds more than {many}; make it smaller")
        yield entry


def _entries(
    node: Any, field: str, literal: bool, depth: int, keys: Collection[str] | None = None
) -> Iterator[tuple[str, Any, bool]]:
    if not isinstance(node, DictConfig | ListConfig):
        yield field, node, literal
        return
    if depth > DEEPEST:
        raise SettingsError(f"{field}: is nested more than {DEEPEST} deep; make it flat")
    chosen: list[Any] = list(range(len(node))) if isinstance(node, ListConfig) else list(node)
    for key in (key for key in chosen if keys is None or key in keys):
        place = f"{field}.{key}" if field else str(key)
        try:
            value = node[key]
        except (MissingMandatoryValue, InterpolationToMissingValueError):  # such as a run's folder, known later
            continue
        except OmegaConfBaseException as error:
            raise SettingsError(f"{place}: {str(error).splitlines()[0]}; write the value itself") from None
        raw = node._get_node(key)
        own = literal and raw is not None and not raw._is_interpolation()  # type: ignore[union-attr]
        yield from _entries(value, place, own, depth + 1)
