"""Hydra's basic sweeper with fracpool's planning: `hydra/sweeper=fracpool`.

Hydra looks for plugins in the package hydra_plugins; everything that the sweep does is in `fracpool.sweep.sweep`,
which is imported when a sweep starts, so that other programs with Hydra in this environment do not pay.
"""

from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig

ConfigStore.instance().store(
    group="hydra/sweeper",
    name="fracpool",
    node={
        "_target_": "hydra_plugins.fracpool_sweeper.FracpoolSweeper",
        "max_batch_size": None,
        "params": None,
    },
    provider="fracpool",
)


class FracpoolSweeper(BasicSweeper):
    """Runs the grid of `params` and the command line; `fracpool.sweep.sweep` says how."""

    def setup(self, *, config: DictConfig, **rest: Any) -> None:
        from fracpool.sweep import launchers

        launchers.check(config.hydra.launcher)
        super().setup(config=config, **rest)

    def sweep(self, arguments: list[str]) -> Any:
        from fracpool.sweep import sweep

        assert self.config is not None
        assert self.hydra_context is not None
        return sweep.sweep(
            self.config, self.hydra_context.config_loader, self.launcher, [*self._parse_config(), *arguments]
        )
