"""What a tensor holds, as bytes, for hashes and for files, and as numbers that numpy has."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["tensor_bytes", "tensor_numbers"]


def tensor_bytes(tensor: Tensor) -> npt.NDArray[np.uint8]:
    """The bytes of a tensor's numbers, row by row: uint8, one dimension. No copy where its memory is that already.

    >>> tensor_bytes(torch.ones(1, dtype=torch.int16).expand(1)).tolist()
    [1, 0]
    """
    plain = tensor.detach().cpu().contiguous()
    # torch calls a tensor of one number contiguous whatever its strides, and refuses to see its bytes for them.
    found: Any = plain.as_strided((plain.numel(),), (1,)).view(torch.uint8).numpy()
    return found  # type: ignore[no-any-return]


def tensor_numbers(tensor: Tensor) -> npt.NDArray[Any]:
    """The numbers of a tensor, in its shape; those of bfloat16, which numpy has not, as float32.

    >>> tensor_numbers(torch.tensor([1.5], dtype=torch.bfloat16)).dtype
    dtype('float32')
    """
    plain = tensor.detach().cpu()
    found: npt.NDArray[Any] = (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()
    return found
