"""Code that people do write and that surgery once went wrong on: right afterwards, or refused in one line."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnngraph.errors import ModelError
from cnngraph.network.graph import follow
from cnngraph.plan import Plan, Removal
from cnngraph.surgery.apply import apply
from cnngraph.surgery.channels.coupling import coupled
from cnngraph.surgery.channels.filter_scores import magnitude, taylor
from cnngraph.surgery.channels.filters import slice_channels
from cnngraph.surgery.channels.masked import masked
from cnngraph.surgery.output_diff import output_diff
from cnngraph.surgery.verify import state_hash, verify

from .in_process import replace_process
from .nets import images, seeded

SHAPE = (3, 8, 8)


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU())


class _Body(nn.Module):
    """Two convs and a dense layer; ``between`` is what a test does between the convs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.fc = _conv(3, 6), _conv(6, 4), nn.Linear(4, 5)

    def between(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.b(self.between(self.a(x))).mean((2, 3)))


class _PoolOverSize(_Body):
    def between(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(F.avg_pool2d(x, kernel_size=(x.size(2), x.size(3)), stride=x.size(2)))


class _OverVolumes(_Body):
    def __init__(self) -> None:
        super().__init__()
        self.volume, self.norm = nn.Conv3d(1, 2, 3, padding=1), nn.BatchNorm3d(2)

    def between(self, x: Tensor) -> Tensor:
        return x * self.norm(self.volume(x.unsqueeze(1))).mean((1, 2)).unsqueeze(1)


class _Constants(_Body):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("shift", torch.rand(6), persistent=False)
        self.mask = torch.rand(1, 4, 1, 1)

    def between(self, x: Tensor) -> Tensor:
        return x + self.shift[None, :, None, None]  # type: ignore[index]

    def forward(self, x: Tensor) -> Tensor:
        return self.fc((self.b(self.between(self.a(x))) * self.mask).mean((2, 3)))


class _PlainNorm(_Body):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, 6, affine=False)

    def between(self, x: Tensor) -> Tensor:
        return self.norm(x)


class _Transposed(_Body):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(6, 4, 2, 2, groups=2, bias=False)
        self.b = _conv(4, 4)

    def between(self, x: Tensor) -> Tensor:
        return self.up(x)


def test_a_pool_over_a_size_read_off_the_image_is_followed() -> None:
    pool = next(layer for layer in follow(_PoolOverSize(), SHAPE).layers if layer.kind == "Pool")
    assert (pool.kernel, pool.stride) == ((8, 8), (8, 8))


@pytest.mark.parametrize("made", [_PoolOverSize, _OverVolumes, _Constants, _PlainNorm])
def test_looking_at_a_net_in_train_mode_leaves_its_statistics(made: Callable[[], nn.Module]) -> None:
    net = seeded(made).train()
    before = state_hash(net)
    follow(net, SHAPE)
    coupled(net, SHAPE)
    apply(net, Plan(removes=(Removal(layer="b.0"),), init="inherit"), input_shape=SHAPE)
    assert state_hash(net) == before


def test_tensors_that_no_module_keeps_hold_their_channels() -> None:
    coupling = coupled(seeded(_Constants), SHAPE)
    fixed = {layer: group.fixed for group in coupling.groups for layer, _ in group.filters}
    assert fixed == {"a.0": "", "b.0": "they meet values that belong to no channel"}  # a buffer is cut along, mask not
    assert slice_channels(seeded(_Constants), coupling, {"a.0": [1]}).get_buffer("shift").shape == (5,)


def test_a_norm_over_channels_without_weights_sees_the_survivors() -> None:
    net = seeded(_PlainNorm)
    coupling, gone, batch = coupled(net, SHAPE), {"a.0": [1, 4]}, [images(8, *SHAPE)]
    assert output_diff(slice_channels(net, coupling, gone), masked(net, coupling, gone), batch, batch).relative < 1e-9


def test_the_filters_of_a_transposed_conv_lie_along_its_second_axis() -> None:
    net = seeded(_Transposed)
    with torch.no_grad():
        net.up.weight.copy_(torch.zeros(6, 2, 2, 2))
        net.up.weight[:3, 1] = 1.0  # group 0, its second output: 3 x 4 weights of 1
        net.up.weight[3:, 0] = 2.0  # group 1, its first output
    coupling = coupled(net, SHAPE)
    assert magnitude(net, coupling)["up"] == pytest.approx((0.0, 12**0.5, 48**0.5, 0.0))
    batch = [(images(8, *SHAPE), torch.arange(8) % 5)]
    scores = taylor(net, coupling, batch)["up"]
    assert scores[0] == scores[3] == 0.0
    assert min(scores[1], scores[2]) > 0


def test_a_net_that_cannot_be_copied_is_refused_for_layers_too() -> None:
    net = seeded(_Body)
    net.lock = threading.Lock()
    with pytest.raises(ModelError, match="cannot be copied"):
        apply(net, Plan(removes=(Removal(layer="b.0"),), init="inherit"), input_shape=SHAPE)


def _forget_filters(slim: nn.Module, net: nn.Module, plan: Plan) -> nn.Module:
    only = Plan(removes=tuple(removal for removal in plan.removes if removal.kind != "filters"), init="inherit")
    return apply(net, only, input_shape=SHAPE)


def _stale_size(slim: nn.Module, net: nn.Module, plan: Plan) -> nn.Module:
    slim.get_submodule("a.1").num_features = 6
    return slim


