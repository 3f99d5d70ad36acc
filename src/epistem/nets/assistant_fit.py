"""Training of the assistant in LLaVA's two stages, by the Trainer of transformers: one machine or many by torchrun.

Stage 1 aligns the projector on images with captions; stage 2 trains projector and language model (or low-rank updates
of it) on questions and answers. A run that was killed goes on from its last checkpoint.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from epistem.core.errors import RecordError, SettingsError, TrainingError
from epistem.nets.assistant import Assistant, Talk


@dataclass(frozen=True)
class Stage:
    """How one stage learns.

    Attributes:
        epochs: over the examples.
        batch: examples for each update, over all devices.
        at_once: examples on one device at once; the rest is accumulated.
        learning_rate: at its highest; it warms up over `warmup` and falls as a cosine.
        lora_rank: of updates of the language model; 0 trains all of it, None none of it.
        half: bfloat16 where torch holds it safe.
        patience: judgements without a better one before it stops; 0 never stops early.
    """

    epochs: float
    batch: int
    learning_rate: float
    at_once: int = 4
    warmup: float = 0.03
    lora_rank: int | None = None
    weight_decay: float = 0.0
    half: bool = True
    patience: int = 0
    seed: int = 0


STAGE_1 = Stage(1, 128, 2e-3, at_once=16)
PRESETS: dict[str, tuple[Stage | None, Stage]] = {
    # LLaVA v1: 595 K captions, then 158 K conversations (github haotian-liu/LLaVA, its scripts).
    "llava-1": (STAGE_1, Stage(3, 32, 2e-5, at_once=4, lora_rank=0)),
    # The published system: the second stage only, after LLaVA's own two.
    "glassllava": (None, Stage(28, 4 * 8, 1e-5, at_once=4, lora_rank=0)),
    # What ships: small enough for two cores.
    "small": (Stage(1, 8, 1e-3, at_once=8), Stage(1, 4, 5e-4, lora_rank=8)),
}


class Talks(Dataset[Talk]):
    """Examples made when they are asked for: number → conversation."""

    def __init__(self, make: Callable[[int], Talk], count: int) -> None:
        self.make, self.count = make, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, at: int) -> Talk:
        return self.make(at)


def fit_stage(
    network: Assistant, examples: Dataset[Talk], stage: Stage, folder: Path, *, judged: Dataset[Talk] | None = None,
    told: Callable[[int, int, dict[str, float]], None] = lambda step, of, logs: None, workers: int = 0,
    save_steps: int = 100, cpu: bool | None = None,
) -> Assistant:  # fmt: skip
    """The network trained; goes on where a run in `folder` stopped.

    Args:
        examples: conversations.
        judged: conversations of other papers; their loss is written beside, and with `patience` stops the run.
        told: called with step, steps and what was measured.
        cpu: use no GPU; None uses what is there.

    Raises:
        SettingsError: a batch that the devices cannot share evenly.
        TrainingError: no finite loss.
    """
    from transformers import EarlyStoppingCallback, TrainerCallback

    network.language.requires_grad_(False)
    if stage.lora_rank:
        if not hasattr(network, "rank"):
            network.with_lora(stage.lora_rank)
        for name, value in network.language.named_parameters():
            value.requires_grad_(".lora_" in name)
    elif stage.lora_rank == 0:
        network.language.requires_grad_(True)

    class Tell(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
            logs: dict[str, float] = rest["logs"]
            told(state.global_step, state.max_steps, {k: v for k, v in logs.items() if isinstance(v, (int, float))})
            if "loss" in logs and not logs["loss"] < float("inf"):
                raise TrainingError(f"the loss is no number at step {state.global_step}; lower the learning rate")

    trainer = _trainer_class()(
        model=network, args=_arguments(stage, folder, judged is not None, workers, save_steps, cpu),
        train_dataset=examples, eval_dataset=judged, data_collator=network.collate, callbacks=[Tell()],
    )  # fmt: skip
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    if judged is not None and stage.patience:
        trainer.add_callback(EarlyStoppingCallback(stage.patience))
    last = sorted(folder.glob("checkpoint-*"), key=lambda one: int(one.name.split("-")[1]))
    trainer.train(resume_from_checkpoint=str(last[-1]) if last else None)
    (folder / "log.json").write_text(json.dumps(trainer.state.log_history, indent=1), "utf-8")
    return network


def _arguments(stage: Stage, folder: Path, judged: bool, workers: int, save_steps: int, cpu: bool | None) -> Any:
    from transformers import TrainingArguments

    on_cpu = not torch.cuda.is_available() if cpu is None else cpu
    devices = 1 if on_cpu else int(os.environ.get("WORLD_SIZE", torch.cuda.device_count()))
    at_once = min(stage.at_once, stage.batch)
    accumulate, left = divmod(stage.batch, at_once * devices)
    if not accumulate:
        at_once, accumulate, left = stage.batch // devices, 1, stage.batch % devices
    if left:
        raise SettingsError(
            f"a batch of {stage.batch} cannot be shared by {devices} devices, {at_once} at once; choose a multiple"
        )
    often = "steps" if judged else "no"
    return TrainingArguments(
        output_dir=str(folder), num_train_epochs=stage.epochs, per_device_train_batch_size=at_once,
        per_device_eval_batch_size=at_once, gradient_accumulation_steps=accumulate,
        learning_rate=stage.learning_rate, lr_scheduler_type="cosine", warmup_steps=stage.warmup,
        weight_decay=stage.weight_decay, max_grad_norm=1.0, bf16=stage.half, use_cpu=on_cpu,
        logging_steps=10, save_steps=save_steps, eval_strategy=often, eval_steps=save_steps, save_total_limit=2,
        load_best_model_at_end=judged and stage.patience > 0, metric_for_best_model="loss" if judged else None,
        seed=stage.seed, report_to=[], disable_tqdm=True, remove_unused_columns=False, label_names=["labels"],
        dataloader_num_workers=workers, dataloader_pin_memory=False, dataloader_persistent_workers=workers > 0,
    )  # fmt: skip


def _trainer_class() -> Any:
    """The Trainer that keeps only what is trained: the language model as it came is where it came from."""
    from safetensors.torch import load_file, save_file
    from transformers import Trainer

    class KeepTrained(Trainer):
        def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
            where = Path(output_dir or str(self.args.output_dir))
            where.mkdir(parents=True, exist_ok=True)
            kept = self.accelerator.unwrap_model(self.model).trained()
            save_file({name: value.detach().clone() for name, value in kept.items()}, where / "model.safetensors")

        def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
            network = self.accelerator.unwrap_model(model or self.model)
            network.load_state_dict(load_file(Path(resume_from_checkpoint) / "model.safetensors"), strict=False)

        def _load_best_model(self) -> None:
            self._load_from_checkpoint(str(self.state.best_model_checkpoint))

        def prediction_step(
            self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None
        ) -> Any:
            with torch.no_grad(), self.compute_loss_context_manager():
                loss = model(**self._prepare_inputs(inputs))["loss"]
            return loss.detach(), None, None

    return KeepTrained


def llava_pretrain(file: Path, images: Path) -> list[tuple[Path, str]]:
    """Image and caption of LLaVA's own set for stage 1 (`blip_laion_cc_sbu_558k.json` or `chat.json`).

    Raises:
        RecordError: the file is not such a list.
    """
    try:
        rows = json.loads(file.read_text("utf-8"))
        if not isinstance(rows, list):
            raise TypeError(type(rows).__name__)
        return [(images / row["image"], _answer_of(row["conversations"])) for row in rows if "image" in row]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{file.name} is no list of LLaVA's conversations: {error!r}") from None


def _answer_of(conversation: Sequence[dict[str, str]]) -> str:
    return next(turn["value"] for turn in conversation if turn["from"] == "gpt")
