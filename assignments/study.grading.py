"""Grades assignment 3, *A small study*: a claim, a matched control, seeds, and a verdict that follows from the numbers.

Only the grader reads this file. What the study finds is not graded: all that is asked is that the plan could have
failed, that the two networks are what they are said to be, that the reported scores are complete and come again, and
that interval and verdict follow from them.

What this cannot notice: a plan that was written after the results; a ``run`` that keeps a table of invented scores,
waits as long as a training would take, and trains for all other seeds, as long as its inventions agree with what
training brings; a control that holds a gate in a module of its own making and in another order of parameters. The
rubric asks a person to look at these.
"""

import hashlib
import math
import re

import numpy as np
from scipy.special import stdtrit

from attention.grading import (
    Assignment,
    Call,
    Check,
    Limits,
    Look,
    Manual,
    Opaque,
    Part,
    Question,
    Run,
    Steps,
    Text,
    Unanswered,
    Wrong,
    attempt,
    describe,
    numbers_of,
)

ARMS = ("attention", "control")
DIRECTIONS = ("higher", "lower", "same")
VERDICTS = ("supported", "refuted", "undecided")
#: How many different words each text of a plan has at least.
TEXTS = {
    "claim": 8,
    "task": 1,
    "measure": 1,
    "block": 1,
    "control": 4,
    "refuted_by": 6,
}
KEYS = (*TEXTS, "seeds", "steps", "direction", "margin")
LEAST_SEEDS, LEAST_MARGIN = 5, 0.001
#: The largest margin, as a share of what lies between guessing and perfection.
MOST_MARGIN = 0.25
#: How far a score may lie off when it is measured again: other processors add in another order. From twice as far it
#: is another score.
TOLERANCE = 0.02
AT_ONCE = 0.001  # seconds, in which nothing can be trained
SALT = "7c1f0a"
CLAIM = "a claim that can fail: who, by how much, on what, and what would refute it"
MATCH = "a matched control: all is equal but for the attention"
RUN = "every planned run is reported, and nothing else"
AGAIN = "the same seed, the same data, the same start, the same score"
INTERVAL = "the paired interval, mean ± t s / √n of the differences attention − control"
VERDICT = "the table of verdicts in question 5"
PROBE = "a control experiment that could prove you wrong"
REPORT = "numbers in a report are those of the study"


# What is looked at, in the submission's own process. ``which`` names a function that builds a network.

WATCH = """
from attention.contract import Attention

TRIES = range(5, 13)  # in one of them, all hidden units of a narrow block may be shut


def varied(which, seed):
    # Away from any start at which a block does nothing yet, such as weights of 0.
    torch.manual_seed(seed)
    model = globals()[which]().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return model


def images():
    # Six images, and six others.
    held = data(1234).test[0]
    return held[:6], held.flip(0)[:6]
"""
LOOK = (
    WATCH
    + """
def watch(model, x):
    given, made, attend = {}, {}, {}
    for name, block in model.named_modules():
        if not isinstance(block, Attention):
            continue
        attend[name] = block.attend

        def attended(*inputs, name=name, own=block.attend):
            output, maps = own(*inputs)
            given[name], made[name] = inputs, output
            return output, maps

        def entered(block, inputs, name=name):
            given[name] = inputs

        def left(block, inputs, output, name=name):
            made[name] = output

        block.attend = attended
        block.register_forward_pre_hook(entered)
        block.register_forward_hook(left)
    return model(x), given, made, attend


def moves(own, inputs, others):
    # How far the maps lie apart for other images, as a share of the largest number in them. What they are computed
    # from need not hold an image in each row: the gates of a control may come from one fixed row.
    most = 0.0
    try:
        with torch.no_grad():
            maps, moved = own(*inputs)[1], own(*others)[1]
        for name, one in maps.items():
            other = moved[name].float()
            if one.shape != other.shape:
                return 1.0
            apart = (one.float() - other).abs().max() / one.abs().max().clamp(min=1e-12)
            most = max(most, apart.item())
    except Exception:
        return None  # they cannot be looked at: that is no mistake of the study
    return most


def reached(total, tensors):
    tensors = [each for each in tensors if each.requires_grad]
    found = torch.autograd.grad(total, tensors, retain_graph=True, allow_unused=True) if tensors else []
    return tensors, found


def look(which, x, others, seed):
    model = varied(which, seed)
    _, moved, _, _ = watch(varied(which, seed), others)
    output, given, made, attend = watch(model, x)
    graph = output.requires_grad
    total = (output.float() * torch.randn(output.shape)).sum()
    tensors, found = reached(total, list(model.parameters())) if graph else ([], [])
    blocks = []
    for name, block in model.named_modules():
        if not isinstance(block, Attention):
            continue
        kinds = [each.__name__ for each in type(block).__mro__ if issubclass(each, Attention)]
        own = list(block.parameters()) + ([made[name]] if isinstance(made.get(name), torch.Tensor) else [])
        mine = reached(total, own)[1] if name in given and graph else []
        slope = max([each.abs().max().item() for each in mine if each is not None], default=0.0)
        apart = moves(attend[name], given[name], moved[name]) if name in given and name in moved else 0.0
        blocks.append({"kinds": kinds, "called": name in given, "slope": slope, "moves": apart})
    return {
        "output": list(output.shape),
        "finite": bool(torch.isfinite(output).all()),
        "count": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "reached": sum(p.numel() for p, each in zip(tensors, found) if each is not None),
        "blocks": blocks,
    }


x, others = images()
tried = [look(which, x, others, seed) for seed in TRIES]
answer = tried[0] | {"input": list(x.shape)}
for each in tried[1:]:
    for block, other in zip(answer["blocks"], each["blocks"]):
        block["slope"] = max(block["slope"], other["slope"])
        block["moves"] = None if None in (block["moves"], other["moves"]) else max(block["moves"], other["moves"])
"""
)
ALIKE = (
    WATCH
    + """
def alike(x, seed):
    first, second = varied("with_attention", seed), varied("control", seed)
    ours, theirs = list(first.parameters()), list(second.parameters())
    if [p.shape for p in ours] != [p.shape for p in theirs]:
        return False
    with torch.no_grad():
        for p, q in zip(ours, theirs):
            q.copy_(p)
        return torch.allclose(first(x), second(x), rtol=1e-4, atol=1e-6)


x, _ = images()
answer = {"alike": all(alike(x, seed) for seed in TRIES)}
"""
)
STARTS = """
def start(seed):
    torch.manual_seed(seed)
    return torch.cat([p.detach().flatten() for p in globals()[which]().parameters()])


once, again, other = start(3), start(3), start(4)
answer = [torch.equal(once, again), torch.equal(once, other)]
"""
ABOUT = """
task = data(1234)
answer = {"task": task.name, "measure": task.measure, "chance": task.chance}
"""
FIGURE = """
answer = None
if fig is not None and fig is not ...:
    answer = []
    for ax in fig.axes:
        drawn = len(ax.lines) + len(ax.collections) + len(ax.patches) + len(ax.images)
        answer.append([ax.get_xlabel(), ax.get_ylabel(), drawn])
"""


