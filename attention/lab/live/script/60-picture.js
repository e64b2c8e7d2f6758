// What happens: painting, pointing, influence, and what is said of them.

const pictures = (() => {
  const SLICE = 8; // milliseconds in which runs are made before the page gets its turn
  const MORE = 0.1;
  const FAINT = 1e-6; // of the largest influence; less is none

  const unravel = (at, sizes) => {
    const found = [];
    for (let i = sizes.length - 1; i >= 0; i--) {
      found.unshift((at % sizes[i]) + 1);
      at = Math.floor(at / sizes[i]);
    }
    return found;
  };

  class Picture extends stages.Stage {
    resetSliders() {
      this.moves.forEach((f) => f());
    }

    brush(each) {
      return each.brush ?? each.drawn.high;
    }

    // What the sliders add to a number: to its channel, and to all.
    added(each, at) {
      const size = this.inputs[each.input].length / each.drawn.layout.panels;
      const of = (p) => this.shifts.get(`${each.input}:${p}`) ?? 0;
      return of(-1) + of(Math.floor(at / size));
    }

    shift(each) {
      const values = this.inputs[each.input];
      const { low, high } = each.drawn; // what a slider adds ends where the scale ends
      values.forEach((_, k) => (values[k] = Math.max(low, Math.min(high, this.base[each.input][k] + this.added(each, k)))));
    }

    paint(each, at) {
      this.inputs[each.input][at] = this.ink;
      this.base[each.input][at] = this.ink - this.added(each, at);
      this.update();
    }

    // Give a number of an input a value.
    put(each, at, value) {
      this.inputs[each.input][at] = this.base[each.input][at] = value;
      this.resetSliders();
      this.update();
    }

    key(each, event) {
      this.touched = false;
      const { rows, columns, panels, kind } = each.drawn.layout;
      const total = rows * columns * panels;
      const change = { "+": 1, "=": 1, "-": -1, ...(kind === "bars" ? { ArrowRight: 1, ArrowLeft: -1 } : {}) }[event.key];
      if (change && each.input >= 0) {
        const { low, high } = each.drawn;
        const value = this.inputs[each.input][each.cursor] + (change * (high - low)) / 20;
        this.put(each, each.cursor, Math.round(Math.max(low, Math.min(high, value)) * 1000) / 1000);
        this.point(each, each.cursor, false);
        event.preventDefault();
        event.stopPropagation();
        return;
      }
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, PageUp: -rows * columns, PageDown: rows * columns }[event.key];
      if (step !== undefined) {
        each.cursor = (each.cursor + step + total) % total;
        this.point(each, each.cursor, false);
      } else if (event.key === " " && each.input >= 0 && kind !== "bars") {
        const old = this.inputs[each.input][each.cursor];
        this.ink = Math.abs(old - this.brush(each)) < 1e-9 ? each.drawn.low : this.brush(each);
        this.paint(each, each.cursor);
        this.point(each, each.cursor, false);
      } else if (event.key === "Enter" || (event.key === " " && each.input < 0)) {
        const held = this.pointed?.held && this.pointed.tensor === each && this.pointed.at === each.cursor;
        this.point(each, each.cursor, !held);
      } else if (event.key === "Escape") this.point(null);
      else return;
      event.preventDefault();
      event.stopPropagation();
    }

    step(to) {
      const count = this.stepNames.length;
      this.zone = (to + count) % count;
      const zone = this.stepNames[this.zone];
      this.stepNow.textContent = this.zone ? `${this.zone} of ${count - 1}: ${zone}` : "all";
      for (const section of this.root.querySelectorAll(".al-zone")) {
        const own = section.dataset.zone === zone;
        section.classList.toggle("al-dim", this.zone > 0 && !own);
        section.classList.toggle("al-own", this.zone > 0 && own);
      }
      if (this.pointed) this.follow();
      else this.rest();
    }

    // --- numbers

    update() {
      this.values = this.run.all(this.inputs);
      if (this.pointed) this.follow();
      else {
        this.hot = null;
        this.draw();
      }
      if (this.details.open) this.later(() => this.table());
      this.root.dispatchEvent(new CustomEvent("attention-live", { detail: this }));
    }

    later(f) {
      clearTimeout(this.wait);
      this.wait = setTimeout(f, 250);
    }

    point(tensor, at = -1, held = false) {
      this.pointed = tensor ? { tensor: this.tensors[tensor.index], at, held } : null;
      if (tensor) tensor.cursor = at;
      this.follow();
    }

    // What the pointed number moves, and what moves it.
    follow() {
      const token = ++this.token;
      this.settled = !this.pointed; // whether all that moves the pointed number is found
      if (!this.pointed) {
        this.hot = null;
        this.draw();
        this.rest();
        return;
      }
      const { tensor, at } = this.pointed;
      const id = tensor.drawn.value;
      this.hot = this.tensors.map(() => null);
      const after = new Set(this.run.after(id));
      const wanted = this.tensors.filter((each) => after.has(each.drawn.value));
      // What 0.1 more does: told as it is, and marked.
      const more = this.run.moved(this.values, id, at, MORE);
      wanted.forEach((each) => {
        const now = this.values[each.drawn.value].data;
        this.hot[each.index] = this.strengths(more[each.drawn.value].data.map((v, k) => v - now[k]));
      });
      const moved = wanted.map((each) => ({ each, count: this.hot[each.index].count, top: this.hot[each.index].top }));
      const before = this.tensors.filter((each) => each !== tensor && !after.has(each.drawn.value) && this.run.after(each.drawn.value, id).includes(id));
      if (before.length) this.backwards(token, moved, before);
      else {
        this.settled = true;
        this.draw();
        this.report(moved, null);
      }
    }

    strengths(slopes) {
      const top = slopes.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      const shares = new Float64Array(slopes.length);
      let count = 0;
      let best = 0;
      slopes.forEach((v, k) => {
        const share = top > 1e-12 ? Math.abs(v) / top : 0;
        if (share > FAINT) {
          shares[k] = Math.max(share, 0.02);
          count++;
        }
        if (Math.abs(v) === top) best = k;
      });
      return { shares, count, top: top > 1e-12 ? slopes[best] : 0, best };
    }

    // What moves the pointed number: inputs, and all that is drawn between them and it.
    backwards(token, moved, before) {
      const { tensor, at } = this.pointed;
      const id = tensor.drawn.value;
      const slopes = new Map(before.map((each) => [each, new Float64Array(this.values[each.drawn.value].data.length)]));
      const jobs = before.flatMap((each) => Array.from(slopes.get(each), (_, k) => [each, k]));
      let next = 0;
      const work = () => {
        if (token !== this.token) return;
        const until = performance.now() + SLICE;
        while (next < jobs.length && performance.now() < until) {
          const [each, k] = jobs[next++];
          slopes.get(each)[k] = this.run.slope(this.values, id, at, each.drawn.value, k);
        }
        if (next < jobs.length) {
          setTimeout(work, 0);
          return;
        }
        const from = [...slopes].map(([each, found]) => {
          this.hot[each.index] = this.strengths(found);
          return { each, ...this.hot[each.index] };
        });
        this.settled = true;
        this.draw();
        this.report(moved, from);
      };
      this.draw();
      this.report(moved, null);
      work();
    }

    // --- what is said

    index(each, at) {
      const axes = each.drawn.layout.axes;
      const places = unravel(at, axes.flatMap(([, sizes]) => sizes));
      return axes.map(([word, sizes]) => [word, places.splice(0, sizes.length)]);
    }
    called(each, at) {
      const text = this.index(each, at).map(([word, places]) => (places.length > 1 ? `(${places})` : places[0])).join(",");
      if (!text) return each.drawn.symbol;
      const apart = each.drawn.symbol.includes("<sub>"); // an index behind an index
      return `${each.drawn.symbol}<sub class="al-index">${apart ? `[${text}]` : text}</sub>`;
    }
    spoken(each, at) {
      const text = this.index(each, at).map(([word, places]) => (places.length > 1 ? `row ${places[0]}, column ${places[1]}` : `${word} ${places[0]}`)).join(", ");
      return `${each.drawn.plain}${text ? `, ${text},` : ""}`;
    }

    // How a number is computed: with the names of the numbers that are drawn, and with their values.
    formula(tensor, at) {
      const called = (id, k) => {
        const each = this.tensors.find((t) => t.drawn.value === id);
        return each && !(each === tensor && k === at) ? this.called(each, k) : null;
      };
      return explain.formula(this.run, this.values, called, tensor.drawn.value, at);
    }

    report(moved, from) {
      const { tensor, at, held } = this.pointed;
      const value = explain.number(this.values[tensor.drawn.value].data[at]);
      const parts = moved.map(({ each, count, top }, i) =>
        count ? `${this.share(count, this.hot[each.index].shares.length, each, i > 0)} (${i ? "" : "by up to "}${explain.number(Math.abs(top))})` : `nothing of ${each.drawn.symbol}`,
      );
      let text = `<b>${this.called(tensor, at)} is ${value}.</b> `;
      if (parts.length) text += `${MORE} more of it moves ${parts.length > 1 ? `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}` : parts[0]}. `;
      const between = from?.filter(({ each, count }) => each.input < 0 && count).map(({ each, count, shares }) => this.share(count, shares.length, each, true)) ?? [];
      if (from)
        text += from.filter(({ each }) => each.input >= 0).map(({ each, count, shares, best, top }) => {
          if (!count) return `Nothing in ${each.drawn.symbol} moves it just now.`;
          const by = `${explain.number(top * MORE)} for ${MORE}`;
          if (shares.length === 1) return `${each.drawn.symbol} moves it (${by}).`;
          const ties = shares.filter((v) => v > 0.999).length;
          return `${this.share(count, shares.length, each)} ${count === 1 ? "moves" : "move"} it, ${ties === count && count > 1 ? `all alike (${by})` : `most of all ${ties > 1 ? `${ties} of them, like ` : ""}${this.called(each, best)} (${by})`}.`;
        }).join(" ");
      if (between.length) text += ` On the way: ${between.join(", ")}.`;
      this.seen.innerHTML = text + (held ? ` <i>Held: ${this.touched ? "touch it again" : "press Escape, or click it again,"} to let go.</i>` : "");
      if ("made" in this.run.entries[tensor.drawn.value]) {
        const { symbols, numbers } = this.formula(tensor, at);
        this.line.innerHTML = `${this.called(tensor, at)} = ${symbols} = ${numbers} = <b>${value}</b>`;
      } else this.line.innerHTML = "";
      this.announce(`${this.spoken(tensor, at)} is ${value}. ${this.seen.textContent.replace(/^.*?\. /, "")}`);
    }

    share(count, all, each, short = false) {
      return all === 1 ? each.drawn.symbol : `${count} of ${all} ${short ? "" : "numbers "}of ${each.drawn.symbol}`;
    }

    // What is said while nothing is pointed at.
    rest() {
      if (!this.seen) return;
      this.line.innerHTML = "";
      if (this.zone) {
        const here = this.tensors.filter((each) => each.drawn.zone === this.stepNames[this.zone]);
        this.tell(here.map((each) => `${each.drawn.plain} is ${each.drawn.about}.`).join(" "));
        return;
      }
      const first = this.tensors[0];
      const paint = first.drawn.layout.kind === "bars" ? `Drag the bars of ${first.drawn.symbol}.` : `Drag over ${first.drawn.symbol} to paint.`;
      this.seen.innerHTML = `Point at any number: what it moves is marked in pink, and so is what moves it. ${paint}`;
    }
    tell(text) {
      this.seen.textContent = text;
      this.line.innerHTML = "";
      this.announce(text);
    }
    announce(text) {
      clearTimeout(this.saying);
      this.saying = setTimeout(() => (this.say.textContent = text), 400);
    }
  }

  // Set up a picture when it comes near the screen.
  function start(root) {
    if (root.dataset.started) return;
    root.dataset.started = "waiting";
    const go = () => {
      if (root.dataset.started === "yes") return;
      root.dataset.started = "yes";
      root.attentionLive = new Picture(root);
      root.classList.add("al-alive");
    };
    if (!("IntersectionObserver" in window)) return go();
    const seen = new IntersectionObserver((entries) => {
      if (entries.some((each) => each.isIntersecting)) {
        seen.disconnect();
        go();
      }
    }, { rootMargin: "300px" });
    seen.observe(root);
  }

  return { start, Picture };
})();

document.querySelectorAll(".attention-live").forEach(pictures.start);
