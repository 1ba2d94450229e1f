"""A run that is known to be possible: its network, its id, its place, and whether it is done."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from fracpool.records import environment
from fracpool.records.record import Record
from fracpool.records.store import Store
from fracpool.settings import architecture, datasets, identity
from fracpool.settings.check import test_passes, test_views
from fracpool.settings.refusal import SettingsError, require
from fracpool.settings.schema import Settings


@dataclass(frozen=True)
class PlannedRun:
    """Settings that are known to be possible, and the id of their run (None while its data are missing)."""

    settings: Settings
    network: architecture.Network
    run_id: str | None

    @property
    def store(self) -> Store:
        return Store(Path(self.settings.results_dir) / self.settings.profile)

    @property
    def claim(self) -> Path:
        return self.store.claim(str(self.run_id))

    @property
    def key(self) -> str:
        """Its id; while the data are missing, that of its variant with the seed."""
        return self.run_id or f"{identity.variant_id(self.settings)}/{self.settings.seed}"

    @property
    def work(self) -> float:
        """Multiply-accumulates of the run, for estimates of time."""
        settings, known = self.settings, datasets.describe(self.settings.dataset)
        repeats, _ = test_passes(settings)
        passes = repeats + test_views(settings)
        tests = passes + tests_while_training(settings.budget.epochs, settings.budget.test_every)
        return work(self.network.counted_macs, self.examples * settings.budget.epochs, known.test_examples * tests)

    @property
    def examples(self) -> int:
        """Images that an epoch trains on."""
        return self.settings.budget.train_examples or datasets.describe(self.settings.dataset).train_examples

    @property
    def warning(self) -> str | None:
        """What is allowed but hardly meant, in a line; None where there is nothing."""
        chosen = self.settings
        given = {"augmentation.flip": chosen.augmentation.flip, "views": chosen.views}
        named = ", ".join(f"{name}={value}" for name, value in given.items() if value)
        if not named or datasets.describe(chosen.dataset).mirrored:
            return None
        return f"{named}: mirror images of dataset={chosen.dataset.name} are not of its classes; leave it out"

    def finished(self) -> Record | None:
        """Its record, if there is one that `retry` does not ask to make again."""
        record = self.store.find(self.run_id) if self.run_id else None
        retry = self.settings.retry
        again = record is not None and retry != "none" and retry in ("all", record.status)
        return None if again else record


def tests_while_training(epochs: int, test_every: int) -> int:
    """The last epoch always ends with a test."""
    return -(-epochs // test_every)


def work(macs: int, trained_on: int, tested_on: int) -> float:
    """Multiply-accumulates of training and testing on so many images: a step of training costs three passes forward."""
    return float(macs) * (3 * trained_on + tested_on)


def plan(settings: Settings) -> PlannedRun:
    """Raises ImpossibleNetwork or SettingsError if the network cannot be built."""
    if settings.task == "gradient":
        return PlannedRun(settings, architecture.NO_NETWORK, identity.run_id(settings, "none"))
    known = datasets.describe(settings.dataset)
    examples, available = settings.budget.train_examples, known.train_examples
    require(
        examples is None or examples <= available,
        "budget.train_examples",
        examples,
        f"null for all, or at most the {available} of dataset={known.name}",
    )
    shift, side = settings.augmentation.shift, min(known.shape[:2])
    allowed = f"less than the side of the images of dataset={known.name}, which is {side}"
    require(shift < side, "augmentation.shift", shift, allowed)
    network = architecture.network(settings.model, settings.pool, known.shape, known.classes)
    there = datasets.missing(settings.dataset) is None
    run_id = identity.run_id(settings, datasets.fingerprint(settings.dataset)) if there else None
    return PlannedRun(settings, network, run_id)


def refuse_others(settings: Settings) -> None:
    """Seeds of one program are for a sweep to hand to its jobs, not for a command line."""
    others = settings.trainer.others
    require(not others, "trainer.others", others, "[], which a sweep fills in; give the seeds as in -m seed=0,1,2")


def other_backend(settings: Settings) -> str | None:
    """The backend that computes these runs, where it is another than the one that Keras runs on; else None."""
    return None if settings.backend == environment.backend() else settings.backend


def refuse_other_backend(settings: Settings) -> None:
    """A run of another backend than the one that Keras runs on can be planned and skipped, not computed."""
    wanted, here = other_backend(settings), environment.backend()
    if wanted:
        raise SettingsError(
            f"backend={wanted}: Keras runs on {here} here; set KERAS_BACKEND={wanted}, or backend=null to make the "
            f"study anew on {here}, with records of its own"
        )


def prepare_folder(store: Store) -> None:
    """Makes sure, before anything is computed, that records can be written, and clears up after killed processes."""
    for link in store.links():
        raise SettingsError(
            f"results_dir={store.root.parent}: {link} is a link, which is not followed; link {store.root} as a whole"
        )
    try:
        store.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=store.root) as file:
            file.write(b"x")
    except OSError as error:
        raise SettingsError(
            f"results_dir={store.root.parent}: {store.root} cannot be written "
            f"({error.strerror or type(error).__name__}); choose another with results_dir=FOLDER"
        ) from error
    store.forget_leftovers()
