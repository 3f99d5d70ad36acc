from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epistem.core import Instances, SettingsError
from epistem.core.errors import TrainingError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from epistem.nets import train  # noqa: E402
from epistem.nets.judge import PLATEAU, Judge, Judged  # noqa: E402
from epistem.nets.sample import Sample  # noqa: E402
from epistem.nets.train import Schedule, Step, device_or_best, fit, read_curves  # noqa: E402

PLAN = Schedule(steps=12, batch=3, learning_rate=1e-2)


class Mean(nn.Module):
    """Learns the mean of an image by a convolution and a norm."""

    def __init__(self, norm: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4) if norm else nn.Identity(), nn.ReLU(), nn.Conv2d(4, 1, 1)]
        self.layers = nn.Sequential(*layers)

    def losses(self, batch: list[Sample]) -> dict[str, torch.Tensor]:
        images = torch.from_numpy(np.stack([one.image for one in batch])[:, None])
        given = self.layers(images).mean((1, 2, 3))
        return {"far": ((given - images.mean((1, 2, 3))) ** 2).mean(), "large": 1e-3 * (given**2).mean()}


class Stacked(Mean):
    """The same, with batches stacked where they are made."""

    @staticmethod
    def collate(samples: list[Sample]) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        images = torch.from_numpy(np.stack([one.image for one in samples])[:, None])
        return images, (images.mean((1, 2, 3)),)

    def losses(self, batch: Any) -> dict[str, torch.Tensor]:
        images, (means,) = batch
        return {"far": ((self.layers(images).mean((1, 2, 3)) - means) ** 2).mean()}


def noise(rng: np.random.Generator, step: int) -> Sample:
    return Sample(rng.normal(rng.normal(), 1, (8, 8)).astype(np.float32), Instances.empty((8, 8)))


def trained(folder: Path, network: nn.Module | None = None, schedule: Schedule = PLAN, **rest: Any) -> nn.Module:
    settings = {"workers": 0, "save_every": 4, "word_every": 2, "make": noise, **rest}
    make = settings.pop("make")
    return fit(network or Mean(), make, schedule, folder, **settings)


def assert_same(one: nn.Module, other: nn.Module, **tolerance: float) -> None:
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(
            a, b, msg=lambda text, name=name: f"{name}: {text}", **tolerance or {"rtol": 0, "atol": 0}
        )


def killed_at(step: int):
    def told(now: Step) -> None:
        if now.number == step:
            raise KeyboardInterrupt

    return told


def test_the_loss_falls_and_the_curves_say_so(tmp_path):
    said: list[Step] = []
    plan = Schedule(steps=60, batch=8, learning_rate=3e-2)
    network = trained(tmp_path, Mean(norm=False), plan, told=said.append)
    curves = read_curves(tmp_path / "curves.jsonl")
    assert [line["step"] for line in curves] == [step.number for step in said] == list(range(2, 61, 2))
    assert curves[-1]["far"] == said[-1].losses["far"] < 0.3 * curves[0]["far"]
    assert not network.training


def test_same_seed_same_weights_and_another_seed_others(tmp_path):
    one, same = trained(tmp_path / "a"), trained(tmp_path / "b")
    other = trained(tmp_path / "c", schedule=Schedule(12, 3, 1e-2, seed=1))
    assert_same(one, same)
    assert not torch.equal(one.layers[0].weight, other.layers[0].weight)


def test_samples_made_in_another_process_are_the_same(tmp_path):
    assert_same(trained(tmp_path / "a"), trained(tmp_path / "b", workers=1))


def test_a_sample_depends_on_seed_step_and_place_alone(tmp_path):
    made: dict[int, list[float]] = {}

    def make(rng: np.random.Generator, step: int) -> Sample:
        one = noise(rng, step)
        made.setdefault(step, []).append(float(one.image[0, 0]))
        return one

    trained(tmp_path, make=make)
    assert sorted(made) == list(range(1, 13))
    assert [len(made[step]) for step in sorted(made)] == [3] * 12
    again = [noise(np.random.default_rng([0, 3 * 4 + i]), 5).image[0, 0] for i in range(3)]
    assert made[5] == again


