"""Preprocessing with literal values, batches, the cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cnngraph.datasets import images as images_module
from cnngraph.datasets.images import Images, loader
from cnngraph.datasets.picture import Picture, from_pil
from cnngraph.datasets.pixels import ArrayPixels, FilePixels, prepare
from cnngraph.errors import DataError
from cnngraph.origin import Preprocessing


def grey(count: int = 5, size: int = 2) -> ArrayPixels:
    array = np.arange(count * size * size, dtype=np.uint8).reshape(count, size, size)
    return ArrayPixels(array)


def labels(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int64)


def test_values_are_normalised() -> None:
    pixels = ArrayPixels(np.array([[[0, 255], [51, 102]]], dtype=np.uint8))
    wanted = Preprocessing(size=(2, 2), channels=1, mean=(0.2,), std=(0.4,))
    image, label = Images(pixels, labels(1), wanted)[0]
    assert torch.allclose(image, torch.tensor([[[-0.5, 2.0], [0.0, 0.5]]]), atol=1e-6)
    assert (label, type(label)) == (0, int)


def test_grey_images_are_repeated_with_each_channels_mean() -> None:
    wanted = Preprocessing(size=(2, 2), channels=3, mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 1.0))
    image, _ = Images(ArrayPixels(np.full((1, 2, 2), 255, dtype=np.uint8)), labels(1), wanted)[0]
    assert image.shape == (3, 2, 2)
    assert torch.allclose(image.mean(dim=(1, 2)), torch.tensor([1.0, 1.0, 0.0]))


def test_colour_becomes_grey_by_the_mean() -> None:
    picture = Image.new("RGB", (2, 2), (30, 60, 93))
    assert prepare(Picture(picture), Preprocessing(size=(2, 2), channels=1), 1).tolist() == [[[61, 61], [61, 61]]]


def test_sixteen_bit_pictures_keep_their_range() -> None:
    picture = Image.fromarray(np.array([[0, 65535], [32768, 256]], dtype=np.uint16))
    found = prepare(from_pil(picture), Preprocessing(size=(2, 2), channels=1), 1)
    assert np.allclose(found * 65535, [[[0, 65535], [32768, 256]]], atol=0.01)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "LAB"])
def test_every_mode_of_picture_is_read(mode: str) -> None:
    array = prepare(from_pil(Image.new(mode, (6, 4))), Preprocessing(size=(3, 3)), 3)
    assert (array.shape, array.dtype) == ((3, 3, 3), np.uint8)


def test_resize_and_centre_crop() -> None:
    columns = np.tile(np.arange(8, dtype=np.uint8) * 10, (4, 1))  # 4 high, 8 wide
    picture = Picture(Image.fromarray(columns))
    cropped = prepare(picture, Preprocessing(size=(2, 2), channels=1, resize=4), 1)
    assert cropped.tolist() == [[[30, 40], [30, 40]]]
    squeezed = prepare(picture, Preprocessing(size=(2, 4), channels=1), 1)
    assert squeezed.shape == (1, 2, 4)


def test_batches_keep_order_and_can_be_repeated() -> None:
    images = Images(grey(), labels(5), Preprocessing(size=(2, 2), channels=1))
    batches = loader(images, batch_size=2)
    for _ in range(2):
        found = [batch_labels.tolist() for _, batch_labels in batches]
        assert found == [[0, 1], [2, 3], [4]]
    pictures, _ = next(iter(batches))
    assert (pictures.shape, pictures.dtype, len(batches)) == ((2, 1, 2, 2), torch.float32, 3)


def test_shuffled_orders_follow_from_the_seed() -> None:
    images = Images(grey(), labels(5), Preprocessing(size=(2, 2), channels=1))

    def orders(seed: int) -> list[list[int]]:
        batches = loader(images, batch_size=5, shuffle=True, seed=seed)
        return [batch_labels.tolist() for _ in range(3) for _, batch_labels in batches]

    assert orders(1) == orders(1) != orders(2)
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders(1))


@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(2, [2, 2]), (4, [4]), (3, [3, 2]), (5, [5]), (9, [5]), (1, [1] * 5)]
)
def test_a_last_batch_of_one_is_left_out_in_training(batch_size: int, sizes: list[int]) -> None:
    images = Images(grey(), labels(5), Preprocessing(size=(2, 2), channels=1))
    batches = loader(images, batch_size=batch_size, for_training=True)
    assert [len(found) for _, found in batches] == sizes


def test_the_cache_changes_nothing() -> None:
    wanted = Preprocessing(size=(3, 3), channels=1)
    plain, cached = Images(grey(), labels(5), wanted), Images(grey(), labels(5), wanted)
    cached.preload()
    rows = [4, 0, 2]
    assert torch.equal(plain[rows][0], cached[rows][0])
    assert torch.equal(plain.take(rows)[[0, 1, 2]][0], cached.take(rows)[[0, 1, 2]][0])
    assert cached.take(rows).labels.tolist() == cached[rows][1].tolist() == rows


def test_images_beyond_the_budget_are_decoded_when_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images_module, "CACHE_BYTES", 10)
    images = Images(grey(), labels(5), Preprocessing(size=(2, 2), channels=1))
    images.preload()
    assert images._cache is None
    assert images[[1, 2]][0].shape == (2, 1, 2, 2)


def test_an_index_out_of_range_ends_iteration() -> None:
    images = Images(grey(), labels(5), Preprocessing(size=(2, 2), channels=1))
    assert len(list(images)) == 5
    with pytest.raises(IndexError):
        images[5]


def test_nets_of_other_channels_are_refused_colour() -> None:
    with pytest.raises(DataError, match="reads 4 channels"):
        Images(ArrayPixels(np.zeros((1, 2, 2, 3), np.uint8)), labels(1), Preprocessing(size=(2, 2), channels=4))
    image, _ = Images(grey(), labels(5), Preprocessing(size=(2, 2), channels=4))[0]
    assert image.shape == (4, 2, 2)


def test_broken_files_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    paths = []
    for place in range(4):
        path = tmp_path / f"image_{place}.png"
        Image.new("RGB", (8, 8)).save(path)
        paths.append(path)
    whole = paths[1].read_bytes()
    paths[1].write_bytes(whole[: len(whole) - 30])
    paths[2].write_bytes(b"")
    images = Images(FilePixels(paths), labels(4), Preprocessing(size=(4, 4)))
    with pytest.raises(DataError, match=r"image_1.png is no readable image: .* 2 of 4 images are broken\."):
        images.preload()
    with pytest.raises(DataError, match=r"image_2.png is no readable image"):
        images[2]
    assert images[0][0].shape == (3, 4, 4)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".bmp", ".tif", ".webp", ".ppm"])
@pytest.mark.parametrize("kept", [0, 3, 20, 200])
def test_a_truncated_file_of_any_format_is_a_data_error(tmp_path: Path, suffix: str, kept: int) -> None:
    path = tmp_path / f"image{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match=f"image{suffix} is no readable image"):
        FilePixels([path]).picture(0)
