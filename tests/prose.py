"""The sentences of a page in Markdown, and the figures in a sentence."""

from __future__ import annotations

import re

BLOCK = re.compile(r"^```\w*\n.*?^```", re.S | re.M)
LEFT_OUT = (r"<!--.*?-->", r"^\|.*$", r"^#+ .*$", r"<[^>]+>", r"!\[[^\]]*\]\([^)]*\)")
"""Comments, tables, headings, HTML, pictures: no sentences."""
ITEM = re.compile(r"^(?:\s*[-*]|\s*\d+\.|>)\s+", re.M)
NO_FIGURE = (
    r"`[^`]*`",
    r"\[[-+\d., ]+\]",  # an interval belongs to its estimate
    r"\b\d{4}-\d\d-\d\d\b|\b(?:19|20)\d\d\b|v?\d+\.\d+\.\d+|10\.\d{4,}\S*|CC BY 4\.0",
    r"\b[A-Za-z][\w-]*\d\w*|\b\d+k\b",  # names: fp32, ResNet-18, the 18k student
)


def sentences(text: str) -> list[str]:
    """Of paragraphs and list items, without emphasis and targets of links; one or two words are none."""
    text = BLOCK.sub("\n\n", text)
    for pattern in LEFT_OUT:
        text = re.sub(pattern, "", text, flags=re.S | re.M if "<!" in pattern else re.M)
    text = ITEM.sub("\n\n", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text))
    found = []
    for paragraph in re.split(r"\n\s*\n", text):
        joined = re.sub(r"\*+", "", " ".join(paragraph.split()))
        found += re.split(r"(?<=[.!?:])\s+(?=[A-Z\"`(\[])", joined)
    return [sentence for sentence in found if len(sentence.split()) > 2]


def figures(sentence: str) -> list[str]:
    """The numbers in a sentence that a reader has to keep in mind."""
    for pattern in NO_FIGURE:
        sentence = re.sub(pattern, "", sentence)
    return re.findall(r"(?<![\w.])[-+]?\d[\d,.]*%?", sentence)
