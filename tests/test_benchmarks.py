"""What the benchmark makes of measurements. Nothing is timed here."""

from math import prod
from pathlib import Path

import numpy as np
import pytest

from benchmarks.markdown import markdown
from benchmarks.operands import LAYOUTS, integer_operands
from benchmarks.options import parse
from benchmarks.report import report
from benchmarks.results import Peak, Results, Row
from benchmarks.suite import FAMILIES, OPERATORS, Layer, load
from benchmarks.text import mean, table
from benchmarks.through_convref import convref_call, reference

ABOUT = "What it does.\n\n``an example``\n\nMore."


@pytest.fixture
def results() -> Results:
    """A dense layer that convref wins forward and loses backward, and a slow depthwise one."""

    def row(layer: str, family: str, operator: str, mflop: int, **seconds: list[float]) -> Row:
        return Row(layer, (family,), operator, 2, "float32", mflop * 10**6, 4000, seconds)

    rows = [
        row("Net dense", "dense", "forward", 200, numba=[0.001, 0.002], torch=[0.002, 0.004]),
        row("Net dense", "dense", "weight_grad", 200, numba=[0.002, 0.002], torch=[0.001, 0.001]),
        row("Net (a) deep", "depthwise", "forward", 2, numba=[0.008, 0.008], torch=[0.001, 0.001]),
    ]
    rows[1].unsupported["onnxruntime"] = "forward only"
    rows[2].failures["onnxruntime"] = "3 elements differ from the reference"
    rows[0].seconds["onnxruntime"] = [0.001, 0.002]
    rows[0].rates = [400.0, 200.0]
    return Results(
        date="2026-01-02 03:04 UTC",
        engine="numba",
        peers=["torch", "onnxruntime"],
        finished=True,
        machine={"cpu": "Some CPU", "cpus": 2, "vector_bits": 256},
        versions={"python": "3", "numba": "convref 1", "torch": "torch 2", "onnxruntime": "ort 3"},
        options={"dtype": "float32", "layout": "channels_first", "rounds": 2},
        peaks=[
            Peak(2, "float32", 160.0, 20.0, 0.0),
            Peak(2, "float32", 200.0, 20.0, 0.0),
            Peak(1, "float32", 100.0, 20.0, 0.0),
        ],
        rows=rows,
    )


def test_ratio_is_the_median_of_the_rounds(results):
    assert [row.ratio("numba", "torch") for row in results.rows] == [2, 0.5, 0.125]
    assert results.rows[1].ratio("numba", "onnxruntime") is None


def test_mean_is_geometric():
    assert mean([4, 0.25]) == pytest.approx(1)
    assert mean([]) is None


def test_share_is_of_the_rate_in_the_same_round(results):
    dense, backward, deep = results.rows
    dense.seconds["numba"], dense.rates = [0.001, 0.002, 0.001], [400.0, 200.0, 800.0]
    assert dense.share("numba") == pytest.approx(0.5)  # of 200, 100 and 200 GFLOP/s
    assert dense.share("jax") is None
    assert [row.large_dense for row in (dense, backward, deep)] == [True, False, False]
    assert [row.layer for _, row in results.large_dense(2)] == ["Net dense"]
    assert results.large_dense(1) == []
    dense.rates = []
    assert results.large_dense(2) == []


def test_bytes_are_those_of_the_three_arrays():
    for layer in load():
        sizes = [prod(shape) for shape in layer.shapes.values()]
        assert Row.of(layer, "forward", 1, "float32").bytes == 4 * sum(sizes)
        assert Row.of(layer, "weight_grad", 1, "float64").bytes == 8 * sum(sizes)


def test_every_layer_has_a_family_and_a_label_of_its_own():
    layers = load()
    assert len({layer.label for layer in layers}) == len(layers)
    assert all(set(layer.families) & set(FAMILIES) for layer in layers)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("operator", OPERATORS)
