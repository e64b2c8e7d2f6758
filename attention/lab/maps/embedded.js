// What the explorer and the player share. Python puts it before either, in one function that knows its key.

const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};

// Unsigned bytes from their text.
const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

// A canvas of so many pixels; the style sheet stretches it. Few pixels are shown as squares.
const canvas = (height, width, attributes = {}) => {
  const node = make("canvas", { height, width, ...attributes });
  if (Math.max(height, width) <= 64) node.style.imageRendering = "pixelated";
  return node;
};

// Fill a canvas: `colour` gives red, green, blue and opacity of each pixel, row by row.
const paint = (node, colour) => {
  const context = node.getContext("2d");
  const image = context.createImageData(node.width, node.height);
  for (let at = 0; at < node.width * node.height; at++) image.data.set(colour(at), 4 * at);
  context.putImageData(image, 0, 0);
};

// Bring every output with this key to life that is not yet: a page may hold it twice, or get it again.
const start = (build) => {
  for (const root of document.querySelectorAll(`.attention-figure[data-key="${key}"]:not([data-ready])`)) {
    const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
    const body = build(data, root.querySelector(".attention-about")?.textContent ?? "");
    root.querySelector(".attention-instead").hidden = true;
    root.dataset.ready = "";
    root.append(body);
  }
};
