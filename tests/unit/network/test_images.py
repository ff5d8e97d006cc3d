"""Which images of a loader are taken, and what they are counted as."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from cnngraph.errors import DataError
from cnngraph.network.images import LabelledImages


def loader(labels: list[int], batch: int = 2) -> list[tuple[Tensor, Tensor]]:
    images = torch.arange(float(len(labels))).view(-1, 1, 1, 1)
    return list(zip(images.split(batch), torch.tensor(labels).split(batch), strict=True))


def taken(images: LabelledImages, places: list[int] | None = None) -> list[tuple[int, int]]:
    return [
        (int(value), int(place))
        for batch, where in images.batches(places)
        for value, place in zip(batch.flatten().tolist(), where.tolist(), strict=True)
    ]


def test_labels_that_occur_are_the_classes() -> None:
    images = LabelledImages(loader([5, 2, 5, 9]))
    assert images.classes == ["2", "5", "9"]
    assert taken(images) == [(0, 1), (1, 0), (2, 1), (3, 2)]
    assert images.counts.tolist() == [1, 2, 1] and images.shape == (1, 1, 1)


def test_the_first_images_of_each_class_are_taken() -> None:
    images = LabelledImages(loader([0, 0, 0, 1, 1, 0]), images_per_class=2)
    assert taken(images) == [(0, 0), (1, 0), (3, 1), (4, 1)] and images.total == 4
    images.require_every_class()


def test_reading_stops_when_every_class_is_full() -> None:
    read = []

    class Counting(list[tuple[Tensor, Tensor]]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            for batch in super().__iter__():
                read.append(1)
                yield batch

    images = LabelledImages(Counting(loader([0, 1] * 10)), classes=["a", "b"], images_per_class=2)
    read.clear()
    assert len(taken(images)) == 4
    assert len(read) == 3


def test_other_classes_are_passed_over() -> None:
    images = LabelledImages(loader([0, 1, 2, 2, 1]), classes=["a", "b", "c"], only_classes=["c", 0])
    assert images.classes == ["a", "c"]
    assert taken(images) == [(0, 0), (2, 1), (3, 1)]


def test_classes_can_be_read_one_after_the_other() -> None:
    images = LabelledImages(loader([0, 1, 0, 1, 0]), classes=["a", "b"])
    assert taken(images, [1]) == [(1, 1), (3, 1)]
    assert taken(images, [0]) == [(0, 0), (2, 0), (4, 0)]
    assert images.counts.tolist() == [3, 2]


def test_the_hash_knows_images_and_classes_but_no_order() -> None:
    def hashed(labels: list[int], batch: int, reverse: bool = False) -> str:
        given = loader(labels, batch)
        images = LabelledImages(given[::-1] if reverse else given, classes=["a", "b"])
        taken(images)
        return images.sha256

    assert hashed([0, 1, 0, 1], 2) == hashed([0, 1, 0, 1], 1) == hashed([0, 1, 0, 1], 1, reverse=True)
    assert hashed([0, 1, 0, 1], 2) != hashed([0, 1, 1, 0], 2)


def test_a_data_loader_is_read_as_it_is() -> None:
    data = TensorDataset(torch.zeros(5, 1, 2, 2), torch.tensor([0, 1, 0, 1, 0]))
    images = LabelledImages(DataLoader(data, batch_size=2))
    assert images.total == 5 and len(taken_shapes(images)) == 3


def taken_shapes(images: LabelledImages) -> list[tuple[int, ...]]:
    return [tuple(batch.shape) for batch, _ in images.batches()]


def test_images_that_are_no_numbers_are_refused() -> None:
    images = LabelledImages([(torch.tensor([float("nan")]).view(1, 1, 1, 1), torch.tensor([0]))], classes=["ant"])
    with pytest.raises(DataError, match="class 'ant'"):
        taken(images)
