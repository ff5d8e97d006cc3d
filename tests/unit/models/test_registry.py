"""Names -> nets, their origin, and every classifier of torchvision."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
import torchvision.models as zoo
from torch import nn

from cnngraph.errors import ModelError, NotFoundError, UsageError
from cnngraph.models import torchvision_nets
from cnngraph.models.registry import WeightsChoice, build, default_preprocessing, known_architectures, rebuild
from cnngraph.origin import Origin, Preprocessing, get_origin


def shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def test_the_names_of_the_design_are_there() -> None:
    vgg = [f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")]
    small = ["lenet5", "alexnet", *vgg, "resnet20", "resnet32", "resnet56"]
    assert {f"cnngraph:{name}" for name in small} <= set(known_architectures())
    assert {"torchvision:vgg16", "torchvision:inception_v3"} <= set(known_architectures())


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("cnngraph:vgg61", "cnngraph:vgg16"),
        ("vgg16", "cnngraph:vgg16 or torchvision:vgg16"),
        ("torchvison:resnet18", "torchvision:resnet18"),
        ("torchvision:resnet19", "torchvision:resnet1"),
        ("nothing-like-it", "cnngraph:"),
    ],
)
def test_an_unknown_name_comes_with_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        build(name, classes=10)
    assert hint in caught.value.hint


def test_the_origin_rebuilds_the_same_structure() -> None:
    model = build("cnngraph:resnet20", classes=7, in_channels=1, size=28, width=0.5)
    origin = get_origin(model)
    options = {"classes": 7, "in_channels": 1, "size": 28, "width": 0.5}
    assert origin == Origin(architecture="cnngraph:resnet20", options=options)
    again = rebuild(origin.architecture, origin.options)
    assert shapes(again) == shapes(model)
    assert get_origin(again) == get_origin(copy.deepcopy(model)) == origin


def test_options_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ModelError, match="cannot be built with the options"):
        rebuild("cnngraph:lenet5", {"classes": 3, "colour": "red"})
    with pytest.raises(ModelError, match="cannot be built with the options"):
        rebuild("torchvision:resnet18", {})


def test_the_seed_decides_the_weights_and_the_global_state_stays() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = build("cnngraph:lenet5", classes=10, seed=1)
    assert torch.equal(torch.rand(3), expected)
    same, other = (build("cnngraph:lenet5", classes=10, seed=seed) for seed in (1, 2))
    assert torch.equal(first.features[0].weight, same.features[0].weight)
    assert not torch.equal(first.features[0].weight, other.features[0].weight)


def test_only_small_nets_have_a_width() -> None:
    with pytest.raises(UsageError, match="no width option"):
        build("torchvision:resnet18", classes=10, width=0.5)


def test_small_nets_have_no_pretrained_weights() -> None:
    with pytest.raises(ModelError, match="no pretrained weights"):
        build("cnngraph:lenet5", weights=WeightsChoice("pretrained"), classes=10)


@pytest.fixture
def no_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parameters have shapes and no values, else the largest net takes 2.6 GB; under a meta device RegNet fails."""
    register = nn.Module.register_parameter

    def register_empty(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        register(module, name, parameter if parameter is None else nn.Parameter(parameter.to("meta")))

    monkeypatch.setattr(nn.Module, "register_parameter", register_empty)


@pytest.mark.usefixtures("no_values")
@pytest.mark.parametrize("name", torchvision_nets.names())
def test_every_torchvision_classifier_builds_with_these_classes(name: str) -> None:
    model = rebuild(f"torchvision:{name}", {"classes": 7, "size": torchvision_nets.own_size(name)})
    last = [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    assert last.weight.shape[0] == 7
    origin = get_origin(model)
    assert origin is not None
    assert origin.architecture == f"torchvision:{name}"


@pytest.mark.parametrize(("name", "heads"), [("googlenet", 2), ("inception_v3", 1)])
def test_auxiliary_heads_are_kept(name: str, heads: int) -> None:
    with torch.device("meta"):
        model = rebuild(f"torchvision:{name}", {"classes": 7, "size": torchvision_nets.own_size(name)})
        side = torchvision_nets.own_size(name)
        output = model.train()(torch.zeros(2, 3, side, side))
    assert [tuple(each.shape) for each in output] == [(2, 7)] * (1 + heads)


def test_sizes_and_grey_images_of_torchvision_nets() -> None:
    assert default_preprocessing("torchvision:resnet18", in_channels=1) == Preprocessing(size=(224, 224), channels=3)
    assert default_preprocessing("torchvision:inception_v3").size == (299, 299)
    assert default_preprocessing("torchvision:resnet18", size=64).size == (64, 64)
    origin = get_origin(build("torchvision:squeezenet1_1", classes=2, in_channels=1))
    assert origin is not None
    assert origin.options == {"classes": 2, "in_channels": 3, "size": 224}


def test_preprocessing_of_other_nets() -> None:
    assert default_preprocessing("cnngraph:vgg16", in_channels=1) == Preprocessing(size=(32, 32), channels=1)
    assert default_preprocessing("python:nets:make", size=48).size == (48, 48)


def test_preprocessing_comes_from_the_weights() -> None:
    wanted = default_preprocessing("torchvision:resnet18", "pretrained")
    assert wanted.size == (224, 224)
    assert wanted.resize == 256
    assert wanted.mean == (0.485, 0.456, 0.406)
    assert wanted.std == (0.229, 0.224, 0.225)
    assert default_preprocessing("torchvision:inception_v3", "pretrained").resize == 342
    halved = default_preprocessing("torchvision:resnet18", "pretrained", size=112)
    assert (halved.size, halved.resize) == ((112, 112), 128)


def test_a_published_weights_file_is_known_by_its_name() -> None:
    entry = zoo.get_model_weights("resnet18").DEFAULT
    published = Path("downloads") / entry.url.rpartition("/")[2]
    assert default_preprocessing("torchvision:resnet18", published).resize == 256
    assert default_preprocessing("torchvision:resnet18", "mine.pt").resize is None


def test_a_size_that_a_transformer_cannot_have() -> None:
    with pytest.raises(ModelError, match="cannot be built for images of 50 px"):
        build("torchvision:vit_b_16", classes=2, size=50)


@pytest.fixture
def offline_weights(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """torchvision's own loading code with a download that gives random weights of the published shapes."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        state = zoo.squeezenet1_1(num_classes=1000).state_dict()
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_args, **_kwargs: state)
    return dict(state)


def test_pretrained_weights_are_loaded(offline_weights: dict[str, torch.Tensor]) -> None:
    model = build("torchvision:squeezenet1_1", weights=WeightsChoice("pretrained"), classes=1000)
    assert all(torch.equal(value, offline_weights[name]) for name, value in model.state_dict().items())


def test_pretrained_weights_need_a_new_head_for_other_classes(offline_weights: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ModelError, match="has 1000 outputs, but the data has 10 classes") as caught:
        build("torchvision:squeezenet1_1", weights=WeightsChoice("pretrained"), classes=10)
    assert "--new-head" in caught.value.hint
    model = build("torchvision:squeezenet1_1", weights=WeightsChoice("pretrained", new_head=True), classes=10)
    assert torch.equal(model.features[0].weight, offline_weights["features.0.weight"])
    assert model.classifier[1].weight.shape[0] == 10


def test_a_failing_download_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(ModelError, match=r"could not be fetched.*no route to host") as caught:
        build("torchvision:squeezenet1_1", weights=WeightsChoice("pretrained"), classes=1000)
    assert "--weights FILE" in caught.value.hint
