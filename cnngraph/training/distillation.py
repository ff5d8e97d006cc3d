"""Knowledge distillation: a net learns from the answers of another one, its teacher, beside the labels.

Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531, 2015: both nets' logits are
divided by a temperature T before the softmax, and the divergence of the student's from the teacher's probabilities is
multiplied by T squared, so that its gradients stay as large whatever T is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cnngraph.datasets.images import Images
from cnngraph.errors import ModelError
from cnngraph.models.outputs import logits_of
from cnngraph.modes import evaluation_mode
from cnngraph.training.execution import Execution, image_type
from cnngraph.training.teaching import require_teaching

__all__ = ["Distillation", "divergence"]


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || student) of logits (images, classes), in nats, the mean over the images; 0 where they agree.

    >>> found = divergence(torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]]), 2.0)
    >>> round(float(found), 6), round(float(found) / 4, 6)
    (0.443776, 0.110944)
    """
    old, new = (torch.log_softmax(logits / temperature, dim=1) for logits in (teacher, student))
    return temperature**2 * nn.functional.kl_div(new, old, reduction="batchmean", log_target=True)


@dataclass(frozen=True)
class Distillation:
    """Learn from a teacher: loss = alpha T^2 KL(teacher || student) + (1 - alpha) cross-entropy with the labels.

    Attributes:
        teacher: a classifier of the same classes; it gives its answers in eval mode and is not trained.
        temperature: T, above 0. alpha: the share of the teacher, 0 (labels alone) to 1 (teacher alone).

    Raises:
        OptionError: T or alpha is out of range.
    """

    teacher: nn.Module
    temperature: float = 4.0
    alpha: float = 0.9

    def __post_init__(self) -> None:
        require_teaching(self.temperature, self.alpha)

    @property
    def identity(self) -> dict[str, object]:
        """All that decides, as JSON holds it."""
        from cnngraph.network.trace import weights_sha256

        return {"temperature": self.temperature, "alpha": self.alpha, "teacher": weights_sha256(self.teacher)}

    def require_same_classes(self, student: nn.Module, images: Images) -> None:
        """Return if teacher and student give as many logits for these images.

        Raises:
            ModelError: they do not, or one of them gives none.
        """
        sample, classes = images[range(min(2, len(images)))][0], int(images.labels.max()) + 1
        widths = []
        for net in (self.teacher, student):
            place = next((parameter.device for parameter in net.parameters()), torch.device("cpu"))
            with evaluation_mode(net), torch.no_grad():
                output = net(sample.to(place, image_type(net)))
            widths.append(logits_of(output, len(sample), classes).values.shape[1])
        if widths[0] != widths[1]:
            raise ModelError(
                f"The teacher tells {widths[0]} classes apart, the net that is to learn from it {widths[1]}.",
                "Let it learn from a net of the same classes.",
            )

    def loss(self, images: Tensor, logits: Tensor, labels_loss: Tensor, execution: Execution) -> Tensor:
        """The loss of a batch.

        Args:
            images: as the net was given them. logits: what it answered, with its gradients.
            labels_loss: its mean cross-entropy with the labels.
        """
        with evaluation_mode(self.teacher), torch.no_grad(), execution.autocast():
            answers = logits_of(self.teacher(images), len(images), logits.shape[1]).values
        # Detached: a view of a parameter asks for gradients even where none are kept (torch 2.15). In float32: half
        # precision would round the divergence of nearly equal answers away.
        taught = divergence(logits.float(), answers.detach().float(), self.temperature)
        return self.alpha * taught + (1 - self.alpha) * labels_loss