@pytest.mark.parametrize("step", [2, 6, 8, 10])
def test_a_run_killed_at_any_step_goes_on_to_the_same_weights_and_curves(tmp_path, step):
    whole = trained(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed", told=killed_at(step))
    resumed = trained(tmp_path / "killed")
    assert_same(resumed, whole, rtol=1e-6, atol=1e-6)
    curves, again = (read_curves(tmp_path / name / "curves.jsonl") for name in ("whole", "killed"))
    assert [line["step"] for line in again] == [line["step"] for line in curves] == list(range(2, 13, 2))
    assert [line["far"] for line in again] == pytest.approx([line["far"] for line in curves], rel=1e-6)


def test_a_finished_run_gives_its_weights_again_without_a_step(tmp_path):
    first = trained(tmp_path)
    network = Mean()
    nn.init.zeros_(network.layers[0].weight)
    assert_same(trained(tmp_path, network, told=killed_at(12)), first)


def test_a_line_of_the_curves_that_a_kill_cut_short_is_left_out(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, told=killed_at(8))
    with (tmp_path / "curves.jsonl").open("a") as file:
        file.write('{"step": 10, "fa')
    trained(tmp_path)
    lines = (tmp_path / "curves.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(2, 13, 2))


def with_nonsense(*steps: int):
    def make(rng: np.random.Generator, step: int) -> Sample:
        one = noise(rng, step)
        return Sample(one.image * np.float32(np.nan), one.truth) if step in steps else one

    return make


def test_a_step_without_a_finite_loss_is_left_out_and_leaves_nothing_behind(tmp_path):
    network = trained(tmp_path, make=with_nonsense(3, 7, 8))
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert all(torch.isfinite(value).all() for value in state["network"].values())
    assert state["network"]["layers.1.num_batches_tracked"] == 9


def test_the_curves_tell_the_mean_of_the_steps_that_counted(tmp_path):
    trained(tmp_path / "a", word_every=1)
    trained(tmp_path / "b", word_every=2, make=with_nonsense(2, 3, 4))
    single, pairs = (read_curves(tmp_path / name / "curves.jsonl") for name in "ab")
    assert pairs[0]["far"] == single[0]["far"]
    assert "far" not in pairs[1]


def test_many_steps_without_a_finite_loss_end_the_run_with_what_to_do_and_the_state_before(tmp_path):
    schedule = Schedule(steps=40, batch=2, learning_rate=1e-2)
    with pytest.raises(TrainingError, match=r"20 steps up to step 26; take a learning_rate below 0\.01") as caught:
        trained(tmp_path, schedule=schedule, make=with_nonsense(*range(7, 41)))
    assert "choose another --out" in str(caught.value)
    assert f"{tmp_path} holds the state of step 4" in str(caught.value)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert all(torch.isfinite(value).all() for kind in ("network", "mean") for value in state[kind].values())
    assert state["network"]["layers.1.num_batches_tracked"] == 4


@pytest.mark.parametrize(("steps", "bad", "kept"), [(2, (1, 2), 0), (12, range(1, 13), 0), (12, (10, 11, 12), 8)])
def test_a_run_that_ends_without_a_finite_loss_gives_no_weights(tmp_path, steps, bad, kept):
    schedule = Schedule(steps=steps, batch=2, learning_rate=1e-2)
    with pytest.raises(TrainingError, match=f"no finite loss in {len(bad)} steps up to step {steps}") as caught:
        trained(tmp_path, schedule=schedule, make=with_nonsense(*bad))
    says = f"{tmp_path} holds the state of step {kept}" if kept else f"no step is kept in {tmp_path}"
    assert says in str(caught.value)
    assert (tmp_path / "checkpoint.pt").exists() == bool(kept)


def test_one_bad_sample_at_the_very_end_does_not_lose_the_run(tmp_path):
    trained(tmp_path, make=with_nonsense(12))
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 12


def test_weights_that_are_not_finite_are_not_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "_follow", lambda mean, *_: mean["layers.3.bias"].fill_(torch.inf))
    with pytest.raises(TrainingError, match="the weights are not finite at step 4"):
        trained(tmp_path)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_full_disk_leaves_the_checkpoint_before_and_no_half_one(tmp_path, monkeypatch):
    trained(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "run", told=killed_at(6))
    before = (tmp_path / "run" / "checkpoint.pt").read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(train.os, "fsync", full)
        with pytest.raises(TrainingError, match=r"step 8 could not be written.*: No space left on device; make room"):
            trained(tmp_path / "run")
    assert (tmp_path / "run" / "checkpoint.pt").read_bytes() == before
    assert {file.name for file in (tmp_path / "run").iterdir()} == {"checkpoint.pt", "curves.jsonl"}
    assert_same(trained(tmp_path / "run"), trained(tmp_path / "whole"), rtol=1e-6, atol=1e-6)


def test_curves_that_cannot_be_written_end_the_run_in_words(tmp_path):
    (tmp_path / "curves.jsonl").symlink_to(tmp_path / "gone" / "curves.jsonl")
    with pytest.raises(TrainingError, match="curves could not be written"):
        trained(tmp_path)


@pytest.mark.parametrize("harm", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"PK" + data])
def test_a_damaged_checkpoint_is_refused_with_what_to_do(tmp_path, harm):
    trained(tmp_path)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(TrainingError, match=r"checkpoint\.pt is no whole checkpoint.* \(\w+\); delete it"):
        trained(tmp_path)


