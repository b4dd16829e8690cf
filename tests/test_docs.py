"""Every line of the README and of the pages runs as it stands."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from speechkit.cli import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Tested by CI itself, in test_demo.py and in test_recipe_*.py.
ELSEWHERE = ("make ", "source ", "speechkit demo", "python recipes/")


def blocks(page: Path, language: str) -> list[str]:
    """The page's code blocks in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.fixture
def folder(voice, tmp_path, monkeypatch):
    """A folder to run a page in, with the recording that the pages speak of."""
    voice.synthesize("Hello! This is my own voice.").save(tmp_path / "hello.wav")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.real
@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=lambda p: p.name)
def test_python_blocks_run(page, loaded, folder):
    exec(compile("\n".join(blocks(page, "python")), page.name, "exec"), {"__name__": "page"})


@pytest.mark.real
@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "bash")], ids=lambda p: p.name)
def test_commands_run(page, loaded, folder, monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    run = ran = 0
    for line in "".join(blocks(page, "bash")).splitlines():
        command = line.split("  #")[0].strip()
        if not command or command.startswith(ELSEWHERE):
            continue
        run += 1
        if "|" in command:
            ran += subprocess.run(["bash", "-c", command]).returncode == 0
            continue
        words = shlex.split(command)
        assert words[0] == "speechkit", command
        if words[1] in ("enroll", "identify", "speakers", "forget"):
            words += ["--book", str(folder / "book.db")]
        ran += main(words[1:]) == 0
    assert run == ran
