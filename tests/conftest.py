"""Where the test data are."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real projects and images kept beside the repository; a clone has none."""
    if not (SHARED / "golden").is_dir():
        pytest.skip("needs ../shared with real ilastik projects, which a plain clone does not have")
    return SHARED


@pytest.fixture(scope="session")
def golden(shared: Path) -> Path:
    return shared / "golden"


@pytest.fixture(scope="session")
def cfos(shared: Path) -> Path:
    return shared / "data" / "cfos"


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The project's own small data, always there."""
    return ROOT / "data" / "fixtures"
