"""Write the saved models of tests/unit/surgery/saved_models, and what they give, with the cnngraph that is imported.

    PYTHONPATH=CHECKOUT python scripts/make_saved_models.py tests/unit/surgery/saved_models

They were made by the build of commit 62ce932: whatever is built later must open them and get the same outputs. Run it
with a later build only to add a model, never to make one of these anew.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

import cnngraph as cg
from cnngraph.models.registry import build
from cnngraph.origin import Preprocessing
from cnngraph.plan import Plan, Removal
from cnngraph.surgery.apply import apply

SHAPE = (3, 16, 16)

Removes = tuple[Removal, ...]
RECIPES: dict[str, list[Removes]] = {
    "layers": [(Removal(layer="layer1.0.conv1"), Removal(layer="layer2.0.conv1"))],
    "filters": [(Removal(layer="layer2.1.conv1", kind="filters", filters=(1, 3)),)],
    "both": [
        (Removal(layer="layer3.1", kind="block"), Removal(layer="layer1.1.conv1", kind="filters", filters=(0,))),
    ],
    "four_plans": [
        (Removal(layer="layer3.2.conv1"),),
        (Removal(layer="conv1", kind="filters", filters=(2,)),),
        (Removal(layer="layer2.2", kind="block"),),
        (Removal(layer="layer3.1.conv1", kind="filters", filters=(0, 7)),),
    ],
}


def main(folder: Path) -> None:
    """Write each model, a batch of images and the logits."""
    images = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    outputs: dict[str, torch.Tensor] = {"images": images}
    for name, recipe in RECIPES.items():
        model: nn.Module = build("cnngraph:resnet20", classes=3, width=0.25, size=SHAPE[1], seed=1).eval()
        for removes in recipe:
            model = apply(model, Plan(removes=removes, init="inherit"), input_shape=SHAPE).eval()
        cg.save(
            model,
            folder / name,
            classes=("a", "b", "c"),
            preprocessing=Preprocessing(size=SHAPE[1:], channels=SHAPE[0]),
        )
        with torch.no_grad():
            outputs[name] = model(images)
    save_file(outputs, folder / "outputs.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
