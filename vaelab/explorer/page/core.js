// Requests, and elements with their labels

const root = document.documentElement;
const MOST = Number(root.dataset.most);

// The token stands behind the # of the address that was printed. It is kept for this tab, so that the page can be loaded again.
const token = (() => {
  const given = location.hash.slice(1);
  try {
    if (given.length > 20) {
      sessionStorage.setItem("vaelab-token", given);
      history.replaceState(null, "", location.pathname);
    }
    return sessionStorage.getItem("vaelab-token") || "";
  } catch {
    return given;
  }
})();

const alertBox = document.getElementById("error");
const tell = (error) => {
  alertBox.textContent = error.message.charAt(0).toUpperCase() + error.message.slice(1);
  alertBox.hidden = false;
};

// Requests that ask nothing of a decoder; their times are of no interest
const QUICK = new Set(["describe", "group", "data"]);

let waiting = 0;
const wait = (change) => {
  waiting += change;
  root.dataset.waiting = String(waiting);
};
wait(0);

async function ask(path, body, signal) {
  wait(1);
  try {
    const response = await fetch(`/api/${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", [root.dataset.tokenHeader]: token },
      body: JSON.stringify(body),
      signal,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    }).catch((error) => {
      throw error.name === "AbortError" ? error : new Error("the explorer does not answer. If it was ended, start it again.");
    });
    const content = await response.json();
    if (!response.ok) throw new Error(content.error);
    alertBox.hidden = true;
    if (!QUICK.has(path)) document.getElementById("timing").textContent = `Last answer computed in ${content.milliseconds.toFixed(0)} ms.`;
    return content;
  } finally {
    wait(-1);
  }
}

// One kind of request, of which the newest counts; `show` gets the answer, the request, and whether nothing newer waits. `step` belongs to a gesture that goes on: what is on its way may arrive, and
// the newest follows. `fresh` asks for something else: what is on its way is given up.
function live(path, show) {
  let running = null;
  let next = null;
  const go = async (body) => {
    const own = new AbortController();
    running = own;
    try {
      const answer = await ask(path, body, own.signal);
      if (running === own) show(answer, body, !next);
    } catch (error) {
      if (running === own && error.name !== "AbortError") tell(error);
    } finally {
      if (running === own) {
        running = null;
        if (next) {
          const body = next;
          next = null;
          go(body);
        }
      }
    }
  };
  return {
    step(body) {
      if (running) next = body;
      else go(body);
    },
    fresh(body) {
      next = null;
      running?.abort();
      go(body);
    },
  };
}

// Elements: attributes by name, `on...` for events, texts and elements as children. Nothing is ever read as HTML.
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const NS = "http://www.w3.org/2000/svg";
function draw(name, attributes, parent) {
  const element = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent?.append(element);
  return element;
}

let numbered = 0;
function field(label, control, hint) {
  control.id ||= `control-${(numbered += 1)}`;
  return make("div", { class: "field" }, make("label", { for: control.id }, label), control, hint ? make("p", { class: "hint" }, hint) : null);
}

function choice(options, onchange) {
  return make("select", { onchange }, ...options.map(([value, text]) => make("option", { value }, text)));
}

const button = (text, onclick, more = {}) => make("button", { type: "button", onclick, ...more }, text);

function check(label, onchange) {
  const box = make("input", { type: "checkbox", onchange, id: `control-${(numbered += 1)}` });
  return { box, element: make("div", { class: "check" }, box, make("label", { for: box.id }, label)) };
}

const short = (value) => {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e4 || size < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
};

const fixed = (value, digits = 2) => value.toFixed(digits).replace(/^-(0\.0*)$/, "$1");
const amount = (value) => (value > 0 && value < 0.005 ? "< 0.01" : fixed(value));

// The latent group that carries most, with which the page begins
const richest = (groups) => groups.reduce((best, group) => ((group.rate ?? 0) > (best.rate ?? 0) ? group : best)).group;

const valid = (input) => input.value !== "" && input.checkValidity();

// Noise: a seed that can be read, set and drawn anew, so that runs and moments can be compared.
function noise(onchange) {
  const input = make("input", { type: "number", min: 0, max: 2147483647, step: 1, value: 0, onchange: () => (valid(input) ? onchange() : input.reportValidity()) });
  const again = button("New noise", () => {
    input.value = Math.floor(Math.random() * 1e6);
    onchange();
  });
  return {
    element: make("div", { class: "pair" }, field("Seed of the noise", input), again),
    get value() {
      return valid(input) ? Number(input.value) : 0;
    },
  };
}

// The label that a conditional model is given; nothing where no run is conditioned on labels.
function condition(runs, onchange) {
  const most = Math.max(0, ...runs.map((run) => run.labels || 0));
  if (!most) return { element: null, of: () => null };
  const numbers = Array.from({ length: most }, (_, i) => [String(i), `label ${i}`]);
  const select = choice([["", "the datum's own, or drawn"], ...numbers], () => onchange());
  return {
    element: field("Condition", select),
    of: (run) => (run.labels && select.value !== "" ? Number(select.value) : null),
  };
}
