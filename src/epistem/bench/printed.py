"""What the paper "Context determines optimal architecture in materials segmentation" prints, as data.

Its Table 2 has the best decoder of each dataset, its Table 3 all of them. The datasets are the authors' and not at
hand: `study_page` shows these numbers beside those of other data.
"""

from __future__ import annotations

import pandas as pd

from epistem.segment.metrics import impossible_pairs

PAPER = "Context Determines Optimal Architecture in Materials Segmentation"

PRINTED_ENCODERS = ("ResNet50", "SE-ResNeXt101")
PRINTED_DECODERS = ("UNet", "DeepLabv3", "DeepLabv3+")

# Table 3: IoU and Dice by encoder, in each by decoder.
_CELLS: dict[str, tuple[tuple[float, float], ...]] = {
    "L-PBF": ((0.578, 0.551), (0.342, 0.387), (0.471, 0.597), (0.652, 0.628), (0.353, 0.395), (0.494, 0.612)),
    "Fractography": ((0.593, 0.516), (0.568, 0.487), (0.576, 0.501), (0.627, 0.548), (0.636, 0.450), (0.636, 0.490)),
    "AFM Crystallites": (
        (0.897, 0.902), (0.808, 0.843), (0.894, 0.937), (0.901, 0.961), (0.892, 0.959), (0.895, 0.951),
    ),
    "Al-Mg-Si SC": ((0.285, 0.294), (0.398, 0.476), (0.412, 0.489), (0.311, 0.311), (0.463, 0.545), (0.472, 0.550)),
    "Al Pitting": ((0.715, 0.541), (0.231, 0.348), (0.253, 0.374), (0.752, 0.570), (0.245, 0.365), (0.268, 0.389)),
    "Contact Corrosion": (
        (0.923, 0.911), (0.842, 0.834), (0.776, 0.728), (0.951, 0.962), (0.856, 0.914), (0.526, 0.628),
    ),
    "Carbon": ((0.736, 0.609), (0.524, 0.649), (0.586, 0.672), (0.762, 0.621), (0.547, 0.671), (0.599, 0.686)),
}  # fmt: skip

# Table 2. Its column of modalities stands some rows off in the text at hand; here as the text describes them.
_ABOUT = {
    "AFM Crystallites": ("AFM", "Fluoroelastomer", "Spherulite/Lamellae", "Moderate", "UNet"),
    "Contact Corrosion": ("SEM", "Si Solar Cell", "Corroded/Intact", "Easy", "UNet"),
    "Fractography": ("SEM", "Ti-6Al-4V", "Defects", "Hard", "DeepLabv3+"),
    "Carbon": ("SEM", "Carbon", "Carbon regions", "Moderate", "UNet"),
    "Al Pitting": ("XCT", "Al Wire", "Pitting corrosion", "V. Hard", "UNet"),
    "Al-Mg-Si SC": ("XCT", "Al-Mg-Si", "Stress corrosion", "V. Hard", "DeepLabv3+"),
    "L-PBF": ("Optical", "316L Steel", "Melt pool/Spatter", "Hard", "UNet"),
}

CONTRADICTIONS = (
    "Of 42 printed pairs of IoU and Dice 18 are impossible if both are means over the same masks: Dice below IoU in "
    "15, above 2·IoU/(1 + IoU) in 3. The authors' code takes the IoU of the best epoch and the Dice of the last.",
    "The text credits DeepLabv3+ with an IoU of 0.752 on Al pitting; in Table 3 UNet has it, DeepLabv3+ 0.268.",
    "Fractography is given to DeepLabv3+; its IoU ties with DeepLabv3 at 0.636, UNet has 0.627 and the highest Dice.",
    "“Hard and very hard tasks benefit from DeepLabv3+”: of the four, UNet wins two (L-PBF, Al pitting).",
    "SE-ResNeXt101 is said to be best throughout; with DeepLabv3+ on contact corrosion it has 0.526, ResNet50 0.776.",
    "Every cell is one run, judged on the images that chose its checkpoint; there is no interval.",
)
"""Where the paper disagrees with itself."""


def printed_table_2() -> pd.DataFrame:
    """Table 2: columns modality, dataset, material, task, difficulty, encoder, decoder, iou, dice."""
    rows = []
    for dataset, (modality, material, task, difficulty, decoder) in _ABOUT.items():
        iou, dice = _CELLS[dataset][len(PRINTED_DECODERS) + PRINTED_DECODERS.index(decoder)]
        rows.append({
            "modality": modality, "dataset": dataset, "material": material, "task": task, "difficulty": difficulty,
            "encoder": PRINTED_ENCODERS[1], "decoder": decoder, "iou": iou, "dice": dice,
        })  # fmt: skip
    return impossible_pairs(pd.DataFrame(rows)).drop(columns="largest_dice")


def printed_table_3() -> pd.DataFrame:
    """Table 3: columns dataset, encoder, decoder, iou, dice, and verdict on the pair (`metrics.impossible_pairs`)."""
    pairs = [(encoder, decoder) for encoder in PRINTED_ENCODERS for decoder in PRINTED_DECODERS]
    rows = [
        {"dataset": dataset, "encoder": encoder, "decoder": decoder, "iou": iou, "dice": dice}
        for dataset, cells in _CELLS.items()
        for (encoder, decoder), (iou, dice) in zip(pairs, cells, strict=True)
    ]
    return impossible_pairs(pd.DataFrame(rows)).drop(columns="largest_dice")
