"""What a file is by its first bytes, whatever it is called, and what is said where it is not read."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file
from torch import nn

from cnngraph.errors import ModelError, NotFoundError
from cnngraph.models.file_kinds import identify
from cnngraph.models.misnamed import is_path, not_a_model, not_a_name
from cnngraph.models.weight_files import require_file, require_kind
from cnngraph.models.weights import load_weights, read_weights


def zipped(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("inner/weights.pt"))
    return out.getvalue()


def arrays() -> bytes:
    out = io.BytesIO()
    np.savez(out, a=np.zeros(3))
    return out.getvalue()


def stored(content: object, *, zip_file: bool = True) -> bytes:
    out = io.BytesIO()
    torch.save(content, out, _use_new_zipfile_serialization=zip_file)
    return out.getvalue()


STATE = nn.Linear(2, 2).state_dict()
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 123456\n"
OTHERS = [
    (b"", "is empty"),
    (bytes(5000), "nothing but zeros"),
    (LFS, "is a git-lfs pointer, not the weights themselves"),
    (b"/annex/objects/SHA256E-s3--0", "git-annex pointer"),
    (b"<!DOCTYPE html><html><body>Quota exceeded</body></html>", "a web page, not the weights"),
    (b"\n\n  <html lang='en'>", "a web page"),
    (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML text"),
    (b'{"error": "Repository not found"}', "a JSON text"),
    (b'{"model_type": "resnet"}', "configuration of a Hugging Face model"),
    (b"404: Not Found", "a text that begins '404: Not Found'"),
    (b"\x08\x07\x12\x07pytorch" + bytes(99), "an ONNX model"),
    (b"\x08\x0a\x3a\x83\x01", "an ONNX model"),
    (b"\x08\x05\x12\x10\x0a\x0e", "Core ML"),
    (b"\x0a\x0eVGG_ILSVRC_net\x12", "a Caffe model"),
    (b"\x0a\x11\x0a\x05input\x12", "a TensorFlow graph"),
    (b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
    (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file"),
    (zipped(**{"config.json": b"{}", "model.weights.h5": b""}), "a Keras model"),
    (arrays(), "an archive of NumPy arrays"),
    (b"\x93NUMPY\x01\0", "one NumPy array"),
    (zipped(**{"readme.txt": b"x"}), "a zip archive of readme.txt"),
    (zipped(**{"[Content_Types].xml": b""}), "an Office document"),
    (stored(STATE)[:300], "a file of torch.save that is cut off"),
    (tarred(), "a tar archive of inner/weights.pt"),
    (gzip.compress(stored(STATE)), "packed with gzip"),
    (bz2.compress(b"x"), "packed with bzip2"),
    (lzma.compress(b"x"), "packed with xz"),
    (b"\x28\xb5\x2f\xfd\0", "packed with zstd"),
    (b"7z\xbc\xaf\x27\x1c", "packed with 7-Zip"),
    (b"Rar!\x1a\x07\x01\0", "packed with RAR"),
    (b"GGUF\x03\0\0\0", "a GGUF file"),
    (b"%PDF-1.7", "a PDF document"),
    (b"\x89PNG\r\n\x1a\n\0", "a PNG image"),
    (b"\xff\xd8\xff\xe0", "a JPEG image"),
    (struct.pack("<iiii", 0, 2, 0, 32), "Darknet"),
    (pickle.dumps({"a": 1}), "a pickle of Python objects"),
    (pickle.dumps({"a": 1}, protocol=0), "a pickle of Python objects"),
    (save(STATE)[:30], "its header is longer than the file"),
    (b"\xfe\xdc\xba\x98\x76", "unknown kind that begins with the bytes fe dc ba 98 76"),
]


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ""])
@pytest.mark.parametrize(("content", "said"), OTHERS, ids=[said for _, said in OTHERS])
def test_what_is_no_weights_file_is_named_with_what_to_do(
    tmp_path: Path, content: bytes, said: str, suffix: str
) -> None:
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    for named in (read_weights, not_a_model, not_a_name):
        try:
            error = named(path)
        except ModelError as raised:
            error = raised
        assert isinstance(error, ModelError)
        assert said in error.message, error.message
        assert error.message.startswith(f"{path} is ")
        assert error.hint
        assert "\n" not in str(error)
        assert "weights_only" not in str(error)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors", "w.bin", "w.onnx", "weights"])
@pytest.mark.parametrize(
    "content", [save(STATE), stored(STATE), stored(STATE, zip_file=False)], ids=["st", "zip", "old"]
)
def test_weights_are_read_under_any_name(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    net = nn.Linear(2, 2)
    load_weights(net, tmp_path / name)
    assert torch.equal(net.weight, STATE["weight"])


def test_a_header_whose_length_begins_as_another_format_is_safetensors(tmp_path: Path) -> None:
    """BM is a bitmap, PK a zip archive, MZ a program; as a number they are lengths of headers."""
    for letters in (b"BM", b"PK", b"MZ"):
        length = int.from_bytes(letters, "little")
        header = json.dumps({"__metadata__": {}}).encode()
        content = length.to_bytes(8, "little") + header + b" " * (length - len(header))
        (tmp_path / "file").write_bytes(content)
        assert identify(tmp_path / "file").reader == "safetensors"


def test_torchscript_and_exported_programs_are_named(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(2, 2))
    program = torch.export.export(net, (torch.zeros(2, 2),))
    torch.export.save(program, tmp_path / "net.pt2")
    (tmp_path / "net.pt2").rename(tmp_path / "exported.pt")
    (tmp_path / "script.pt").write_bytes(zipped(**{"x/data.pkl": b"", "x/code/a.py": b"", "x/constants.pkl": b""}))
    with pytest.raises(ModelError, match=r"a program of torch\.export"):
        require_kind(tmp_path / "exported.pt")
    with pytest.raises(ModelError, match="a TorchScript program"):
        require_kind(tmp_path / "script.pt")


class TestParts:
    """Weights in several files with an index, as Hugging Face writes them."""

    @pytest.fixture
    def net(self) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2))

    @pytest.fixture(params=["model.safetensors", "pytorch_model.bin"])
    def index(self, request: pytest.FixtureRequest, net: nn.Module, tmp_path: Path) -> Path:
        named: dict[str, str] = {}
        for name, value in net.state_dict().items():
            part = f"part-{name[0]}.{request.param}"
            named[name] = part
            held = {key: other for key, other in net.state_dict().items() if key[0] == name[0]}
            if part.endswith("safetensors"):
                save_file(held, tmp_path / part)
            else:
                torch.save(held, tmp_path / part)
            assert value is not None
        path = tmp_path / f"{request.param}.index.json"
        path.write_text(json.dumps({"metadata": {}, "weight_map": named}), encoding="utf-8")
        return path

    def test_all_parts_are_read_from_the_index_or_its_folder(self, net: nn.Module, index: Path) -> None:
        for path in (index, index.parent):
            loaded = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2))
            load_weights(loaded, path)
            assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in net.state_dict().items())

    def test_a_part_that_is_not_there_is_named(self, index: Path) -> None:
        part = next(index.parent.glob("part-1.*"))
        part.unlink()
        with pytest.raises(ModelError, match=part.name):
            read_weights(index)

    @pytest.mark.parametrize("name", ["../w.pt", "/etc/passwd", "a/b", "..", ".", "", "a\\b", 3, None])
    def test_a_part_elsewhere_is_refused(self, tmp_path: Path, name: object) -> None:
        (tmp_path / "i.json").write_text(json.dumps({"weight_map": {"a": name}}), encoding="utf-8")
        with pytest.raises(ModelError, match="which is no file beside it"):
            read_weights(tmp_path / "i.json")

    def test_an_index_of_indexes_or_of_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "i.json").write_text(json.dumps({"weight_map": {"a": "i.json"}}), encoding="utf-8")
        with pytest.raises(ModelError, match="an index itself"):
            read_weights(tmp_path / "i.json")
        (tmp_path / "i.json").write_text(json.dumps({"weight_map": {}}), encoding="utf-8")
        with pytest.raises(ModelError, match="names no file"):
            read_weights(tmp_path / "i.json")


def test_what_a_folder_is(tmp_path: Path) -> None:
    def folder(name: str, **files: str) -> Path:
        (tmp_path / name).mkdir()
        for file, content in files.items():
            (tmp_path / name / file).write_text(content, encoding="utf-8")
        return tmp_path / name

    timm = folder("timm", **{"config.json": '{"architecture": "resnet18"}', "model.safetensors": ""})
    assert "Hugging Face model of resnet18" in not_a_model(timm).message
    assert f"timm:resnet18 --weights {timm / 'model.safetensors'}" in not_a_model(timm).hint
    hub = folder(
        "hub", **{"config.json": '{"architectures": ["ResNetForImageClassification"]}', "pytorch_model.bin": ""}
    )
    assert "ResNetForImageClassification" in not_a_model(hub).message
    assert f"--weights {hub / 'pytorch_model.bin'}" in not_a_model(hub).hint
    assert "cnngraph ingest" in not_a_model(folder("bundle", **{"network.json": "{}"})).hint
    assert "SavedModel" in not_a_model(folder("tf", **{"saved_model.pb": ""})).message
    assert "dcp_to_torch" in not_a_model(folder("dcp", **{".metadata": "", "__0_0.distcp": ""})).hint
    assert "--data folder:" in not_a_model(folder("images", **{"a.png": ""})).hint
    assert "but last.ckpt" in not_a_model(folder("run", **{"last.ckpt": ""})).message
    inner = folder("outer") / "model"
    inner.mkdir()
    (inner / "model.json").write_text("{}", encoding="utf-8")
    assert str(inner) in not_a_model(tmp_path / "outer").hint
    assert "a part of a saved model" in not_a_model(inner / "model.json").message
    assert "no model.json" in not_a_model(folder("bare")).message
    assert isinstance(not_a_model(tmp_path / "gone.pt"), NotFoundError)


def test_a_folder_of_one_file_of_weights_says_its_name(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(stored(STATE))
    with pytest.raises(ModelError, match="is a folder") as refused:
        require_file(tmp_path)
    assert "last.ckpt" in refused.value.hint


def test_python_code_is_named_with_how_to_give_it(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text("import torch\n", encoding="utf-8")
    error = not_a_model(tmp_path / "nets.py")
    assert "Python code" in error.message
    assert "python:nets:FACTORY" in error.hint


def test_how_weights_are_given_is_said(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(stored(STATE))
    error = not_a_model(tmp_path / "w.pt")
    assert "not a saved model" in error.message
    assert f"python:FACTORY --weights {tmp_path / 'w.pt'}" in error.hint
    assert f"torchvision:NAME --weights {tmp_path / 'w.pt'}" in error.hint


def test_names_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain").write_text("x", encoding="utf-8")
    for path in ("a/b", "./x", "~/x", "x.pt", "x.ckpt", "x.onnx", "plain", "x.PTH"):
        assert is_path(path), path
    for name in ("vgg16", "cnngraph:vgg16", "torchvision:x", "timm:hf/x.pt", "python:a.b:c", "resnet50.a1_in1k"):
        assert not is_path(name), name


def test_nothing_of_it_imports_torch(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(LFS)
    code = (
        "import sys; from pathlib import Path; from cnngraph.models.misnamed import not_a_model\n"
        f"assert 'git-lfs' in str(not_a_model(Path({str(tmp_path / 'w.pt')!r})))\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
