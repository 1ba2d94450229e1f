"""Findings are checked when the sweep is planned, with the sweep's own networks: one line, exit code 2."""

import pytest
import yaml

from fracpool.settings import findings_schema, selectors, unmet_findings
from fracpool.settings.refusal import SettingsError

BETTER = {"kind": "better", "a": {"pool.kind": "fmp"}, "b": {"pool.kind": "max"}, "margin": 0.01}
GRID = {"pool": "max,fmp", "model.conv_layers": "2,3", "seed": "range(0,3)"}
TWO = {"model.conv_layers": 2}


def finding(**part):
    """One finding with one part, on networks of two convolutions."""
    both = {side: {**TWO, **BETTER[side]} for side in ("a", "b")}
    return {"Q1": {"claim": "FMP is better.", "parts": [{**BETTER, **both, **part}]}}


TASKS = {"kind": "improvement", "a": BETTER["a"], "b": BETTER["b"], "tasks": "model.conv_layers"}


def of(part):
    return {"Q1": {"claim": "c", "parts": [part]}}


def without(key):
    given = finding()
    del given["Q1"]["parts"][0][key]
    return given


@pytest.fixture
def planned(train, folder):
    """An experiment with these findings, planned with further arguments of the command line."""

    def plan(findings, *arguments, grid=GRID, **fields):
        about = {"name": "mine", "title": "t", "question": "q", "findings": findings, **fields}
        whole = {"defaults": [{"override /dataset": "mnist5k"}], "experiment": about}
        whole |= {"hydra": {"sweeper": {"params": grid}}} if grid else {}
        (folder / "my" / "experiment").mkdir(parents=True)
        text = "# @package _global_\n" + yaml.safe_dump(whole)
        (folder / "my" / "experiment" / "mine.yaml").write_text(text)
        return train("--config-dir", "my", "-m", "+experiment=mine", "plan=true", *arguments)

    return plan


WRONG = [
    (without("margin") | {}, ["parts[0]", "kind better needs margin"]),
    (finding(margins=0.01), ["parts[0].margins", "no such key", "did you mean margin?"]),
    ({"Q1": {"clame": "x", "parts": []}}, ["experiment.findings.Q1.clame", "did you mean claim?"]),
    ({"Q1": {"claim": "x", "parts": []}}, ["experiment.findings.Q1.parts=[]", "a list of what is compared"]),
    ({"Q1": {**finding()["Q1"], "forms": ["odd"]}}, ["findings.Q1.forms=['odd']", "a list of even, averaged"]),
    ({"Q1": {**finding()["Q1"], "forms": "even"}}, ["findings.Q1.forms=even", "a list of even, averaged"]),
    (of({"kind": ["better"]}), ["parts[0].kind=['better']", "no such kind"]),
    ({"Q1": {"claim": ["x"], "parts": [BETTER]}}, ["experiment.findings.Q1.claim", "a text"]),
    (finding(a={"pool.kind": "fmp"}), ["parts[0].a", "2 networks", "pool.kind=fmp", "model.conv_layers"]),
    (finding(kind="comparible"), ["parts[0].kind=comparible", "did you mean comparable?"]),
    (finding(margin=5), ["parts[0].margin=5", "fraction"]),
    (finding(margin=[0.01]), ["parts[0].margin=[0.01]", "fraction"]),
    (finding(title=["x"]), ["parts[0].title", "a text"]),
    (finding(a={"pool.knd": "fmp"}), ["parts[0].a", "pool.knd is no setting", "did you mean pool.kind?"]),
    (finding(a={"pool.kind": "fmpp"}), ["parts[0].a", "pool.kind=fmpp", "did you mean fmp?"]),
    (finding(a={"pool.kind": "fmp", "model.conv_layers": 4}), ["parts[0].a", "model.conv_layers=4"]),
    (finding(a={"pool.kind": ["fmp", "max"], **TWO}), ["parts[0].a", "2 networks", "pool.kind"]),
    (finding(at=77), ["parts[0].at=77", "budget.epochs=10"]),
    (finding(at=[2, 77]), ["parts[0].at=77", "budget.epochs=10"]),
    (finding(at=3), ["parts[0].at=3", "budget.test_every=2"]),
    (finding(at="start"), ["parts[0].at=start", "an epoch from 1, end"]),
    (finding(metric="accuracy"), ["parts[0].metric=accuracy", "averaged_accuracy"]),
    (finding(metric="averaged_accuracy", at=1), ["parts[0].metric=averaged_accuracy", "before the end"]),
    (finding(kind="gap", range=[0.2, -0.2]), ["parts[0].range=[0.2, -0.2]", "the lower first"]),
    (of({"kind": "final_size", "variant": {"pool.kind": "max"}, "size": 7}), ["parts[0].variant", "2 networks"]),
    (of({"kind": "ranking", "first": {"pool.kind": "average"}}), ["parts[0].first", "pool.kind=average", "max, fmp"]),
    (of({**TASKS, "tasks": "model.conv_layer"}), ["parts[0].tasks=model.conv_layer", "mean model.conv_layers?"]),
    (of({**TASKS, "b": {"pool.kind": "max", **TWO}}), ["a and b need networks", "only one has 3"]),
]  # fmt: skip


