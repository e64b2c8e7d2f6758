// The explorer: one position of a picture looks, and where it looks is laid over the picture.

// What the positions hold, as text over the picture, which grows with it.
const written = (words, columns) => {
  const layer = make("div", { class: "attention-cells", "aria-hidden": "true" }, ...words.map((word) => make("span", {}, word)));
  layer.style.setProperty("--columns", columns);
  layer.style.setProperty("--letters", Math.max(...words.map((word) => word.length)));
  return layer;
};

start((data, about) => {
  const [rows, columns] = data.grid;
  const [keyRows, keyColumns] = data.keys;
  const same = rows === keyRows && columns === keyColumns;
  const count = keyRows * keyColumns;
  const palette = bytes(data.palette);
  const maps = data.maps.map((map) => ({ ...map, weights: bytes(map.weights) }));
  const colour = (level) => palette.subarray(4 * level, 4 * level + 4);

  // What is seen

  const [height, width] = data.size;
  const pixels = bytes(data.picture);
  const below = canvas(height, width, { "aria-hidden": "true" });
  paint(below, (at) => [pixels[at], pixels[at], pixels[at], 255]);
  const above = canvas(keyRows, keyColumns, { "aria-hidden": "true" });
  above.style.imageRendering = "pixelated";
  const target = make("span", { class: "attention-target", "aria-hidden": "true" });
  const query = make("span", { class: "attention-query", "aria-hidden": "true" });
  const stage = make("div", {
    class: "attention-stage",
    tabindex: "0",
    role: "application",
    "aria-roledescription": "explorer",
    "aria-label": `${about} ${rows} by ${columns} positions: choose one by arrow keys, pin it by Enter.`.trim(),
  });
  stage.append(below, above, ...(data.cells ? [written(data.cells, columns)] : []), target, query);
  stage.style.aspectRatio = `${width} / ${height}`;
  const wide = Math.max(22 * Math.min(1, width / height), data.cells ? 1.9 * columns : 0); // room to read what cells hold
  stage.style.width = `min(100%, ${wide.toFixed(2)}rem)`;

  const says = make("p", { class: "attention-says", role: "status" });
  const scale = canvas(1, 256, { "aria-hidden": "true" });
  paint(scale, colour);
  const most = make("span");
  const legend = make(
    "div",
    { class: "attention-legend" },
    make("p", {}, make("span", { class: "attention-query" }), " the position that looks"),
    make("p", {}, make("span", { class: "attention-target" }), " where it looks most"),
    make("p", {}, "0 ", scale, " ", most)
  );
  const fixed = make("input", { type: "checkbox" });
  const scaling = make("div", { class: "attention-choice" }, make("label", {}, fixed, " same scale everywhere"));
  const help = make("p", { class: "attention-help" });
  help.textContent =
    "Move over the picture, tap it, or step by arrow keys. A click or Enter pins the position, Escape lets it go. " +
    "Rows and columns count from 0, at the upper left.";

  // What is said

  const few = (value) => String(Number(value.toPrecision(value >= 100 ? 3 : 2)));
  const place = (at, across) => `row ${Math.floor(at / across)}, column ${at % across}`;
  const number = (map, value) => (map.shares ? `${few(100 * value)}%` : few(value));
  const weight = (map, value) => (map.shares ? "" : "a weight of ") + number(map, value);

  const empty = (at) => data.cells !== null && data.cells[at] === "";
  const holds = (at) => (data.cells ? ` (${data.cells[at] || "empty"})` : "");

  const told = (map, at) => {
    const peak = map.peaks[at];
    if (peak === 0) return "attends to nothing: all its weights are 0.";
    if (map.times[at] < 1.005) return `attends to all ${count} positions alike (${weight(map, peak)} each).`;
    const where = map.at[at];
    const itself = same && where === at ? "itself" : `${same ? "" : "key "}${place(where, keyColumns)}${same ? holds(where) : ""}`;
    const usual = map.shares ? `a uniform map gives ${number(map, 1 / count)}` : `the mean is ${few(peak / map.times[at])}`;
    const half = map.half[at];
    return (
      `attends most to ${itself}: ${weight(map, peak)}${map.shares ? " of the weight" : ""}; ${usual}. ` +
      `${half} of ${count} positions ${half === 1 ? "holds" : "hold"} half of its weight.`
    );
  };

  // What happens

  let at = data.start;
  let map = maps[0];
  let pinned = false;

  const mark = (node, index, down, across) => {
    node.style.left = `${(100 * ((index % across) + 0.5)) / across}%`;
    node.style.top = `${(100 * (Math.floor(index / across) + 0.5)) / down}%`;
    node.style.setProperty("--wide", `${100 / across}%`);
    node.style.setProperty("--high", `${100 / down}%`);
  };

  const draw = () => {
    const row = map.weights.subarray(at * count, (at + 1) * count);
    const top = fixed.checked ? Math.max(...map.peaks) : map.peaks[at];
    const nothing = empty(at);
    const factor = nothing || top === 0 ? 0 : map.peaks[at] / top;
    paint(above, (index) => colour(Math.round(row[index] * factor)));
    mark(query, at, rows, columns);
    mark(target, map.at[at], keyRows, keyColumns);
    target.hidden = nothing || map.peaks[at] === 0 || map.times[at] < 1.005;
    stage.classList.toggle("attention-pinned", pinned);
    const where = `R${place(at, columns).slice(1)}${nothing ? "" : holds(at)}${pinned ? ", pinned" : ""}`;
    says.textContent = nothing ? `${where}: empty.` : `${where}: ${told(map, at)}`;
    most.textContent = number(map, top);
  };
  fixed.addEventListener("change", draw);

  const look = (index, pin = pinned) => {
    if (index === at && pin === pinned) return;
    at = index;
    pinned = pin;
    draw();
  };

  const under = (event) => {
    const box = stage.getBoundingClientRect();
    const cell = (share, size) => Math.min(size - 1, Math.max(0, Math.floor(share * size)));
    const row = cell((event.clientY - box.top) / box.height, rows);
    return row * columns + cell((event.clientX - box.left) / box.width, columns);
  };

  let finger = false;
  stage.addEventListener("pointerdown", (event) => {
    finger = event.pointerType === "touch";
    if (finger) look(under(event), false);
  });
  stage.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch" || !pinned) look(under(event));
  });
  stage.addEventListener("click", (event) => {
    const index = under(event);
    if (!finger) look(index, !(pinned && index === at)); // a tap stays anyway, until the next
  });

  const keys = {
    ArrowLeft: (row, column) => [row, column - 1],
    ArrowRight: (row, column) => [row, column + 1],
    ArrowUp: (row, column) => [row - 1, column],
    ArrowDown: (row, column) => [row + 1, column],
    Home: (row, column, all) => [all ? 0 : row, 0],
    End: (row, column, all) => [all ? rows - 1 : row, columns - 1],
  };
  stage.addEventListener("keydown", (event) => {
    if (event.altKey || event.metaKey) return;
    if (event.key in keys) {
      const [row, column] = keys[event.key](Math.floor(at / columns), at % columns, event.ctrlKey);
      if (row >= 0 && row < rows && column >= 0 && column < columns) look(row * columns + column);
    } else if (event.key === "Enter" || event.key === " ") look(at, !pinned);
    else if (event.key === "Escape") look(at, false);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  // Radio buttons of one group share a name; no other output on the page may have it.
  const choice = make("div", { class: "attention-choice", role: "radiogroup", "aria-label": "Attention map" });
  const name = `attention-${key}-${document.querySelectorAll("[data-ready]").length}`;
  for (const each of maps.length > 1 ? maps : []) {
    const button = make("input", { type: "radio", name, ...(each === map ? { checked: "" } : {}) });
    button.addEventListener("change", () => {
      map = each;
      draw();
    });
    choice.append(make("label", {}, button, ` ${each.name}`));
  }

  draw();
  const side = make("div", { class: "attention-side" }, says, ...(maps.length > 1 ? [choice] : []), scaling, legend, help);
  return make("div", { class: "attention-body" }, stage, side);
});
