"""The site builds without a warning, holds every public name, and needs nothing from outside."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import noiseproof as npf

ROOT = Path(__file__).parent.parent.parent
LOADING = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}
WINGS = [path.stem for path in sorted((ROOT / "docs/api").glob("*.md"))]
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("site")]  # one process, one build


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", str(out / "trees"), str(ROOT / "docs"), str(out / "html")],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return out / "html"


class Loaded(HTMLParser):
    """The addresses that a browser fetches to show a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get(LOADING.get(tag, ""))
        if address:
            self.addresses.append(address)


def test_a_page_loads_only_what_lies_beside_it(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        for address in Loaded(page.read_text()).addresses:
            local = address.split("#")[0].split("?")[0]
            if not address.startswith("data:") and local.endswith((".css", ".js", ".png", ".svg")):
                assert (page.parent / local).is_file(), address
            assert "://" not in address
            assert not address.startswith("//")


def test_a_style_loads_nothing_from_outside(site: Path) -> None:
    for style in site.rglob("*.css"):
        assert re.findall(r"url\(\s*[\"']?(?:https?:)?//", style.read_text()) == []


@pytest.mark.parametrize("wing", [wing for wing in WINGS if wing not in ("index", "noiseproof")])
def test_every_public_name_of_a_wing_is_on_its_page(site: Path, wing: str) -> None:
    page = (site / "api" / f"{wing}.html").read_text()
    assert [name for name in dir(getattr(npf, wing)) if not re.search(rf">{name}<", page)] == []


def test_a_signature_is_in_plain_types(site: Path) -> None:
    """What Sphinx cannot read it prints with full names and marks."""
    for page in sorted(site.glob("api/*.html")):
        assert (
            re.findall(r"~(?:collections|noiseproof|torch|typing)\.|FieldInfo", page.read_text())
            == []
        )