# What was planned.


def open_(value):
    """Whether there is no answer here yet."""
    return value is None or value is Ellipsis


def planned(value):
    """Return the plan, a dictionary.

    :raises Unanswered: for one in which nothing has been filled in.
    """
    if open_(value):
        raise Unanswered
    if not isinstance(value, dict):
        raise Wrong(
            f"Expected `plan` to be a dictionary, received {describe(value)}."
        )
    if all(open_(value.get(key)) for key in KEYS):
        raise Unanswered
    return value


def complete(plan):
    """Ask for all keys, of the right kind, and for texts that say something."""
    plan = planned(plan)
    lacking = [key for key in KEYS if open_(plan.get(key))]
    if lacking:
        raise Wrong(f"The plan does not say: {', '.join(lacking)}.")
    for key, least in TEXTS.items():
        text = plan[key]
        count = (
            len({*re.findall(r"[^\W_]+", text.lower())})
            if isinstance(text, str)
            else 0
        )
        if count < least:
            raise Wrong(
                f"Expected at least {least} different words for plan[{key!r}], received {describe(text)}.",
                "Somebody else should be able to carry your plan out.",
            )
    steps = single(plan["steps"])
    if steps is None or steps < 1:
        raise Wrong(
            f"Expected a number of steps, received {describe(plan['steps'])}."
        )


def can_fail(value):
    """Ask for a direction, and a margin that results can lie on either side of."""
    plan, about = planned(value["plan"]), value["about"]
    if plan.get("direction") not in DIRECTIONS:
        raise Wrong(
            f"Expected plan['direction'] to be one of {', '.join(DIRECTIONS)}, received "
            f"{describe(plan.get('direction'))}.",
            "Without a direction, either outcome could be told as a success.",
        )
    margin = margin_of(plan)
    if margin is None:
        raise Wrong(
            f"Expected a number for plan['margin'], received {describe(plan.get('margin'))}."
        )
    if margin <= 0:
        raise Wrong(
            f"Expected plan['margin'] to be positive, received {margin:g}.",
            "With no smallest difference that matters, any trace of a difference would do.",
        )
    if margin < LEAST_MARGIN:
        raise Wrong(
            f"plan['margin'] = {margin:g} is less than one test image in a thousand: no score can show it.",
            "Which difference would make you use the block?",
        )
    chance = single(about["chance"]) if isinstance(about, dict) else None
    most = MOST_MARGIN * (1 - (chance or 0))
    if margin > most + 1e-9:
        raise Wrong(
            f"plan['margin'] = {margin:g} is more than a quarter of what lies between guessing and perfection, "
            f"{most:.3g}.",
            "A claim whose outcome is certain before the first run cannot fail."
            + (
                " The margin is in units of the score: 0.02 is two points."
                if margin >= 1
                else ""
            ),
        )


def enough_seeds(plan):
    """Ask for five different seeds."""
    seeds = seeds_of(planned(plan))
    if len(set(seeds)) < len(seeds):
        raise Wrong(
            f"plan['seeds'] names a seed twice: {seeds}.",
            "The same seed brings the same score: nothing is learned from it.",
        )
    if len(seeds) < LEAST_SEEDS:
        raise Wrong(
            f"Expected at least {LEAST_SEEDS} seeds, received {len(seeds)}.",
            "With few seeds, intervals are so wide that they hold everything.",
        )


def names_what_is_there(value):
    """Compare the plan's task and measure with those of the data."""
    plan, about = planned(value["plan"]), value["about"]
    if isinstance(about, Exception):
        raise about
    for key in ("task", "measure"):
        said = plan.get(key)
        if isinstance(said, str) and said.strip() == about[key]:
            continue
        raise Wrong(
            f"plan[{key!r}] is {describe(said)}; the task that data returns has {describe(about[key])}.",
            f"data(0).{'name' if key == 'task' else 'measure'} says it.",
        )


