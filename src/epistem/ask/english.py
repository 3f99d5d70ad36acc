"""Whether a question is in English, the one language in which questions are understood here."""

from __future__ import annotations

import re

# Words that a question in German, French, Spanish, Italian, Portuguese or Dutch hardly does without.
_FOREIGN = re.compile(
    r"wie|viele|gro(?:ss|ß)|ist|sind|der|das|welche[rsn]?|gibt|und|eine?[nr]?|zeigt|dieses|bild|"
    r"combien|quel(?:le)?s?|est|sont|les|des|du|dans|cette|que|montre|une|"
    r"cu[aá]nt[oa]s|qu[eé]|cu[aá]l(?:es)?|es|los|las|hay|est[ae]|del|el|en|"
    r"quant[ie]|quale|quali|sono|dei|delle|nell|questa|il|che|quantos|quantas|qual|são|há|nesta|hoeveel|zijn|het|een",
    re.IGNORECASE,
)
_ENGLISH = re.compile(r"what|which|how|many|is|are|does|do|the|of|there|where|this|these|why|describe", re.IGNORECASE)
# Not Å: it is a unit.
_ACCENTED = re.compile("[à-äæ-öø-ÿœ]")
_OTHER_SCRIPT = re.compile(
    "[\u0400-\u05ff\u0600-\u06ff\u0900-\u097f\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"
)


def is_foreign(question: str) -> bool:
    """Whether a question is clearly not in English; of a few words without any sign it is not known.

    >>> is_foreign("Wie viele Poren sind zu sehen?"), is_foreign("有多少个孔？")
    (True, True)
    >>> is_foreign("grain size distribution"), is_foreign("Is the Å per pixel known?")
    (False, False)
    """
    if _OTHER_SCRIPT.search(question):
        return True
    words = re.findall(r"[^\W\d_]+", question)
    foreign = sum(bool(_FOREIGN.fullmatch(one) or _ACCENTED.search(one.lower())) for one in words)
    return foreign >= 2 and foreign > 2 * sum(_ENGLISH.fullmatch(one) is not None for one in words)
