// Lists of cells, conditions and review in the browser: a part of browser.js.

  // ---- cells of all FOVs

  function frameOf(context, style, x, y, width, height) { // of an empty plot, ready for its labels
    context.clearRect(0, 0, context.canvas.width, context.canvas.height);
    context.font = "22px system-ui, sans-serif";
    context.fillStyle = style.getPropertyValue("--soft");
    context.strokeStyle = style.getPropertyValue("--rule");
    context.strokeRect(x, y, width, height);
  }
  function columnWords(key, column) {
    return files.get(key).of.columns[column] ?? column;
  }
  const columnsOf = (key, columns) => columns.map((column) => [columnWords(key, column), (row) => row[column]]);
  function columnsOfAll() { // by their words: a channel may have another index in another dataset
    const named = new Map(index.datasets.map((dataset) => [dataset, new Map(dataset.shown.map((column) => [dataset.columns[column] ?? column, column]))]));
    return [...new Set([...named.values()].flatMap((words) => [...words.keys()]))].map((words) => [words, (row) => row[named.get(files.get(row.key).of).get(words)] ?? NaN]);
  }
  function address(row) {
    const { dataset, index: fov } = files.get(row.key);
    return `fov/${encodeURIComponent(dataset)}/${fov}/${row.id}`;
  }
  class Row { // a cell in lists; what people say of it may change
    constructor(key, data, i) {
      const from = data.first[i], to = data.first[i + 1], flags = new Map();
      const parsed = data.parsed ??= data.verdicts.map(([fine, text]) => [fine, text.split(";").filter(Boolean)]);
      const there = data.acquired ??= data.time.map((_, t) => t).filter((t) => !data.missing?.includes(t));
      let good = 0, weakest = -1;
      for (let row = from; row < to; row++) {
        const [fine, names] = parsed[data.verdict[row]];
        good += fine;
        for (const flag of names) flags.set(flag, (flags.get(flag) ?? 0) + 1);
        if (weakest < 0 ? data.confidence[row] >= 0 : data.confidence[row] < data.confidence[weakest]) weakest = row;
      }
      Object.assign(this, {
        key, data, i, id: data.id[i], n: to - from, first: data.frame[from], last: data.frame[to - 1], good, flags: [...flags], confidence: weakest < 0 ? NaN : data.confidence[weakest],
        weakest: weakest < 0 ? -1 : data.frame[weakest], whole: there.length, begins: data.frame[from] > there[0], ends: data.frame[to - 1] < there[there.length - 1], parent: data.parent[i], x: data.startX(i), y: data.startY(i),
      });
      for (const column of data.columns) this[column] = data.medians[column][i];
    }
    get verdict() { return verdictOf(this.key, this.data, this.i); }
    get judged() { return said(this.key, this.data, this.i).length; }
  }
  const summary = (key, data, i) => ((data.summaries ??= [])[i] ??= new Row(key, data, i));
  async function everything(progress) {
    const found = [], those = [...files.entries()].filter(([, each]) => each.numbers).map(([key]) => key);
    for (let k = 0; k < those.length; k++) {
      for (const next of those.slice(k, k + 8)) load("numbers", next).catch(() => {}); // files are read ahead
      const data = await load("numbers", those[k]);
      for (let i = 0; i < data.cells; i++) found.push(summary(those[k], data, i));
      progress((k + 1) / those.length, found);
    }
    return found;
  }
  function table(columns, choose, more = []) { // its rows are made as they come into sight
    const heads = [...more, ["cell", (row) => row.id], ["frames", (row) => row.n], ["from", (row) => row.first], ["good", (row) => row.good], ...columns, ["weakest link", (row) => row.confidence], ["flags", (row) => row.flags.map(([flag]) => flag).join(" ")], ["verdict", (row) => (row.verdict ? WORDS[row.verdict] : row.judged ? "corrected" : "")]];
    let by = -1, up = true, rows = [], sorted = [], made = 0;
    const body = h("tbody"), rest = h("div", { class: "rest" });
    const line = (row) => h("tr", { tabindex: "0", onclick: () => choose(row), onkeydown: (event) => { if (event.key === "Enter") choose(row); } }, heads.map(([, of]) => { const value = of(row); return h("td", { class: typeof value === "number" ? "num" : null }, typeof value === "number" ? short(value) : value); }));
    const grow = () => {
      body.append(...sorted.slice(made, made + 60).map(line));
      made = Math.min(made + 60, sorted.length);
      rest.hidden = made === sorted.length;
    };
    const fill = () => {
      const order = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b), none = Number.isNaN; // cells without a value come last
      sorted = by < 0 ? rows : rows.map((row) => [heads[by][1](row), row]).sort(([a], [b]) => none(a) - none(b) || (up ? order(a, b) : order(b, a))).map(([, row]) => row);
      made = 0;
      body.replaceChildren();
      grow();
    };
    const head = h("tr", {}, heads.map(([name], k) => h("th", { scope: "col" }, button(name, (event) => {
      up = by === k ? !up : true;
      by = k;
      head.querySelectorAll("th").forEach((each, j) => each.setAttribute("aria-sort", j === k ? (up ? "ascending" : "descending") : "none"));
      event.currentTarget.blur();
      fill();
    }))));
    const scroll = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Cells" }, h("table", {}, h("thead", {}, head), body), rest);
    const seen = () => { if (scroll.scrollTop + scroll.clientHeight > scroll.scrollHeight - 600) grow(); };
    scroll.addEventListener("scroll", seen);
    return { element: h("div", { class: "listed" }, scroll), show: (some) => { rows = some; fill(); } };
  }
  const ofAll = () => [...(index.datasets.length > 1 ? [["dataset", (row) => files.get(row.key).dataset]] : []), ["FOV", (row) => files.get(row.key).index]];
  const option = (names) => names.map((name) => h("option", {}, name));
  const wordsIn = (dataset, column) => index.datasets.find((each) => each.name === dataset)?.columns[column] ?? column;
  async function numbersOfCells() { // what lists and plots can show of a cell, by its words
    const fits = new Map();
    for (const dataset of index.datasets) fits.set(dataset.name, await fitsOf(dataset.name));
    const named = [...new Set(index.fits.flatMap((told) => told.parameters.map(([name, unit]) => JSON.stringify([told.model, wordsIn(told.dataset, told.column), name, unit]))))].map((text) => JSON.parse(text));
    const fitOf = ([model, words, name]) => (row) => {
      const { dataset, index: fov } = files.get(row.key), fit = fits.get(dataset)(fov, row.id).find((each) => each.model === model && wordsIn(dataset, each.column) === words);
      return fit?.success ? fit.parameters.find((each) => each.name === name)?.value ?? NaN : NaN;
    };
    return {
      frames: (row) => row.n, "good frames": (row) => row.good, "first frame": (row) => row.first, "weakest link": (row) => row.confidence, x: (row) => row.x, y: (row) => row.y,
      ...Object.fromEntries(columnsOfAll()),
      ...Object.fromEntries(named.map((each) => [`${each[2]}${each[3] && ` (${each[3]})`}, ${each[0]} of ${each[1]}`, fitOf(each)])),
    };
  }
  const samplesOf = (row) => { const { dataset, index: fov } = files.get(row.key); return index.samples.filter((each) => each.dataset === dataset && each.fovs.includes(fov)); };
  async function cells(body, [wanted]) {
    const columns = columnsOfAll(), numbers = await numbersOfCells();
    const ofSample = h("select", { onchange: update }, option(["any sample", ...index.samples.map((each) => each.sample)]));
    if (index.samples.some((each) => each.sample === wanted)) ofSample.value = wanted;
    const which = h("select", { onchange: update }, option(["all cells", "with good frames", "without a good frame", "judged", "not judged"]));
    const flagged = h("select", { onchange: update }, option(["any flag"])), flags = new Set();
    const least = h("input", { type: "number", min: 0, value: 0, oninput: update, "aria-label": "Least number of frames" });
    const names = Object.keys(numbers), across = h("select", { onchange: update }, option(names)), along = h("select", { onchange: update }, option(names));
    across.value = names[Math.min(names.length - 1, 6)];
    along.value = names[Math.min(5 + columns.length, names.length - 1)];
    let rows = [], due = 1;
    let lasso = [];
    const canvas = h("canvas", { class: "scatter", role: "img", "aria-label": "Scatter plot of the cells; the table beside it lists them", width: 900, height: 640 });
    const words = h("p", { class: "hint" }), listed = table(columns, (row) => { location.hash = address(row); }, ofAll());
    const bar = h("progress", { max: 1, value: 0, "aria-label": "Loading cells" }), loading = h("p", { class: "hint" }, "Loading the cells of all fields … ", bar);
    let shownRows = [], spots = [];
    function update() {
      const test = { "with good frames": (row) => row.good > 0, "without a good frame": (row) => !row.good, "judged": (row) => row.judged, "not judged": (row) => !row.judged }[which.value] ?? (() => true);
      shownRows = rows.filter((row) => test(row) && row.n >= Number(least.value) && (ofSample.value === "any sample" || samplesOf(row).some((each) => each.sample === ofSample.value)) && (flagged.value === "any flag" || row.flags.some(([flag]) => flag === flagged.value)));
      lasso = [];
      paint();
    }
    function inside([x, y]) {
      let odd = false;
      for (let a = 0, b = lasso.length - 1; a < lasso.length; b = a++) {
        const [ax, ay] = lasso[a], [bx, by] = lasso[b];
        if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) odd = !odd;
      }
      return odd;
    }
    function paint() {
      const context = canvas.getContext("2d"), { width, height } = canvas, style = getComputedStyle(document.documentElement);
      const values = shownRows.map((row) => [numbers[across.value](row), numbers[along.value](row)]);
      const finite = values.filter((each) => each.every(Number.isFinite));
      const bounds = [0, 1].map((k) => { const some = finite.map((each) => each[k]).sort((a, b) => a - b), low = some[Math.floor(some.length * 0.002)] ?? 0, high = some[Math.ceil(some.length * 0.998) - 1] ?? 1; return [low, high > low ? high : low + 1]; });
      const px = (value) => 110 + ((width - 130) * (value - bounds[0][0])) / (bounds[0][1] - bounds[0][0]), py = (value) => height - 60 - ((height - 90) * (value - bounds[1][0])) / (bounds[1][1] - bounds[1][0]);
      frameOf(context, style, 110, 20, width - 120, height - 76);
      context.textAlign = "center";
      context.fillText(across.value, width / 2, height - 8);
      bounds[0].forEach((value, k) => { context.textAlign = k ? "right" : "left"; context.fillText(short(value), k ? width - 12 : 110, height - 32); });
      context.textAlign = "right";
      bounds[1].forEach((value, k) => context.fillText(short(value), 104, k ? 40 : height - 58));
      context.save();
      context.translate(22, height / 2);
      context.rotate(-Math.PI / 2);
      context.textAlign = "center";
      context.fillText(along.value, 0, 0);
      context.restore();
      spots = values.map(([x, y]) => [px(x), py(y)]);
      const caught = lasso.length > 2 ? shownRows.filter((_, k) => inside(spots[k])) : shownRows;
      const set = new Set(caught);
      spots.forEach(([x, y], k) => {
        if (!Number.isFinite(x) || !Number.isFinite(y)) return;
        context.globalAlpha = set.has(shownRows[k]) ? 0.75 : 0.12;
        context.fillStyle = shownRows[k].verdict ? COLOURS[shownRows[k].verdict] : shownRows[k].good ? "#0072b2" : "#d98200";
        if (shownRows.length > 3000) { context.fillRect(x - 2, y - 2, 4, 4); return; }
        context.beginPath();
        context.arc(x, y, 4.5, 0, 7);
        context.fill();
      });
      context.globalAlpha = 1;
      if (lasso.length > 1) { context.beginPath(); lasso.forEach(([x, y]) => context.lineTo(x, y)); context.closePath(); context.strokeStyle = style.getPropertyValue("--ink"); context.stroke(); }
      words.textContent = `${plural(caught.length, "cell")}${lasso.length > 2 ? " in the lasso; click the plot to let go" : ". Draw around points to choose them"}. Blue: with good frames, orange: without; green: accepted, red: rejected.`;
      listed.show(caught);
    }
    const spot = (event) => { const box = canvas.getBoundingClientRect(); return [((event.clientX - box.left) / box.width) * canvas.width, ((event.clientY - box.top) / box.height) * canvas.height]; };
    let drawing = false;
    canvas.addEventListener("pointerdown", (event) => { drawing = true; lasso = [spot(event)]; canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener("pointermove", (event) => { if (drawing) lasso.push(spot(event)); });
    canvas.addEventListener("pointerup", (event) => {
      drawing = false;
      if (lasso.length < 4) {
        const [x, y] = spot(event), near = spots.map(([a, b], k) => [Math.hypot(a - x, b - y), k]).sort((a, b) => a[0] - b[0])[0];
        lasso = [];
        if (near && near[0] < 8) { location.hash = address(shownRows[near[1]]); return; }
      }
      paint();
    });
    body.replaceChildren(
      h("div", { class: "tools" }, index.samples.length ? h("label", {}, "sample ", ofSample) : null, h("label", {}, "show ", which), h("label", {}, "flag ", flagged), h("label", {}, "at least ", least, " frames"), h("label", {}, "across ", across), h("label", {}, "up ", along)),
      loading,
      h("div", { class: "pair even" }, h("div", {}, canvas, words), listed.element));
    await everything((part, found) => { // shown from the first field on, and again whenever twice as many are there
      bar.value = part;
      rows = found;
      if (!body.isConnected || (found.length < due && part < 1)) return;
      due = 2 * found.length;
      const fresh = new Set(found.flatMap((row) => row.flags.map(([flag]) => flag)));
      flagged.append(...option([...fresh].filter((flag) => !flags.has(flag)).sort()));
      for (const flag of fresh) flags.add(flag);
      if (lasso.length) words.textContent += " Further fields are loaded: change the filter to see them."; else update();
    });
    if (!rows.length) throw new Error("There are no cells.");
    loading.remove();
  }

  // ---- conditions: their replicates, and the cells of these

  async function conditions(body) {
    const numbers = await numbersOfCells(), names = Object.keys(numbers), key = (each) => each.condition || each.sample;
    const bar = h("progress", { max: 1, value: 0, "aria-label": "Loading cells" });
    body.append(h("p", { class: "hint" }, "Loading the cells of all fields …"), bar);
    const rows = (await everything((part) => { bar.value = part; })).filter((row) => row.good);
    if (!body.isConnected) return;
    const members = new Map(index.samples.map((each) => [each, []]));
    for (const row of rows) for (const each of samplesOf(row)) members.get(each).push(row);
    const units = new Map(); // samples of one condition and one name of a replicate are one, as in the statistics
    for (const [sample, cells] of members) {
      const name = JSON.stringify([key(sample), sample.replicate]), unit = units.get(name) ?? { condition: key(sample), replicate: sample.replicate, samples: [], cells: [] };
      units.set(name, unit);
      unit.samples.push(sample.sample);
      unit.cells.push(...cells);
    }
    const known = [...new Set(index.samples.map(key))], asNumber = known.every((name) => name !== "" && Number.isFinite(Number(name)));
    const order = asNumber ? known.sort((a, b) => a - b) : known, replicates = [...new Set(index.samples.map((each) => each.replicate))];
    const which = h("select", { onchange: paint }, option(names));
    which.value = names[Math.min(5 + columnsOfAll().length, names.length - 1)];
    const canvas = h("canvas", { class: "scatter", role: "img", "aria-label": "Cells by condition; the list below has the same numbers", width: body.clientWidth < 600 ? 650 : 1300, height: 620 }), tip = h("p", { class: "hint" }, "Small: a cell. Large: the median of a replicate. Point at one to read it, click a cell to open it."), below = h("div");
    let spots = [];
    const valued = (values) => { const some = values.filter(Number.isFinite); return `median ${short(median(some))} of ${plural(some.length, "cell")}${some.length < values.length ? `, ${values.length - some.length} without a value` : ""}`; };
    function paint() {
      const of = numbers[which.value], context = canvas.getContext("2d"), { width, height } = canvas, style = getComputedStyle(document.documentElement);
      const all = [...members.values()].flat().map(of).filter(Number.isFinite).sort((a, b) => a - b);
      const low = all[Math.floor(all.length * 0.005)] ?? 0, top = all[Math.ceil(all.length * 0.995) - 1] ?? 1, high = top > low ? top : low + 1;
      const py = (value) => height - 60 - ((height - 90) * (value - low)) / (high - low), wide = (width - 140) / order.length;
      frameOf(context, style, 120, 15, width - 130, height - 70);
      context.textAlign = "right";
      [low, (low + high) / 2, high].forEach((value) => context.fillText(short(value), 112, py(value) + 8));
      context.textAlign = "center";
      order.forEach((name, k) => context.fillText(name, 120 + wide * (k + 0.5), height - 24, wide));
      spots = [];
      const large = [];
      for (const [sample, cells] of members) {
        const k = order.indexOf(key(sample)), r = replicates.indexOf(sample.replicate), values = cells.map(of), some = Math.max(1, Math.ceil(cells.length / 1500));
        context.fillStyle = TONES[r % TONES.length];
        context.globalAlpha = 0.65;
        cells.forEach((row, j) => {
          if (!Number.isFinite(values[j]) || j % some) return;
          const x = 120 + wide * (k + 0.5 + 0.7 * (((row.id * 0.618 + r * 0.37) % 1) - 0.5)), y = clamp(py(values[j]), 15, height - 55);
          spots.push({ x, y, row, words: `${sample.sample}, FOV ${files.get(row.key).index}, cell ${row.id}: ${short(values[j])}` });
          context.beginPath();
          context.arc(x, y, all.length > 3000 ? 2.4 : 4, 0, 7);
          context.fill();
        });
      }
      for (const unit of units.values()) {
        const k = order.indexOf(unit.condition), r = replicates.indexOf(unit.replicate), values = unit.cells.map(of).filter(Number.isFinite), middle = median(values);
        if (values.length) large.push({ x: 120 + wide * (k + 0.5 + 0.5 * ((r + 0.5) / replicates.length - 0.5)), y: py(middle), r, words: `${unit.samples.join(", ")}: median ${short(middle)} of ${plural(values.length, "cell")}` });
      }
      context.globalAlpha = 1;
      for (const each of large) {
        context.beginPath();
        context.arc(each.x, each.y, 12, 0, 7);
        context.fillStyle = TONES[each.r % TONES.length];
        context.fill();
        context.lineWidth = 3;
        context.strokeStyle = style.getPropertyValue("--ink");
        context.stroke();
      }
      spots = [...large, ...spots];
      below.replaceChildren(...order.map((name) => {
        const those = [...members].filter(([sample]) => key(sample) === name), own = [...units.values()].filter((unit) => unit.condition === name);
        return h("details", { open: order.length < 5 },
          h("summary", {}, h("b", {}, name), `: ${plural(own.length, "replicate")}${those.length > own.length ? ` of ${plural(those.length, "sample")}` : ""}, ${plural(those.reduce((sum, [, cells]) => sum + cells.length, 0), "good cell")}; median of the replicates ${short(median(own.map((unit) => median(unit.cells.map(of)))))}${those.length > 1 && !own.some((unit) => unit.replicate) ? "; no replicates are named: all its samples count as one" : ""}`),
          h("ul", {}, those.map(([sample, cells]) => h("li", {},
            h("a", { href: `#cells/${encodeURIComponent(sample.sample)}` }, sample.sample), `${sample.replicate && `, replicate ${sample.replicate}`}: ${valued(cells.map(of))}. FOVs `,
            sample.fovs.map((fov, j) => [j ? ", " : "", files.get(`${sample.dataset}/${fov}`)?.numbers ? h("a", { href: `#fov/${encodeURIComponent(sample.dataset)}/${fov}` }, String(fov)) : String(fov)])))));
      }));
    }
    const near = (event) => {
      const box = canvas.getBoundingClientRect(), x = ((event.clientX - box.left) / box.width) * canvas.width, y = ((event.clientY - box.top) / box.height) * canvas.height;
      return spots.find((each) => Math.hypot(each.x - x, each.y - y) < (each.row ? 7 : 13));
    };
    canvas.addEventListener("pointermove", (event) => { const found = near(event); if (found) tip.textContent = `${found.words}.`; });
    canvas.addEventListener("click", (event) => { const found = near(event); if (found?.row) location.hash = address(found.row); });
    body.replaceChildren(
      h("h2", {}, "Conditions"), h("div", { class: "tools" }, h("label", {}, "number ", which), h("span", {}, "replicate"), replicates.slice(0, 12).map((name, r) => h("span", { class: "key" }, h("i", { style: `background:${TONES[r % TONES.length]}` }), name || "not named"))), canvas, tip, below);
    paint();
  }

  // ---- review: doubt times influence

  async function doubtful(progress) {
    const rows = (await everything(progress)).filter((row) => row.n > 1);
    const byDataset = new Map();
    for (const row of rows) {
      const of = files.get(row.key).of, column = of.shown[of.shown.length - 1];
      if (!byDataset.has(of)) byDataset.set(of, []);
      byDataset.get(of).push([row, row[column]]);
    }
    for (const [of, pairs] of byDataset) {
      const middle = median(pairs.map(([row, value]) => (row.good ? value : NaN))), spread = 1.4826 * median(pairs.map(([row, value]) => (row.good ? Math.abs(value - middle) : NaN))) || 1;
      for (const [row, value] of pairs) {
        const share = row.good / row.n, far = Math.abs(value - middle) / spread, odd = Number.isFinite(far) ? Math.min(far, 5) / 5 : 0;
        const reasons = [];
        if (row.confidence < 0.8) reasons.push([1 - row.confidence, `a link of ${Math.round(100 * row.confidence)} % before frame ${row.weakest}`]);
        if (share > 0 && share < 1) reasons.push([1 - Math.abs(2 * share - 1), `good in ${Math.round(100 * share)} % of its frames`]);
        if (row.begins && !row.parent && row.n > 2) reasons.push([0.35, `begins in frame ${row.first}, and not by a division`]);
        if (row.ends && row.n > 2) reasons.push([0.25, `ends in frame ${row.last}`]);
        if (odd > 0.7) reasons.push([odd * 0.6, `far from the others in ${columnWords(row.key, of.shown[of.shown.length - 1])}`]);
        const doubt = 1 - reasons.reduce((left, [part]) => left * (1 - clamp(part, 0, 0.95)), 1);
        row.score = doubt * (0.15 + 0.5 * odd + 0.35 * Math.min(1, row.n / row.whole));
        row.why = reasons.sort((a, b) => b[0] - a[0]).map(([, words]) => words).join("; ");
      }
    }
    return rows.filter((row) => row.score > 0).sort((a, b) => b.score - a.score);
  }
  async function review(body) {
    const bar = h("progress", { max: 1, value: 0, "aria-label": "Loading cells" });
    body.append(h("p", { class: "hint" }, "Looking through the cells of all fields …"), bar);
    const rows = await doubtful((part) => { bar.value = part; }), first = rows.slice(0, 40);
    if (!body.isConnected) return;
    const done = first.filter((row) => row.judged).length;
    body.replaceChildren(
      h("h2", {}, first.length ? `Review these ${first.length} of ${rows.length} doubtful cells first` : "No cell is in doubt"),
      h("p", { class: "hint" }, "Ordered by doubt (weak links, broken tracks, flags in a part of the frames) times influence (long tracks, values far from the others'). Open the first, judge it with A or R, and go on with N."),
      h("p", {}, h("progress", { max: Math.max(first.length, 1), value: done, "aria-label": "Reviewed" }), ` ${done} of ${first.length} judged`),
      h("ol", { class: "review" }, first.map((row) => h("li", { class: row.judged ? "done" : null }, h("a", { href: `#${address(row)}` }, `${index.datasets.length > 1 ? `${files.get(row.key).dataset}, ` : ""}FOV ${files.get(row.key).index}, cell ${row.id}`), h("span", {}, row.verdict ? WORDS[row.verdict] : row.judged ? "corrected" : row.why)))));
    keys = { n: () => { const next = rows.find((row) => !row.judged); if (next) location.hash = address(next); } };
  }
