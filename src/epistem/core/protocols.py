"""What a newcomer implements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from epistem.core.instances import Instances
from epistem.core.micrograph import Micrograph
from epistem.core.segmentation import Segmentation


@runtime_checkable
class Detector(Protocol):
    """Finds objects. Made with its settings; calling it changes nothing.

    Nothing found is `Instances.empty(shape)`; every result carries its Provenance.
    """

    def __call__(self, micrograph: Micrograph) -> Instances: ...


@runtime_checkable
class Segmenter(Protocol):
    """Says of every pixel what it is."""

    def __call__(self, micrograph: Micrograph) -> Segmentation: ...


@runtime_checkable
class Encoder(Protocol):
    """Turns images into vectors, shape (B, D)."""

    def __call__(self, micrographs: Sequence[Micrograph]) -> NDArray[np.float32]: ...


@runtime_checkable
class ChatModel(Protocol):
    """Answers a conversation of {"role", "content"} messages with text."""

    def __call__(self, messages: Sequence[dict[str, object]]) -> str: ...
