#!/bin/sh
# Pillow opens valid TIFFs whose numbers it changes without a word: the fourth band of a satellite image is gone, 16-bit
# colours keep 8 bits, 8-bit signed numbers lose their sign, unsigned 32-bit ones above 2^31 become negative, and
# 16-bit greys with WhiteIsZero are not inverted, though 8-bit ones are. A PGM of 12 bits is stretched to 16.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 pillow==13.0.0 tifffile==2026.3.3
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import io

import numpy as np
import PIL
import tifffile
from PIL import Image

print("numpy", np.__version__, "pillow", PIL.__version__, "tifffile", tifffile.__version__)


def through_pillow(array, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, array, **options)
    image = Image.open(io.BytesIO(file.getvalue()))
    return image.mode, np.asarray(image)


def check(what, seen, expected):
    print(f"{what}: {seen}")
    assert seen == expected, f"this has changed: it was {expected}"


infrared = np.full((4, 4, 4), 7, np.uint8)
mode, seen = through_pillow(infrared, photometric="rgb", extrasamples=["unspecified"])
check("RGB and infrared, 4 bands of 8 bits", (mode, seen.shape), ("RGB", (4, 4, 3)))
mode, seen = through_pillow(np.full((4, 4, 3), 4095, np.uint16), photometric="rgb")
check("RGB of 16 bits, every number 4095", (mode, str(seen.dtype), int(seen.max())), ("RGB", "uint8", 15))
mode, seen = through_pillow(np.full((4, 4), -1, np.int8), photometric="minisblack")
check("signed 8 bits, every number -1", (mode, int(seen.max())), ("L", 255))
mode, seen = through_pillow(np.full((4, 4), 3_000_000_000, np.uint32), photometric="minisblack")
check("unsigned 32 bits, every number 3,000,000,000", (mode, int(seen.max())), ("I", 3_000_000_000 - 2**32))
seen = [int(through_pillow(np.zeros((4, 4), dtype), photometric="miniswhite")[1].max()) for dtype in (np.uint8, np.uint16)]
check("white as 0, 8 and 16 bits", seen, [255, 0])
image = Image.open(io.BytesIO(b"P5\n2 1\n4095\n" + np.array([1, 4095], ">u2").tobytes()))
check("PGM with a highest number of 4095, numbers 1 and 4095", np.asarray(image).ravel().tolist(), [16, 65535])
PYTHON
