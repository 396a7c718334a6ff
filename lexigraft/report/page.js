// Draws every chart of the page. Specifications are in the page itself; nothing is loaded.
(async () => {
  const specs = JSON.parse(document.getElementById("charts").textContent);
  for (const place of document.querySelectorAll("[data-chart]")) {
    const spec = specs[place.dataset.chart];
    const width = place.clientWidth || 600;
    // a legend as wide as its chart: Vega-Lite does not wrap legends by itself
    spec.config.legend.columns = Math.max(1, Math.floor((width - 40) / (spec.usermeta.letters * 6.2 + 32)));
    if (place.closest(".wide")) spec.height *= Math.min(1, width / 480); // maps keep their shape on a phone
    await vegaEmbed(place, spec, {
      mode: "vega-lite",
      renderer: "svg",
      downloadFileName: place.dataset.chart,
      actions: { export: true, source: false, compiled: false, editor: false },
    });
    place.classList.add("drawn");
  }
})();
