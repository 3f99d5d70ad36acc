"""`epistem segment`, `epistem explain`, `epistem train segmenter`: one network, trained, used, looked into."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from epistem.app.options import Device, Json
from epistem.app.terminal import SOME_FAILED

LITE = "tf_efficientnet_lite0"


class Preset(StrEnum):
    """How it learns."""

    default = "default"
    paper = "paper"


ModelPath = Annotated[
    Path, typer.Option("--model", "-m", help="A run of `epistem bench run`, one of its jobs, or a .safetensors file.")
]


def segment(
    paths: Annotated[list[Path], typer.Argument(help="Micrographs, or folders of them.", readable=False)],
    model: ModelPath,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")],
    pixel_size: Annotated[str | None, typer.Option(help="Overrules the file: '0.38', '1.2 µm'.")] = None,
    min_diameter_px: Annotated[
        float, typer.Option(help="Leave out parts with a smaller area-equivalent diameter, in pixels.")
    ] = 0.0,
    device: Device = None,
    coverage: Annotated[float, typer.Option(help="Probability that an interval holds the truth.")] = 0.9,
    seed: Annotated[int, typer.Option(help="Of the resampling behind the intervals.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one unless told.")] = None,
    as_json: Json = False,
) -> None:
    """Segment images with a trained network: parts measured, masks in all formats, and how typical each image is.

    A run that was stopped goes on where it was: the same command again.
    """
    from epistem.app.batch import list_files, make_jobs, run_batch
    from epistem.app.segment import model_file
    from epistem.app.settings import make_settings
    from epistem.app.store import earlier
    from epistem.app.terminal import Bar, say, tell_batch, tell_earlier

    file, why = model_file(model)
    say(why)
    chosen = {"weights": str(file), "min_diameter_px": min_diameter_px, "device": device}
    settings = make_settings(
        detector="segmenter", detector_settings=chosen, pixel_size=pixel_size, object_name="object",
        coverage=coverage, seed=seed,
    )  # fmt: skip
    settings.key()
    jobs = make_jobs(list_files(paths, out), settings)
    tell_earlier(earlier(out, jobs), out)
    with Bar(len(jobs), quiet=as_json) as bar:
        result = run_batch(jobs, settings, out, workers=workers or 1, progress=bar.advance, stage=bar.stage)
    tell_batch(result, out, as_json=as_json)
    if result.errors:
        raise typer.Exit(SOME_FAILED)


def explain(
    image: Annotated[Path, typer.Argument(help="One micrograph.", readable=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the figure and the numbers.")],
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help="A run, job or .safetensors file of `epistem bench run`.")
    ] = None,
    roi: Annotated[
        str | None, typer.Option(help="With a model: a mask file, or corners 'row,col row,col row,col'.")
    ] = None,
    class_name: Annotated[
        str | None, typer.Option("--class", help="The class asked about; that of the region.")
    ] = None,
    which: Annotated[
        int | None, typer.Option("--object", min=1, help="Without a model: which object of the shipped detector.")
    ] = None,
    kernel: Annotated[
        str,
        typer.Option(
            help="What stands in a patch: blur, gauss, mean, inpaint, noise. swap needs a second image: Python only."
        ),
    ] = "blur",
    patch_px: Annotated[
        int | None,
        typer.Option(
            min=8, help="Edge of a patch in pixels, a multiple of 8; larger is faster. By the region unless told."
        ),
    ] = None,
    check: Annotated[bool, typer.Option(help="Test the map by deletion, and look for the smallest change.")] = True,
    as_json: Json = False,
) -> None:
    """Show what an answer hangs on: how much it changes when parts of the image do, and whether that map holds."""
    from epistem.app.as_json import print_json
    from epistem.app.explain import ask_detector, ask_model, write_explanation
    from epistem.app.explain import explain as look
    from epistem.app.segment import model_file
    from epistem.app.terminal import say
    from epistem.app.train import AGAIN, Words
    from epistem.core import SettingsError

    if (model is None) != (roi is None) or (model is None) == (which is None):
        raise SettingsError("wanted --model with --roi, or --object for the shipped detector")
    with Words(quiet=as_json) as words, words.stoppable(lambda: "nothing is kept", again=AGAIN):
        if model is not None and roi is not None:
            file, why = model_file(model)
            say(why)
            asked = ask_model(image, file, roi, class_name)
        else:
            asked = ask_detector(image, which or 1)
        made = look(asked, kernel=kernel, patch_px=patch_px, check=check,
                    told=lambda done, of, more: words.show("Explaining, pass", done, of, more))  # fmt: skip
    told = write_explanation(made, out)
    if as_json:
        print_json({"out": str(out), **told})
        return
    print(explained(told))
    print(f"Figure: {out / 'heatmap.svg'}")


def explained(told: dict[str, Any]) -> str:
    """What `explain.record` tells, in sentences, one a line."""
    lines = [f"{told['what'].capitalize()}, region of {told['region_px']} px, {told['forwards']} passes"]
    if told["deletion_p"] is None:
        lines.append("Not tested: the class is nowhere in the region, or --no-check.")
    else:
        sure = "more than" if told["deletion_p"] < 0.05 else "NOT more than"
        lines.append(
            f"Blurring what the map ranks highest takes {sure} other places of the same shape take "
            f"(gap {told['deletion_gap']:.2f}, p = {told['deletion_p']:.3f})"
        )
        area, share = told["minimal_change_px"], told["minimal_change_share"]
        flip = (
            "No set of changed patches halves the answer."
            if area is None
            else f"Changing {area} px ({share:.1%} of the image) halves the answer (Dice below 0.5)."
        )
        lines.append(flip)
    return "\n".join(lines)


def train_segmenter(
    folder: Annotated[Path, typer.Argument(help="Images with their masks, or a profile (.json).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.")],
    encoder: Annotated[str, typer.Option(help="resnet50, se_resnext101_32x4d, tf_efficientnet_lite0, …")] = LITE,
    decoder: Annotated[str, typer.Option(help="unet, deeplabv3, deeplabv3plus, fpn, segformer, …")] = "unet",
    weights: Annotated[
        str, typer.Option(help="The encoder begins from imagenet, micronet or none (random).")
    ] = "imagenet",
    preset: Annotated[
        Preset, typer.Option(help="paper: cross-entropy as published; default: with Dice loss and augmentation.")
    ] = Preset.default,
    steps: Annotated[
        int | None, typer.Option(min=1, help="How long; until validation stops rising unless told.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Tiles a step.")] = 16,
    tile_px: Annotated[int, typer.Option(min=32, help="Side of a tile in pixels, a multiple of 32.")] = 256,
    shrink: Annotated[int, typer.Option(min=1, help="Blocks of so many pixels become one first.")] = 1,
    learning_rate: Annotated[float, typer.Option(help="At its highest.")] = 1e-4,
    seed: Annotated[int, typer.Option(min=0, help="Of new weights, tiles and their order.")] = 0,
    groups: Annotated[Path | None, typer.Option(help="CSV of images and what they come from.")] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Train one segmentation network on your own masks, and test it on images of groups it has not seen.

    A run that was stopped goes on where it was: the same command again.
    """
    from epistem.app.bench_run import run_planned
    from epistem.bench.checked import nearest
    from epistem.bench.folder import profile_from_folder
    from epistem.bench.groups import read_groups
    from epistem.bench.names import DECODERS, ENCODERS
    from epistem.bench.profile import load_profile, profile_of
    from epistem.core import UnknownName

    if folder.suffix == ".json":
        profile = load_profile(folder)
    else:
        told = None if groups is None else read_groups(groups)
        profile = profile_from_folder(folder, groups=told, scale_bars=False)
    for option, name, known in (("encoder", encoder, ENCODERS), ("decoder", decoder, DECODERS)):
        if name not in known:
            raise UnknownName(f"--{option} {name}: there is none of that name; {nearest(name, known)}")
    values = profile.model_dump(by_alias=True)
    values["model"] |= {"encoders": [encoder], "decoders": [decoder], "weights": [weights]}
    values["training"] |= {
        "preset": preset.value, "max_steps": steps, "batch_size": batch, "image_size": tile_px, "shrink": shrink,
        "learning_rate": learning_rate, "seeds": [seed],
    }  # fmt: skip
    run_planned(profile_of(values, source="the options"), out, device=device, as_json=as_json)