def seeds_of(plan):
    """Return the planned seeds, whole numbers."""
    seeds = plan.get("seeds")
    if open_(seeds):
        raise Unanswered
    array = None if isinstance(seeds, list | tuple) else numbers_of(seeds)
    listed = (
        array.tolist() if array is not None and array.ndim == 1 else seeds
    )
    numbers = (
        [single(each) for each in listed]
        if isinstance(listed, list | tuple)
        else [None]
    )
    if not numbers or any(
        each is None or each != int(each) for each in numbers
    ):
        raise Wrong(
            f"Expected plan['seeds'] to be a list of whole numbers, received {describe(seeds)}."
        )
    return [int(each) for each in numbers]


def margin_of(plan):
    """Return the margin, or ``None``."""
    return single(plan.get("margin"))


def single(value):
    """Return one finite number, or ``None``."""
    numbers = (
        None if isinstance(value, bool | list | tuple) else numbers_of(value)
    )
    if (
        numbers is None
        or numbers.size != 1
        or numbers.dtype.kind not in "iuf"
    ):
        return None
    number = float(numbers.reshape(()))
    return number if math.isfinite(number) else None


# The two networks.


def models(ask):
    """Look at both networks."""
    found = {"plan": attempt(lambda: ask(Look("plan")).value)}
    for arm, name in zip(ARMS, ("with_attention", "control"), strict=True):
        found[arm] = attempt(lookup, ask, name)
    found["alike"] = attempt(
        lambda: ask(Run("control", ALIKE)).value["alike"]
    )
    found["starts"] = [
        attempt(lambda name=name: ask(Run(name, STARTS, which=name)).value)
        for name in ("with_attention", "control")
    ]
    return found


def lookup(ask, name):
    """Look at one network."""
    ask(Look("data"))  # so that it is named where it is missing
    return ask(Run(name, LOOK, which=name)).value


def both(found, *names):
    """Return what was found, or raise why it was not."""
    for name in names:
        if isinstance(found[name], Exception):
            raise found[name]
    return [found[name] for name in names]


def shapes(found):
    """Ask for the same input and the same output."""
    ours, theirs = both(found, *ARMS)
    if ours["output"] != theirs["output"]:
        raise Wrong(
            f"For an input of shape {ours['input']}, with_attention() returns shape {ours['output']} and control() "
            f"shape {theirs['output']}."
        )
    for name, each in (("with_attention", ours), ("control", theirs)):
        if not each["finite"]:
            raise Wrong(f"Numbers in the output of {name}() are inf or nan.")


def sizes(found):
    """Ask for equally many parameters, all of which take part."""
    ours, theirs = both(found, *ARMS)
    many, few = ours["count"], theirs["reached"]
    idle = theirs["count"] - theirs["reached"]
    if idle > 0.01 * theirs["count"]:
        raise Wrong(
            f"Of the {theirs['count']:,} parameters of control(), {idle:,} have no part in its output.",
            "Parameters that nothing depends on make no match.",
        )
    if abs(many - few) > 0.01 * max(many, few):
        raise Wrong(
            f"with_attention() has {many:,} trainable parameters, control() {few:,}: more than 1% apart.",
            "The same block, with gates that are computed from something that does not depend on the image, has "
            "exactly as many.",
        )


def takes_part(found):
    """Ask that the block named in the plan is used, trained, and follows the image."""
    (ours,) = both(found, "attention")
    plan = found["plan"] if isinstance(found["plan"], dict) else {}
    named = plan.get("block")
    blocks = ours["blocks"]
    if not blocks:
        raise Wrong(
            "with_attention() has no attention block: no module in it is an Attention of the package.",
            "A block of your own is a subclass of attention.Gate or attention.Attention.",
        )
    if isinstance(named, str) and named.strip():
        blocks = [each for each in blocks if named.strip() in each["kinds"]]
        if not blocks:
            there = ", ".join(sorted({b["kinds"][0] for b in ours["blocks"]}))
            raise Wrong(
                f"The plan names {describe(named)}; the blocks of with_attention() are {there}.",
                "plan['block'] is the name of the block's class.",
            )
    kind = blocks[0]["kinds"][0]
    if not any(each["called"] for each in blocks):
        raise Wrong(
            f"with_attention() holds a {kind}, and never calls it.",
            "A module that forward does not use changes nothing.",
        )
    if not any(each["slope"] > 0 for each in blocks):
        raise Wrong(
            f"No gradient reaches the {kind}: its output has no part in that of the network, or leaves the graph.",
            "What detach, .data or torch.no_grad() have touched is not trained.",
        )
    if not any(
        each["moves"] is None or each["moves"] > 1e-5 for each in blocks
    ):
        raise Wrong(
            f"The maps of the {kind} are the same for six images and for six others.",
            "What does not depend on the image is a learned constant, and no attention.",
        )


def holds_none(found):
    """Ask that the control attends to nothing, and is not the same network under another name."""
    (theirs,) = both(found, "control")
    busy = [
        each
        for each in theirs["blocks"]
        if each["called"] and (each["moves"] or 0) > 1e-5
    ]
    if busy:
        raise Wrong(
            f"control() holds a {busy[0]['kinds'][0]} whose maps follow the image.",
            "A comparison with another attention block is an arm for plan['exploratory']; the control has none.",
        )
    if found["alike"] is True:
        raise Wrong(
            "Filled with the same numbers, control() gives the same outputs as with_attention(): it is the same network.",
            "What does the control lack? It must show in what it computes.",
        )


def seeded(found):
    """Ask for the same start with the same seed, and for another with another."""
    for name, start in zip(
        ("with_attention", "control"), found["starts"], strict=True
    ):
        if isinstance(start, Exception):
            raise start
        same, other = start
        if not same:
            raise Wrong(
                f"After torch.manual_seed with the same seed, {name}() starts with other weights each time."
            )
        if other:
            raise Wrong(
                f"{name}() starts with the same weights whatever the seed.",
                "Build the network anew in each call, and set no seed of your own there.",
            )


