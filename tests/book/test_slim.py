"""What makes pages light: rules that go and rules that stay, icons, panels."""

import pytest
from attention_book import icons
from attention_book.code import PLAIN
from attention_book.folding import fold
from attention_book.sheets import Words, lean, prune, rules
from pygments.styles import get_style_by_name
from pygments.token import Name

WORDS = Words(frozenset(("a", "b", "md:c")), ("tip-",))


@pytest.mark.parametrize(
    ("sheet", "left"),
    [
        (".a { color: red; }", ".a{color:red}"),
        (".gone { color: red; }", ""),
        (".a .gone, .b > p { margin: 0 auto; top: 1px }", ".b > p{margin:0 auto;top:1px}"),
        ("#a.b {x: y} #gone {x: y}", "#a.b{x:y}"),
        (".a:not(.gone) {x: y}", ".a:not(.gone){x:y}"),
        (":is(.gone, .b:is(.gone)) {x: y}", ":is(.gone, .b:is(.gone)){x:y}"),
        (".a:not(.gone, .b).gone {x: y}", ""),
        ('[class*=".gone"] {x: y}', '[class*=".gone"]{x:y}'),
        (r".md\:c {x: y}", r".md\:c{x:y}"),
        (".tip-top {x: y}", ".tip-top{x:y}"),
        ("@media print { .gone {x: y} }", ""),
        ("@media print { .a {x: y} .gone {x: y} }", "@media print{.a{x:y}}"),
        ("@charset 'utf-8'; /* .b { */ p {x: y}", "@charset 'utf-8';p{x:y}"),
        ('.a::after { content: "} ;  { .gone"; x: y }', '.a::after{content:"} ;  { .gone";x:y}'),
        (".a { background: url(data:x;y,{z}) }", ".a{background:url(data:x;y,{z})}"),
        ("@page { margin: 1cm; @bottom-center { content: counter(page) } }", None),
        (".a { }", ""),
    ],
)
def test_rules_that_no_page_uses_go(sheet: str, left: str | None) -> None:
    found = prune(sheet, WORDS)
    assert found == left if left is not None else "counter(page)" in found


def test_an_at_rule_may_be_refused() -> None:
    sheet = "@font-face { src: url(x.woff) } @font-face { src: url(y.woff) }"
    assert prune(sheet, WORDS, wanted=lambda head, body: "x." in body) == "@font-face{src:url(x.woff)}"


@pytest.mark.parametrize("sheet", [".a { x: y", ".a { x: y } .b", "} .a { x: y }"])
def test_a_broken_sheet_is_refused(sheet: str) -> None:
    with pytest.raises(ValueError, match="middle of a rule"):
        list(rules(sheet))


def test_properties_that_nothing_reads_go() -> None:
    sheet = '.a{--one:1;--two:var(--one);--three:"a;b";color:var(--four)}.b{--four:4;--five:5}.c{--three:3}'
    assert lean(sheet, {"--five"}) == ".a{color:var(--four)}.b{--four:4;--five:5}"


SCRIPT = 'x={"bulb":[3,4,[1],"f0","M1"],pen:[5,6,[9,"pencil"],"f1","M2z"]},y={bulb:[7,8,[],"f0","M3"]}'


def test_an_icon_is_an_outline_found_by_any_of_its_names() -> None:
    style = icons.style(SCRIPT, {"bulb", "pencil"})
    assert icons.LICENCE in style
    assert "viewBox='0 0 7 8'" in style, "the last family, the solid one"
    assert "--icon-pencil:" in style
    assert "M2z" in style
    assert ".fa-bulb { --icon: var(--icon-bulb); }" in style
    with pytest.raises(LookupError, match="nothing"):
        icons.style(SCRIPT, {"nothing"})


def test_icons_are_found_in_pages_scripts_and_styles() -> None:
    assert icons.used('<i class="fa-solid fa-pen fa-lg"></i> <b class="alfa-x">') == {"pen"}
    assert icons.used("n.classList = 'fas fa-xmark'; mask: var(--icon-bulb)") == {"xmark", "bulb"}


PAGE = """\
<div class="exercise admonition" id="e">
<p class="admonition-title"><span class="caption-number">Exercise 1.2 </span> (Two)</p>
<div><div class="dropdown admonition hint"><p class="admonition-title">Hint</p><div>Look.</div></div></div></div>
<div class="solution dropdown admonition" id="s">
<p class="admonition-title">Solution to<a href="#e"> Exercise 1.2</a></p><p>Here.</p></div>
<div class="dropdown menu"><div>x</div></div>
<div class="note admonition"><p class="admonition-title">N</p></div>"""
ARROW = '<span class="fa-solid fa-chevron-down"></span></summary>'


def test_hints_and_solutions_are_panels_with_names_of_their_own() -> None:
    found = fold(PAGE)
    assert found.count("<details") == found.count("</details>") == 3  # the exercise itself, too
    assert found.count("<div") == found.count("</div>") == PAGE.count("<div") - 3
    title = '<summary class="admonition-title">'
    assert f"{title}Hint to Exercise 1.2{ARROW}<div>Look.</div></details>" in found
    panel = '<details class="solution dropdown admonition" id="s">'
    assert f"{panel}\n{title}Solution to Exercise 1.2{ARROW}<p>Here.</p></details>" in found
    assert '<div class="dropdown menu"><div>x</div></div>' in found
    assert fold(found) == found


def test_a_hint_outside_an_exercise_keeps_its_name() -> None:
    alone = '<div class="hint dropdown admonition"><p class="admonition-title">Hint</p></div>'
    assert ">Hint<span" in fold(alone)
    with pytest.raises(ValueError, match="does not end"):
        fold(alone.removesuffix("</div>"))


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_what_is_plain_looks_like_plain_text(mode: str) -> None:
    style = get_style_by_name(f"a11y-high-contrast-{mode}")
    plain = style.style_for_token(Name)
    for kind in PLAIN:
        about = style.style_for_token(kind)
        assert about["color"] in (None, plain["color"]), kind
        assert [way for way in ("bold", "italic", "underline", "bgcolor") if about[way]] == [], kind
