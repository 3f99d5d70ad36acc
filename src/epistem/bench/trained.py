"""One job's network: built, trained, kept, used. Torch comes in here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from epistem.bench.images import Scored
from epistem.bench.plan import Job
from epistem.bench.profile import Profile
from epistem.bench.run import Told, judge_every
from epistem.bench.scoring import rate_of, training_weights
from epistem.bench.store import MODEL
from epistem.core import RecordError
from epistem.nets.cost import cost_of
from epistem.nets.judge import Judge
from epistem.nets.runs import claimed, learn, versions
from epistem.nets.segment_fit import (
    Learning,
    Settings,
    enlarged,
    predict_image,
    schedule_of,
    steps_of,
    tile_score,
    training_tiles,
)
from epistem.nets.segmenters import Segmenter, build_segmenter
from epistem.nets.tiles import spread_tiles
from epistem.nets.train import CHECKPOINT, Step, device_or_best, read_curves
from epistem.nets.weights import Weights, open_weights, save_weights

NETWORK = "segmenter"


@dataclass(frozen=True, eq=False)
class Trained:
    """A segmentation network that is ready for use.

    Attributes:
        network: in evaluation mode.
        tile_px, shrink: how it looks at an image.
        facts: of the job's record.
        folder: of the job.
    """

    network: Segmenter
    tile_px: int
    shrink: int
    facts: Mapping[str, Any]
    folder: Path

    def probability(self, image: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
        """(K, H, W) at the size of the file, of an image from `network_input`."""
        return enlarged(predict_image(self.network, image, tile_px=self.tile_px), shape, self.shrink)

    def segment(self, image: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.int16]:
        """(H, W) the most probable class."""
        return self.probability(image, shape).argmax(0).astype(np.int16)

    def clean(self) -> None:
        """Drop the checkpoint of a training that is through."""
        (self.folder / CHECKPOINT).unlink(missing_ok=True)


def train_job(
    job: Job, profile: Profile, parts: Mapping[str, Sequence[Scored]], folder: Path, *, device: str | None, told: Told
) -> Trained:
    """The network of a job, with the weights that its file holds.

    Raises:
        EpistemError: it cannot be built, or the training went astray.
    """
    train = [one.seen for one in parts["train"]]
    asked, classes = profile.training, tuple(one.name for one in profile.task.classes)
    epoch = steps_of(train, asked.image_size, asked.batch_size, 1)
    settings = Settings(
        steps=min(asked.max_steps or 10**9, (asked.max_epochs or 10**9) * epoch), batch=asked.batch_size,
        learning_rate=asked.learning_rate, decay=asked.schedule, seed=job.seed, tile_px=asked.image_size,
        preset=asked.preset, half=asked.precision == "bfloat16",
    )  # fmt: skip
    every = judge_every(epoch, settings.steps)
    where = _device(device)
    build = {"encoder": job.encoder, "decoder": job.decoder, "variant": job.variant}
    build |= {"channels": train[0].image.shape[0], "classes": len(classes)}
    torch.manual_seed(job.seed)
    network = build_segmenter(**build, weights=job.weights)
    start = network.start
    tiles = spread_tiles([one.seen for one in parts["val"]], asked.image_size, asked.val_tiles)
    rate = rate_of(profile, training_weights(parts["train"], classes))
    patience = None if asked.early_stopping is None else asked.early_stopping * max(1, round(epoch / every))
    judge = Judge(tile_score(tiles, rate, asked.batch_size), every, patience)

    def said(step: Step) -> None:
        words = ", ".join(f"{name} {value:.3g}" for name, value in step.losses.items())
        told("Training, step", step.number, settings.steps, words)

    with claimed(folder, {"job": job.id, "settings": job.settings}):
        learner = Learning(network, asked.preset).to(memory_format=torch.channels_last)
        learn(learner, training_tiles(train, settings), schedule_of(settings), folder, device=where, workers=0,
              told=said, judge=judge, save_every=min(100, max(1, settings.steps // 3)))  # fmt: skip
        curve = [line for line in read_curves(folder / "curves.jsonl") if "score" in line]
        best = max(curve, key=lambda line: line["score"])
        card = _card(job, profile, start, best)
        tensors = {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}
        kept = save_weights(folder / MODEL, tensors, network=NETWORK, settings=build, min_score=0.5, card=card)
    # What is scored is what the file holds, in half precision.
    loaded = restore_segmenter(kept).to(where)
    cost = cost_of(loaded, channels=build["channels"], side_px=asked.image_size)
    facts = {
        "start": start, "steps": int(curve[-1]["step"]), "best_step": int(best["step"]), "best_score": best["score"],
        "device": where, "tile_px": asked.image_size, "versions": versions(), "parameters": cost.parameters,
        "macs": cost.macs, "latency_ms": cost.latency_ms, "frames_per_s": cost.frames_per_s, "peak_mb": cost.peak_mb,
    }  # fmt: skip
    return Trained(loaded, asked.image_size, asked.shrink, facts, folder)


def open_trained(path: Path) -> tuple[Trained, Weights]:
    """The network that a job kept, and its file with the card.

    Args:
        path: a job's folder or its model.safetensors.

    Raises:
        RecordError: not there, or no segmentation network.
    """
    file = path / MODEL if path.is_dir() else path
    weights = open_weights(file)
    if weights.network != NETWORK:
        raise RecordError(f"{file} holds {weights.network}, no segmentation network; give one of `epistem bench run`")
    look = weights.card["look"]
    return Trained(restore_segmenter(weights), look["tile_px"], look["shrink"], {}, file.parent), weights


def restore_segmenter(weights: Weights) -> Segmenter:
    """The network in a file.

    Raises:
        RecordError: its tensors do not fit the network that it names.
    """
    network = build_segmenter(**weights.settings, weights="none")
    try:
        network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.tensors().items()})
    except RuntimeError as error:
        why = " ".join(str(error).split())[:200]
        raise RecordError(f"{weights.path} does not fit this version's network: {why}; train it again") from error
    network.to(memory_format=torch.channels_last)
    return network.eval()


def _card(job: Job, profile: Profile, start: str, best: Mapping[str, float]) -> dict[str, Any]:
    dataset = profile.dataset
    return {
        "what": job.name,
        "dataset": dataset.id,
        "modality": dataset.modality,
        "classes": [one.name for one in profile.task.classes],
        "channels": list(dataset.channels),
        "resolution": json.loads(dataset.resolution.model_dump_json()) if dataset.resolution else None,
        "licence": dataset.metadata.provenance.licence,
        "start": start,
        "undertrained": profile.training.undertrained,
        "look": {"tile_px": profile.training.image_size, "shrink": profile.training.shrink},
        "validation": {profile.task.primary: best["score"], "step": best["step"]},
        "job": job.id,
        "settings": job.settings,
    }


def _device(device: str | None) -> str:
    """The device asked for; workers of one machine take its GPUs in turn."""
    if device is None and (count := torch.cuda.device_count()) > 1:
        from distributed import get_worker

        try:
            name = get_worker().name
        except ValueError:  # not in a worker
            return "cuda"
        return f"cuda:{name % count}" if isinstance(name, int) else "cuda"
    return device_or_best(device)
