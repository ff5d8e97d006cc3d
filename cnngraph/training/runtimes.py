"""The ways in which a net can be run to be timed: torch as it is, torch.compile, or ONNX Runtime."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from cnngraph.errors import CnngraphError, ModelError, UsageError, nearest
from cnngraph.silence import silence
from cnngraph.vocabulary import RUNTIMES

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["check_runtime", "onnx_model", "onnx_session", "prepare"]


def check_runtime(runtime: str) -> str:
    """Return ``runtime`` if it is one of ``RUNTIMES`` and installed.

    Raises:
        UsageError: there is no such runtime. CnngraphError: onnxruntime is not installed.
    """
    if runtime not in RUNTIMES:
        raise UsageError(f"There is no runtime {runtime!r}.", nearest(runtime, RUNTIMES))
    if runtime == "onnxruntime":
        _onnxruntime()
    return runtime


def prepare(model: nn.Module, images: torch.Tensor, runtime: str) -> Callable[[], object]:
    """A function that makes one forward pass of ``model`` over ``images`` in ``runtime``; made ready beforehand.

    Args:
        model: in eval mode, on the device of ``images``; it stays as it is.
        images: one batch of shape (N, C, H, W); compiled and exported nets are made for this very shape.

    Raises:
        UsageError, CnngraphError: as :func:`check_runtime`.
        ModelError: the net cannot be compiled or exported.
    """
    check_runtime(runtime)
    if runtime == "eager":
        return lambda: model(images)
    if runtime == "compile":
        return _compiled(model, images)
    session = onnx_session(onnx_model(model, images), images.device)
    feed = {session.get_inputs()[0].name: images.cpu().numpy()}
    return lambda: session.run(None, feed)


def _compiled(model: nn.Module, images: torch.Tensor) -> Callable[[], object]:
    # On a copy: what the compiler leaves behind on modules must not meet the user's net.
    compiled = torch.compile(copy.deepcopy(model), dynamic=False)
    try:
        compiled(images)
    except RuntimeError as error:
        raise ModelError(
            f"torch.compile fails on this net here: {_first_line(error)}",
            "It needs a C++ compiler on a CPU, Triton on CUDA; or use --runtime eager.",
        ) from error
    return lambda: compiled(images)


def onnx_model(model: nn.Module, images: torch.Tensor) -> Any:
    """``model`` as an ``onnx.ModelProto`` for batches of the shape of ``images``.

    Raises:
        CnngraphError: the extra is not installed. ModelError: the net cannot be exported.
    """
    _onnxruntime()
    try:
        with silence():
            program = torch.onnx.export(copy.deepcopy(model).cpu(), (images.cpu(),), dynamo=True, verbose=False)
    except torch.onnx.errors.OnnxExporterError as error:
        raise ModelError(f"The net cannot be exported to ONNX: {_first_line(error)}", "Use --runtime eager.") from error
    assert program is not None
    return program.model_proto


def onnx_session(proto: Any, device: torch.device, profile: Path | None = None) -> Any:
    """An ``onnxruntime.InferenceSession`` with as many threads as torch uses.

    Args:
        profile: beginning of the path of the file in which ONNX Runtime notes the time of each of its nodes.

    Raises:
        CnngraphError: onnxruntime is not installed, or cannot compute on this device.
        ModelError: it has no kernels for this net, most often for numbers of its type (bfloat16, float64).
    """
    runtime = _onnxruntime()
    provider = "CUDAExecutionProvider" if device.type == "cuda" else "CPUExecutionProvider"
    if provider not in runtime.get_available_providers():
        raise CnngraphError("This onnxruntime has no CUDA.", "Install onnxruntime-gpu, or use --latency-on cpu.")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = os.fspath(profile)
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph
    from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

    try:
        session = runtime.InferenceSession(proto.SerializeToString(), options, providers=[provider])
    except (Fail, InvalidGraph, NoKernel) as error:
        raise ModelError(
            f"ONNX Runtime cannot run this net on {device.type}: {_first_line(error)}",
            "Use --runtime eager, or a net whose weights are float32.",
        ) from error
    if provider not in session.get_providers():  # it goes back to the CPU where CUDA's libraries do not load
        raise CnngraphError(
            "This onnxruntime cannot open CUDA here.",
            "Install the CUDA libraries that it needs, or use --latency-on cpu.",
        )
    return session


def _onnxruntime() -> Any:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  torch's exporter needs it
    except ImportError as error:
        raise CnngraphError(
            f"The runtime onnxruntime needs {error.name}, which is not installed.",
            "Install it: pip install 'cnngraph[onnx]'",
        ) from error
    return onnxruntime


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
