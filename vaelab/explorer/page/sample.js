// Sample: new data, whole or below groups that are kept

function sampleTab(panel, runs) {
  const everything = (fresh = true) => both.parts.forEach((part) => part.ask(fresh));
  const seed = noise(everything);
  const number = make("input", { type: "number", min: 1, max: MOST, step: 1, value: 16, onchange: () => (valid(number) ? everything() : number.reportValidity()) });
  const cold = runs.find((run) => run.temperature);
  const temperature = make("input", { type: "range", min: 0.1, max: 2, step: 0.05, value: 1, disabled: Boolean(cold), oninput: () => { said.textContent = Number(temperature.value).toFixed(2); everything(false); } });
  const said = make("output", {}, "1.00");
  const mean = choice([["mean", "mean of x given z"], ["draw", "a draw of x given z"]], () => everything());
  const given = condition(runs, () => everything());
  const deep = runs.some((run) => run.groups.length > 1);
  const begin = deep ? beginning(runs, 0, () => everything()) : null;

  const both = sides(runs, (run, which) => {
    const place = make("div", { class: "samples" });
    const keep = choice(
      [["0", "all groups are drawn"], ...run.groups.slice(1).map((g) => [String(g.group), `drawn from ${g.name} on, those before are kept`])],
      () => { turn(); ask(true); },
    );
    const shown = live("sample", (answer) => fill(place, answer.items, (i) => `Sample ${i + 1}`));
    const ask = (fresh) => {
      if (!valid(number)) return;
      const kept = Number(keep.value);
      const body = {
        run: which,
        seed: seed.value,
        number: Number(number.value),
        temperature: Number(temperature.value),
        condition: given.of(run),
        keep: kept,
        draw: mean.value === "draw",
        ...(kept ? { base: begin.base } : {}),
      };
      if (fresh) shown.fresh(body);
      else shown.step(body);
    };
    return {
      ask,
      kept: () => keep.value !== "0",
      element: make("div", { class: "stack" }, run.groups.length > 1 ? field("Groups", keep) : null, place),
    };
  });
  const turn = () => {
    if (begin) begin.element.hidden = !both.parts.some((part) => part.kept());
  };

  const heat = field("Temperature", temperature, cold ? cold.temperature : null);
  heat.insertBefore(said, heat.children[2] || null);
  panel.append(
    make(
      "div",
      { class: "tools" },
      make("div", { class: "stack" }, heat, field(`How many, 1 to ${MOST}`, number)),
      make("div", { class: "stack" }, seed.element, field("Show", mean), given.element),
      begin?.element,
    ),
    both.element,
  );
  turn();
  everything();
}
