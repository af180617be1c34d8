"""Which label of the project a value in a label file becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecc_rf.errors import LabelError, SettingError
from ecc_rf.ilp import ERASER
from ecc_rf.itksnap.description import Color, Description

MOST_LABELS = 255  # a project keeps labels in a byte


@dataclass(frozen=True)
class LabelMapping:
    """What becomes of the values of a file.

    Attributes
    ----------
    table : dict of int to int
        Label of each value; 0 leaves it out.
    names : list of str
        Names of all labels, the new ones last.
    new_colors : list of (red, green, blue) or None
        Colours of the new labels; None where the file does not say.
    notes : tuple of str
        What the user should know.
    """

    table: dict[int, int]
    names: list[str]
    new_colors: list[Color | None]
    notes: tuple[str, ...] = ()


def resolve_mapping(
    values: Sequence[int],
    names: Sequence[str],
    *,
    mapping: Mapping[int, int | str] | None = None,
    descriptions: Sequence[Description] | None = None,
    new_labels: Sequence[str] = (),
    create: bool = False,
    where: str = "",
) -> LabelMapping:
    """Find the label of every value.

    What `mapping` says holds first, then the name that `descriptions` give a value. With neither, values are label
    numbers if the project has them all; otherwise ilastik's rule for importing holds: the k-th smallest is label k.

    Parameters
    ----------
    values : sequence of int
        The values found in the file, without 0.
    names : sequence of str
        Of the project's labels.
    mapping : mapping, optional
        Value to label, by number or name; 0 leaves it out.
    descriptions : sequence of Description, optional
    new_labels : sequence of str
        Names of labels to be added.
    create : bool
        Add the labels that `descriptions` and `mapping` name and the project does not have.
    where : str
        The file, for messages.

    Raises
    ------
    LabelError
        If a value has no label, or a label is not there.
    SettingError
        If a new label is there already, or there would be too many.
    """
    labels = _Labels(names, new_labels, descriptions or (), create, where)
    given = dict(mapping or {})
    described = {label.value: label.name for label in descriptions or ()}
    notes: list[str] = []
    if mapping is None and descriptions is None:
        table = _by_number(values, labels, notes, where)
    else:
        table = {}
        for value in values:
            if value in given:
                table[value] = labels.number(given[value], value)
            elif value in described:
                table[value] = labels.number(described[value], value)
            else:
                known = ", ".join(map(str, sorted({*given, *described})))
                raise LabelError(
                    f"value {value} is not mapped to a label; {known or 'no value'} is",
                    where,
                    f"add it to the mapping, --map {value}=LABEL, or leave it out, --map {value}=0",
                )
        unused = sorted(set(given) - set(values))
        if unused:
            notes.append(f"value {', '.join(map(str, unused))} of the mapping does not occur")
    left_out = sorted(value for value, label in table.items() if label == 0)
    if left_out:
        notes.append(f"value {', '.join(map(str, left_out))} is left out, as the mapping says")
    colors = {label.name: label.color for label in descriptions or ()}
    added = labels.names[len(names) :]
    if added:
        notes.append(f"new labels: {', '.join(f'{labels.names.index(name) + 1} ({name})' for name in added)}")
    return LabelMapping(table, labels.names, [colors.get(name) for name in added], tuple(notes))


class _Labels:
    """The labels of the project and the new ones."""

    def __init__(
        self, names: Sequence[str], new: Sequence[str], descriptions: Sequence[Description], create: bool, where: str
    ) -> None:
        self.names = list(names)
        self.create = create
        self.where = where
        for name in new:
            if self._find(name):
                raise SettingError(f"there is a label {name!r} already", where, "leave out --new-label for it")
            self._add(name)

    def _find(self, name: str) -> int:
        """Number of a label, 0 if there is none; written as it is, or else whatever the case."""
        if name in self.names:
            return self.names.index(name) + 1
        folded = [known.strip().casefold() for known in self.names]
        wanted = name.strip().casefold()
        return folded.index(wanted) + 1 if folded.count(wanted) == 1 else 0

    def _add(self, name: str) -> int:
        self.names.append(name.strip())
        number = len(self.names)
        if number > MOST_LABELS or number == ERASER or not name.strip():
            raise SettingError(
                f"label {number} ({name!r}) cannot be: a project holds labels 1 to {MOST_LABELS} without {ERASER},"
                " which erases in ilastik",
                self.where,
            )
        return number

    def number(self, label: int | str, value: int) -> int:
        """Number of the label that a value is to become."""
        text = str(label).strip()
        if text.isdecimal() and not (isinstance(label, str) and self._find(text)):
            number = int(text)
            if number <= len(self.names) and number != ERASER:
                return number
            if number == ERASER:
                raise LabelError(f"value {value}: label {ERASER} cannot be, it erases in ilastik", self.where)
        elif found := self._find(text):
            return found
        elif self.create:
            return self._add(text)
        known = ", ".join(f"{i} ({name})" for i, name in enumerate(self.names, start=1))
        raise LabelError(
            f"value {value} is to become label {text!r}, which the project does not have; it has {known}",
            self.where,
            f"create it, --new-label {text!r}, or choose another one, --map {value}=LABEL",
        )


def _by_number(values: Sequence[int], labels: _Labels, notes: list[str], where: str) -> dict[int, int]:
    if all(1 <= value <= len(labels.names) and value != ERASER for value in values):
        return {value: value for value in values}
    ordered = sorted(values)
    listed = ", ".join(map(str, ordered[:20])) + (" …" if len(ordered) > 20 else "")
    if ordered[0] < 0 or len(ordered) > len(labels.names):
        beyond = [value for value in ordered if value > MOST_LABELS or value == ERASER]
        reason = f"; {beyond[0]} can be no label" if beyond else ""
        raise LabelError(
            f"the values {listed} do not fit the project's {len(labels.names)} labels{reason}",
            where,
            f"say what they mean: --map {ordered[0]}=1, or --names FILE and --new-label NAME",
        )
    table = {value: rank for rank, value in enumerate(ordered, start=1)}
    pairs = ", ".join(f"{value}→{rank} ({labels.names[rank - 1]})" for value, rank in table.items())
    notes.append(f"the values {listed} are taken by rank, as ilastik does: {pairs}; say --map if that is wrong")
    return table
