"""Files of whole volumes, which no 2-d net reads: named where a folder holds them and no images."""

from __future__ import annotations

import os
from pathlib import Path

from cnngraph.errors import DataError

__all__ = ["volume_ending", "volumes_error"]

_FORMATS = {
    ".nii": "NIfTI",
    ".nii.gz": "NIfTI",
    ".mgz": "FreeSurfer",
    ".nrrd": "NRRD",
    ".nhdr": "NRRD",
    ".mha": "MetaImage",
    ".mhd": "MetaImage",
    ".mnc": "MINC",
    ".npy": "NumPy",
    ".npz": "NumPy",
}


def volume_ending(name: str) -> str | None:
    """How the name of a volume ends, in small letters; ``None`` of any other file."""
    return next((ending for ending in _FORMATS if name.lower().endswith(ending)), None)


def volumes_error(folder: str | Path) -> DataError | None:
    """The error that names the first volume under ``folder``; ``None`` where there is none."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            ending = volume_ending(name)
            if ending is not None:
                return DataError(
                    f"{Path(parent, name)} is a {_FORMATS[ending]} file, which is not read: nets here see single "
                    "images.",
                    "Write each slice into a file of its own (16-bit PNG, TIFF or DICOM); --value-range says what its "
                    "numbers mean.",
                )
    return None
