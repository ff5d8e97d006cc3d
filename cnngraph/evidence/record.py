"""What a pass found, kept in a folder and read from there filter by filter."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cnngraph.errors import ModelError, NotFoundError, nearest
from cnngraph.evidence.fields import Box, Fields, is_empty
from cnngraph.evidence.occurrence import places_of
from cnngraph.files import write_text

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cnngraph.datasets.images import Images
    from cnngraph.evidence.collect import Collected

__all__ = ["DESCRIPTION", "About", "Evidence", "Looked", "TopImage", "Twin", "write_evidence"]

DESCRIPTION = "evidence.json"  # written last: with it the folder is whole
_ARRAYS = "arrays.npz"


@dataclass(frozen=True)
class TopImage:
    """An image that excites a filter.

    Attributes:
        image_index: its number in the part that was looked at, for :meth:`Evidence.image`.
        value: the filter's largest response to it. place: row and column where that is.
        box: what that place looks at, (top, left, bottom, right) in pixels of the input; bottom and right lie outside.
            There is no pixel in it where the place sees padding alone.
        label: the name of its class.
    """

    image_index: int
    value: float
    place: tuple[int, int]
    box: Box
    label: str


@dataclass(frozen=True)
class Twin:
    """A filter of the same layer that answers alike: correlation of the responses, -1..1, over places and images."""

    layer: str
    channel: int
    correlation: float


@dataclass(frozen=True)
class Looked:
    """The net and the images that the evidence is of."""

    model: nn.Module
    images: Images


class Evidence:
    """What is known of the filters of one net by the images of one part of its data.

    Attributes:
        folder: where it is kept. layers: the conv layers, in network order. classes: names by label.
        part: of the data. images: how many. images_of: by class. in_colour: whether any image is more than grey.
    """

    def __init__(self, folder: Path, look: Callable[[], Looked]) -> None:
        """Args: ``look`` opens net and images when a picture is asked for.

        Raises:
            ModelError: the folder is damaged.
        """
        self.folder, self._look = folder, look
        try:
            about = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
            self.layers: tuple[str, ...] = tuple(about["layers"])
            self.classes: tuple[str, ...] = tuple(about["classes"])
            self.part, self.images, self.in_colour = str(about["part"]), int(about["images"]), bool(about["in_colour"])
            self.images_of: tuple[int, ...] = tuple(about["images_of"])
            self._shapes: dict[str, tuple[int, int, int]] = {
                layer: tuple(shape) for layer, shape in about["shapes"].items()
            }
            self._blocks: dict[str, int] = about["blocks"]
            self._reading = frozenset(about["reading_image"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"The evidence in {folder} is damaged.", "Delete the folder; it is made again.") from error

    def filters(self, layer: str) -> int:
        """How many filters a layer has."""
        return int(self._shape(layer)[0])

    def top_images(self, layer: str, channel: int) -> list[TopImage]:
        """The images that excite a filter most, largest first; none where it never answers above 0.

        Raises:
            NotFoundError: there is no such layer or filter.
        """
        place = self._place(layer, channel)
        arrays, (_, _, width) = self._arrays, self._shape(layer)
        columns = (arrays[f"{what}-{place}"][channel].tolist() for what in ("values", "images", "places", "labels"))
        fields = Fields(arrays[f"rows-{place}"], arrays[f"columns-{place}"])
        found = []
        for value, image, at, label in zip(*columns, strict=True):
            if image >= 0:
                row, column = divmod(at, width)
                found.append(TopImage(image, value, (row, column), fields.box(row, column), self.classes[label]))
        return found

    def occurrence(self, layer: str, channel: int) -> npt.NDArray[np.float64]:
        """P(activation > 0 | class, position), 0..1, of shape (classes, height, width).

        NaN for a class without images. Of large maps neighbouring places share one number: see :meth:`block`.

        Raises:
            NotFoundError: there is no such layer or filter.
        """
        counts = np.load(self.folder / f"occurrence-{self._place(layer, channel)}.npy", mmap_mode="r")[channel]
        chances = places_of(self._shape(layer), self._blocks[layer]) * np.array(self.images_of)[:, None, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(chances > 0, counts / chances, np.nan)

    def block(self, layer: str) -> int:
        """How many rows and columns of a layer's response share one number in :meth:`occurrence`; mostly 1."""
        self._shape(layer)
        return self._blocks[layer]

    def twins(self, layer: str, channel: int) -> list[Twin]:
        """The filters of the layer that answer most alike, strongest correlation (of either sign) first.

        Raises:
            NotFoundError: there is no such layer or filter.
        """
        place = self._place(layer, channel)
        arrays = self._arrays
        layers, channels, correlation = (arrays[f"twin_{what}"] for what in ("layers", "channels", "correlation"))
        found = []
        for mine, other in ((0, 1), (1, 0)):
            rows = np.flatnonzero((layers == place) & (channels[:, mine] == channel))
            found += [Twin(layer, int(channels[row, other]), float(correlation[row])) for row in rows]
        return sorted(found, key=lambda twin: (-abs(twin.correlation), twin.channel))

    def kernel_picture(self, layer: str, channel: int) -> bytes | None:
        """The weights of a filter as PNG; ``None`` where they are no picture (1 x 1), or the layer makes its weights.

        Raises:
            NotFoundError: there is no such layer or filter.
        """
        from cnngraph.evidence.pictures import kernel_picture

        self._place(layer, channel)
        kernel = self.kernel(layer, channel)
        return None if kernel is None else kernel_picture(kernel, reads_image=layer in self._reading)

    def kernel(self, layer: str, channel: int) -> Tensor | None:
        """The weights of a filter, (channels, height, width); ``None`` where no module holds them."""
        from cnngraph.evidence.kernels import kernels_of

        self._place(layer, channel)
        kernels = kernels_of(self._looked.model, layer)
        return None if kernels is None or len(kernels) != self.filters(layer) else kernels[channel]

    def answers_to_colour(self, layer: str) -> npt.NDArray[np.float64]:
        """By filter the share of its answers that goes with colour, see :mod:`cnngraph.evidence.colour`; NaN: none.

        The top images of the layer run once more, in grey; what comes out is kept.

        Raises:
            NotFoundError: there is no such layer. DataError: its images cannot be read any more.
        """
        place = self._place(layer, 0)
        kept = self.folder / f"colour-{place}.npy"
        if not kept.is_file():
            from cnngraph.evidence.colour import Excited, answers_to_colour
            from cnngraph.network.followed_net import FollowedNet

            images = self._looked.images
            height, width = images.preprocessing.size
            followed = FollowedNet(self._looked.model, (images.preprocessing.channels, height, width))
            excited = Excited(*(self._arrays[f"{what}-{place}"] for what in ("values", "images", "places")))
            part = kept.with_name(f".{kept.name}.{os.getpid()}.npy")
            np.save(part, answers_to_colour(followed, layer, images, excited))
            part.replace(kept)
        found: npt.NDArray[np.float64] = np.load(kept)
        return found

    def image(self, index: int, box: Box | None = None) -> bytes:
        """An image as the net sees it, as PNG; ``box``: that part of it alone.

        Raises:
            NotFoundError: there is no image of that number, or no pixel in the box: that of a place that sees padding.
            DataError: its file cannot be read any more.
        """
        from cnngraph.evidence.pictures import picture_of_image

        if not 0 <= index < self.images:
            raise NotFoundError(f"There is no image {index}.", f"They are numbered 0 to {self.images - 1}.")
        if box is not None and is_empty(box):
            raise NotFoundError(f"There is no pixel of image {index} in the box {box}: it lies in the padding.")
        images = self._looked.images
        return picture_of_image(images[index][0], images.preprocessing, box)

    def reads_image(self, layer: str) -> bool:
        """Whether the filters of the layer look at the image itself."""
        self._shape(layer)
        return layer in self._reading

    @property
    def looked(self) -> Looked:
        """The net and the images, opened."""
        return self._looked

    @cached_property
    def _looked(self) -> Looked:
        return self._look()

    @cached_property
    def _arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        with np.load(self.folder / _ARRAYS) as content:
            return {name: content[name] for name in content.files}

    def _shape(self, layer: str) -> tuple[int, int, int]:
        if layer not in self._shapes:
            raise NotFoundError(f"There is no evidence of a layer {layer!r}.", nearest(layer, self.layers))
        return self._shapes[layer]

    def _place(self, layer: str, channel: int) -> int:
        filters = self.filters(layer)
        if not 0 <= channel < filters:
            raise NotFoundError(f"{layer} has no filter {channel}.", f"They are numbered 0 to {filters - 1}.")
        return self.layers.index(layer)


