"""Physics -> Micrograph with exact truth."""

from epistem.core.registry import Table

SCENES = Table(
    "scene",
    {
        "underfocus": "epistem.synth.cavities:UNDERFOCUS",
        "overfocus": "epistem.synth.cavities:OVERFOCUS",
        "dense": "epistem.synth.cavities:DENSE",
        "empty": "epistem.synth.cavities:EMPTY",
    },
)
