// Data: pictures, curves, tables

function put(place, item, words) {
  const old = place.firstElementChild;
  // film strips need the room of the page
  place.classList.toggle("wide", item.form === "picture" && item.width > 2.2 * item.height);
  if (item.form === "picture") {
    const image = old?.tagName === "IMG" ? old : make("img", {});
    image.src = item.source;
    image.alt = words;
    image.width = item.width;
    image.height = item.height;
    image.classList.toggle("coarse", Math.max(item.width, item.height) < 160);
    if (image !== old) place.replaceChildren(image);
  } else if (item.form === "curves") {
    place.replaceChildren(curves(item.lines, words));
  } else if (item.form === "table") {
    place.replaceChildren(table(item.cells, words));
  } else {
    place.replaceChildren(make("span", { class: "words" }, item.words));
  }
}

function curves(lines, words) {
  const [width, height, margin] = [220, 110, 6];
  const values = lines.flat().filter(Number.isFinite);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, class: "item-curves", role: "img", "aria-label": `${words}: from ${short(low)} to ${short(high)}` });
  draw("rect", { class: "frame", x: 0.5, y: 0.5, width: width - 1, height: height - 1 }, svg);
  lines.forEach((line, number) => {
    const places = line.map((value, i) => {
      const x = margin + ((width - 2 * margin) * i) / Math.max(1, line.length - 1);
      const y = height - margin - ((height - 2 * margin) * (value - low)) / (high - low || 1);
      return `${x.toFixed(1)} ${y.toFixed(1)}`;
    });
    draw("path", { class: `curve k${number % 8}`, d: `M${places.join("L")}` }, svg);
  });
  const scale = make("span", { class: "unit" }, `${short(low)} to ${short(high)}`);
  const whole = make("span", { class: "curves" });
  whole.append(svg, scale);
  return whole;
}

function table(cells, words) {
  const rows = cells.map((cell) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, cell.column),
      make("td", { class: "number" }, cell.hidden ? make("span", { class: "unit" }, "hidden") : cell.value),
    ),
  );
  const body = make("table", { class: "item-table" }, make("caption", {}, words), make("tbody", {}, ...rows));
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": words }, body);
}

// A picture with its words below, filled later
function frame(words, size = "big") {
  const place = make("div", { class: `shown ${size}` });
  const caption = make("figcaption", {}, words);
  const element = make("figure", { class: "item" }, place, caption);
  return {
    element,
    show(item, alt = words) {
      put(place, item, alt);
      caption.textContent = item.form === "table" ? "" : alt;
    },
  };
}

function fill(place, items, words) {
  while (place.children.length > items.length) place.lastElementChild.remove();
  items.forEach((item, i) => {
    if (!place.children[i]) place.append(make("div", { class: "shown small" }));
    put(place.children[i], item, words(i));
  });
}

// What is shown of one run; with two, they stand side by side under their names
function sides(runs, build) {
  const parts = runs.map((run, number) => build(run, number));
  const columns = parts.map((part, number) =>
    make("section", { class: "side", "aria-label": runs[number].title }, runs.length > 1 ? make("h2", {}, runs[number].title) : null, part.element),
  );
  return { parts, element: make("div", { class: `sides sides-${runs.length}` }, ...columns) };
}
