// What stands on the page: buttons, zones, tensors, sliders, tables, colours.

const stages = (() => {
  // Written out: a page keeps the rules whose classes some script names.
  const ROLES = { feature: "al-feature", statistic: "al-statistic", hidden: "al-hidden", map: "al-map" };

  function element(tag, attributes = {}, ...inside) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes))
      if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else if (key === "html") made.innerHTML = value;
      else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
    made.append(...inside);
    return made;
  }
  // A group of buttons is one stop of the tab key: arrow keys lead from one to the next.
  function roving(group, buttons, first) {
    const stop = (to) => buttons.forEach((b, k) => (b.tabIndex = k === to ? 0 : -1));
    stop(first);
    group.addEventListener("focusin", (event) => stop(buttons.indexOf(event.target)));
    group.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
      const at = buttons.indexOf(document.activeElement);
      if (!by || at < 0) return;
      buttons[(at + by + buttons.length) % buttons.length].focus();
      event.preventDefault();
      event.stopPropagation();
    });
    return group;
  }
  const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

  class Stage {
    constructor(root) {
      this.root = root;
      this.data = JSON.parse(root.querySelector('script[type="application/json"]').textContent);
      this.variant = this.preset = this.zone = 0;
      this.runs = this.data.variants.map((each) => new runs.Run(each.values, this.data.constants));
      this.pointed = null; // {tensor, at, held}
      this.painting = true;
      this.token = 0;
      this.load();
      this.build();
      this.watch();
    }

    get now() {
      return this.data.variants[this.variant];
    }
    get run() {
      return this.runs[this.variant];
    }

    load() {
      this.base = this.data.presets[this.preset].inputs.map((each) => Float64Array.from(each, Number));
      this.inputs = this.base.map((each) => Float64Array.from(each));
      this.shifts = new Map();
    }

    // --- what stands on the page

    build(alone = new Set()) {
      const shown = this.root.querySelector(".attention-live-now");
      if (shown) shown.remove();
      this.alone = alone;
      this.narrow = this.root.clientWidth < 560;
      this.room = Math.max(1, Math.min(1.5, this.root.clientWidth / 690));
      this.tensors = this.now.drawn.map((drawn, index) => ({ drawn, index, input: "input" in this.now.values[drawn.value] ? this.now.values[drawn.value].input : -1 }));
      if (this.pointed) this.pointed.tensor = this.tensors[this.pointed.tensor.index];
      this.zones = [...new Set(this.now.drawn.map((each) => each.zone))];
      this.say = element("p", { class: "al-say", role: "status", "aria-live": "polite" });
      this.seen = element("p", { class: "al-say", "aria-hidden": "true" });
      this.line = element("p", { class: "al-formula" });
      this.tables = element("div", { tabindex: "0", role: "region", "aria-label": "All numbers as tables" });
      this.details = element("details", { class: "al-tables", ontoggle: () => this.table() }, element("summary", {}, "All numbers as tables"), this.tables);
      const box = element(
        "div",
        { class: "attention-live-now" },
        this.bar(),
        element("div", { class: "al-zones" }, ...this.zones.map((zone) => this.section(zone))),
        element("div", { class: "al-told" }, this.seen, this.line, this.say),
        this.sliders(),
        this.details,
        ...(this.data.about ? [element("p", { class: "al-about" }, this.data.about)] : []),
      );
      this.root.append(box);
      this.colours();
      this.step(this.zone);
      this.update();
      const lines = this.narrow || alone.size ? new Set() : this.lines();
      if (lines.size) this.build(lines);
    }

    // The zones that hold four panels two by two and have a row of their own: there all four fit side by side.
    lines() {
      const sections = [...this.root.querySelectorAll(".al-zone")];
      const own = sections.filter((one) => sections.every((other) => other === one || other.offsetTop !== one.offsetTop));
      const single = own.map((one) => one.dataset.zone).filter((zone) => this.tensors.filter(({ drawn }) => drawn.zone === zone).length === 1);
      return new Set(single.filter((zone) => this.tensors.some(({ drawn, view }) => drawn.zone === zone && drawn.layout.panels === 4 && view.place.across === 2)));
    }

    choice(label, names, current, choose) {
      if (names.length < 2) return [];
      const buttons = names.map((name, i) =>
        element("button", { type: "button", "aria-pressed": String(i === current), "data-name": name, onclick: () => {
          buttons.forEach((b, k) => b.setAttribute("aria-pressed", String(k === i)));
          choose(i);
        } }, name),
      );
      const group = element("div", { class: "al-choice", role: "group", "aria-label": label }, element("span", { class: "al-name" }, label), ...buttons);
      return [roving(group, buttons, current)];
    }

    bar() {
      const paintable = this.tensors.some((each) => each.input >= 0);
      const steps = ["All", ...this.zones.filter((zone) => zone !== "input")];
      const back = element("button", { type: "button", class: "al-arrow", "aria-label": "Step back", onclick: () => this.step(this.zone - 1) }, "‹");
      const next = element("button", { type: "button", class: "al-arrow", "aria-label": "Step on", onclick: () => this.step(this.zone + 1) }, "›");
      this.stepNames = steps;
      // As wide as the longest of all variants: nothing moves under the finger.
      const longest = Math.max(...this.data.variants.flatMap(({ drawn }) => drawn.map(({ zone }) => zone.length)));
      this.stepNow = element("span", { class: "al-step", style: `width:${longest + 7}ch` });
      const again = element("button", { type: "button", class: "al-reset", onclick: () => { this.load(); this.resetSliders(); this.pointed = null; this.step(0); this.update(); } }, "Start again");
      return element(
        "div",
        { class: "al-bar" },
        ...this.choice("Input", this.data.presets.map((each) => each.name), this.preset, (i) => {
          this.preset = i;
          this.load();
          this.resetSliders();
          this.update();
        }),
        ...this.choice("Block", this.data.variants.map((each) => each.name), this.variant, (i) => {
          this.variant = i;
          this.pointed = null;
          const focused = document.activeElement?.textContent;
          this.build();
          [...this.root.querySelectorAll('[aria-label="Block"] button')].find((b) => b.textContent === focused)?.focus();
        }),
        ...(paintable ? this.choice("Press to", ["paint", "point"], this.painting ? 0 : 1, (i) => {
          this.painting = i === 0;
          this.root.classList.toggle("al-pointing", !this.painting);
        }) : []),
        roving(
          element("div", { class: "al-choice al-steps", role: "group", "aria-label": "Step by step" }, element("span", { class: "al-name" }, "Steps"), back, this.stepNow, next, again),
          [back, next, again],
          1,
        ),
      );
    }

    section(zone) {
      const here = this.tensors.filter((each) => each.drawn.zone === zone);
      return element("section", { class: "al-zone", "aria-label": zone, "data-zone": zone }, element("p", { class: "al-zone-name" }, zone), element("div", { class: "al-row" }, ...here.map((each) => this.tensor(each))));
    }

    tensor(each) {
      const { drawn } = each;
      const { kind, panels, rows, columns } = drawn.layout;
      const size = kind === "bars" ? `${plural(panels * rows, "number")}` : `${panels > 1 ? `${panels} times ` : ""}${rows} by ${columns} numbers`;
      const paints = kind === "bars" ? "Up and down choose a number, left and right change it" : "Arrow keys move, space paints, plus and minus change";
      const how = each.input >= 0 ? `${paints}, Enter holds, Escape lets go.` : "Arrow keys move, Enter holds, Escape lets go.";
      const canvas = element("canvas", { tabindex: "0", role: "application", "aria-label": `${drawn.plain}: ${drawn.about}; ${size}. ${how}`, "data-tensor": each.index });
      each.canvas = canvas;
      each.view = new views.View(drawn, canvas, this.room, each.input >= 0, this.narrow, this.alone.has(drawn.zone));
      each.cursor = 0;
      if (each.input >= 0) canvas.classList.add("al-paint");
      const down = (event) => {
        this.touched = event.pointerType === "touch";
        const at = each.view.hit(event);
        if (at < 0) return;
        each.cursor = at;
        if (each.input >= 0 && this.painting && kind === "bars") {
          this.stroke = each;
          canvas.setPointerCapture(event.pointerId);
          this.put(each, at, each.view.value(event, at));
          this.point(each, at, false);
        } else if (each.input >= 0 && this.painting) {
          this.stroke = each;
          canvas.setPointerCapture(event.pointerId);
          const old = this.inputs[each.input][at];
          const brush = this.brush(each);
          this.ink = Math.abs(old - brush) < 1e-9 ? drawn.low : brush;
          this.paint(each, at);
          this.point(each, at, false);
        } else {
          const same = this.pointed?.held && this.pointed.tensor === each && this.pointed.at === at;
          this.point(same ? null : each, at, !same);
        }
      };
      const move = (event) => {
        if (event.pointerType === "touch" && this.stroke !== each) return;
        const at = this.stroke === each && kind === "bars" ? each.cursor : each.view.hit(event);
        if (this.stroke === each && kind === "bars") this.put(each, at, each.view.value(event, at));
        else if (this.stroke === each && at >= 0) this.paint(each, at);
        if (at >= 0 && !this.pointed?.held) this.point(each, at, false);
        else if (at < 0 && this.pointed?.tensor === each && !this.pointed.held) this.point(null);
      };
      const leave = (event) => {
        if (event.pointerType !== "touch" && this.stroke !== each && this.pointed?.tensor === each && !this.pointed.held) this.point(null);
      };
      const end = () => (this.stroke = null);
      for (const [name, f] of [["pointerdown", down], ["pointermove", move], ["pointerleave", leave], ["pointerup", end], ["pointercancel", end]]) canvas.addEventListener(name, f);
      canvas.addEventListener("keydown", (event) => this.key(each, event));
      canvas.addEventListener("focus", () => { if (canvas.matches(":focus-visible") && !this.pointed?.held) this.point(each, each.cursor, false); });
      const scale = `${drawn.low} to ${drawn.high}`.replaceAll("-", "−");
      return element(
        "div",
        { class: `al-tensor ${ROLES[drawn.role]}${each.view.place.width > 300 && !this.narrow ? " al-wide" : ""}`, style: `width:${this.width(each)}px` },
        element("p", { class: "al-label" }, element("span", { class: "al-symbol", html: drawn.symbol }), element("span", { class: "al-about-tensor" }, drawn.about)),
        canvas,
        element("p", { class: "al-scale" }, scale),
        ...(drawn.equation ? [element("p", { class: "al-equation", html: `${drawn.symbol} = ${drawn.equation}` })] : []),
      );
    }

    // As wide as its numbers, and as its equation where that is not much longer.
    width(each) {
      const letters = each.drawn.equation ? `${each.drawn.symbol} = ${each.drawn.equation}`.replace(/<[^>]*>/g, "").length : 0;
      return Math.max(each.view.place.width + 2, 90, Math.min(150, 7 * letters));
    }

    sliders() {
      const box = element("div", { class: "al-sliders" });
      this.moves = [];
      for (const each of this.tensors.filter((t) => t.input >= 0)) {
        const { kind, panels } = each.drawn.layout;
        const { low, high } = each.drawn;
        const reach = high - low;
        const add = (name, from, to, value, change) => {
          const shown = element("output", {}, explain.number(value()));
          const range = element("input", { type: "range", min: from, max: to, step: reach / 100, value: value(), oninput: () => { change(Number(range.value)); shown.textContent = explain.number(Number(range.value)); this.update(); } });
          const label = element("label", {}, element("span", { html: name }), range, shown);
          box.append(label);
          this.moves.push(() => { range.value = value(); shown.textContent = explain.number(value()); });
        };
        if (kind === "bars") {
          if (this.inputs[each.input].length <= 8)
            this.inputs[each.input].forEach((_, k) => add(this.called(each, k), low, high, () => this.inputs[each.input][k], (v) => { this.inputs[each.input][k] = this.base[each.input][k] = v; }));
          continue;
        }
        each.brush = each.brush ?? high;
        add(`brush on ${each.drawn.symbol}`, low, high, () => each.brush, (v) => { each.brush = v; });
        const key = (p) => `${each.input}:${p}`;
        const shift = (p) => add(p < 0 ? `add to all of ${each.drawn.symbol}` : `add to ${each.drawn.symbol}<sub>${p + 1}</sub>`, -reach / 2, reach / 2, () => this.shifts.get(key(p)) ?? 0, (v) => { this.shifts.set(key(p), v); this.shift(each); });
        if (panels <= 8 && panels > 1) for (let p = 0; p < panels; p++) shift(p);
        shift(-1);
      }
      const open = this.tensors.some((each) => each.input >= 0 && each.drawn.layout.kind === "bars");
      return element("details", { class: "al-more", open }, element("summary", {}, "Sliders"), box);
    }

    table() {
      if (!this.details.open) return;
      this.tables.replaceChildren(...this.tensors.flatMap((each) => {
        const { panels, rows, columns } = each.drawn.layout;
        const data = this.values[each.drawn.value].data;
        return [...Array(panels).keys()].map((p) =>
          element(
            "table",
            {},
            element("caption", { html: `${each.drawn.symbol}${panels > 1 ? `<sub>${p + 1}</sub>` : ""}: ${each.drawn.about}` }),
            element("tbody", {}, ...[...Array(rows).keys()].map((r) => element("tr", {}, ...[...Array(columns).keys()].map((c) => element("td", {}, explain.number(data[each.view.at(p, r, c)])))))),
          ),
        );
      }));
    }

    colours() {
      const style = getComputedStyle(this.root);
      const of = (name) => views.parse(style.getPropertyValue(`--al-${name}`));
      const css = (name) => style.getPropertyValue(`--al-${name}`).trim();
      this.paints = { back: of("back"), inkParts: of("ink"), negative: of("negative"), ink: css("ink"), soft: css("soft"), line: css("line"), hot: css("hot") };
      for (const role of Object.keys(ROLES)) this.paints[role] = of(role);
    }

    draw() {
      const places = this.data.places && this.tensors.find((each) => each.drawn.name === this.data.places);
      for (const each of this.tensors) {
        const at = this.pointed?.tensor === each ? this.pointed.at : -1;
        let marks = null;
        if (places && each.index === 0) {
          const found = this.values[places.drawn.value];
          const [rows, columns] = found.shape.slice(-3, -1);
          let own = -1;
          if (this.pointed && this.pointed.tensor !== each) own = this.pointed.tensor === places ? Math.floor(this.pointed.at / 2) : this.pointed.at % (rows * columns);
          marks = { places: found.data, rows, columns, at: own };
        }
        each.view.draw(this.values[each.drawn.value].data, this.paints, this.hot?.[each.index]?.shares, at, marks);
      }
    }

    watch() {
      const again = () => { this.colours(); this.draw(); };
      const seen = new MutationObserver(again);
      for (const node of [document.documentElement, document.body]) seen.observe(node, { attributes: true });
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
      new ResizeObserver(() => {
        const wide = this.root.clientWidth;
        const room = Math.max(1, Math.min(1.5, wide / 690));
        if (wide && (wide < 560 !== this.narrow || Math.abs(room - this.room) > 0.1)) this.build();
      }).observe(this.root);
    }
  }

  return { Stage, element };
})();
