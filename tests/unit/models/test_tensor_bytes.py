"""The bytes of tensors, whatever their strides."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from cnngraph.models.tensor_bytes import tensor_bytes

ONE = torch.tensor([1.5])


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6.0).reshape(2, 3).T,
        torch.arange(8.0).reshape(1, 2, 2, 2).to(memory_format=torch.channels_last),
        torch.as_strided(ONE, (1,), (0,)),  # one number: torch calls it contiguous
        torch.as_strided(ONE, (1, 1), (7, 0)),
        torch.zeros(0),
        torch.tensor(3),
        torch.ones(3, dtype=torch.bfloat16)[1:],
        torch.ones(2, requires_grad=True),
    ],
    ids=str,
)
def test_they_are_those_of_a_plain_copy(tensor: Tensor) -> None:
    plain = torch.tensor(tensor.detach().flatten().tolist(), dtype=tensor.dtype)
    assert tensor_bytes(tensor).tobytes() == bytes(plain.untyped_storage().tolist())
