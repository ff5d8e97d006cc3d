"""Exported nets: what other programs find in the files, and everything that is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cnngraph import save
from cnngraph.errors import CnngraphError, ConflictError, ModelError, NotFoundError, UsageError, VerificationError
from cnngraph.models.registry import WeightsChoice, build
from cnngraph.origin import Preprocessing, get_origin
from cnngraph.plan import Plan, Removal
from cnngraph.shipping import comparison, writers
from cnngraph.shipping.export import export
from cnngraph.shipping.parcel import Parcel, pack_saved
from cnngraph.surgery.apply import apply
from cnngraph.surgery.saved import is_saved, load, read_saved

PREPROCESSING = Preprocessing(size=(32, 32), channels=1, mean=(0.1307,), std=(0.3081,))


def lenet(folder: Path) -> Path:
    model = build("cnngraph:lenet5", classes=3, in_channels=1, width=0.5, seed=1)
    return save(model, folder / "lenet", preprocessing=PREPROCESSING, classes=("a", "b", "c"), dataset="digits")


def pruned_resnet() -> nn.Module:
    """Filters, a layer and a block are gone."""
    filters = Removal(layer="layer3.0.conv1", kind="filters", filters=(0, 5))
    plan = Plan(removes=(filters, Removal(layer="layer1.0.conv1"), Removal(layer="layer2.1", kind="block")))
    return apply(build("cnngraph:resnet20", classes=3, width=0.25, seed=1), plan).eval()


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5))


def test_one_safetensors_file_is_a_saved_model(tmp_path: Path) -> None:
    slim = pruned_resnet()
    out = tmp_path / "made" / "slim.safetensors"
    report = export(save(slim, tmp_path / "slim", classes="abc"), out, format="safetensors")
    assert (report["format"], report["out"], report["bytes"]) == ("safetensors", str(out), out.stat().st_size)
    assert (report["max_abs_diff"], report["opset"], report["dynamic_batch"]) == (0.0, None, True)
    assert report["parameters"] == sum(parameter.numel() for parameter in slim.parameters())
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    # for any program: the tensors by name, labels as JSON
    assert all(torch.equal(tensor, slim.state_dict()[name]) for name, tensor in load_file(out).items())
    with safe_open(out, framework="pt") as file:
        labels = {name: json.loads(text) for name, text in file.metadata().items() if name != "format"}
    assert labels["classes"] == ["a", "b", "c"]
    assert labels["preprocessing"]["size"] == [32, 32]
    # for cnngraph: an ordinary net, with the plans that made it
    again = read_saved(out)
    assert type(again.model) is type(slim)
    assert again.origin == get_origin(slim)
    assert torch.equal(again.model(images(2, 3, 32, 32)), slim(images(2, 3, 32, 32)))
    assert is_saved(out)


def test_a_pt2_file_needs_only_torch(tmp_path: Path) -> None:
    slim, out = pruned_resnet(), tmp_path / "slim.pt2"
    report = export(slim, out, format="pt2", preprocessing=Preprocessing(size=(32, 32)), classes=("a", "b", "c"))
    assert report["max_abs_diff"] <= 1e-5
    files: dict[str, Any] = {"preprocessing.json": "", "classes.json": "", "model.json": ""}
    net = torch.export.load(out, extra_files=files).module()
    assert json.loads(files["classes.json"]) == ["a", "b", "c"]
    assert json.loads(files["preprocessing.json"])["mean"] == [0.5]
    assert json.loads(files["model.json"])["architecture"] == "cnngraph:resnet20"
    assert torch.allclose(net(images(7, 3, 32, 32)), slim(images(7, 3, 32, 32)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("format", ["pt2", "safetensors"])
def test_a_wrapped_net_is_exported_as_the_net_inside(tmp_path: Path, format: str) -> None:  # noqa: A002
    slim, out = pruned_resnet(), tmp_path / f"slim.{format}"
    report = export(nn.DataParallel(slim), out, format=format)
    assert report["max_abs_diff"] <= 1e-5
    net = load(out) if format == "safetensors" else torch.export.load(out).module()
    assert torch.allclose(net(images(2, 3, 32, 32)), slim(images(2, 3, 32, 32)), rtol=1e-5, atol=1e-5)


def test_an_onnx_file_needs_only_onnxruntime(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    model, out = build("cnngraph:mobilenet_v2", classes=3, width=0.25, seed=2).eval(), tmp_path / "net.onnx"
    report = export(model, out, format="onnx", classes=("a", "b", "c"))
    assert report["max_abs_diff"] < 1e-3
    assert report["opset"] >= 18
    session = onnxruntime.InferenceSession(str(out))
    assert [(each.name, each.shape[1:]) for each in session.get_inputs()] == [("images", [3, 32, 32])]
    assert isinstance(session.get_inputs()[0].shape[0], str)  # a name: any number of images
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == ["a", "b", "c"]
    found = session.run(["logits"], {"images": images(7, 3, 32, 32).numpy()})[0]
    assert torch.allclose(torch.from_numpy(found), model(images(7, 3, 32, 32)), rtol=1e-3, atol=1e-3)
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


class Through(nn.Module):
    """A conv, one step of the caller's, a dense layer."""

    def __init__(self, step: Callable[[Tensor], Tensor], features: int) -> None:
        super().__init__()
        self.conv, self.step, self.head = nn.Conv2d(1, 2, 3, padding=1), step, nn.Linear(features, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.step(self.conv(x)).flatten(1))


