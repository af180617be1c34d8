"""The images of a project, normalised for training."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from ecc_rf.errors import SettingError
from ecc_rf.ilp import IlastikProject, Lane
from ecc_rf.ilp.normalization_note import LaneNote, NormalizationNote
from ecc_rf.normalization import Normalization, NormalizedVolume, estimate_scales
from ecc_rf.normalization.settings import read_from_volume
from ecc_rf.volumes import Volume
from ecc_rf.volumes.base import VoxelSize

TOGETHER = "together"  # the group of all lanes


@dataclass(frozen=True)
class LaneChoice:
    """How the images of a project's lanes are to be normalised.

    Parameters
    ----------
    normalize : bool, optional
        None: as the project notes, otherwise as the files of the lanes are.
    window_um : float, optional
        Default what the project notes, otherwise that of `Normalization`.
    together : bool
        All lanes are pieces of one brain and share its scale.
    groups : mapping of str to str
        Name of each brain and a shell pattern of the nicknames of its pieces: ``{"brain 1": "1008_*"}``. The others
        are brains of their own.
    scales : mapping of int or str to tuple of float
        Scales that are known, one per channel, by the lane's number or nickname; ``""`` for all others.
    voxel_size : (z, y, x) in µm, optional
        Of all lanes; default what the files say, otherwise the project.
    """

    normalize: bool | None = None
    window_um: float | None = None
    together: bool = False
    groups: Mapping[str, str] = field(default_factory=dict)
    scales: Mapping[int | str, tuple[float, ...]] = field(default_factory=dict)
    voxel_size: VoxelSize | None = None

    @classmethod
    def of(cls, wanted: LaneChoice | Normalization | bool | None) -> LaneChoice:
        """
        >>> LaneChoice.of(Normalization(60)) == LaneChoice(True, 60.0)
        True
        """
        if isinstance(wanted, LaneChoice):
            return wanted
        if isinstance(wanted, Normalization):
            return cls(True, wanted.window_um)
        return cls(wanted)

    @property
    def regroups(self) -> bool:
        """Whether it says something of scales."""
        return self.together or bool(self.groups) or bool(self.scales)


class LaneNormalizer:
    """Opens lanes, normalised if that is wanted.

    Parameters
    ----------
    project : IlastikProject
    lanes : sequence of Lane
        Those that will be opened; the files of others need not be there, unless they share a scale with these.
    choice : LaneChoice, optional
    files : mapping of int to path, optional
        Where the images of lanes came from that are copies inside the project: a copy does not say how it was
        normalised.

    Attributes
    ----------
    note : NormalizationNote or None
        What the project is to note; None if nothing is normalised.

    Raises
    ------
    SettingError
        If some files are normalised already and others are not, a pattern fits no lane, or no voxel size is known.
    MissingFileError
        If an image is not there.
    ImageValueError
        If no scale can be estimated.
    """

    def __init__(
        self,
        project: IlastikProject,
        lanes: list[Lane],
        choice: LaneChoice | None = None,
        files: Mapping[int, str | Path] | None = None,
    ) -> None:
        self._files = files or {}
        self._choice = choice or LaneChoice()
        self._project = project
        self._before = project.normalization
        stored = {lane.index: found for lane in lanes if (found := self._stored(lane)) is not None}
        wanted = self._choice.normalize
        if wanted is None:
            wanted = self._before is not None or (bool(stored) and len(stored) == len(lanes))
        self._check_mixture(lanes, stored, wanted)
        self.note: NormalizationNote | None = None
        if not wanted:
            return
        how = self._normalization(stored)
        raw = [lane for lane in lanes if lane.index not in stored]
        notes = {index: LaneNote(True, scales) for index, (_, scales) in stored.items()}
        kept = {} if self._before is None else dict(self._before.lanes)
        self.note = NormalizationNote(how, {**kept, **notes, **self._scales(raw)})

    def open(self, lane: Lane) -> Volume:
        """The image of a lane; closing it closes the file.

        Raises
        ------
        EccError
            As `Lane.open`.
        """
        image = lane.open()
        how = None if self.note is None else self.note.lanes.get(lane.index)
        if self.note is None or how is None or how.stored:
            return image
        return NormalizedVolume(image, self.note.normalization, how.scales, how.voxel_size)

    def _stored(self, lane: Lane) -> tuple[Normalization, tuple[float, ...]] | None:
        """How a lane's file is normalised."""
        known = None if self._before is None else self._before.lanes.get(lane.index)
        if lane.kind == "embedded" and lane.index not in self._files:  # a copy, of which only the note knows
            return (self._before.normalization, known.scales) if self._before and known and known.stored else None
        path = self._files.get(lane.index, lane.location.path)
        found = None if path is None else read_from_volume(path)
        if found is None:
            return None
        return Normalization.from_dict(found, str(path)), tuple(float(scale) for scale in found.get("scales", ()))

    def _check_mixture(
        self, lanes: list[Lane], stored: Mapping[int, tuple[Normalization, tuple[float, ...]]], wanted: bool
    ) -> None:
        where = str(self._project.path)
        if stored and self._choice.normalize is False:
            raise SettingError("The files of the images are normalised.", where, "Leave --no-normalize out.")
        if stored and not wanted:
            other = next(lane for lane in lanes if lane.index not in stored)
            raise SettingError(
                f"The file of lane {min(stored)} is normalised, that of {other} is not.",
                where,
                "Say --normalize: those that are not yet will be, as they are read.",
            )

    def _normalization(self, stored: Mapping[int, tuple[Normalization, tuple[float, ...]]]) -> Normalization:
        widths = {how.window_um for how, _ in stored.values()}
        if self._choice.window_um is not None:
            widths.add(self._choice.window_um)
        elif not widths and self._before is not None:
            widths.add(self._before.normalization.window_um)
        if len(widths) > 1:
            raise SettingError(
                f"Images are normalised in windows of {' and '.join(f'{width:g}' for width in sorted(widths))} µm.",
                str(self._project.path),
                "Normalise the raw images anew, with one width.",
            )
        return Normalization(*widths)

    def _scales(self, lanes: list[Lane]) -> dict[int, LaneNote]:
        """Of lanes that are normalised as they are read; lanes of a group have one scale."""
        given, groups = self._given(), self._groups()
        notes: dict[int, LaneNote] = {}
        for lane in lanes:
            if lane.index in notes:
                continue
            group = groups.get(lane.index, "")
            pieces = [one for one in self._project.lanes if groups.get(one.index, "") == group] if group else [lane]
            with ExitStack() as stack:
                volumes = [stack.enter_context(piece.open()) for piece in pieces]
                scales = given.get(lane.index) or estimate_scales(volumes)
                for piece, volume in zip(pieces, volumes):
                    own = given.get(piece.index)
                    size = self._choice.voxel_size or volume.voxel_size or self._noted_size(piece)
                    if size is None:
                        raise SettingError(
                            "The voxel size is not known; the window of the background is in µm.",
                            f"{self._project.path}, {piece}",
                            "Give --voxel-size Z,Y,X.",
                        )
                    notes[piece.index] = LaneNote(False, own or scales, group, own is not None, size)
        return notes

    def _noted_size(self, lane: Lane) -> VoxelSize | None:
        known = None if self._before is None else self._before.lanes.get(lane.index)
        return None if known is None else known.voxel_size

    def _groups(self) -> dict[int, str]:
        """Name of the group of each lane that has one."""
        lanes, choice = self._project.lanes, self._choice
        if choice.together:
            return {lane.index: TOGETHER for lane in lanes}
        if not choice.regroups and self._before is not None:
            return {index: lane.group for index, lane in self._before.lanes.items() if lane.group}
        found: dict[int, str] = {}
        for name, pattern in choice.groups.items():
            members = [lane for lane in lanes if fnmatchcase(lane.nickname, pattern)]
            if not members:
                raise SettingError(
                    f"No lane's nickname fits the pattern {pattern!r}.",
                    str(self._project.path),
                    f"There are {', '.join(lane.nickname for lane in lanes[:20])}.",
                )
            for lane in members:
                if lane.index in found:
                    raise SettingError(f"{lane} belongs to two groups.", str(self._project.path))
                found[lane.index] = name
        return found

    def _given(self) -> dict[int, tuple[float, ...]]:
        """Scales that need not be estimated."""
        if not self._choice.regroups and self._before is not None:
            return {index: lane.scales for index, lane in self._before.lanes.items() if lane.given}
        everywhere = self._choice.scales.get("")
        found = {} if everywhere is None else {lane.index: everywhere for lane in self._project.lanes}
        for key, scales in self._choice.scales.items():
            if key != "":
                found[self._project.lane(key).index] = scales
        return found
