"""Train a saved model in a loop of one's own: ``python train_elsewhere.py FOLDER WEIGHTS EPOCHS``; no database."""

import sys

import torch
from safetensors.torch import save_file
from torch.nn import functional

from cnngraph.datasets.registry import loader, open_data
from cnngraph.surgery.saved import read_saved

folder, weights, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3])
saved = read_saved(folder)  # saved.model is an ordinary nn.Module; cg.load(folder) gives it alone
# The same split as everywhere in cnngraph: the images that `adopt` judges by are not among these.
data = open_data(saved.dataset, preprocessing=saved.preprocessing, split=saved.known_split, parts=("train",))
batches = loader(data.train, batch_size=64, shuffle=True, for_training=True)
model = saved.model.train()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for _ in range(epochs):
    for images, labels in batches:
        optimizer.zero_grad()
        functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
save_file(model.state_dict(), weights)
