// Walk: from one datum to another

function walkTab(panel, runs) {
  const PLACES = Array.from({ length: 11 }, (_, i) => i / 10);
  const everything = () => both.parts.forEach((part) => part.restart());
  const from = picker("From", runs, 0, everything);
  const to = picker("To", runs, 1, everything);
  const path = choice([["straight", "straight line"], ["spherical", "spherical, which keeps the length"]], everything);
  const given = condition(runs, everything);
  const place = make("input", { type: "range", min: 0, max: 100, step: 1, value: 50, oninput: () => both.parts.forEach((part) => part.go()) });
  const at = () => Number(place.value) / 100;
  const discrete = (run) => run.groups.some((g) => g.control !== "number");
  const words = runs.some(discrete)
    ? "Codes, classes and bits have nothing between two values: those that differ are switched one after another."
    : "";
  const curved = runs.every((run) => run.groups.every((g) => g.support === "real"));

  const both = sides(runs, (run, number) => {
    const picture = frame("At the slider");
    const strip = make("div", { class: "strip", role: "group", "aria-label": "Eleven places from the first datum to the second" });
    const several = run.groups.length > 1;
    const group = choice([["", "all groups go"], ...run.groups.map((g) => [String(g.group), `only ${g.name} goes`])], () => restart());
    const body = (places) => ({
      run: number,
      start: { kind: "datum", index: from.index },
      end: { kind: "datum", index: to.index },
      places,
      path: path.value,
      condition: given.of(run),
      group: group.value === "" ? null : Number(group.value),
    });
    const whole = live("walk", (answer) => fill(strip, answer.items, (i) => `${10 * i} % of the way`));
    const one = live("walk", (answer, asked) => picture.show(answer.items[0], `${Math.round(100 * asked.places[0])} % of the way`));
    const restart = () => {
      whole.fresh(body(PLACES));
      one.fresh(body([at()]));
    };
    return {
      restart,
      go: () => one.step(body([at()])),
      element: make("div", { class: "stack" }, several ? field("Latent groups", group) : null, picture.element, strip),
    };
  });

  panel.append(
    make(
      "div",
      { class: "tools" },
      from.element,
      to.element,
      make("div", { class: "stack" }, curved ? field("Path", path) : null, given.element, words ? make("p", { class: "hint" }, words) : null),
    ),
    field("Place on the way, in per cent", place),
    both.element,
  );
  everything();
}
