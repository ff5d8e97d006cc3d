"""Whether a slim net outlives a file, a new process and ``torch.export``: the proof that leaves the process."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cnngraph.errors import ModelError
from cnngraph.models.outputs import tensors_of
from cnngraph.modes import evaluation_mode
from cnngraph.origin import get_origin
from cnngraph.plan import Plan
from cnngraph.surgery import saved
from cnngraph.surgery.apply import cut
from cnngraph.surgery.exported import exported

__all__ = [
    "Elsewhere",
    "FailedError",
    "Loading",
    "check_export",
    "check_saved",
    "loading",
    "name_tensors",
    "new_process",
]

Outputs = Callable[[], dict[str, Tensor]]

_PATIENCE = 600  # seconds for a new process
_LIBRARIES = {"torchvision": "torchvision.models", "timm": "timm"}  # by family of architectures
_EXPORT_TOLERANCE = 1e-4  # of the largest logit


class FailedError(Exception):
    """A check found what must not be."""


class Loading:
    """A slim net on its way through a file into a new process, which works while other checks run here.

    Attributes:
        folder: where it is saved. refused: why nothing can build it again, or ``None``.
    """

    def __init__(self, folder: Path, outputs: Outputs | None, refused: Exception | None) -> None:
        self.folder, self.refused = folder, refused
        self._outputs = outputs

    def outputs(self) -> dict[str, Tensor]:
        """What the loaded net gives, by name; waits for it.

        Raises:
            ModelError: nothing can build the net again. FailedError: the new process could not load it.
        """
        if self.refused is not None:
            raise self.refused
        assert self._outputs is not None
        return self._outputs()


@contextmanager
def loading(
    slim: nn.Module, shape: tuple[int, int, int], images: Tensor, process: Elsewhere | None = None
) -> Iterator[Loading]:
    """Save ``slim`` and begin to open it in a new process; whatever fails is said by :meth:`Loading.outputs`.

    Args:
        process: one that was started before and opened nothing yet; else it is started here.
    """
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        outputs, refused = None, None
        try:
            save_file({"images": images.cpu().contiguous()}, folder / "images.safetensors")
            saved.save(slim, folder / "slim", built=saved.HowBuilt(input_shape=shape))
            outputs = (process or stack.enter_context(new_process(slim))).open(folder)
        except Exception as error:  # noqa: BLE001 (it is a finding of the proof, and said there)
            refused = error
        yield Loading(folder, outputs, refused)


def check_saved(
    model: nn.Module,
    slim: nn.Module,
    plan: Plan,
    shape: tuple[int, int, int],
    images: Tensor,
    notes: list[str],
    begun: Loading,
) -> None:
    """Compare what ``slim`` gives with what it gives after a file, in a new process.

    Args:
        begun: of ``slim``, for the same images and shape.
    """
    # A file keeps no memory format, and the same sums in another one round otherwise.
    plain = copy.deepcopy(slim).to(memory_format=torch.contiguous_format)
    with torch.no_grad(), evaluation_mode(plain):
        wanted = _on_cpu(plain(images))
    try:
        found = begun.outputs()
    except ModelError as error:
        notes.append(f"Saved and loaded in this process only. {error.message}")
        found = load_here(model, slim, plan, shape, images, begun.folder)
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
from cnngraph.late_compiler import import_without_compiler
from cnngraph.surgery.saved import load
torch.set_num_threads(int(sys.argv[1]))
for name in sys.argv[2:]:
    import_without_compiler(name)
folder = sys.stdin.readline().rstrip("\\n")
with torch.no_grad():
    found = tensors_of(load(folder + "/slim")(load_file(folder + "/images.safetensors")["images"]))
save_file({name: one.clone().contiguous() for name, one in found.items()}, folder + "/outputs.safetensors")
"""


class Elsewhere:
    """A new Python process, which opens the saved net of a folder as soon as it is told which."""

    def __init__(self, library: str | None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT, str(torch.get_num_threads()), *([library] if library else [])],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def open(self, folder: Path) -> Outputs:
        """Let it begin with ``folder``; what is returned waits for the net's output, tensor by tensor."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended, and says why
            self._process.stdin.write(f"{folder}\n")
            self._process.stdin.flush()

        def outputs() -> dict[str, Tensor]:
            _, said = self._process.communicate(timeout=_PATIENCE)
            if self._process.returncode != 0:
                last = (said.strip().splitlines() or ["it ended without a word"])[-1]
                raise FailedError(f"a new process cannot load it: {last}")
            return load_file(folder / "outputs.safetensors")

        return outputs

    def end(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        with suppress(BrokenPipeError, ValueError):
            self._process.communicate()


@contextmanager
def new_process(model: nn.Module) -> Iterator[Elsewhere]:
    """Start a process that imports what ``model``, or a part of it, needs; it is ended at the end."""
    origin = get_origin(model)
    process = Elsewhere(_LIBRARIES.get(origin.architecture.partition(":")[0]) if origin else None)
    try:
        yield process
    finally:
        process.end()


def check_export(slim: nn.Module, images: Tensor) -> None:
    with evaluation_mode(slim), torch.no_grad():
        # What a class of the user's own holds, torch.export does not know: its tensors are asked for.
        given = slim(images)
        shipped = exported(slim if isinstance(given, Tensor) else _Tensors(slim).eval(), images).module()
        wanted, found = tensors_of(given).values(), tensors_of(shipped(images)).values()
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
