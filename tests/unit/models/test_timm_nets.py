"""``timm:NAME``: names, preprocessing, pretrained weights, saving, and what is said where timm is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from cnngraph import save
from cnngraph.errors import ModelError, NotFoundError
from cnngraph.models.registry import WeightsChoice, build, default_preprocessing
from cnngraph.network.graph import follow
from cnngraph.origin import Origin, Preprocessing, get_origin
from cnngraph.surgery.saved import load

timm = pytest.importorskip("timm", reason="needs the extra timm")

SMALLEST = "timm:test_resnet"  # timm's own test net: 0.5 million parameters


def test_a_net_is_built_with_these_classes_and_channels() -> None:
    model = build(SMALLEST, classes=7, in_channels=1, size=64)
    assert model.eval()(torch.zeros(2, 1, 64, 64)).shape == (2, 7)
    options = {"classes": 7, "in_channels": 1, "size": 64}
    assert get_origin(model) == Origin(architecture=SMALLEST, options=options)


@pytest.mark.parametrize("name", ["resnet18d", "seresnet50", "cspresnet50", "ghostnet_100", "repvgg_a0", "rexnet_100"])
def test_the_nets_that_surgery_knows_are_followed(name: str) -> None:
    model = build(f"timm:{name}", classes=4)
    assert [layer for layer in follow(model.eval(), (3, 64, 64)).layers if layer.macs]


def test_a_saved_net_comes_back(tmp_path: Path) -> None:
    model = build(SMALLEST, classes=3, size=64).eval()
    images = torch.rand(2, 3, 64, 64)
    again = load(save(model, tmp_path / "net"))
    assert type(again) is type(model)
    assert torch.equal(again(images), model(images))


def test_the_preprocessing_is_that_of_timms_data_config() -> None:
    assert default_preprocessing("timm:resnet18d") == Preprocessing(
        size=(224, 224), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), resize=256
    )
    # crop_pct 0.887 at 256 px, the same share at 128 px
    assert default_preprocessing("timm:cspresnet50").resize == 288
    assert default_preprocessing("timm:cspresnet50", size=128).resize == 144
    grey = default_preprocessing("timm:resnet18d", in_channels=1)
    assert grey.channels == 1
    assert grey.mean == pytest.approx((0.449,))
    assert grey.std == pytest.approx((0.226,))


@pytest.mark.parametrize(
    ("name", "hint"), [("timm:seresnet500", "timm:seresnet50"), ("rexnet_100", "Did you mean timm:rexnet_100?")]
)
def test_an_unknown_name_comes_with_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        build(name, classes=10)
    assert hint in caught.value.hint


def test_a_fixed_size_becomes_part_of_the_structure() -> None:
    model = build("timm:test_vit", classes=2, size=64)
    assert model.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 2)


def test_what_timm_refuses_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("patches do not tile the image\nsecond line")

    monkeypatch.setattr("timm.create_model", refuse)
    with pytest.raises(
        ModelError, match=r"for images of 50 px with 3 channels: patches do not tile the image\. Use"
    ) as caught:
        build("timm:test_vit", classes=2, size=50)
    assert caught.value.hint == "Use --size 160."


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """timm's own loading code with a download that gives random weights of the published shapes."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        state = timm.create_model("test_resnet").state_dict()
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", lambda *_args, **_kwargs: dict(state))
    return dict(state)


def test_pretrained_weights_are_loaded(published: dict[str, torch.Tensor]) -> None:
    model = build(SMALLEST, weights=WeightsChoice("pretrained"), classes=1000)
    assert all(torch.equal(value, published[name]) for name, value in model.state_dict().items())


def test_pretrained_weights_need_a_new_head_for_other_classes(published: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ModelError, match="has 1000 outputs, but the data has 10 classes"):
        build(SMALLEST, weights=WeightsChoice("pretrained"), classes=10)
    model = build(SMALLEST, weights=WeightsChoice("pretrained", new_head=True), classes=10)
    assert torch.equal(model.conv1[0].weight, published["conv1.0.weight"])
    assert model.get_classifier().weight.shape[0] == 10


def test_pretrained_weights_are_fitted_to_grey_images_by_timm(published: dict[str, torch.Tensor]) -> None:
    model = build(SMALLEST, weights=WeightsChoice("pretrained"), classes=1000, in_channels=1)
    assert torch.allclose(model.conv1[0].weight, published["conv1.0.weight"].sum(dim=1, keepdim=True))


def test_a_failing_download_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", fail)
    with pytest.raises(ModelError, match=r"could not be fetched.*no route to host") as caught:
        build(SMALLEST, weights=WeightsChoice("pretrained"), classes=1000)
    assert "--weights FILE" in caught.value.hint


def test_a_net_without_published_weights() -> None:
    with pytest.raises(NotFoundError, match="timm has no pretrained weights for botnet50ts_256"):
        build("timm:botnet50ts_256", weights=WeightsChoice("pretrained"), classes=1000)


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from cnngraph.models import timm_nets

    timm_nets.names.cache_clear()
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(NotFoundError, match="timm is not installed") as caught:
        build("timm:resnet18d", classes=2)
    assert 'pip install "cnngraph[timm]"' in caught.value.hint