def test_a_disk_that_fills_while_a_checkpoint_is_written_is_told_in_the_systems_words(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    (tmp_path / "checkpoint.pt.part").symlink_to("/dev/full")
    with pytest.raises(TrainingError, match=r"step 4 could not be written to .*: No space left on device; make room"):
        trained(tmp_path)


def test_a_checkpoint_whose_mean_lacks_a_tensor_is_refused(tmp_path):
    trained(tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    torch.save(state | {"mean": {}}, tmp_path / "checkpoint.pt")
    with pytest.raises(TrainingError, match="no whole checkpoint of this network"):
        trained(tmp_path)


def test_damaged_lines_of_the_curves_are_left_out(tmp_path):
    good = '{"step": 2, "far": 0.5, "seconds": 0.1}'
    bad = ["3", "[]", '{"far": 1}', '{"step": "x", "seconds": 1}', '{"step": 4}', "\x00\x00"]
    (tmp_path / "curves.jsonl").write_bytes("\n".join([*bad, good]).encode() + b"\n\xff\xfe{\n")
    assert read_curves(tmp_path / "curves.jsonl") == [{"step": 2, "far": 0.5, "seconds": 0.1}]


def test_curves_that_cannot_be_read_are_told(tmp_path):
    (tmp_path / "curves.jsonl").mkdir()
    with pytest.raises(TrainingError, match=r"curves\.jsonl cannot be read: Is a directory; move them away"):
        read_curves(tmp_path / "curves.jsonl")


def test_another_networks_checkpoint_is_refused(tmp_path):
    trained(tmp_path)
    with pytest.raises(TrainingError, match="no whole checkpoint of this network"):
        trained(tmp_path, Mean(norm=False))


def test_another_schedule_in_the_same_folder_is_refused(tmp_path):
    trained(tmp_path)
    with pytest.raises(TrainingError, match=r"holds a run with \{'steps': 12.*choose another folder"):
        trained(tmp_path, schedule=Schedule(steps=13, batch=3, learning_rate=1e-2))


def short_of_memory(network: Any, most: int) -> list[int]:
    """The network with a GPU that holds no more than so many samples; sizes that were tried."""
    real, tried = network.losses, []

    def losses(batch: Any) -> dict[str, torch.Tensor]:
        tried.append(len(batch[0]) if isinstance(batch, tuple) else len(batch))
        if tried[-1] > most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        found: dict[str, torch.Tensor] = real(batch)
        return found

    network.losses = losses
    return tried


@pytest.mark.parametrize("kind", [Mean, Stacked])
@pytest.mark.parametrize(("batch", "most"), [(8, 4), (8, 1), (6, 2), (5, 2)])
def test_a_batch_too_large_for_the_gpu_goes_in_pieces_to_the_same_weights(tmp_path, kind, batch, most):
    schedule = Schedule(steps=4, batch=batch, learning_rate=1e-2, clip=1e9)
    whole = trained(tmp_path / "whole", kind(norm=False), schedule)
    small = kind(norm=False)
    tried = short_of_memory(small, most)
    assert_same(trained(tmp_path / "pieces", small, schedule), whole, rtol=1e-5, atol=1e-6)
    assert tried[0] == batch
    assert tried.count(batch) == 1  # the next steps know
    curves = [read_curves(tmp_path / name / "curves.jsonl") for name in ("whole", "pieces")]
    assert curves[1][-1]["far"] == pytest.approx(curves[0][-1]["far"], rel=1e-4)


def test_a_gpu_too_small_for_one_sample_ends_the_run_in_words(tmp_path):
    network = Mean()
    short_of_memory(network, 0)
    with pytest.raises(TrainingError, match="no room for a single sample; take smaller windows"):
        trained(tmp_path, network)


@pytest.mark.parametrize(
    ("where", "what"), [((torch.optim.AdamW, "step"), "the gradients and"), ((Mean, "to"), "the network")]
)
def test_a_gpu_too_small_for_network_or_optimizer_ends_the_run_in_words(tmp_path, monkeypatch, where, what):
    def full(*_: Any, **__: Any) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(*where, full)
    with pytest.raises(TrainingError, match=rf"^the GPU has no room for {what}.*--device cpu$"):
        trained(tmp_path)


def test_the_learning_rate_warms_up_and_falls_to_a_hundredth():
    plan = Schedule(steps=200)
    rates = [train._rate(number, plan, Judged()) for number in range(1, 201)]
    assert rates[0] == pytest.approx(1 / 6)
    assert max(rates) == rates[5] == 1
    assert all(later < before for before, later in pairwise(rates[5:]))
    assert rates[-1] == pytest.approx(0.01)
    assert train._rate(1, Schedule(steps=1), Judged()) == 1


def test_the_learning_rate_stays_or_is_halved_where_judgements_stop_rising():
    constant, plateau = (Schedule(steps=100, decay=decay) for decay in ("constant", "plateau"))
    flat = Judged([(step, 0.5) for step in range(PLATEAU + 2)])
    assert train._rate(50, constant, flat) == 1
    assert train._rate(50, plateau, flat) == 0.5
    assert train._rate(50, plateau, Judged()) == 1
    assert train._rate(1, plateau, flat) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("steps", (0,)),
        ("batch", (0,)),
        ("learning_rate", (0.0, np.nan, np.inf)),
        ("weight_decay", (-1.0, np.nan)),
        ("clip", (0.0, -1.0, np.nan)),
        ("average", (1.0, np.nan)),
        ("seed", (-1, 2**63)),
        ("decay", ("linear",)),
        ("optimizer", ("sgd",)),
    ],
)
def test_a_schedule_that_cannot_work_is_refused_by_the_one_bad_field(name, bad):
    for value in bad:
        with pytest.raises(SettingsError, match=rf"^{name} is .*, not {value!r}$"):
            Schedule(**{"steps": 10, name: value})