# The results.


def rows_of(value):
    """Return the reported rows as (arm, seed, score).

    :raises Wrong: for anything else.
    """
    if open_(value):
        raise Unanswered
    if isinstance(value, Opaque):
        raise Wrong(
            f"Expected `results` to be a list of rows, received {describe(value)}.",
            "From a Comparison: one row for each of its runs, with run.name, run.seed and run.score.",
        )
    if not isinstance(value, list | tuple):
        raise Wrong(
            f"Expected `results` to be a list of rows, received {describe(value)}."
        )
    if not value:
        raise Wrong("`results` is empty.")
    rows = []
    for row in value:
        if open_(row):
            raise Unanswered
        if not isinstance(row, dict) or not {"arm", "seed", "score"} <= set(
            row
        ):
            raise Wrong(
                f"Expected each row to be a dictionary with arm, seed and score, received {describe(row)}."
            )
        seed, score = single(row["seed"]), single(row["score"])
        if seed is None or score is None or not isinstance(row["arm"], str):
            raise Wrong(
                f"A row is not complete: arm {describe(row['arm'])}, seed {describe(row['seed'])}, "
                f"score {describe(row['score'])}."
            )
        rows.append((row["arm"], int(seed), score))
    return rows


def well_formed(value):
    """Ask for rows whose scores can be scores."""
    plan, rows = value
    measure = plan.get("measure") if isinstance(plan, dict) else None
    least = -math.inf if measure == "R²" else 0.0
    rows = rows_of(rows)
    odd = [score for _, _, score in rows if not least <= score <= 1]
    if odd:
        raise Wrong(
            f"Scores of this measure lie between {'−∞' if least else '0'} and 1; one of yours is {odd[0]:g}.",
            "Report shares, not percentages.",
        )


def all_there(value):
    """Ask for each arm with each planned seed, once."""
    plan, rows = planned(value[0]), rows_of(value[1])
    seeds = list(dict.fromkeys(seeds_of(plan)))
    for arm in ARMS:
        mine = [seed for name, seed, _ in rows if name == arm]
        lacking = [seed for seed in seeds if seed not in mine]
        if lacking:
            raise Wrong(
                f"Of the plan's seeds {shown(lacking)} {'are' if len(lacking) > 1 else 'is'} missing for the arm {arm!r}.",
                "A run that is left out leaves a choice to the one who reports: report all that were planned.",
            )
        twice = sorted({seed for seed in mine if mine.count(seed) > 1})
        if twice:
            raise Wrong(
                f"The arm {arm!r} has more than one score for {named_seeds(twice)}.",
                "Each run is made once, and counts as it came out.",
            )


def nothing_else(value):
    """Ask that what was not planned is named as exploratory."""
    plan, rows = planned(value[0]), rows_of(value[1])
    seeds, extra = seeds_of(plan), plan.get("exploratory", [])
    extra = (
        [each for each in extra if isinstance(each, str)]
        if isinstance(extra, list | tuple)
        else []
    )
    added = sorted(
        {seed for arm, seed, _ in rows if arm in ARMS and seed not in seeds}
    )
    if added:
        raise Wrong(
            f"{named_seeds(added).capitalize()} {'are' if len(added) > 1 else 'is'} not in the plan.",
            "To add seeds until the result pleases is a choice by the result. Keep to the plan, and say what you would "
            "do next.",
        )
    strange = sorted({arm for arm, _, _ in rows} - {*ARMS, *extra})
    if strange:
        raise Wrong(
            f"The plan knows no arm {', '.join(map(repr, strange))[:120]}.",
            "The two arms are called 'attention' and 'control'; others are named in plan['exploratory'].",
        )


def differ(value):
    """Ask that seeds make a difference."""
    d = differences(rows_of(value[1]))
    if np.ptp(d) < 1e-9:
        raise Wrong(
            f"All {len(d)} differences attention − control are the same, {d[0]:g}.",
            "Does the seed reach data, weights and order? Or are both arms at the top, or at chance, whatever the seed? "
            "Such a task cannot tell them apart: make it harder, or train for longer.",
        )


def paired(rows):
    """Return the two arms' scores by seed, for the seeds that both have."""
    scores = {arm: {} for arm in ARMS}
    for arm, seed, score in rows:
        if arm in scores:
            scores[arm].setdefault(seed, score)
    seeds = [
        seed for seed in scores["attention"] if seed in scores["control"]
    ]
    if len(seeds) < 2:
        raise Wrong(
            "There are not two seeds for which both arms, 'attention' and 'control', have a score."
        )
    return {seed: tuple(scores[arm][seed] for arm in ARMS) for seed in seeds}


def differences(rows):
    """Return attention − control, seed by seed."""
    return np.array([a - b for a, b in paired(rows).values()])


def ends(d):
    """Return mean, low and high of the paired 95% interval."""
    half = stdtrit(len(d) - 1, 0.975) * d.std(ddof=1) / math.sqrt(len(d))
    return np.array([d.mean(), d.mean() - half, d.mean() + half])


def named_seeds(seeds):
    """Name a seed, or several."""
    return f"seed{'s' if len(seeds) > 1 else ''} {shown(seeds)}"


def shown(seeds):
    """Write a list of seeds, the first few."""
    return ", ".join(map(str, seeds[:6])) + (" …" if len(seeds) > 6 else "")


# The same again.


