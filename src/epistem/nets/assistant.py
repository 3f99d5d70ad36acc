"""A vision-language model as LLaVA is built: frozen eye, projector, causal language model.

::

    micrograph ─► Eye ─► (36, 768) ─► projector ─► 36 tokens ┐
    question ─► tokenizer ─► embeddings ────────────────────► ┴ language model ─► answer, word by word

Image tokens stand in the first turn of the person, before the question. Losses are of answers alone.

Source: Liu et al., Visual Instruction Tuning (LLaVA), 2023; one linear layer as there, or the two of LLaVA-1.5.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from threading import Event, Thread
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from epistem.nets.language import Language

IMAGE = -200
"""Stands for one image token among token ids, as in LLaVA."""
IGNORED = -100
SYSTEM = "You describe micrographs. Say so where an image cannot tell."
Kind = Literal["linear", "mlp"]


class Turn(NamedTuple):
    """A question and its answer."""

    question: str
    answer: str


class Talk(NamedTuple):
    """A conversation on one image as a network reads it.

    Attributes:
        ids: (n,) token ids, IMAGE where the image goes.
        labels: (n,) the ids of the answers, IGNORED elsewhere.
        features: (tokens, width) of the eye; None is no image.
    """

    ids: Tensor
    labels: Tensor
    features: Tensor | None


class Assistant(nn.Module):
    """Eye's tokens and words in, words out.

    Args:
        language: from `load_language`.
        eye_width: width of the eye's tokens.
        image_tokens: of one image.
        projector: "linear" as LLaVA, "mlp" as LLaVA-1.5.
    """

    def __init__(
        self, language: Language, *, eye_width: int, image_tokens: int, projector: Kind = "mlp", seed: int = 0
    ) -> None:
        super().__init__()
        self.language, self.tokenizer, self.language_name = language.model, language.tokenizer, language.name
        self.image_tokens, self.eye_width, self.kind = image_tokens, eye_width, projector
        width = self.language.get_input_embeddings().embedding_dim
        torch.manual_seed(seed)
        layers: list[nn.Module] = [nn.LayerNorm(eye_width), nn.Linear(eye_width, width)]
        if projector == "linear":
            layers = layers[1:]
        else:
            layers += [nn.GELU(), nn.Linear(width, width)]
        self.projector = nn.Sequential(*layers)
        spread = self.language.get_input_embeddings().weight.std()
        # Image tokens start as large as words are, or the first steps go into nothing else.
        self.register_buffer("scale", spread.detach().clone(), persistent=False)
        self.language.requires_grad_(False)

    def trained(self) -> dict[str, Tensor]:
        """What is not the language model as it came: projector, and what was added to the language model."""
        wanted = {name for name, value in self.named_parameters() if value.requires_grad}
        return {
            name: value
            for name, value in self.state_dict().items()
            if name.startswith("projector.") or name in wanted or ".lora_" in name
        }

    def with_lora(self, rank: int = 8) -> Assistant:
        """The same, its language model with low-rank updates of every linear layer, which alone are trained.

        Source: Hu et al., LoRA, 2021; library: peft.
        """
        from peft import LoraConfig, get_peft_model

        torch.manual_seed(rank)
        config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.05, target_modules="all-linear")
        config.exclude_modules = ["lm_head"]
        with warnings.catch_warnings():
            # peft asks transformers for something by a name that this will drop; nothing for a user to do.
            warnings.simplefilter("ignore", FutureWarning)
            self.language = get_peft_model(self.language, config)
        self.rank = rank
        return self

    def forward(self, features: Tensor, ids: Tensor, mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Mean loss of the answers' tokens.

        Args:
            features: (B, tokens, width); a row without IMAGE ids takes none of its.
            ids: (B, n); mask: (B, n) 1 where there is something; labels: (B, n).
        """
        hidden = self._backbone()(inputs_embeds=self._embedded(features, ids), attention_mask=mask).last_hidden_state
        wanted = labels[:, 1:] != IGNORED
        # The vocabulary is 49,152 words wide: only what is scored is worth it.
        logits = self.language.get_output_embeddings()(hidden[:, :-1][wanted]).float()
        return {"loss": nn.functional.cross_entropy(logits, labels[:, 1:][wanted])}

    def _backbone(self) -> Any:
        inner = self.language.get_base_model() if hasattr(self.language, "get_base_model") else self.language
        return inner.model

    def _embedded(self, features: Tensor, ids: Tensor) -> Tensor:
        embedded = self.language.get_input_embeddings()(ids.clamp(min=0))
        here = ids == IMAGE
        if here.any():
            shown = self.projector(features[here.any(1)]) * self.scale
            embedded = embedded.to(shown.dtype).masked_scatter(here[..., None], shown)
        out: Tensor = embedded
        return out

    def talk(self, turns: Sequence[Turn], features: Tensor | None) -> Talk:
        """Conversation on one image, ready to learn from; an empty answer at the end asks for one."""
        ids, labels = conversation(self.tokenizer, turns, self.image_tokens if features is not None else 0)
        return Talk(torch.tensor(ids), torch.tensor(labels), features)

    def collate(self, talks: Sequence[Talk]) -> dict[str, Tensor]:
        """A batch, padded on the right."""
        longest = max(len(one.ids) for one in talks)
        blank = torch.zeros(self.image_tokens, self.eye_width)
        pad = self.tokenizer.pad_token_id

        def filled(row: Tensor, value: int) -> Tensor:
            return nn.functional.pad(row, (0, longest - len(row)), value=value)

        return {
            "features": torch.stack([blank if one.features is None else one.features.float() for one in talks]),
            "ids": torch.stack([filled(one.ids, pad) for one in talks]),
            "mask": torch.stack([filled(torch.ones_like(one.ids), 0) for one in talks]),
            "labels": torch.stack([filled(one.labels, IGNORED) for one in talks]),
        }

    @torch.inference_mode()
    def stream(
        self, turns: Sequence[Turn], features: Tensor | None, *, longest: int = 120, temperature: float = 0.0
    ) -> Iterator[str]:
        """The answer to the last question, piece by piece as it is made.

        Args:
            turns: earlier ones with their answers, and the last with an empty one.
            features: (tokens, width) of the eye, or None.
            longest: tokens of the answer.
            temperature: 0 takes the likeliest word each time.
        """
        self.eval()
        yield from streamed(self.language, self.tokenizer, self._wanted(turns, features, longest, temperature))

    @torch.inference_mode()
    def answer(
        self, turns: Sequence[Turn], features: Tensor | None, *, longest: int = 120, temperature: float = 0.0
    ) -> str:
        """The whole answer to the last question, see `stream`."""
        self.eval()
        out = self.language.generate(**self._wanted(turns, features, longest, temperature))
        return str(self.tokenizer.decode(out[0], skip_special_tokens=True)).strip()

    @torch.inference_mode()
    def answer_many(self, asked: Sequence[tuple[Sequence[Turn], Tensor | None]], *, longest: int = 120) -> list[str]:
        """Answers to many at once, the likeliest words; much faster than one after the other."""
        self.eval()
        each = [self._wanted(turns, features, longest, 0.0) for turns, features in asked]
        most = max(one["inputs_embeds"].shape[1] for one in each)

        def filled(one: dict[str, Any], name: str) -> Tensor:
            value: Tensor = one[name]
            left = (0, 0) if value.ndim == 3 else ()
            return nn.functional.pad(value, (*left, most - value.shape[1], 0))

        together = {
            name: torch.cat([filled(one, name) for one in each]) for name in ("inputs_embeds", "attention_mask")
        }
        out = self.language.generate(**{**each[0], **together})
        return [str(self.tokenizer.decode(row, skip_special_tokens=True)).strip() for row in out]

    def _wanted(
        self, turns: Sequence[Turn], features: Tensor | None, longest: int, temperature: float
    ) -> dict[str, Any]:
        talk = self.talk(turns, features)
        device = next(self.projector.parameters()).device
        ids = talk.ids[None].to(device)
        shown = torch.zeros(1, self.image_tokens, self.eye_width) if features is None else features[None].float()
        how: dict[str, Any] = {"do_sample": temperature > 0}
        if temperature > 0:
            how |= {"temperature": temperature, "top_p": 0.9}
        return how | {
            "inputs_embeds": self._embedded(shown.to(device), ids), "attention_mask": torch.ones_like(ids),
            "max_new_tokens": longest, "pad_token_id": self.tokenizer.pad_token_id,
            "eos_token_id": self.tokenizer.eos_token_id,
        }  # fmt: skip


