"""Which tensor of a net's output is its logits: taken where one can be meant, refused in one line where not."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from cnngraph.errors import ModelError
from cnngraph.models.outputs import logits_of, tensors_of, training_logits

LOGITS, FEATURES, MAPS = torch.rand(2, 10), torch.rand(2, 8), torch.rand(2, 10, 4, 4)


class Output(NamedTuple):
    features: Tensor
    logits: Tensor


@dataclass
class Answer:
    loss: Tensor | None
    logits: Tensor
    hidden: tuple[Tensor, ...]


@pytest.mark.parametrize(
    ("output", "name"),
    [
        (LOGITS, "output"),
        ((LOGITS, FEATURES), "output[0]"),
        ([MAPS, LOGITS], "output[1]"),
        ({"logits": LOGITS, "features": FEATURES}, "output['logits']"),
        (OrderedDict(x=FEATURES, y=LOGITS, z=None), "output['y']"),
        (Output(FEATURES, LOGITS), "output.logits"),
        (Answer(None, LOGITS, (MAPS, FEATURES)), "output.logits"),
        ({"head": {"classes": LOGITS}, "n": 3}, "output['head']['classes']"),
        ({"aux": torch.rand(2, 10), "logits": LOGITS}, "output['logits']"),
        ({"aux": torch.rand(2, 10), "out": LOGITS}, "output['out']"),
        ((LOGITS, LOGITS), "output[0]"),  # twice the same is one
        ((LOGITS, LOGITS.argmax(1), LOGITS.max()), "output[0]"),
        ((LOGITS, torch.rand(2, 10, dtype=torch.complex64)), "output[0]"),
    ],
)
def test_the_one_matrix_of_as_many_columns_as_classes(output: Any, name: str) -> None:
    found = logits_of(output, 2, 10)
    assert found.name == name
    assert torch.equal(found.values, LOGITS)
    assert (name in found.note) == (name != "output")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (None, "holds no tensor, it is a NoneType"),
        ("cat", "holds no tensor, it is a str"),
        ((), "holds no tensor, it is a tuple"),
        (MAPS, r"no matrix of logits \(images, 10\): for 2 images it is output \(2, 10, 4, 4\) float32"),
        (torch.rand(2, 10, 1, 1), r"output \(2, 10, 1, 1\)"),
        (torch.rand(2), r"output \(2\) float32"),
        (torch.rand(10), r"output \(10\) float32"),
        (torch.rand(()), r"output \(\) float32"),
        (torch.rand(4, 10), r"for 2 images it is output \(4, 10\)"),
        (torch.ones(2, 10, dtype=torch.int64), "int64"),
        (torch.ones(2, 10, dtype=torch.complex64), "complex64"),
        ({"boxes": torch.rand(2, 5, 4), "scores": torch.rand(2, 5, 3)}, r"output\['boxes'\] \(2, 5, 4\)"),
        (torch.rand(2, 3), "The net has 3 outputs, but the data has 10 classes"),
        (torch.rand(2, 1), "The net has 1 outputs, but the data has 10 classes"),
        ((LOGITS, torch.rand(2, 10)), r"2 matrices that may be its logits: output\[0\] \(2, 10\) and output\[1\]"),
        ({"a": LOGITS, "b": torch.rand(2, 10)}, r"output\['a'\] \(2, 10\) and output\['b'\] \(2, 10\)"),
    ],
)
def test_what_is_refused_says_what_the_output_is(output: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        logits_of(output, 2, 10)
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_maps_of_one_place_say_how_to_drop_it() -> None:
    with pytest.raises(ModelError, match=r"x\.flatten\(1\)"):
        logits_of(torch.rand(2, 10, 1, 1), 2, 10)


def test_a_squeezed_batch_of_one() -> None:
    assert torch.equal(logits_of(LOGITS[0], 1, 10).values, LOGITS[:1])
    assert logits_of((LOGITS[0], FEATURES[0]), 1, 10).name == "output[0]"


def test_without_the_number_of_classes_names_decide() -> None:
    assert logits_of({"logits": LOGITS, "features": FEATURES}, 2).name == "output['logits']"
    assert logits_of((LOGITS, torch.rand(2, 1)), 2).name == "output[0]"
    with pytest.raises(ModelError, match="2 matrices"):
        logits_of((LOGITS, FEATURES), 2)


def test_more_outputs_than_classes_are_taken_where_none_fits_better() -> None:
    assert logits_of(LOGITS, 2, 4).values is LOGITS
    assert logits_of((torch.rand(2, 3), LOGITS), 2, 4).name == "output[1]"


def test_auxiliary_heads_in_train_mode() -> None:
    aux = torch.rand(2, 10)
    for output in ((LOGITS, aux, FEATURES), {"aux": aux, "logits": LOGITS}, Answer(None, LOGITS, (aux,))):
        main, heads = training_logits(output, 2, 10)
        assert main is LOGITS
        assert len(heads) == 1
        assert heads[0] is aux


def test_tensors_by_where_they_stand() -> None:
    found = tensors_of({"a": [LOGITS, (FEATURES, None)], "b": "text", 3: MAPS})
    assert list(found) == ["output['a'][0]", "output['a'][1][0]", "output[3]"]
