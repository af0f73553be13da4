// The controls: native elements whose values are the state of the figures.

(function start() {
  const data = JSON.parse(document.getElementById("data").textContent);
  const find = (id) => document.getElementById(id);
  const value = (id, otherwise) => (find(id) ? Number(find(id).value) : otherwise);
  const show = (id, shown) => { if (find(id)) find(id).hidden = !shown; };

  function chosen() {
    return data.mixers[value("mixer", 0)];
  }

  function state() {
    const mixer = chosen();
    const snapshot = mixer.steps.length ? Math.min(value("step", 0), mixer.steps.length - 1) : 0;
    return {
      snapshot,
      when: mixer.steps.length > 1 ? String(mixer.steps[snapshot]) : null,
      kernel: Math.min(value("kernel", 0), mixer.centre.length - 1),
      scale: find("scale").value,
      octaves: find("axis").value === "octaves",
      map: value("map-kind", 0),
      upto: Math.min(value("upto", data.tokens.length), data.tokens.length),
    };
  }

  function drawMixer() {
    if (!data.mixers.length) return;
    const mixer = chosen(), now = state();
    drawResponses(mixer, now);
    drawKernel(mixer, now);
    drawChange(data.mixers, mixer, now);
    say(mixer, now);
  }

  function drawTokens() {
    if (!data.mixers.length) return;
    const mixer = chosen(), now = state();
    drawMap(data, mixer, now);
    drawPaths(data, mixer, now);
    say(mixer, now);
  }

  // What the sliders stand at, in words.
  function say(mixer, now) {
    if (find("step-value")) find("step-value").textContent = now.when === null ? "–" : now.when;
    find("kernel-value").textContent =
      `${rowName(mixer, now.kernel)}: centre ${three(mixer.centre[now.kernel])}, bandwidth ${three(mixer.bandwidth[now.kernel])} cycles per token` +
      (mixer.weights ? `, weight ${three(mixer.weights[now.snapshot][now.kernel])}` : "");
    if (find("step")) find("step").setAttribute("aria-valuetext", `step ${now.when}`);
    find("kernel").setAttribute("aria-valuetext", find("kernel-value").textContent);
    if (find("upto-value")) find("upto-value").textContent = `${now.upto} of ${data.tokens.length}`;
  }

  // Another mixer has other kernels, snapshots and maps.
  function fitControls() {
    const mixer = chosen();
    const step = find("step");
    if (step) {
      const last = Math.max(0, mixer.steps.length - 1);
      const stood = Number(step.max) === Number(step.value);
      step.max = last;
      if (stood || Number(step.value) > last) step.value = last;
      step.disabled = last === 0;
    }
    find("kernel").max = mixer.centre.length - 1;
    const kinds = find("map-kind");
    if (kinds) {
      const before = kinds.value;
      kinds.replaceChildren(...mixer.maps.map((map, i) => new Option(map.title, i)));
      if (before && mixer.maps.length > Number(before)) kinds.value = before;
    }
    show("no-map", !mixer.maps.length);
    find("kernel-note").textContent = mixer.total > mixer.centre.length
      ? `${mixer.centre.length} of ${mixer.total} kernels are shown, evenly by centre frequency.` : "";
    fillTable(mixer);
  }

  function fillTable(mixer) {
    const rows = mixer.centre.map((centre, n) => {
      const row = document.createElement("tr");
      const cells = [rowName(mixer, n), three(centre), three(mixer.bandwidth[n]), mixer.windows[n]];
      cells.push(mixer.weights ? three(mixer.weights.at(-1)[n]) : "–");
      cells.forEach((text, i) => {
        const cell = document.createElement(i ? "td" : "th");
        if (!i) cell.scope = "row";
        cell.textContent = text;
        row.append(cell);
      });
      return row;
    });
    find("kernel-table").replaceChildren(...rows);
  }

  function on(id, event, then) {
    if (find(id)) find(id).addEventListener(event, then);
  }

  function drawAll() {
    drawMixer();
    drawTokens();
    drawLosses(data);
  }

  if (data.mixers.length) {
    fitControls();
    on("mixer", "change", () => { fitControls(); drawMixer(); drawTokens(); });
    for (const id of ["step", "kernel"]) on(id, "input", drawMixer);
    for (const id of ["scale", "axis"]) on(id, "change", drawMixer);
    on("map-kind", "change", drawTokens);
    on("upto", "input", drawTokens);
  }
  drawAll();
  for (const id of ["learned", "haar"]) {
    if (find(id) && find(id).on) {
      find(id).on("plotly_click", (event) => {
        const row = event.points[0].pointNumber;
        find("kernel").value = Array.isArray(row) ? row[0] : event.points[0].y;
        drawMixer();
      });
    }
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  document.documentElement.dataset.ready = "yes";
})();
