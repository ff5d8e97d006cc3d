"""Nets for small images (32 px by default), one family a file, every place with an ``nn.ReLU`` of its own."""
