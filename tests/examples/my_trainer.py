"""A training of one's own for ``cnngraph prune --trainer my_trainer:fit``: plain SGD, and the best epoch is kept."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional

Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]


def fit(
    model: nn.Module,
    train_loader: Batches,
    validation_loader: Batches | None,
    *,
    epochs: int,
    learning_rate: float,
    device: torch.device,
) -> None:
    """Train ``model`` in place; it ends with the weights of its best epoch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=10 * learning_rate, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    best, weights = -1.0, model.state_dict()
    for epoch in range(epochs):
        model.train()
        for images, labels in train_loader:
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(images.to(device)), labels.to(device), label_smoothing=0.1)
            loss.backward()
            optimizer.step()
        schedule.step()
        score = accuracy(model, validation_loader, device) if validation_loader is not None else float(epoch)
        print(f"epoch {epoch + 1}: {score:.3f}")
        if score > best:
            best, weights = score, copy.deepcopy(model.state_dict())
    model.load_state_dict(weights)


@torch.no_grad()
def accuracy(model: nn.Module, loader: Batches, device: torch.device) -> float:
    """The share of images whose class is right."""
    model.eval()
    right = [(model(images.to(device)).argmax(1).cpu() == labels).float() for images, labels in loader]
    return float(torch.cat(right).mean())