NETWORKS = [
    {"pool.kind": kind, "model.conv_layers": depth, "budget.epochs": 10, "budget.test_every": 2}
    for kind in ("max", "fmp")
    for depth in (2, 3)
]


@pytest.mark.parametrize(("findings", "said"), WRONG)
def test_what_no_rule_can_judge_gets_its_line(findings, said):
    line = first_line(findings)
    assert all(word in line for word in said), line
    assert "\n" not in line


def first_line(findings):
    try:
        findings_schema.check(findings)
    except SettingsError as refused:
        return str(refused)
    return next(unmet_findings.unmet(findings, NETWORKS, [])).line


@pytest.mark.parametrize(("findings", "said"), [WRONG[0], WRONG[5], WRONG[14]])
def test_it_is_refused_before_anything_runs(planned, folder, findings, said):
    result = planned(findings)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1), result.err
    assert all(word in result.err for word in said), result.err
    assert not (folder / "results").exists()


def test_what_can_be_judged_is_planned_without_a_remark(planned):
    findings = {
        "Q1": {
            "claim": "c",
            "parts": [
                {**BETTER, "a": {"pool.kind": ["fmp"], **TWO}, "b": {"pool.kind": "max", **TWO}, "at": [1, "end"]},
                TASKS,
                {"kind": "ranking", "variants": TWO, "first": {"pool.kind": "max"}},
                {"kind": "better", "match": "final_size", "margin": 0.01},
                {"kind": "check", "metric": "test_accuracy", "limit": 1},
            ],
        }
    }
    result = planned(findings)
    assert (result.code, result.err) == (0, "")
    assert "12 runs of 4 variants" in result.out
    assert "not judged" not in result.out


@pytest.mark.parametrize("narrower", ["pool=max", "budget.epochs=1", "model.dropout=0,0.1"])
def test_what_the_command_line_takes_away_is_told_and_not_refused(planned, narrower):
    result = planned(finding(at=2), narrower)
    assert (result.code, result.err) == (0, "")
    assert "not judged: experiment.findings.Q1.parts[0]" in result.out


def test_many_parts_that_are_taken_away_are_told_in_few_lines(planned):
    (part,) = finding()["Q1"]["parts"]
    result = planned({"Q1": {"claim": "c", "parts": [part] * 9}}, "pool=max")
    assert result.out.count("not judged: ") == 5
    assert "… and 4 more" in result.out


def test_a_network_that_cannot_be_built_is_no_fault_of_the_finding(planned):
    five = {"model.conv_layers": 5}  # of max pooling, which do not fit 28×28
    deep = finding(a={"pool.kind": "fmp", **five}, b={"pool.kind": "max", **five})
    result = planned(deep, grid={**GRID, "model.conv_layers": "2,5"})
    assert (result.code, result.err) == (0, "")
    assert "left out: 5 conv, max pool" in result.out


def test_an_experiment_without_a_grid_says_that_it_is_one_run(planned):
    result = planned({}, grid=None)
    assert (result.code, result.err) == (0, "")
    assert "one run: the experiment has no grid" in result.out


def test_what_is_left_out_is_named_as_elsewhere(planned):
    result = planned({}, leave_out=[{"pool.knd": "max"}])
    assert (result.code, result.out) == (2, "")
    assert "pool.knd is no setting; did you mean pool.kind?" in result.err


def test_a_list_means_any_of_its_values_in_what_is_left_out(planned):
    result = planned({}, leave_out=[{"pool.kind": ["max", "average"], "model.conv_layers": [3]}])
    assert "9 runs of 3 variants" in result.out


def test_a_selector_may_name_what_a_record_leaves_out_since_it_is_usual():
    assert selectors.matches({"pool.kind": "max"}, {"pool.kind": "max", "precision": "float32", "views": None})
    assert not selectors.matches({"precision": "mixed_bfloat16"}, {"precision": "float32"})
    assert not selectors.matches({"pool.kind": "max"}, {"views": "flip"})


def test_a_point_that_cannot_be_may_be_left_out(train):
    """Graham's network takes a rate for each of its layers, and the grid has all lists with all depths."""
    grid = ["-m", "model=graham", "dataset=mnist5k", "pool=fmp", "pool.ratio=1.5", "plan=true", "model.conv_layers=5,6"]
    grid += ["model.dropout_ramp=[0,0,0,0,0,0.1,0.2],[0,0,0,0,0,0,0.1,0.2]"]
    assert "must be [] or 7 rates" in train(*grid).err
    rest = "{model.conv_layers:5,model.dropout_ramp:[[0,0,0,0,0,0,0.1,0.2]]}"
    rest += ",{model.conv_layers:6,model.dropout_ramp:[[0,0,0,0,0,0.1,0.2]]}"
    assert "2 runs of 2 variants" in train(*grid, f"experiment.leave_out=[{rest}]").out