@pytest.mark.parametrize(
    ("step", "features", "noted"),
    [
        (nn.MaxPool2d(1, stride=2, ceil_mode=True), 32, True),
        (nn.MaxPool2d(1, stride=3, ceil_mode=True), 18, None),
        (nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True), 50, None),
        (nn.AvgPool2d(3, stride=2, ceil_mode=True), 32, None),
    ],
    ids=["subsampling", "by three", "padded", "average"],
)
def test_what_runs_and_equals_is_shipped(tmp_path: Path, step: nn.Module, features: int, noted: bool | None) -> None:
    """onnx's full check infers another size of ceil_mode than onnxruntime and torch: said, not refused."""
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    torch.manual_seed(0)
    report = export(Through(step, features), tmp_path / "net.onnx", format="onnx", input_shape=(1, 8, 8))
    assert report["max_abs_diff"] < 1e-5
    assert (tmp_path / "net.onnx").exists()
    if noted:
        assert "full check objects" in report["notes"][0] and "\n" not in report["notes"][0]


@pytest.mark.parametrize(
    ("step", "features", "operator"),
    [
        (nn.AdaptiveMaxPool2d((2, 3)), 12, "aten.adaptive_max_pool2d"),
        (torch.linalg.svdvals, 16, "aten._linalg_svd"),
        (lambda x: x.cummax(1).values, 128, "aten.cummax"),
        (lambda x: x.kthvalue(2, dim=-1).values, 16, "aten.kthvalue"),
    ],
    ids=["adaptive max", "singular values", "cummax", "kthvalue"],
)
def test_an_operator_without_exporter_is_named(
    tmp_path: Path, step: Callable[[Tensor], Tensor], features: int, operator: str
) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    with pytest.raises(ModelError) as caught:
        export(Through(step, features), tmp_path / "net.onnx", format="onnx", input_shape=(1, 8, 8))
    expected = f"The net cannot be exported as ONNX: No ONNX function found for {operator}."
    assert (caught.value.message, caught.value.hint) == (expected, "Export it as pt2.")
    assert not list(tmp_path.iterdir())


class Own(nn.Module):
    """A user's own net that ties two weights and has a shape of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(self.conv(x).mean((2, 3))))


def test_a_live_net_is_exported_and_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Own().double().train()
    report = export(net, tmp_path / "own.safetensors", input_shape=(2, 9, 7))
    assert report["max_abs_diff"] == 0.0
    assert net.training
    again = load(tmp_path / "own.safetensors")
    assert again.second.weight.dtype == torch.float64
    assert torch.equal(again(images(1, 2, 9, 7).double()), net(images(1, 2, 9, 7).double()))


@pytest.mark.parametrize("form", ["safetensors", "pt2"])
def test_what_is_wrapped_is_exported_as_itself(tmp_path: Path, form: str) -> None:
    net = nn.DataParallel(Own())
    report = export(net, tmp_path / "own", format=form, input_shape=(2, 9, 7))
    assert report["max_abs_diff"] <= 1e-5


def test_tied_weights_have_all_their_names(tmp_path: Path) -> None:
    export(Own(), tmp_path / "own.safetensors", input_shape=(2, 9, 7))
    assert {"first.weight", "second.weight"} <= load_file(tmp_path / "own.safetensors").keys()


class TwoAtATime(nn.Module):
    """Takes batches of two only: the size is written in the code."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).reshape(2, 3, -1).mean(2)


