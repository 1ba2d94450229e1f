"""`python -m fracpool.reproduce`: all experiments of a profile, then the report. What `make reproduce` calls.

A profile (configs/profiles/) says for each experiment with which overrides it runs. Records go to
<results>/<profile>/, so a second call finds everything done; a report that would be the same is left as it is.
Experiments whose runs are left to another backend than Keras runs on are named with the command that runs them.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any, cast

from fracpool.command_line import need_study

need_study("reproduce")  # before anything of it is imported

from omegaconf import OmegaConf

from fracpool import command_line, report, train
from fracpool.command_line import BAD_INPUT, DONE, STOPPED, Parser, directory
from fracpool.records import environment
from fracpool.records.plain_text import count
from fracpool.records.store import Store
from fracpool.settings import config_files
from fracpool.settings.config_files import quoted
from fracpool.settings.refusal import SettingsError, nearest
from fracpool.sweep import forecast, sweep
from fracpool.sweep.grid import Plan, Point, by_backend
from fracpool.sweep.planned_run import PlannedRun
from fracpool.sweep.sweep_file import NO_REPORT


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 done, 1 some runs failed, 2 bad input, 130 stopped."""
    command_line.show_what_can_be_shown()
    options = _parser().parse_args(arguments)
    try:
        profile = _read_profile(options.profile, options.only)
        if options.jobs < 1:
            raise SettingsError(f"--jobs={options.jobs}: must be a whole number from 1, e.g. the number of cores")
    except SettingsError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    try:
        elsewhere = _announce(profile, options)
    except _Ended as ended:
        return ended.code
    here = {name: overrides for name, overrides in profile.items() if name not in elsewhere}
    if not here:
        return DONE
    worst = DONE
    for number, (experiment, overrides) in enumerate(here.items(), start=1):
        print(f"— {number} of {len(here)}: ", end="", flush=True)
        code = train.main(_command(experiment, options, overrides))
        if code in (BAD_INPUT, STOPPED):
            return code
        worst = max(worst, code)
    try:
        print(report.latest_report(options.results / (options.into or options.profile)))
    except report.ReportError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from here.", file=sys.stderr)
        return STOPPED
    return worst


class _Ended(Exception):
    """Planning ended with an exit code other than 0; its line is printed."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def _announce(profile: dict[str, list[str]], options: argparse.Namespace) -> set[str]:
    """Says, before hours of work, how many runs are left and about how long they take; nothing where all are done.
    Returns the experiments that cannot go on here, since all that they have left is another backend's."""
    store = Store(options.results / (options.into or options.profile))
    if _all_done(profile, store):
        return set()
    plans = _plans(profile, options)
    points: dict[str, PlannedRun] = {}
    left = {}  # runs of each experiment, without those that an earlier one has, too
    elsewhere: list[str] = []  # lines on what is another backend's
    stuck: set[str] = set()
    for name, plan in plans.items():
        here, others = by_backend(_pending(plan))
        for backend, runs in others.items():
            command = environment.command([*_sweep(name, options, profile[name]), *options.override], backend)
            elsewhere.append(f"{count(len(runs), 'run')}: {command}")
        if others and not here:
            stuck.add(name)
            continue
        known_before = len(points)
        points |= {point.run.key: point.run for point in here}
        left[name] = len(points) - known_before
    trainings = [run for run in points.values() if run.settings.task == "train"]
    time = forecast.estimate(trainings, forecast.measured(store.read().records), threads=1)
    about = "" if time is None else f", {time.shared_by(options.jobs)} by what such runs took here"
    print(f"{count(len(left), 'experiment')}, {count(len(points), 'run')} to do, {options.jobs} at a time{about}")
    if points:
        print("left: " + ", ".join(f"{name} {runs:,}" for name, runs in left.items() if runs))
    if elsewhere:
        print("left to another backend, best on a GPU (docs/scaling.md):")
        print("\n".join(f"  {line}" for line in elsewhere))
    return stuck


