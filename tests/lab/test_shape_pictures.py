"""The workbench's drawings of shapes: what stands where, what fits, what is said."""

import cProfile
import pstats

import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.text import Text
from torch import nn

from attention import registry
from attention.contract import Attention
from attention.experiments.stn import tasks
from attention.lab import roles, style
from attention.lab.shapes import alt_text, diagram, draw, trace
from attention.laws.gradients import Literal
from tests.lab.picture_checks import boxes, faults, labels, lines, zones
from tests.lab.shape_modules import Bottleneck, Calls, Tall, cases, random_module, run
from tools.writing.pages import example

CASES = cases()


@pytest.mark.parametrize("flow", ["down", "right"])
@pytest.mark.parametrize("name", [*CASES, *range(6)])
def test_nothing_overlaps(name, flow):
    module, *inputs = CASES[name] if name in CASES else (random_module(name), torch.randn(1, 4, 6, 6))
    found = trace(module, *inputs)
    fig = diagram(found, title="A title that is longer than what it stands above is wide", flow=flow)
    assert faults(fig) == []
    visible = found.visible()
    assert sum(name.startswith("tensor") for name in boxes(fig)) == len(visible.nodes)
    assert sum(name.startswith("operation") for name in boxes(fig)) == len({n.operation for n in visible.nodes} - {-1})
    written = " ".join(text.replace("\n", " ") for text, _ in labels(fig))
    for node in visible.nodes:
        assert all(words in written for words in node.chain)
        assert "×".join(map(str, node.shape)) in written
        assert node.name in written


def test_the_check_for_overlap_finds_overlap():
    fig = diagram(trace(*CASES["SE"]), flow="down")
    text = next(t for t in fig.axes[0].texts if t.get_text() == "ReLU")
    text.set_y(text.get_position()[1] + 0.45)
    assert any("text ReLU" in fault for fault in faults(fig))
    fig = diagram(trace(*CASES["SE"]), flow="down")
    skip = next(p for p in fig.axes[0].patches if (p.get_gid() or "") == "line:tensor:0:operation:6")
    skip.get_path().vertices[:, 0] += 0.8
    assert any("runs through" in fault for fault in faults(fig))
    fig = diagram(trace(*CASES["SE"]))
    band = next(p for p in fig.axes[0].patches if (p.get_gid() or "") == "zone:scale")
    band.set_x(band.get_x() - 0.5)
    assert any(fault.startswith("zone ") for fault in faults(fig))


def test_every_edge_is_a_line():
    found = trace(*CASES["two gates"]).visible()
    ways = set(lines(diagram(found)))
    for node in found.nodes:
        for source in node.sources:
            assert f"line:tensor:{source}:operation:{node.operation}" in ways
        if node.words:
            assert f"line:operation:{node.operation}:tensor:{node.index}" in ways


def test_a_skip_goes_around():
    fig = diagram(trace(*CASES["SE"]), flow="down")
    skip = lines(fig)["line:tensor:0:operation:6"]
    others = [box for name, box in boxes(fig).items() if name not in ("tensor:0", "tensor:7", "operation:6")]
    assert skip[:, 0].min() < min(box.x0 for box in others)


def test_sides_follow_the_sizes():
    fig = diagram(trace(*CASES["tall"]), flow="down")
    found = boxes(fig)
    image, deep = found["tensor:0"], found["tensor:3"]  # 3×224×224 and 2048×7×7
    assert image.height > 1.8 * deep.height
    assert deep.width > 1.8 * image.width
    assert found["tensor:4"].height < deep.height  # a vector is a bar


@pytest.fixture
def shown(monkeypatch):
    """What :func:`attention.lab.style.show` was given last."""
    given = {}
    monkeypatch.setattr(style, "show", lambda fig, alt, **options: given.update(fig=fig, alt=alt, **options))
    return given


def test_what_a_phone_cannot_show_scrolls(shown):
    for name, (module, *inputs) in CASES.items():
        draw(trace(module, *inputs))
        assert shown["scroll"] == (shown["fig"].get_figwidth() > 5.42), name
    draw(trace(nn.ReLU(), torch.ones(2)), caption="What it shows.")
    assert not shown["scroll"]
    assert shown["caption"] == "What it shows."


