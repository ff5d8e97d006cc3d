"""Distillation: its golden numbers, what it is at its ends, and a training that learns from a teacher and resumes."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from cnngraph.datasets.images import Images
from cnngraph.errors import ConflictError, ModelError, UsageError
from cnngraph.training import fit as fit_module
from cnngraph.training.distillation import Distillation, divergence
from cnngraph.training.execution import Execution
from cnngraph.training.fit import fit
from tests.unit.training.test_fit import HOW, Net, same_weights

PLAIN = Execution("cpu", "fp32", channels_last=False)


class Fixed(nn.Module):
    """Answers every image with the same logits."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits, dtype=torch.float32))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(images), -1)


def test_the_golden_numbers() -> None:
    teacher, student = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]], requires_grad=True)
    found = divergence(student, teacher, 2.0)
    assert found.item() / 4 == pytest.approx(0.110944, abs=5e-7)
    assert found.item() == pytest.approx(0.443776, abs=5e-7)
    found.backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None
    targets = 0.5 - student.grad[0] / 2  # the gradient is T (softmax of the student - targets)
    assert targets.tolist() == pytest.approx([0.731059, 0.268941], abs=5e-7)


@pytest.mark.parametrize("temperature", [0.5, 2.0, 20.0])
def test_a_student_that_equals_its_teacher_has_nothing_to_learn(temperature: float) -> None:
    logits = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    student = logits.clone().requires_grad_()
    loss = divergence(student, logits, temperature)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert student.grad is not None
    assert student.grad.abs().max() < 1e-15


def test_alpha_weighs_teacher_and_labels() -> None:
    images, logits = torch.zeros(1, 1, 2, 2), torch.zeros(1, 2)
    labels_loss = torch.tensor(0.5)
    losses = [
        float(Distillation(Fixed(2, 0), 2.0, alpha).loss(images, logits, labels_loss, PLAIN)) for alpha in (0, 0.25, 1)
    ]
    assert losses == pytest.approx([0.5, 0.25 * 0.443776 + 0.75 * 0.5, 0.443776], abs=1e-6)


@pytest.mark.parametrize(
    ("temperature", "alpha"), [(0, 0.5), (-1, 0.5), (float("nan"), 0.5), (float("inf"), 0.5), (2, -0.1), (2, 1.1)]
)
def test_what_is_out_of_range_is_refused(temperature: float, alpha: float) -> None:
    with pytest.raises(UsageError, match=r"(temperature|alpha)=.* is not"):
        Distillation(Fixed(2, 0), temperature, alpha)


def test_a_net_learns_from_its_teacher_which_stays(train: Images, validation: Images) -> None:
    teacher = Net()
    fit(teacher, train, validation, epochs=6, learning_rate=1e-2, **HOW)
    teacher.zero_grad()
    before = copy.deepcopy(teacher)
    student = copy.deepcopy(teacher)
    nn.init.zeros_(student.fc.weight)
    nn.init.zeros_(student.fc.bias)
    done = fit(
        student, train, validation, epochs=4, learning_rate=1e-2, distillation=Distillation(teacher, 2.0, 1.0), **HOW
    )
    assert done.history[-1].loss < done.history[0].loss
    assert (done.history[-1].validation_accuracy or 0) > 0.9
    assert same_weights(before, teacher)
    assert [module.training for module in before.modules()] == [module.training for module in teacher.modules()]
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_without_the_teachers_share_it_is_the_usual_training(train: Images) -> None:
    plain, student = Net(), Net()
    fit(plain, train, None, epochs=1, **HOW)
    fit(student, train, None, epochs=1, distillation=Distillation(Net(), 2.0, 0.0), **HOW)
    assert same_weights(plain, student)


def test_a_teacher_of_other_classes_is_refused(train: Images) -> None:
    with pytest.raises(ModelError, match="The teacher tells 3 classes apart, the net that is to learn from it 2"):
        fit(Net(), train, None, epochs=1, distillation=Distillation(Fixed(1, 0, 2)), **HOW)


def test_an_interrupted_training_goes_on_with_the_same_teacher_alone(
    train: Images, validation: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = Distillation(Net(), 3.0, 0.5)
    whole = Net()
    fit(whole, train, validation, epochs=3, distillation=learn, **HOW)
    part, file = Net(), tmp_path / "checkpoint"
    calls: list[int] = []

    def interrupt(*arguments: object) -> None:
        write(*arguments)  # type: ignore[arg-type]
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    write = fit_module.write_checkpoint  # type: ignore[attr-defined]
    monkeypatch.setattr(fit_module, "write_checkpoint", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(part, train, validation, epochs=3, distillation=learn, checkpoint=file, **HOW)
    monkeypatch.setattr(fit_module, "write_checkpoint", write)
    for other in (None, Distillation(Net(), 2.0, 0.5)):
        with pytest.raises(ConflictError, match="other distillation"):
            fit(Net(), train, validation, epochs=3, distillation=other, checkpoint=file, **HOW)
    again = Net()
    fit(again, train, validation, epochs=3, distillation=learn, checkpoint=file, **HOW)
    assert same_weights(whole, again)
