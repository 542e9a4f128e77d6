// The page: who is explored, and four tabs that begin when they are first opened

async function begin() {
  if (!token) {
    tell(new Error("the address is not whole: open the one that `vaelab explore` printed, with all that stands behind the #."));
    return;
  }
  const { runs } = await ask("describe", {});
  const same = runs.length > 1 && runs[0].name === runs[1].name;
  for (const run of runs) run.title = same ? `${run.name} ${run.id}` : run.name;
  document.title = `${runs.map((run) => run.title).join(" and ")}: vaelab explorer`;
  const parts = runs.map((run) => run.title).join(" and ").split("_");
  // a long name breaks where its words end
  document.getElementById("title").replaceChildren(...parts.flatMap((part, i) => (i ? ["_", make("wbr"), part] : [part])));
  document.getElementById("about").replaceChildren(
    ...runs.map((run) =>
      make("p", { class: "soft about" }, runs.length > 1 ? make("strong", {}, `${run.title}: `) : null, [run.data, ...run.facts.map(([axis, kind]) => `${axis} ${kind}`)].join(", ")),
    ),
  );
  const begins = { latents: latentsTab, walk: walkTab, code: codeTab, sample: sampleTab };
  document.getElementById("tab-code").textContent = runs[0].by_hand ? "Code" : runs[0].form === "table" ? "Enter" : "Draw";
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const begun = new Set();
  const open = (tab) => {
    for (const other of tabs) {
      const chosen = other === tab;
      other.setAttribute("aria-selected", String(chosen));
      other.tabIndex = chosen ? 0 : -1;
      document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
    }
    const name = tab.getAttribute("aria-controls");
    if (!begun.has(name)) {
      begun.add(name);
      begins[name](document.getElementById(name), runs);
    }
  };
  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => open(tab));
    tab.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: i - 1, ArrowRight: i + 1, Home: 0, End: tabs.length - 1 };
      if (!(event.key in moves)) return;
      event.preventDefault();
      const next = tabs[(moves[event.key] + tabs.length) % tabs.length];
      open(next);
      next.focus();
    });
  });
  open(tabs[0]);
  root.dataset.ready = "true";
}

begin().catch(tell);