def choice(rows):
    """Choose two seeds that were reported and two that were not.

    Which ones depends on the results and on what only this file knows; for the same results they are the same.
    """
    key = hashlib.sha256(f"{SALT}{sorted(rows)}".encode()).digest()
    generator = np.random.default_rng(int.from_bytes(key[:8], "big"))
    known = [
        int(seed) for seed in generator.permutation(sorted(paired(rows)))[:2]
    ]
    taken, fresh = {seed for _, seed, _ in rows}, []
    while len(fresh) < 2:
        seed = int(generator.integers(1000, 10_000))
        if seed not in taken and seed not in fresh:
            fresh.append(seed)
    return known, fresh


def again(ask):
    """Run some of what was reported again, and something that was not."""
    rows = rows_of(ask(Look("results")).value)
    known, fresh = choice(rows)

    calls = iter(range(1, 100))

    def trained(arm, seed):
        # Random numbers stand elsewhere in each call: what takes no seed from the argument comes out otherwise.
        reply = ask(Call("run", arm, seed, seed=next(calls)))
        if open_(reply.value):
            raise Unanswered
        score = single(reply.value)
        if score is None:
            raise Wrong(
                f"Expected run({arm!r}, {seed}) to return one finite number, received {describe(reply.value)}."
            )
        return score, reply.seconds

    def each(seeds):
        return {
            (arm, seed): trained(arm, seed) for seed in seeds for arm in ARMS
        }

    return {
        "reported": paired(rows),
        "known": attempt(each, known),
        "fresh": attempt(each, fresh),
        "twice": attempt(trained, ARMS[0], fresh[0]),
    }


def off_by(reported, known):
    """Return how far each score lies from what was reported."""
    return {
        (arm, seed): abs(score - reported[seed][ARMS.index(arm)])
        for (arm, seed), (score, _) in known.items()
    }


def come_again(found):
    """Compare reported scores with what ``run`` returns now.

    Each that lies a little off loses its share; one that is another score loses all, because it may stand for more.
    """
    reported, (known,) = found["reported"], both(found, "known")
    seconds = [each[1] for each in known.values()]
    others = (
        [each[1] for each in found["fresh"].values()]
        if isinstance(found["fresh"], dict)
        else []
    )
    quick = others and min(others) > 0.02 and max(seconds) < 0.2 * min(others)
    if max(seconds) < AT_ONCE or quick:
        raise Wrong(
            "For seeds of your results, run answered too quickly to have trained anything.",
            "run trains each time that it is called, and looks nothing up.",
        )
    off = off_by(reported, known)
    wrong = [
        f"run({arm!r}, {seed}) returned {known[arm, seed][0]:.4g}, reported is {reported[seed][ARMS.index(arm)]:.4g}"
        for (arm, seed), gap in off.items()
        if gap > TOLERANCE
    ]
    if wrong:
        raise Wrong(
            "; ".join(wrong) + ".",
            "Restart the kernel, run all cells on the CPU, and see whether the numbers are still yours. A result that "
            "was pasted must come from the code that stands in the notebook.",
            share=0
            if max(off.values()) > 2 * TOLERANCE
            else 1 - len(wrong) / len(known),
        )


def the_same_twice(found):
    """Ask for the same score in two calls."""
    fresh, twice = both(found, "fresh", "twice")
    (arm, seed), first = next(iter(fresh.items()))
    if abs(first[0] - twice[0]) > 1e-6:
        raise Wrong(
            f"Called twice, run({arm!r}, {seed}) returned {first[0]:.6g} and {twice[0]:.6g}.",
            "Everything that is random takes its seed from the argument: the data, the weights, the order.",
        )


def seeds_matter(found):
    """Ask for another score with another seed."""
    (fresh,) = both(found, "fresh")
    scores = {
        arm: [each[0] for (name, _), each in fresh.items() if name == arm]
        for arm in ARMS
    }
    if all(np.ptp(each) < 1e-9 for each in scores.values()):
        raise Wrong(
            "For two seeds that are not in your plan, run returned the same score, with both arms.",
            "Does the seed reach the data, the weights and the order? Or are both arms at chance, whatever the seed?",
        )


def same_story(found):
    """Ask that new seeds do not contradict the reported ones.

    Wrong only where both new differences lie outside of what the reported ones let expect for a single further run,
    with 99% each.
    """
    (fresh,) = both(found, "fresh")
    if isinstance(found["known"], dict) and (
        max(off_by(found["reported"], found["known"]).values())
        > 2 * TOLERANCE
    ):
        raise Wrong(
            "Reported scores do not come again, so that new ones have nothing to agree with.",
            "Are these results those of the code that stands in the notebook?",
        )
    d = np.array([a - b for a, b in found["reported"].values()])
    seeds = dict.fromkeys(seed for _, seed in fresh)
    new = [
        fresh[ARMS[0], seed][0] - fresh[ARMS[1], seed][0] for seed in seeds
    ]
    reach = TOLERANCE + (
        stdtrit(len(d) - 1, 0.995) * d.std(ddof=1) * math.sqrt(1 + 1 / len(d))
    )
    if all(abs(each - d.mean()) > reach for each in new):
        raise Wrong(
            f"With two seeds that are not in your plan, attention − control was {new[0]:+.3f} and {new[1]:+.3f}; your "
            f"results, with mean {d.mean():+.3f}, let expect something else.",
            "Are these results those of the code that stands in the notebook?",
        )


# What follows from the results.


def interval_of(value):
    """Return the reported interval: mean, low, high."""
    if isinstance(value, list | tuple) and any(map(open_, value)):
        raise Unanswered
    numbers = numbers_of(value)
    if (
        numbers is None
        or numbers.shape != (3,)
        or numbers.dtype.kind not in "iuf"
    ):
        raise Wrong(
            f"Expected three numbers for `interval`, received {describe(value)}.",
            "From an Interval: (found.mean, found.low, found.high).",
        )
    return numbers.astype(float)