def block_and_inputs(name):
    """A block and its inputs as its page draws them."""
    entry = registry.entry(name)
    if name != "stn":
        return example(entry)
    torch.manual_seed(0)
    return entry.load()(tasks.localiser(), 32, size=(16, 16)).eval(), (torch.randn(1, 1, 28, 28),)


def blocks():
    """All built blocks."""
    return [name for name, entry in registry.entries().items() if entry.built]


@pytest.fixture(scope="module")
def literal_runs():
    """The run of each block's equations."""
    found = {}
    for name in blocks():
        block, inputs = block_and_inputs(name)
        found[name] = trace(block if type(block).forward is Attention.forward else Literal(block), *inputs)
    return found


#: What a page shows at 1280 pixels, and a phone; and the smallest text, all in pixels.
COLUMN, SCREEN, PHONE, PHONES, SMALL = 690, 700, 350, 3 * 844, 8.0
#: Runs whose drawing needs more than a screen.
LONG = {"scsa": 1000}


@pytest.mark.parametrize("name", blocks())
def test_a_block_lies_in_one_screen_and_stands_in_three(name, literal_runs):
    for flow, wide, high in (("right", COLUMN, LONG.get(name, SCREEN)), ("down", PHONE, PHONES)):
        fig = diagram(literal_runs[name], flow=flow)
        width, height = (100 * inches for inches in fig.get_size_inches())
        shrunk = min(1.0, wide / width)
        assert height * shrunk <= high, flow
        assert min(text.get_fontsize() for text in fig.axes[0].texts) / 72 * 100 * shrunk >= SMALL, flow
        assert faults(fig) == [], flow


@pytest.mark.parametrize("name", blocks())
def test_every_step_of_a_block_is_drawn_in_its_zone_and_colour(name, literal_runs):
    block, inputs = block_and_inputs(name)
    shown = literal_runs[name].visible().nodes
    steps = {node.step: node for node in shown if node.step}
    assert set(steps) == set(block.steps)
    for step, role in roles.of(block, *inputs).items():
        assert (steps[step].zone, steps[step].colour) == (block.steps[step].zone, role), step
    fig = diagram(literal_runs[name])
    assert {step.zone for step in block.steps.values()} == set(zones(fig))
    plain = [node.words for node in shown if node.kind == "layout" and not (node.step or node.role or node.map)]
    assert plain == []


def test_an_einsum_that_makes_a_step_is_called_as_its_zone(shown):
    block, inputs = block_and_inputs("stn")
    draw(trace(block, *inputs))
    told = [text.get_text() for text in shown["fig"].findobj(Text)]
    assert not [words for words in told if "einsum" in words]
    assert told.count("grid") == 2, "the zone, and the product in it"


def test_zones_hold_what_belongs_to_them():
    fig = diagram(trace(*CASES["SE"]), flow="down")
    found, solids = zones(fig), boxes(fig)
    for zone, members in {"squeeze": (1,), "excite": (3, 5), "scale": (7,)}.items():
        (band,) = found[zone]
        inside = {name for name, box in solids.items() if band.y0 <= box.y0 and box.y1 <= band.y1}
        assert {f"tensor:{i}" for i in members} <= inside
        assert len([name for name in inside if name.startswith("tensor")]) == len(members)


def test_rows_repeat_what_they_need():
    run = trace(*CASES["two gates"])
    fig = diagram(run)
    names = list(boxes(fig))
    again = {int(name.split(":")[1]) for name in names if name.startswith("again")}
    assert again
    for way in lines(fig):
        source = way.split(":")[2]
        assert f"tensor:{source}" in names or f"operation:{source}" in names or f"again:{source}" in names
    nameless = [node for node in run.visible().nodes if node.index in again and not (node.symbol or node.name)]
    marks = [text for text, _ in labels(fig) if text in "①②③④⑤"]
    assert sorted(marks) == sorted("①②③④⑤"[: len(nameless)] * 2)  # where it is made, and where it is repeated


