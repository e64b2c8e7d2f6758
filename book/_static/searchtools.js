// The search page, in place of Sphinx's script of this name: it finds sections, quotes them, and leads to them. There
// sphinx_highlight.js marks the words. The index (book/_ext/attention_book/search.py) calls `Search.setIndex`.
const Search = (() => {
  const BATCH = 20, QUOTED = 220, OF_A_PAGE = 3;
  const HAN = /\p{Script=Han}/u, WORDS = /\p{Script=Han}+|[a-z0-9_À-ɏͰ-Ͽ]+/gu;
  const LETTER = "[a-z0-9_À-ɏͰ-Ͽ]";
  const stems = new Map();
  let index = [];

  const stem = (word) => {
    if (!stems.has(word)) stems.set(word, new Stemmer().stemWord(word));
    return stems.get(word);
  };

  // A word of the query, as a function that lists where it stands in a text: [from, to]. English words are found in all
  // their forms; names of code by their beginning; short words and Chinese ones as they are.
  const finder = (word) => {
    if (HAN.test(word)) return (text) => [...text.matchAll(new RegExp(word, "gu"))].map(place);
    if (word.length < 4) return (text) => [...text.matchAll(new RegExp(`(?<!${LETTER})${word}(?!${LETTER})`, "gu"))].map(place);
    const root = stem(word);
    let shared = 0;
    while (shared < root.length && root[shared] === word[shared]) shared += 1;
    const pattern = new RegExp(`(?<!${LETTER})${word.slice(0, Math.max(shared, 3))}${LETTER}*`, "gu");
    const fits = ([found]) => found.startsWith(word) || stem(found) === root;
    return (text) => [...text.matchAll(pattern)].filter(fits).map(place);
  };
  const place = (match) => [match.index, match.index + match[0].length];

  const parse = (query) => {
    const words = [...new Set(query.toLowerCase().match(WORDS) ?? [])];
    const telling = words.filter((word) => !stopwords.includes(word));
    return telling.length ? telling : words;
  };

  // Chinese is written without spaces: what is found nowhere as a whole is looked for in pairs of signs.
  const split = (word) => {
    if (!HAN.test(word) || word.length < 3 || index.some(({ all }) => all.includes(word))) return [word];
    return [...word].slice(1).map((_, i) => word.slice(i, i + 2));
  };

  const find = (query) => {
    const words = parse(query).flatMap(split), phrase = query.toLowerCase().trim();
    if (!words.length) return { found: [], whole: true };
    const finders = words.map(finder);
    const hits = finders.map((places) => index.map(({ all }) => places(all)));
    const weights = hits.map((of) => Math.log(1 + index.length / (1 + of.filter((one) => one.length).length)));
    const judged = index.map((section, i) => {
      let score = 0, matched = 0;
      hits.forEach((of, w) => {
        if (!of[i].length) return;
        matched += 1;
        const inTitle = of[i].some(([, to]) => to <= section.head), inOwn = finders[w](section.title.toLowerCase()).length;
        const said = of[i].filter(([, to]) => to <= section.said).length, coded = (of[i].length - said) / 4;
        score += weights[w] * (Math.log2(1 + said + coded) + (inOwn ? 6 : inTitle ? 1 : 0));
      });
      if (section.all.includes(phrase)) score += 3;
      if (section.title.toLowerCase() === phrase) score += 30;
      if (section.page.startsWith("book/api/")) score /= 2; // signatures come after what explains them
      return { section, score, matched, words };
    });
    const most = Math.max(...judged.map(({ matched }) => matched));
    const found = most ? judged.filter(({ matched }) => matched === most).sort((a, b) => b.score - a.score) : [];
    // A page that is about nothing else would hide all others: its best sections stand for it.
    const listed = new Map();
    const few = found.filter(({ section: { page } }) => {
      listed.set(page, (listed.get(page) ?? 0) + 1);
      return listed.get(page) <= OF_A_PAGE;
    });
    return { found: few, whole: most === words.length };
  };

  const marked = (text, words) => {
    const line = document.createDocumentFragment(), lower = text.toLowerCase();
    const places = words.flatMap((word) => finder(word)(lower)).sort(([a], [b]) => a - b);
    let at = 0;
    for (const [from, to] of places) {
      if (from < at) continue;
      line.append(text.slice(at, from));
      line.appendChild(document.createElement("mark")).append(text.slice(from, to));
      at = to;
    }
    line.append(text.slice(at));
    return line;
  };

  // The part of a text in which most of the words stand, from the beginning of a sentence where one is near. Where they
  // stand in code alone, the text's beginning.
  const quote = (text, words) => {
    const lower = text.toLowerCase();
    const places = words.flatMap((word, w) => finder(word)(lower).map(([from]) => [from, w])).sort(([a], [b]) => a - b);
    let best = 0, most = 0;
    places.forEach(([from], i) => {
      const near = new Set(places.slice(i, i + 40).filter(([other]) => other < from + QUOTED / 2).map(([, w]) => w)).size;
      if (near > most) [best, most] = [from, near];
    });
    const before = [...text.slice(0, best).matchAll(/[.:?!] (?=\p{Lu})/gu)].at(-1);
    const sentence = before ? before.index + 2 : 0;
    let from = best - sentence <= QUOTED / 2 ? sentence : text.lastIndexOf(" ", best - QUOTED / 3) + 1;
    const cut = from > 0 && from !== sentence;
    let to = text.length > from + QUOTED ? text.lastIndexOf(" ", from + QUOTED) : text.length;
    if (to <= best) [from, to] = [best, best + QUOTED]; // no spaces: Chinese
    return `${cut ? "… " : ""}${text.slice(from, to)}${to < text.length ? " …" : ""}`;
  };

  const entry = ({ section, words }) => {
    const item = document.createElement("li"), link = document.createElement("a");
    const forms = words.flatMap((word) => finder(word)(section.all).map(([from, to]) => section.all.slice(from, to)));
    const root = document.documentElement.dataset.content_root;
    const sought = new URLSearchParams({ highlight: [...new Set(forms)].slice(0, 12).join(" ") });
    link.href = `${root}${section.page}.html?${sought}${section.id && `#${section.id}`}`;
    link.append(marked(section.title, words));
    item.append(link);
    if (section.title !== section.around) {
      const around = document.createElement("span");
      around.className = "around";
      around.append(section.around);
      item.append(" ", around);
    }
    if (section.text) {
      const context = item.appendChild(document.createElement("p"));
      context.className = "context";
      context.append(marked(quote(section.text, words), words));
    }
    return item;
  };

  const show = (query) => {
    const out = document.getElementById("search-results"), { found, whole } = find(query);
    const status = document.createElement("p"), list = document.createElement("ul"), more = document.createElement("button");
    status.className = "search-summary";
    status.setAttribute("role", "status");
    list.className = "search";
    more.className = "btn btn-outline-primary";
    more.textContent = "More sections";
    const number = found.length === 1 ? "One section" : `${found.length || "No"} sections`;
    status.textContent = whole || !found.length ? `${number} found.` : `No section has all of these words. ${number} with some of them:`;
    let shown = 0;
    more.addEventListener("click", () => {
      const batch = found.slice(shown, shown + BATCH).map(entry);
      list.append(...batch);
      shown += BATCH;
      more.hidden = shown >= found.length;
      if (shown > BATCH) batch[0].querySelector("a").focus();
    });
    out.replaceChildren(status, list, more);
    more.click();
  };

  const setIndex = ({ pages }) => {
    index = pages.flatMap(([page, sections]) => {
      const around = sections[0]?.[1] ?? "";
      return sections.map(([id, title, text, others]) => {
        const head = `${title} ${id ? around : ""}`;
        const prose = `${head} ${text}`;
        return { page, id, title, text, around, head: head.length, said: prose.length, all: `${prose} ${others}`.toLowerCase() };
      });
    });
    const begin = () => {
      const query = new URLSearchParams(location.search).get("q") ?? "";
      for (const field of document.querySelectorAll('input[name="q"]')) field.value = query;
      if (query.trim()) show(query);
    };
    if (document.readyState === "loading") addEventListener("DOMContentLoaded", begin);
    else begin();
  };

  return { setIndex };
})();
