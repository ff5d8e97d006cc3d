"""DICOM images (extra ``dicom``): the numbers that the modality means, for CT Hounsfield units."""

from __future__ import annotations

import io
import logging
from dataclasses import replace
from importlib.util import find_spec
from pathlib import PurePath
from typing import Any

import numpy as np

from cnngraph.datasets.image_files import DICOM
from cnngraph.datasets.picture import Picture, from_numbers
from cnngraph.errors import DataError, explain

__all__ = ["decode", "is_dicom"]


def is_dicom(path: str) -> bool:
    """Whether the name says so."""
    return PurePath(path).suffix.lower().removeprefix(".") in DICOM


def decode(data: bytes) -> Picture:
    """The picture: rescale slope and intercept (or the modality's table) applied; MONOCHROME1 is marked as inverted.

    Raises:
        DataError: the extra is missing, the file is no DICOM image, holds several frames, or is compressed in a way
            that needs a further package; the message lacks the file's name.
    """
    if find_spec("pydicom") is None:
        raise DataError("is a DICOM file, which needs pydicom.", 'Run: pip install "cnngraph[dicom]"')
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # what it remarks is said by its exceptions
    try:
        dataset = dcmread(io.BytesIO(data))
    except InvalidDicomError as error:
        raise DataError("is no DICOM file.", "Mend or delete the file.") from error
    except Exception as error:
        raise ValueError(f"pydicom says: {explain(error)}") from error
    if "PixelData" not in dataset and "FloatPixelData" not in dataset and "DoubleFloatPixelData" not in dataset:
        raise DataError("is a DICOM file without an image.", "Delete the file, or move it out of the folder.")
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    if frames > 1:
        raise DataError(f"holds {frames} frames: a stack, not one image.", "Write each frame into a file of its own.")
    return _picture(dataset)


def _picture(dataset: Any) -> Picture:
    from pydicom.pixels.processing import apply_modality_lut

    meaning = str(dataset.get("PhotometricInterpretation", ""))
    if meaning.startswith("PALETTE"):
        raise DataError("is a DICOM image with a colour palette, which is not read.", "Convert it to PNG.")
    numbers = _pixels(dataset)
    if numbers.ndim == 3:  # colours are as they are: there is nothing to rescale
        return from_numbers(np.ascontiguousarray(numbers))
    rescaled = np.asarray(apply_modality_lut(numbers, dataset), dtype=np.float64)
    return replace(from_numbers(rescaled), kind="DICOM", inverted=meaning == "MONOCHROME1")


def _pixels(dataset: Any) -> Any:
    try:
        return dataset.pixel_array
    except Exception as error:
        syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
        if syntax is not None and syntax.is_compressed:
            raise DataError(
                f"is compressed as {syntax.name}, which pydicom cannot decode here: {explain(error)}.",
                "Run: pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg, or store it uncompressed.",
            ) from error
        raise ValueError(f"pydicom says: {explain(error)}") from error
