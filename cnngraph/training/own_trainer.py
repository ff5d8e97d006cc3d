"""``--trainer package.module:function``: the user's own training instead of ours.

    def fit(model, train_loader, validation_loader, *, epochs, batch_size, learning_rate, device, seed): ...

Every keyword argument may be left out: a function gets those that it names, or all where it takes ``**options``.

- ``model`` is in train mode and on ``device``. It is trained in place, or the trained net is returned. Its parameters
  and buffers must keep their names and shapes; of what is returned they alone are taken.
- ``train_loader`` and ``validation_loader`` give batches of images (float32 of shape (N, C, H, W), preprocessed, on
  the CPU) and labels (int64 of shape (N,)); the first in a new order each time. ``validation_loader`` is ``None``
  where the data has no validation images. The test images stay out of reach.
- ``epochs, batch_size, learning_rate, seed`` are what was typed, else the defaults of ``cnngraph train``; ``device``
  is a ``torch.device``. torch's generator is seeded with ``seed`` before the call; of a method in steps, each step has
  a seed of its own.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from cnngraph.datasets.images import Images, loader
from cnngraph.errors import ModelError
from cnngraph.files import file_sha256
from cnngraph.models.masks import require_zeros
from cnngraph.models.own_code import describe, find
from cnngraph.models.weights import copy_state, require_finite
from cnngraph.models.wrappers import unwrapped
from cnngraph.training.execution import pick_device

if TYPE_CHECKING:
    from cnngraph.training.fit import Recipe

__all__ = ["OwnTrainer", "find_trainer"]

_KEEP_ZEROS = "After each step of the optimizer: cnngraph.keep_zeros(model)."


@dataclass(frozen=True)
class OwnTrainer:
    """A training function of the user's.

    Attributes:
        name: as typed. sha256: of its source file, "" where it has none; another source is another training.
    """

    name: str
    function: Callable[..., Any]
    sha256: str

    def settings(self, recipe: Recipe) -> dict[str, Any]:
        """What is kept of a training by this function: how it was called, not what it made of that."""
        options = {"epochs": recipe.epochs, "batch_size": recipe.batch_size, "learning_rate": recipe.highest_rate}
        return {"trainer": self.name, "trainer_sha256": self.sha256} | options | {"seed": recipe.seed}

    def fit(self, model: nn.Module, train: Images, validation: Images | None, recipe: Recipe, device: str) -> float:
        """Train ``model``, in place; it ends on the device, in the modes it came in. Returns the seconds that took.

        Raises:
            ModelError: the function raised (the message names its line), returned no net, changed the architecture,
                left NaN or infinity behind, or moved a weight that a mask prunes off zero.
        """
        place = pick_device(device)
        batches = loader(train, batch_size=recipe.batch_size, shuffle=True, seed=recipe.seed, for_training=True)
        judged = loader(validation, batch_size=recipe.batch_size) if validation else None
        pupil = copy.deepcopy(model).to(place).train()
        cuda = [torch.cuda.current_device()] if place.type == "cuda" else []
        start = time.perf_counter()
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(recipe.seed)
            trained = self._called(pupil, batches, judged, self._options(recipe, place))
        seconds = time.perf_counter() - start
        state = self._state_of(pupil if trained is None else trained, model)
        copy_state(model.to(place), state)
        require_finite(model, f"The net that the trainer {self.name} left")
        require_zeros(model, f"The trainer {self.name}", _KEEP_ZEROS)
        return seconds

    def _options(self, recipe: Recipe, place: torch.device) -> dict[str, Any]:
        """The keyword arguments that the function takes."""
        offered = {
            "epochs": recipe.epochs,
            "batch_size": recipe.batch_size,
            "learning_rate": recipe.highest_rate,
            "device": place,
            "seed": recipe.seed,
        }
        parameters = inspect.signature(self.function).parameters
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            return offered
        return {name: value for name, value in offered.items() if name in parameters}

    def _called(self, *arguments: Any) -> Any:
        *given, options = arguments
        try:
            # What it prints is for a person: stdout is the command's own.
            with contextlib.redirect_stdout(sys.stderr):
                return self.function(*given, **options)
        except (Exception, SystemExit) as error:
            raise ModelError(
                f"The trainer {self.name} raised {describe(error)}.", "It is your code; -v shows the whole traceback."
            ) from error

    def _state_of(self, trained: object, model: nn.Module) -> dict[str, torch.Tensor]:
        """What the function left of the parameters and buffers of ``model``."""
        if not isinstance(trained, nn.Module):
            raise ModelError(
                f"The trainer {self.name} returned {type(trained).__name__}, not a torch.nn.Module.",
                "Return the trained net, or nothing where it was trained in place.",
            )
        wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        state: dict[str, torch.Tensor] = unwrapped(trained).state_dict()
        found = {name: tuple(tensor.shape) for name, tensor in state.items()}
        changed = next((name for name in [*wanted, *found] if wanted.get(name) != found.get(name)), None)
        if changed is not None:
            was, now = (shapes.get(changed, "not there") for shapes in (wanted, found))
            raise ModelError(
                f"The trainer {self.name} changed the architecture: {changed} was {was} and is {now}.",
                "Train the parameters that are there; other layers are no training.",
            )
        return state


def find_trainer(name: str) -> OwnTrainer:
    """The function ``package.module:function``, looked for on ``PYTHONPATH`` and in the current folder.

    Raises:
        UsageError: ``name`` is not of that form. NotFoundError: there is no such module or function.
        ModelError: importing it raised, or it cannot be called with a net and two loaders.
    """
    function = find(name, "trainer")
    try:
        inspect.signature(function).bind_partial(None, None, None)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"{name} cannot be called as a trainer: {error}.",
            "Write: def fit(model, train_loader, validation_loader, *, epochs, device, seed)",
        ) from error
    file = getattr(sys.modules[name.partition(":")[0]], "__file__", None)
    return OwnTrainer(name, function, file_sha256(file) if file and Path(file).is_file() else "")
