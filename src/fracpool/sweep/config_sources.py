"""Where configs come from: of two with one name Hydra reads the first it finds and says nothing of the other."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from fracpool.settings import config_files
from fracpool.settings.refusal import SettingsError


def refuse_hidden(sources: Iterable[Any]) -> None:
    """Raises SettingsError for a file that is hidden behind one of the same group and name in an earlier folder.

    Args:
        sources: Where Hydra looks for configs, in its order: `hydra.runtime.config_sources`.
    """
    folders = _folders(sources)
    whole = config_files.configs()
    groups = [Path(group).relative_to(whole) for group, _, _ in os.walk(whole, followlinks=True)]
    for group in groups:
        first: dict[str, Path] = {}
        for folder in folders:
            for file in sorted((folder / group).glob("*.yaml")):
                taken = first.setdefault(file.name, file)
                if not taken.samefile(file):
                    raise SettingsError(
                        f"{file}: would be hidden behind {taken}, which has the same name; give it another, such as "
                        f"{file.with_name(f'my_{file.name}')}"
                    )


def experiment_file(config: DictConfig) -> Path | None:
    """The file of the experiment that a composed config has; None without one."""
    runtime = config.hydra.runtime
    choice = runtime.choices.get("experiment")
    files = (folder / "experiment" / f"{choice}.yaml" for folder in _folders(runtime.config_sources))
    return next((file for file in files if file.is_file()), None) if choice else None


def _folders(sources: Iterable[Any]) -> list[Path]:
    return [Path(source.path) for source in sources if source.schema == "file"]
