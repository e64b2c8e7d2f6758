// What is wider than its box. A formula is set smaller if a little is enough. Whatever then scrolls sideways becomes a stop
// for the tab key, and says by `data-more` on which sides it goes on.
(() => {
  const FORMULAS = 'div.math mjx-container[display="true"]';
  const BOXES = `${FORMULAS}, .scroll, .cell_output > *, .bd-article pre, .pst-scrollable-table-container, dt.sig`;
  const SMALLEST = 0.75;

  const fit = () => {
    const formulas = [...document.querySelectorAll(FORMULAS)];
    for (const formula of formulas) formula.style.removeProperty("--fit");
    const shares = formulas.map((formula) => (formula.clientWidth - 1) / formula.scrollWidth);
    formulas.forEach((formula, i) => {
      if (shares[i] > 0 && formula.scrollWidth > formula.clientWidth) {
        formula.style.setProperty("--fit", Math.max(SMALLEST, shares[i]).toFixed(3));
      }
    });
  };

  const sides = ({ currentTarget: box }) => {
    const before = box.scrollLeft > 1, after = box.scrollLeft < box.scrollWidth - box.clientWidth - 1;
    box.dataset.more = [before && "left", after && "right"].filter(Boolean).join(" ");
  };

  // A formula has no role of its own to carry a name. Two of a page are not called the same.
  const name = (box) => {
    if (!box.matches(FORMULAS)) return;
    const number = box.parentElement.querySelector(".eqno")?.textContent.match(/\(.*?\)/)?.[0];
    box.setAttribute("role", "region");
    const place = [...document.querySelectorAll(FORMULAS)].indexOf(box) + 1;
    box.setAttribute("aria-label", `Formula ${number ?? `${place} on this page`}, scrolls sideways`);
  };

  const mark = () => {
    fit();
    for (const box of document.querySelectorAll(BOXES)) {
      if (box.scrollWidth > box.clientWidth + 1) {
        if (!("more" in box.dataset)) {
          box.tabIndex = 0;
          name(box);
          box.addEventListener("scroll", sides, { passive: true });
        }
        sides({ currentTarget: box });
      } else if ("more" in box.dataset) {
        for (const attribute of ["tabindex", "role", "aria-label", "data-more"]) box.removeAttribute(attribute);
        box.removeEventListener("scroll", sides);
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


// A link to an exercise opens it: the browser opens what lies around its target, but not the target itself.
(() => {
  const open = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target instanceof HTMLDetailsElement) target.open = true;
  };
  addEventListener("hashchange", open);
  open();
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
