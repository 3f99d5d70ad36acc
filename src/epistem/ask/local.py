"""A chat model on this machine: any causal language model of transformers, without a network."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from epistem.core.errors import SettingsError

SEEN = 6000
"""Word pieces of a conversation that are kept, from its end."""


class LocalChat:
    """A language model that answers conversations; a ChatModel.

    Args:
        model: "smollm2", or the folder of a larger one; 135 million parameters write no good questions or grades.
        longest: word pieces of an answer.
    """

    def __init__(self, model: str = "smollm2", *, longest: int = 1024) -> None:
        if longest < 1:
            raise SettingsError(f"an answer has one word piece or more, not {longest}")
        self.model, self.longest = model, longest

    @property
    def name(self) -> str:
        """What answers are recorded under."""
        return f"local:{self.model.rstrip('/').rpartition('/')[2]}"

    def __call__(self, messages: Any) -> str:
        """The likeliest answer.

        Raises:
            SettingsError: a message with an image.
            DependencyMissing, RecordError: see `nets.language.load_language`.
        """
        import torch

        if any(not isinstance(one["content"], str) for one in messages):
            raise SettingsError(f"{self.name} reads text only; give an endpoint that sees images")
        found = self._language
        given = found.tokenizer.apply_chat_template(
            list(messages), add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        given = {name: value[:, -SEEN:] for name, value in given.items() if name in ("input_ids", "attention_mask")}
        with torch.inference_mode():
            out = found.model.generate(
                **given, max_new_tokens=self.longest, do_sample=False, pad_token_id=found.tokenizer.pad_token_id
            )
        return str(found.tokenizer.decode(out[0, given["input_ids"].shape[1] :], skip_special_tokens=True)).strip()

    @cached_property
    def _language(self) -> Any:
        from epistem.nets.language import load_language

        return load_language(self.model)
