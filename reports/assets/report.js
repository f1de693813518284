"use strict";
// The curation report's own script: theme, charts, filters, the card of one picture. No network, no eval, no innerHTML.
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const { cards, originals, charts } = JSON.parse($("#data").textContent);
  const root = document.documentElement;

  // Colours and pictures live in the style sheet only; charts borrow them from there.
  function colour(name) {
    const probe = document.body.appendChild(document.createElement("i"));
    probe.style.color = `var(--${name})`;
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  }
  const pictureUrls = (() => {
    const found = {};
    for (const rule of document.styleSheets[1]?.cssRules ?? [])
      found[rule.selectorText.slice(2)] = rule.style.backgroundImage.slice(5, -2);
    return (index) => found[cards[index]?.thumb] ?? "";
  })();

  // theme -------------------------------------------------------------------------------------------------------
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  function themed() {
    $("[data-theme-name]").textContent = isDark() ? "Light" : "Dark";
    $("[data-theme-toggle]").setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours");
    drawn.forEach(paint);
  }
  const drawn = [];
  const toggle = $("[data-theme-toggle]");
  toggle.hidden = false;
  toggle.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    themed();
  });
  system.addEventListener("change", themed);

  // charts ------------------------------------------------------------------------------------------------------
  function paint(doc) {
    const font = getComputedStyle(root).fontFamily;
    const ink = colour("ink"), muted = colour("muted"), line = colour("line");
    for (const model of doc._all_models.values()) {
      if (model.type.endsWith("Axis"))
        model.setv({ axis_line_color: line, major_tick_line_color: line, minor_tick_line_color: null, major_label_text_color: muted, axis_label_text_color: muted, axis_label_text_font_style: "normal", axis_label_text_font: font, major_label_text_font: font });
      else if (model.type === "Grid") model.grid_line_color = line;
      else if (model.type === "Span") model.line_color = muted;
      else if (model.type === "Label") model.setv({ text_color: ink, text_font: font, text_font_size: "13px" });
      else if (model.type === "GlyphRenderer" && ["kept", "rare", "out", "line"].includes(model.name)) {
        const shade = colour(model.name === "line" ? "kept" : model.name);
        for (const glyph of [model.glyph, model.hover_glyph, model.nonselection_glyph, model.selection_glyph]) {
          if (!glyph || glyph === "auto") continue;
          if ("line_color" in glyph) glyph.line_color = model.name === "rare" ? ink : shade;
          if ("fill_color" in glyph) glyph.fill_color = model.name === "out" ? "transparent" : shade;
        }
      }
    }
  }
  const sources = (doc) => [...doc._all_models.values()].filter((model) => model.type === "ColumnDataSource" && model.data.i);
  const filtered = (data, keep) => {
    const rows = [...data.i.keys()].filter(keep);
    return Object.fromEntries(Object.entries(data).map(([name, column]) => [name, rows.map((row) => column[row])]));
  };
  async function draw(name, item) {
    const place = $(`[data-chart="${name}"]`);
    if (!place || !window.Bokeh) return;
    const [view] = await Bokeh.embed.embed_item({ ...item, target_id: place.id }).then((views) => [...views]);
    const doc = view.model.document;
    $("[data-fallback]", place).remove();
    for (const source of sources(doc)) {
      source.data = { ...source.data, thumb: [...source.data.i].map(pictureUrls) };
      source.selected.properties.indices.change.connect(() => {
        const [row] = source.selected.indices;
        if (row === undefined) return;
        open(source.data.i[row]);
        source.selected.indices = [];
      });
    }
    const pan = [...doc._all_models.values()].find((model) => model.type === "PanTool");
    if (pan && matchMedia("(pointer: coarse)").matches) pan.active = false; // a finger scrolls the page
    drawn.push(doc);
    paint(doc);
    if (name === "map") mapFilters(doc);
    place.dataset.ready = "";
  }
  function mapFilters(doc) {
    const form = $("[data-map-filters]");
    const all = new Map(sources(doc).map((source) => [source, source.data]));
    const renderers = [...doc._all_models.values()].filter((model) => model.type === "GlyphRenderer");
    const apply = () => {
      const layers = new Set($$("[name=layer]:checked", form).map((box) => box.value));
      const { framing, pictures } = form.elements;
      let shown = 0;
      for (const [source, data] of all) {
        source.data = filtered(data, (row) => !framing.value || (data.framing[row] || "unsure") === framing.value);
        if (layers.has(source.name)) shown += source.data.i.length;
      }
      for (const renderer of renderers) {
        const layer = renderer.data_source.name;
        renderer.visible = layers.has(layer) && (renderer.name !== "pictures" || pictures.checked);
      }
      $("output", form).textContent = `${shown} shown`;
    };
    form.hidden = false;
    form.addEventListener("change", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    apply();
  }

  // gallery -----------------------------------------------------------------------------------------------------
  const gallery = $(".gallery"), galleryForm = $("[data-gallery-filters]");
  const items = gallery ? [...gallery.children] : [];
  const haystack = cards.map((card) => `${card.path}\n${card.rows.Caption ?? ""}\n${card.rows.Why ?? ""}`.toLowerCase());
  function filterGallery() {
    const { text, state, framing, side, sort } = galleryForm.elements;
    const wanted = text.value.trim().toLowerCase();
    let shown = 0;
    items.forEach((item, index) => {
      const fits = (!wanted || haystack[index].includes(wanted)) &&
        (!state.value || item.dataset.state.split(" ").includes(state.value)) &&
        [framing, side].every((field) => !field.value || item.dataset[field.name] === field.value);
      item.hidden = !fits;
      shown += fits;
    });
    $("output", galleryForm).textContent = shown === items.length ? `${shown} pictures` : `${shown} of ${items.length} pictures`;
    const weight = (item) => cards[items.indexOf(item)].weight ?? (sort.value === "heavy" ? -1 : Infinity);
    const keys = new Map(items.map((item, index) => [item, sort.value === "index" ? index : weight(item)]));
    const sign = sort.value === "heavy" ? -1 : 1;
    gallery.append(...[...items].sort((a, b) => sign * (keys.get(a) - keys.get(b))));
  }
  if (galleryForm) {
    galleryForm.hidden = false;
    galleryForm.addEventListener("input", filterGallery);
    galleryForm.addEventListener("submit", (event) => event.preventDefault());
  }
  function showView(view) {
    galleryForm.reset();
    if (view === "unsure") galleryForm.elements.state.value = "unplaced";
    else [galleryForm.elements.framing.value, galleryForm.elements.side.value] = view.split("/");
    filterGallery();
  }

  // card --------------------------------------------------------------------------------------------------------
  const dialog = $("#card");
  let current = 0;
  const element = (tag, text = "") => Object.assign(document.createElement(tag), { textContent: text });
  function open(index) {
    const card = cards[index];
    if (!card) return;
    current = index;
    $("#card-name").textContent = card.name;
    const picture = element("span", card.thumb === undefined ? "no preview" : "");
    picture.className = `pic ${card.thumb === undefined ? "none" : `t${card.thumb}`}`;
    picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", card.name);
    $("[data-card-picture]").replaceChildren(picture);
    $("dl", dialog).replaceChildren(...Object.entries(card.rows).flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
    $("[data-card-links]").replaceChildren(...links(card));
    if (!dialog.open) dialog.showModal();
  }
  function links(card) {
    const found = [];
    const add = (text, index) => {
      const link = Object.assign(element("a", text), { href: `#p${index}` });
      link.dataset.open = index;
      found.push(link);
    };
    if (card.keeper !== undefined) add(`Kept instead: ${cards[card.keeper].name}`, card.keeper);
    if (card.alike !== undefined) add(`Variant of ${cards[card.alike].name}`, card.alike);
    if (originals) {
      const href = [originals, ...card.path.split("/").map(encodeURIComponent)].join("/");
      found.push(Object.assign(element("a", "Open the file"), { href, target: "_blank", rel: "noopener" }));
    }
    return found;
  }
  function step(by) {
    const order = [...gallery.children].filter((item) => !item.hidden).map((item) => +item.id.slice(1));
    const place = order.indexOf(current);
    if (order.length) open(order[(place + by + order.length) % order.length]);
  }
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-open]");
    const view = event.target.closest("[data-show-view]");
    const by = event.target.closest("[data-step]");
    if (opener) { event.preventDefault(); open(+opener.dataset.open); }
    else if (view) showView(view.dataset.showView);
    else if (by) step(+by.dataset.step);
    else if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });

  // reading place, print ----------------------------------------------------------------------------------------
  const entries = new Map($$(".toc a").map((link) => [link.hash.slice(1), link]));
  const watcher = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen)
      if (isIntersecting) for (const [id, link] of entries) id === target.id ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
  }, { rootMargin: "-20% 0px -75% 0px" });
  $$("main > section").forEach((section) => watcher.observe(section));
  addEventListener("beforeprint", () => $$("main details:not([open])").forEach((details) => { details.open = true; details.dataset.printed = ""; }));
  addEventListener("afterprint", () => $$("[data-printed]").forEach((details) => { details.open = false; delete details.dataset.printed; }));

  themed();
  (async () => { for (const [name, item] of Object.entries(charts)) await draw(name, item); })();
})();
