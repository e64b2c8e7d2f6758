// A run that was followed in Python: computed from its inputs, again after a change, and number by number.

const runs = (() => {
  // Which values an argument names.
  function named(given) {
    if (Array.isArray(given)) return given.flatMap(named);
    if (given && typeof given === "object") return "value" in given ? [given.value] : Object.values(given).flatMap(named);
    return [];
  }

  // A run: values, constants in place. `inputs` are arrays of numbers.
  class Run {
    constructor(values, constants) {
      this.entries = values.map((entry) => {
        const [operation, args, options] = entry.made ?? ["", [], {}];
        return { ...entry, operation, args, options, sources: named([args, options]) };
      });
      this.fixed = this.entries.map((entry) =>
        "constant" in entry
          ? { shape: entry.shape, data: Float64Array.from(constants[entry.constant], Number) }
          : null,
      );
      this.users = this.entries.map(() => []);
      this.entries.forEach((entry, i) => entry.sources.forEach((s) => this.users[s].push(i)));
      this.order = new Map();
    }

    read(given, values) {
      if (Array.isArray(given)) return given.map((each) => this.read(each, values));
      if (given && typeof given === "object") {
        if ("value" in given) return values[given.value];
        if ("number" in given) return given.number.endsWith("inf") ? (given.number[0] === "-" ? -Infinity : Infinity) : NaN;
        return Object.fromEntries(Object.entries(given).map(([key, each]) => [key, this.read(each, values)]));
      }
      return given;
    }

    make(i, values) {
      const entry = this.entries[i];
      const f = tensors.operations[entry.operation];
      if (!f) throw new Error(`no operation ${entry.operation}`);
      const args = entry.args.map((each) => this.read(each, values));
      const options = this.read(entry.options, values);
      // What comes by name stands behind what comes by place.
      return Object.keys(options).length ? f(...args, options) : f(...args);
    }

    all(inputs) {
      const values = new Array(this.entries.length);
      this.entries.forEach((entry, i) => {
        if (this.fixed[i]) values[i] = this.fixed[i];
        else if ("input" in entry) values[i] = { shape: entry.shape, data: Float64Array.from(inputs[entry.input]) };
        else values[i] = this.make(i, values);
      });
      return values;
    }

    // What follows from a value, in the order of the run; and of that only what leads to another.
    after(i, until = null) {
      const key = `${i}:${until}`;
      if (!this.order.has(key)) {
        const reached = new Set([i]);
        for (let k = i + 1; k < this.entries.length; k++)
          if (this.entries[k].sources.some((s) => reached.has(s))) reached.add(k);
        let chosen = reached;
        if (until !== null) {
          chosen = new Set([until]);
          for (let k = until; k >= 0; k--) if (chosen.has(k)) this.entries[k].sources.forEach((s) => chosen.add(s));
          chosen = new Set([...reached].filter((k) => chosen.has(k)));
        }
        this.order.set(key, [...chosen].filter((k) => k !== i).sort((a, b) => a - b));
      }
      return this.order.get(key);
    }

    // All values again, with one number of one of them moved.
    moved(values, i, place, by, until = null) {
      const found = [...values];
      const data = Float64Array.from(values[i].data);
      data[place] += by;
      found[i] = { shape: values[i].shape, data };
      for (const k of this.after(i, until)) found[k] = this.make(k, found);
      return found;
    }

    // How fast each number of the values in `wanted` changes with one number, by two runs.
    influence(values, i, place, wanted, step = 1e-5) {
      const [up, down] = [this.moved(values, i, place, step), this.moved(values, i, place, -step)];
      return wanted.map((k) => {
        const slope = new Float64Array(values[k].data.length);
        for (let j = 0; j < slope.length; j++) slope[j] = (up[k].data[j] - down[k].data[j]) / (2 * step);
        return slope;
      });
    }

    // How fast one number changes with one number of a value that it follows from.
    slope(values, target, at, i, place, step = 1e-5) {
      const up = this.moved(values, i, place, step, target)[target].data[at];
      const down = this.moved(values, i, place, -step, target)[target].data[at];
      return (up - down) / (2 * step);
    }
  }

  return { Run };
})();