class Judges(TwoAtATime):
    """Chooses by what it sees."""

    def forward(self, x: Tensor) -> Tensor:
        maps = self.conv(x).mean((2, 3))
        return maps if maps.sum() > 0 else -maps


@pytest.mark.parametrize("form", ["pt2", "onnx"])
@pytest.mark.parametrize("net", [TwoAtATime, Judges])
def test_a_net_that_torch_cannot_export_says_why(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], form: str, net: type[nn.Module]
) -> None:
    if form == "onnx":
        pytest.importorskip("onnxscript", reason="needs the extra onnx")
    with pytest.raises(ModelError, match=r"torch\.export cannot take the net, for any number of images") as caught:
        export(net(), tmp_path / "net", format=form, input_shape=(1, 8, 8))
    assert "\n" not in caught.value.message
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")  # torch would print the whole graph


class Pair(TwoAtATime):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        maps = self.conv(x).mean((2, 3))
        return maps, maps


def test_a_net_with_two_outputs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no tensor but tuple"):
        export(Pair(), tmp_path / "net.pt2", format="pt2", input_shape=(1, 8, 8))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_holds_another_net_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = build("cnngraph:lenet5", classes=3, in_channels=1, width=0.5, seed=2).eval()
    right = writers.FORMATS["pt2"]

    def wrong(parcel: Parcel, path: Path) -> dict[str, Any]:
        return right(Parcel(other, parcel.input_shape, parcel.preprocessing, parcel.classes), path)

    folder = lenet(tmp_path)
    monkeypatch.setitem(writers.FORMATS, "pt2", wrong)
    with pytest.raises(VerificationError, match=r"other logits: they differ by up to .* 1e-05 of it is allowed"):
        export(folder, tmp_path / "net.pt2", format="pt2")
    assert [path.name for path in tmp_path.iterdir()] == ["lenet"]


