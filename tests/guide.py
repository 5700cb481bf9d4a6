"""What the guides tell users to add to the template, taken at their word."""

import re

from rights import ROOT


def with_more_queues() -> tuple[str, list[str]]:
    """The template with the queues of shared/docs/routing.md, and the lines that this took."""
    return patched((ROOT / "template.yaml").read_text(), _diff("routing"))


def _diff(guide: str) -> str:
    text = (ROOT / "shared" / "docs" / f"{guide}.md").read_text()
    blocks = re.findall(r"^```diff\n(.*?)^```$", text, re.M | re.S)
    assert len(blocks) == 1, f"{guide}.md has {len(blocks)} blocks of this kind"
    return blocks[0]


def patched(text: str, diff: str) -> tuple[str, list[str]]:
    """The text after a diff whose hunks are parted by empty lines, and the lines that are new in it. What stays and
    what goes has to be there once."""
    added = []
    for hunk in diff.strip("\n").split("\n\n"):
        lines = hunk.split("\n")
        before = "\n".join(line[1:] for line in lines if line[0] in " -")
        after = "\n".join(line[1:] for line in lines if line[0] in " +")
        assert f"\n{text}".count(f"\n{before}\n") == 1, f"the template doesn't have this once:\n{before}"
        text = f"\n{text}".replace(f"\n{before}\n", f"\n{after}\n")[1:]
        added += [line[1:] for line in lines if line[0] == "+"]
    return text, added
