"""The README is short, and its links lead somewhere; `test_docs` runs its code."""

import re

import pytest
from conftest import ROOT

README = (ROOT / "README.md").read_text()
# Without its code.
PROSE = re.sub(r"```.*?```", "", README, flags=re.DOTALL)


def test_it_shows_before_it_explains():
    lines = README.splitlines()
    assert len(lines) <= 170
    assert any(line.startswith("![") for line in lines[:15])


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", PROSE))
def test_links_lead_somewhere(link):
    assert (ROOT / link).is_file()
