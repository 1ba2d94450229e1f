"""`python -m fracpool.pack`: the finished runs of a results folder in one file, or each in its folder again."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fracpool.command_line import BAD_INPUT, DONE, SOME_FAILED, Parser, directory, need_study, show_what_can_be_shown
from fracpool.records.files import StorageError
from fracpool.records.packed import PACKED_FILE, PackedError
from fracpool.records.packing import pack_runs, unpack_runs
from fracpool.records.plain_text import count, cut, text
from fracpool.records.store import Store


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0, 1 where a file cannot be written, 2 for bad input."""
    show_what_can_be_shown()
    parser = Parser(
        "pack",
        f"Move the finished runs of a results folder into one file, {PACKED_FILE}: a third of the bytes, and one\n"
        "file in place of thousands. Everything reads it like the folders: reports, status, sweeps that skip what is\n"
        "done. With --unpack each run has its folder again, byte for byte. Runs that cannot be used stay where they\n"
        "are. It can be stopped at any moment: no run is ever missing.",
        "  python -m fracpool.pack results/reference\n  python -m fracpool.pack results/reference --unpack",
    )
    parser.add_argument("folder", type=directory, metavar="DIR", help="results folder")
    parser.add_argument("--unpack", action="store_true", help="the way back")
    options = parser.parse_args(arguments)
    need_study("pack")
    store = Store(options.folder)
    if not store.holds_results():
        print(f"fracpool.pack: {options.folder}: holds no runs; name a folder that holds runs/", file=sys.stderr)
        return BAD_INPUT
    try:
        moved = unpack_runs(store) if options.unpack else pack_runs(store)
    except PackedError as error:
        print(f"fracpool.pack: {text(error)}", file=sys.stderr)
        return BAD_INPUT
    except StorageError as error:
        print(f"fracpool.pack: {error}", file=sys.stderr)
        return SOME_FAILED
    told = "unpacked" if options.unpack else f"packed, {moved.packed} in {PACKED_FILE}"
    lines = [f"{count(moved.moved, 'run')} {told}", *cut([text(f"left as it is: {line}") for line in moved.left])]
    print("\n".join(lines))
    return DONE


if __name__ == "__main__":
    sys.exit(main())