def streamed(model: Any, tokenizer: Any, wanted: Mapping[str, Any]) -> Iterator[str]:
    """What a model of transformers says, piece by piece as it is made; it stops where nobody reads on.

    Args:
        wanted: of its `generate`.
    """
    from transformers import StoppingCriteriaList, TextIteratorStreamer

    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
    failed: list[BaseException] = []
    left = Event()

    def is_left(ids: Tensor, scores: Any, **rest: Any) -> Tensor:
        return torch.full((len(ids),), left.is_set(), device=ids.device)

    def run() -> None:
        try:
            with torch.inference_mode():
                model.generate(**wanted, streamer=streamer, stopping_criteria=StoppingCriteriaList([is_left]))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that reads
            failed.append(error)
            streamer.end()

    worker = Thread(target=run, daemon=True)
    worker.start()
    try:
        yield from streamer
    finally:
        left.set()
        worker.join()
    if failed:
        raise failed[0]


def conversation(tokenizer: Any, turns: Sequence[Turn], image_tokens: int) -> tuple[list[int], list[int]]:
    """Token ids and labels of a conversation by the tokenizer's own template, else by LLaVA's second.

    An empty last answer ends the ids where the answer would begin.
    """
    ids: list[int] = []
    labels: list[int] = []
    for text, is_answer in _pieces(tokenizer, turns, image_tokens > 0):
        for at, part in enumerate(text.split("<image>") if not is_answer else [text]):
            if at:
                ids += [IMAGE] * image_tokens
                labels += [IGNORED] * image_tokens
            new = tokenizer(part, add_special_tokens=False).input_ids
            ids += new
            labels += new if is_answer else [IGNORED] * len(new)
    return ids, labels


