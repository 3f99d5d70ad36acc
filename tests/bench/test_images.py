from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from epistem.bench import images
from epistem.bench.images import load_part, recorded
from epistem.bench.plan import Plan, make_plan
from epistem.bench.profile import Profile, profile_of
from epistem.core import RecordError, ShapeError

pytest.importorskip("torch")


@pytest.fixture
def planned(tmp_path: Path, study: Callable[..., Profile]) -> tuple[Profile, Plan]:
    images._reader.cache_clear()
    profile = study(tmp_path / "steel", shape=(64, 50))
    return profile, make_plan(profile)


def with_training(profile: Profile, **values: object) -> Profile:
    changed = profile.model_dump(by_alias=True)
    changed["training"] |= values
    return profile_of(changed)


def path_of(profile: Profile, plan: Plan, what: str) -> Path:
    return profile.folder() / plan.split.test[0].image.replace("images", what)


def test_an_image_is_seen_as_the_network_has_it_and_labelled_as_the_file_has_it(planned) -> None:
    profile, _ = planned
    profile = with_training(profile, shrink=3)
    plan = make_plan(profile)
    (one,) = load_part(profile, plan.split.test)
    assert one.labels.shape == (64, 50)
    assert one.seen.image.shape == (1, 22, 17)
    assert one.seen.labels.shape == (22, 17)
    assert set(np.unique(one.seen.labels)) == {0, 1}
    assert one.seen.group == plan.split.test[0].group
    assert one.name == plan.split.test[0].image


def test_what_was_recorded_is_as_the_file_has_it(planned) -> None:
    profile, plan = planned
    pixels, labels = recorded(profile, plan.split.test[0])
    np.testing.assert_array_equal(pixels[0], np.asarray(Image.open(path_of(profile, plan, "images"))))
    np.testing.assert_array_equal(labels, np.asarray(Image.open(path_of(profile, plan, "masks"))))


def test_an_image_is_read_once_whatever_is_asked_of_it(planned, monkeypatch) -> None:
    profile, plan = planned
    first = load_part(profile, plan.split.test)
    monkeypatch.setattr(images, "read_example", None)
    assert load_part(with_training(profile, seeds=[7, 8]), plan.split.test)[0] is first[0]


@pytest.mark.parametrize("what", ["image", "mask"])
def test_an_image_or_mask_that_changed_since_the_plan_is_refused(planned, what) -> None:
    profile, plan = planned
    path = path_of(profile, plan, f"{what}s")
    pixels = np.array(Image.open(path))
    pixels[5, 5] = 1 - pixels[5, 5] if what == "mask" else 255 - pixels[5, 5]
    Image.fromarray(pixels).save(path)
    with pytest.raises(RecordError, match=rf"the {what} of images/s\d_0\.png changed since the plan; plan again"):
        load_part(profile, plan.split.test)


def test_a_mask_that_has_another_size_now_is_refused_by_name(planned) -> None:
    profile, plan = planned
    Image.fromarray(np.zeros((64, 51), np.uint8)).save(path_of(profile, plan, "masks"))
    with pytest.raises(
        ShapeError, match=r"images/s\d_0\.png is 64 × 50 .* and its mask .* is 64 × 51; give the mask"
    ):
        load_part(profile, plan.split.test)


def test_a_mask_with_a_value_no_class_has_is_refused_with_its_share(planned) -> None:
    profile, plan = planned
    Image.fromarray(np.full((64, 50), 9, np.uint8)).save(path_of(profile, plan, "masks"))
    with pytest.raises(RecordError, match=r"holds 9 \(100\.00% of its pixels\), which no class has"):
        load_part(profile, plan.split.test)


def test_an_image_that_is_gone_is_told(planned) -> None:
    profile, plan = planned
    path_of(profile, plan, "images").unlink()
    with pytest.raises(RecordError, match="cannot be read: No such file or directory; was it moved"):
        load_part(profile, plan.split.test)


def test_an_image_that_the_profile_no_longer_lists_is_refused(planned) -> None:
    profile, plan = planned
    member = plan.split.test[0].model_copy(update={"image": "images/other.png"})
    with pytest.raises(RecordError, match=r"images/other\.png, which the profile no longer lists; plan again"):
        load_part(profile, [member])
