"""The names a profile may use; here, so that one is checked, and its schema written, without torch."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from epistem.bench.checked import nearest

Modality = Literal["SEM", "TEM", "STEM", "FIB-SEM", "EBSD", "AFM", "STM", "XCT", "Optical", "other"]
MaskKind = Literal["values", "colours", "instances", "polygons"]
Arm = Literal["imagenet", "micronet", "none"]

# As segmentation_models_pytorch calls them.
ENCODERS = (
    *(f"resnet{n}" for n in (18, 34, 50, 101, 152)),
    *("resnext50_32x4d", "se_resnet50", "se_resnext50_32x4d", "se_resnext101_32x4d"),
    *(f"efficientnet-b{n}" for n in range(8)),
    *("tf_efficientnet_lite0", "mobilenet_v2", "vgg16_bn", "densenet121", "densenet169"),
    *(f"mit_b{n}" for n in range(6)),
)
DECODERS = ("unet", "unetplusplus", "fpn", "deeplabv3", "deeplabv3plus", "segformer")
METRICS = (
    *("iou", "dice", "pixel_accuracy", "wiou", "boundary_f", "cldice", "hd95"),
    *("porosity", "connectivity"),
)


def _known(kind: str, names: tuple[str, ...], name: str) -> str:
    if name not in names:
        raise ValueError(f"no {kind} is called {name!r}; {nearest(name, names)}")
    return name


def _enum(names: tuple[str, ...]) -> Any:
    return Field(json_schema_extra={"enum": list(names)})


Encoder = Annotated[str, AfterValidator(partial(_known, "encoder", ENCODERS)), _enum(ENCODERS)]
Decoder = Annotated[str, AfterValidator(partial(_known, "decoder", DECODERS)), _enum(DECODERS)]
Metric = Annotated[str, AfterValidator(partial(_known, "metric", METRICS)), _enum(METRICS)]


def _mask_value(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"a mask value is a whole number or text, not {value!r}")
    return value


MaskValue = Annotated[int | str, BeforeValidator(_mask_value)]
