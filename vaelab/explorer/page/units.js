// The units of a latent group, the most informative first, each with its control

const AT_ONCE = 16;

function unitControls(run, number, onmove) {
  const place = make("div", { class: "units" });
  const words = make("p", { class: "hint" });
  const more = button("", () => {
    shown += AT_ONCE;
    render();
  });
  let units = null;
  let values = [];
  let shown = AT_ONCE;
  let rows = new Map();
  // the units of groups that were opened, and the group that was asked for last
  const known = new Map();
  let wanted = null;

  const limits = (unit, value) => [Math.min(unit.low, value), Math.max(unit.high, value)];
  const information = (unit) => {
    const most = units.units[0].information || 1;
    const svg = draw("svg", { class: "meter", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" });
    draw("rect", { class: "ground", x: 0, y: 0, width: 100, height: 8 }, svg);
    draw("rect", { class: "amount", x: 0, y: 0, width: Math.max(0, (100 * unit.information) / most), height: 8 }, svg);
    return svg;
  };

  function row(unit) {
    const text = `${units.control === "code" ? "position" : units.control === "class" ? "variable" : "unit"} ${unit.number}`;
    const told = `${units.measure}: ${amount(unit.information)}`;
    const name = make("span", { class: "unit-name" }, text, make("span", { class: "hidden-text" }, `, ${told}`));
    const id = `control-${(numbered += 1)}`;
    const output = make("output", { for: id });
    let input;
    if (units.control === "class" && units.choices <= 12) {
      input = choice(Array.from({ length: units.choices }, (_, i) => [String(i), `class ${i}`]), () => move(unit, Number(input.value)));
      input.id = id;
    } else if (units.control === "bit") {
      input = make("input", { type: "checkbox", id, onchange: () => move(unit, input.checked ? 1 : 0) });
    } else {
      input = make("input", { type: "range", id, oninput: () => move(unit, Number(input.value)) });
    }
    const label = make("label", { for: id, title: told }, name, information(unit), make("span", { class: "unit amount-text", "aria-hidden": "true" }, amount(unit.information)));
    const set = (value) => {
      if (units.control === "bit") input.checked = value > 0.5;
      else if (input.tagName === "SELECT") input.value = String(value);
      else if (document.activeElement !== input || Number(input.value) !== value) {
        const [low, high] = limits(unit, value);
        input.min = low;
        input.max = high;
        input.step = units.control === "number" ? (high - low) / 400 : 1;
        input.value = value;
      }
      output.textContent = input.type !== "range" ? "" : units.control === "number" ? fixed(value) : String(value);
    };
    rows.set(unit.number, { set, output });
    return make("div", { class: "unit-row" }, label, input, output);
  }

  // codes of a map stand in its places; one is chosen there and set below
  function codes() {
    const across = units.grid[units.grid.length - 1];
    const down = units.grid.length > 1 ? units.grid[0] : 1;
    let chosen = units.units[0].number;
    const cells = [];
    const grid = make("div", { class: "scroll code-grid", role: "group", "aria-label": "Codes by their positions" });
    const information = new Map(units.units.map((unit) => [unit.number, unit.information]));
    const input = make("input", { type: "range", min: 0, max: units.choices - 1, step: 1, oninput: () => change(Number(input.value)) });
    const typed = make("input", { type: "number", min: 0, max: units.choices - 1, step: 1, onchange: () => valid(typed) ? change(Number(typed.value)) : typed.reportValidity() });
    const title = make("p", { class: "hint" });
    const choose = (position, focus) => {
      cells[chosen].setAttribute("tabindex", "-1");
      cells[chosen].setAttribute("aria-pressed", "false");
      chosen = position;
      cells[chosen].setAttribute("tabindex", "0");
      cells[chosen].setAttribute("aria-pressed", "true");
      if (focus) cells[chosen].focus();
      title.textContent = `Position ${position} of ${cells.length}; ${units.measure}: ${amount(information.get(position))}`;
      input.value = typed.value = values[position];
    };
    const change = (code) => {
      input.value = typed.value = code;
      move({ number: chosen }, code);
    };
    const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across };
    grid.addEventListener("keydown", (event) => {
      if (!(event.key in moves)) return;
      event.preventDefault();
      const next = chosen + moves[event.key];
      if (next >= 0 && next < cells.length) choose(next, true);
    });
    for (let y = 0; y < down; y += 1) {
      const line = make("div", { class: "code-row" });
      for (let x = 0; x < across; x += 1) {
        const position = y * across + x;
        const cell = button("", () => choose(position), { class: "code", tabindex: -1, "aria-pressed": "false" });
        cells.push(cell);
        line.append(cell);
        rows.set(position, {
          set: (value) => {
            cell.textContent = value;
            cell.setAttribute("aria-label", `Position ${position}, code ${value}`);
            if (position === chosen) input.value = typed.value = value;
          },
        });
      }
      grid.append(line);
    }
    values.forEach((value, position) => rows.get(position)?.set(value));
    place.replaceChildren(grid, title, make("div", { class: "pair" }, field("Code", input), field("Its number", typed)));
    choose(chosen);
  }

  const move = (unit, value) => {
    values[unit.number] = value;
    rows.get(unit.number)?.set(value);
    onmove(units.group, unit.number, value);
  };

  function render() {
    rows = new Map();
    words.textContent = [units.control === "code" ? "" : `Sorted by ${units.measure}.`, units.note].join(" ").trim();
    if (units.control === "code") {
      more.hidden = true;
      codes();
      return;
    }
    place.replaceChildren(...units.units.slice(0, shown).map(row));
    update();
    const left = units.units.length - shown;
    more.hidden = left <= 0;
    more.textContent = `Show ${Math.min(left, AT_ONCE)} more of ${units.units.length}`;
  }

  function update() {
    for (const [unit, { set }] of rows) if (values[unit] !== undefined) set(values[unit]);
  }

  return {
    element: make("div", {}, words, place, more),
    // the group's controls, at these values
    async open(group, at) {
      wanted = group;
      if (units?.group !== group) {
        if (!known.has(group)) known.set(group, ask("group", { run: number, group }));
        const found = await known.get(group);
        if (wanted !== group) return;
        units = found;
        shown = AT_ONCE;
        values = at;
        render();
      } else {
        values = at;
        update();
      }
    },
  };
}