def candidates(plan, rows):
    """Return the intervals that may be meant: of all reported seeds, and of the planned ones."""
    by_seed = paired(rows)
    found = [ends(np.array([a - b for a, b in by_seed.values()]))]
    seeds = attempt(lambda: seeds_of(planned(plan)))
    if isinstance(seeds, list):
        kept = [by_seed[seed] for seed in seeds if seed in by_seed]
        if len(kept) >= 2:
            found.append(ends(np.array([a - b for a, b in kept])))
    return found


def interval_follows(value):
    """Ask for the paired interval of the reported scores."""
    plan, rows, interval = value
    if open_(interval):
        raise Unanswered
    got, rows = interval_of(interval), rows_of(rows)
    rights = candidates(plan, rows)
    if any(np.allclose(got, right, atol=5e-4) for right in rights):
        return
    a, b = (
        np.array(each) for each in zip(*paired(rows).values(), strict=True)
    )
    d, n = a - b, len(a)
    mean, root = d.mean(), math.sqrt(n)
    t = stdtrit(n - 1, 0.975)
    unpaired = math.sqrt((a.var(ddof=1) + b.var(ddof=1)) / n)
    halves = [
        (1.96 * d.std(ddof=1) / root, "With few seeds, t is larger than the normal 1.96."),
        (t * d.std() / root, "The standard deviation is taken with n − 1."),
        (t * d.std(ddof=1), "This is the spread of the differences; their mean is known better, by √n."),
        (d.std(ddof=1) / root, "This is one standard error to each side; the interval is t of them wide."),
        *(
            (factor * unpaired, "Both arms saw the same data with one seed: take the differences seed by seed.")
            for factor in (stdtrit(2 * n - 2, 0.975), t, 1.96)
        ),
    ]  # fmt: skip
    near = [
        (
            -rights[0][[0, 2, 1]],
            "These are differences control − attention; attention − control is asked for.",
        ),
        *(
            (np.array([mean, mean - half, mean + half]), hint)
            for half, hint in halves
        ),
    ]
    hint = next(
        (hint for ends, hint in near if np.allclose(got, ends, atol=5e-4)),
        "",
    )
    raise Wrong(
        f"Your scores do not give the interval ({got[0]:.4g}, {got[1]:.4g}, {got[2]:.4g}).",
        hint,
    )


def effect_follows(value):
    """Ask for the mean difference in units of the differences' standard deviation."""
    rows, effect = value
    if open_(effect):
        raise Unanswered
    d, got = differences(rows_of(rows)), single(effect)
    spread = d.std(ddof=1)
    if spread < 1e-12:
        return  # every number is as good as any other; question 3 has said so
    if got is None:
        raise Wrong(
            f"Expected a number for `effect`, received {describe(effect)}."
        )
    right = d.mean() / spread
    if abs(got - right) <= 0.01 * max(1, abs(right)):
        return
    a, b = (
        np.array(each)
        for each in zip(*paired(rows_of(rows)).values(), strict=True)
    )
    pooled = math.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2) or math.nan
    near = [
        (-right, "The difference is attention − control."),
        (d.mean() / d.std(), "The standard deviation is taken with n − 1."),
        (d.mean() / pooled, "Divide by the standard deviation of the differences, not by that of the scores."),
        (d.mean(), "This is the mean difference itself: divide it by the differences' standard deviation."),
        (right * math.sqrt(len(d)), "This is t: it grows with the number of seeds, and the effect does not."),
    ]  # fmt: skip
    hint = next((h for v, h in near if abs(got - v) <= 0.01 * abs(v)), "")
    raise Wrong(f"Your scores do not give the effect {got:.4g}.", hint)


def verdicts(direction, margin, low, high):
    """Return the verdict that follows; both neighbours where an end of the interval lies on the margin."""
    found = set()
    for slack in (-1e-6, 1e-6):
        m, below, above = margin + slack, low, high
        if direction == "lower":
            below, above = -high, -low
        if direction == "same":
            inside = -m < low and high < m
            outside = low > m or high < -m
            found.add("supported" if inside else "refuted" if outside else "undecided")  # fmt: skip
        else:
            found.add("supported" if below > m else "refuted" if above < m else "undecided")  # fmt: skip
    return found


def verdict_follows(value):
    """Ask for the verdict of the scores; that of the student's own interval counts as well."""
    plan, rows, interval, verdict = value
    if open_(verdict):
        raise Unanswered
    if verdict not in VERDICTS:
        raise Wrong(
            f"Expected `verdict` to be one of {', '.join(VERDICTS)}, received {describe(verdict)}."
        )
    plan = planned(plan)
    direction, margin = plan.get("direction"), margin_of(plan)
    if direction not in DIRECTIONS or margin is None:
        raise Wrong(
            "The plan has no direction or no margin, from which a verdict could follow."
        )
    rights = candidates(plan, rows_of(rows))
    own = attempt(interval_of, interval)
    if isinstance(own, np.ndarray):
        rights.append(own)
    if not any(
        verdict in verdicts(direction, margin, low, high)
        for _, low, high in rights
    ):
        _, low, high = rights[0]
        raise Wrong(
            f"You claimed {direction!r} with a margin of {margin:g}, and the interval goes from {low:.4g} to "
            f"{high:.4g}: your verdict is {describe(verdict)}.",
            "On which side of the margin does the whole interval lie?",
        )


# The control experiment.


