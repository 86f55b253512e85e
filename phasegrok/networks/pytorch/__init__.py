"""The same functions in PyTorch, under ``torch.func.vmap``."""
