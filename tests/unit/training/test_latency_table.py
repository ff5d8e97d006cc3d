"""Latency tables: layers in their places, the whole net beside them, files of other devices."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from cnngraph.errors import NotFoundError, PlanError, UsageError
from cnngraph.network.graph import follow
from cnngraph.training import latency_table
from cnngraph.training.latency import Latency
from cnngraph.training.latency_table import WHOLE, LatencyTable, measure_layers, read_table, write_table
from tests.toynets import TOYS, toy, toy_shape


def steady(step: float = 0.001) -> Callable[[], float]:
    """A clock on which every reading is ``step`` seconds after the one before."""
    readings = itertools.count()
    return lambda: step * next(readings)


@pytest.mark.parametrize("name", sorted(TOYS))
def test_every_layer_has_a_time_and_the_net_stays_as_it_is(name: str) -> None:
    model, shape = toy(name).train(), toy_shape(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    table = measure_layers(model, shape, repeats=2, clock=steady())
    assert list(table.layers) == [layer.layer for layer in follow(model, shape).layers if layer.kind != "Input"]
    assert list(table.layers.values()) == pytest.approx([1.0] * len(table.layers))  # a reading before and one after
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(module.training for module in model.modules())


def test_the_sum_stands_beside_the_whole_net() -> None:
    table = LatencyTable({"a": 1.0, "relu": 0.5, "b": 1.5}, whole_ms=4.0)
    assert (table.sum_ms, table.error) == (3.0, -0.25)
    assert table.part_ms(["a", "b"]) == 2.5
    assert "add up to 3 ms, the whole net takes 4 ms, an error of -25.0%" in table.sentence()


def test_a_compiled_net_has_the_eager_table_scaled_to_its_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def compiled(*_: object, **options: object) -> Latency:
        assert options["runtime"] == "compile"
        return Latency({"whole": 2.5}, {"whole": 0.0}, "cpu", 1, 1, 2, "compile")

    monkeypatch.setattr(latency_table, "measure_latency", compiled)
    table = measure_layers(toy("plain"), toy_shape("plain"), runtime="compile", repeats=2, clock=steady())
    assert table.scaled_from_ms == pytest.approx(len(table.layers))  # 1 ms each
    assert table.sum_ms == pytest.approx(2.5)
    assert table.error == pytest.approx(0.0)
    assert "is scaled to the whole compiled net, 2.5 ms" in table.sentence()


class Branches(nn.Module):
    """A norm, an activation and a sum that ONNX Runtime melts into convs, and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.side = nn.Conv2d(3, 8, 1)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu(self.norm(self.conv(x)) + self.side(x))
        return self.fc(y.mean((2, 3)))


def test_onnxruntime_counts_a_fused_kernel_with_its_conv() -> None:
    pytest.importorskip("onnxruntime")
    table = measure_layers(Branches(), (3, 64, 64), runtime="onnxruntime", repeats=5)
    assert set(table.layers) == {"conv", "norm", "add", "side", "relu", "mean", "fc"}
    assert min(table.layers[layer] for layer in ("conv", "side")) > 0
    assert table.layers["norm"] == 0
    assert table.whole_ms is not None
    assert table.runtime == "onnxruntime"


def test_a_table_is_written_and_read(tmp_path: Path) -> None:
    table = LatencyTable({"conv,1": 0.25, "fc": 0.5}, whole_ms=1.0)
    path = write_table(table, tmp_path / "table.csv")
    assert path.read_text() == f'layer,milliseconds\n"conv,1",0.25\nfc,0.5\n{WHOLE},1\n'
    found = read_table(path, ["conv,1", "relu", "fc"])
    assert (found.layers, found.whole_ms, found.runtime) == (table.layers, 1.0, "file")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "does not begin with the header"),
        ("a,1\n", "does not begin with the header"),
        ("layer,milliseconds\na,fast\n", "row 2: 'a,fast' is not a layer and a number"),
        ("layer,milliseconds\na\n", "row 2: 'a' is not a layer and a number"),
        ("layer,milliseconds\na,nan\n", "row 2: a takes nan ms"),
        ("layer,milliseconds\na,-1\n", "row 2: a takes -1 ms"),
        ("layer,milliseconds\na,1\na,2\n", "row 3: a stands there twice"),
        ("layer,milliseconds\na,1\nconv9,2\nother,1\n", "the net does not have: conv9, other"),
        ("layer,milliseconds\na,0\n", "gives no layer any time"),
        ("layer,milliseconds\n\xff,1\n", "no CSV file"),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(PlanError, match=message) as caught:
        read_table(path, ["a", "b"])
    assert "\n" not in caught.value.message


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no latency table .*table\.csv"):
        read_table(tmp_path / "table.csv", ["a"])


def test_an_unknown_runtime_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="no runtime"):
        measure_layers(toy("plain"), toy_shape("plain"), runtime="tensorrt")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda_every_layer_lies_between_two_events() -> None:
    table = measure_layers(Branches(), (3, 64, 64), device="cuda", repeats=5)
    assert min(table.layers.values()) > 0
    assert table.device == torch.cuda.get_device_name()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_layers_are_timed_in_the_precision_of_their_weights(dtype: torch.dtype) -> None:
    table = measure_layers(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()).to(dtype), (1, 8, 8), repeats=2, clock=steady())
    assert list(table.layers) == ["0", "1"]
