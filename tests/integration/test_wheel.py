"""An installed wheel behaves like the checkout, migrations and example included."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from world import World, serving, write_config

from renewal_watch import language
from renewal_watch.language import LANGUAGES

ROOT = Path(__file__).resolve().parent.parent.parent
CATALOGUES = [language.FOLDER / name.replace("-", "_") / "LC_MESSAGES/renewal_watch.po" for name in LANGUAGES[1:]]


def test_an_installed_wheel_migrates_polls_and_writes_the_example(tmp_path: Path) -> None:
    built = tmp_path / "built"
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    (wheel,) = built.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
    run = [
        sys.executable,
        "-c",
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from renewal_watch.cli import main; main()",
    ]
    assert all((site / path.relative_to(ROOT)).read_bytes() == path.read_bytes() for path in CATALOGUES)
    where = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {str(site)!r}); import renewal_watch; print(renewal_watch.__file__)",
        ],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    ).stdout
    assert where.startswith(str(site))
    with serving(World(numbers=3, restless=False)) as address:
        config = write_config(tmp_path, address, channels=0)
        done = subprocess.run(
            [*run, str(site), "--config", str(config), "poll"], capture_output=True, text=True, cwd=tmp_path
        )
    assert done.returncode == 0, done.stderr
    assert "production: 3 numbers" in done.stdout
    done = subprocess.run(
        [*run, str(site), "init", str(tmp_path / "new.toml")], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "new.toml").read_text() == (ROOT / "config.example.toml").read_text()


def test_a_source_distribution_holds_what_is_tracked_only(tmp_path: Path) -> None:
    """Also one that is made of an unpacked one, where there is no Git."""
    tree = tmp_path / "tree"
    tracked = ["LICENSE", "README.md", "hatch_build.py", "pyproject.toml", "renewal_watch/__init__.py"]
    for name in tracked:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes((ROOT / name).read_bytes())
    git = ["git", "-C", str(tree)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", *tracked], check=True)
    for name in (".env", "token", "renewal_watch/notes.txt"):
        (tree / name).write_text("a secret")
    for where in ("first", "second"):
        command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path / where)]
        subprocess.run(command, check=True, capture_output=True, cwd=tree)
        (made,) = (tmp_path / where).glob("*.tar.gz")
        with tarfile.open(made) as packed:
            assert sorted(name.partition("/")[2] for name in packed.getnames()) == sorted([*tracked, "PKG-INFO"])
            packed.extractall(tmp_path / "unpacked", filter="data")
        (tree,) = (tmp_path / "unpacked").iterdir()
