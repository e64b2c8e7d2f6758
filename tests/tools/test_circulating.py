"""Numbers that circulate: the page is current, every figure on it is computed, an unknown one is noticed."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

import attention
from attention.backbones.resnet import resnet50
from attention.lab import cost
from attention.registry import FAMILIES, entry
from tools.chapters import ROOT
from tools.writing import circulating
from tools.writing.circulating import GENERAL, MARKERS, PAGE, RUNS, VERDICTS, Claim, claims, filled

TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
#: Each claim's part of the page, by name.
PARTS = {
    part.partition(")=")[0]: part
    for part in re.split(r"^\(circulating-", TEXT.partition(MARKERS[1])[0], flags=re.MULTILINE)[1:]
}

each = pytest.mark.parametrize("claim", claims(), ids=lambda claim: claim.name)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_page_is_current() -> None:
    assert circulating.page(ROOT) == TEXT


@each
def test_a_claim_is_complete_and_stands_on_the_page_once(claim: Claim) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", claim.name)
    for text in (claim.said, claim.source, *filter(None, (claim.count, claim.why))):
        assert text.endswith("."), text
    assert not claim.claim.endswith(".")
    assert "http" not in re.sub(r"\]\(https://[^)\s]+\)", "", claim.said + claim.source)
    part = PARTS[claim.name]
    assert f"### {claim.claim}\n" in part
    assert part.count(f":Verdict: **{claim.verdict}**") == 1
    assert part.partition(f"### {claim.claim}\n")[2].lstrip().startswith(":Verdict: "), "it comes first"
    assert TEXT.count(f"[{claim.claim}](#{claim.anchor}) | {claim.verdict} |") == 1
    assert "{" not in part


def test_claims_stand_by_family_in_the_order_of_the_book() -> None:
    headings = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    order = [GENERAL, *FAMILIES.values()]
    assert headings == sorted(headings, key=order.index)
    where = {name: TEXT[: TEXT.index(f"(circulating-{name})=")].rpartition("\n## ")[2].split("\n")[0] for name in PARTS}
    assert where == {c.name: FAMILIES[entry(c.about).family] if c.about else GENERAL for c in claims()}
    assert list(PARTS) != []
    assert set(PARTS) == {claim.name for claim in claims()}


def test_every_verdict_is_explained_and_given() -> None:
    assert {claim.verdict for claim in claims()} == set(VERDICTS)
    assert all(f"*{verdict}*: {what}" in TEXT for verdict, what in VERDICTS.items())


def test_no_count_of_a_network_is_typed() -> None:
    """A figure of more than four digits is an address, or comes from braces; what stands in words is 4.7e-4."""
    for claim in claims():
        for text in (claim.source, claim.count, claim.why):
            outside = re.sub(r"\{[^}]*\}|\(https://[^)]*\)", "", text)
            assert set(re.findall(r"\d{1,3}(?:,\d{3})+", outside)) <= {"470,000", "1,024"}, claim.name


# What is computed, by other means


def test_counts_are_those_of_the_networks() -> None:
    with torch.device("meta"):
        plain, se = resnet50(), resnet50(attention="se")
        eca = [attention.create("eca", channels).kernel_size for channels in (256, 512, 1024, 2048)]
    assert filled("{parameters[SE-ResNet-50]:,}") == f"{parameters(se):,}"
    assert filled("{added[SE-ResNet-50 | ResNet-50]}") == str(parameters(se) - parameters(plain))
    assert filled("{more[SE-ResNet-50 | ResNet-50]:.2f}") == f"{100 * (parameters(se) / parameters(plain) - 1):.2f}"
    assert filled("{mebi[ResNet-50]:.2f}") == f"{parameters(plain) / 2**20:.2f}" == "24.37"
    fewer = 100 * (1 - 80 / (parameters(se) - parameters(plain)))
    shown = filled("{fewer[ECA-ResNet-50, k = 3, 5, 5, 7 | SE-ResNet-50 | ResNet-50]:.3f}")
    assert shown == f"{fewer:.3f}"
    assert RUNS["eca_sizes"]() == ", ".join(map(str, eca)) == "5, 5, 5, 7"
    assert RUNS["eca_parameters"]() == str(3 * 5 + 4 * 5 + 6 * 5 + 3 * 7)


def test_multiply_adds_are_those_of_a_run() -> None:
    with torch.device("meta"):
        first, second = resnet50(stride_in="1x1").eval(), resnet50(stride_in="1x1", strides=[1, 2, 2, 1]).eval()
        x = torch.empty(1, 3, 224, 224)
        macs = [cost.count(model, x).macs for model in (first, second)]
    assert filled("{macs[ResNet-50 @ 1x1]:,}") == f"{macs[0]:,}"
    assert RUNS["last_stage"]() == f"{macs[1]:,}"
    gsop = int(filled("{macs[GSoP-Net1]}"))
    assert macs[1] - macs[0] > 10 * (gsop - macs[1]) > 0, "most of the difference is the last stage's resolution"


def test_the_weighted_mean_is_the_share_of_a_run() -> None:
    block = attention.AdditiveAttention(channels=512, query=512, hidden=512).eval()
    x, query = torch.zeros(1, 512, 14, 14), torch.zeros(1, 512)
    rows, keys = block.project(x)
    every = [cost.count(block, x, query).macs, cost.count(_Read(block), rows, keys, query).macs]
    shares = [f"{100 * 512 * 14 * 14 / macs:.1f}" for macs in every]
    assert [RUNS["weighted_mean"](), RUNS["weighted_mean_later"]()] == shares


class _Read(nn.Module):
    def __init__(self, block: attention.AdditiveAttention) -> None:
        super().__init__()
        self.block = block

    def forward(self, rows: torch.Tensor, keys: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
        return self.block.read(rows, keys, query)[0]


def test_gates_and_pixels() -> None:
    assert RUNS["softmax_gate"]() == f"{1 / 256:.4f}"
    assert 0.4 < float(RUNS["sigmoid_gate"]()) < 0.6
    assert RUNS["upsampled"]() == "15 × 15"
    operations, macs = (int(filled(text).replace(",", "")) for text in ("{run[operations]}", "{macs[ResNet-50]}"))
    assert operations == 2 * macs


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{points[24.80, 23.29]}", "1.51"),
        ("{points[72.3, 74.3]}", "2.0"),
        ("{percent[3.858, 3.864]:.2f}", "0.16"),
        ("{percent[3025, 2675]:.0f}", "12"),
        ("{mean[79.74, 79.22, 78.40]}", "79.12"),
        ("{points_of_means[77.31, 77.91, 76.89 | 79.74, 79.22, 78.40]}", "1.75"),
        ("nothing in braces", "nothing in braces"),
    ],
)
def test_printed_figures_are_compared(text: str, said: str) -> None:
    assert filled(text) == said


# What is refused


@pytest.mark.parametrize("text", ["{parameters[ResNet-51]}", "{run[nothing]}", "{seconds[ResNet-50]}"])
def test_what_cannot_be_computed_is_noticed(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text)) + ": there is no"):
        filled(text)


def test_an_unknown_verdict_or_mechanism_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[a\] verdict='maybe' is not one of right, other unit"):
        Claim("a", "", "b", "c", "d", "maybe")
    with pytest.raises(ValueError, match="'sse' is not a mechanism"):
        Claim("a", "sse", "b", "c", "d", "right")


def test_a_page_without_markers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"book/circulating.md is missing"):
        circulating.page(tmp_path)
    (tmp_path / PAGE).parent.mkdir()
    (tmp_path / PAGE).write_text(f"# A page\n\n{MARKERS[1]}\n{MARKERS[0]}\n", encoding="utf-8")
    with pytest.raises(ValueError, match="needs one <!-- circulating: begin -->"):
        circulating.page(tmp_path)
