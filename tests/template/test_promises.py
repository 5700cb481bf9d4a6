"""The guide to promises names conformance cases that there are."""

import re

from rights import ROOT


def test_every_case_that_the_guide_names_is_one():
    guide = (ROOT / "shared" / "docs" / "promises.md").read_text()
    table = guide.split("| taken for granted |")[1].split("\n\n")[0]
    named = set(re.findall(r"`([a-z_]+)`", table.split("\n", maxsplit=2)[2]))
    cases = "\n".join(path.read_text() for path in (ROOT / "tests" / "conformance").glob("*.rs"))
    missing = {name for name in named if f"fn {name}(" not in cases}
    assert len(named) > 10 and not missing, missing
