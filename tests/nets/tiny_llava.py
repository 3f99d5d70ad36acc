"""A LLaVA of two small layers, with its processor, as transformers saves a finished one; for tests."""

from __future__ import annotations

from pathlib import Path

from tests.nets.tiny_language import write_language

TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }} {% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<image> {% else %}{{ c['text'] }} {% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}assistant{% endif %}"
)


def write_llava(where: Path, *, template: str | None = TEMPLATE, seed: int = 0) -> Path:
    """Written to this folder: 8 × 8 pixels in four patches, words of `tiny_language`."""
    import torch
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    language = write_language(where / "language")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(language)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    tokenizer.chat_template = None
    text = LlamaConfig.from_pretrained(language)
    text.vocab_size = len(tokenizer)
    eye = CLIPVisionConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
                           image_size=8, patch_size=4)  # fmt: skip
    torch.manual_seed(seed)
    config = LlavaConfig(vision_config=eye, text_config=text, image_seq_length=4,
                         image_token_index=tokenizer.convert_tokens_to_ids("<image>"))  # fmt: skip
    network = LlavaForConditionalGeneration(config)
    # Larger than a network starts with: or the picture would hardly matter to the words.
    with torch.no_grad():
        for value in network.parameters():
            value.mul_(8)
    network.save_pretrained(where)
    side = {"height": 8, "width": 8}
    LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 8}, crop_size=side), tokenizer, patch_size=4,
        vision_feature_select_strategy="default", num_additional_image_tokens=1, chat_template=template,
    ).save_pretrained(where)  # fmt: skip
    return where
