"""The context-attention classifier, where a column's contrast asks the context what it can be; and its baselines.

::

    moments (B, 2, 66) ─ by |m| ─► 11 tokens ┐
    scalars (B, 2, 4)  ──────────►  1 token  ┴ Q ─► 2 × (cross-attention, FFN) ─► mean ─► role (B, 6)
    elements (B, 20, 29) ► 20 tokens ┐                                                └──► element (B, 20)
    beam, probe, pixel, dose, detectors ► 6 tokens, or their learned "unknown" ┴ K, V

The element head compares the column with every element's own description, so it also answers for elements that were
not trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

Kind = Literal["attention", "image-only", "concat", "film", "cnn-film"]
_SCALE = 10.0  # moments of columns in units of the host are some hundredths; a network learns faster from tenths
KINDS: tuple[Kind, ...] = ("attention", "image-only", "concat", "film", "cnn-film")


class Columns(NamedTuple):
    """Columns of one field with its context, as tensors; see `atoms.encode.Encoded` and `atoms.dataset.Described`.

    Attributes:
        moments: (n, 2, 66); a detector that is not there is 0.
        scalars: (n, 2, 4).
        detectors: (2,) bool.
        elements: (20, features).
        present: (20,) bool.
        globals: (6, 4).
        known: (6,) bool.
        allowed: (6, 20) bool.
        role, element: (n,) truth; empty where there is none.
        patches: (n, 2, 32, 32) for networks that look at pixels, else empty.
        held: (k,) bool: of what is held out from some networks, which this field shows; empty where nothing is.
    """

    moments: Tensor
    scalars: Tensor
    detectors: Tensor
    elements: Tensor
    present: Tensor
    globals: Tensor
    known: Tensor
    allowed: Tensor
    role: Tensor
    element: Tensor
    patches: Tensor
    held: Tensor


class Logits(NamedTuple):
    """Unnormalised log probabilities, and what they were read from.

    Attributes:
        role: (n, 6).
        element: (n, 20); within the elements that a role allows.
        embedding: (n, D).
    """

    role: Tensor
    element: Tensor
    embedding: Tensor


class Block(nn.Module):
    """Contrast asks context: pre-norm cross-attention and a small feed-forward net, both added.

    Keys and values are made once a field and handed to its columns, which is most of the work saved.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm_q, self.norm_kv, self.norm_f = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key_value, self.out = (
            nn.Linear(width, width),
            nn.Linear(width, 2 * width),
            nn.Linear(width, width),
        )
        self.feed = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor, context: Tensor, hidden: Tensor, which: Tensor) -> Tensor:
        """(B, T, D) from contrast (B, T, D), context (F, S, D), what of it is hidden (F, S), and whose it is (B,)."""
        q = self.query(self.norm_q(x)).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, h, T, D/h)
        keys, values = self.key_value(self.norm_kv(context)).chunk(2, -1)
        keys, values = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (keys, values))
        away = torch.zeros_like(hidden, dtype=x.dtype).masked_fill(hidden, -1e4)[:, None, None, :]
        score = q @ keys[which].transpose(-1, -2) / (q.shape[-1] ** 0.5) + away[which]  # (B, h, T, S)
        heard = (score.softmax(-1) @ values[which]).transpose(1, 2).flatten(2)  # (B, T, D)
        x = x + self.out(heard)
        fed: Tensor = x + self.feed(self.norm_f(x))
        return fed


