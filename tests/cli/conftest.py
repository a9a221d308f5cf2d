"""What the tests of this wing share."""

from pathlib import Path

import pytest

from tests.cli.program import MEASURE, Run, run_main


@pytest.fixture(autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command leaves in the folder where it is called is not left in the repository."""
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit code, stdout and stderr of the program."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run_main(*arguments)
        return code, *capsys.readouterr()

    return call


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a ResNet-8 after one epoch on the digits."""
    out = tmp_path_factory.mktemp("trained") / "net"
    options = ("--model", "resnet8", "--data", "digits", "--device", "cpu", "--norm", "batch_l1")
    assert run_main("train", *options, "--epochs", 1, "--out", out) == 0
    return out


@pytest.fixture(scope="session")
def measured(trained: Path) -> Path:
    """A store with three chips at two levels."""
    store = trained.parent / "rows.db"
    assert run_main("measure", trained, *MEASURE, "--store", store) == 0
    return store
