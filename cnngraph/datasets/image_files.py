"""What an image file is, and what is hidden, by name alone: the one place that every reader of folders asks."""

from __future__ import annotations

__all__ = ["SUFFIXES", "is_hidden", "is_image"]

# Small letters, without the dot.
SUFFIXES = frozenset(
    "bmp dcm dicom gif jpe jpeg jpg jfif pbm pgm png pnm ppm tif tiff webp".split()  # noqa: SIM905
)
# Left by systems and programs beside what a person put there; small letters.
_LEFT_BY_SYSTEMS = frozenset(
    {
        "$recycle.bin",
        "#recycle",
        "@eadir",
        "@recycle",
        "@tmp",
        "__macosx",
        "__pycache__",
        "_vti_cnf",
        "desktop.ini",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "icon\r",
        "lost+found",
        "recycler",
        "system volume information",
        "thumbs.db",
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
