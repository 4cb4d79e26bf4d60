"""What is installed is ours and whole."""

from __future__ import annotations

import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import schema

ROOT = Path(__file__).parents[2]


def test_the_schema_that_is_imported_is_ours() -> None:
    assert Path(str(schema.__file__)).parent == ROOT / "schema"


@pytest.mark.parametrize("program", ["fleetpedia", "fleetpedia-agent"])
def test_the_programs_are_installed_and_help(program: str) -> None:
    said = subprocess.run(
        [Path(sys.executable).with_name(program), "--help"], capture_output=True, text=True, check=True
    )
    assert said.stdout.startswith(f"usage: {program}")


def test_version_and_help_are_quick() -> None:
    """They import nothing heavy. CPU time, the best of five: the machine has other things to do."""
    for arguments in (["version"], ["--help"], ["clusters", "--help"]):
        command = [sys.executable, "-m", "aggregator.cli", *arguments]
        assert min(_seconds(command) for _ in range(5)) < 0.25, arguments


def _seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a build writes beside its source
    source.mkdir()
    for name in ("schema", "agent", "aggregator", "simulator", "pyproject.toml", "README.md"):
        (source / name).symlink_to(ROOT / name)
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [file] = folder.glob("*.whl")
    return zipfile.ZipFile(file)


def test_the_wheel_holds_every_source_and_data_file_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    kept = {"schema", "agent", "aggregator", "simulator"}
    held = {name for name in wheel.namelist() if name.partition("/")[0] in kept}
    suffixes = {".py", ".sql", ".json", ".yaml", ".typed"}
    sources = {
        str(path.relative_to(ROOT))
        for package in kept
        for path in (ROOT / package).rglob("*")
        if path.suffix in suffixes and "__pycache__" not in path.parts
    }
    assert held == sources
    assert {name.partition("/")[0] for name in wheel.namelist()} - kept == {
        name.partition("/")[0] for name in wheel.namelist() if ".dist-info" in name
    }


def test_the_wheel_names_both_programs(wheel: zipfile.ZipFile) -> None:
    [file] = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    text = wheel.read(file).decode()
    assert "fleetpedia = aggregator.cli:main" in text
    assert "fleetpedia-agent = agent.main:main" in text
