"""`python -m fracpool.train`: one run, or with -m a sweep over many. Hydra reads the command line.

Exit codes: 0 done, 1 some runs failed, 2 bad input, 130 stopped.
"""

from __future__ import annotations

import os
import sys
import warnings

from fracpool.command_line import need_study

need_study("train")  # before anything of it is imported

import hydra
from hydra.errors import HydraException

from fracpool import command_line
from fracpool.command_line import BAD_INPUT, DONE, READER_GONE, SOME_FAILED, STOPPED
from fracpool.records.files import StorageError
from fracpool.records.plain_text import text
from fracpool.records.record import Record
from fracpool.settings import config_files, field_help, users_modules
from fracpool.settings.schema import register
from fracpool.sweep import allowed_classes, hydra_state, job
from fracpool.sweep.hydra_errors import one_line
from fracpool.sweep.outcome import SweepFailed

LONGEST_LINE = 5000


def main(arguments: list[str] | None = None) -> int:
    """Carries out a command line (by default the process') and returns the exit code.

    It may be called from Python, too, as often as one likes: in a notebook, in a loop, in another Hydra application.
    """
    command_line.show_what_can_be_shown()
    before, show_all = sys.argv, "HYDRA_FULL_ERROR" in os.environ
    if arguments is not None:
        sys.argv = ["python -m fracpool.train", *arguments]
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra then raises, instead of printing and exiting
    # Our presets of launchers bear the names of the launchers' own options, which Hydra before 1.4 remarks on.
    warnings.filterwarnings("ignore", r"\s*'hydra/launcher/.*' is validated against ConfigStore schema")
    command = hydra.main(config_path=str(config_files.configs()), config_name="train", version_base="1.3")(job.job)
    try:
        with hydra_state.own(), users_modules.started_here(), allowed_classes.registered_only(sys.argv[1:]):
            register()
            field_help.register()
            command()
        return DONE
    except KeyboardInterrupt as error:
        print(str(error) or "Stopped; the same command goes on after the last finished epoch.", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:  # whoever read, such as `| head`, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except SystemExit as end:  # of Hydra, after --help and the like
        return BAD_INPUT if end.code else DONE
    except (Exception, job.Stop) as stopped:
        cause = stopped.error if isinstance(stopped, job.Stop) else stopped
        if isinstance(cause, SweepFailed):
            print(cause, file=sys.stderr)
            return SOME_FAILED
        line = one_line(cause)
        if line is None or show_all:
            raise
        print(text(line, LONGEST_LINE), file=sys.stderr)  # values in it may be a stranger's
        bad_input = isinstance(cause, HydraException) or not isinstance(cause, StorageError | OSError)
        return BAD_INPUT if bad_input else SOME_FAILED
    finally:
        sys.argv = before
        if not show_all:
            os.environ.pop("HYDRA_FULL_ERROR", None)


def run(arguments: list[str]) -> Record:
    """The record of one run, carried out unless it is there: for what searches settings (docs/tuning.md).

    Args:
        arguments: As on the command line, without -m.

    Raises:
        RuntimeError: The run was refused or failed; the line on standard error says why.
    """
    with job.noting() as records:
        code = main(arguments)
    if code != DONE or not records:
        raise RuntimeError(f"no record of {' '.join(arguments)} (exit code {code}); the line above says why")
    return records[0]


def command() -> int:
    """What a shell calls."""
    command_line.listen()
    return main()


if __name__ == "__main__":
    sys.exit(command())
