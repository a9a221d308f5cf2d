"""What the tests of this wing share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from noiseproof.results.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "rows.db") as opened:
        yield opened
