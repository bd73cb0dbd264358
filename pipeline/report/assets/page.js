"use strict";
// Draws the charts, switches the language, searches the dictionary. Nothing is loaded, and no
// datum becomes markup: texts are set as text.
(() => {
  const root = document.documentElement;
  const find = (id) => document.getElementById(id);
  const read = (id) => JSON.parse(find(id).textContent);
  const language = () => root.lang;
  const element = (name, text) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    return made;
  };

  // ---- charts
  const charts = read("charts");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const views = new Map();
  const tip = element("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.append(tip);

  function color(name) {
    return getComputedStyle(root).getPropertyValue("--" + name).trim();
  }

  // The specification with the colours of the scheme and the words of the language put in.
  function dressed(node) {
    if (typeof node === "string") return node.startsWith("$") ? color(node.slice(1)) : node;
    if (Array.isArray(node)) return node.map(dressed);
    if (node === null || typeof node !== "object") return node;
    if ("en" in node && "ja" in node) return node[language()];
    const made = {};
    for (const [key, value] of Object.entries(node)) {
      made[key] = key === "values" ? value : dressed(value);
    }
    return made;
  }

  function config() {
    const text = { labelColor: color("soft"), labelFontSize: 11, titleColor: color("soft") };
    return {
      background: null,
      font: getComputedStyle(document.body).fontFamily,
      view: { stroke: null },
      axis: { ...text, gridColor: color("line"), domainColor: color("line"), labelPadding: 6 },
      aria: false,
    };
  }

  function showTip(handler, event, item, value) {
    tip.hidden = !value;
    if (!value) return;
    const list = element("dl");
    for (const [name, text] of Object.entries(value)) {
      list.append(element("dt", name), element("dd", String(text)));
    }
    tip.replaceChildren(list);
    const room = 12;
    const box = tip.getBoundingClientRect();
    const left = Math.min(event.clientX + room, root.clientWidth - box.width - room);
    const below = event.clientY + room + box.height < root.clientHeight;
    tip.style.left = Math.max(left, room) + "px";
    tip.style.top = (below ? event.clientY + room : event.clientY - room - box.height) + "px";
  }

  async function draw(name) {
    const place = find("chart-" + name);
    if (!place || !place.clientWidth) return;
    const spec = {
      ...dressed(charts[name]),
      width: "container",
      autosize: { type: "fit-x", contains: "padding" },
    };
    const compiled = vegaLite.compile(spec, { config: config() }).spec;
    views.get(name)?.finalize();
    // Inside another element: Vega names its own container for those who hear the page.
    const inner = element("div");
    place.replaceChildren(inner);
    const view = new vega.View(vega.parse(compiled), {
      container: inner,
      renderer: "svg",
      hover: true,
    });
    view.tooltip(showTip);
    views.set(name, view);
    await view.runAsync();
  }

  // One at a time, so that the page answers meanwhile; a later call takes over from an earlier one.
  let turn = 0;
  async function drawAll() {
    const mine = ++turn;
    root.dataset.drawn = "";
    for (const name of Object.keys(charts)) {
      await draw(name);
      await new Promise((done) => setTimeout(done));
      if (mine !== turn) return;
    }
    root.dataset.drawn = "all";
  }
  dark.addEventListener("change", drawAll);

  // ---- language
  function remembered() {
    try {
      return localStorage.getItem("g5-language");
    } catch {
      return null; // a browser may refuse storage to local files
    }
  }

  function speak(wanted, keep) {
    root.lang = wanted;
    for (const button of document.querySelectorAll("[data-language]")) {
      button.setAttribute("aria-pressed", String(button.dataset.language === wanted));
    }
    for (const one of document.querySelectorAll("[data-attributes]")) {
      const name = one.dataset.attributes;
      one.setAttribute(name, one.getAttribute(`data-${name}-${wanted}`));
    }
    if (keep) {
      try {
        localStorage.setItem("g5-language", wanted);
      } catch {
        // see remembered()
      }
    }
    show();
    drawAll();
  }

  // ---- dictionary
  const FIELDS = [
    "base", "transform", "family", "formula", "inputs", "lookback", "available", "dtype", "unit",
    "null_rule", "reference", "nulls",
  ];
  const LABELS = {
    en: {
      formula: "formula", inputs: "inputs", lookback: "look-back", available: "public",
      dtype: "type", null_rule: "null when", reference: "compared with", nulls: "nulls",
    },
    ja: {
      formula: "式", inputs: "入力", lookback: "遡る営業日数", available: "公表",
      dtype: "型", null_rule: "欠損の条件", reference: "照合先", nulls: "欠損率",
    },
  };
  const STEP = 50;
  const { texts, rows } = read("entries");
  const entries = rows.map((row) => {
    const entry = {};
    FIELDS.forEach((name, at) => {
      entry[name] = name === "lookback" || name === "nulls" ? row[at] : texts[row[at]];
    });
    entry.column = entry.base + entry.transform;
    if (entry.transform) entry.formula += "; x = " + entry.base;
    entry.text = [entry.column, entry.family, entry.formula, entry.inputs, entry.unit]
      .join(" ")
      .toLowerCase();
    return entry;
  });
  const search = find("search");
  const family = find("family");
  const derived = find("derived");
  const more = find("more");
  let limit = STEP;

  for (const name of new Set(entries.map((entry) => entry.family))) {
    family.append(new Option(name, name));
  }

  function matching() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = entries.filter(
      (entry) =>
        (derived.checked || !entry.transform) &&
        (!family.value || entry.family === family.value) &&
        words.every((word) => entry.text.includes(word)),
    );
    // Those that are named so stand before those that only speak of it.
    const named = (entry) => words.every((word) => entry.column.includes(word));
    return [...found.filter(named), ...found.filter((entry) => !named(entry))];
  }

  function told(entry, name) {
    if (name !== "nulls") return String(entry[name]);
    return entry.nulls < 0 ? "–" : (100 * entry.nulls).toFixed(1) + " %";
  }

  function item(entry) {
    const made = element("li");
    const box = element("details");
    const head = element("summary");
    head.append(element("code", entry.column), element("small", `${entry.family} · ${entry.unit}`));
    const list = element("dl");
    for (const [name, label] of Object.entries(LABELS[language()])) {
      list.append(element("dt", label), element("dd", told(entry, name)));
    }
    box.append(head, list);
    made.append(box);
    return made;
  }

  function show() {
    const found = matching();
    find("columns").replaceChildren(...found.slice(0, limit).map(item));
    more.hidden = found.length <= limit;
    const shown = Math.min(limit, found.length);
    find("count").textContent =
      language() === "ja"
        ? `${found.length} 列中 ${shown} 列を表示`
        : `${shown} of ${found.length} columns shown`;
  }

  function again() {
    limit = STEP;
    show();
  }
  search.addEventListener("input", again);
  family.addEventListener("change", again);
  derived.addEventListener("change", again);
  search.form.addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", () => {
    const next = limit;
    limit += 4 * STEP;
    show();
    find("columns").children[next]?.querySelector("summary").focus();
  });

  for (const button of document.querySelectorAll("[data-language]")) {
    button.addEventListener("click", () => speak(button.dataset.language, true));
  }
  const browser = navigator.language.startsWith("ja") ? "ja" : "en";
  const opened = root.dataset.open;
  speak(remembered() ?? (opened === "auto" ? browser : opened), false);
})();
