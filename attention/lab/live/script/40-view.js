// A tensor on a canvas: where each number stands, how it is coloured, and what is marked on it.

const views = (() => {
  const LABEL = 15; // pixels above each grid for its number
  const GAP = 8;
  const ROOM = 46; // beside a bar, for its number

  function parse(colour) {
    const hex = colour.trim().replace("#", "");
    const full = hex.length === 3 ? [...hex].map((c) => c + c).join("") : hex;
    return [0, 2, 4].map((i) => parseInt(full.slice(i, i + 2), 16));
  }
  const blend = (a, b, share) => a.map((v, i) => Math.round(v + (b[i] - v) * share));
  const css = (rgb) => `rgb(${rgb.join(",")})`;
  const mix = (a, b, share) => css(blend(a, b, share));
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);

  // So many panels stand side by side: those of an axis in one row where they fit, for neighbours to be beside each other.
  // As `beside` in layout.py.
  function beside({ panels, axes, last }) {
    const sizes = last ? [] : axes.slice(0, -2).flatMap(([, each]) => each);
    if (panels <= 3) return panels;
    if (sizes.length > 1 && sizes.at(-1) <= 4) return sizes.at(-1);
    return panels > 4 && panels <= 8 && sizes.length === 1 ? panels : Math.ceil(Math.sqrt(panels));
  }

  // Where everything stands, in pixels. `room`: how much larger than in a column of 690 pixels things may be.
  function geometry(layout, room, paint, narrow, named, alone) {
    const { kind, panels, rows, columns } = layout;
    const clamp = (v, low, high) => Math.max(low, Math.min(high, v));
    if (kind === "bars") {
      const high = rows <= 8 ? 24 : rows <= 16 ? 18 : clamp(Math.floor(288 / rows), 8, 18);
      const wide = Math.round((panels > 1 ? 72 : 88) * (narrow ? 1 : room));
      return { kind, across: panels, wide, high, width: panels * (wide + GAP) - GAP, height: rows * high + (named ? LABEL : 0), top: named ? LABEL : 0, stepX: wide + GAP, stepY: rows * high + (named ? LABEL : 0) };
    }
    const row = beside(layout);
    const across = alone ? panels : narrow && row > 4 ? Math.ceil(row / 2) : narrow && panels === 4 && !paint ? 4 : row;
    let side = kind === "grid" ? (panels === 1 ? 112 : panels <= 3 ? 96 : panels <= 4 ? 76 : row > 4 ? 44 : 60) : panels === 1 ? 160 : 84;
    if (paint && columns > 8) side *= 1.3;
    if (kind === "matrix" && rows === 1) {
      // A vector below the panels of its channels: each number below its own.
      const wide = narrow ? Math.min(42, Math.floor(340 / columns)) : 4 * Math.floor((44 * room) / 4) + GAP;
      return { kind, across: 1, wide, high: 24, width: columns * wide, height: 24, top: 0, stepX: columns * wide + GAP, stepY: 28 };
    }
    // On a phone what is painted and what follows from it fit on one screen.
    side = narrow ? Math.min((340 - (across - 1) * GAP) / across, panels === 1 ? 200 : 108) : side * room;
    let wide = clamp(Math.floor(side / columns), 4, narrow ? 44 : kind === "grid" ? 26 : 40);
    let high = kind === "grid" ? wide : clamp(Math.floor(side / rows), 4, 22);
    if (kind === "matrix" && rows === columns) wide = high = Math.min(wide, high);
    const top = panels > 1 ? LABEL : 0;
    const [stepX, stepY] = [columns * wide + GAP, rows * high + top + 4];
    const down = Math.ceil(panels / across);
    return { kind, across, wide, high, width: across * stepX - GAP, height: down * stepY - 4, top, stepX, stepY };
  }

  class View {
    constructor(drawn, canvas, room, paint, narrow, alone) {
      Object.assign(this, { drawn, canvas, layout: drawn.layout });
      this.place = geometry(drawn.layout, room, paint, narrow, drawn.panels.length > 0, alone);
      const ratio = Math.max(1, window.devicePixelRatio || 1);
      canvas.width = Math.ceil((this.place.width + 2) * ratio);
      canvas.height = Math.ceil((this.place.height + 2) * ratio);
      canvas.style.width = `${this.place.width + 2}px`;
      canvas.style.aspectRatio = `${this.place.width + 2} / ${this.place.height + 2}`;
      this.context = canvas.getContext("2d");
      this.context.setTransform(ratio, 0, 0, ratio, ratio, ratio);
    }

    // Panel, row and column of a number, and back.
    where(at) {
      const { rows, columns, panels, last } = this.layout;
      const [panel, rest] = last ? [at % panels, Math.floor(at / panels)] : [Math.floor(at / (rows * columns)), at % (rows * columns)];
      return [panel, Math.floor(rest / columns), rest % columns];
    }
    at(panel, row, column) {
      const { rows, columns, panels, last } = this.layout;
      return last ? (row * columns + column) * panels + panel : (panel * rows + row) * columns + column;
    }

    // A panel's number: of several axes, that of each.
    label(panel) {
      if (this.drawn.panels[panel]) return this.drawn.panels[panel];
      const sizes = this.layout.last ? [] : this.layout.axes.slice(0, -2).flatMap(([, each]) => each);
      if (sizes.length < 2) return String(panel + 1);
      const found = [];
      for (let i = sizes.length - 1, rest = panel; i >= 0; rest = Math.floor(rest / sizes[i--])) found.unshift((rest % sizes[i]) + 1);
      return found.join(",");
    }

    corner(panel) {
      return this.box(this.at(panel, 0, 0));
    }
    box(at) {
      const [panel, row, column] = this.where(at);
      const { across, wide, high, top, stepX, stepY } = this.place;
      return [(panel % across) * stepX + column * wide, Math.floor(panel / across) * stepY + top + row * high, wide, high];
    }

    // The number under a point of the canvas, or -1.
    hit(event) {
      const frame = this.canvas.getBoundingClientRect();
      const scale = (this.place.width + 2) / frame.width;
      const [x, y] = [(event.clientX - frame.left) * scale - 1, (event.clientY - frame.top) * scale - 1];
      const { across, wide, high, top, stepX, stepY } = this.place;
      const { panels, rows, columns } = this.layout;
      const [px, py] = [Math.floor(x / stepX), Math.floor(y / stepY)];
      const [column, row] = [Math.floor((x - px * stepX) / wide), Math.floor((y - py * stepY - top) / high)];
      const panel = py * across + px;
      const inside = px >= 0 && px < across && panel >= 0 && panel < panels && row >= 0 && row < rows && column >= 0 && column < columns;
      return inside ? this.at(panel, row, column) : -1;
    }

    // The value that a point on a bar stands for.
    value(event, at) {
      const frame = this.canvas.getBoundingClientRect();
      const [left, , wide] = this.box(at);
      const { low, high } = this.drawn;
      const reach = Math.max(Math.abs(low), Math.abs(high));
      const share = ((event.clientX - frame.left) * (this.place.width + 2)) / frame.width - 1 - left;
      const value = low < 0 ? ((2 * share) / (wide - ROOM) - 1) * reach : (share / (wide - ROOM)) * reach;
      return Math.round(Math.max(low, Math.min(high, value)) * 100) / 100;
    }

    // `hot`: how strongly each number moves, from 0 to 1, or null; `at`: the pointed number or -1.
    draw(values, colours, hot, at, marks) {
      const g = this.context;
      const { rows, columns, panels } = this.layout;
      g.clearRect(-1, -1, this.place.width + 2, this.place.height + 2);
      g.font = "11px system-ui, sans-serif";
      g.textBaseline = "middle";
      if (this.place.top) {
        g.fillStyle = colours.soft;
        g.textAlign = "left";
        for (let p = 0; p < panels; p++) {
          const [x, y] = this.corner(p);
          g.fillText(this.label(p), x, y - LABEL / 2);
        }
      }
      for (let k = 0; k < values.length; k++) this.number(values[k], this.box(k), colours, k);
      if (this.place.kind !== "bars") {
        g.strokeStyle = colours.line;
        g.lineWidth = 1;
        for (let p = 0; p < panels; p++) {
          const [x, y] = this.corner(p);
          g.strokeRect(x - 0.5, y - 0.5, columns * this.place.wide + 1, rows * this.place.high + 1);
        }
      }
      if (marks) this.marked(marks, colours);
      if (hot)
        for (let k = 0; k < values.length; k++)
          if (hot[k] > 0) {
            const [x, y, w, h] = this.box(k);
            // Whether a number moves is seen at once, and how strongly at a second look.
            g.fillStyle = g.strokeStyle = colours.hot;
            if (Math.min(w, h) < 16) {
              // A dot, the larger the stronger: the number's own colour stays to be seen.
              const side = Math.max(2.5, (0.32 + 0.4 * hot[k]) * Math.min(w, h));
              g.fillRect(x + (w - side) / 2, y + (h - side) / 2, side, side);
              continue;
            }
            g.lineWidth = 1.5 + 1.5 * hot[k];
            const inset = g.lineWidth / 2;
            g.strokeRect(x + inset, y + inset, w - 2 * inset, h - 2 * inset);
          }
      if (at >= 0) {
        const [x, y, w, h] = this.box(at);
        g.strokeStyle = colours.ink;
        g.lineWidth = 2;
        g.strokeRect(x, y, w, h);
      }
    }

    number(value, [x, y, w, h], colours, k) {
      const g = this.context;
      const { low, high } = this.drawn;
      const reach = Math.max(Math.abs(low), Math.abs(high)) || 1;
      const share = Math.max(-1, Math.min(1, value / reach)) || 0;
      const colour = colours[this.drawn.role];
      if (this.place.kind === "bars") {
        const text = explain.number(value);
        const room = w - ROOM;
        const zero = low < 0 ? room / 2 : 0;
        const length = share * (low < 0 ? room / 2 : room);
        g.fillStyle = mix(colours.back, colours.inkParts, 0.09);
        g.fillRect(x, y + 2, room, h - 4);
        g.fillStyle = css(share < 0 ? colours.negative : colour);
        g.fillRect(x + zero + Math.min(0, length), y + 2, Math.max(1, Math.abs(length)), h - 4);
        if (h >= 12) {
          g.fillStyle = colours.ink;
          g.textAlign = "right";
          g.fillText(text, x + w - 2, y + h / 2 + 0.5);
        }
        return;
      }
      const share2 = Math.abs(share);
      g.fillStyle = mix(colours.back, share < 0 ? colours.negative : colour, share2);
      g.fillRect(x, y, w, h);
      if (w >= 30 && h >= 12) {
        const ground = blend(colours.back, share < 0 ? colours.negative : colour, share2);
        const ink = contrast(colours.inkParts, ground) >= contrast(colours.back, ground) ? colours.inkParts : colours.back;
        g.fillStyle = css(ink);
        g.textAlign = "center";
        const digits = w < 38 && value < 0 ? 1 : 2;
        g.fillText((Math.abs(value) < 9.995 ? value.toFixed(digits) : value.toPrecision(3)).replace("-", "−"), x + w / 2, y + h / 2 + 0.5);
      }
    }

    // Places on this tensor, as (x, y) from −1 to 1 at the outer edges: the window that they form, and each of them.
    marked({ places, rows, columns, at }, colours) {
      const g = this.context;
      const { panels } = this.layout;
      for (let p = 0; p < panels; p++) {
        const [left, top] = this.corner(p);
        const [w, h] = [this.layout.columns * this.place.wide, this.layout.rows * this.place.high];
        const point = (k) => [left + ((places[2 * k] + 1) / 2) * w, top + ((places[2 * k + 1] + 1) / 2) * h];
        g.save();
        g.beginPath();
        g.rect(left - 3, top - 3, w + 6, h + 6);
        g.clip();
        g.strokeStyle = css(colours.map);
        g.fillStyle = g.strokeStyle;
        g.lineWidth = 2;
        g.beginPath();
        [0, columns - 1, rows * columns - 1, (rows - 1) * columns].forEach((k, i) => g[i ? "lineTo" : "moveTo"](...point(k)));
        g.closePath();
        g.stroke();
        for (let k = 0; k < rows * columns; k++) {
          const [x, y] = point(k);
          g.beginPath();
          g.arc(x, y, k === at ? 4 : 1.6, 0, 7);
          g.fill();
        }
        g.restore();
      }
    }
  }

  return { View, parse };
})();
