"""Settings, records, judgements, tables and models from strangers."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from ecc_rf.cell_settings import read_settings
from ecc_rf.cells.writing import read_cells
from ecc_rf.errors import EccError, FormatError
from ecc_rf.evaluation.truth import read_points
from ecc_rf.forest import RandomForest
from ecc_rf.normalization.settings import read_from_volume
from ecc_rf.objects import ObjectModel
from ecc_rf.objects.model import FEATURES


def test_texts_of_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.touch()
    os.truncate(path, 1 << 32)
    with pytest.raises(FormatError, match="4,294,967,296 bytes; expected at most 67,108,864"):
        read_settings(path)


def test_nested_toml(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("x = " + "[" * 100_000)
    with pytest.raises(FormatError):
        read_settings(tmp_path / "a.toml")


def test_parquet_bomb(tmp_path: Path) -> None:
    rows = 20_000_000
    table = pd.DataFrame({name: np.zeros(rows, np.uint8) for name in "XYZ"})
    table.to_parquet(tmp_path / "a.parquet", compression="zstd")
    for read in (read_cells, read_points):
        with pytest.raises(FormatError, match="claims 20,000,000 rows of 3 columns"):
            read(tmp_path / "a.parquet")


def test_points_in_xml_with_entities(tmp_path: Path) -> None:
    levels = "".join(f'<!ENTITY e{k + 1} "{f"&e{k};" * 10}">' for k in range(9))
    (tmp_path / "a.xml").write_text(f'<!DOCTYPE x [<!ENTITY e0 "lol">{levels}]><x>&e9;</x>')
    with pytest.raises(FormatError, match="defines entities"):
        read_points(tmp_path / "a.xml")


def test_metadata_in_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    os.mkfifo(tmp_path / "a.zarr/zarr.json")
    assert read_from_volume(tmp_path / "a.zarr") is None
    (tmp_path / "a.zarr/zarr.json").unlink()
    (tmp_path / "a.zarr/zarr.json").write_text("[" * 100_000)
    assert read_from_volume(tmp_path / "a.zarr") is None


@pytest.fixture
def model(tmp_path: Path) -> Path:
    from sklearn.ensemble import RandomForestClassifier

    from ecc_rf.forest.from_sklearn import trees_from_sklearn

    rng = np.random.default_rng(0)
    grown = RandomForestClassifier(5, random_state=0).fit(rng.random((60, len(FEATURES))), rng.integers(1, 3, 60))
    forest = RandomForest.from_trees([trees_from_sklearn(grown, len(FEATURES))], len(FEATURES), (1, 2))
    ObjectModel(forest).save(tmp_path / "model.h5")
    return tmp_path / "model.h5"


DAMAGES = {
    "in a circle": lambda file: file["left"].__setitem__(0, 0),
    "beyond the nodes": lambda file: file["right"].__setitem__(0, 10**6),
    "beyond the columns": lambda file: file["feature"].__setitem__(0, 99),
    "infinite": lambda file: file["leaf_weight"].__setitem__(0, np.inf),
    "negative": lambda file: file["leaf_probability"].__setitem__((0, 0), -1),
    "more nodes than there are": lambda file: file["nodes"].__setitem__(0, 10**9),
    "negative counts": lambda file: file["nodes"].__setitem__(0, -5),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_forests_of_object_models(model: Path, damage: str) -> None:
    ObjectModel.load(model)
    with h5py.File(model, "r+") as file:
        DAMAGES[damage](file)
    with pytest.raises(EccError):
        ObjectModel.load(model)


@pytest.mark.parametrize("how", ["huge", "deep", "text", "external", "bomb"])
def test_claims_of_object_models(model: Path, how: str) -> None:
    import zlib

    with h5py.File(model, "r+") as file:
        if how == "deep":
            file.attrs["finder"] = "[" * 50_000
        elif how == "text":
            del file["nodes"]
            file["nodes"] = "x"
        else:
            del file["feature"]
        if how == "huge":
            file.create_dataset("feature", (1 << 40,), "i4")
        elif how == "external":
            file.create_dataset("feature", (8,), "i4", external=[("/etc/passwd", 0, 32)])
        elif how == "bomb":
            chunk = file.create_dataset("feature", (1 << 16,), "i4", chunks=(1 << 16,), compression="gzip")
            chunk.id.write_direct_chunk((0,), zlib.compress(bytes(1 << 28)))
    with pytest.raises(FormatError):
        ObjectModel.load(model)
