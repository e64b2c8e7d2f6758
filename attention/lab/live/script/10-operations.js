// The basic operations, as torch.export names them.

const tensors = (() => {
  const { size, make, strides, positive, listed, pair, gathered, broadcast, unary, binary, groups, reduce } = numbers;
  const { sum, largest, smallest, variance, matmul, windows, convolution, pool } = numbers;

  const normal = (x) => {
    // The error function, to 1e-15: a series near 0, a continued fraction beyond.
    const a = Math.abs(x);
    if (a < 2.5) {
      let [term, total] = [a, a];
      for (let n = 1; n < 80; n++) {
        term *= (-a * a) / n;
        total += term / (2 * n + 1);
      }
      return (Math.sign(x) * 2 * total) / Math.sqrt(Math.PI);
    }
    let tail = 0;
    for (let n = 60; n > 0; n--) tail = n / 2 / (a + tail);
    return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * (a + tail)));
  };
  const sigmoid = (v) => 1 / (1 + Math.exp(-v));
  const clamp = (v, low, high) => Math.min(Math.max(v, low ?? -Infinity), high ?? Infinity);

  const perChannel = (x, channel, f) => {
    const y = make(x.shape);
    const inner = size(x.shape.slice(channel + 1));
    for (let k = 0; k < y.data.length; k++) y.data[k] = f(x.data[k], Math.floor(k / inner) % x.shape[channel]);
    return y;
  };
  function normalised(x, blocks, eps) {
    const y = make(x.shape);
    const n = x.data.length / blocks;
    for (let g = 0; g < blocks; g++) {
      const part = x.data.subarray(g * n, (g + 1) * n);
      const mean = sum(part) / n;
      const scale = 1 / Math.sqrt(variance(part, mean) + eps);
      for (let k = 0; k < n; k++) y.data[g * n + k] = (part[k] - mean) * scale;
    }
    return y;
  }

  const add = binary((a, b) => a + b);
  const multiply = binary((a, b) => a * b);
  const factor = (options) => (typeof options === "number" ? options : options?.alpha ?? 1); // by name, or by place
  const scaled = (b, options) => {
    const alpha = factor(options);
    return alpha === 1 ? b : typeof b === "number" ? alpha * b : multiply(b, alpha);
  };

  const operations = {
    "_native_batch_norm_legit_no_training.default": (x, weight, bias, mean, spread, momentum, eps) =>
      perChannel(
        x,
        1,
        (v, c) =>
          ((v - mean.data[c]) / Math.sqrt(spread.data[c] + eps)) * (weight ? weight.data[c] : 1) +
          (bias ? bias.data[c] : 0),
      ),
    "_log_softmax.default": (x, axis) => unary(Math.log)(operations["_softmax.default"](x, axis)),
    "_softmax.default": (x, axis) => {
      const { starts, within } = groups(x.shape, [positive(axis, x.shape.length)]);
      const y = make(x.shape);
      for (const start of starts) {
        let top = -Infinity;
        for (const j of within) top = Math.max(top, x.data[start + j]);
        let total = 0;
        for (const j of within) total += y.data[start + j] = Math.exp(x.data[start + j] - top);
        for (const j of within) y.data[start + j] /= total;
      }
      return y;
    },
    "abs.default": unary(Math.abs),
    "add.Scalar": (a, b, options) => add(a, scaled(b, options)),
    "add.Tensor": (a, b, options) => add(a, scaled(b, options)),
    "addmm.default": (c, a, b) => add(matmul(a, b), c),
    "amax.default": (x, axes, keep) => reduce(x, axes, keep === true, largest),
    "amin.default": (x, axes, keep) => reduce(x, axes, keep === true, smallest),
    "avg_pool2d.default": (x, k, stride, padding, ceil, whole) =>
      pool(x, k, stride, padding, [1, 1], ceil === true, (v, n) => sum(v) / (whole === false ? v.length : n)),
    "bmm.default": matmul,
    "cat.default": (parts, given) => {
      const axis = typeof given === "number" ? positive(given, parts[0].shape.length) : 0;
      const shape = parts[0].shape.map((n, i) => (i === axis ? parts.reduce((t, p) => t + p.shape[i], 0) : n));
      const y = make(shape);
      const inner = size(shape.slice(axis + 1));
      let start = 0;
      for (const part of parts) {
        const run = part.shape[axis] * inner;
        for (let k = 0; k < part.data.length; k++)
          y.data[Math.floor(k / run) * shape[axis] * inner + start + (k % run)] = part.data[k];
        start += run;
      }
      return y;
    },
    "clamp.default": (x, low, high) => unary((v) => clamp(v, low, typeof high === "number" ? high : null))(x),
    "clone.default": (x) => x,
    "constant_pad_nd.default": (x, around, value) => {
      const shape = x.shape.map((n, i) => n + (around[2 * (x.shape.length - 1 - i)] ?? 0) + (around[2 * (x.shape.length - 1 - i) + 1] ?? 0));
      const y = make(shape);
      y.data.fill(typeof value === "number" ? value : 0);
      const own = strides(x.shape);
      let k = 0;
      for (const place of gathered(shape, strides(shape))) {
        let [rest, from] = [place, 0];
        for (let i = 0; i < shape.length && from >= 0; i++) {
          const step = strides(shape)[i];
          const at = Math.floor(rest / step) - (around[2 * (shape.length - 1 - i)] ?? 0);
          rest %= step;
          from = at >= 0 && at < x.shape[i] ? from + at * own[i] : -Infinity;
        }
        if (from >= 0) y.data[k] = x.data[from];
        k++;
      }
      return y;
    },
    "convolution.default": convolution,
    "div.Scalar": binary((a, b) => a / b),
    "div.Tensor": binary((a, b) => a / b),
    "eq.Tensor": binary((a, b) => (a === b ? 1 : 0)),
    "exp.default": unary(Math.exp),
    "expand.default": (x, given) => {
      const lead = given.length - x.shape.length;
      const shape = given.map((n, i) => (n === -1 ? x.shape[i - lead] : n));
      const places = broadcast(x.shape, shape);
      return { shape, data: Float64Array.from(places, (k) => x.data[k]) };
    },
    "ge.Scalar": binary((a, b) => (a >= b ? 1 : 0)),
    "ge.Tensor": binary((a, b) => (a >= b ? 1 : 0)),
    "gt.Scalar": binary((a, b) => (a > b ? 1 : 0)),
    "gt.Tensor": binary((a, b) => (a > b ? 1 : 0)),
    "lt.Scalar": binary((a, b) => (a < b ? 1 : 0)),
    "lt.Tensor": binary((a, b) => (a < b ? 1 : 0)),
    "gelu.default": (x, options) =>
      unary((v) =>
        options?.approximate === "tanh"
          ? 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)))
          : 0.5 * v * (1 + normal(v / Math.SQRT2)),
      )(x),
    getitem: (parts, which) => parts[which],
    "hardsigmoid.default": unary((v) => clamp(v + 3, 0, 6) / 6),
    "hardswish.default": unary((v) => (v * clamp(v + 3, 0, 6)) / 6),
    "hardtanh.default": (x, low, high) =>
      unary((v) => clamp(v, typeof low === "number" ? low : -1, typeof high === "number" ? high : 1))(x),
    "leaky_relu.default": (x, slope) => unary((v) => (v > 0 ? v : v * (typeof slope === "number" ? slope : 0.01)))(x),
    "linalg_vector_norm.default": (x, order, axes, keep) =>
      reduce(x, axes, keep === true, (v) =>
        order === undefined || order === 2 || typeof order === "object"
          ? Math.sqrt(sum(v.map((a) => a * a)))
          : order === Infinity
            ? largest(v.map(Math.abs))
            : sum(v.map((a) => Math.abs(a) ** order)) ** (1 / order),
      ),
    "log.default": unary(Math.log),
    "max_pool2d_with_indices.default": (x, k, stride, padding, dilation, ceil) =>
      pool(x, k, stride, padding, dilation, ceil === true, (v) => largest(v)),
    "max.dim": (x, axis, keep) => reduce(x, [axis], keep === true, largest),
    "maximum.default": binary(Math.max),
    "mean.default": (x) => reduce(x, null, false, (v) => sum(v) / v.length),
    "mean.dim": (x, axes, keep) => reduce(x, axes, keep === true, (v) => sum(v) / v.length),
    "min.dim": (x, axis, keep) => reduce(x, [axis], keep === true, smallest),
    "minimum.default": binary(Math.min),
    "mm.default": matmul,
    "mul.Scalar": multiply,
    "mul.Tensor": multiply,
    "native_group_norm.default": (x, weight, bias, batch, channels, inner, count, eps) =>
      perChannel(
        normalised(x, batch * count, eps),
        1,
        (v, c) => v * (weight ? weight.data[c] : 1) + (bias ? bias.data[c] : 0),
      ),
    "native_layer_norm.default": (x, shape, weight, bias, eps) => {
      const n = size(shape);
      const y = normalised(x, x.data.length / n, eps);
      for (let k = 0; k < y.data.length; k++)
        y.data[k] = y.data[k] * (weight ? weight.data[k % n] : 1) + (bias ? bias.data[k % n] : 0);
      return y;
    },
    "neg.default": unary((v) => -v),
    "permute.default": (x, order) => {
      const own = strides(x.shape);
      const axes = order.map((a) => positive(a, x.shape.length));
      const shape = axes.map((a) => x.shape[a]);
      const places = gathered(shape, axes.map((a) => own[a]));
      return { shape, data: Float64Array.from(places, (k) => x.data[k]) };
    },
    "pow.Tensor_Scalar": binary((a, b) => a ** b),
    "reciprocal.default": unary((v) => 1 / v),
    "relu.default": unary((v) => (v > 0 ? v : 0)),
    "rsqrt.default": unary((v) => 1 / Math.sqrt(v)),
    "select.int": (x, given, index) => {
      const axis = positive(given, x.shape.length);
      const own = strides(x.shape);
      const rest = x.shape.map((_, i) => i).filter((i) => i !== axis);
      const shape = rest.map((i) => x.shape[i]);
      const places = gathered(shape, rest.map((i) => own[i]), positive(index, x.shape[axis]) * own[axis]);
      return { shape, data: Float64Array.from(places, (k) => x.data[k]) };
    },
    "sigmoid.default": unary(sigmoid),
    "slice.Tensor": (x, given, from, to, every) => {
      const axis = typeof given === "number" ? positive(given, x.shape.length) : 0;
      const own = strides(x.shape);
      const bounded = (v, otherwise) =>
        typeof v === "number" ? clamp(v < 0 ? v + x.shape[axis] : v, 0, x.shape[axis]) : otherwise;
      const [start, end] = [bounded(from, 0), bounded(to, x.shape[axis])];
      const step = typeof every === "number" ? every : 1;
      const shape = x.shape.map((n, i) => (i === axis ? Math.max(0, Math.ceil((end - start) / step)) : n));
      const places = gathered(shape, own.map((s, i) => (i === axis ? s * step : s)), start * own[axis]);
      return { shape, data: Float64Array.from(places, (k) => x.data[k]) };
    },
    "split_with_sizes.default": (x, sizes, given) => {
      let start = 0;
      return sizes.map((n) => {
        start += n;
        return operations["slice.Tensor"](x, typeof given === "number" ? given : 0, start - n, start, 1);
      });
    },
    "sqrt.default": unary(Math.sqrt),
    "squeeze.dims": (x, axes) => {
      const gone = listed(axes, x.shape.length);
      return { shape: x.shape.filter((n, i) => !(n === 1 && gone.includes(i))), data: x.data };
    },
    "sub.Scalar": (a, b, options) => add(a, scaled(b, -factor(options))),
    "sub.Tensor": (a, b, options) => add(a, scaled(b, -factor(options))),
    "sum.dim_IntList": (x, axes, keep) => reduce(x, axes, keep === true, sum),
    "tanh.default": unary(Math.tanh),
    "var.correction": (x, axes, options) =>
      reduce(x, axes, options?.keepdim === true, (v) => (variance(v, sum(v) / v.length) * v.length) / (v.length - (options?.correction ?? 1))),
    "unsqueeze.default": (x, axis) => {
      const shape = [...x.shape];
      shape.splice(axis < 0 ? axis + shape.length + 1 : axis, 0, 1);
      return { shape, data: x.data };
    },
    "view.default": (x, given) => {
      const known = given.reduce((product, n) => (n === -1 ? product : product * n), 1);
      return { shape: given.map((n) => (n === -1 ? x.data.length / known : n)), data: x.data };
    },
    "where.self": (condition, a, b) => {
      const one = binary((c, v) => (c ? v : 0))(condition, a);
      const other = binary((c, v) => (c ? 0 : v))(condition, b);
      return add(one, other);
    },
  };

  return { operations };
})();
