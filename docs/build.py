"""Write the documentation site to build/site with MkDocs: every page of the repository, and the API from docstrings.

    python docs/build.py

Pages keep their places, so that their links hold in the repository and on the site. A link to a file that is no page becomes
text. A link that leads nowhere ends the build with an error.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STAGE = ROOT / "build" / "docs"
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md", "data/README.md", "experiments/**/*.md", "benchmarks/*.md")
PICTURES = ("experiments/**/*.png", "benchmarks/**/*.png", "docs/**/*.png")
API = {
    "api": ("In Python", "denoisebench.api"),
    "denoiser": ("The contract of a method", "denoisebench.denoiser"),
    "images": ("Data sets", "denoisebench.datasets.images"),
    "noise": ("Noise models", "denoisebench.noise.model"),
    "protocol": ("Protocols", "denoisebench.scoring.protocol"),
    "measure": ("Measures", "denoisebench.scoring.measures.measure"),
    "sampling": ("Masks, sub-samples and pixel shuffling", "denoisebench.sampling"),
    "rows": ("Rows", "denoisebench.store.rows"),
    "packs": ("Packs", "denoisebench.packs.contents"),
    "versions": ("Versions", "denoisebench.versions"),
}
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)")


def stage() -> list[Path]:
    """Copy pages and pictures to where MkDocs reads them; returns the pages."""
    shutil.rmtree(STAGE, ignore_errors=True)
    every = {path for place in (*PAGES, *PICTURES) for path in ROOT.glob(place)}
    for path in sorted(every):
        target = STAGE / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            target.write_text(linked(path.read_text(encoding="utf-8"), path, every), encoding="utf-8")
        else:
            shutil.copyfile(path, target)
    (STAGE / "api").mkdir()
    for name, (title, module) in API.items():
        (STAGE / "api" / f"{name}.md").write_text(f"# {title}\n\n::: {module}\n", encoding="utf-8")
    return sorted(STAGE.rglob("*.md"))


def linked(text: str, page: Path, every: set[Path]) -> str:
    """A page whose links to files that are no pages are text: the site has none of them."""

    def shown(found: re.Match[str]) -> str:
        path = found[2].partition("#")[0]
        target = (page.parent / path).resolve()
        if not path or "://" in path or target in every or not target.exists():
            return found[0]
        return found[1]

    return LINK.sub(shown, text)


if __name__ == "__main__":
    stage()
    sys.exit(
        subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-f", ROOT / "mkdocs.yml"]).returncode
    )
