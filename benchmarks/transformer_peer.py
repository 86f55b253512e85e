"""The peer of the transformer benchmark: a plain PyTorch training step, written as papers do.

Full sequence of three tokens, ``nn.Parameter`` matrices, automatic differentiation and
``torch.optim.AdamW``; the network of Nanda et al. (arXiv 2301.05217, their published code) without
hooks.  The causal mask is applied and the logits of the last position are read.
"""

import math

import torch
from torch import nn


class Transformer(nn.Module):
    """One-layer transformer on "a b =".

    Parameters
    ----------
    p, d_model, heads, mlp : int
        Modulus, width, heads and hidden units.
    """

    def __init__(self, p: int, d_model: int, heads: int, mlp: int):
        super().__init__()
        d_head = d_model // heads
        self.d_head = d_head

        def normal(*shape, scale=d_model**-0.5):
            return nn.Parameter(torch.randn(*shape) * scale)

        self.W_E = normal(p + 1, d_model)
        self.W_pos = normal(3, d_model)
        self.W_Q = normal(heads, d_head, d_model)
        self.W_K = normal(heads, d_head, d_model)
        self.W_V = normal(heads, d_head, d_model)
        self.W_O = normal(d_model, d_model)
        self.W_in = normal(d_model, mlp)
        self.b_in = nn.Parameter(torch.zeros(mlp))
        self.W_out = normal(mlp, d_model)
        self.b_out = nn.Parameter(torch.zeros(d_model))
        self.W_U = normal(d_model, p, scale=(p + 1) ** -0.5)
        self.register_buffer("mask", torch.tril(torch.ones(3, 3, dtype=torch.bool)))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits (n, p) at the last of the three ``tokens`` (n, 3)."""
        x = self.W_E[tokens] + self.W_pos
        q = torch.einsum("hkd,ntd->nhtk", self.W_Q, x)
        k = torch.einsum("hkd,ntd->nhtk", self.W_K, x)
        v = torch.einsum("hkd,ntd->nhtk", self.W_V, x)
        scores = (q @ k.transpose(-1, -2)) / math.sqrt(self.d_head)
        A = torch.softmax(scores.masked_fill(~self.mask, -1e10), dim=-1)
        z = (A @ v).transpose(1, 2).reshape(len(tokens), 3, -1)
        x = x + z @ self.W_O
        x = x + torch.relu(x @ self.W_in + self.b_in) @ self.W_out + self.b_out
        return (x @ self.W_U)[:, -1]


class Peer:
    """A run of the plain step: model, data and ``torch.optim.AdamW`` with linear warm-up."""

    def __init__(self, system, theta, lr, weight_decay, betas, warmup, device="cpu"):
        par = system.parameters
        self.model = Transformer(par.p, par.d_model, par.heads, par.mlp).to(device)
        with torch.no_grad():
            for name, value in system.matrices(theta)._asdict().items():
                getattr(self.model, name).copy_(torch.from_numpy(value.copy()))
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=lr, betas=betas, weight_decay=weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda k: min(1.0, (k + 1) / warmup)
        )
        pairs = torch.from_numpy(system.train.inputs)
        self.tokens = torch.cat([pairs, torch.full((len(pairs), 1), par.p)], dim=1).to(device)
        self.labels = torch.from_numpy(system.train.targets).to(device)

    def step(self) -> torch.Tensor:
        """One full-batch step; returns the loss before it, for which a GPU is not waited."""
        self.optimiser.zero_grad()
        loss = nn.functional.cross_entropy(self.model(self.tokens), self.labels)
        loss.backward()
        self.optimiser.step()
        self.schedule.step()
        return loss.detach()
