"""What an image file is, and what is hidden, by name alone: the one place that every reader of folders asks."""

from __future__ import annotations

from cnngraph.datasets.volumes import volume_ending

__all__ = ["DICOM", "SUFFIXES", "ending_of_unread", "is_hidden", "is_image"]

# Small letters, without the dot.
DICOM = frozenset({"dcm", "dicom"})
SUFFIXES = DICOM | frozenset("bmp gif jpe jpeg jpg jfif pbm pgm png pnm ppm tif tiff webp".split())  # noqa: SIM905
# Of images that are not read: they must not be missing without a word.
_UNREAD = frozenset(
    "arw avif cr2 cr3 dng exr hdr heic heif j2c j2k jp2 jpf jpx jxl nef orf pcx psd raw rw2 svg tga".split()  # noqa: SIM905
)
_TEXTS = frozenset("authors changelog citation copying dicomdir licence license makefile readme version".split())  # noqa: SIM905
# Left by systems and programs beside what a person put there; small letters.
_LEFT_BY_SYSTEMS = frozenset(
    {
        "$recycle.bin",
        "#recycle",
        "#snapshot",
        "@eadir",
        "@recycle",
        "@tmp",
        "__macosx",
        "__pycache__",
        "_gsdata_",
        "_vti_cnf",
        "desktop.ini",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "icon\r",
        "lost+found",
        "recycler",
        "system volume information",
        "thumbs.db",
        "~snapshot",
    }
)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is none of the data: a leading dot, or a name that systems leave behind.

    >>> is_hidden(".ipynb_checkpoints"), is_hidden("._x.png"), is_hidden("Thumbs.db"), is_hidden("cat")
    (True, True, True, False)
    """
    return name[:1] == "." or name.lower() in _LEFT_BY_SYSTEMS


def is_image(name: str) -> bool:
    """Whether a file that is not hidden is taken for an image, by the end of its name.

    >>> is_image("A.PNG"), is_image("notes.txt"), is_image("png")
    (True, False, False)
    """
    stem, dot, suffix = name.rpartition(".")
    return bool(stem and dot) and suffix.lower() in SUFFIXES


def ending_of_unread(name: str) -> str | None:
    """How the name of a file ends that may well be an image, or a volume, but is not read; "" where it has no ending.

    >>> [ending_of_unread(name) for name in ("a.HEIC", "IM00001", "scan.nii.gz", "README", "notes.txt")]
    ['.heic', '', '.nii.gz', None, None]
    """
    small = name.lower()
    if "." not in name:
        return None if small in _TEXTS else ""
    if small.rpartition(".")[2] in _UNREAD:
        return f".{small.rpartition('.')[2]}"
    return volume_ending(small)
