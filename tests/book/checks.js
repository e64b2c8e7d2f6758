// What a page says of itself; tests/book/browsing.py asks. Each function returns what is wrong.
({
  // Every math element holds one typeset formula, and none shows an error.
  async formulas() {
    await window.MathJax?.startup?.promise;
    const all = [...document.querySelectorAll("span.math, div.math")];
    const bare = all.filter((math) => math.querySelectorAll("mjx-container").length !== 1);
    const wrong = [...document.querySelectorAll("mjx-merror, mjx-container [style*='color: red']")];
    return [
      ...bare.map((math) => `a formula is not rendered: ${math.textContent.trim().slice(0, 60)}`),
      ...wrong.map((error) => `a formula has an error: ${error.closest("mjx-container").textContent.slice(0, 60)}`),
    ];
  },

  // Nothing sticks out of the window, but what lies in a box that scrolls sideways itself, or in a drawer.
  overflow() {
    const width = document.documentElement.clientWidth;
    const boxed = (node) => {
      for (let up = node.parentElement; up && up !== document.body; up = up.parentElement)
        if (["auto", "scroll"].includes(getComputedStyle(up).overflowX)) return true;
      return Boolean(node.closest("[class*=bd-sidebar]"));
    };
    const out = [...document.querySelectorAll("main *")].filter((node) => {
      const box = node.getBoundingClientRect();
      const seen = box.width > 1 && box.height > 1 && !node.closest("mjx-assistive-mml");
      return seen && box.right > width + 1 && !boxed(node);
    });
    const found = out.slice(0, 3).map((node) => `${node.tagName} ${node.className} ${node.textContent.slice(0, 40)}`);
    const page = document.scrollingElement.scrollWidth;
    if (page > width) found.push(`the page, which is ${page} px wide`);
    return found.map((what) => `sticks out at ${width} px: ${what}`);
  },

  // Running text has a contrast of at least 7 (by the formula of WCAG), and figures a face that fits the page: their own or white.
  readable() {
    const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
    const light = (colour) => {
      const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
      const [r, g, b] = numbers(colour).map((v) => linear(v / 255));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (node) => {
      for (let up = node; up; up = up.parentElement) {
        const colour = getComputedStyle(up).backgroundColor;
        if (numbers(colour).length < 4 || numbers(colour)[3] > 0) return colour;
      }
      return "rgb(255, 255, 255)";
    };
    const article = document.querySelector("article");
    if (!article) return [];
    const ground = light(behind(article));
    const [more, less] = [light(getComputedStyle(article).color), ground].sort((x, y) => y - x);
    const contrast = (more + 0.05) / (less + 0.05);
    const dark = document.documentElement.dataset.theme === "dark";
    const figures = [...article.querySelectorAll("img.figure-face")].filter((figure) => figure.checkVisibility());
    const clear = (figure) => getComputedStyle(figure).backgroundColor === "rgba(0, 0, 0, 0)";
    const fits = (figure) =>
      figure.matches(".face-light, .face-dark")
        ? figure.classList.contains(dark ? "face-dark" : "face-light") && clear(figure)
        : !clear(figure) && light(getComputedStyle(figure).backgroundColor) > 0.99;
    return [
      ...(contrast < 7 ? [`text has a contrast of ${contrast.toFixed(1)}`] : []),
      ...(dark !== ground < 0.2 ? ["the page has the wrong ground"] : []),
      ...figures.filter((figure) => !fits(figure)).map(() => "a figure has no face for this page"),
    ];
  },

  // One field to search with, or one button that opens one.
  search() {
    if (!document.querySelector("article")) return [];
    const all = [...document.querySelectorAll("input[type=search], .search-button__button")];
    const visible = all.filter((node) => node.checkVisibility({ visibilityProperty: true, opacityProperty: true }));
    return visible.length === 1 ? [] : [`${visible.length} visible search fields and buttons, not one`];
  },

  // Code and printed text wrap. A formula that is wider than its box says so: it fades out, has a name, is a tab stop.
  wide() {
    const over = (node) => node.clientHeight > 0 && node.scrollWidth > node.clientWidth + 1;
    const told = (box) => box.dataset.more && box.tabIndex === 0 && box.getAttribute("role") === "region" && box.ariaLabel;
    const text = [...document.querySelectorAll("article pre")].filter(over);
    const formulas = [...document.querySelectorAll('mjx-container[display="true"]')].filter(over);
    return [
      ...text.map((node) => `text scrolls sideways: ${node.textContent.slice(0, 60)}`),
      ...formulas.filter((node) => !told(node)).map((node) => `a formula is cut off: ${node.textContent.slice(0, 60)}`),
    ];
  },

  // What scrolls sideways can be reached by keyboard.
  keyboard() {
    return [...document.querySelectorAll("article *")]
      .filter((node) => ["auto", "scroll"].includes(getComputedStyle(node).overflowX))
      .filter((node) => node.clientHeight > 0 && node.scrollWidth > node.clientWidth + 1)
      .filter((node) => node.tabIndex < 0 && !node.querySelector("a, button, [tabindex='0']"))
      .map((node) => `scrolls, and no key reaches it: ${node.outerHTML.slice(0, 100)}`);
  },
});