@dataclass(frozen=True)
class About:
    """What a pass was made of.

    Attributes:
        classes: names by label. part: of the data. labels: of its images.
        reading: the layers that look at the image itself.
    """

    classes: Sequence[str]
    part: str
    labels: npt.NDArray[np.int64]
    reading: Sequence[str]


def write_evidence(collected: Collected, folder: Path, about: About) -> None:
    """Write what a pass found; the description comes last, so that half a folder is never taken for evidence."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, npt.NDArray[Any]] = {
        "twin_layers": collected.twins.layers,
        "twin_channels": collected.twins.channels,
        "twin_correlation": collected.twins.correlation,
    }
    for place, layer in enumerate(collected.layers.values()):
        arrays |= {f"values-{place}": layer.values, f"images-{place}": layer.images, f"places-{place}": layer.places}
        arrays[f"labels-{place}"] = about.labels[layer.images]
        arrays |= {f"rows-{place}": layer.fields.rows, f"columns-{place}": layer.fields.columns}
        np.save(folder / f"occurrence-{place}.npy", layer.counts)
    np.savez(folder / _ARRAYS, **arrays)  # type: ignore[arg-type]
    description = {
        "layers": list(collected.layers),
        "shapes": {name: layer.shape for name, layer in collected.layers.items()},
        "blocks": {name: layer.block for name, layer in collected.layers.items()},
        "reading_image": list(about.reading),
        "classes": list(about.classes),
        "part": about.part,
        "images": int(collected.images_of.sum()),
        "images_of": collected.images_of.tolist(),
        "in_colour": collected.in_colour,
    }
    write_text(folder / DESCRIPTION, json.dumps(description, indent=2))