def _pieces(tokenizer: Any, turns: Sequence[Turn], has_image: bool) -> Iterator[tuple[str, bool]]:
    """Text and whether it is an answer, in order. A person's own "<image>" is only words."""
    if tokenizer.chat_template is None:
        for at, turn in enumerate(turns):
            image = "<image>\n" if at == 0 and has_image else ""
            yield f"{SYSTEM + ' ' if at == 0 else ''}USER: {image}{_only_words(turn.question)} ASSISTANT:", False
            if turn.answer:
                yield f" {turn.answer}{tokenizer.eos_token}", True
        return
    messages: list[dict[str, str]] = [{"role": "system", "content": SYSTEM}]
    done = ""
    for at, turn in enumerate(turns):
        image = "<image>\n" if at == 0 and has_image else ""
        messages.append({"role": "user", "content": image + _only_words(turn.question)})
        asked = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        yield asked[len(done) :], False
        if not turn.answer:
            return
        messages.append({"role": "assistant", "content": turn.answer})
        done = tokenizer.apply_chat_template(messages, tokenize=False)
        yield done[len(asked) :], True


def _only_words(question: str) -> str:
    """The question without what would be read as a mark of the template."""
    for mark in ("<image>", "<|im_start|>", "<|im_end|>", "<|endoftext|>", "</s>"):
        question = question.replace(mark, " ")
    return question
