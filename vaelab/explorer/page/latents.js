// Latents: move them one by one

function latentsTab(panel, runs) {
  const deep = runs.some((run) => run.groups.length > 1);
  const everything = () => {
    // with one group and a datum nothing is left to chance
    seed.element.hidden = !deep && begin.base.kind === "datum";
    both.parts.forEach((part) => part.restart());
  };
  const begin = beginning(runs, 0, everything);
  const seed = noise(everything);
  const given = condition(runs, everything);

  const both = sides(runs, (run, number) => {
    const picture = frame("Mean of x given the latents");
    const moves = new Map();
    const several = run.groups.length > 1;
    const group = choice(
      run.groups.map((g) => [String(g.group), `${g.name}: ${g.units} ${g.control === "code" ? "codes" : "units"}${g.rate === null ? "" : `, ${amount(g.rate)} nats`}`]),
      () => request(true),
    );
    group.value = String(richest(run.groups));
    const follow = check("Draw the groups after it anew, with the same noise", () => request(true));
    const controls = unitControls(run, number, (g, unit, value) => {
      moves.delete(`${g}:${unit}`);
      moves.set(`${g}:${unit}`, { group: g, unit, value });
      while (moves.size > 512) moves.delete(moves.keys().next().value);
      request(false);
    });
    const shown = live("latents", (answer, body, newest) => {
      const count = body.moves.length;
      picture.show(answer.item, count ? `Mean of x given the latents, ${count} moved` : "Mean of x given the latents");
      // a slider that has gone on must not be pulled back
      if (newest) controls.open(body.group, answer.values).catch(tell);
    });
    const request = (fresh) => {
      const chosen = Number(group.value);
      const kept = [...moves.values()].filter((move) => !follow.box.checked || move.group <= chosen);
      const body = { run: number, base: begin.base, seed: seed.value, condition: given.of(run), group: chosen, moves: kept, follow: follow.box.checked };
      if (fresh) shown.fresh(body);
      else shown.step(body);
    };
    const reset = button("Back to the beginning", () => {
      moves.clear();
      request(true);
    });
    return {
      restart() {
        moves.clear();
        request(true);
      },
      element: make(
        "div",
        { class: "apart" },
        make("div", { class: "stay" }, picture.element, reset),
        make("div", { class: "stack" }, several ? field("Latent group", group) : null, several ? follow.element : null, controls.element),
      ),
    };
  });

  panel.append(make("div", { class: "tools" }, begin.element, make("div", { class: "stack" }, seed.element, given.element)), both.element);
  everything();
}
