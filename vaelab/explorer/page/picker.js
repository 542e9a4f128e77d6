// A datum of the test split: by its number, at random, or from pictures

function picker(words, runs, start, onchange) {
  const number = runs[0].test;
  const input = make("input", { type: "number", min: 0, max: number - 1, step: 1, value: Math.min(start, number - 1) });
  const thumbnail = make("div", { class: "shown thumbnail" });
  const label = make("span", { class: "unit" });
  const gallery = make("div", { class: "gallery" });
  const shown = live("data", (answer) => {
    const [datum] = answer.data;
    put(thumbnail, datum.item, `Test datum ${datum.index}`);
    label.textContent = datum.label === null ? "" : `label ${datum.label}`;
  });
  const choose = (index, quiet) => {
    input.value = index;
    shown.fresh({ index });
    if (!quiet) onchange();
  };
  input.addEventListener("change", () => {
    if (valid(input)) choose(Number(input.value));
    else input.reportValidity();
  });
  const found = live("data", (answer) => {
    gallery.replaceChildren(
      ...answer.data.map((datum) => {
        const place = make("span", { class: "shown tiny" });
        put(place, datum.item, "");
        const name = datum.label === null ? `${datum.index}` : `${datum.index}, label ${datum.label}`;
        return make("button", { type: "button", class: "datum", "aria-label": `Test datum ${name}`, onclick: () => choose(datum.index) }, place);
      }),
    );
  });
  let seed = Math.floor(Math.random() * 1e6);
  const label_choice = runs[0].classes
    ? choice([["", "any"], ...Array.from({ length: runs[0].classes }, (_, i) => [String(i), String(i)])], () => look())
    : null;
  const look = () => found.fresh({ seed, number: 24, ...(label_choice?.value ? { label: Number(label_choice.value) } : {}) });
  const others = button("Others", () => {
    seed += 1;
    look();
  });
  const from_pictures = make(
    "details",
    { ontoggle: (event) => event.target.open && !gallery.children.length && look() },
    make("summary", {}, runs[0].form === "picture" ? "Choose from pictures" : "Choose from a list"),
    make("div", { class: "pair" }, label_choice ? field("Label", label_choice) : null, others),
    gallery,
  );
  const element = make(
    "fieldset",
    { class: "picker" },
    make("legend", {}, words),
    make(
      "div",
      { class: "picker-row" },
      thumbnail,
      make(
        "div",
        {},
        make("div", { class: "pair" }, field(`Test datum, 0 to ${number - 1}`, input), button("Random", () => choose(Math.floor(Math.random() * number)))),
        label,
      ),
    ),
    from_pictures,
  );
  choose(Number(input.value), true);
  return {
    element,
    get index() {
      return valid(input) ? Number(input.value) : 0;
    },
  };
}

// What the latents begin with: a datum, or noise
function beginning(runs, start, onchange) {
  const name = `beginning-${(numbered += 1)}`;
  const datum = picker("The datum", runs, start, onchange);
  const radio = (value, text, checked) => {
    const input = make("input", { type: "radio", name, value, checked, id: `control-${(numbered += 1)}`, onchange: () => turn() });
    return make("div", { class: "check" }, input, make("label", { for: input.id }, text));
  };
  const fresh = runs[0].sampler === "prior" ? "noise of the prior" : `a draw of the sampler ${runs[0].sampler}`;
  const choices = make("fieldset", { class: "choices" }, make("legend", {}, "Begin with"), radio("datum", "a datum's posterior mean", true), radio("prior", fresh));
  const drawn = () => choices.querySelector(":checked").value === "prior";
  const turn = () => {
    datum.element.hidden = drawn();
    onchange();
  };
  return {
    element: make("div", { class: "beginning" }, choices, datum.element),
    get base() {
      return drawn() ? { kind: "prior" } : { kind: "datum", index: datum.index };
    },
  };
}
