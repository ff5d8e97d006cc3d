"""torchvision is imported without torch's compiler, which is there as soon as somebody asks for it."""

from __future__ import annotations

import subprocess
import sys

IMPORT = """
import sys
from cnngraph.late_compiler import import_without_compiler
zoo = import_without_compiler("torchvision.models")
assert "torchvision.ops" in sys.modules
assert not [name for name in sys.modules if name.startswith(("torch._dynamo", "torch._inductor", "sympy", "triton"))]
"""
LATER = """
import torch, torchvision
maps, boxes = torch.rand(1, 2, 8, 8), torch.tensor([[0.0, 1.0, 1.0, 5.0, 5.0]])
assert torchvision.ops.roi_align(maps, boxes, 2).shape == (1, 2, 2, 2)
assert torchvision.ops.roi_align.__globals__["is_compile_supported"]("cpu") in (True, False)
import torch._dynamo
assert torch._dynamo.config is not None and torch._dynamo.utils.is_compile_supported("cpu") in (True, False)
assert torch.export.export(zoo.resnet18().eval(), (torch.rand(2, 3, 64, 64),)).module()
"""
ASKED = """
import sys
from cnngraph import late_compiler
with late_compiler._later():
    import torch._dynamo as early
    assert early.config is not None  # the real one, whoever holds the placeholder
assert sys.modules["torch._dynamo"] is not early and sys.modules["torch._dynamo"].config is early.config
"""


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_torchvision_comes_without_the_compiler() -> None:
    run(IMPORT)


def test_the_compiler_comes_when_it_is_asked_for() -> None:
    run(IMPORT + LATER)


def test_a_placeholder_that_is_asked_for_anything_is_the_real_module() -> None:
    run(ASKED)
