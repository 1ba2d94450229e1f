"""The end of a sweep: the report of its folder, its answer in a sentence and the path to open.

A callback of Hydra's, named in configs/train.yaml, so that the sweep itself knows nothing of reports.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class WriteReport(Callback):
    """Writes the report when a sweep has ended, unless it would be the same, and says what it says."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        if config.plan or not folder.is_dir():
            return
        from fracpool import report  # once there is something to report on

        try:
            print(report.latest_report(folder))
        except report.ReportError as error:
            print(error, file=sys.stderr)
