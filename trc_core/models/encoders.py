"""Encoders from numbers to latents: of the problem, the predicted trajectory, and the plan."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trc_core.numerics.constants import PAIR


class ControlStateEncoder(nn.Module):
    """Encodes the problem's features (B, input_dim) into z_initial (B, latent_dim)."""

    def __init__(self, input_dim: int, hidden_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(input_dim, hidden_dim)
        self.output = nn.Linear(hidden_dim, latent_dim)
        self.activation = nn.SiLU()

    def forward(self, features: Tensor) -> Tensor:
        return self.output(self.activation(self.hidden(features)))


def pooled(values: Tensor, there: Tensor) -> Tensor:
    """The sum and the maximum (..., 2 k) of those values (..., n, k) that are there (..., n).

    Both are zero where none is. Source: Zaheer et al., "Deep Sets" (2017).
    """
    is_there = there[..., None]
    total = values.where(is_there, 0.0).sum(-2)
    largest = values.where(is_there, -torch.inf).amax(-2)
    return torch.cat([total, largest.where(there.any(-1, keepdim=True), 0.0)], -1)


class Relation(nn.Module):
    """What receivers (B, m, k) read of a set of senders (B, n, set_dim), in any order.

    A message SiLU(A r + B s + C e) goes from every sender to every receiver, where e
    (B, m, n, pair_dim) says how the two lie to one another; what is read is a linear map of the
    sum and the maximum of the messages. Source: Battaglia et al., "Interaction networks" (2016).

    Args:
        receiver_dim: numbers of a receiver, and of what it reads.
        set_dim: numbers of a sender, and of a message.
        pair_dim: numbers that say how they lie; 0 for none.
    """

    def __init__(self, receiver_dim: int, set_dim: int, pair_dim: int = 0) -> None:
        super().__init__()
        self.receiver = nn.Linear(receiver_dim, set_dim)
        self.sender = nn.Linear(set_dim, set_dim)
        self.pair = nn.Linear(pair_dim, set_dim) if pair_dim else None
        self.output = nn.Linear(2 * set_dim, receiver_dim)
        self.activation = nn.SiLU()
        nn.init.zeros_(self.output.weight)  # learning begins as if there were no relation
        nn.init.zeros_(self.output.bias)

    def forward(
        self, receivers: Tensor, senders: Tensor, there: Tensor, pairs: Tensor | None = None
    ) -> Tensor:
        """What is read (B, m, k), of those senders that are there (B, n)."""
        messages = self.receiver(receivers)[:, :, None] + self.sender(senders)[:, None]
        if self.pair is not None:
            messages = messages + self.pair(pairs)
        return self.output(pooled(self.activation(messages), there[:, None]))


class SetEncoder(nn.Module):
    """Encodes each of a set of members (B, n, member_dim), in any order, into (B, n, set_dim).

    All are encoded alike. With relations, the problem is read beside each member, and in so many
    rounds every member reads of all.

    Args:
        member_dim: numbers of a member.
        set_dim: numbers of an encoded member.
        relations: rounds.
        problem_dim: numbers of the problem.
    """

    def __init__(
        self, member_dim: int, set_dim: int, relations: int = 0, problem_dim: int = 0
    ) -> None:
        super().__init__()
        self.hidden = nn.Linear(member_dim + (problem_dim if relations else 0), set_dim)
        self.output = nn.Linear(set_dim, set_dim)
        self.activation = nn.SiLU()
        self.relations = nn.ModuleList(Relation(set_dim, set_dim, PAIR) for _ in range(relations))

    def forward(self, members: Tensor, there: Tensor, pairs: Tensor, problem: Tensor) -> Tensor:
        """The encoded members (B, n, set_dim).

        Args:
            members: (B, n, member_dim).
            there: (B, n), which of them are there.
            pairs: (B, n, n, PAIR), how they lie to one another.
            problem: (B, problem_dim).
        """
        if self.relations:
            beside = problem[:, None].expand(-1, members.shape[1], -1)
            members = torch.cat([members, beside], -1)
        encoded = self.output(self.activation(self.hidden(members)))
        for relation in self.relations:
            encoded = encoded + relation(encoded, encoded, there, pairs)
        return encoded


class ErrorEncoder(nn.Module):
    """Encodes the consequences of the plan (B, input_dim) into (B, latent_dim)."""

    def __init__(self, input_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(input_dim, latent_dim)
        self.output = nn.Linear(latent_dim, latent_dim)
        self.activation = nn.SiLU()

    def forward(self, features: Tensor) -> Tensor:
        return self.output(self.activation(self.hidden(features)))


class ControlEmbedding(nn.Module):
    """Embeds the plan's features (B, input_dim) into (B, latent_dim)."""

    def __init__(self, input_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(input_dim, latent_dim)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(features)
