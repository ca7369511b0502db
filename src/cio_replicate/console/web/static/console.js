// The little script of the console. Every page works without it; with it, times of the browser's zone are offered,
// charts are drawn from their tables, what is shown once can be copied, and parts of forms follow what is chosen.
"use strict";

(() => {
  const each = (root, selector, act) => {
    if (root.matches?.(selector)) act(root);
    root.querySelectorAll(selector).forEach(act);
  };

  // the browser's own time zone, where a form asks for one and nobody has chosen yet
  const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

  // a fieldset that belongs to a choice is shown while that is chosen, and sent only then
  const follow = (form) => {
    each(form, "[data-when]", (part) => {
      const [name, values] = part.dataset.when.split("=");
      const chosen = [...form.elements].filter((one) => one.name === name && (one.type !== "radio" || one.checked));
      const shown = chosen.some((one) => values.split("|").includes(one.type === "checkbox" ? String(one.checked) : one.value));
      part.hidden = !shown;
      if (part.tagName === "FIELDSET") part.disabled = !shown;
    });
  };

  const copy = (button) => {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = document.getElementById(button.dataset.copy).textContent.trim();
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Select it and copy it by hand";
      }
    });
  };

  const colour = (name) => {
    const probe = document.createElement("span");
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };

  const spelled = (seconds) =>
    seconds >= 3600 ? `${(seconds / 3600).toFixed(1)} h` : seconds >= 60 ? `${(seconds / 60).toFixed(1)} min` : `${seconds.toFixed(seconds < 10 && seconds % 1 ? 1 : 0)} s`;
  const units = { rows: (v) => v.toLocaleString("en"), seconds: spelled, percent: (v) => `${v.toFixed(0)} %` };

  // a chart of a table whose cells carry their values: the first column is time, each further one a line
  const draw = (holder) => {
    if (!window.uPlot) return;
    const table = document.getElementById(holder.dataset.table);
    const column = holder.dataset.column;
    const points = [...table.tBodies[0].rows]
      .map((row) => [Number(row.dataset.at), row.querySelector(`[data-${column}]`)?.dataset[column] ?? ""])
      .filter(([, value]) => value !== "")
      .map(([at, value]) => [at, Number(value)])
      .sort((a, b) => a[0] - b[0]);
    holder.replaceChildren();
    if (points.length < 2) return;
    const unit = units[holder.dataset.unit];
    const line = colour(holder.dataset.colour || "--accent");
    const place = holder.dataset.zone;
    const wide = points[points.length - 1][0] - points[0][0];
    const spoken = (options) => (at) => new Intl.DateTimeFormat("en-GB", { timeZone: place, ...options }).format(at * 1000);
    const near = { hour: "2-digit", minute: "2-digit", ...(wide < 600 ? { second: "2-digit" } : {}) };
    const tick = spoken(wide < 2 * 86400 ? near : { day: "numeric", month: "short" });
    const whole = spoken({ day: "numeric", month: "long", year: "numeric", hour: "2-digit", minute: "2-digit" });
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
    const width = Math.max(holder.clientWidth - 24, 200);
    new window.uPlot(
      {
        width,
        height: 190,
        tzDate: (at) => window.uPlot.tzDate(new Date(at * 1000), place),
        cursor: { y: false },
        scales: { y: { range: (_, low, high) => [0, Math.max(high * 1.1, 1)] } },
        series: [
          { label: "When", value: (_, at) => (at == null ? "–" : whole(at)) },
          { label: holder.dataset.label, stroke: line, width: 2, points: { show: true, size: 5, fill: line }, value: (_, v) => (v == null ? "–" : unit(v)) },
        ],
        axes: [{ ...axis, values: (_, ticks) => ticks.map(tick) }, { ...axis, size: 70, values: (_, ticks) => ticks.map(unit) }],
      },
      [points.map((p) => p[0]), points.map((p) => p[1])],
      holder,
    );
  };

  const charts = () => each(document.body, "[data-table]", draw);

  // what scrolls sideways can be reached by the keyboard, and nothing else stops it on its way
  const reach = () => each(document.body, ".scroll", (part) => {
    if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
    else part.removeAttribute("tabindex");
  });

  const prepare = (root) => {
    each(root, "input[data-zone], select[data-zone]", (field) => {
      if (!field.value || field.value === "UTC") {
        if (field.tagName !== "SELECT" || [...field.options].some((one) => one.value === zone())) field.value = zone();
      }
    });
    each(root, "form", (form) => {
      if (form.querySelector("[data-when]")) {
        follow(form);
        form.addEventListener("change", () => follow(form));
      }
    });
    each(root, "button[data-copy]", copy);
    each(root, "button[data-all]", (button) => {
      button.hidden = false;
      button.addEventListener("click", () => {
        each(button.closest("fieldset"), `input[name="${button.dataset.all}"]`, (box) => { box.checked = button.dataset.to === "on"; });
      });
    });
    each(root, "select[data-example]", (select) => {
      const field = document.getElementById(select.dataset.example);
      select.addEventListener("change", () => {
        const example = select.selectedOptions[0].dataset.text;
        if (example) field.value = example;
      });
    });
  };

  document.addEventListener("DOMContentLoaded", () => {
    prepare(document.body);
    charts();
    reach();
    document.addEventListener("toggle", reach, true);
    document.addEventListener("htmx:after:swap", reach);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", charts);
    let waiting = 0;
    addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => { charts(); reach(); }, 200); });
  });
})();