def probe_said(value):
    """Ask for two texts."""
    if open_(value):
        raise Unanswered
    if not isinstance(value, dict):
        raise Wrong(
            f"Expected `probe_plan` to be a dictionary, received {describe(value)}."
        )
    texts = [value.get(key) for key in ("asks", "if_wrong")]
    if all(map(open_, texts)):
        raise Unanswered
    for key, text in zip(("asks", "if_wrong"), texts, strict=True):
        count = len({*re.findall(r"[^\W_]+", text.lower())}) if isinstance(text, str) else 0  # fmt: skip
        if count < 8:
            raise Wrong(
                f"Expected at least 8 different words for probe_plan[{key!r}], received {describe(text)}.",
                "Say what is changed, and which outcome would speak against your verdict.",
            )


def pair_of(value):
    """Return two numbers."""
    numbers = numbers_of(value)
    if (
        numbers is None
        or numbers.shape != (2,)
        or numbers.dtype.kind not in "iuf"
        or not np.isfinite(numbers).all()
        or (numbers > 1).any()
    ):
        raise Wrong(
            f"Expected two scores for each seed, before and after the change, received {describe(value)}."
        )
    return numbers.astype(float)


def probed(value):
    """Return the reported pairs by seed."""
    if open_(value):
        raise Unanswered
    if not isinstance(value, dict):
        raise Wrong(
            f"Expected `probe_scores` to be a dictionary, seed: (before, after), received {describe(value)}."
        )
    if any(map(open_, value.values())):
        raise Unanswered
    pairs = {}
    for seed, pair in value.items():
        number = single(seed)
        if number is None:
            raise Wrong(f"{describe(seed)} is no seed.")
        pairs[int(number)] = pair_of(pair)
    return pairs


def probe_numbers(value):
    """Ask for three seeds, and for a change that changes something."""
    pairs = probed(value)
    if len(pairs) < 3:
        raise Wrong(f"Expected at least three seeds, received {len(pairs)}.")
    if all(abs(a - b) < 1e-9 for a, b in pairs.values()):
        raise Wrong(
            "Before and after the change, the scores are exactly the same with every seed.",
            "Has anything been changed? See that the change reaches the network that is scored.",
        )


def probe_again(ask):
    """Run one of the pairs again."""
    pairs = probed(ask(Look("probe_scores")).value)
    seed = sorted(pairs)[len(SALT) % len(pairs)] if pairs else 0
    reply = ask(Call("probe", seed, seed=1))
    if open_(reply.value):
        raise Unanswered
    return {
        "seed": seed,
        "was": pairs.get(seed),
        "now": attempt(pair_of, reply.value),
    }


def probe_comes_again(found):
    """Compare it."""
    (now,) = both(found, "now")
    if found["was"] is None:
        raise Wrong("`probe_scores` is empty.")
    if np.abs(now - found["was"]).max() > TOLERANCE:
        was = ", ".join(f"{each:.4g}" for each in found["was"])
        raise Wrong(
            f"probe({found['seed']}) returned {now[0]:.4g}, {now[1]:.4g}; reported are {was}.",
            "Everything that is random in it takes its seed from the argument.",
        )


# The report.


def tells_the_interval(value):
    """Ask that a text gives the interval's three numbers, as shares or in points."""
    report, interval, rows = value
    if open_(report):
        raise Unanswered
    if not isinstance(report, str):
        raise Wrong(
            f"Expected `report` to be a text of at most 20,000 characters, received {describe(report)}."
        )
    words = len(re.findall(r"[^\W_]+", report))
    if words < 120:
        raise Wrong(f"Expected about 250 words, received {words}.")
    got = attempt(interval_of, interval)
    if isinstance(got, Exception):
        got = ends(differences(rows_of(rows)))
    told = [
        (float(text), 10.0 ** -len(text.partition(".")[2]))
        for text in re.findall(r"\d+(?:\.\d+)?", report.replace(",", "."))
    ]
    lacking = [
        f"the {name}, {number:.4g}"
        for name, number in zip(("mean", "lower end", "upper end"), got, strict=True)
        if not any(
            abs(said - factor * abs(number)) <= 0.51 * unit
            for said, unit in told
            for factor in (1, 100)
        )
    ]  # fmt: skip
    if lacking:
        raise Wrong(
            f"The report does not give {', nor '.join(lacking)}.",
            "Write it as an f-string, so that its numbers are those of the study, whatever comes out.",
        )


def drawn(value):
    """Ask for named axes, and something between them."""
    if not value:
        raise Wrong("`fig` has no axes.")
    bare = [
        each
        for each in value
        if not (str(each[0]).strip() and str(each[1]).strip())
    ]
    if len(bare) == len(value):
        raise Wrong(
            "No axes of `fig` have both names: ax.set_xlabel and ax.set_ylabel.",
            "What is measured, and in which unit?",
        )
    if not any(each[2] for each in value):
        raise Wrong("Nothing is drawn in `fig`.")


def several(*names):
    """Look at several variables; the last one has to be there, and of the others None is known where they are not."""

    def look(ask):
        last = ask(Look(names[-1])).value
        rest = [attempt(ask, Look(name)) for name in names[:-1]]
        known = [
            None if isinstance(each, Exception) else each.value
            for each in rest
        ]
        return [*known, last]

    return Steps(names[-1], look)


PLAN = Look("plan")
PLANNED = Steps(
    "data",
    lambda ask: {
        "plan": ask(PLAN).value,
        "about": attempt(lambda: ask(Run("data", ABOUT)).value),
    },
)
MODELS = Steps("with_attention", models)
RESULTS = several("plan", "results")
ROWS_AGAIN = Steps("run", again)

