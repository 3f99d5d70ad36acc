"""The form for what is known beside an image of atoms: the keys of context.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nicegui import ui

from epistem.app.web.pages.parts import short
from epistem.atoms.crystals import HOSTS

_NUMBERS = {
    "beam_keV": ("Beam energy [keV]", "60 to 200"), "semiangle_mrad": ("Convergence semi-angle [mrad]", "20 to 36"),
    "pixel_A": ("Pixel size [Å]", "0.1 to 0.45 was learned"), "dose_e_per_A2": ("Dose [e⁻ Å⁻²]", "empty: unknown"),
}  # fmt: skip
NO_DOPANT = "none at all"


class ContextForm:
    """Fields that are filled with what the file says, until the person says otherwise."""

    def __init__(self) -> None:
        self._from_file: dict[str, float] = {}
        self._said: object = None
        self._rings: list[tuple[ui.number, ui.number]] = []
        self._host = ui.select({"": "unknown", **{name: name for name in HOSTS}}, value="", label="Host crystal")
        self._host.classes("w-full").props("dense").on_value_change(self._host_changed)
        self._dopants = ui.select([NO_DOPANT], label="Dopants on metal sites", multiple=True, value=[])
        self._dopants.classes("w-full").props('use-chips dense hint="empty: any of the host’s sixteen"')
        self._numbers: dict[str, ui.number] = {}
        for name, (label, hint) in _NUMBERS.items():
            self._numbers[name] = ui.number(label, format="%g", min=0).classes("w-full").props(f'dense hint="{hint}"')
        self._angles = ui.refreshable(self._draw_angles)
        self._detectors: list[str | None] = [None]
        self._angles()
        self._rough = ui.checkbox("Angles are nominal (table of camera lengths)")
        self._host_changed()

    def offer(self, said: Mapping[str, Any] | None) -> None:
        """Fills in what the files say; once for each field, so that nothing typed is overwritten."""
        if said is None or said == self._said:
            return
        self._said, self._detectors = said, list(said["detectors"])
        self._from_file = {}
        for name, field in self._numbers.items():
            value = said["values"].get(name)
            hint = _NUMBERS[name][1]
            if value is not None:
                self._from_file[name] = float(f"{value:.6g}")
                origin = "the file" if said["origin"].get(name) == "the file" else f"the file: {said['origin'][name]}"
                hint = f"from {origin}".replace('"', "'")
            elif name in ("beam_keV", "pixel_A", "dose_e_per_A2"):
                hint = f"not in the file; {hint}"
            field.value = self._from_file.get(name)
            field.props(f'hint="{hint}"')
        self._angles.refresh()

    def values(self) -> dict[str, Any]:
        """By the keys of context.yaml, what the person says; what the file says is left to the file."""
        said: dict[str, Any] = {}
        if self._host.value:
            said["host"] = self._host.value
            chosen = list(self._dopants.value or ())
            if chosen:
                said["dopants"] = [one for one in chosen if one != NO_DOPANT]
        for name, field in self._numbers.items():
            if field.value is not None and field.value != self._from_file.get(name):
                said[name] = float(field.value)
        rings = [
            None if inner.value is None or outer.value is None
            else {"inner_mrad": float(inner.value), "outer_mrad": float(outer.value)}
            for inner, outer in self._rings
        ]  # fmt: skip
        if any(rings):
            said["detectors"] = rings
            if self._rough.value:
                said["detectors_rough"] = True
        return said

    def _host_changed(self) -> None:
        host = HOSTS.get(self._host.value)
        offered = [NO_DOPANT, *(host.dopants if host else ())]
        self._dopants.set_options(offered, value=[one for one in self._dopants.value or () if one in offered])
        self._dopants.set_enabled(host is not None)

    def _draw_angles(self) -> None:
        self._rings = []
        for i, detector in enumerate(self._detectors):
            of = detector or ("the detector" if len(self._detectors) == 1 else f"detector {i + 1}")
            ui.label(f"Angles of {of} [mrad]; empty: from the host’s own contrast").classes("epi-note")
            with ui.row().classes("w-full no-wrap"):
                inner = ui.number("inner", format="%g", min=0).props(
                    f'dense aria-label="Inner angle of detector {i + 1}"'
                )
                outer = ui.number("outer", format="%g", min=0).props(
                    f'dense aria-label="Outer angle of detector {i + 1}"'
                )
                self._rings.append((inner.classes("w-1/2"), outer.classes("w-1/2")))


def told_value(value: Any) -> str:
    """A value of a context in words.

    >>> told_value(None), told_value(80.0), told_value(["Ti", "V"]), told_value([[40.0, 90.0], None])
    ('unknown', '80.0', 'Ti, V', '40–90 and unknown')
    """
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return short(float(value))
    if isinstance(value, list) and any(isinstance(one, list) for one in value):
        return " and ".join("unknown" if one is None else f"{one[0]:.0f}–{one[1]:.0f}" for one in value)
    if isinstance(value, list):
        return ", ".join(told_value(one) if one is None else str(one) for one in value) or "none"
    return str(value)
