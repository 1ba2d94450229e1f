"""Sizes of stacks: against TensorFlow's op, Graham's published chains and brute force; and the command."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracpool import geometry, regions


def test_sizes_are_those_of_the_question():
    assert geometry.sizes(32, 1.4, 6) == [32, 22, 15, 10, 7, 5, 3]


@pytest.mark.parametrize(("size", "ratio"), [(36, 1.44), (36, 1.9), (28, 1.47), (33, 1.1), (49, 1.4)])
def test_output_size_is_tensorflows(size, ratio):
    import tensorflow as tf

    output = tf.nn.fractional_max_pool(tf.zeros([1, size, size, 1]), [1.0, ratio, ratio, 1.0])[0]
    assert geometry.output_size(size, ratio) == output.shape[1]


def test_float32_floor_differs_from_float64():
    assert geometry.output_size(36, 1.44) == 24
    assert int(36 / 1.44) == 25


def test_graham_mnist():
    expected = [(35, 25), (24, 17), (16, 11), (10, 7), (6, 4), (3, 2)]
    assert geometry.graham_chain(2**0.5, 6) == expected
    assert geometry.graham_input(2**0.5, 6) == 36


def test_graham_cifar():
    chain = geometry.graham_chain(2 ** (1 / 3), 12)
    outs = [74, 58, 45, 35, 27, 21, 16, 12, 9, 6, 4, 2]
    assert [out for _, out in chain] == outs
    assert geometry.graham_input(2 ** (1 / 3), 12) == 94


@given(size=st.integers(1, 300), data=st.data())
def test_layer_ratio_is_exact(size, data):
    target = data.draw(st.integers(1, size))
    assert geometry.output_size(size, geometry.layer_ratio(size, target)) == target


@settings(deadline=None, max_examples=60)
@given(size=st.integers(1, 100), layers=st.integers(1, 6), data=st.data())
def test_ratio_for_hits_its_target_or_says_that_none_does(size, layers, data):
    target = data.draw(st.integers(1, size))
    try:
        ratio = geometry.ratio_for(size, target, layers)
    except ValueError as error:
        message = str(error)
        for ratio in np.geomspace(1, size, 500):
            reached = size
            for _ in range(layers):
                reached = geometry.output_size(reached, ratio) if reached else 0
            assert reached != target, message
    else:
        assert geometry.sizes(size, ratio, layers)[-1] == target


def test_layers_for():
    assert geometry.layers_for(32, 1.4, 3) == 6
    assert geometry.layers_for(32, 1.4, 32) == 0
    with pytest.raises(ValueError, match=r"target=4: ratio 1\.4 .*32 22 15 10 7 5 3"):
        geometry.layers_for(32, 1.4, 4)
    with pytest.raises(ValueError, match="target=4"):
        geometry.layers_for(32, 1.0, 4)


@pytest.mark.parametrize(("size", "out"), [(15, 10), (28, 19), (9, 9), (7, 1), (11, 10), (24, 7), (13, 12), (36, 24)])
def test_pattern_counts(size, out):
    grid = np.linspace(0, regions.largest_u(size, out), 20_001)
    pseudorandom = {tuple(regions.pseudorandom_boundaries(size, out, u)) for u in grid}
    assert geometry.pseudorandom_patterns(size, out) == len(pseudorandom)
    if geometry.random_patterns(size, out) < 300:
        rng = np.random.default_rng(0)
        drawn = {tuple(regions.random_boundaries(size, out, rng)) for _ in range(4000)}
        assert geometry.random_patterns(size, out) == len(drawn)


@pytest.mark.parametrize(
    ("size", "ratio", "words"),
    [
        (36, 1.9, "exactly 2"),
        (36, 1.5, "only 3 pseudorandom patterns"),
        (36, 1.44, "float64 arithmetic would give 25 instead of 24"),
    ],
)
def test_silent_cases_are_said(size, ratio, words):
    assert words in " ".join(geometry.warnings(size, ratio))


def test_no_warning_without_cause():
    assert geometry.warnings(28, 1.47) == []


def test_command_prints_a_table(capsys):
    assert geometry.main(["32", "--ratio", "1.4", "--layers", "6"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("6 pools of ratio 1.4 on 32×32 end at 3×3\n")
    assert "   3  15   10   1.500    5×1 + 5×2     252             3" in out
    assert "nearest instead, the sizes were 32 23 16 11 8 6 4" in out
    assert "warning: pool 6: only 3 pseudorandom patterns" in out


def test_command_inverts(capsys):
    geometry.main(["32", "--target", "4", "--layers", "6"])
    assert "end at 4×4" in capsys.readouterr().out
    geometry.main(["32", "--ratio", "1.4", "--target", "5"])
    assert "5 pools of ratio 1.4" in capsys.readouterr().out
    geometry.main(["--graham", "--ratio", "2^(1/3)", "--layers", "12"])
    assert "takes 94×94" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("32 --ratio .5 --layers 2", "--ratio: '.5': must be a number ≥ 1"),
        ("32 --ratio nan --layers 2", "--ratio: 'nan': must be a number ≥ 1"),
        ("32 --ratio 1e400 --layers 2", "--ratio: '1e400'"),
        ("32 --ratio 2^(1/0) --layers 2", "--ratio: '2^(1/0)'"),
        ("0 --ratio 2 --layers 2", "size: '0': must be a whole number from 1"),
        ("32 --ratio 2 --layers two", "--layers: 'two': must be a whole number from 1"),
        ("32 --ratio 1.4", "two of them must be given, got --ratio"),
        ("--ratio 1.4 --layers 2", "size: is missing; give"),
        ("32 --ratio 1.4 --layers 30", "layers=30: pool 9 would get a map of 1"),
        ("32 --ratio 1.4 --target 4", "target=4: ratio 1.4 misses it"),
        ("32 --ratio 1.4 --target 40", "target=40: must be from 1 to the input size, 32"),
        ("32 --layers 9 --target 30", "target=30: no ratio takes 9 equal pools"),
        ("32 --graham --ratio 2 --layers 2", "--graham: takes --ratio and --layers only"),
        ("32 --oops", "--oops"),
    ],
)
def test_command_answers_bad_input_in_one_line(arguments, words, capsys):
    with pytest.raises(SystemExit) as stop:
        geometry.main(arguments.split())
    captured = capsys.readouterr()
    assert stop.value.code == 2
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_geometry_and_the_package_load_without_tensorflow():
    code = (
        "import sys, fracpool, fracpool.geometry; "
        "assert fracpool.__version__ and fracpool.geometry.output_size(3, 1.5) == 2; "
        "sys.exit(any(name.split('.')[0] in ('tensorflow', 'keras', 'jax', 'torch') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
