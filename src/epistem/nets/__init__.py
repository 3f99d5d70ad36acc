"""Every neural network, its weights and its training: torch lives here."""

from epistem.core.registry import Table

NETWORKS = Table(
    "network",
    {
        "cavity-dense": "epistem.nets.dense:CavityDense",
        "cavity-maskrcnn": "epistem.nets.maskrcnn:CavityMaskRCNN",
    },
)
