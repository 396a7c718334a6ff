"""Architectures of hypernetworks: what `predict` needs to rebuild a trained one, and nothing of training."""
