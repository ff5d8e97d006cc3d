"""Transformers are not what surgery is for: they work, or are refused in one line, before anything is changed."""

from __future__ import annotations

import pytest
import torch
import torchvision.models as zoo
from torch import nn

from cnngraph.errors import PlanError
from cnngraph.network.graph import follow
from cnngraph.plan import Plan, Removal
from cnngraph.surgery.apply import apply


def without(model: nn.Module, removal: Removal, size: int) -> nn.Module:
    return apply(model, Plan(removes=(removal,), init="inherit"), input_shape=(3, size, size)).eval()


def test_a_vision_transformer_of_torchvision_has_nothing_to_cut() -> None:
    model = zoo.VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=3
    ).eval()
    assert follow(model, (3, 32, 32)).layers
    with pytest.raises(PlanError, match="Leave one at least"):
        without(model, Removal(layer="conv_proj"), 32)
    with pytest.raises(PlanError, match="Filter 0 of conv_proj cannot go"):
        without(model, Removal(layer="conv_proj", kind="filters", filters=(0,)), 32)


def test_a_swin_transformer_of_torchvision_has_nothing_to_cut() -> None:
    model = zoo.SwinTransformer(
        patch_size=[4, 4], embed_dim=8, depths=[2, 2], num_heads=[2, 4], window_size=[4, 4], num_classes=3
    ).eval()
    with pytest.raises(PlanError, match="Leave one at least"):
        without(model, Removal(layer="features.0.0"), 32)
    with pytest.raises(PlanError, match="Filter 0 of features"):
        without(model, Removal(layer="features.0.0", kind="filters", filters=(0,)), 32)


def test_a_vision_transformer_of_timm_has_nothing_to_cut() -> None:
    timm = pytest.importorskip("timm", reason="needs the extra timm")
    model = timm.create_model("test_vit", num_classes=3).eval()  # its code makes whole numbers of sizes
    with pytest.raises(PlanError, match="removes all 1 conv layers"):
        without(model, Removal(layer="patch_embed.proj"), 160)
    with pytest.raises(PlanError, match="they meet values that belong to no channel"):
        without(model, Removal(layer="patch_embed.proj", kind="filters", filters=(0,)), 160)


@pytest.mark.parametrize(
    "removal", [Removal(layer="stem.conv1"), Removal(layer="stem.conv1", kind="filters", filters=(0,))]
)
def test_the_convs_of_a_mixed_net_can_go(removal: Removal) -> None:
    timm = pytest.importorskip("timm", reason="needs the extra timm")
    model = timm.create_model("test_maxvit", num_classes=3).eval()
    size = model.pretrained_cfg["input_size"][-1]
    with torch.no_grad():
        assert without(model, removal, size)(torch.randn(1, 3, size, size)).shape == (1, 3)
