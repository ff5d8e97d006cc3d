"""The layer graph of nets small enough to write it down, of torchvision's classifiers, and of nets that are refused."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from cnngraph.errors import CnngraphError, ModelError, NotFoundError, TraceError
from cnngraph.network.graph import LayerGraph, follow
from cnngraph.network.tables import KINDS, SCHEMAS
from tests.toynets import TOYS, toy, toy_shape


def graph_of(name: str) -> LayerGraph:
    return follow(toy(name), toy_shape(name))


def rows(graph: LayerGraph, *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(getattr(layer, column) for column in columns) for layer in graph.layers]


def feeds(graph: LayerGraph, target: str) -> list[tuple[str, int]]:
    return [(feed.source, feed.port) for feed in graph.feeds if feed.target == target]


# What a layer says


def test_layers_of_the_pooled_chain() -> None:
    graph = graph_of("pooled")
    columns = ("index", "layer", "kind", "operation", "in_channels", "out_channels", "out_height", "parameters", "macs")
    assert rows(graph, *columns) == [
        (0, "input", "Input", "Input", None, 1, 8, 0, 0),
        (1, "features.0", "Conv", "Conv2d", 1, 2, 8, 18, 8 * 8 * 2 * 9),
        (2, "features.1", "Norm", "BatchNorm2d", 2, 2, 8, 4, 128),
        (3, "features.2", "Activation", "ReLU", 2, 2, 8, 0, 0),
        (4, "features.3", "Pool", "MaxPool2d", 2, 2, 4, 0, 0),
        (5, "features.4", "Conv", "Conv2d", 2, 4, 4, 76, 4 * 4 * 4 * 2 * 9),
        (6, "features.5", "Activation", "ReLU", 4, 4, 4, 0, 0),
        (7, "flatten", "Flatten", "flatten", 4, 64, None, 0, 0),
        (8, "classifier", "Linear", "Linear", 64, 3, None, 195, 192),
    ]
    assert [feed.source for feed in graph.feeds] == [layer.layer for layer in graph.layers[:-1]]
    assert graph.input_shape == (1, 8, 8)


def test_every_column_of_the_table_is_there() -> None:
    layer = graph_of("plain").layers[0]
    assert [name for name in SCHEMAS["layers"].names if not hasattr(layer, name)] == []


def test_geometry_of_windows() -> None:
    graph = graph_of("grouped")
    columns = ("kernel", "stride", "padding", "dilation", "groups", "macs")
    conv = [tuple(getattr(layer, column) for column in columns) for layer in graph.convs]
    assert conv == [
        ((3, 3), (1, 1), (1, 1), (1, 1), 1, 64 * 4 * 9),  # padding "same"
        ((3, 3), (2, 2), (1, 1), (1, 1), 4, 16 * 4 * 9),
        ((1, 1), (1, 1), (0, 0), (1, 1), 2, 16 * 6 * 2),
        ((3, 3), (1, 1), (2, 2), (2, 2), 1, 16 * 2 * 6 * 9),
    ]
    pool = graph_of("functional").by_name["max_pool2d"]
    assert (pool.kernel, pool.stride, pool.padding, pool.groups) == ((2, 2), (2, 2), (0, 0), None)


def test_functional_steps_go_by_their_fx_name_and_sizes_are_contracted() -> None:
    graph = graph_of("functional")
    assert rows(graph, "layer", "kind", "operation", "module", "parameters") == [
        ("input", "Input", "Input", None, 0),
        ("conv", "Conv", "Conv2d", "conv", 20),
        ("relu", "Activation", "relu", None, 0),
        ("max_pool2d", "Pool", "max_pool2d", None, 0),
        ("conv2d", "Conv", "conv2d", None, 57),
        ("relu_1", "Activation", "relu", None, 0),
        ("adaptive_avg_pool2d", "Pool", "adaptive_avg_pool2d", None, 0),
        ("view", "Flatten", "view", None, 0),
        ("fc", "Linear", "Linear", "fc", 26),
    ]


def test_a_module_called_twice_is_one_layer_a_call() -> None:
    graph = graph_of("twice")
    assert rows(graph, "layer", "module", "shared_with", "parameters")[1:5] == [
        ("conv", "conv", None, 38),
        ("relu", "relu", None, 0),
        ("conv#2", "conv", "conv", 0),
        ("relu#2", "relu", "relu", 0),
    ]
    assert feeds(graph, "add") == [("relu#2", 0), ("relu#2", 1)]
    assert feeds(graph, "mul") == [("add", 0), ("add", 1)]
    assert (graph.by_name["add"].kind, graph.by_name["mul"].kind) == ("Add", "Other")


def test_a_module_under_two_names_goes_by_the_first() -> None:
    assert [layer.layer for layer in graph_of("shared").convs] == ["first", "first#2"]


def test_an_overwritten_value_is_read_from_what_overwrote_it() -> None:
    graph = graph_of("inplace")
    assert feeds(graph, "b") == [("relu", 0)]
    assert feeds(graph, "add") == [("relu_", 0), ("relu", 1)]


def test_a_branch_for_training_is_not_followed() -> None:
    assert "aux" not in graph_of("aux").by_name


def test_a_functional_name_never_hides_a_module() -> None:
    class Clash(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.input = nn.Conv2d(1, 1, 1)
            self.relu = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.relu(F.relu(self.input(x)) + 1)

    graph = follow(Clash(), (1, 4, 4))
    assert rows(graph, "layer", "kind") == [
        ("input_1", "Input"),
        ("input", "Conv"),
        ("relu_1", "Activation"),
        ("add", "Other"),
        ("relu", "Activation"),
    ]


@pytest.mark.parametrize("name", TOYS)
def test_invariants_of_every_toy(name: str) -> None:
    net = toy(name)
    graph = follow(net, toy_shape(name))
    unused = sum(p.numel() for p in net.aux.parameters()) if name == "aux" else 0
    assert sum(layer.parameters for layer in graph.layers) == sum(p.numel() for p in net.parameters()) - unused
    assert [layer.index for layer in graph.layers] == list(range(len(graph.layers)))
    assert all(layer.kind in KINDS for layer in graph.layers)
    assert len(graph.by_name) == len(graph.layers)
    modules = {path for path, _ in net.named_modules()}
    assert all(layer.module in modules for layer in graph.layers if layer.module is not None)
    assert all(graph.by_name[f.source].index < graph.by_name[f.target].index for f in graph.feeds)
    assert all(
        Path(__file__).parents[2] / "toynets.py" == Path(layer.line.rpartition(":")[0]) for layer in graph.layers[1:]
    )


# What belongs together


def test_unit_is_a_conv_with_its_norm_and_activation() -> None:
    graph = graph_of("residual")

    def names(conv: str) -> tuple[str | None, ...]:
        unit = graph.unit(conv)
        return tuple(layer.layer if layer else None for layer in (unit.conv, unit.norm, unit.activation))

    assert names("stem.0") == ("stem.0", "stem.1", "stem.2")
    assert names("layer1.0.conv1") == ("layer1.0.conv1", "layer1.0.bn1", "layer1.0.relu")
    assert names("layer1.0.conv2") == ("layer1.0.conv2", "layer1.0.bn2", None)  # a sum comes first
    unit = graph_of("concat").unit("row")
    assert (unit.norm, unit.activation) == (None, None)  # the ReLU after the concat is no single conv's


def test_next_convs_neighbours_and_callers() -> None:
    graph = graph_of("residual")
    assert [layer.layer for layer in graph.next_convs("layer1.0.conv2")] == [
        "layer1.1.conv1",
        "layer2.0.downsample.0",
        "layer2.0.conv1",
    ]
    assert graph.next_convs("layer2.0.conv2") == []
    assert [layer.layer for layer in graph.predecessors("add")] == ["stem.2", "layer1.0.bn2"]
    assert [layer.layer for layer in graph.successors("stem.2")] == ["layer1.0.conv1", "add"]
    assert graph.module_stack("add") == "layer1.0"
    assert graph.module_stack("layer2.0.downsample.0") == "layer2.0.downsample"
    assert graph.module_stack("fc") == ""
    with pytest.raises(NotFoundError, match="Did you mean"):
        graph.next_convs("layer1.0.conv3")


# Nets from elsewhere

CLASSIFIERS = Path(__file__).with_name("classifiers.txt").read_text(encoding="utf-8").split()
QUICK = {"alexnet", "resnet18", "densenet121", "googlenet", "inception_v3", "mobilenet_v3_small", "squeezenet1_1"} | {
    "shufflenet_v2_x0_5",
    "efficientnet_b0",
    "regnet_y_400mf",
    "convnext_tiny",
    "mnasnet0_5",
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in CLASSIFIERS])
def test_torchvision_classifier(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for initialise in ("kaiming_normal_", "trunc_normal_", "normal_", "kaiming_uniform_", "uniform_"):
        monkeypatch.setattr(nn.init, initialise, lambda tensor, *_, **__: tensor.data.zero_())
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    net = torchvision.models.get_model(name, weights=None, **options)
    graph = follow(net, (3, 96, 96))
    for part in ("aux1", "aux2", "AuxLogits"):  # heads for training alone
        if hasattr(net, part):
            delattr(net, part)
    assert sum(layer.parameters for layer in graph.layers) == sum(p.numel() for p in net.parameters())
    assert len(graph.convs) == sum(isinstance(module, nn.Conv2d) for module in net.modules())
    assert all(conv.out_height and conv.out_width for conv in graph.convs)
    assert net.training


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda net: torch.compile(net, backend="eager")])
def test_wrapped_nets_are_unwrapped(wrap: Callable[[nn.Module], nn.Module]) -> None:
    assert rows(follow(wrap(toy("pooled")), (1, 8, 8)), "layer") == rows(graph_of("pooled"), "layer")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_nets_of_other_precision(dtype: torch.dtype) -> None:
    assert len(follow(toy("gate").to(dtype), (1, 6, 6)).convs) == 4


def test_parametrised_layers_and_plain_subclasses_are_the_layer() -> None:
    class Narrow(nn.Conv2d):
        def __init__(self) -> None:
            super().__init__(1, 2, 3, padding=1)

    net = nn.Sequential(Narrow(), nn.ReLU(), parametrizations.weight_norm(nn.Conv2d(2, 2, 1)))
    assert rows(follow(net, (1, 4, 4)), "layer", "kind", "operation", "parameters")[1:] == [
        ("0", "Conv", "Conv2d", 20),
        ("1", "Activation", "ReLU", 0),
        ("2", "Conv", "Conv2d", 8),  # 2 magnitudes, 4 directions, 2 biases
    ]


def test_a_subclass_with_a_forward_of_its_own_is_read() -> None:
    class Padded(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(F.pad(x, (1, 1, 1, 1)))

    graph = follow(nn.Sequential(Padded(1, 2, 3)), (1, 4, 4))
    assert rows(graph, "layer", "kind", "out_height", "parameters") == [
        ("input", "Input", 4, 0),
        ("pad", "Other", 6, 0),
        ("0", "Conv", 4, 20),
    ]


# The net is left as it was


class Remembering(nn.Module):
    """Changes a buffer and an attribute at every forward; breaks after that where ``broken``."""

    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3)
        self.norm = nn.BatchNorm2d(1)
        self.register_buffer("calls", torch.zeros(1))
        self.broken = broken
        self.last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.calls.add_(1)
        self.last = x = self.norm(self.conv(x))
        if self.broken and x.sum() > 0:
            return -x
        return x


@pytest.mark.parametrize("broken", [False, True])
def test_the_net_is_left_as_it_was(broken: bool) -> None:
    net = Remembering(broken)
    net.norm.eval()
    seen: list[object] = []
    for module in net.modules():
        module.register_forward_hook(lambda *arguments: seen.append(arguments))
        module.register_forward_pre_hook(lambda *arguments: seen.append(arguments))
    state = {name: value.clone() for name, value in net.state_dict().items()}
    attributes = {name: set(vars(module)) for name, module in net.named_modules()}
    if broken:
        with pytest.raises(TraceError):
            follow(net, (1, 6, 6))
    else:
        follow(net, (1, 6, 6))
    assert seen == []
    assert [len(module._forward_hooks) for module in net.modules()] == [1, 1, 1]
    assert (net.training, net.conv.training, net.norm.training) == (True, True, False)
    assert net.last is None
    assert {name: set(vars(module)) for name, module in net.named_modules()} == attributes
    for name, value in net.state_dict().items():
        assert torch.equal(value, state[name]), name


# Refusals


class DependsOnValues(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3)

    def forward(self, x: Tensor) -> Tensor:
        if x.mean() > 0:  # this line is named
            return self.conv(x)
        return x


class TakesTwo(DependsOnValues):
    def forward(self, left: Tensor, right: Tensor) -> Tensor:  # type: ignore[override]
        return self.conv(left + right)


class Raises(DependsOnValues):
    def forward(self, x: Tensor) -> Tensor:
        raise KeyError("no such thing")


class WithDefaults(DependsOnValues):
    def forward(self, x: Tensor, mask: Tensor | None = None, *, scale: float = 2.0) -> Tensor:
        x = self.conv(x) * scale
        return x if mask is None else x * mask


def test_other_arguments_keep_their_defaults() -> None:
    assert [layer.layer for layer in follow(WithDefaults(), (1, 5, 5)).layers] == ["input", "conv", "mul"]


def with_weight(value: float) -> nn.Module:
    net = toy("plain")
    with torch.no_grad():
        net.get_parameter("b.weight")[0, 0, 0, 0] = value
    return net


def line_of(text: str) -> str:
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return f"{__file__}:{next(number for number, line in enumerate(lines, 1) if text in line)}"


@pytest.mark.parametrize(
    ("make", "shape", "error", "says"),
    [
        (DependsOnValues, (1, 6, 6), TraceError, f"at {line_of('this line is named')}: what it does depends on"),
        (Raises, (1, 6, 6), TraceError, f"at {line_of('no such thing')}: KeyError: 'no such thing'"),
        (TakesTwo, (1, 6, 6), TraceError, "takes (left: 'Tensor', right: 'Tensor'), not one batch"),
        (lambda: toy("pooled"), (1, 9, 12), TraceError, "does not take images of 1 x 9 x 12"),
        (lambda: toy("pooled"), (3, 8, 8), TraceError, "to have 1 channels, but got 3"),
        (lambda: toy("pooled"), (1, 8), TraceError, "(1, 8) is not (channels, height, width)"),
        (lambda: toy("pooled"), (1, 8, 0), TraceError, "(1, 8, 0) is not (channels, height, width)"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), (1, 2, 2), TraceError, "no 2-d convolution"),
        (lambda: with_weight(float("nan")), (1, 4, 4), ModelError, "b.weight has values that are NaN or infinite"),
        (lambda: with_weight(float("-inf")), (1, 4, 4), ModelError, "b.weight has values that are NaN or infinite"),
        (lambda: toy("plain").to("meta"), (1, 4, 4), ModelError, "a.weight is on the meta device"),
        (lambda: nn.Sequential(nn.LazyConv2d(2, 3)), (1, 4, 4), ModelError, "0.weight has no shape yet"),
    ],
)
@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_refusals(
    make: Callable[[], nn.Module], shape: tuple[int, int, int], error: type[CnngraphError], says: str
) -> None:
    with pytest.raises(error) as refusal:
        follow(make(), shape)
    assert says in refusal.value.message
    assert "\n" not in refusal.value.message
    assert refusal.value.hint


def test_a_wrong_size_is_one_line_and_torch_logs_none() -> None:
    records: list[logging.LogRecord] = []
    log, handler = logging.getLogger("torch._subclasses.fake_tensor"), logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    log.addHandler(handler)
    try:
        with pytest.raises(TraceError, match="does not take images of 1 x 9 x 12"):
            follow(toy("pooled"), (1, 9, 12))
    finally:
        log.removeHandler(handler)
    assert records == []
    assert not log.disabled


def test_large_finite_weights_are_no_error() -> None:
    assert follow(with_weight(3e38), (1, 4, 4))
    net = with_weight(3e38)
    with torch.no_grad():
        net.get_parameter("b.weight").fill_(3e38)  # their sum overflows
    assert follow(net, (1, 4, 4))
