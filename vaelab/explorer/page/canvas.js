// A picture that is drawn by hand: with pointer or finger, or with the arrow keys

function canvas(shape, onchange) {
  const [channels, height, width] = shape;
  const picture = make("canvas", { width, height, class: "drawing" });
  const pen = make("canvas", { width, height, class: "pen", "aria-hidden": "true" });
  const context = picture.getContext("2d");
  const values = new Float32Array(channels * height * width);
  const radius = make("input", { type: "range", min: 0.5, max: Math.max(2, Math.round(Math.max(width, height) / 8)), step: 0.5, value: Math.max(1, Math.max(width, height) / 20) });
  const colour = channels === 3 ? make("input", { type: "color", value: "#ffffff" }) : null;
  const rubber = check("Rub out", () => {});
  let cursor = [Math.floor(width / 2), Math.floor(height / 2)];
  let last = null;

  const ink = () => {
    if (rubber.box.checked) return Array(channels).fill(0);
    if (!colour) return [1];
    return [1, 3, 5].map((at) => parseInt(colour.value.slice(at, at + 2), 16) / 255);
  };
  const render = () => {
    const image = context.createImageData(width, height);
    for (let i = 0; i < height * width; i += 1) {
      for (let c = 0; c < 3; c += 1) image.data[4 * i + c] = 255 * values[(channels === 1 ? 0 : c) * height * width + i];
      image.data[4 * i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  };
  const dab = (x, y) => {
    const size = Number(radius.value);
    const target = ink();
    for (let row = Math.max(0, Math.floor(y - size - 1)); row <= Math.min(height - 1, Math.ceil(y + size + 1)); row += 1) {
      for (let column = Math.max(0, Math.floor(x - size - 1)); column <= Math.min(width - 1, Math.ceil(x + size + 1)); column += 1) {
        // full within the radius, gone a pixel further out
        const share = Math.min(1, Math.max(0, size + 0.5 - Math.hypot(column + 0.5 - x, row + 0.5 - y)));
        target.forEach((goal, c) => {
          const at = c * height * width + row * width + column;
          const toward = values[at] + share * (goal - values[at]);
          values[at] = channels === 1 && goal === 1 ? Math.max(values[at], share) : toward;
        });
      }
    }
  };
  const stroke = (x, y) => {
    const [x0, y0] = last || [x, y];
    const steps = Math.max(1, Math.ceil(2 * Math.hypot(x - x0, y - y0)));
    for (let i = 1; i <= steps; i += 1) dab(x0 + ((x - x0) * i) / steps, y0 + ((y - y0) * i) / steps);
    last = [x, y];
    render();
    onchange();
  };
  const inside = (event) => {
    const box = picture.getBoundingClientRect();
    return [((event.clientX - box.left) * width) / box.width, ((event.clientY - box.top) * height) / box.height];
  };
  const showPen = () => {
    const mark = pen.getContext("2d");
    mark.clearRect(0, 0, width, height);
    if (document.activeElement !== picture || !picture.matches(":focus-visible")) return;
    mark.fillStyle = "#d55e00";
    mark.fillRect(cursor[0], cursor[1], 1, 1);
  };

  picture.addEventListener("pointerdown", (event) => {
    picture.setPointerCapture(event.pointerId);
    last = null;
    stroke(...inside(event));
  });
  picture.addEventListener("pointermove", (event) => {
    if (!(event.buttons & 1) || !last) return;
    for (const part of event.getCoalescedEvents?.() || [event]) stroke(...inside(part));
  });
  picture.addEventListener("pointerup", () => { last = null; });
  picture.addEventListener("pointercancel", () => { last = null; });
  picture.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const move = moves[event.key];
    if (move) {
      event.preventDefault();
      cursor = [Math.min(width - 1, Math.max(0, cursor[0] + move[0])), Math.min(height - 1, Math.max(0, cursor[1] + move[1]))];
      if (event.shiftKey) stroke(cursor[0] + 0.5, cursor[1] + 0.5);
      showPen();
    } else if (event.key === " ") {
      event.preventDefault();
      last = null;
      stroke(cursor[0] + 0.5, cursor[1] + 0.5);
    }
  });
  picture.addEventListener("focus", showPen);
  picture.addEventListener("blur", showPen);
  picture.setAttribute("tabindex", "0");
  picture.setAttribute("role", "application");
  picture.setAttribute("aria-label", `Drawing of ${width} by ${height} pixels. Arrow keys move the pen, with shift they draw, space sets a dot.`);

  const clear = button("Clear", () => {
    values.fill(0);
    render();
    onchange();
  });
  render();
  return {
    element: make(
      "div",
      { class: "stack" },
      make("div", { class: "canvas" }, picture, pen),
      make("div", { class: "pair" }, field("Width of the pen", radius), colour ? field("Colour", colour) : null),
      make("div", { class: "pair" }, rubber.element, clear),
      make("p", { class: "hint" }, "By keyboard: arrow keys move the pen, with shift they draw, space sets a dot."),
    ),
    get values() {
      return Array.from(values, (value) => Math.round(1000 * value) / 1000);
    },
    // take over a picture, to draw on it
    async load(item) {
      const image = new Image();
      image.src = item.source;
      await image.decode();
      context.drawImage(image, 0, 0, width, height);
      const pixels = context.getImageData(0, 0, width, height).data;
      for (let i = 0; i < height * width; i += 1) for (let c = 0; c < channels; c += 1) values[c * height * width + i] = pixels[4 * i + c] / 255;
      render();
    },
  };
}

// A row of a table that is written by hand
function form(columns, onchange) {
  const inputs = columns.map((column) => {
    const input = column.levels.length
      ? choice(column.levels.map((level, i) => [String(i), level]), onchange)
      : make("input", { type: "number", step: "any", value: short(column.loc), onchange });
    return { column, input, element: field(column.name, input) };
  });
  return {
    element: make("div", { class: "form" }, ...inputs.map((input) => input.element)),
    get values() {
      return inputs.map(({ input }) => Number(input.value) || 0);
    },
    async load(item) {
      item.cells.forEach((cell, i) => {
        const { column, input } = inputs[i];
        if (cell.hidden) return;
        input.value = column.levels.length ? String(column.levels.indexOf(cell.value)) : cell.value;
      });
    },
  };
}
