"use strict";
// Filters of the page of many runs: which LoRAs of the ladder the charts show. After report.js has drawn them.
(() => {
  const form = document.querySelector("[data-rung-filters]");
  if (!form || !window.Bokeh) return;
  const waiting = () => [...document.querySelectorAll("[data-chart]")].some((place) => place.dataset.ready === undefined);
  const start = () => {
    if (waiting()) { setTimeout(start, 100); return; }
    const all = new Map();
    for (const view of Object.values(Bokeh.index))
      for (const model of view.model.document._all_models.values())
        if (model.type === "ColumnDataSource" && model.name === "ladder") all.set(model, model.data);
    const apply = () => {
      const { group, rungs } = form.elements;
      let shown = 0;
      for (const [source, data] of all) {
        const rows = [...data.i.keys()].filter((row) => rungs.checked && (!group.value || data.view[row] === group.value));
        source.data = Object.fromEntries(Object.entries(data).map(([name, column]) => [name, rows.map((row) => column[row])]));
        shown = Math.max(shown, rows.length);
      }
      form.querySelector("output").textContent = `${shown} LoRAs of the ladder shown`;
    };
    form.hidden = false;
    form.addEventListener("change", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    apply();
  };
  start();
})();