def _hook(slim: nn.Module, net: nn.Module, plan: Plan) -> nn.Module:
    slim.register_forward_hook(lambda module, given, value: None)
    return slim


def _other_filter(slim: nn.Module, net: nn.Module, plan: Plan) -> nn.Module:
    others = Removal(layer="a.0", kind="filters", filters=(2,))
    return apply(net, plan.model_copy(update={"removes": (others, *plan.removes[1:])}), input_shape=SHAPE)


def _swapped(slim: nn.Module, net: nn.Module, plan: Plan) -> nn.Module:
    weight = slim.get_parameter("a.0.weight")
    with torch.no_grad():
        weight.copy_(weight.flip(0))
    return slim


@pytest.mark.parametrize(
    ("spoil", "mixed"),
    [(_forget_filters, True), (_stale_size, False), (_hook, True), (_other_filter, True), (_swapped, True)],
)
def test_what_logits_do_not_tell_fails_the_proof(
    spoil: Callable[..., nn.Module], mixed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_process(monkeypatch, lambda folder: {"output": images(8, 5)})
    net = seeded(_Body)
    layer = (Removal(layer="b.0"),) if mixed else ()
    plan = Plan(removes=(Removal(layer="a.0", kind="filters", filters=(1,)), *layer), init="inherit")
    slim = spoil(apply(net, plan, input_shape=SHAPE), net, plan)
    found = verify(net, slim, plan, input_shape=SHAPE)
    assert any(failure.startswith("structure: ") for failure in found.failures), found.failures


def test_the_other_half_of_a_net_of_zeros_fails_the_proof() -> None:
    net = seeded(_Body)
    nn.init.zeros_(net.get_parameter("a.1.weight"))  # whichever filters go, the logits are the same
    made = [Plan(removes=(Removal(layer="a.0", kind="filters", filters=(gone,)),)) for gone in (1, 2)]
    found = verify(net, apply(net, made[0], input_shape=SHAPE), made[1], input_shape=SHAPE)
    assert any(failure.startswith("structure: a.0.weight") for failure in found.failures), found.failures


class _MakesConstants(_Body):
    def between(self, x: Tensor) -> Tensor:
        return x * torch.ones(x.shape[-1]) + F.linear(x, torch.eye(x.shape[-1]))


def test_constants_that_the_code_makes_are_compared_in_double_too() -> None:
    net = seeded(_MakesConstants)
    coupling, gone, batch = coupled(net, SHAPE), {"b.0": [1]}, [images(8, *SHAPE)]
    assert output_diff(slice_channels(net, coupling, gone), masked(net, coupling, gone), batch, batch).relative < 1e-9
    assert torch.get_default_dtype() == torch.float32


class _ScaledByFanIn(_Body):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.b(self.a(x)).mean((2, 3)) * self.b[0].weight.shape[1] ** -0.5)


def test_a_size_read_off_a_weight_holds_its_channels() -> None:
    coupling = coupled(seeded(_ScaledByFanIn), SHAPE)
    reasons = {group.fixed for group in coupling.groups if group.filters}
    assert reasons == {"the code reckons with the weights of b.0"}


class _OwnNorm(nn.Module):
    """A batch norm of one's own, whose statistics are buffers that its code shapes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(1, width, 1, 1) + 0.5)
        self.register_buffer("mean", torch.rand(width))
        self.register_buffer("variance", torch.rand(width) + 0.5)
        self.register_buffer("gain", torch.tensor([2.0]))

    def forward(self, x: Tensor) -> Tensor:
        x = (x - self.mean.reshape(1, -1, 1, 1)) * (self.variance + 1e-5).rsqrt()[:, None, None]
        return self.scale * (x * self.gain if self.gain[0] > 1 else x)


class _OwnNorms(_Body):
    def __init__(self) -> None:
        super().__init__()
        self.norm = _OwnNorm(6)

    def between(self, x: Tensor) -> Tensor:
        return self.norm(x)


class _States(_Body):
    """States begin as zeros: as wide as a number that is stored, as wide as the map, and where the weights lie."""

    def __init__(self) -> None:
        super().__init__()
        self.width = 6
        self.step = nn.Conv2d(12, 6, 3, padding=1)

    def between(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        state = torch.zeros(n, self.width, height, width, device=self.step.weight.device)
        for _ in range(2):
            state = torch.tanh(self.step(torch.cat([x, state], 1))) + x.new_zeros(n, channels, height, width)
        return state


class _MixedPlaces(_Body):
    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Sequential(nn.Linear(64, 5), nn.GELU(), nn.Linear(5, 64))

    def between(self, x: Tensor) -> Tensor:
        return x + self.mix(x.flatten(2)).view(x.shape)


@pytest.mark.parametrize("made", [_OwnNorms, _States, _MixedPlaces])
def test_buffers_states_and_mixed_places_follow_their_channels(made: Callable[[], nn.Module]) -> None:
    net = seeded(made)
    coupling, gone, batch = coupled(net, SHAPE), {"a.0": [1, 4]}, [images(8, *SHAPE)]
    slim = slice_channels(net, coupling, gone)
    assert slim.get_parameter("b.0.weight").shape[1] == 4
    assert output_diff(slim, masked(net, coupling, gone), batch, batch).relative < 1e-9
    if made is _OwnNorms:
        assert slim.get_buffer("norm.mean").shape == (4,)
    if made is _States:
        assert slim.width == 4
