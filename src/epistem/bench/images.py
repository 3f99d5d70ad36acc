"""The images of a profile as networks take them, beside their truth at the size it was recorded in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epistem.bench.examples import Example, read_example
from epistem.bench.plan import Member
from epistem.bench.profile import Pair, Profile
from epistem.core import RecordError

if TYPE_CHECKING:
    from epistem.nets.tiles import Labelled


@dataclass(frozen=True, eq=False)
class Scored:
    """One image.

    Attributes:
        name: how a person calls it.
        labels: (H, W) at the size of the file.
        seen: image and labels as the network has them, maybe shrunk.
    """

    name: str
    labels: NDArray[np.int16]
    seen: Labelled


def load_part(profile: Profile, members: Sequence[Member]) -> list[Scored]:
    """The images of one part; a process reads each once.

    Raises:
        RecordError: an image or mask is not the one that was planned with.
        ReadError, ShapeError: as `read_example`.
    """
    # What is asked for and how networks learn changes no image.
    model, seeds = Profile().model, (0,)
    training = profile.training.model_copy(update={"seeds": seeds})
    reader = _reader(profile.model_copy(update={"model": model, "training": training}).model_dump_json(by_alias=True))
    return [reader.read(member) for member in members]


def recorded(profile: Profile, member: Member) -> tuple[NDArray[Any], NDArray[np.int16]]:
    """The image (C, H, W) as recorded, and its labels; raises as `load_part`."""
    example = _Reader(profile).example(member)
    return example.image, example.labels


class _Reader:
    def __init__(self, profile: Profile) -> None:
        self.profile, self.folder = profile, profile.folder()
        self.pairs: dict[tuple[str, int | None], Pair] = {
            (one.image, one.slice): one for one in profile.dataset.pairs
        }
        self.known: dict[Member, Scored] = {}

    def read(self, member: Member) -> Scored:
        if member not in self.known:
            self.known[member] = self._read(member)
        return self.known[member]

    def _read(self, member: Member) -> Scored:
        from epistem.nets.tiles import Labelled, network_input, shrunk_labels

        example, shrink = self.example(member), self.profile.training.shrink
        image = network_input(example.image, valid=example.valid, shrink=shrink)
        seen = Labelled(image, shrunk_labels(example.labels, shrink), member.group)
        return Scored(example.name, example.labels, seen)

    def example(self, member: Member) -> Example:
        if (member.image, member.slice) not in self.pairs:
            raise RecordError(f"the plan has {member.image}, which the profile no longer lists; plan again")
        pair = self.pairs[member.image, member.slice]
        example = read_example(self.profile, pair, self.folder)
        if (example.image_id, example.labels_id) != (member.image_id, member.labels_id):
            what = "image" if example.image_id != member.image_id else "mask"
            raise RecordError(f"the {what} of {pair.name} changed since the plan; plan again, for jobs of other ids")
        return example


@lru_cache(maxsize=1)
def _reader(profile: str) -> _Reader:
    return _Reader(Profile.model_validate_json(profile))
