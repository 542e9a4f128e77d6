// Draw: a datum by hand or from the test data, its code, its reconstruction and its bound

function codeTab(panel, runs) {
  let source = null;
  const everything = (fresh) => both.parts.forEach((part) => part.ask(fresh));
  const own = runs[0].by_hand
    ? null
    : (runs[0].form === "table" ? form(runs[0].columns, () => edited()) : canvas(runs[0].shape, () => edited()));
  const edited = () => {
    source = { kind: "drawn", values: own.values };
    everything(false);
  };
  const taken = live("data", (answer) => own.load(answer.data[0].item).catch(tell));
  const take = () => {
    source = { kind: "datum", index: datum.index };
    if (own) taken.fresh({ index: datum.index });
    everything(true);
  };
  const datum = picker(own ? "Begin with a datum" : "The datum", runs, 0, take);
  const given = condition(runs, () => everything(true));

  const both = sides(runs, (run, number) => {
    const seen = frame("What the model sees", "middle");
    const picture = frame("Reconstruction", "middle");
    const bound = make("div", { class: "wide" });
    const code = make("div", { class: "stack" });
    const shown = live("encode", (answer) => {
      seen.show(answer.datum);
      picture.show(answer.item, "Reconstruction from the posterior's mean");
      bound.replaceChildren(boundTable(answer.bound));
      showCode(code, answer.groups);
    });
    return {
      ask(fresh) {
        const body = { run: number, source, condition: given.of(run) };
        if (fresh) shown.fresh(body);
        else shown.step(body);
      },
      element: make("div", { class: "stack" }, make("div", { class: "two" }, seen.element, picture.element, bound), code),
    };
  });

  const side = make("div", { class: "stack" }, own ? own.element : make("p", { class: "hint" }, runs[0].by_hand), given.element);
  panel.append(make("div", { class: "by-hand" }, make("div", { class: "tools" }, side, datum.element), both.element));
  take();
}

function boundTable(bound) {
  if (!bound) return make("p", { class: "hint" }, "There is no bound: the latents or the data of this model have no density.");
  const rows = [
    ["negative ELBO", bound.negative_elbo],
    ["distortion, -log p(x | z)", bound.distortion],
    ["rate, KL", bound.rate],
    [`-log p(x), bounded with K = ${bound.draws}`, bound.importance],
  ];
  return make(
    "table",
    { class: "bound" },
    make("caption", {}, `Nats of this datum, from ${bound.draws} draws of the posterior`),
    make("tbody", {}, ...rows.map(([name, value]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", { class: "number" }, value.toFixed(2))))),
  );
}

function showCode(place, groups) {
  const most = Math.max(1e-9, ...groups.flatMap((group) => group.rows.map((row) => row.rate ?? 0)));
  const opened = richest(groups);
  groups.forEach((group, number) => {
    const title = `Code, ${group.name}${group.rate === null ? "" : `: ${fixed(group.rate)} nats`}`;
    let details = place.children[number];
    if (!details) {
      details = make("details", { open: number === opened }, make("summary", {}), make("div", {}));
      place.append(details);
    }
    details.firstChild.textContent = title;
    details.lastChild.replaceChildren(codeTable(group, most));
  });
  while (place.children.length > groups.length) place.lastElementChild.remove();
}

function codeTable(group, most) {
  const kinds = { number: "unit", bit: "bit", class: "variable", code: "position" };
  const rated = group.rows.some((row) => row.rate !== null);
  const size = Math.max(1e-9, ...group.rows.map((row) => Math.abs(row.value)));
  const bar = (row) => {
    const svg = draw("svg", { class: "meter", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" });
    draw("rect", { class: "ground", x: 0, y: 0, width: 100, height: 8 }, svg);
    const share = rated ? row.rate / most : Math.abs(row.value) / size;
    draw("rect", { class: "amount", x: 0, y: 0, width: 100 * share, height: 8 }, svg);
    return svg;
  };
  const head = [kinds[group.control], rated ? "rate" : "", rated ? "nats" : "", group.control === "number" ? "mean ± deviation" : "value"];
  const rows = group.rows.slice(0, 64).map((row) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, String(row.unit)),
      make("td", { class: "bar-cell" }, bar(row)),
      make("td", { class: "number" }, rated ? row.rate.toFixed(3) : ""),
      make("td", { class: "number" }, group.control === "number" ? `${fixed(row.value)}${row.spread === null ? "" : ` ± ${fixed(row.spread)}`}` : String(row.value)),
    ),
  );
  const left = group.units - rows.length;
  return make(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": `Code of ${group.name}` },
    make(
      "table",
      { class: "code-table" },
      make("caption", {}, `The most informative first${left > 0 ? `; ${left} more are not shown` : ""}`),
      make("thead", {}, make("tr", {}, ...head.map((text, i) => make(text ? "th" : "td", text ? { scope: "col", class: i > 1 ? "number" : null } : {}, text)))),
      make("tbody", {}, ...rows),
    ),
  );
}