CLAIMED = Question(
    "1",
    "The claim, before anything is trained",
    (
        Part("The plan is complete", 3, PLAN, Check(complete), CLAIM, "Each key of the plan is explained above it."),
        Part("It can fail", 3, PLANNED, Check(can_fail), CLAIM, "A direction, and a margin above 0."),
        Part("Seeds", 2, PLAN, Check(enough_seeds), CLAIM, "Five different whole numbers, or more."),
        Part(
            "It names what is there",
            2,
            PLANNED,
            Check(names_what_is_there),
            CLAIM,
            "data takes a seed and returns a Task.",
        ),
        Manual(
            "The claim",
            5,
            "a sentence that can be wrong, of this block, task and measure: 2; why it might be true, and why it might "
            "not: 2; a margin that is argued for: 1",
            answer=Text("<!-- answer 1 -->"),
        ),
    ),
)  # fmt: skip
NETWORKS = Question(
    "2",
    "Two networks that differ in one thing",
    (
        Part("The same input, the same output", 2, MODELS, Check(shapes), MATCH, "Both answer the same task."),
        Part("Equally many parameters", 4, MODELS, Check(sizes), MATCH, "To within 1%."),
        Part("The attention takes part", 4, MODELS, Check(takes_part), MATCH, "Capture its maps for two images."),
        Part("The control has none", 4, MODELS, Check(holds_none), MATCH, "What does the control lack?"),
        Part("The seed sets the start", 2, MODELS, Check(seeded), AGAIN, "torch.manual_seed, and then build."),
        Manual(
            "Why this control",
            4,
            "which other explanation of a difference it takes away: 2; which it leaves open: 2",
            answer=Text("<!-- answer 2 -->"),
        ),
    ),
)  # fmt: skip
RUNS = Question(
    "3",
    "The runs",
    (
        Part("Rows of arm, seed and score", 3, RESULTS, Check(well_formed), RUN, "One row for each run."),
        Part("All planned runs", 4, RESULTS, Check(all_there), RUN, "Two arms, each with every seed of the plan."),
        Part("Nothing beyond the plan", 3, RESULTS, Check(nothing_else), RUN, "More arms go into plan['exploratory']."),
        Part("Seeds make a difference", 2, RESULTS, Check(differ), RUN, "Does the seed reach the data and the weights?"),
    ),
)  # fmt: skip
REPEATED = Question(
    "4",
    "The same again",
    (
        Part("Reported scores come again", 5, ROWS_AGAIN, Check(come_again), AGAIN, "run(arm, seed) trains once."),
        Part("Twice the same", 2, ROWS_AGAIN, Check(the_same_twice), AGAIN, "What is random without a seed?"),
        Part("Another seed, another score", 3, ROWS_AGAIN, Check(seeds_matter), AGAIN, "What does run do with its seed?"),
        Part("New seeds tell the same story", 2, ROWS_AGAIN, Check(same_story), AGAIN, "Report what the code gives."),
    ),
)  # fmt: skip
ANALYSIS = Question(
    "5",
    "What follows from the numbers",
    (
        Part(
            "The interval",
            5,
            several("plan", "results", "interval"),
            Check(interval_follows),
            INTERVAL,
            "attention − control, seed by seed.",
        ),
        Part(
            "The effect",
            2,
            several("results", "effect"),
            Check(effect_follows),
            "the mean difference over the differences' standard deviation",
            "Both are taken seed by seed.",
        ),
        Part(
            "The verdict",
            4,
            several("plan", "results", "interval", "verdict"),
            Check(verdict_follows),
            VERDICT,
            "On which side of the margin does the interval lie?",
        ),
    ),
)
DOUBT = Question(
    "6",
    "What could prove you wrong",
    (
        Part("What it asks", 2, Look("probe_plan"), Check(probe_said), PROBE, "Two texts, of a sentence each."),
        Part("Its numbers", 2, Look("probe_scores"), Check(probe_numbers), PROBE, "Two scores for each of three seeds."),
        Part("They come again", 2, Steps("probe", probe_again), Check(probe_comes_again), AGAIN, "probe trains anew."),
        Manual(
            "What it shows",
            4,
            "an outcome that would have spoken against the verdict was possible: 2; what came out is told as it is, "
            "and what follows from it: 2",
            answer=Text("<!-- answer 6 -->"),
        ),
    ),
)  # fmt: skip
TOLD = Question(
    "7",
    "The report",
    (
        Part(
            "It gives the interval",
            2,
            several("results", "interval", "report"),
            Check(lambda value: tells_the_interval([value[2], value[1], value[0]])),
            REPORT,
            "Mean, lower and upper end, as shares or in points.",
        ),
        Part("The figure's axes have names", 2, Run("fig", FIGURE), Check(drawn), REPORT, "fig, ax = style.figure()"),
        Manual(
            "The report and its figure",
            16,
            "the verdict in words, no wider than the data, whatever it is: 4; every score shown, seeds joined, the "
            "interval and the margin to be seen: 3; what was planned is kept apart from what was found on the way: 2; "
            "the limits of task, size, training and control: 4; what would change your mind, and the next experiment: 3",
        ),
    ),
)  # fmt: skip
ASSIGNMENT = Assignment(
    "A small study",
    (CLAIMED, NETWORKS, RUNS, REPEATED, ANALYSIS, DOUBT, TOLD),
    limits=Limits(
        cell=150,
        cells=180,
        call=60,
        total=540,
        memory=300,
        # About 150 MB, which every study needs, and which would count as the study's own.
        loaded=("torch._dynamo", "scipy.stats", "attention.lab.training"),
    ),
)
