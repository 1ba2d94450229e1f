"""Following runs in TensorBoard or MLflow, by their own Keras callbacks: `logger=tensorboard`, `logger=mlflow`.

Both write into the results folder, under tracking/, and neither changes a run: not its id and not its result. The
packages are optional, imported only when they are asked for, and looked for before anything runs.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fracpool.records.files import refuse_links
from fracpool.settings import quiet_import
from fracpool.settings.names import label
from fracpool.settings.refusal import SettingsError
from fracpool.settings.schema import Settings

EXPERIMENT = "fracpool"


def prepare(settings: Settings, root: Path) -> None:
    """Before anything runs: SettingsError where the package is missing; makes the store, and says how to look at it."""
    logger = settings.logger
    if logger == "none":
        return
    if importlib.util.find_spec(logger) is None:
        raise SettingsError(
            f"logger={logger}: the package {logger} is missing; pip install 'fracpool[{logger}]', or leave logger out"
        )
    for store in ("tensorboard", "mlflow", "mlflow.db"):
        refuse_links(root, root / "tracking" / store)
    if logger == "mlflow":
        _mlflow(root)  # here, since workers that make its database at the same time get into each other's way
        print(f"MLflow: mlflow ui --backend-store-uri {_database(root)}")
    else:
        print(f"TensorBoard: tensorboard --logdir {root / 'tracking' / 'tensorboard'}")


@contextmanager
def following(settings: Settings, root: Path, run_id: str) -> Iterator[list[Any]]:
    """The callbacks that follow the training of a run, for as long as it goes on."""
    if settings.logger == "tensorboard":
        folder = root / "tracking" / "tensorboard" / run_id
        refuse_links(root, folder)
        yield [_tensorboard_callback(folder)]
    elif settings.logger == "mlflow":
        mlflow = _mlflow(root)
        with mlflow.start_run(run_id=_earlier(mlflow, run_id), run_name=run_id):
            mlflow.set_tags({"variant": label(settings), "seed": settings.seed})
            yield [mlflow.tensorflow.MlflowCallback()]
    else:
        yield []


def _tensorboard_callback(folder: Path) -> Any:
    import keras

    # The graph and its profile take longer than the training of a small network, and are the same for all seeds.
    return keras.callbacks.TensorBoard(folder, write_graph=False, profile_batch=0)


def _mlflow(root: Path) -> Any:
    """MLflow with its store in the results folder."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # what runs here stays here
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    mlflow = quiet_import.load("mlflow")
    logging.getLogger("alembic").setLevel(logging.ERROR)
    (root / "tracking").mkdir(parents=True, exist_ok=True)
    mlflow.set_tracking_uri(_database(root))
    if mlflow.get_experiment_by_name(EXPERIMENT) is None:
        mlflow.create_experiment(EXPERIMENT, artifact_location=(root / "tracking" / "mlflow").resolve().as_uri())
    mlflow.set_experiment(EXPERIMENT)
    return mlflow


def _database(root: Path) -> str:
    return f"sqlite:///{(root / 'tracking' / 'mlflow.db').resolve()}"


def _earlier(mlflow: Any, run_id: str) -> str | None:
    """MLflow's id of a run that was stopped and goes on."""
    name = f"attributes.run_name = '{run_id}'"
    found = mlflow.search_runs(experiment_names=[EXPERIMENT], filter_string=name, output_format="list", max_results=1)
    return str(found[0].info.run_id) if found else None
