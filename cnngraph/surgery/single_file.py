"""A saved model in one safetensors file: the weights, and in the file's metadata everything else.

Any program that reads safetensors finds the tensors by name, and in the metadata ``preprocessing`` and ``classes`` as
JSON; ``cnngraph`` holds the whole description, from which the structure is built again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from cnngraph.models.masks import Masks, get_masks
from cnngraph.surgery.description import Description, format_of, parse
from cnngraph.surgery.mask_files import masks_as_text, masks_from_text
from cnngraph.surgery.split_keys import keys_as_text, keys_from_text

__all__ = ["describes_itself", "read_description", "read_masks", "write", "write_tensors"]

_KEY = "cnngraph"
_SPLIT = "cnngraph_split"
_MASKS = "cnngraph_masks"


def write(model: nn.Module, description: Description, path: Path, labels: Mapping[str, str]) -> None:
    """Write the file; ``labels`` are further entries of the metadata.

    The weights that its training began with stay out: the file is for whoever runs the net.
    """
    masks = get_masks(model)
    pruned = masks.sha256 if masks else None
    known = {"masks": pruned, "initial": None, "format": format_of(masks=pruned, initial=None)}
    about = {_KEY: description.model_copy(update=known).model_dump_json()}
    if masks is not None:
        about[_MASKS] = masks_as_text(masks)
    if description.split is not None:
        about[_SPLIT] = keys_as_text(description.split)
    write_tensors(model, path, {"format": "pt"} | dict(labels) | about)


def write_tensors(model: nn.Module, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write the tensors of ``model`` by all their names; tied ones, in whatever layout they lie, once a name.

    ``save_model`` of safetensors keeps one name of each, and fails where they do not lie in order (channels last).
    """
    tensors: dict[str, Tensor] = {}
    places = set()
    for name, tensor in model.state_dict().items():
        plain = tensor.cpu().contiguous()
        place = plain.untyped_storage().data_ptr()
        tensors[name] = plain.clone() if place in places else plain
        places.add(place)
    save_file(tensors, path, metadata=dict(metadata or {}))


def describes_itself(path: str | Path) -> bool:
    """Whether ``path`` is a safetensors file with a description; the weights are not read."""
    return Path(path).is_file() and _KEY in _metadata(Path(path))


def read_description(path: Path) -> Description:
    """The description of a file that :func:`describes_itself`. Raises as :func:`cnngraph.surgery.description.parse`."""
    metadata = _metadata(path)
    known = parse(metadata[_KEY], f"The description in {path}")
    if known.split is None:
        return known
    return known.model_copy(update={"split": keys_from_text(known.split, metadata.get(_SPLIT), str(path))})


def read_masks(path: Path, model: nn.Module) -> Masks:
    """The masks in a file, for the net that was built of it. Raises as :func:`~mask_files.masks_from_text`."""
    return masks_from_text(_metadata(path).get(_MASKS), model, str(path))


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError):
        return {}
