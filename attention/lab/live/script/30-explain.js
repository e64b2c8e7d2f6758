// How one number is computed: a formula with symbols, and the same with numbers.

const explain = (() => {
  const { operations } = tensors;
  const { broadcast, groups, listed, positive, pair, size } = numbers;
  const LONGEST = 150; // characters; a longer formula is written with fewer terms, and then less deep
  const SIZES = [[4, 6], [2, 6], [1, 6], [4, 3], [2, 3], [1, 3], [4, 1], [2, 1], [2, 0]]; // terms of a sum, and depth
  const NAMES = {
    "relu.default": "ReLU", "sigmoid.default": "σ", "tanh.default": "tanh", "exp.default": "exp", "log.default": "log",
    "abs.default": "abs", "gelu.default": "GELU", "hardsigmoid.default": "hard σ", "hardswish.default": "hard swish",
    "leaky_relu.default": "leaky ReLU", "sqrt.default": "√", "clamp.default": "clamp", "hardtanh.default": "clamp",
  };
  const SIGNS = { "add.Tensor": "+", "add.Scalar": "+", "sub.Tensor": "−", "sub.Scalar": "−", "mul.Tensor": "·", "mul.Scalar": "·", "div.Tensor": "/", "div.Scalar": "/" };
  const MOVES = ["clone.default", "expand.default", "permute.default", "select.int", "slice.Tensor", "squeeze.dims", "unsqueeze.default", "view.default"];
  const REDUCED = { "mean.dim": "mean", "sum.dim_IntList": "sum", "amax.default": "max", "amin.default": "min" };

  function number(value) {
    if (Math.abs(value) < 1e-9) return "0";
    if (!Number.isFinite(value)) return value > 0 ? "∞" : value < 0 ? "−∞" : "?";
    const size = Math.abs(value);
    const text = size !== 0 && (size < 0.001 || size >= 10000) ? value.toPrecision(2) : value.toFixed(size < 0.1 ? 3 : 2);
    return (/^-0\.?0*$/.test(text) ? text.slice(1) : text).replace("-", "−");
  }

  // `run` and its `values`; `called(id, at)` names a number of a drawn value, or returns null.
  function formula(run, values, called, id, at) {
    const long = ({ symbols, numbers }) => Math.max(symbols.replace(/<[^>]*>/g, "").length, numbers.length) > LONGEST;
    let found;
    for (const [terms, depth] of SIZES) if (!long((found = written(run, values, called, id, at, terms, depth)))) break;
    return found;
  }

  function written(run, values, called, id, at, TERMS, DEPTH) {
    const atom = (symbols, numbers) => ({ symbols, numbers, binds: 3 });
    const value = (i, k) => number(values[i].data[k]);
    const wrapped = (part, least) => (part.binds >= least ? part : { ...part, symbols: `(${part.symbols})`, numbers: `(${part.numbers})` });

    function part(given, k, depth) {
      if (typeof given === "number") return atom(number(given), number(given));
      const i = given.value;
      const name = called(i, k);
      if (name) return atom(name, value(i, k));
      return made(i, k, depth);
    }
    // Of a sum the largest terms are shown, in their order; those that are 0 are left out.
    function list(parts, sign, binds) {
      const counted = sign === "+" ? parts.filter((f) => f.worth !== 0) : parts;
      if (!counted.length) return atom("0", "0");
      const largest = [...counted].sort((a, b) => Math.abs(b.worth) - Math.abs(a.worth)).slice(0, TERMS);
      const shown = counted.filter((f) => largest.includes(f)).map((f) => f());
      const rest = counted.length - shown.length;
      const more = rest ? ` ${sign} … ${rest} more` : "";
      const join = (key) => shown.map((p) => wrapped(p, binds)[key]).join(` ${sign} `).replaceAll("+ −", "− ") + more;
      return { symbols: join("symbols"), numbers: join("numbers"), binds: shown.length > 1 ? (sign === "+" ? 1 : 0) : binds };
    }
    const worthy = (f, worth) => Object.assign(f, { worth });
    const product = (a, b) => {
      const [p, q] = [wrapped(a, 2), wrapped(b, 2)];
      return { symbols: `${p.symbols} · ${q.symbols}`, numbers: `${p.numbers} · ${q.numbers}`, binds: 2 };
    };
    const iota = (shape) => ({ shape, data: Float64Array.from({ length: size(shape) }, (_, k) => k) });
    const within = (t, shape, k) => (t.shape.join() === shape.join() ? k : broadcast(t.shape, shape)[k]);

    function made(i, k, depth) {
      const entry = run.entries[i];
      const { operation, args } = entry;
      if (!operation || depth > DEPTH) return atom(value(i, k), value(i, k));
      const shape = values[i].shape;
      const of = (n) => values[args[n].value];
      if (MOVES.includes(operation)) {
        const moved = operations[operation](iota(of(0).shape), ...args.slice(1));
        return part(args[0], moved.data[k], depth);
      }
      if (operation === "getitem") {
        const source = run.entries[args[0].value];
        const parts = operations[source.operation](iota(values[source.args[0].value].shape), ...source.args.slice(1));
        return part(source.args[0], parts[args[1]].data[k], depth + 1);
      }
      if (operation === "cat.default") {
        let start = 0;
        const places = args[0].map((each) => {
          const t = iota(values[each.value].shape);
          t.data = t.data.map((v) => v + start);
          start += t.data.length;
          return t;
        });
        let place = operations[operation](places, ...args.slice(1)).data[k];
        for (const each of args[0]) {
          const n = values[each.value].data.length;
          if (place < n) return part(each, place, depth);
          place -= n;
        }
      }
      if (operation in NAMES) {
        const inner = part(args[0], k, depth + 1);
        return atom(`${NAMES[operation]}(${inner.symbols})`, `${NAMES[operation]}(${inner.numbers})`);
      }
      if (operation in SIGNS) {
        const sides = args.slice(0, 2).map((each) => (typeof each === "number" ? part(each) : part(each, within(values[each.value], shape, k), depth + 1)));
        const sign = SIGNS[operation];
        if (sign === "·") return product(...sides);
        const [a, b] = sign === "/" ? [wrapped(sides[0], 2), wrapped(sides[1], 3)] : [sides[0], wrapped(sides[1], sign === "−" ? 2 : 1)];
        const join = (key) => `${a[key]} ${sign} ${b[key]}`.replaceAll("+ −", "− ");
        return { symbols: join("symbols"), numbers: join("numbers"), binds: sign === "/" ? 2 : 1 };
      }
      if (operation in REDUCED) {
        const x = of(0);
        const { starts, within: inner } = groups(x.shape, listed(args[1], x.shape.length));
        const parts = Array.from(inner, (j) => worthy(() => part(args[0], starts[k] + j, depth + 1), x.data[starts[k] + j]));
        if (operation === "mean.dim" || operation === "sum.dim_IntList") {
          const total = list(parts, "+", 1);
          if (operation === "sum.dim_IntList") return total;
          const join = (key) => (parts.length > 1 ? `(${total[key]}) / ${parts.length}` : total[key]);
          return { symbols: join("symbols"), numbers: join("numbers"), binds: 2 };
        }
        const all = list(parts, ",", 0);
        return atom(`${REDUCED[operation]}(${all.symbols})`, `${REDUCED[operation]}(${all.numbers})`);
      }
      if (["mm.default", "bmm.default", "addmm.default"].includes(operation)) {
        const [a, b] = operation === "addmm.default" ? [args[1], args[2]] : args;
        const [n, m] = values[a.value].shape.slice(-2);
        const c = shape[shape.length - 1];
        const [batch, row, column] = [Math.floor(k / (n * c)), Math.floor(k / c) % n, k % c];
        const weights = run.fixed[b.value] && !run.fixed[a.value];
        const parts = [...Array(m).keys()].map((l) => {
          const [p, q] = [(batch * n + row) * m + l, (batch * m + l) * c + column];
          return worthy(() => {
            const both = [part(a, p, depth + 1), part(b, q, depth + 1)];
            return product(...(weights ? both.reverse() : both));
          }, values[a.value].data[p] * values[b.value].data[q]);
        });
        if (operation === "addmm.default") {
          const place = within(of(0), shape, k);
          parts.push(worthy(() => part(args[0], place, depth + 1), of(0).data[place]));
        }
        return list(parts, "+", 1);
      }
      if (operation === "convolution.default") return kernel(i, k, depth);
      if (operation === "_softmax.default") {
        const axis = positive(args[1], of(0).shape.length);
        const { starts, within: inner } = groups(of(0).shape, [axis]);
        const own = starts.find((s) => inner.some((j) => s + j === k));
        const top = part(args[0], k, depth + 1);
        const parts = Array.from(inner, (j) =>
          worthy(() => {
            const each = part(args[0], own + j, depth + 1);
            return atom(`exp(${each.symbols})`, `exp(${each.numbers})`);
          }, Math.exp(of(0).data[own + j])),
        );
        const total = list(parts, "+", 1);
        const join = (key) => `exp(${top[key]}) / (${total[key]})`;
        return { symbols: join("symbols"), numbers: join("numbers"), binds: 2 };
      }
      if (operation.includes("_norm")) {
        const inner = part(args[0], k, depth + 1);
        return atom(`norm(${inner.symbols})`, `norm(${inner.numbers})`);
      }
      return atom(value(i, k), value(i, k));
    }

    function kernel(i, k, depth) {
      const { args } = run.entries[i];
      const flat = values[args[0].value].shape.length === 3;
      const grow = (shape) => (flat ? [...shape.slice(0, 2), 1, shape[2]] : shape);
      const [x, w, y] = [args[0].value, args[1].value, i].map((each) => grow(values[each].shape));
      const both = (given, lead) => (flat ? [lead, ...given] : pair(given));
      const [s, p, d] = [both(args[3], 1), both(args[4], 0), both(args[5], 1)];
      const [o, row, column] = [Math.floor(k / (y[2] * y[3])) % y[1], Math.floor(k / y[3]) % y[2], k % y[3]];
      const batch = Math.floor(k / (y[1] * y[2] * y[3]));
      const first = Math.floor(o / (w[0] / args[8])) * w[1];
      const parts = [];
      for (let c = 0; c < w[1]; c++)
        for (let m = 0; m < w[2]; m++)
          for (let n = 0; n < w[3]; n++) {
            const [h, v] = [row * s[0] - p[0] + m * d[0], column * s[1] - p[1] + n * d[1]];
            if (h < 0 || v < 0 || h >= x[2] || v >= x[3]) continue;
            const [a, b] = [((o * w[1] + c) * w[2] + m) * w[3] + n, ((batch * x[1] + first + c) * x[2] + h) * x[3] + v];
            const worth = values[args[1].value].data[a] * values[args[0].value].data[b];
            parts.push(worthy(() => product(part(args[1], a, depth + 1), part(args[0], b, depth + 1)), worth));
          }
      if (args[2]) parts.push(worthy(() => part(args[2], o, depth + 1), values[args[2].value].data[o]));
      return list(parts, "+", 1);
    }

    return made(id, at, 0);
  }

  return { formula, number };
})();
