// A box that scrolls sideways must be reachable by keyboard: it becomes a stop for the tab key while it scrolls.
(() => {
  const BOXES = ".math mjx-container, .scroll, .cell_output > *, .bd-article pre, .pst-scrollable-table-container, dt.sig";

  const mark = () => {
    for (const box of document.querySelectorAll(BOXES)) {
      if (box.scrollWidth > box.clientWidth + 1) {
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
