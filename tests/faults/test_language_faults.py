"""The language model as it is kept in the user's cache: files that were cut, changed or removed, and a full disk."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch
import transformers

from epistem.core.errors import RecordError
from epistem.nets import language
from epistem.nets.language import Language, load_language
from tests.nets.tiny_language import write_language

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_language(tmp_path_factory.mktemp("language") / "tiny")


class Packed:
    """Weights as a package carries them, and how often they were unpacked."""

    def __init__(self, file: Path, cache: Path) -> None:
        self.file, self.cache, self.times = file, cache, 0

    @property
    def kept(self) -> Path:
        (folder,) = self.cache.iterdir()
        return folder

    def load(self) -> Language:
        return load_language(str(self.file))


@pytest.fixture
def packed(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packed:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(b"weights of four bits")
    made = Packed(file, tmp_path / "cache" / "epistem")

    def unpacked(_: Path) -> tuple[object, object]:
        made.times += 1
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(tiny))
        tokenizer.add_tokens([f"word{i}" for i in range(2000)])  # a larger file than the weights
        return tokenizer, transformers.AutoModelForCausalLM.from_pretrained(str(tiny))

    monkeypatch.setattr(language, "_read_gguf", unpacked)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return made


def weights(found: Language) -> list[torch.Tensor]:
    return list(found.model.state_dict().values())


def flipped(path: Path) -> None:
    held = bytearray(path.read_bytes())
    held[-7] ^= 0x10
    path.write_bytes(held)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE: dict[str, tuple[str, Callable[[Path], None]]] = {
    "cut weights": ("model.safetensors", cut),
    "one bit of the weights": ("model.safetensors", flipped),
    "no weights": ("model.safetensors", Path.unlink),
    "no tokenizer": ("tokenizer.json", Path.unlink),
    "cut settings": ("config.json", cut),
    "cut hashes": (language._HASHES, cut),
    "no hashes": (language._HASHES, Path.unlink),
}


def test_what_was_unpacked_once_is_not_unpacked_again(packed: Packed) -> None:
    first, second = packed.load(), packed.load()

    assert packed.times == 1
    assert all(torch.equal(one, other) for one, other in zip(weights(first), weights(second), strict=True))


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_cache_is_made_anew_and_nobody_is_told_wrong_words(packed: Packed, what: str) -> None:
    whole = packed.load()
    name, damage = DAMAGE[what]
    damage(packed.kept / name)

    found = packed.load()

    assert packed.times == 2
    assert all(torch.equal(one, other) for one, other in zip(weights(found), weights(whole), strict=True))
    assert language._whole(packed.kept)


def test_a_cache_that_another_process_made_meanwhile_stays(packed: Packed, tmp_path: Path) -> None:
    packed.load()
    mine, theirs = tmp_path / "mine", packed.kept
    shutil.copytree(theirs, mine)
    (mine / "mine").touch()

    language._put(mine, theirs, aside=tmp_path / "aside")

    assert not (theirs / "mine").exists()
    assert language._whole(theirs)


def test_a_damaged_folder_of_one_s_own_is_a_line_and_is_left_as_it_is(tiny: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(tiny, own)
    cut(own / "model.safetensors")
    before = (own / "model.safetensors").read_bytes()

    with pytest.raises(RecordError, match=r"own holds no language model that transformers reads .*make it again"):
        load_language(str(own))
    assert (own / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize("most", [10, 1000, 20_000, 200_000])
def test_a_full_disk_is_told_in_words_and_leaves_no_half_of_a_model(packed: Packed, most: int) -> None:
    pytest.importorskip("resource")  # Windows has no such limits
    from tests.faults.running import small_disk

    with small_disk(most), pytest.raises(RecordError, match=r"cannot be kept as .*; make room there"):
        packed.load()
    assert list(packed.cache.iterdir()) == []
    assert packed.load().model


def test_memory_that_runs_out_is_not_taken_for_a_damaged_file(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", short)
    with pytest.raises(OSError, match="allocate memory"):
        load_language(str(tiny))
