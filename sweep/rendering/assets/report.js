"use strict";
// Draws a report from the JSON in each sweep's element. Names and texts come from anywhere: they enter the page only
// as textContent, and Plotly's labels, which know some HTML, only through `plain`.
(() => {
  const PAGE = 50, MANY = 1000, MOST_LINES = 1500, MOST_CURVES = 400, MOST_MARKED = 200; // a browser without a GPU draws thousands of lines slowly
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const make = (tag, properties = {}, ...children) => {
    const { data, aria, ...others } = properties;
    const element = Object.assign(document.createElement(tag), others);
    Object.assign(element.dataset, data);
    for (const [name, value] of Object.entries(aria ?? {})) element.setAttribute(`aria-${name}`, value);
    element.append(...children);
    return element;
  };
  const decode = (value) => (typeof value === "string" ? Number(value) : value); // "Infinity"
  const show = (value) => {
    if (value === null || Number.isNaN(value)) return "";
    if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
    return Number.isInteger(value) ? String(value) : digits(value, 6);
  };
  /** A number with some significant digits, as Python's format `g` writes it: 0.00012, 1.2e-5. */
  const digits = (value, count) => {
    const size = Math.abs(value), rounded = Number(value.toPrecision(count));
    return size !== 0 && (size < 1e-4 || size >= 1e6) ? rounded.toExponential().replace("e+", "e") : String(rounded);
  };
  const spread = (values) => {
    let low = Infinity, high = -Infinity;
    for (const value of values) if (Number.isFinite(value)) { low = Math.min(low, value); high = Math.max(high, value); }
    return [low, high];
  };
  /** Whether numbers are easier to read on a log axis: all positive, over more than three decades. */
  const wantsLog = (values) => { const [low, high] = spread(values); return low > 0 && high / low > 1000; };
  /** A range without values far worse than most, and how many it leaves out; none if the range is not unusual. */
  function withoutOutliers(values, goal) {
    const sign = goal === "maximize" ? -1 : 1, sorted = values.map((value) => sign * value).sort((a, b) => a - b);
    const best = sorted[0], worst = sorted.at(-1), span = sorted[Math.floor(0.75 * (sorted.length - 1))] - best;
    if (sorted.length < 5 || !(span > 0) || worst - best <= 10 * span) return null;
    const limit = best + 6 * span, ends = [sign * limit, sign * (best - span / 2)];
    return { range: ends.sort((a, b) => a - b), omitted: sorted.filter((value) => value > limit).length };
  }
  /** At most `most` items of a list, evenly spaced. */
  const sample = (list, most) => list.length <= most ? list : Array.from({ length: most }, (_, k) => list[Math.round(k * (list.length - 1) / (most - 1))]);

  class Column {
    constructor(data) {
      Object.assign(this, data);
      if (this.kind === "number") this.values = data.values.map(decode);
      this.isOrdered = this.kind === "number" || this.role === "parameter" || this.role === "state";
      this.title = data.title;
    }
    isSet(i) { return this.values[i] !== null; }
    /** The value as a number: NaN if it is missing or a text. */
    number(i) {
      const value = this.values[i];
      if (value === null) return NaN;
      if (this.kind === "number") return value;
      const text = this.choices[value];
      return text.trim() === "" ? NaN : Number(text);
    }
    text(i) {
      const value = this.values[i];
      if (value === null) return "";
      return this.kind === "number" ? show(value) : this.choices[value];
    }
    compare(i, j) {
      if (this.isOrdered) return this.values[i] - this.values[j];
      return this.text(i) < this.text(j) ? -1 : this.text(i) > this.text(j) ? 1 : 0;
    }
  }

  // ---- plots -----------------------------------------------------------------------------------------------------

  const CONFIG = { displaylogo: false, responsive: true, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };
  const charts = [];
  /** A plot that is drawn when it comes near the screen, and again when the theme, or what is marked, changes. */
  class Chart {
    constructor(figure, draw, { linked = false } = {}) {
      Object.assign(this, { figure, draw, linked, target: figure.querySelector(".canvas"), isDrawn: false, width: null });
      charts.push(this);
      near.observe(figure);
    }
    get isVisible() { return this.figure.offsetParent !== null; }
    refresh(force = false) {
      if (!this.isVisible || !(this.isDrawn || force)) return;
      const isFirst = !this.isDrawn;
      this.isDrawn = true;
      const { traces, layout } = this.draw();
      const size = this.width ? { width: this.width, height: this.target.clientHeight || 300, autosize: false } : { autosize: true };
      Plotly.react(this.target, traces, { ...frame(layout), ...size }, CONFIG);
      if (isFirst) this.onFirst?.(this.target);
    }
    /** Draw it so that it scales with the paper; `width` in pixels is only the size of its text. */
    print(width) {
      this.width = width;
      this.refresh(true);
      const container = this.target.querySelector(".svg-container");
      if (!container) return;
      container.style.aspectRatio = `${container.clientWidth} / ${container.clientHeight}`;
      for (const svg of container.querySelectorAll(".main-svg")) svg.setAttribute("viewBox", `0 0 ${container.clientWidth} ${container.clientHeight}`);
    }
    stopPrinting() {
      this.width = null;
      for (const svg of this.target.querySelectorAll(".main-svg")) svg.removeAttribute("viewBox");
    }
  }
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      const chart = charts.find((other) => other.figure === entry.target);
      if (chart && !chart.isDrawn) chart.refresh(true);
    }
  }, { rootMargin: "400px" });

  const axis = (title, values, extra = {}) => ({
    title: { text: plain(title), standoff: 8 }, type: wantsLog(values) ? "log" : "linear", ...extra,
  });
  /** The layout with the colours and fonts of the page. */
  function frame(layout) {
    const common = { gridcolor: css("--line"), linecolor: css("--line"), zerolinecolor: css("--line"), tickcolor: css("--line"), automargin: true, exponentformat: "power" };
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 56, r: 14, t: 14, b: 44 }, showlegend: false,
      font: { family: css("--font") || getComputedStyle(document.body).fontFamily, size: 12.5, color: css("--muted") },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, hovermode: "closest", dragmode: "zoom",
      hoverlabel: { bgcolor: css("--text"), bordercolor: css("--text"), font: { color: css("--page"), size: 12 } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--muted"), activecolor: css("--accent") },
      ...layout, xaxis: { ...common, ...layout.xaxis }, yaxis: { ...common, ...layout.yaxis },
    };
  }
  const figure = (title, note = "", className = "plot") => make("figure", { className },
    make("figcaption", {}, make("h4", { textContent: title }), ...(note ? [make("p", { textContent: note })] : [])), make("div", { className: "canvas" }));
  function option(figureElement, label, isOn, change) {
    const box = make("input", { type: "checkbox", checked: isOn });
    box.addEventListener("change", () => change(box.checked));
    let options = figureElement.querySelector(".options");
    if (!options) figureElement.append(options = make("div", { className: "options" }));
    options.append(make("label", { className: "check" }, box, ` ${label}`));
  }

  // ---- one sweep -------------------------------------------------------------------------------------------------

  class Sweep {
    constructor(panel) {
      this.panel = panel;
      this.data = JSON.parse(panel.querySelector("script.data").textContent);
      this.columns = this.data.columns.map((column) => new Column(column));
      this.trials = this.columns[0].values;
      this.count = this.trials.length;
      this.indexOf = new Map(this.trials.map((number, i) => [number, i]));
      this.best = new Set(this.data.best.map((number) => this.indexOf.get(number)));
      this.goals = this.columns.filter((column) => column.role === "goal");
      this.parameters = this.columns.filter((column) => column.role === "parameter" && column.values.some((value) => value !== null));
      this.state = this.columns.find((column) => column.role === "state");
      this.feasible = this.columns.find((column) => column.role === "feasible");
      this.picked = new Set(); // trials that were marked one by one
      this.brushes = new Map(); // axis -> test of a trial
      this.isShown = new Uint8Array(this.count).fill(1);
      this.isMarked = new Uint8Array(this.count);
      this.marked = [];
      this.rank = this.makeRank();
      this.views = [];
      this.charts = [];
      if (this.count) {
        this.status = panel.querySelector("[data-status]");
        this.clearMarks = panel.querySelector("[data-clear-marks]");
        this.clearFilters = panel.querySelector("[data-clear-filters]");
        this.clearMarks.addEventListener("click", () => { this.picked.clear(); this.brushes.clear(); this.update(); });
        this.table = new Table(this, panel.querySelector("[data-table]"));
        this.clearFilters.addEventListener("click", () => this.table.clear());
        this.views.push(this.table, new Parallel(this, panel.querySelector("[data-parallel]")));
        addCharts(this);
        for (const button of panel.querySelectorAll("[data-mark]"))
          button.addEventListener("click", () => {
            for (const number of button.dataset.mark.split(" ")) this.picked.add(this.indexOf.get(Number(number)));
            this.update();
            panel.querySelector("[data-table]").scrollIntoView({ block: "nearest" });
          });
        this.update();
      }
    }
    isComplete(i) { return this.state.text(i) === "COMPLETE" && (!this.feasible || this.feasible.text(i) !== "False"); }
    /** Trials from the best to the worst: complete ones within the limits first. With several goals, the front first. */
    makeRank() {
      const order = this.trials.map((_, i) => i);
      const goal = this.goals[0], sign = goal?.goal === "maximize" ? -1 : 1;
      const group = (i) => (this.best.has(i) ? 0 : this.isComplete(i) ? 1 : 2), groups = order.map(group);
      const values = order.map((i) => (goal?.isSet(i) ? sign * goal.number(i) : Infinity));
      order.sort((i, j) => groups[i] - groups[j] || (values[i] < values[j] ? -1 : values[i] > values[j] ? 1 : i - j));
      const rank = new Array(this.count);
      order.forEach((i, place) => { rank[i] = place; });
      this.order = order;
      return rank;
    }
    toggle(i) {
      if (this.isMarked[i] && !this.picked.has(i)) return; // a brush marks it
      if (!this.picked.delete(i)) this.picked.add(i);
      this.update();
    }
    /** Compute what is marked, and draw it in all views. `isLive`: while dragging, only in the quick ones. */
    update(isLive = false) {
      const tests = [...this.brushes.values()];
      this.marked = [];
      let shown = 0;
      for (let i = 0; i < this.count; i++) {
        shown += this.isShown[i];
        const isMarked = this.isShown[i] && (this.picked.has(i) || (tests.length && tests.every((test) => test(i))));
        this.isMarked[i] = isMarked ? 1 : 0;
        if (isMarked) this.marked.push(i);
      }
      const trials = `${this.count} trial${this.count === 1 ? "" : "s"}`;
      const filtered = shown < this.count ? `${shown} of ${trials} shown` : trials;
      this.status.textContent = `${filtered}, ${this.marked.length || "none"} marked`;
      this.clearMarks.hidden = !this.picked.size && !this.brushes.size;
      this.clearFilters.hidden = !this.table.isFiltering;
      for (const view of this.views) view.draw();
      if (!isLive) for (const chart of this.charts) if (chart.linked) chart.refresh();
    }
    label(i) { return `trial ${this.trials[i]}`; }
  }

  // ---- the table -------------------------------------------------------------------------------------------------

  /** A test of a cell for what the user has typed: 0.1..1, <5, >=0.9, =3, or a part of the text. */
  function cellTest(column, typed) {
    const text = typed.trim();
    if (!text) return null;
    const number = "([-+]?(?:\\d+\\.?\\d*|\\.\\d+)(?:e[-+]?\\d+)?)";
    const range = text.match(new RegExp(`^${number}?\\s*\\.\\.\\s*${number}?$`, "i"));
    if (range && (range[1] || range[2])) {
      const low = range[1] ? Number(range[1]) : -Infinity, high = range[2] ? Number(range[2]) : Infinity;
      return (i) => column.number(i) >= low && column.number(i) <= high;
    }
    const compared = text.match(new RegExp(`^(<=|>=|<|>|=)\\s*${number}$`, "i"));
    if (compared) {
      const limit = Number(compared[2]);
      const tests = { "<": (x) => x < limit, "<=": (x) => x <= limit, ">": (x) => x > limit, ">=": (x) => x >= limit, "=": (x) => x === limit };
      return (i) => tests[compared[1]](column.number(i));
    }
    const parts = text.toLowerCase().split(",").map((part) => part.trim()).filter(Boolean);
    return (i) => { const cell = column.text(i).toLowerCase(); return parts.some((part) => cell.includes(part)); };
  }

  class Table {
    constructor(sweep, element) {
      Object.assign(this, { sweep, element, page: 0, filters: new Map(), sort: null, isDescending: false, texts: [] });
      this.find = (selector) => element.querySelector(selector);
      this.visible = new Set(sweep.columns.filter((column) => ["number", "state", "goal", "parameter", "duration", "reason", "feasible"].includes(column.role)));
      this.search = this.find("[data-search]");
      this.isRegex = this.find("[data-regex]");
      this.onlyMarked = this.find("[data-only-marked]");
      for (const input of [this.search, this.isRegex]) input.addEventListener("input", () => this.filter());
      this.onlyMarked.addEventListener("input", () => { this.page = 0; this.draw(); });
      for (const button of element.querySelectorAll("[data-page]"))
        button.addEventListener("click", () => { this.page += Number(button.dataset.page); this.draw(); });
      for (const column of sweep.columns) {
        const box = make("input", { type: "checkbox", checked: this.visible.has(column) });
        box.addEventListener("change", () => { this.visible[box.checked ? "add" : "delete"](column); this.drawHead(); this.draw(); });
        this.find("[data-columns]").append(make("label", { className: "check" }, box, ` ${column.title}`));
      }
      const body = this.find("tbody");
      body.addEventListener("click", (event) => {
        const row = event.target.closest("tr");
        if (row && !getSelection().toString()) sweep.toggle(Number(row.dataset.index));
      });
      this.drawHead();
    }
    get shownColumns() { return this.sweep.columns.filter((column) => this.visible.has(column)); }
    get isFiltering() { return Boolean(this.search.value.trim()) || this.filters.size > 0; }
    clear() {
      this.search.value = "";
      this.filters.clear();
      this.drawHead();
      this.filter();
    }
    searchTest() {
      const typed = this.search.value;
      this.search.removeAttribute("aria-invalid");
      this.search.title = "";
      if (!typed.trim()) return null;
      let test;
      if (this.isRegex.checked) {
        try {
          const pattern = new RegExp(typed, "i");
          test = (text) => pattern.test(text);
        } catch (error) {
          this.search.setAttribute("aria-invalid", "true");
          this.search.title = error.message;
          return null;
        }
      } else {
        test = (text) => text.toLowerCase().includes(typed.trim().toLowerCase());
      }
      return (i) => this.sweep.columns.some((column) => { const text = column.text(i); return text !== "" && test(text); });
    }
    filter() {
      const tests = [this.searchTest(), ...[...this.filters].map(([column, typed]) => cellTest(column, typed))].filter(Boolean);
      for (let i = 0; i < this.sweep.count; i++) this.sweep.isShown[i] = tests.every((test) => test(i)) ? 1 : 0;
      this.page = 0;
      this.sweep.update();
    }
    drawHead() {
      const titles = make("tr"), filters = make("tr", { className: "filters" });
      for (const column of this.shownColumns) {
        const button = make("button", { type: "button", textContent: column.title, title: `Sort by ${column.title}` });
        const head = make("th", { scope: "col", className: column.kind === "number" ? "number" : "" }, button);
        button.addEventListener("click", () => {
          this.isDescending = this.sort === column ? !this.isDescending : column.goal === "maximize";
          this.sort = column;
          this.page = 0;
          for (const other of titles.children) other.removeAttribute("aria-sort");
          head.setAttribute("aria-sort", this.isDescending ? "descending" : "ascending");
          this.draw();
        });
        if (this.sort === column) head.setAttribute("aria-sort", this.isDescending ? "descending" : "ascending");
        titles.append(head);
        const input = make("input", { value: this.filters.get(column) ?? "", placeholder: column.kind === "number" ? "0..1, <5" : "", autocomplete: "off", spellcheck: false, aria: { label: `Filter ${column.title}` } });
        input.addEventListener("input", () => {
          if (input.value.trim()) this.filters.set(column, input.value); else this.filters.delete(column);
          this.filter();
        });
        filters.append(make("th", {}, input));
      }
      this.find("thead").replaceChildren(titles, filters);
    }
    rows() {
      const { sweep, sort } = this, sign = this.isDescending ? -1 : 1;
      const rows = sweep.order.filter((i) => sweep.isShown[i] && (!this.onlyMarked.checked || sweep.isMarked[i]));
      if (sort) rows.sort((i, j) => (sort.isSet(j) - sort.isSet(i)) || (sort.isSet(i) ? sign * sort.compare(i, j) : 0) || sweep.rank[i] - sweep.rank[j]);
      return rows;
    }
    draw() {
      const rows = this.rows(), pages = Math.max(1, Math.ceil(rows.length / PAGE));
      this.page = Math.min(Math.max(0, this.page), pages - 1);
      const first = this.page * PAGE, focused = document.activeElement?.closest?.("tr[data-index]")?.dataset.index;
      const body = this.find("tbody");
      body.replaceChildren(...rows.slice(first, first + PAGE).map((i) => this.row(i)));
      if (focused !== undefined && !document.activeElement?.closest?.("tbody")) body.querySelector(`tr[data-index="${focused}"] input`)?.focus();
      this.find("[data-pages]").textContent = rows.length ? `${first + 1} to ${Math.min(first + PAGE, rows.length)} of ${rows.length}` : "no trial matches";
      const [previous, next] = this.element.querySelectorAll("[data-page]");
      previous.disabled = this.page === 0;
      next.disabled = this.page === pages - 1;
    }
    row(i) {
      const { sweep } = this, isMarked = Boolean(sweep.isMarked[i]);
      const row = make("tr", { className: isMarked ? "marked" : "", data: { index: i, trial: sweep.trials[i] } });
      for (const column of this.shownColumns) {
        const text = column.text(i), cell = make("td", { className: column.kind === "number" ? "number" : "" });
        if (column.role === "number") {
          cell.className = "";
          const box = make("input", { type: "checkbox", checked: isMarked, aria: { label: `Mark trial ${text}` } });
          box.addEventListener("click", (event) => { event.stopPropagation(); event.preventDefault(); setTimeout(() => sweep.toggle(i)); });
          cell.append(box, ` ${text}`);
          if (sweep.best.has(i)) cell.append(" ", make("span", { className: "badge", textContent: sweep.best.size > 1 ? "front" : "best" }));
        } else if (column.role === "state") {
          cell.append(make("span", { className: `dot ${text}`, aria: { hidden: "true" } }), text.toLowerCase());
        } else {
          cell.textContent = text;
          if (text) cell.title = column.kind === "number" ? String(column.values[i]) : text;
        }
        row.append(cell);
      }
      return row;
    }
  }

  // ---- parallel coordinates --------------------------------------------------------------------------------------

  const TOP = 44, BOTTOM = 54, SIDE = 70, HEIGHT = 390, REACH = 22, MISSING = -0.11;
  /** One axis: the place of each trial from 0 (bottom) to 1 (top); MISSING if the trial has no value there. */
  class Axis {
    constructor(column, sweep) {
      const { count } = sweep;
      this.column = column;
      this.places = new Float32Array(count).fill(MISSING);
      this.hasMissing = false;
      const isNumber = column.kind === "number";
      const values = isNumber ? column.values.filter((value) => value !== null) : [];
      const isLog = isNumber && spread(values)[0] > 0 && (column.log || (column.role === "goal" && wantsLog(values)));
      let [low, high] = isNumber ? spread(values) : [0, column.choices.length - 1];
      const near = column.role === "goal" && !isLog ? withoutOutliers(column.values.filter((value, i) => Number.isFinite(value) && sweep.isComplete(i)), column.goal) : null;
      const isCut = near && [near.range[0] > low, near.range[1] < high]; // far worse trials are at the end of the axis
      if (near) [low, high] = [Math.max(low, near.range[0]), Math.min(high, near.range[1])];
      const scale = isLog ? Math.log10 : (x) => x;
      const from = scale(low), to = scale(high);
      const place = (value) => to > from ? Math.min(1, Math.max(0, (scale(value) - from) / (to - from))) : 0.5;
      for (let i = 0; i < count; i++) {
        if (column.isSet(i)) this.places[i] = place(column.values[i]); else this.hasMissing = true;
      }
      this.ticks = isNumber ? numberTicks(low, high, isLog).map((value) => [place(value), Number.isInteger(value) && Math.abs(value) < 1e6 ? String(value) : digits(value, 3)])
        : sample(column.choices.map((text, k) => [place(k), text]), 14);
      if (isCut?.[0]) this.ticks[0][1] = `≤ ${this.ticks[0][1]}`;
      if (isCut?.[1]) this.ticks.at(-1)[1] = `≥ ${this.ticks.at(-1)[1]}`;
    }
  }
  function numberTicks(low, high, isLog) {
    if (!Number.isFinite(low)) return [];
    if (low === high) return [low];
    if (isLog) {
      const decades = [];
      for (let power = Math.ceil(Math.log10(low)); power <= Math.floor(Math.log10(high)); power++) decades.push(Number(`1e${power}`));
      return [low, ...sample(decades.filter((value) => value > low * 1.6 && value < high / 1.6), 5), high];
    }
    const step = 10 ** Math.floor(Math.log10((high - low) / 4)), best = [1, 2, 5, 10].map((k) => k * step).find((k) => (high - low) / k <= 5);
    const ticks = [];
    for (let value = Math.ceil(low / best) * best; value <= high; value += best) ticks.push(Number(value.toPrecision(10)));
    const gap = (high - low) / 12;
    return [low, ...ticks.filter((value) => value > low + gap && value < high - gap), high];
  }

  class Parallel {
    constructor(sweep, element) {
      Object.assign(this, { sweep, element, canvas: element.querySelector("canvas"), tip: element.querySelector(".tip"), drag: null, hovered: null, isQueued: false, places: [] });
      this.axes = [...sweep.parameters, ...sweep.goals].map((column) => new Axis(column, sweep));
      this.ranges = new Map();
      this.canvas.addEventListener("pointerdown", (event) => this.press(event));
      this.canvas.addEventListener("pointermove", (event) => this.move(event));
      this.canvas.addEventListener("pointerup", () => this.release());
      this.canvas.addEventListener("pointerleave", () => this.hover(null));
      new ResizeObserver(() => { if (this.width !== this.painted) this.draw(); }).observe(element);
      this.note = make("p", { textContent: sweep.count > MOST_LINES ? `${MOST_LINES} lines are drawn: the best, and an even sample of the others. Brushes mark all trials.` : "" });
      element.querySelector("figcaption").append(this.note);
    }
    get width() { return this.forced ?? Math.max(this.element.clientWidth - 36, this.axes.length * 84); }
    x(k) { return this.places[k]; }
    y(place) { return HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM); }
    place(y) { return (HEIGHT - BOTTOM - y) / (HEIGHT - TOP - BOTTOM); }
    nearestAxis(x) {
      const distances = this.axes.map((_, k) => Math.abs(this.x(k) - x)), least = Math.min(...distances);
      return least <= REACH ? distances.indexOf(least) : -1;
    }
    press(event) {
      const k = this.nearestAxis(event.offsetX);
      this.drag = { k, from: this.place(event.offsetY), hasMoved: false };
      if (k >= 0) this.canvas.setPointerCapture(event.pointerId);
    }
    move(event) {
      if (!this.drag) { this.hover(event); return; }
      const { k, from } = this.drag, to = this.place(event.offsetY);
      if (k < 0 || (!this.drag.hasMoved && Math.abs(to - from) < 0.01)) return;
      this.drag.hasMoved = true;
      const low = Math.min(from, to), high = Math.max(from, to), places = this.axes[k].places;
      this.ranges.set(k, [low, high]);
      this.sweep.brushes.set(this.axes[k], (i) => places[i] >= low && places[i] <= high);
      this.sweep.update(true);
    }
    release() {
      if (!this.drag) return;
      const { k, hasMoved } = this.drag;
      this.drag = null;
      if (!hasMoved && this.ranges.has(k)) this.sweep.brushes.delete(this.axes[k]);
      else if (!hasMoved && this.hovered !== null) { this.sweep.toggle(this.hovered); return; }
      this.sweep.update();
    }
    hover(event) {
      const before = this.hovered;
      this.hovered = event ? this.trialAt(event.offsetX, event.offsetY) : null;
      if (this.hovered !== null) {
        const i = this.hovered, lines = [this.sweep.label(i), ...this.axes.map(({ column }) => column.isSet(i) ? `${column.title} = ${column.text(i)}` : null).filter(Boolean)];
        this.tip.textContent = lines.slice(0, 16).join("\n");
        const box = this.canvas.getBoundingClientRect(), outer = this.element.getBoundingClientRect();
        const left = box.left - outer.left + event.offsetX + 14;
        this.tip.style.left = `${Math.min(left, outer.width - 190)}px`;
        this.tip.style.top = `${box.top - outer.top + event.offsetY + 14}px`;
      }
      this.tip.hidden = this.hovered === null;
      if (before !== this.hovered) this.draw();
    }
    /** The trial whose line is nearest to a point, within a few pixels. */
    trialAt(x, y) {
      let k = this.axes.findIndex((_, other) => this.x(other) > x) - 1;
      if (this.axes.length < 2 || k < 0) return null;
      const share = (x - this.x(k)) / (this.x(k + 1) - this.x(k)), left = this.axes[k].places, right = this.axes[k + 1].places;
      let found = null, least = 5;
      for (let i = 0; i < this.sweep.count; i++) {
        if (!this.sweep.isShown[i]) continue;
        const distance = Math.abs(this.y(left[i] + share * (right[i] - left[i])) - y);
        if (distance < least) { least = distance; found = i; }
      }
      return found;
    }
    draw() {
      if (this.isQueued) return;
      this.isQueued = true;
      requestAnimationFrame(() => { this.isQueued = false; this.paint(); });
    }
    paint() {
      if (this.element.offsetParent === null) return;
      const { canvas, sweep } = this, ratio = window.devicePixelRatio || 1, context = canvas.getContext("2d");
      const width = this.painted = this.width, last = this.axes.length - 1;
      this.places = this.axes.map((_, k) => (last ? SIDE + (width - 2 * SIDE) * k / last : width / 2));
      for (const [k] of this.ranges) if (!sweep.brushes.has(this.axes[k])) this.ranges.delete(k);
      canvas.width = width * ratio;
      canvas.height = HEIGHT * ratio;
      canvas.style.width = `${width}px`;
      canvas.style.height = `${HEIGHT}px`;
      context.scale(ratio, ratio);
      context.lineJoin = "round";
      this.colours = Object.fromEntries(["accent", "sky", "muted", "bad", "mark"].map((name) => [name, css(`--${name}`)]));
      const isAnyMarked = sweep.marked.length > 0;
      const others = sweep.order.filter((i) => sweep.isShown[i] && !sweep.isMarked[i]), few = MOST_LINES / 5;
      const drawn = others.length > MOST_LINES ? [...others.slice(0, few), ...sample(others.slice(few), MOST_LINES - few)] : others;
      const opacity = Math.max(0.08, Math.min(0.75, 120 / drawn.length));
      for (const i of drawn.reverse()) { // the best last, on top
        context.globalAlpha = isAnyMarked ? opacity * 0.35 : sweep.rank[i] < sweep.count / 10 ? Math.min(0.8, opacity * 2.5) : opacity;
        this.line(context, i, isAnyMarked ? this.colours.muted : this.colour(i), 1.2);
      }
      const marked = sample(sweep.order.filter((i) => sweep.isMarked[i]), MOST_LINES).reverse();
      context.globalAlpha = Math.max(0.25, Math.min(0.95, 200 / Math.max(1, marked.length)));
      for (const i of marked) this.line(context, i, this.colours.mark, 1.8);
      context.globalAlpha = 1;
      if (!isAnyMarked) for (const i of sweep.best) if (sweep.isShown[i]) this.line(context, i, css("--good"), 2.4);
      if (this.hovered !== null) this.line(context, this.hovered, css("--text"), 2);
      this.axes.forEach((axisOf, k) => this.paintAxis(context, axisOf, k));
    }
    /** Better trials have a stronger colour. */
    colour(i) {
      const { sweep, colours } = this, share = sweep.rank[i] / sweep.count;
      if (!sweep.goals.some((goal) => goal.isSet(i))) return colours.bad;
      return share < 0.1 ? colours.accent : share < 0.5 ? colours.sky : colours.muted;
    }
    line(context, i, colour, width) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.beginPath();
      this.axes.forEach(({ places }, k) => context[k ? "lineTo" : "moveTo"](this.x(k), this.y(places[i])));
      if (this.axes.length === 1) context.lineTo(this.x(0) + 12, this.y(this.axes[0].places[i]));
      context.stroke();
    }
    paintAxis(context, axisOf, k) {
      const x = this.x(k), room = this.axes.length > 1 ? (this.x(1) - this.x(0)) * 0.92 : 300, isLast = k === this.axes.length - 1 && k > 0;
      const font = getComputedStyle(document.body).fontFamily;
      const fit = (text, most) => { let short = text; while (short.length > 1 && context.measureText(short).width > most) short = `${short.slice(0, -2)}…`; return short; };
      const range = this.ranges.get(k);
      if (range) {
        context.fillStyle = css("--mark");
        context.globalAlpha = 0.22;
        context.fillRect(x - 8, this.y(range[1]), 16, this.y(range[0]) - this.y(range[1]));
        context.globalAlpha = 1;
      }
      context.strokeStyle = css("--muted");
      context.lineWidth = 1.2;
      context.beginPath();
      context.moveTo(x, this.y(0));
      context.lineTo(x, this.y(1));
      context.stroke();
      context.textAlign = "center";
      context.fillStyle = css("--text");
      context.font = `600 12.5px ${font}`;
      context.fillText(fit(axisOf.column.title.replace(/\s+/g, " "), room), x, 20);
      context.font = `11px ${font}`;
      context.textAlign = isLast ? "left" : "right";
      const texts = axisOf.hasMissing ? [...axisOf.ticks, [MISSING, "not set"]] : axisOf.ticks;
      for (const [place, text] of texts) {
        const label = fit(text.replace(/\s+/g, " "), Math.max(48, room * 0.5)), at = x + (isLast ? 7 : -7);
        context.lineWidth = 3;
        context.strokeStyle = css("--surface"); // so that lines do not cross the text
        context.strokeText(label, at, this.y(place) + 4);
        context.fillStyle = css("--muted");
        context.fillText(label, at, this.y(place) + 4);
        context.lineWidth = 1;
        context.strokeStyle = css("--muted");
        context.strokeRect(x - 2, this.y(place), 4, 0);
      }
    }
  }

  // ---- the plots of one sweep ------------------------------------------------------------------------------------

  function addCharts(sweep) {
    const { panel } = sweep;
    const add = (figureElement, draw, options) => {
      const chart = new Chart(figureElement, draw, options);
      sweep.charts.push(chart);
      return chart;
    };
    const kinds = { curves: addCurves, repeats: addRepeats, progress: addProgress, timeline: addTimeline };
    for (const [kind, addTo] of Object.entries(kinds)) {
      const element = panel.querySelector(`[data-chart="${kind}"]`);
      if (element) addTo(sweep, element, add);
    }
    for (const slices of panel.querySelectorAll("[data-slices]")) addParameters(sweep, slices, Number(slices.dataset.slices), add);
    const pairs = panel.querySelector("[data-pairs]");
    if (pairs) {
      const few = sweep.goals.slice(0, 4);
      few.forEach((first, k) => few.slice(k + 1).forEach((second) => addPair(sweep, pairs, first, second, add)));
    }
  }

  function addCurves(sweep, element, add) {
    const { curves } = sweep.data;
    const points = new Map(curves.trials.map((number, k) => [sweep.indexOf.get(number), [curves.steps[curves.list[k]], curves.values[k].map(decode)]]));
    const all = sweep.order.filter((i) => points.has(i));
    let isLog = wantsLog(curves.values.flat().map(decode));
    const mode = Math.max(...curves.values.map((values) => values.length)) > 1 ? "lines" : "markers";
    const note = make("p");
    element.querySelector("figcaption").append(note);
    const trace = (indexes, name, style) => {
      const x = [], y = [], text = [];
      for (const i of indexes) {
        const [steps, values] = points.get(i);
        values.forEach((value, k) => { x.push(steps[k]); y.push(value); text.push(sweep.trials[i]); });
        x.push(null); y.push(null); text.push(null);
      }
      return { type: "scatter", mode, x, y, text, name, connectgaps: false, hovertemplate: "trial %{text}<br>step %{x}: %{y}<extra></extra>", marker: { size: 6, color: style.color }, line: style };
    };
    const chart = add(element, () => {
      const shown = all.filter((i) => sweep.isShown[i]);
      const half = MOST_CURVES / 4;
      const drawn = shown.length > MOST_CURVES ? [...shown.slice(0, half), ...sample(shown.slice(half), MOST_CURVES - half)] : shown;
      const marked = sample(shown.filter((i) => sweep.isMarked[i]), MOST_MARKED);
      const isAnyMarked = sweep.marked.length > 0, faint = css("--faint");
      const of = (...states) => drawn.filter((i) => states.includes(sweep.state.text(i)) && !sweep.best.has(i));
      const best = shown.filter((i) => sweep.best.has(i)).slice(0, 20);
      const colour = (name) => isAnyMarked ? faint : css(name);
      const traces = [
        trace(of("FAIL"), "failed", { color: colour("--bad"), width: 1, dash: "dot" }),
        trace(of("PRUNED"), "pruned", { color: colour("--warm"), width: 1, dash: "dash" }),
        trace(of("COMPLETE"), "complete", { color: colour("--sky"), width: 1.2 }),
        trace(of("RUNNING", "WAITING"), "not finished", { color: colour("--accent"), width: 1.6 }),
        trace(best, best.length > 1 ? "Pareto front" : "best", { color: isAnyMarked ? css("--muted") : css("--good"), width: 2.6 }),
        trace(marked, "marked", { color: css("--mark"), width: 2 }),
      ].filter((item) => item.x.length || item.name === "marked");
      for (const item of traces) item.showlegend = item.x.length > 0;
      const parts = [];
      if (drawn.length < shown.length) parts.push(`${drawn.length} of ${shown.length} curves are drawn: the best, and an even sample of the others. What is marked is drawn as well.`);
      if (curves.thinned) parts.push("Of long curves, some steps are left out.");
      note.textContent = parts.join(" ");
      return { traces, layout: { xaxis: { title: { text: "step" } }, yaxis: { title: { text: plain(curves.metric) }, type: isLog ? "log" : "linear" }, showlegend: true, dragmode: "select", uirevision: isLog } };
    }, { linked: true });
    chart.onFirst = (target) => {
      target.on("plotly_click", (event) => sweep.toggle(sweep.indexOf.get(Number(event.points[0].text))));
      target.on("plotly_selected", (event) => {
        if (!event?.range) return;
        const [left, right] = [...event.range.x].sort((a, b) => a - b), [low, high] = [...event.range.y].sort((a, b) => a - b);
        for (const i of all) {
          const [steps, values] = points.get(i);
          if (sweep.isShown[i] && values.some((value, k) => value !== null && steps[k] >= left && steps[k] <= right && value >= low && value <= high)) sweep.picked.add(i);
        }
        sweep.update();
        Plotly.relayout(target, { selections: [] });
      });
    };
    option(element, "log scale", isLog, (isOn) => { isLog = isOn; chart.refresh(true); });
  }

  /** Points of trials: all that are shown, the marked ones, and the best, each as a trace. */
  function pointTraces(sweep, x, y) {
    const usable = sweep.order.filter((i) => sweep.isShown[i] && sweep.isComplete(i) && x(i) !== null && Number.isFinite(y(i)));
    const drawn = sample(usable, MANY), isAnyMarked = sweep.marked.length > 0;
    const trace = (indexes, style) => ({ type: "scatter", mode: "markers", x: indexes.map(x), y: indexes.map(y), text: indexes.map((i) => sweep.trials[i]), customdata: indexes, hovertemplate: "trial %{text}<br>%{x}: %{y}<extra></extra>", ...style });
    return { usable, drawn, traces: [
      trace(drawn, { name: "complete", marker: { size: 6, color: isAnyMarked ? css("--muted") : css("--accent"), opacity: isAnyMarked ? 0.25 : Math.max(0.3, Math.min(0.75, 120 / drawn.length)) } }),
      trace(sample(usable.filter((i) => sweep.isMarked[i]), MANY), { name: "marked", marker: { size: 8, color: css("--mark"), symbol: "diamond" } }),
      trace(usable.filter((i) => sweep.best.has(i)), { name: sweep.best.size > 1 ? "Pareto front" : "best", marker: { size: 12, color: css("--good"), symbol: "star" } }),
    ] };
  }
  const clickMarks = (sweep) => (target) => target.on("plotly_click", (event) => { const i = event.points[0].customdata; if (i !== undefined) sweep.toggle(i); });

  function addParameters(sweep, container, k, add) {
    const { importance, ablation, curves } = sweep.data.parameters[k], goal = sweep.goals[k];
    const ranks = new Map(importance.map((item, place) => [item.parameter, place]));
    if (importance.length) addImportance(goal, container, importance, add);
    if (ablation) addAblation(goal, container, ablation, add);
    const ordered = [...sweep.parameters].sort((a, b) => (ranks.get(a.title) ?? 1e9) - (ranks.get(b.title) ?? 1e9));
    for (const column of ordered) addSlice(sweep, container, column, goal, Object.hasOwn(curves, column.title) ? curves[column.title] : null, add);
  }

  function addSlice(sweep, container, column, goal, curve, add) {
    if (!sweep.trials.some((_, i) => column.isSet(i) && goal.isSet(i))) return;
    const dependence = placedCurve(column, curve);
    const element = figure(column.title);
    const note = make("p");
    element.querySelector("figcaption").append(note);
    container.append(element);
    const isNumber = column.kind === "number";
    const chart = add(element, () => {
      const jitter = (i) => (((i * 2654435761) % 1000) / 1000 - 0.5) * 0.5; // of choices, so that points do not cover each other
      const x = (i) => !column.isSet(i) ? null : isNumber ? column.values[i] : column.values[i] + jitter(i);
      const { usable, traces } = pointTraces(sweep, x, (i) => goal.number(i));
      if (!isNumber) for (const item of traces) { item.hovertext = item.customdata.map((i) => `${plain(column.text(i))}: ${goal.text(i)}`); item.hovertemplate = "trial %{text}<br>%{hovertext}<extra></extra>"; }
      const values = usable.map((i) => goal.number(i)), yaxis = axis(goal.title, values);
      const near = yaxis.type === "linear" ? withoutOutliers(values, goal.goal) : null;
      if (near) yaxis.range = near.range;
      note.textContent = near ? `${near.omitted} far worse ${near.omitted === 1 ? "trial is" : "trials are"} outside; a double click shows all.` : "";
      if (dependence) traces.unshift(...bandTraces(dependence, isNumber));
      const xaxis = isNumber ? (column.log ? logAxis(column.values) : {})
        : { tickmode: "array", tickvals: column.choices.map((_, k) => k), ticktext: column.choices.map((text) => plain(text.length > 24 ? `${text.slice(0, 23)}…` : text)), range: [-0.6, column.choices.length - 0.4], zeroline: false };
      return { traces, layout: { xaxis, yaxis, margin: { l: 56, r: 14, t: 8, b: 36 } } };
    }, { linked: true });
    chart.onFirst = clickMarks(sweep);
  }

  function logAxis(values) {
    const ticks = numberTicks(...spread(values), true);
    return { type: "log", tickmode: "array", tickvals: ticks, ticktext: ticks.map((value) => digits(value, 3)) };
  }
  /** The expected result over a parameter, with indices of choices as its places. */
  function placedCurve(column, curve) {
    if (!curve) return null;
    if (column.kind === "number") return curve.x.every((value) => typeof value === "number") ? curve : null;
    const kept = curve.x.map((text, k) => [column.choices.indexOf(String(text)), k]).filter(([place]) => place >= 0);
    const of = (key) => kept.map(([, k]) => curve[key][k]);
    return { x: kept.map(([place]) => place), y: of("y"), low: of("low"), high: of("high") };
  }
  /** The expected result over one parameter, with the band in which it lies. */
  function bandTraces({ x, y, low, high }, isNumber) {
    const colour = css("--mark");
    if (!isNumber)
      return [{ type: "scatter", mode: "markers", x, y, name: "expected", hovertemplate: "expected %{y}<extra></extra>", marker: { symbol: "line-ew", size: 34, line: { width: 2.5, color: colour } }, error_y: { type: "data", symmetric: false, array: high.map((value, k) => value - y[k]), arrayminus: low.map((value, k) => y[k] - value), color: colour, thickness: 1.2, width: 5 } }];
    return [
      { type: "scatter", mode: "lines", x: [...x, ...[...x].reverse()], y: [...high, ...[...low].reverse()], fill: "toself", fillcolor: css("--mark-tint"), line: { width: 0 }, hoverinfo: "skip" },
      { type: "scatter", mode: "lines", x, y, name: "expected", hovertemplate: "expected at %{x}: %{y}<extra></extra>", line: { color: colour, width: 2 } },
    ];
  }

  function addImportance(goal, container, importance, add) {
    const methods = ["fANOVA", "PED-ANOVA"].filter((method) => importance.some((item) => item.methods[method]));
    const element = figure("How much each parameter matters", `Its share of the variation of ${goal.title}. fANOVA: over the whole space, by a model that is fitted to the trials; PED-ANOVA: what sets the best trials apart. The whiskers are 95 % and 90 % ranges.`, "plot wide");
    container.append(element);
    element.querySelector(".canvas").style.height = `${Math.max(150, 70 + importance.length * (14 + 16 * methods.length))}px`;
    add(element, () => {
      const colours = [css("--accent"), css("--warm")], items = [...importance].reverse();
      const traces = methods.map((method, k) => {
        const found = items.map((item) => item.methods[method]);
        return { type: "bar", orientation: "h", name: plain(method), y: items.map((_, place) => place), x: found.map((item) => item?.value ?? null), marker: { color: colours[k % 2] },
          error_x: { type: "data", symmetric: false, array: found.map((item) => item ? item.high - item.value : 0), arrayminus: found.map((item) => item ? item.value - item.low : 0), color: css("--text"), thickness: 1.2, width: 4 },
          hovertext: items.map((item) => plain(item.parameter)), hovertemplate: "%{hovertext}: %{x:.1%}<extra></extra>" };
      });
      return { traces, layout: { xaxis: { tickformat: ".0%", rangemode: "tozero" }, yaxis: { tickmode: "array", tickvals: items.map((_, place) => place), ticktext: items.map((item) => plain(item.parameter)) }, showlegend: methods.length > 1, bargap: 0.3 } };
    });
  }

  function addAblation(goal, container, ablation, add) {
    const element = figure(`From ${ablation.start} to the best`, "One change at a time, the greatest expected gain first; the whiskers are 95 % ranges of the model.", "plot wide");
    container.append(element);
    element.querySelector(".canvas").style.height = `${Math.max(160, 70 + ablation.steps.length * 30)}px`;
    add(element, () => {
      const { steps } = ablation, places = steps.map((_, k) => steps.length - k);
      const trace = { type: "scatter", mode: "lines+markers", x: steps.map((step) => step.value), y: places, line: { color: css("--accent"), shape: "vh", width: 2 }, marker: { size: 9, color: css("--accent") },
        hovertext: steps.map((step) => plain(step.label)), hovertemplate: "%{hovertext}<br>%{x}<extra></extra>",
        error_x: { type: "data", symmetric: false, array: steps.map((step) => (step.high ?? step.value) - step.value), arrayminus: steps.map((step) => step.value - (step.low ?? step.value)), color: css("--muted"), thickness: 1, width: 4 } };
      return { traces: [trace], layout: { xaxis: { title: { text: plain(goal.title) } }, yaxis: { tickmode: "array", tickvals: places, ticktext: steps.map((step) => plain(step.label)), range: [0.4, steps.length + 0.6] } } };
    });
  }

  function addPair(sweep, container, first, second, add) {
    const element = figure(`${first.title} and ${second.title}`, `${first.goal} and ${second.goal}`);
    container.append(element);
    const chart = add(element, () => {
      const { usable, traces } = pointTraces(sweep, (i) => first.number(i), (i) => second.number(i));
      if (sweep.goals.length === 2) {
        const front = [...sweep.best].sort((i, j) => first.number(i) - first.number(j));
        const shape = first.goal === "minimize" ? "hv" : "vh";
        traces.unshift({ type: "scatter", mode: "lines", x: front.map((i) => first.number(i)), y: front.map((i) => second.number(i)), line: { color: css("--good"), width: 1.4, shape }, hoverinfo: "skip" });
      }
      return { traces, layout: { xaxis: axis(first.title, usable.map((i) => first.number(i))), yaxis: axis(second.title, usable.map((i) => second.number(i))) } };
    }, { linked: true });
    chart.onFirst = clickMarks(sweep);
  }

  function addRepeats(sweep, element, add) {
    const { labels, values } = sweep.data.repeats;
    const byIndex = new Map(values.map(([number, found]) => [sweep.indexOf.get(number), found.map(decode)]));
    const chart = add(element, () => {
      const shown = sweep.order.filter((i) => byIndex.has(i) && sweep.isShown[i] && byIndex.get(i).some((value) => value !== null));
      const few = [...new Set([...shown.slice(0, 30), ...shown.filter((i) => sweep.isMarked[i]).slice(0, 20)])];
      const x = [], y = [], text = [], colours = [], customdata = [], means = [];
      few.forEach((i, place) => {
        const found = byIndex.get(i).filter((value) => value !== null);
        means.push(found.reduce((sum, value) => sum + value, 0) / found.length);
        byIndex.get(i).forEach((value, k) => { if (value !== null) { x.push(place); y.push(value); text.push(`trial ${sweep.trials[i]}, ${plain(labels[k])}`); customdata.push(i); colours.push(sweep.isMarked[i] ? css("--mark") : css("--accent")); } });
      });
      const traces = [
        { type: "scatter", mode: "markers", x, y, text, customdata, hovertemplate: "%{text}: %{y}<extra></extra>", marker: { color: colours, size: 7, opacity: 0.75 } },
        { type: "scatter", mode: "markers", x: few.map((_, place) => place), y: means, customdata: few, hovertemplate: "mean %{y}<extra></extra>", marker: { symbol: "line-ew", size: 16, line: { width: 2.5, color: css("--text") } } },
      ];
      return { traces, layout: { xaxis: { title: { text: "trial" }, tickmode: "array", tickvals: few.map((_, place) => place), ticktext: few.map((i) => String(sweep.trials[i])), zeroline: false }, yaxis: axis(sweep.goals[0].title, y) } };
    }, { linked: true });
    chart.onFirst = clickMarks(sweep);
  }

  /** Best so far as a staircase; as regret, its distance to the final best. */
  function progressTrace(progress, isRegret) {
    const values = progress.values.map(decode), final = values.at(-1);
    const y = isRegret ? values.slice(0, -1).map((value) => Math.abs(value - final)) : [...values, final];
    const x = isRegret ? progress.hours.slice(0, -1) : [...progress.hours, progress.end];
    return { type: "scatter", mode: "lines+markers", x, y, text: [...progress.trials, progress.trials.at(-1)], line: { shape: "hv", width: 2 }, marker: { size: 5 }, name: plain(progress.metric), hovertemplate: "trial %{text}<br>%{y} after %{x:.4~g} slot hours<extra></extra>" };
  }
  function addProgress(sweep, element, add) {
    let isRegret = false;
    const found = sweep.data.progress.filter((progress) => progress.values.length);
    const chart = add(element, () => {
      const traces = found.map((progress, k) => ({ ...progressTrace(progress, isRegret), yaxis: k ? `y${k + 1}` : "y" }));
      const colours = [css("--accent"), css("--warm"), css("--bad"), css("--good")];
      traces.forEach((trace, k) => { trace.line.color = trace.marker.color = colours[k % 4]; });
      const several = found.length > 1, layout = { xaxis: { title: { text: "slot hours" }, rangemode: "tozero" }, showlegend: several };
      found.forEach((progress, k) => {
        const side = k ? { overlaying: "y", side: "right", tickmode: "auto", showgrid: false, showticklabels: k === 1, automargin: true } : {};
        layout[k ? `yaxis${k + 1}` : "yaxis"] = { title: { text: k < 2 ? plain(isRegret ? `${progress.metric}: distance to the best` : progress.metric) : "" }, type: isRegret ? "log" : wantsLog(progress.values.map(decode)) ? "log" : "linear", ...side };
      });
      return { traces, layout };
    });
    if (found.some((progress) => progress.values.length > 1)) option(element, "regret", false, (isOn) => { isRegret = isOn; chart.refresh(true); });
  }

  function addTimeline(sweep, element, add) {
    const { trials, labels, lanes, starts, ends, states } = sweep.data.timeline;
    const slots = Math.max(-1, ...new Set(lanes)) + 1;
    element.querySelector(".canvas").style.height = `${Math.min(620, Math.max(170, 90 + slots * 26))}px`;
    const unit = Math.max(0, ...ends.slice(-MANY)) < 0.2 ? [60, "minutes"] : [1, "hours"];
    add(element, () => {
      const colours = { COMPLETE: css("--sky"), PRUNED: css("--warm"), FAIL: css("--bad"), RUNNING: css("--good"), WAITING: css("--muted"), RETRIED: css("--muted") };
      const names = { COMPLETE: "complete", PRUNED: "pruned", FAIL: "failed", RUNNING: "running", WAITING: "interrupted", RETRIED: "attempt that was retried" };
      const traces = [...Object.keys(colours), "marked"].map((state) => {
        const x = [], y = [], text = [];
        for (let k = 0; k < trials.length; k++) {
          const i = sweep.indexOf.get(trials[k]);
          if (!sweep.isShown[i] || (state === "marked" ? !sweep.isMarked[i] : states[k] !== state)) continue;
          const label = plain(`trial ${trials[k]}${labels?.[k] ? `/${labels[k]}` : ""}`);
          x.push(starts[k] * unit[0], ends[k] * unit[0], null); y.push(lanes[k], lanes[k], null); text.push(label, label, null);
        }
        return { type: "scatter", mode: "lines", x, y, text, name: names[state] ?? "marked", showlegend: x.length > 0, connectgaps: false, opacity: state !== "marked" && sweep.marked.length ? 0.35 : 0.9,
          line: { color: colours[state] ?? css("--mark"), width: Math.max(3, Math.min(16, 320 / Math.max(1, slots))) }, hovertemplate: `%{text}<br>%{x:.4~g} ${unit[1]}<extra></extra>` };
      });
      return { traces, layout: { xaxis: { title: { text: `${unit[1]} since the first trial started` } }, yaxis: { title: { text: "slot" }, dtick: slots > 12 ? undefined : 1, range: [slots - 0.4, -0.6], zeroline: false }, showlegend: true } };
    }, { linked: true });
  }

  // ---- the page --------------------------------------------------------------------------------------------------

  const panels = [...document.querySelectorAll("[data-sweep]")];
  const sweeps = panels.map((panel) => new Sweep(panel));
  const redraw = () => { for (const sweep of sweeps) for (const view of sweep.views) view.draw(); for (const chart of charts) chart.refresh(); };

  const comparison = document.querySelector("[data-comparison]");
  if (comparison) {
    const metric = sweeps.find((sweep) => sweep.data.progress[0]?.values.length)?.data.progress[0].metric;
    const compared = sweeps.filter((sweep) => sweep.data.progress[0]?.metric === metric && sweep.data.progress[0].values.length);
    comparison.hidden = compared.length < 2; // other metrics cannot be compared
    if (compared.length < sweeps.length) comparison.querySelector("figcaption").append(make("p", { textContent: `Sweeps with a best value of ${metric}: ${compared.map((sweep) => sweep.data.name).join(", ")}.` }));
    new Chart(comparison, () => {
      const colours = ["--accent", "--mark", "--good", "--bad", "--warm", "--sky"].map(css), dashes = ["solid", "dash", "dot", "dashdot"];
      const traces = compared.map((sweep, k) => ({ ...progressTrace(sweep.data.progress[0], false), name: plain(sweep.data.name), line: { shape: "hv", width: 2.2, color: colours[k % 6], dash: dashes[Math.floor(k / 6) % 4] }, marker: { size: 5, color: colours[k % 6] } }));
      return { traces, layout: { xaxis: { title: { text: "slot hours" }, rangemode: "tozero" }, yaxis: axis(metric, compared.flatMap((sweep) => sweep.data.progress[0].values.map(decode))), showlegend: true } };
    });
  }

  const tabs = [...document.querySelectorAll("[role=tab]")];
  const select = (chosen) => {
    tabs.forEach((tab, k) => { tab.setAttribute("aria-selected", String(k === chosen)); tab.tabIndex = k === chosen ? 0 : -1; panels[k].hidden = k !== chosen; });
    redraw();
  };
  tabs.forEach((tab, k) => {
    tab.addEventListener("click", () => { select(k); panels[k].scrollIntoView(); });
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) { const next = (k + step + tabs.length) % tabs.length; select(next); tabs[next].focus(); }
    });
  });
  for (const link of document.querySelectorAll("[data-tab]")) link.addEventListener("click", () => select(Number(link.dataset.tab)));
  if (tabs.length) select(0);

  const root = document.documentElement, prefersDark = matchMedia("(prefers-color-scheme: dark)");
  document.getElementById("theme").addEventListener("click", () => {
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches;
    root.dataset.theme = isDark ? "light" : "dark";
    redraw();
  });
  prefersDark.addEventListener("change", redraw);

  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      const content = button.closest(".copyable").querySelector("pre");
      try {
        await navigator.clipboard.writeText(content.textContent);
      } catch { // no permission: the user can copy what is selected
        getSelection().selectAllChildren(content);
        document.execCommand("copy");
      }
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
  for (const button of document.querySelectorAll("[data-save]")) {
    button.addEventListener("click", () => {
      const url = URL.createObjectURL(new Blob([button.closest(".copyable").querySelector("pre").textContent], { type: "text/plain" }));
      make("a", { href: url, download: button.dataset.save }).click();
      setTimeout(() => URL.revokeObjectURL(url), 1000);
    });
  }

  // Paper is white, and does not scroll, which would draw a plot.
  const PAPER = 660;
  let screenTheme = "";
  addEventListener("beforeprint", () => {
    screenTheme = root.dataset.theme ?? "";
    root.dataset.theme = "light";
    for (const details of document.querySelectorAll("details[data-print]")) details.open = true;
    for (const sweep of sweeps) for (const view of sweep.views) { view.forced = PAPER; view.paint?.(); }
    for (const chart of charts) if (chart.isVisible) chart.print(chart.figure.matches(".slices > :not(.wide), .pairs > *") ? PAPER / 2 : PAPER);
  });
  addEventListener("afterprint", () => {
    if (screenTheme) root.dataset.theme = screenTheme; else delete root.dataset.theme;
    for (const sweep of sweeps) for (const view of sweep.views) view.forced = undefined;
    for (const chart of charts) chart.stopPrinting();
    redraw();
  });
})();
