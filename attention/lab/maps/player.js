// The player: the frames of a few pictures, one after the other when asked, the first one to begin with.
start((data, about) => {
  const [count, across, channels, height, width] = data.shape;
  const frames = bytes(data.frames);
  const area = height * width;

  // What is seen

  const pictures = Array.from({ length: across }, (_, index) =>
    canvas(height, width, { role: "img", "aria-label": data.labels?.[index] ?? `picture ${index + 1}` })
  );
  const strip = make("div", { class: "attention-strip" });
  strip.style.maxWidth = `${10.5 * across}rem`;
  strip.style.setProperty("--together", data.together);
  const parts = pictures.map((picture, index) =>
    make("div", {}, picture, ...(data.labels ? [make("span", { "aria-hidden": "true" }, data.labels[index])] : []))
  );
  for (let first = 0; first < across; first += data.together)
    strip.append(make("div", { class: "attention-group" }, ...parts.slice(first, first + data.together)));
  const says = make("p", { class: "attention-says", role: "status" });
  const button = make("button", { type: "button" });
  const slider = make("input", { type: "range", min: 0, max: count - 1, step: 1, "aria-label": "Frame" });
  const controls = make("div", { class: "attention-controls" }, button, slider);

  const draw = (frame) => {
    for (const [index, picture] of pictures.entries()) {
      const from = (frame * across + index) * channels * area;
      const value = (channel, at) => frames[from + (channels === 3 ? channel * area : 0) + at];
      paint(picture, (at) => [value(0, at), value(1, at), value(2, at), 255]);
    }
    slider.value = frame;
    slider.setAttribute("aria-valuetext", data.captions[frame]);
    says.textContent = `${data.captions[frame]} (frame ${frame + 1} of ${count})`;
  };

  // What happens

  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const pause = Math.min(400, Math.max(125, 8000 / count));
  let timer = 0;

  const name = () => {
    button.textContent = timer ? "Pause" : still.matches ? "Next frame" : "Play";
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    says.removeAttribute("aria-live");
    name();
  };
  const next = () => (Number(slider.value) + 1) % count;
  const step = () => {
    const last = next() === count - 1;
    if (last || !says.isConnected) stop(); // before the last caption is set, so that it is announced
    draw(next());
  };

  button.addEventListener("click", () => {
    if (timer) stop();
    else if (still.matches) draw(next());
    else {
      says.setAttribute("aria-live", "off"); // not every frame is to be read out
      timer = setInterval(step, pause);
      if (Number(slider.value) === count - 1) draw(0);
      name();
    }
  });
  slider.addEventListener("input", () => {
    stop();
    draw(Number(slider.value));
  });
  still.addEventListener("change", stop);

  draw(0);
  name();
  return make("div", { class: "attention-body attention-player", role: "group", "aria-label": about || "Animation" }, strip, says, controls);
});
