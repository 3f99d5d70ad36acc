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
HARMS = Table(
    "harm",
    {
        "dose": "epistem.synth.degrade:DOSE",
        "blur": "epistem.synth.degrade:BLUR",
        "drift": "epistem.synth.degrade:DRIFT",
        "defocus": "epistem.synth.degrade:DEFOCUS",
        "contrast": "epistem.synth.degrade:CONTRAST",
        "charging": "epistem.synth.degrade:CHARGING",
        "gamma": "epistem.synth.degrade:GAMMA",
        "rescale": "epistem.synth.degrade:RESCALE",
        "jpeg": "epistem.synth.degrade:JPEG",
    },
)
