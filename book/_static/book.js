// A box that scrolls sideways must be reachable by keyboard: it becomes a stop for the tab key while it scrolls.
(() => {
  const BOXES = "div.math mjx-container, .scroll, .cell_output > *, .bd-article pre, .pst-scrollable-table-container, dt.sig";

  const mark = () => {
    for (const box of document.querySelectorAll(BOXES)) {
      if (box.scrollWidth > box.clientWidth) {
        box.tabIndex = 0;
        box.dataset.scrolls = "";
      } else if ("scrolls" in box.dataset) {
        box.removeAttribute("tabindex");
        delete box.dataset.scrolls;
      }
    }
  };

  addEventListener("load", async () => {
    await window.MathJax?.startup?.promise;
    mark();
    addEventListener("resize", mark);
    document.addEventListener("toggle", mark, true);
  });
})();

// The search page quotes what an article says: no buttons, no contents, and space between the parts.
(() => {
  if (typeof Search === "undefined") return;
  const read = Search.htmlToText;
  Search.htmlToText = (page, anchor) => {
    const parsed = new DOMParser().parseFromString(page, "text/html");
    const around = ".bd-header-article, #jb-print-docs-body, .prev-next-footer, .citation > .label";
    for (const part of parsed.querySelectorAll(around)) part.remove();
    for (const part of parsed.querySelectorAll("h1, h2, h3, h4, p, dt, dd, li, td, th, pre")) part.append(" ");
    return read(parsed.documentElement.outerHTML, anchor).replace(/\s+/g, " ").trim();
  };
})();

// Paper is white: the dark mode is left while a page is printed.
(() => {
  const root = document.documentElement;
  let before;
  addEventListener("beforeprint", () => {
    before = root.dataset.theme;
    root.dataset.theme = "light";
  });
  addEventListener("afterprint", () => {
    root.dataset.theme = before;
  });
})();
