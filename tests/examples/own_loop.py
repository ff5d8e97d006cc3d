"""Somebody else's training loop with pruning in the middle of it: 30 lines, and of cnngraph only the Python API."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import cnngraph as cg

torch.manual_seed(0)
images = torch.randn(160, 3, 16, 16)
labels = (images[:, 0].mean((1, 2)) > 0).long()
loader = DataLoader(TensorDataset(images, labels), batch_size=32)
model = nn.Sequential(
    nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2),
)  # fmt: skip


def train(net: nn.Module, epochs: int) -> None:
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    for _ in range(epochs):
        for batch, target in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(batch), target).backward()
            optimizer.step()


train(model, 5)
with cg.connect() as graph:
    graph.write(cg.trace(model, loader), "own-loop", replace=True)
    plan = graph.plan("own-loop", method="multilayer", remove=1)
slim = cg.apply(model, plan, loader=loader)
assert cg.verify(model, slim, plan).ok
train(slim, 2)
print("removed", *plan.removed, sum(p.numel() for p in slim.parameters()), "parameters left")
