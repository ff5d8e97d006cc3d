"""Whether a slim net outlives a file, a new process and ``torch.export``: the proof that leaves the process."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cnngraph.errors import ModelError
from cnngraph.models.outputs import tensors_of
from cnngraph.modes import evaluation_mode
from cnngraph.plan import Plan
from cnngraph.surgery import saved
from cnngraph.surgery.apply import cut
from cnngraph.surgery.exported import exported

__all__ = ["FailedError", "check_export", "check_saved", "name_tensors"]

_EXPORT_TOLERANCE = 1e-4  # of the largest logit


class FailedError(Exception):
    """A check found what must not be."""


def check_saved(
    model: nn.Module, slim: nn.Module, plan: Plan, shape: tuple[int, int, int], images: Tensor, notes: list[str]
) -> None:
    # A file keeps no memory format, and the same sums in another one round otherwise.
    plain = copy.deepcopy(slim).to(memory_format=torch.contiguous_format)
    with torch.no_grad(), evaluation_mode(plain):
        wanted = _on_cpu(plain(images))
    with TemporaryDirectory() as name:
        folder = Path(name)
        save_file({"images": images.cpu().contiguous()}, folder / "images.safetensors")
        try:
            saved.save(slim, folder / "slim", input_shape=shape)
        except ModelError as error:
            notes.append(f"Saved and loaded in this process only. {error.message}")
            found = load_here(model, slim, plan, shape, images, folder)
        else:
            found = load_elsewhere(folder)
    if found.keys() != wanted.keys():
        raise FailedError(f"the loaded net gives {name_tensors(found)}, the net itself {name_tensors(wanted)}")
    for name, one in wanted.items():
        same = torch.equal(found[name], one)
        if images.device.type != "cpu":  # the new process computes on the CPU, which rounds otherwise
            same = torch.allclose(found[name], one, rtol=1e-3, atol=1e-3)
        if not same:
            apart = float((found[name].double() - one.double()).abs().max())
            raise FailedError(f"the loaded net's {name} differs by up to {apart:.3g}")


def load_here(
    model: nn.Module, slim: nn.Module, plan: Plan, shape: tuple[int, int, int], images: Tensor, folder: Path
) -> dict[str, Tensor]:
    """For a class that nothing can build again: the user's net is cut once more and the weights go through a file."""
    save_file({key: value.contiguous().clone() for key, value in slim.state_dict().items()}, folder / "w.safetensors")
    twin = cut(model, plan, input_shape=shape).eval()
    twin.load_state_dict(load_file(folder / "w.safetensors"))
    with torch.no_grad():
        return _on_cpu(twin(images))


_SCRIPT = """
import sys, torch
from safetensors.torch import load_file, save_file
from cnngraph.models.outputs import tensors_of
from cnngraph.surgery.saved import load
folder, threads = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(threads)
with torch.no_grad():
    found = tensors_of(load(folder + "/slim")(load_file(folder + "/images.safetensors")["images"]))
save_file({name: one.clone().contiguous() for name, one in found.items()}, folder + "/outputs.safetensors")
"""


def load_elsewhere(folder: Path) -> dict[str, Tensor]:
    """The output of the saved net in a new Python process, tensor by tensor."""
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(folder), str(torch.get_num_threads())],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        raise FailedError(f"a new process cannot load it: {last}")
    return load_file(folder / "outputs.safetensors")


def check_export(slim: nn.Module, images: Tensor) -> None:
    with evaluation_mode(slim), torch.no_grad():
        # What a class of the user's own holds, torch.export does not know: its tensors are asked for.
        plain = isinstance(slim(images), Tensor)
        shipped = exported(slim if plain else _Tensors(slim).eval(), images).module()
        wanted, found = (list(tensors_of(net(images)).values()) for net in (slim, shipped))
    for one, other in zip(wanted, found, strict=True):
        if not (other.double() - one.double()).abs().max() <= _EXPORT_TOLERANCE * one.double().abs().max():
            raise FailedError("the exported net gives other logits")


class _Tensors(nn.Module):
    """A net that gives the tensors of another's output, as a tuple."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensors_of(self.net(images)).values())


def _on_cpu(output: object) -> dict[str, Tensor]:
    """The tensors of an output by name."""
    return {name: one.cpu() for name, one in tensors_of(output).items()}


def name_tensors(tensors: Mapping[str, Tensor]) -> str:
    """The names of the tensors of an output, in words."""
    return ", ".join(tensors) or "no tensor"