def test_layouts_are_of_the_same_numbers(operator, transposed):
    layer = Layer(
        "Net", "layer", rank=2, N=2, C=4, K=6, spatial=(5, 4), kernel=(3, 2), stride=(2, 1),
        dilation=(1, 1), padding=(1, 0), output_padding=(0, 0), groups=2, transposed=transposed,
        out=(9, 5) if transposed else (3, 3), macs=0,
    )  # fmt: skip
    first, last = (integer_operands(layer, operator, "float32", layout) for layout in LAYOUTS)
    assert not last["x"].flags.c_contiguous
    assert np.moveaxis(last["x"], 1, -1).flags.c_contiguous
    expected = reference(layer, operator, first)
    np.testing.assert_array_equal(convref_call(layer, operator, last, "numpy")(), expected)


def test_results_survive_their_file(results, tmp_path):
    path = tmp_path / "run.json"
    results.save(path)
    again = Results.load(path)
    assert report(again) == report(results)
    assert markdown(again) == markdown(results)
    path.write_text('{"rows": []}')
    with pytest.raises(ValueError, match="doesn't hold the results"):
        Results.load(path)


def test_report_has_means_share_losses_and_failures(results):
    text = report(results)
    assert ["forward", "2", "0.50", "(2)", "1.00", "(1)"] in map(str.split, text.splitlines())
    assert "threads 2: geometric mean 50%, minimum 50% (Net dense), 80% or more in 0 of 1" in text
    assert "Rows that numba loses: 2" in text
    assert "3 elements differ from the reference" in text
    assert "disturbed" not in text
    results.rows[0].others = [1.0]
    assert "in 0 of 1 layers; but the rate was disturbed" in report(results)


def test_markdown_marks_losses(results):
    text = markdown(results)
    assert "| all | 2 | **0.50** | 1.00 | **0.50** |" in text
    assert "| Net (a) deep | 2.0 | 0.2 | **0.12** | - | - | - |" in text
    assert "slower in 2 of 4 comparisons" in text
    assert "rate measured in the same round (200 to 400 GFLOP/s in the run)" in text


def test_markdown_says_what_is_doubtful(results):
    results.finished = False
    results.rows[0].others = [1.0]
    text = markdown(results)
    assert "interrupted after 3 rows" in text
    assert "The rate was disturbed" in text
    assert "1 of 3 rows were timed while" in text


def test_table_puts_numbers_to_the_right():
    assert (
        table(["what", "x"], [["a", "1.5"], ["b", "12.5"]]) == "what     x\na      1.5\nb     12.5"
    )


def test_options_are_lists_without_repeats():
    options = parse(ABOUT, ["--peers", "torch,numba,torch", "--threads", "2,1,2"])
    assert (options.peers, options.threads) == (["torch"], [2, 1])
    assert parse(ABOUT, ["--peers", ""]).peers == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--nonsense", "unrecognized arguments: --nonsense"),
        ("--peers tensorflow", "'tensorflow' is not one of numba, numpy, torch"),
        ("--threads 0", "'0' is not an integer of at least 1"),
        ("--layers nowhere", "no layer matches --layers 'nowhere'"),
        ("--json nowhere/run.json", "there is no folder nowhere"),
        ("--plot run.gif", "run.gif should end in .png or .svg"),
    ],
)
def test_options_that_cannot_be_meant(arguments, message, capsys):
    with pytest.raises(SystemExit):
        parse(ABOUT, arguments.split())
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_plot_is_a_picture(results, tmp_path: Path, suffix, start):
    pytest.importorskip("matplotlib")
    from benchmarks.plot import save

    path = tmp_path / f"run{suffix}"
    save(results, path)
    assert path.read_bytes().startswith(start)
    assert path.stat().st_size > 10_000


def test_plot_gives_every_layer_one_place(results):
    pytest.importorskip("matplotlib")
    from benchmarks.plot import grouped

    assert grouped(results.rows) == {"dense": ["Net dense"], "depthwise": ["Net (a) deep"]}
    for row in results.rows[:2]:
        row.families = ("dense", "3-D")
    assert list(grouped(results.rows)) == ["3-D", "depthwise"]
