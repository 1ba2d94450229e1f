"""Decoded images are kept: read back whole, made anew when damaged, and never in the way."""

import os
from pathlib import Path

import numpy as np
import pytest

from fracpool.settings.arrays import Arrays
from fracpool.settings.decoded_cache import cached

RNG = np.random.default_rng(0)
ARRAYS = Arrays(
    RNG.integers(0, 256, (6, 4, 4, 1), np.uint8),
    RNG.integers(0, 9, 6, np.uint8),
    RNG.integers(0, 256, (2, 4, 4, 1), np.uint8),
    RNG.integers(0, 9, 2, np.uint8),
)


class Decoder:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> Arrays:
        self.times += 1
        return ARRAYS


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fracpool"


def test_it_is_decoded_once(home, tmp_path):
    decode = Decoder()
    first, second = (cached("digits-1-abc", tmp_path / "tfds", decode) for _ in range(2))
    assert decode.times == 1
    assert first.content_hash == second.content_hash == ARRAYS.content_hash
    assert np.array_equal(second.train_images, ARRAYS.train_images)
    assert [path.name for path in home.iterdir()] == ["digits-1-abc"]
    assert not (tmp_path / "tfds").exists()


def test_other_files_are_decoded_for_themselves(home, tmp_path):
    decode = Decoder()
    for fingerprint in ("abc", "def"):
        cached(f"digits-1-{fingerprint}", tmp_path, decode)
    assert decode.times == 2


def cut(folder: Path) -> None:
    path = folder / "train_images.npy"
    path.write_bytes(path.read_bytes()[:-7])


def flip(folder: Path) -> None:
    path = folder / "test_images.npy"
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)


def pickle(folder: Path) -> None:
    np.save(folder / "test_labels.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


@pytest.mark.parametrize("damage", [cut, flip, pickle, lambda folder: (folder / "test_labels.npy").unlink()])
def test_what_is_damaged_is_made_anew(home, tmp_path, damage):
    decode = Decoder()
    cached("digits", tmp_path, decode)
    damage(home / "digits")
    assert cached("digits", tmp_path, decode).content_hash == ARRAYS.content_hash
    cached("digits", tmp_path, decode)
    assert decode.times == 2


def test_without_a_place_in_the_home_it_is_beside_the_data(home, tmp_path):
    home.parent.write_text("a file, in which no folder can be made")
    decode = Decoder()
    for _ in range(2):
        cached("digits", tmp_path / "tfds", decode)
    assert decode.times == 1
    assert (tmp_path / "tfds" / "fracpool" / "digits").is_dir()


def test_without_any_place_there_is_no_cache_and_no_complaint(home, tmp_path, capfd):
    home.parent.write_text("")
    (tmp_path / "tfds").write_text("")
    decode = Decoder()
    for _ in range(2):
        assert cached("digits", tmp_path / "tfds", decode) is ARRAYS
    assert decode.times == 2
    assert capfd.readouterr() == ("", "")


def test_what_a_killed_process_left_goes_after_a_while(home, tmp_path):
    old, new = home / ".writing.old", home / ".writing.new"
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    cached("digits", tmp_path, Decoder())
    assert (old.exists(), new.exists()) == (False, True)