class Lost(nn.Module):
    """Answers every image with NaN."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :3] * torch.nan


@pytest.mark.parametrize("form", ["pt2", "onnx"])
def test_a_file_that_answers_nan_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    if form == "onnx":
        pytest.importorskip("onnxscript", reason="needs the extra onnx")
    right = writers.FORMATS[form]

    def wrong(parcel: Parcel, path: Path) -> dict[str, Any]:
        return right(Parcel(Lost(), parcel.input_shape, parcel.preprocessing, parcel.classes), path)

    folder = lenet(tmp_path)
    monkeypatch.setitem(writers.FORMATS, form, wrong)
    with pytest.raises(VerificationError, match="NaN or infinite"):
        export(folder, tmp_path / "net", format=form)
    assert [path.name for path in tmp_path.iterdir()] == ["lenet"]


def test_a_file_that_nobody_can_open_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_parcel: Parcel, path: Path) -> dict[str, Any]:
        path.write_bytes(b"nothing")
        return {}

    monkeypatch.setitem(writers.FORMATS, "pt2", broken)
    with pytest.raises(VerificationError, match=r"does not run elsewhere \(pt2\)"):
        export(lenet(tmp_path), tmp_path / "net.pt2", format="pt2")
    assert [path.name for path in tmp_path.iterdir()] == ["lenet"]


def test_nothing_is_overwritten_and_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    folder = lenet(tmp_path)
    report = export(folder, tmp_path / "net.pt2", format="pt2", dry_run=True)
    assert (report["bytes"], report["max_abs_diff"], report["parameters"]) == (None, None, 15_437)
    assert [path.name for path in tmp_path.iterdir()] == ["lenet"]
    (tmp_path / "net.pt2").write_text("mine")
    with pytest.raises(ConflictError, match="exists"):
        export(folder, tmp_path / "net.pt2", format="pt2", dry_run=True)
    assert (tmp_path / "net.pt2").read_text() == "mine"


def test_wrong_names(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no format 'onx'") as caught:
        export(tmp_path, tmp_path / "net", format="onx")
    assert "onnx" in caught.value.hint
    with pytest.raises(NotFoundError, match="no saved model"):
        export(tmp_path / "none", tmp_path / "net")
    (tmp_path / "model.pt").write_bytes(b"")
    with pytest.raises(ModelError, match=r"model\.pt is empty"):
        export(tmp_path / "model.pt", tmp_path / "net")
    with pytest.raises(ModelError, match="meta device"):
        export(build("cnngraph:lenet5", classes=2).to("meta"), tmp_path / "net")


def test_without_onnx_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(CnngraphError, match="ONNX needs onnxscript") as caught:
        export(lenet(tmp_path), tmp_path / "net.onnx", format="onnx")
    assert 'pip install "cnngraph[onnx]"' in caught.value.hint


def test_the_tolerance_follows_the_precision() -> None:
    assert comparison.tolerance("safetensors", torch.float16) == 0.0
    assert comparison.tolerance("pt2", torch.float64) == comparison.tolerance("pt2", torch.float32) == 1e-5
    assert comparison.tolerance("onnx", torch.float16) == pytest.approx(8 * 2**-10)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("single")
    writers.FORMATS["safetensors"](pack_saved(lenet(folder)), folder / "net.safetensors")
    return folder / "net.safetensors"


def rewritten(source: Path, target: Path, tensors: Any = None, **metadata: Any) -> Path:
    """A copy with some tensors and some keys of the description changed; None takes a tensor out."""
    with safe_open(source, framework="pt") as file:
        known = dict(file.metadata())
    description = json.loads(known["cnngraph"])
    for path, value in metadata.items():
        *parents, last = path.split("__")
        place = description
        for parent in parents:
            place = place[parent]
        place[last] = value
    changed = load_file(source) | (tensors or {})
    kept = {name: tensor for name, tensor in changed.items() if tensor is not None}
    save_file(kept, target, metadata=known | {"cnngraph": json.dumps(description)})
    return target


NEWER = [{"version": 99}]
FOREIGN = [json.loads(Plan(removes=(Removal(layer="layer9.conv1"),)).model_dump_json())]


@pytest.mark.parametrize(
    ("tensors", "metadata", "said"),
    [
        ({"features.0.weight": torch.ones(3, 1, 5, 5)}, {}, "does not hold the weights that were saved"),
        ({"features.0.weight": None, "features.0.bias": None}, {}, r"lacks features\.0 \(weight, bias\)"),
        ({"spare": torch.ones(1)}, {}, "has unknown spare"),
        ({"features.0.bias": torch.ones(9)}, {}, r"features.0.bias is \(9,\), the net needs \(3,\)"),
        ({"features.0.bias": torch.full((3,), torch.nan)}, {}, "3 NaN or infinite values in features.0.bias"),
        ({}, {"format": 7, "cnngraph": "9.9"}, r"newer cnngraph \(9.9\): format 7"),
        ({}, {"origin__plans": NEWER}, "newer cnngraph"),
        ({}, {"origin__plans": FOREIGN}, "cannot be built again: .*layer9.conv1"),
        ({}, {"origin__architecture": "cnngraph:lenet9"}, "cannot be built again: There is no architecture"),
        ({}, {"origin__options": {"classes": -1}}, "cannot be built again: .*options"),
        ({}, {"magic": 1}, "does not describe a saved model: magic"),
    ],
)
def test_a_changed_file_says_what_is_wrong(
    single: Path, tmp_path: Path, tensors: dict[str, Any], metadata: dict[str, Any], said: str
) -> None:
    with pytest.raises(ModelError, match=said) as caught:
        read_saved(rewritten(single, tmp_path / "changed.safetensors", tensors, **metadata))
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_the_file_is_a_file_of_weights_too(single: Path) -> None:
    built = build("cnngraph:lenet5", weights=WeightsChoice(single), classes=3, in_channels=1, width=0.5).eval()
    assert torch.equal(built(images(2, 1, 32, 32)), load(single)(images(2, 1, 32, 32)))
