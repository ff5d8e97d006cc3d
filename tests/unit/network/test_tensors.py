"""Net -> tables -> net: every weight comes back bit for bit, from kernels where all are there, else from bytes."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnngraph import trace
from cnngraph.errors import SpecError
from cnngraph.network.spec import check
from cnngraph.network.tables import KERNEL, Network
from cnngraph.network.tensors import connections_of_network
from cnngraph.network.tensors import state_of as state_of_tables
from tests.toynets import TOYS, toy, toy_shape


def network_of(net: nn.Module, shape: tuple[int, ...], **options: object) -> Network:
    dtype = next(net.parameters()).dtype
    images = torch.randn(4, *shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    options = {"connections": "all", "view": "channels", "correlations": False, "kernels": True} | options
    return check(trace(net, [(images, torch.tensor([0, 1, 0, 1]))], **options))  # type: ignore[arg-type]


def state_of(network: Network) -> dict[str, Tensor]:
    return state_of_tables(network.tensors, connections_of_network(network))


def in_bytes(network: Network) -> list[str]:
    """The tensors that the kernels do not hold."""
    return network.tensors.filter(pc.is_valid(network.tensors["data"]))["name"].to_pylist()


def assert_same(net: nn.Module, state: dict[str, Tensor]) -> None:
    assert list(state) == list(net.state_dict())
    for name, tensor in net.state_dict().items():
        assert state[name].dtype == tensor.dtype and state[name].shape == tensor.shape, name
        assert torch.equal(state[name], tensor), name


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.parametrize("connections", ["all", "top:1"])
def test_every_toy_comes_back(name: str, connections: str) -> None:
    net = toy(name)
    assert_same(net, state_of(network_of(net, toy_shape(name), connections=connections)))


def test_what_is_in_kernels_and_what_in_bytes() -> None:
    network = network_of(toy("residual"), toy_shape("residual"))
    held = [row["name"] for row in network.tensors.to_pylist() if row["data"] is None]
    assert held[:3] == ["stem.0.weight", "layer1.0.conv1.weight", "layer1.0.conv2.weight"]
    assert held[-2:] == ["layer2.0.downsample.0.weight", "fc.weight"] and len(held) == 9
    rows = {row["name"]: row for row in network.tensors.to_pylist()}
    assert rows["stem.1.num_batches_tracked"]["dtype"] == "int64" and rows["stem.1.num_batches_tracked"]["shape"] == []
    assert rows["stem.1.weight"]["layer"] == "stem.1" and len(rows["stem.1.weight"]["data"]) == 4 * 4


def test_a_layer_with_connections_left_out_is_kept_in_bytes() -> None:
    complete, strongest = (network_of(toy("residual"), (3, 8, 8), connections=policy) for policy in ("all", "top:2"))
    assert set(in_bytes(strongest)) - set(in_bytes(complete)) == {
        name
        for name in toy("residual").state_dict()
        if name.endswith(".weight") and toy("residual").state_dict()[name].dim() > 1
    }


def test_a_head_for_training_alone_is_kept_too() -> None:
    assert {"aux.weight", "aux.bias"} <= set(in_bytes(network_of(toy("aux"), toy_shape("aux"))))


class Odd(nn.Module):
    """Channels that stem from no map, a transposed flatten, a scale, tied weights and a buffer that is no number."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 3, 3, padding=1)
        self.padded = nn.Conv2d(4, 2, 3, padding=1, bias=False)  # its last channel reads zeros
        self.scale = nn.Parameter(torch.tensor([0.1, -0.0]).view(2, 1, 1))
        self.a = nn.Linear(8, 2)
        self.b = nn.Linear(8, 2, bias=False)
        self.b.weight = self.a.weight
        self.register_buffer("mask", torch.tensor([True, False]))

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(self.first(x), (0, 0, 0, 0, 0, 1))
        x = self.padded(x) * self.scale
        x = x.permute(0, 2, 3, 1).flatten(1)
        return self.a(x) + self.b(x)


def test_what_no_kernel_holds_is_kept_in_bytes() -> None:
    torch.manual_seed(0)
    net = Odd().eval()
    network = network_of(net, (1, 2, 2))
    assert set(in_bytes(network)) == {"first.bias", "padded.weight", "scale", "a.weight", "a.bias", "b.weight", "mask"}
    assert_same(net, state_of(network))
    assert torch.signbit(state_of(network)["scale"]).flatten().tolist() == [False, True]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_other_precisions_are_exact(dtype: torch.dtype) -> None:
    net = toy("plain").to(dtype)
    network = network_of(net, toy_shape("plain"))
    assert ("a.weight" in in_bytes(network)) == (dtype is torch.float64)
    assert_same(net, state_of(network))


# Refusals


def test_a_network_without_kernels_has_no_weights() -> None:
    network = network_of(toy("plain"), toy_shape("plain"), kernels=False)
    assert network.tensors.num_rows == 0
    with pytest.raises(SpecError, match="holds no weights") as refused:
        state_of(network)
    assert "--kernels" in refused.value.hint


def without(network: Network, row: int) -> Network:
    rows = network.connects.to_pylist()
    del rows[row]
    return network_with(network, "connects", rows)


def network_with(network: Network, table: str, rows: list[dict[str, object]]) -> Network:
    from dataclasses import replace

    return replace(network, **{table: pa.Table.from_pylist(rows, schema=getattr(network, table).schema)})


def test_a_kernel_that_is_missing_or_cut_is_named() -> None:
    network = network_of(toy("plain"), toy_shape("plain"))
    with pytest.raises(SpecError, match=r"kernels of a\.weight are not all there"):
        state_of(without(network, 0))
    rows = network.connects.to_pylist()
    rows[0][KERNEL.name] = rows[0][KERNEL.name][:-1]
    with pytest.raises(SpecError, match=r"kernels of a\.weight are not all there"):
        state_of(network_with(network, "connects", rows))
    rows = network.tensors.to_pylist()
    rows[1]["data"] = rows[1]["data"][:-1]
    with pytest.raises(SpecError, match=r"a\.bias has 7 bytes"):
        state_of(network_with(network, "tensors", rows))


def test_the_spec_knows_tensors_without_values_and_blocks_without_layers() -> None:
    network = network_of(toy("residual"), toy_shape("residual"))
    rows = network.tensors.to_pylist()
    rows[0] |= {"layer": None, "data": None}
    with pytest.raises(SpecError, match="table tensors, column data, row 0"):
        check(network_with(network, "tensors", rows))
    rows = network.blocks.to_pylist()
    for change, column in (
        ({"layers": ["nowhere"]}, "layers"),
        ({"layers": []}, "layers"),
        ({"layers": list(reversed(rows[0]["layers"]))}, "layers"),
        ({"kind": "branch"}, "kind"),
        ({"entry": "nowhere"}, "entry"),
        ({"parent": "nowhere"}, "parent"),
        ({"name": rows[1]["name"]}, "name"),
    ):
        with pytest.raises(SpecError, match=f"table blocks, column {column}"):
            check(network_with(network, "blocks", [rows[0] | change, *rows[1:]]))