def test_the_attention_block_is_highlighted():
    fig = diagram(trace(*CASES["bottleneck"]), flow="right")
    frames = {p.get_gid(): p for p in fig.axes[0].patches if (p.get_gid() or "").startswith("operation")}
    strong = [gid for gid, frame in frames.items() if to_hex(frame.get_edgecolor()) == roles.COLOURS["map"][0]]
    assert len(strong) == 1
    assert "attention:\nSqueezeExcitation" in [text for text, _ in labels(fig)]
    run = trace(*CASES["bottleneck"]).visible()
    assert (0, run.nodes[-1].index) in {(e.source, e.target) for e in run.edges}  # the shortcut is one line


def test_plumbing_is_drawn_on_demand():
    run = trace(*CASES["heads"])
    hidden, whole = boxes(diagram(run)), boxes(diagram(run, plumbing=True))
    assert sum(name.startswith("tensor") for name in whole) == len(run.nodes)
    assert len(hidden) < len(whole)
    assert "rearrange" in alt_text(run, plumbing=True)
    assert "rearrange" not in alt_text(run)


def test_symbols_can_be_left_out():
    fig = diagram(trace(*CASES["SE"]), symbols=False)
    assert zones(fig) == {}
    assert not any("$" in text for text, _ in labels(fig))


@pytest.mark.parametrize("name", CASES)
def test_the_style_accepts_every_drawing(name):
    module, *inputs = CASES[name]
    draw(trace(module, *inputs), title=name)  # refuses text that is cut off, or too small for a phone


def test_alt_text_tells_the_run():
    assert alt_text(trace(*CASES["SE"])) == (
        "The tensors of SqueezeExcitation: x of shape 2×64×8×8; mean over H, W gives z of shape 2×64; "
        "linear 64 → 4, ReLU gives 2×4 (step 2); linear 4 → 64, sigmoid gives channel of shape 2×64; "
        "× of x and channel (channel stretched over H × W) gives output of shape 2×64×8×8."
    )
    long = alt_text(trace(nn.Sequential(*[nn.Linear(2, 2)] * 60), torch.ones(2)))
    assert "37 more steps" in long
    assert len(long) < 1500


def test_a_drawing_too_long_to_store_says_so():
    module = nn.Sequential(*[nn.Linear(2, 2)] * 700)
    with pytest.raises(ValueError, match="inches long"):
        diagram(trace(module, torch.ones(2)), flow="down")


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("flow='up'", lambda: diagram(trace(nn.ReLU(), torch.ones(1)), flow="up")),
        ("no tensors", lambda: diagram(trace(Calls(lambda m: None)))),
    ],
)
def test_what_cannot_be_drawn(message, call):
    with pytest.raises(ValueError, match=message):
        call()


def calls(function, *arguments, **named):
    """Return what a function returns, and how many calls of Python functions it takes: on every machine the same."""
    profile = cProfile.Profile()
    result = profile.runcall(function, *arguments, **named)
    return result, pstats.Stats(profile).total_calls


def test_a_resnet_takes_work_in_step_with_its_size():
    stages = [Bottleneck(c, out, s) for c, out, s in ((64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2))]
    module, x = nn.Sequential(Tall().stem, *stages, *[Bottleneck(256, 256)] * 4), torch.randn(1, 3, 64, 64)
    trace(module[0], x)  # what is made once, and kept
    small, few = calls(trace, module[:5], x)
    found, many = calls(trace, module, x)
    assert many / len(found.nodes) < 1.5 * few / len(small.nodes) < 1500
    _, few = calls(diagram, small)
    _, many = calls(diagram, found)
    assert many / len(found.nodes) < 1.5 * few / len(small.nodes) < 60_000
    assert faults(diagram(trace(module, x, depth=1))) == []


def test_modules_without_anything_to_say_are_drawn_too():
    for function, shape in ((lambda x: x, (2, 3)), (lambda x: x.sum(), (2, 3)), (lambda x: x * 0, ())):
        assert faults(diagram(run(function, shape))) == []
