// What operations are made of: where numbers lie, sums over axes, products, windows. In double precision; a tensor is
// {shape, data}: sizes, and numbers row by row.

const numbers = (() => {
  const size = (shape) => shape.reduce((product, n) => product * n, 1);
  const make = (shape) => ({ shape, data: new Float64Array(size(shape)) });
  const strides = (shape) => {
    const found = new Array(shape.length).fill(1);
    for (let i = shape.length - 2; i >= 0; i--) found[i] = found[i + 1] * shape[i + 1];
    return found;
  };
  const positive = (axis, rank) => (axis < 0 ? axis + rank : axis);
  const listed = (axes, rank) =>
    (axes === null || axes === undefined || axes.length === 0 ? [...Array(rank).keys()] : [].concat(axes)).map((a) =>
      positive(a, rank),
    );
  const pair = (given, otherwise) => {
    const both = given === undefined || given === null || given.length === 0 ? otherwise : [].concat(given);
    return both.length === 1 ? [both[0], both[0]] : both;
  };

  // For each number of the result, where it is read: offsets by axis.
  function gathered(shape, steps, start = 0) {
    const places = new Int32Array(size(shape));
    const index = new Array(shape.length).fill(0);
    let at = start;
    for (let k = 0; k < places.length; k++) {
      places[k] = at;
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        at += steps[axis];
        if (++index[axis] < shape[axis]) break;
        at -= steps[axis] * shape[axis];
        index[axis] = 0;
      }
    }
    return places;
  }
  const broadcast = (from, shape) => {
    const own = strides(from);
    const lead = shape.length - from.length;
    return gathered(
      shape,
      shape.map((_, axis) => (axis < lead || from[axis - lead] === 1 ? 0 : own[axis - lead])),
    );
  };
  const same = (a, b) => a.length === b.length && a.every((n, i) => n === b[i]);

  const unary = (f) => (a) => ({ shape: a.shape, data: a.data.map(f) });
  function binary(f) {
    return (a, b) => {
      if (typeof b === "number") return { shape: a.shape, data: a.data.map((v) => f(v, b)) };
      if (typeof a === "number") return { shape: b.shape, data: b.data.map((v) => f(a, v)) };
      const rank = Math.max(a.shape.length, b.shape.length);
      const of = (t, i) => t.shape[i - rank + t.shape.length] ?? 1;
      const shape = [...Array(rank).keys()].map((i) => Math.max(of(a, i), of(b, i)));
      const y = make(shape);
      const p = same(a.shape, shape) ? null : broadcast(a.shape, shape);
      const q = same(b.shape, shape) ? null : broadcast(b.shape, shape);
      for (let k = 0; k < y.data.length; k++) y.data[k] = f(a.data[p ? p[k] : k], b.data[q ? q[k] : k]);
      return y;
    };
  }

  // Numbers that are brought together: for each result the places that it is made of.
  function groups(shape, axes) {
    const own = strides(shape);
    const kept = shape.map((_, i) => i).filter((i) => !axes.includes(i));
    const starts = gathered(kept.map((i) => shape[i]), kept.map((i) => own[i]));
    const within = gathered(axes.map((i) => shape[i]), axes.map((i) => own[i]));
    return { starts, within };
  }
  const reducedShape = (shape, axes, keep) =>
    keep ? shape.map((n, i) => (axes.includes(i) ? 1 : n)) : shape.filter((_, i) => !axes.includes(i));
  function reduce(x, given, keep, f) {
    const axes = listed(given, x.shape.length);
    const { starts, within } = groups(x.shape, axes);
    const y = make(reducedShape(x.shape, axes, keep));
    const read = new Float64Array(within.length);
    for (let k = 0; k < starts.length; k++) {
      for (let j = 0; j < within.length; j++) read[j] = x.data[starts[k] + within[j]];
      y.data[k] = f(read);
    }
    return y;
  }
  const sum = (v) => {
    let total = 0;
    for (let i = 0; i < v.length; i++) total += v[i];
    return total;
  };
  const largest = (v) => v.reduce((a, b) => (b > a ? b : a), -Infinity);
  const smallest = (v) => v.reduce((a, b) => (b < a ? b : a), Infinity);
  const variance = (v, mean) => {
    let total = 0;
    for (let i = 0; i < v.length; i++) total += (v[i] - mean) ** 2;
    return total / v.length;
  };

  function matmul(a, b) {
    const batch = a.shape.length === 3 ? a.shape[0] : 1;
    const [n, m] = a.shape.slice(-2);
    const k = b.shape[b.shape.length - 1];
    const y = make([...a.shape.slice(0, -1), k]);
    for (let c = 0; c < batch; c++)
      for (let i = 0; i < n; i++)
        for (let l = 0; l < m; l++) {
          const factor = a.data[(c * n + i) * m + l];
          if (factor !== 0)
            for (let j = 0; j < k; j++) y.data[(c * n + i) * k + j] += factor * b.data[(c * m + l) * k + j];
        }
    return y;
  }

  // A convolution over one axis is one over two, the first of size 1.
  function flatConvolution(given) {
    const [x, w, bias, stride, padding, dilation] = given;
    const grow = (t) => ({ shape: [...t.shape.slice(0, 2), 1, t.shape[2]], data: t.data });
    const y = convolution(grow(x), grow(w), bias, [1, ...stride], [0, ...padding], [1, ...dilation], false, [0, 0], given[8]);
    return { shape: [y.shape[0], y.shape[1], y.shape[3]], data: y.data };
  }
  function windows(x, k, stride, padding, dilation, ceil) {
    return [0, 1].map((i) => {
      const room = x.shape[2 + i] + 2 * padding[i] - dilation[i] * (k[i] - 1) - 1;
      let n = (ceil ? Math.ceil(room / stride[i]) : Math.floor(room / stride[i])) + 1;
      if (ceil && (n - 1) * stride[i] >= x.shape[2 + i] + padding[i]) n--; // a window must start inside
      return n;
    });
  }
  function convolution(x, w, bias, stride, padding, dilation, transposed, outputPadding, count) {
    if (x.shape.length === 3) return flatConvolution([x, w, bias, stride, padding, dilation, transposed, outputPadding, count]);
    const [s, p, d] = [pair(stride), pair(padding), pair(dilation)];
    const [batch, channels, height, width] = x.shape;
    const [out, each, kh, kw] = w.shape;
    const [oh, ow] = windows(x, [kh, kw], s, p, d, false);
    const y = make([batch, out, oh, ow]);
    for (let b = 0; b < batch; b++)
      for (let o = 0; o < out; o++) {
        const first = Math.floor(o / (out / count)) * each;
        for (let i = 0; i < oh; i++)
          for (let j = 0; j < ow; j++) {
            let total = bias ? bias.data[o] : 0;
            for (let c = 0; c < each; c++)
              for (let m = 0; m < kh; m++) {
                const row = i * s[0] - p[0] + m * d[0];
                if (row < 0 || row >= height) continue;
                for (let n = 0; n < kw; n++) {
                  const column = j * s[1] - p[1] + n * d[1];
                  if (column < 0 || column >= width) continue;
                  total +=
                    w.data[((o * each + c) * kh + m) * kw + n] *
                    x.data[((b * channels + first + c) * height + row) * width + column];
                }
              }
            y.data[((b * out + o) * oh + i) * ow + j] = total;
          }
      }
    return y;
  }
  function pool(x, size2, stride, padding, dilation, ceil, f) {
    const k = pair(size2);
    const [s, p, d] = [pair(stride, k), pair(padding, [0, 0]), pair(dilation, [1, 1])];
    const lead = x.shape.slice(0, -2);
    const flat = { shape: [1, size(lead), ...x.shape.slice(-2)], data: x.data };
    const [height, width] = x.shape.slice(-2);
    const [oh, ow] = windows(flat, k, s, p, d, ceil);
    const y = make([...lead, oh, ow]);
    for (let c = 0; c < size(lead); c++)
      for (let i = 0; i < oh; i++)
        for (let j = 0; j < ow; j++) {
          const read = [];
          for (let m = 0; m < k[0]; m++)
            for (let n = 0; n < k[1]; n++) {
              const [row, column] = [i * s[0] - p[0] + m * d[0], j * s[1] - p[1] + n * d[1]];
              if (row >= 0 && row < height && column >= 0 && column < width)
                read.push(x.data[(c * height + row) * width + column]);
            }
          y.data[(c * oh + i) * ow + j] = f(read, k[0] * k[1]);
        }
    return y;
  }

  return { size, make, strides, positive, listed, pair, gathered, broadcast, unary, binary, groups, reduce, sum, largest, smallest, variance, matmul, windows, convolution, pool };
})();