def test_a_gpu_that_is_not_there_is_refused_and_none_asked_for_gives_what_there_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_or_best(None) == device_or_best("cpu") == "cpu"
    with pytest.raises(SettingsError, match="no CUDA GPU here; leave it out or take cpu"):
        device_or_best("cuda:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_or_best(None) == "cuda"
    assert device_or_best("cuda:1") == "cuda:1"
    with pytest.raises(SettingsError, match="'cuda:2' was asked for and the last GPU here is cuda:1"):
        device_or_best("cuda:2")


@pytest.mark.parametrize("device", ["gpu", "", "cuda:", "cuda:x", "cuda:-1", "cuda0", "mps", "CPU", "cpu:0"])
def test_what_is_no_device_is_refused(monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(SettingsError, match=f"device is cpu, cuda or cuda:N, not '{device}'"):
        device_or_best(device)


class Dropped(Mean):
    """The same, with a layer that draws while it learns."""

    def __init__(self) -> None:
        super().__init__()
        self.layers.insert(3, nn.Dropout(0.5))


def weight_of(network: nn.Module) -> float:
    """A score that goes up and down as the network learns."""
    return torch.sin(300 * network.layers[0].weight.sum()).item()


def judged_run(folder: Path, **rest: Any) -> tuple[nn.Module, list[dict[str, float]]]:
    settings = {"judge": Judge(weight_of, every=3), "save_every": 5, "network": Dropped(), **rest}
    network = trained(folder, settings.pop("network"), **settings)
    return network, [line for line in read_curves(folder / "curves.jsonl") if "score" in line]


def test_the_weights_of_the_step_judged_best_are_kept(tmp_path):
    network, curve = judged_run(tmp_path)
    assert [line["step"] for line in curve] == [3, 6, 9, 12]
    best = max(curve, key=lambda line: line["score"])
    assert best["step"] != 12
    assert weight_of(network) == pytest.approx(best["score"], abs=1e-6)
    assert not network.training


def test_the_last_step_is_judged_too(tmp_path):
    _, curve = judged_run(tmp_path, judge=Judge(weight_of, every=5))
    assert [line["step"] for line in curve] == [5, 10, 12]


@pytest.mark.parametrize("step", [6, 9, 10])
@pytest.mark.parametrize("decay", ["cosine", "plateau"])
def test_a_judged_run_killed_at_any_step_goes_on_to_the_same_best_weights_and_scores(tmp_path, step, decay):
    plan = Schedule(steps=12, batch=3, learning_rate=1e-2, decay=decay)
    whole, curve = judged_run(tmp_path / "whole", schedule=plan)
    with pytest.raises(KeyboardInterrupt):
        judged_run(tmp_path / "killed", schedule=plan, told=killed_at(step))
    torch.rand(7)  # another process has drawn other numbers
    resumed, again = judged_run(tmp_path / "killed", schedule=plan)
    assert_same(resumed, whole)
    assert [(line["step"], line["score"]) for line in again] == [(line["step"], line["score"]) for line in curve]


def test_patience_ends_a_run_and_a_resumed_one_at_the_same_step(tmp_path):
    looks: list[int] = []

    def never_better(_: nn.Module) -> float:
        looks.append(1)
        return -float(len(looks))

    judge = Judge(never_better, every=2, patience=2)
    network, curve = judged_run(tmp_path, judge=judge)
    assert [line["step"] for line in curve] == [2, 4, 6]
    first = {name: value.clone() for name, value in network.state_dict().items()}
    again, curve = judged_run(tmp_path, judge=judge)
    assert [line["step"] for line in curve] == [2, 4, 6]
    for name, value in again.state_dict().items():
        assert torch.equal(value, first[name])


def test_a_score_that_is_no_number_is_null_in_the_curves_and_the_last_weights_are_kept(tmp_path):
    unjudged = trained(tmp_path / "without", Dropped(), save_every=5)
    network, curve = judged_run(tmp_path / "with", judge=Judge(lambda _: float("nan"), every=3))
    assert [line["score"] for line in curve] == [None] * 4
    assert "NaN" not in (tmp_path / "with" / "curves.jsonl").read_text()
    assert_same(network, unjudged)


def test_judging_changes_nothing_that_is_learned(tmp_path):
    trained(tmp_path / "a", Dropped())
    judged_run(tmp_path / "b", save_every=4)
    states = [torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in "ab"]
    for name, value in states[0]["mean"].items():
        assert torch.equal(value, states[1]["mean"][name])


def test_a_checkpoint_from_before_there_were_judges_goes_on(tmp_path):
    whole = trained(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "old", told=killed_at(8))
    path = tmp_path / "old" / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    state = {name: value for name, value in state.items() if name not in ("judged", "drawn")}
    state["schedule"] = {n: v for n, v in state["schedule"].items() if n not in ("decay", "optimizer")}
    torch.save(state, path)
    assert_same(trained(tmp_path / "old"), whole, rtol=1e-6, atol=1e-6)


def test_adam_has_its_weight_decay_in_the_gradient(tmp_path):
    plans = [Schedule(6, 3, 1e-2, weight_decay=10.0, optimizer=kind, clip=1e-9) for kind in ("adam", "adamw")]
    norms = [
        float(trained(tmp_path / plan.optimizer, schedule=plan).layers[0].weight.detach().norm()) for plan in plans
    ]
    assert norms[0] != pytest.approx(norms[1], rel=1e-3)
