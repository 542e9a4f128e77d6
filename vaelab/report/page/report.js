"use strict";
(() => {
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const NS = "http://www.w3.org/2000/svg";
  const made = (name, attributes, parent) => {
    const element = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (parent) parent.append(element);
    return element;
  };
  const short = (value) => {
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size >= 1e5 || size < 1e-3) return value.toExponential(2).replace("e+", "e");
    return Number(value.toPrecision(6)).toLocaleString("en");
  };

  // Charts of curves: read values off, hide curves, logarithmic axis

  const { width, height, left, right, top, bottom } = data.frame;

  function setUpChart(figure, chart) {
    const plot = figure.querySelector(".plot");
    const svg = plot.querySelector("svg");
    const readout = figure.querySelector(".readout");
    const hidden = new Set();
    const [first, last, low, high] = chart.box;
    const steps = [...new Set(chart.curves.flatMap((curve) => curve.points.map((point) => point[0])))].sort((a, b) => a - b);
    const cursor = made("line", { class: "cursor off", y1: top, y2: height - bottom }, svg);
    let log = false;
    let at = steps.length - 1;

    const x = (step) => left + ((width - left - right) * (step - first)) / (last - first || 1);
    const values = () => chart.curves.flatMap((curve) => curve.points.map((point) => point[1]));
    const bounds = () => {
      if (!log) return [low, high];
      const all = values();
      return [Math.log10(Math.min(...all)), Math.log10(Math.max(...all)) + 0.02];
    };
    const y = (value, [from, to]) => {
      const place = height - bottom - ((height - top - bottom) * ((log ? Math.log10(Math.max(value, 1e-300)) : value) - from)) / (to - from || 1);
      return Math.min(Math.max(place, -height), 2 * height);
    };
    const logTicks = ([from, to]) => {
      const wide = to - from > 2.5;
      const found = [];
      for (let power = Math.floor(from); power <= Math.ceil(to); power += 1) {
        for (const factor of wide ? [1] : [1, 2, 5]) {
          const tick = factor * 10 ** power;
          if (Math.log10(tick) >= from - 1e-9 && Math.log10(tick) <= to + 1e-9) found.push(tick);
        }
      }
      if (found.length > 1) return found;
      // within less than a factor of two or so there is no round number
      return [0, 1, 2, 3].map((i) => Number((10 ** (from + (i * (to - from)) / 3.2)).toPrecision(4)));
    };

    const redraw = () => {
      const range = bounds();
      chart.curves.forEach((curve, number) => {
        const group = svg.querySelector(`[data-curve="${number}"]`);
        group.classList.toggle("off", hidden.has(number));
        const places = curve.points.map(([step, value]) => [x(step), y(value, range)]);
        group.querySelector(".curve").setAttribute("d", `M${places.map((place) => place.join(" ")).join("L")}`);
        group.querySelectorAll("circle").forEach((circle, i) => circle.setAttribute("cy", places[i][1]));
        const band = group.querySelector(".band");
        if (band) {
          const upper = curve.points.map(([step, value, error]) => `${x(step)} ${y(value + error, range)}`);
          const lower = curve.points.map(([step, value, error]) => `${x(step)} ${y(value - error, range)}`).reverse();
          band.setAttribute("d", `M${[...upper, ...lower].join("L")}Z`);
        }
      });
      const linear = svg.querySelector(".y-ticks");
      linear.classList.toggle("off", log);
      svg.querySelector(".log-ticks")?.remove();
      if (log) {
        const group = made("g", { class: "log-ticks" });
        linear.after(group);
        for (const tick of logTicks(range)) {
          const place = y(tick, range);
          made("line", { class: "gridline", x1: left, x2: width - right, y1: place, y2: place }, group);
          made("text", { x: left - 6, y: place + 4, "text-anchor": "end" }, group).textContent = short(tick);
        }
      }
    };

    const show = (place) => {
      at = Math.min(Math.max(place, 0), steps.length - 1);
      const step = steps[at];
      const parts = [];
      chart.curves.forEach((curve, number) => {
        if (hidden.has(number)) return;
        const point = curve.points.find((candidate) => candidate[0] === step);
        if (point) parts.push(`${curve.name} ${short(point[1])}${point[2] ? ` ± ${short(point[2])}` : ""}`);
      });
      const text = `step ${step.toLocaleString("en")}: ${parts.join(", ")}${chart.unit ? ` ${chart.unit}` : ""}`;
      cursor.classList.remove("off");
      cursor.setAttribute("x1", x(step));
      cursor.setAttribute("x2", x(step));
      readout.textContent = text;
      plot.setAttribute("aria-valuenow", at);
      plot.setAttribute("aria-valuetext", text);
    };

    const nearest = (event) => {
      const box = svg.getBoundingClientRect();
      const step = first + (((event.clientX - box.left) * width) / box.width - left) / (width - left - right) * (last - first);
      let best = 0;
      steps.forEach((candidate, i) => {
        if (Math.abs(candidate - step) < Math.abs(steps[best] - step)) best = i;
      });
      show(best);
    };
    plot.addEventListener("pointermove", nearest);
    plot.addEventListener("pointerdown", nearest);
    plot.addEventListener("focus", () => show(at));
    plot.addEventListener("keydown", (event) => {
      const far = Math.max(1, Math.round(steps.length / 10));
      const moves = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -far, PageUp: far, Home: -steps.length, End: steps.length };
      if (!(event.key in moves)) return;
      event.preventDefault();
      show(at + moves[event.key]);
    });
    figure.querySelectorAll("[data-toggle]").forEach((button) => {
      button.addEventListener("click", () => {
        const number = Number(button.dataset.toggle);
        if (hidden.has(number)) hidden.delete(number);
        else hidden.add(number);
        button.setAttribute("aria-pressed", String(!hidden.has(number)));
        redraw();
      });
    });
    figure.querySelector("[data-log]")?.addEventListener("click", (event) => {
      log = !log;
      event.currentTarget.setAttribute("aria-pressed", String(log));
      redraw();
    });
  }

  // Maps of the latents: two ways to lay points out, and each point's datum

  const side = data.mapSide;
  const margin = 14;
  const place = (value) => margin + value * (side - 2 * margin);

  function setUpMap(figure, map) {
    const area = figure.querySelector(".area");
    const svg = figure.querySelector("svg.points");
    const circles = [...svg.querySelectorAll(".datum")];
    const names = [...svg.querySelectorAll(".class-name")];
    const card = figure.querySelector(".datum-card");
    const words = card.querySelector("p");
    const thumbnail = card.querySelector("svg");
    let layout = "pca";
    let chosen = -1;

    const median = (numbers) => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
    const layOut = () => {
      const points = map[layout];
      circles.forEach((circle, i) => {
        circle.setAttribute("cx", place(points[i][0]));
        circle.setAttribute("cy", side - place(points[i][1]));
      });
      names.forEach((name) => {
        const members = points.filter((_, i) => String(map.labels[i]) === name.dataset.label);
        name.setAttribute("x", place(median(members.map((point) => point[0]))));
        name.setAttribute("y", side - place(median(members.map((point) => point[1]))) + 5);
      });
    };
    const choose = (i) => {
      if (chosen >= 0) circles[chosen].classList.remove("chosen");
      chosen = i;
      circles[i].classList.add("chosen");
      svg.insertBefore(circles[i], names[0] || null);
      const label = map.labels ? `, label ${map.labels[i]}` : "";
      const text = map.texts ? `: ${map.texts[i]}` : "";
      words.textContent = `Datum ${i + 1} of ${circles.length}${label}${text}`;
      if (map.sheet) {
        const [w, h] = map.sheet.size;
        const x = (i % map.sheet.columns) * w;
        const y = Math.floor(i / map.sheet.columns) * h;
        thumbnail.setAttribute("viewBox", `${x} ${y} ${w} ${h}`);
        thumbnail.classList.remove("off");
      }
    };
    const at = (i) => [place(map[layout][i][0]), side - place(map[layout][i][1])];
    const near = (x, y, allowed) => {
      let best = -1;
      let least = Infinity;
      circles.forEach((_, i) => {
        const [dx, dy] = [at(i)[0] - x, at(i)[1] - y];
        const distance = allowed ? allowed(dx, dy) : dx * dx + dy * dy;
        if (distance < least) [best, least] = [i, distance];
      });
      return best;
    };
    const point = (event) => {
      const box = svg.getBoundingClientRect();
      const scale = side / box.width;
      const found = near((event.clientX - box.left) * scale, (event.clientY - box.top) * scale);
      if (found >= 0 && found !== chosen) choose(found);
    };
    svg.addEventListener("pointermove", point);
    svg.addEventListener("pointerdown", point);
    area.addEventListener("focus", () => {
      if (chosen < 0) choose(near(side / 2, side / 2));
    });
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    area.addEventListener("keydown", (event) => {
      const direction = directions[event.key];
      if (!direction) return;
      event.preventDefault();
      if (chosen < 0) choose(near(side / 2, side / 2));
      const [x, y] = at(chosen);
      const found = near(x, y, (dx, dy) => {
        const along = dx * direction[0] + dy * direction[1];
        const across = Math.abs(dx * direction[1]) + Math.abs(dy * direction[0]);
        return along > 1e-6 && across <= 2 * along ? along + 2 * across : Infinity;
      });
      if (found >= 0) choose(found);
    });
    figure.querySelectorAll("[data-layout]").forEach((button) => {
      button.addEventListener("click", () => {
        layout = button.dataset.layout;
        figure.querySelectorAll("[data-layout]").forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
        layOut();
      });
    });
    circles.forEach((circle, i) => { circle.dataset.number = i; });
  }

  for (const [key, chart] of Object.entries(data.charts)) setUpChart(document.getElementById(key), chart);
  for (const [key, map] of Object.entries(data.maps)) setUpMap(document.getElementById(key), map);
  document.documentElement.dataset.ready = "true";
})();
