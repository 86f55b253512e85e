"""The peer of the decoder benchmark: a plain PyTorch training step, written as users do.

Modules as in the code that came with Power et al. (arXiv 2201.02177, github.com/openai/grok):
embedding, sinusoidal positions, post-norm blocks, a causal mask, logits of every position,
automatic differentiation and ``torch.optim.AdamW``.  Attention is written in one of two ways:
"heads apart", a module a head as published, or "heads together", one projection of all heads and
``scaled_dot_product_attention``, the faster habit.
"""

import math

import torch
from torch import nn


class Head(nn.Module):
    """One attention head with its own projections."""

    def __init__(self, d_model: int, d_head: int):
        super().__init__()
        self.query = nn.Linear(d_model, d_head, bias=False)
        self.key = nn.Linear(d_model, d_head, bias=False)
        self.value = nn.Linear(d_model, d_head, bias=False)

    def forward(self, x, mask):
        """Output (n, t, d_head) of the head on x (n, t, d_model)."""
        q, k, v = self.query(x), self.key(x), self.value(x)
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        return torch.softmax(scores.masked_fill(mask == 0, -math.inf), dim=-1) @ v


class HeadsApart(nn.Module):
    """Attention as a list of heads."""

    def __init__(self, d_model: int, heads: int):
        super().__init__()
        self.heads = nn.ModuleList(Head(d_model, d_model // heads) for _ in range(heads))
        self.output = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x, mask):
        """Attention (n, t, d_model)."""
        return self.output(torch.cat([head(x, mask) for head in self.heads], dim=-1))

    def load(self, w):
        """Take the weights of a ``decoder.Layer``."""
        for head, W_Q, W_K, W_V in zip(self.heads, w.W_Q, w.W_K, w.W_V):
            for linear, value in ((head.query, W_Q), (head.key, W_K), (head.value, W_V)):
                linear.weight.copy_(torch.from_numpy(value.copy()))
        self.output.weight.copy_(torch.from_numpy(w.W_O.T.copy()))


class HeadsTogether(nn.Module):
    """Attention with one projection for the queries, keys and values of all heads."""

    def __init__(self, d_model: int, heads: int):
        super().__init__()
        self.n_heads = heads
        self.project = nn.Linear(d_model, 3 * d_model, bias=False)
        self.output = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x, mask):  # noqa: ARG002
        """Attention (n, t, d_model)."""
        n, t, d = x.shape
        q, k, v = self.project(x).view(n, t, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        z = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.output(z.transpose(1, 2).reshape(n, t, d))

    def load(self, w):
        """Take the weights of a ``decoder.Layer``."""
        d = w.W_O.shape[0]
        parts = [torch.from_numpy(W.reshape(d, d).copy()) for W in (w.W_Q, w.W_K, w.W_V)]
        self.project.weight.copy_(torch.cat(parts))
        self.output.weight.copy_(torch.from_numpy(w.W_O.T.copy()))


class Block(nn.Module):
    """One post-norm layer."""

    def __init__(self, attention, d_model: int, heads: int, mlp: int):
        super().__init__()
        self.attention = attention(d_model, heads)
        self.attention_norm = nn.LayerNorm(d_model)
        self.mlp = nn.Sequential(nn.Linear(d_model, mlp, bias=False), nn.ReLU(),
                                 nn.Linear(mlp, d_model, bias=False))
        self.mlp_norm = nn.LayerNorm(d_model)

    def forward(self, x, mask):
        """Residual vectors (n, t, d_model) after the layer."""
        a = self.attention_norm(x + self.attention(x, mask))
        return self.mlp_norm(a + self.mlp(a))

    def load(self, w):
        """Take the weights of a ``decoder.Layer``."""
        self.attention.load(w)
        for parameter, value in (
            (self.attention_norm.weight, w.gain_attention),
            (self.attention_norm.bias, w.bias_attention),
            (self.mlp[0].weight, w.W_in.T), (self.mlp[2].weight, w.W_out.T),
            (self.mlp_norm.weight, w.gain_mlp), (self.mlp_norm.bias, w.bias_mlp),
        ):  # fmt: skip
            parameter.copy_(torch.from_numpy(value.copy()))


class Decoder(nn.Module):
    """Decoder on tokens (n, t)."""

    def __init__(self, attention, p: int, d_model: int, heads: int, mlp: int, length: int = 4):
        super().__init__()
        self.embedding = nn.Embedding(p + 2, d_model)
        t, i = torch.arange(float(length))[:, None], torch.arange(d_model)
        angle = t / 10000.0 ** ((i - i % 2) / d_model)
        self.register_buffer("position", torch.where(i % 2 == 0, angle.sin(), angle.cos()))
        self.register_buffer("mask", torch.ones(length, length).tril())
        self.blocks = nn.ModuleList(Block(attention, d_model, heads, mlp) for _ in range(2))
        self.unembedding = nn.Linear(d_model, p, bias=False)

    def forward(self, tokens):
        """Logits (n, t, p) at every position."""
        x = self.position + self.embedding(tokens)
        for block in self.blocks:
            x = block(x, self.mask)
        return self.unembedding(x)


class Peer:
    """A run of the plain step: model, data and ``torch.optim.AdamW`` with linear warm-up."""

    def __init__(self, attention, system, theta, lr, weight_decay, betas, warmup):
        par, w = system.parameters, system.matrices(theta)
        self.model = Decoder(attention, par.p, par.d_model, par.heads, par.mlp)
        with torch.no_grad():
            self.model.embedding.weight.copy_(torch.from_numpy(w.W_E.copy()))
            self.model.unembedding.weight.copy_(torch.from_numpy(w.W_U.T.copy()))
            for block, layer in zip(self.model.blocks, (w.first, w.second)):
                block.load(layer)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=lr, betas=betas, weight_decay=weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda k: min(1.0, (k + 1) / warmup)
        )
        a, b = torch.from_numpy(system.train.inputs).T
        sign, equals = torch.full_like(a, par.p), torch.full_like(a, par.p + 1)
        self.tokens = torch.stack([a, sign, b, equals], dim=1)
        self.labels = torch.from_numpy(system.train.targets)

    def loss(self, chosen):
        """Mean cross-entropy of the answers of the ``chosen`` pairs."""
        logits = self.model(self.tokens[chosen])[:, -1]
        return nn.functional.cross_entropy(logits, self.labels[chosen])

    def step(self, chosen) -> float:
        """One step on the ``chosen`` pairs; returns the loss before it."""
        self.optimiser.zero_grad()
        loss = self.loss(chosen)
        loss.backward()
        self.optimiser.step()
        self.schedule.step()
        return loss.item()
