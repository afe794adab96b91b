"""Training of the network for ``segment.method: unet``; needs the extra ``train`` (PyTorch)."""