def _all_done(profile: dict[str, list[str]], store: Store) -> bool:
    """Whether the last sweeps say so, which takes no planning; not where a sweep was another backend's, since what it
    would be now has to be known then."""
    known = store.read_sweeps()[0]
    sweeps = [known[name] for name in profile if name in known]
    try:
        backends = {variant["config"].get("backend") for one in sweeps for variant in one["variants"]}
    except (AttributeError, KeyError, TypeError):  # no sweep file, which planning says
        return False
    here = len(sweeps) == len(profile) and backends <= {None, environment.backend()}
    return here and all(store.has(run) for one in sweeps for run in one["runs"])


def _plans(profile: dict[str, list[str]], options: argparse.Namespace) -> dict[str, Plan]:
    """The plan of each experiment. Raises _Ended where one cannot be planned."""
    with sweep.collecting() as plans:
        for experiment, overrides in profile.items():
            code = train.main(_command(experiment, options, overrides))
            if code != DONE:
                raise _Ended(code)
    return dict(zip(profile, plans, strict=True))


def _pending(plan: Plan) -> list[Point]:
    """What is left of it; none where data are missing and a sweep just notes that."""
    noted = plan.missing_data and plan.settings.missing_data != "error"
    return [] if noted else plan.pending()


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "reproduce",
        "Run all experiments of a profile (configs/profiles/) and write the report. What is done is skipped\n"
        "and what was stopped goes on, so the same command serves to begin, to go on and to look again.",
        "  python -m fracpool.reproduce                           minutes, offline; results/quick/report.html\n"
        "  python -m fracpool.reproduce full --jobs 2             complete MNIST and CIFAR-10, hours\n"
        "  python -m fracpool.reproduce quick --only mnist_swap --override budget.epochs=2\n"
        "  python -m fracpool.status                              from another terminal: how far it is",
    )
    parser.add_argument("profile", nargs="?", default="quick", help="quick (default): minutes, offline; full: hours")
    parser.add_argument("--only", metavar="EXPERIMENT", action="append", help="just this experiment (repeatable)")
    parser.add_argument("--jobs", type=int, default=environment.cores(), help="runs at a time (default: all cores)")
    parser.add_argument("--into", metavar="NAME", help="folder in there (default: the profile's name)")
    parser.add_argument("--results", type=directory, default="results", help="folder of all results (default results)")
    parser.add_argument(
        "--override", metavar="FIELD=VALUE", action="append", default=[], help="for every experiment (repeatable)"
    )
    return parser


def _read_profile(name: str, only: list[str] | None) -> dict[str, list[str]]:
    folder = config_files.configs() / "profiles"
    file = folder / f"{name}.yaml"
    if not file.is_file() or file.parent != folder:
        known = sorted(path.stem for path in folder.glob("*.yaml"))
        raise SettingsError(f"profile={name}: no such profile; {nearest(name, known)}")
    profile = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(file)))
    for wanted in only or []:
        if wanted not in profile:
            raise SettingsError(f"--only={wanted}: not in profile {name}; {nearest(wanted, list(profile))}")
    return {key: value or [] for key, value in profile.items() if only is None or key in only}


def _command(experiment: str, options: argparse.Namespace, overrides: list[str]) -> list[str]:
    # One thread for each run: the same results, bit for bit, whatever the number of jobs.
    parallel = ["threads=1"]
    if options.jobs > 1:
        parallel += ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={options.jobs}"]
    return [*_sweep(experiment, options, [*parallel, NO_REPORT, *overrides]), *options.override]


def _sweep(experiment: str, options: argparse.Namespace, overrides: list[str]) -> list[str]:
    where = [f"profile={options.into or options.profile}", f"results_dir={quoted(str(options.results))}"]
    return ["-m", f"+experiment={experiment}", *where, *overrides]


if __name__ == "__main__":
    command_line.listen()
    sys.exit(main())
