"""Data sets by name: digits, real MNIST files, and torchvision's loaders on small files in their own formats."""

from __future__ import annotations

import pickle
import shutil
import socket
import struct
import tarfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image
from sklearn.datasets import load_digits

from cnngraph.datasets import digits
from cnngraph.datasets.registry import Subset, known_data, open_data
from cnngraph.errors import DataError, NotFoundError
from cnngraph.origin import Preprocessing

GREY = Preprocessing(size=(28, 28), channels=1)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reaches the network."""

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise OSError("the network is out of reach")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def write_idx(path: Path, array: np.ndarray) -> None:
    """MNIST's format: two zeros, 8 for uint8, the number of axes, their lengths, the values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(head + array.astype(np.uint8).tobytes())


def write_mnist(root: Path, folder: str = "MNIST") -> None:
    for part, count in (("train", 40), ("t10k", 20)):
        values = np.random.default_rng(0).integers(0, 256, (count, 28, 28))
        write_idx(root / folder / "raw" / f"{part}-images-idx3-ubyte", values)
        write_idx(root / folder / "raw" / f"{part}-labels-idx1-ubyte", np.arange(count) % 10)


def test_the_names() -> None:
    assert known_data() == ["digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "svhn", "caltech101"]
    with pytest.raises(NotFoundError) as caught:
        open_data("minst", preprocessing=GREY)
    assert caught.value.hint == "Did you mean mnist?"


def test_digits_come_with_scikit_learn() -> None:
    data = open_data("digits", preprocessing=Preprocessing(size=(8, 8), channels=1, mean=(0.0,), std=(1.0,)))
    assert [len(part) for part in (data.train, data.validation, data.test)] == [1267, 181, 349]
    assert data.classes == [str(digit) for digit in range(10)]
    assert data.channels == 1
    assert float(data.train[range(len(data.train))][0].max()) == 1.0


def test_digits_are_those_of_scikit_learn_wherever_it_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = load_digits()
    for found in (find_spec, lambda _: None):
        monkeypatch.setattr(digits, "find_spec", found)
        rows = digits._rows()
        assert np.array_equal(rows[:, :-1], wanted.data)
        assert np.array_equal(rows[:, -1], wanted.target)


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_the_mnist_family_is_read(tmp_path: Path, name: str, folder: str) -> None:
    write_mnist(tmp_path, folder)
    data = open_data(name, root=tmp_path, preprocessing=GREY)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [30, 10, 20]
    assert (len(data.classes), data.channels) == (10, 1)


def test_real_mnist_is_unpacked_from_its_four_files(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(shared / "data" / "MNIST", tmp_path / "MNIST", copy_function=shutil.copy)
    for path in [tmp_path / "MNIST", *(tmp_path / "MNIST").rglob("*")]:
        path.chmod(0o755)
    data = open_data("mnist", subset=Subset(limit=100), root=tmp_path, preprocessing=GREY)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [100, 100, 100]
    assert set(np.bincount(data.train.labels).tolist()) <= {9, 10, 11}
    assert capsys.readouterr().out == ""


def test_mnist_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NotFoundError, match=r"mnist is not in .* and could not be fetched") as caught:
        open_data("mnist", root=tmp_path, preprocessing=GREY)
    assert "--data-root" in caught.value.hint
    assert capsys.readouterr().out == ""


def test_broken_mnist_files(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"mnist in .* cannot be read"):
        open_data("mnist", root=tmp_path, preprocessing=GREY)


def test_cifar_is_read_in_its_own_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    values = np.random.default_rng(0).integers(0, 256, (20, 3072)).astype(np.uint8)
    batch = {"data": values, "labels": (np.arange(20) % 10).tolist()}
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"kind {place}" for place in range(10)]}))
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_args: True)
    plain = Preprocessing(size=(32, 32), mean=(0.0,), std=(1 / 255,))
    data = open_data("cifar10", root=tmp_path, preprocessing=plain)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [89, 11, 20]
    assert (data.classes[3], data.channels) == ("kind 3", 3)
    assert np.allclose(data.test[0][0].numpy().ravel(), values[0], atol=1e-3)


def test_svhn_is_read_in_its_own_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 30)).astype(np.uint8)
    for part in ("train", "test"):
        labels = (np.arange(30) % 10 + 1)[:, None]  # the file calls the digit 0 a 10
        scipy.io.savemat(tmp_path / f"{part}_32x32.mat", {"X": values, "y": labels})
    monkeypatch.setattr("torchvision.datasets.svhn.check_integrity", lambda *_args: True)
    plain = Preprocessing(size=(32, 32), mean=(0.0,), std=(1 / 255,))
    data = open_data("svhn", root=tmp_path, preprocessing=plain)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [20, 10, 30]
    assert np.allclose(data.test[0][0].numpy(), values[..., 0].transpose(2, 0, 1), atol=1e-3)
    assert data.test.labels[9] == 0


def test_caltech101_is_read_without_its_background(tmp_path: Path) -> None:
    for kind in ("BACKGROUND_Google", "ant", "bass"):
        folder = tmp_path / "caltech101" / "101_ObjectCategories" / kind
        folder.mkdir(parents=True)
        for number in range(1, 11):
            Image.new("RGB", (20, 10), (number, 0, 0)).save(folder / f"image_{number:04d}.jpg")
    (tmp_path / "caltech101" / "Annotations").mkdir()
    data = open_data("caltech101", root=tmp_path, preprocessing=Preprocessing(size=(8, 8)))
    assert data.classes == ["ant", "bass"]
    assert [len(part) for part in (data.train, data.validation, data.test)] == [15, 2, 3]


@pytest.mark.parametrize("name", ["fashion-mnist", "cifar10", "cifar100", "svhn", "caltech101"])
def test_a_set_that_is_not_there_is_not_found(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFoundError, match=f"{name} is not in"):
        open_data(name, root=tmp_path, preprocessing=GREY)


def test_real_cifar10_is_read_as_a_folder(shared: Path, tmp_path: Path) -> None:
    kinds = ("cat", "frog")
    with tarfile.open(shared / "data" / "cifar10-jpeg.tar.gz") as archive:
        members = [
            m for m in archive if m.isfile() and m.name.split("/")[-2] in kinds and int(Path(m.name).stem) % 50 == 0
        ]
        archive.extractall(tmp_path, members, filter="data")
    data = open_data("folder:cifar10", root=tmp_path, preprocessing=Preprocessing(size=(32, 32)))
    assert data.classes == list(kinds)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [178, 22, 40]


def test_real_caltech101_is_read_as_a_folder(shared: Path, tmp_path: Path) -> None:
    with tarfile.open(shared / "data" / "caltech101-96.tar") as archive:
        members = [m for m in archive if m.isfile() and m.name.split("/")[1] in ("anchor", "ant")]
        archive.extractall(tmp_path, members, filter="data")
    data = open_data("folder:caltech101-96", root=tmp_path, preprocessing=Preprocessing(size=(64, 64)))
    assert data.classes == ["anchor", "ant"]
    assert [len(part) for part in (data.train, data.validation, data.test)] == [61, 10, 13]
