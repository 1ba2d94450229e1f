"""Hydra's state, which is one for a whole process, for a command that another Hydra application may call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

HYDRAS_OWN = ("hydra", "_dummy_empty_config_.yaml")  # of the store of configs; the rest is its application's


@contextmanager
def own() -> Iterator[None]:
    """Within, Hydra knows of no other application; after it, of what it knew before."""
    running, config, store = GlobalHydra.instance(), HydraConfig.instance(), ConfigStore.instance()
    before = running.hydra, config.cfg, store.repo
    running.clear()
    store.repo = {name: node for name, node in store.repo.items() if name in HYDRAS_OWN}
    try:
        yield
    finally:
        running.hydra, config.cfg, store.repo = before
