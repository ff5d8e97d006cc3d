"""A net is followed in either mode, and whatever is set while it is followed is put back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from cnngraph.errors import TraceError
from cnngraph.network.symbolic import follow_symbolically


class Auxiliary(nn.Module):
    """A second head that only train mode has."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.norm = nn.BatchNorm2d(2)
        self.head = nn.Linear(2, 2)
        self.aux = nn.Linear(2, 2)
        self.width = 2

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.norm(self.conv(x))[:, : self.width].mean((2, 3))
        return (self.head(x), self.aux(x)) if self.training else self.head(x)


def _called(net: nn.Module, **options: bool) -> set[str]:
    module = follow_symbolically(net, (1, 4, 4), **options)
    return {str(node.target) for node in module.graph.nodes if node.op == "call_module"}


def test_train_mode_shows_what_only_training_calls() -> None:
    net = Auxiliary().eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert _called(net) == {"conv", "norm", "head"}
    assert _called(net, training=True) == {"conv", "norm", "head", "aux"}
    assert not any(module.training for module in net.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_what_a_preparation_sets_is_seen_and_put_back() -> None:
    net = Auxiliary()

    def narrow(model: nn.Module) -> None:
        model.width = 1  # type: ignore[assignment]

    with pytest.raises(TraceError, match=r"\[2, 1\]"):
        follow_symbolically(net, (1, 4, 4), prepare=narrow)
    assert net.width == 2