class ContextClassifier(nn.Module):
    """Role and element of columns.

    Args:
        kind: "attention", or a baseline: "image-only" is the same network with all context unknown; "concat" an MLP
            on contrast and context side by side; "film" an MLP on contrast, scaled and shifted by the context;
            "cnn-film" the same on pixels.
        groups: lengths of the moments' groups by |m|.
        element_features, global_features, scalars: how many of an element, of a variable of the context, of a column.
        width: D.
        heads, blocks, dropout: of the attention.
    """

    def __init__(
        self, kind: Kind = "attention", *, groups: Sequence[Sequence[int]], element_features: int,
        global_features: int = 4, scalars: int = 4, width: int = 64, heads: int = 4, blocks: int = 2,
        dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kind = kind
        self.width = width
        self.groups = [list(group) for group in groups]
        self.element_token = nn.Sequential(nn.Linear(element_features, width), nn.GELU(), nn.Linear(width, width))
        self.global_token = nn.ModuleList(nn.Linear(global_features, width) for _ in range(6))
        self.unknown = nn.Parameter(0.02 * torch.randn(6, width))
        self.no_composition = nn.Parameter(0.02 * torch.randn(width))
        moments = sum(len(group) for group in self.groups)
        if kind in ("attention", "image-only"):
            self.moment_token = nn.ModuleList(nn.Linear(len(group), width) for group in self.groups)
            self.scalar_token = nn.Sequential(nn.Linear(scalars, width), nn.GELU(), nn.Linear(width, width))
            self.place = nn.Parameter(0.02 * torch.randn(2, len(self.groups) + 1, width))
            self.gain = nn.Parameter(1 + 0.1 * torch.randn(2, len(self.groups) + 1, width))
            self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(blocks))
        else:
            seen = 2 * (moments + scalars)
            if kind == "cnn-film":
                self.eye = nn.Sequential(
                    nn.Conv2d(2, 16, 5, 2, 2), nn.GELU(), nn.Conv2d(16, 32, 3, 2, 1), nn.GELU(),
                    nn.Conv2d(32, 64, 3, 2, 1), nn.GELU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
                )  # fmt: skip
                seen = 256 + 2 * scalars
            self.contrast = nn.Sequential(nn.Linear(seen, 2 * width), nn.GELU(), nn.Linear(2 * width, 2 * width))
            self.summary = nn.Sequential(
                nn.Linear(7 * width + 2, 2 * width), nn.GELU(), nn.Linear(2 * width, 4 * width)
            )
            self.mix = nn.Sequential(
                nn.Linear(4 * width if kind == "concat" else 2 * width, 2 * width),
                nn.GELU(),
                nn.Linear(2 * width, width),
            )
            if kind == "concat":
                self.summary = nn.Sequential(
                    nn.Linear(7 * width + 2, 2 * width), nn.GELU(), nn.Linear(2 * width, 2 * width)
                )
        self.head = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU()
        )
        self.role = nn.Linear(64, 6)
        self.asks = nn.Linear(64, width)

    def forward(self, fields: Sequence[Columns]) -> Logits:
        """Logits of all columns of some fields, one field after the other."""
        fields = self._here(fields)
        many = [len(one.moments) for one in fields]
        which = torch.repeat_interleave(torch.arange(len(fields)), torch.tensor(many)).to(fields[0].moments.device)
        elements = torch.stack([one.elements for one in fields])
        present = torch.stack([one.present for one in fields])
        values = torch.stack([one.globals for one in fields])
        known = torch.stack([one.known for one in fields])
        if self.kind == "image-only":
            present, known = torch.zeros_like(present), torch.zeros_like(known)
            # What an element is by nature stays; what it is here would be context.
            elements = torch.cat([elements[..., :18], torch.zeros_like(elements[..., 18:])], -1)
        tokens = self.element_token(elements)  # (F, 20, D)
        wide = torch.stack([layer(values[:, i]) for i, layer in enumerate(self.global_token)], 1)
        wide = torch.where(known[..., None], wide, self.unknown)  # (F, 6, D)
        there = torch.stack([one.detectors for one in fields])
        if self.kind in ("attention", "image-only"):
            x = self._attend(fields, which, tokens, present, wide, there)
        else:
            x = self._mixed(fields, which, tokens, present, wide, there)
        embedding = self.head(x)
        element = torch.einsum("bd,bed->be", self.asks(embedding), tokens[which]) / self.width**0.5
        return Logits(self.role(embedding), element, embedding)

    def _attend(
        self, fields: Sequence[Columns], which: Tensor, tokens: Tensor, present: Tensor, wide: Tensor, there: Tensor
    ) -> Tensor:
        moments = _SCALE * torch.cat([one.moments for one in fields])  # (B, 2, 66)
        contrast = [layer(moments[:, :, group]) for layer, group in zip(self.moment_token, self.groups, strict=True)]
        contrast.append(self.scalar_token(torch.cat([one.scalars for one in fields])))
        # What two detectors see of the same symmetry belongs together, and half the tokens cost half the time.
        seen = there[which].float()[:, :, None, None]
        x = ((torch.stack(contrast, 2) * self.gain + self.place) * seen).sum(1)  # (B, 12, D)
        nothing = ~present.any(1)
        context = torch.cat([tokens, self.no_composition.expand(len(fields), 1, -1), wide], 1)
        hidden = torch.cat([~present, ~nothing[:, None], torch.zeros_like(nothing)[:, None].expand(-1, 6)], 1)
        for block in self.blocks:
            x = block(x, context, hidden, which)
        return x.mean(1)

    def _mixed(
        self, fields: Sequence[Columns], which: Tensor, tokens: Tensor, present: Tensor, wide: Tensor, there: Tensor
    ) -> Tensor:
        scalars = torch.cat([one.scalars for one in fields]).flatten(1)
        if self.kind == "cnn-film":
            x = torch.cat([self.eye(torch.cat([one.patches for one in fields])), scalars], 1)
        else:
            x = torch.cat([_SCALE * torch.cat([one.moments for one in fields]).flatten(1), scalars], 1)
        x = self.contrast(x)
        share = present.float()[..., None]
        pooled = (tokens * share).sum(1) / share.sum(1).clamp(min=1) + self.no_composition * (~present.any(1))[
            :, None
        ]
        context = self.summary(torch.cat([pooled, wide.flatten(1), there.float()], 1))[which]
        if self.kind == "concat":
            told = torch.cat([x, context], 1)
        else:
            scale, shift = context.chunk(2, 1)
            told = x * (1 + scale) + shift
        mixed: Tensor = self.mix(told)
        return mixed

    def losses(self, fields: Sequence[Columns]) -> dict[str, Tensor]:
        """Cross-entropy of the role, and of the element among those that its role allows; roles weigh the same."""
        fields = self._here(fields)
        out = self(fields)
        role, element = torch.cat([one.role for one in fields]), torch.cat([one.element for one in fields])
        which = torch.repeat_interleave(
            torch.arange(len(fields)), torch.tensor([len(one.role) for one in fields])
        ).to(role.device)
        count = torch.bincount(role, minlength=6).float()
        weight = (count.sum() / (6 * count.clamp(min=1))).clamp(max=5.0)
        of_role = F.cross_entropy(out.role, role, weight=weight)
        allowed = torch.stack([one.allowed for one in fields])[which, role]
        of_element = F.cross_entropy(out.element.masked_fill(~allowed, -1e4), element)
        return {"role": of_role, "element": of_element}

    def _here(self, fields: Sequence[Columns]) -> list[Columns]:
        """The fields where the weights are."""
        return [Columns(*(part.to(self.unknown.device) for part in one)) for one in fields]

    @staticmethod
    def collate(samples: list[Columns]) -> list[Columns]:
        """Fields stay apart: each has its own context."""
        return samples

    @torch.no_grad()
    def predict(self, field: Columns, *, batch: int = 4096) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Role logits (n, 6), element logits (n, 20) and embedding (n, 64) of a field's columns."""
        self.eval()
        parts = []
        for start in range(0, max(1, len(field.moments)), batch):
            rows = slice(start, start + batch)
            patches = field.patches[rows] if len(field.patches) else field.patches
            parts.append(
                self([field._replace(moments=field.moments[rows], scalars=field.scalars[rows], patches=patches)])
            )
        role, element, embedding = (torch.cat(kind).float().cpu().numpy() for kind in zip(*parts, strict=True))
        return role, element, embedding


class Together(nn.Module):
    """Several classifiers that learn from the same fields in one run, for comparisons of equal budget.

    Args:
        members: by name.
        holds: name → which entry of `Columns.held` keeps a field from it.
    """

    def __init__(self, members: dict[str, ContextClassifier], holds: dict[str, int]) -> None:
        super().__init__()
        self.members = nn.ModuleDict(members)
        self.holds = holds

    def losses(self, fields: Sequence[Columns]) -> dict[str, Tensor]:
        """The sum of each member's losses; 0 for one from which all of these fields are held out."""
        out = {}
        for name, member in self.members.items():
            mine = [one for one in fields if name not in self.holds or not bool(one.held[self.holds[name]])]
            kept = sum(member.losses(mine).values()) if mine else 0 * member.unknown.sum()  # type: ignore[operator]
            assert isinstance(kept, Tensor)
            out[name] = kept
        return out

    @staticmethod
    def collate(samples: list[Columns]) -> list[Columns]:
        """Fields stay apart: each has its own context."""
        return samples
