"""One job's network: built, trained, kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch

from epistem.bench.images import Scored
from epistem.bench.plan import Job
from epistem.bench.profile import Profile
from epistem.bench.run import Told, judge_every
from epistem.bench.scoring import rate_of, training_weights
from epistem.bench.undertrained import too_short
from epistem.core.cluster import worker_number
from epistem.nets.cost import cost_of
from epistem.nets.judge import Judge
from epistem.nets.runs import claimed, learn, versions
from epistem.nets.segment_fit import Learning, Settings, schedule_of, steps_of, tile_score, training_tiles
from epistem.nets.segment_use import MODEL, NETWORK, Trained, restore_segmenter
from epistem.nets.segmenters import build_segmenter
from epistem.nets.tiles import Labelled, spread_tiles
from epistem.nets.train import CURVES, Step, device_or_best, read_curves
from epistem.nets.weights import save_weights


class Fitted(NamedTuple):
    """A job's network as its file holds it, in half precision, and the facts of its record."""

    network: Trained
    facts: dict[str, Any]


def train_job(
    job: Job, profile: Profile, parts: Mapping[str, Sequence[Scored]], folder: Path, *, device: str | None, told: Told
) -> Fitted:
    """The network of a job: trained, or taken on where a run that was stopped left it.

    Raises:
        EpistemError: it cannot be built, or the training went astray.
    """
    where, train = _device(device), [one.seen for one in parts["train"]]
    settings = _settings(job, profile, train)
    build: dict[str, Any] = {"encoder": job.encoder, "decoder": job.decoder, "variant": job.variant}
    build |= {"channels": train[0].image.shape[0], "classes": len(profile.task.classes)}
    torch.manual_seed(job.seed)
    network = build_segmenter(**{**build, "weights": job.weights})
    start = network.start

    def said(step: Step) -> None:
        words = ", ".join(f"{name} {value:.3g}" for name, value in step.losses.items())
        told("Training, step", step.number, settings.steps, words)

    with claimed(folder, {"job": job.id, "settings": job.settings}):
        learn(
            Learning(network, settings.preset).to(memory_format=torch.channels_last),
            training_tiles(train, settings), schedule_of(settings), folder, device=where, workers=0, told=said,
            judge=_judge(profile, parts, settings), save_every=min(100, max(1, settings.steps // 3)),
        )  # fmt: skip
        curve = [line for line in read_curves(folder / CURVES) if "score" in line]
        best, why = _best(curve), too_short(curve, settings.steps, profile.training)
        tensors = {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}
        card = _card(job, profile, start, best) | {"undertrained": bool(why)}
        kept = save_weights(folder / MODEL, tensors, network=NETWORK, settings=build, min_score=0.5, card=card)
    made = Trained(restore_segmenter(kept).to(where), settings.tile_px, profile.training.shrink, card)
    facts = {"start": start, "steps": int(curve[-1]["step"]), "best_step": int(best["step"])}
    facts |= {"undertrained": bool(why), "undertrained_why": why}
    facts |= {"best_score": best["score"], "device": where, "tile_px": settings.tile_px, "versions": versions()}
    return Fitted(made, facts | asdict(cost_of(made.network, channels=build["channels"], side_px=settings.tile_px)))


def _settings(job: Job, profile: Profile, train: Sequence[Labelled]) -> Settings:
    asked = profile.training
    steps = [] if asked.max_steps is None else [asked.max_steps]
    if asked.max_epochs is not None:
        steps.append(asked.max_epochs * steps_of(train, asked.image_size, asked.batch_size, 1))
    return Settings(
        steps=min(steps), batch=asked.batch_size, learning_rate=asked.learning_rate, decay=asked.schedule,
        seed=job.seed, tile_px=asked.image_size, preset=asked.preset, half=asked.precision == "bfloat16",
    )  # fmt: skip


def _judge(profile: Profile, parts: Mapping[str, Sequence[Scored]], settings: Settings) -> Judge:
    asked, classes = profile.training, tuple(one.name for one in profile.task.classes)
    epoch = steps_of([one.seen for one in parts["train"]], settings.tile_px, settings.batch, 1)
    every = judge_every(epoch, settings.steps)
    patience = None if asked.early_stopping is None else asked.early_stopping * max(1, round(epoch / every))
    tiles = spread_tiles([one.seen for one in parts["val"]], settings.tile_px, asked.val_tiles)
    rate = rate_of(profile, training_weights(parts["train"], classes))
    return Judge(tile_score(tiles, rate, settings.batch), every, patience)


def _best(curve: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The judgement whose weights were kept: the first with the highest score, the last where none has one."""
    scored = [line for line in curve if line["score"] is not None]
    return max(scored, key=lambda line: line["score"]) if scored else curve[-1]


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
        "look": {"tile_px": profile.training.image_size, "shrink": profile.training.shrink},
        "validation": {profile.task.primary: best["score"], "step": best["step"]},
        "job": job.id,
        "settings": job.settings,
    }


def _device(device: str | None) -> str:
    """The device asked for; workers of one machine take its GPUs in turn."""
    if device is None and (count := torch.cuda.device_count()) > 1:
        number = worker_number()
        return "cuda" if number is None else f"cuda:{number % count}"
    return device_or_best(device)
