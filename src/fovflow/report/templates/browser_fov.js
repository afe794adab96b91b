// One FOV in the browser: a part of browser.js.

  // ---- one FOV: frames, cells, traces

  const look = { channel: "", outlines: true, ids: false, tails: false, by: "verdict", light: 1, shine: 1 };
  async function one(body, [dataset, fov, cellText, frameText]) {
    const key = `${dataset}/${fov}`;
    if (!files.get(key)?.numbers) throw new Error(`There is nothing to look at of FOV ${fov} of ${dataset}: it is ${files.get(key)?.status ?? "not in this report"}.`);
    body.append(h("p", { class: "hint" }, "Loading …"));
    const data = await load("numbers", key);
    let pictures = null, trouble = "";
    try { pictures = await load("pictures", key); } catch (error) { trouble = error.message; }
    const fits = await fitsOf(dataset, Number(fov));
    if (!body.isConnected) return; // somebody went on meanwhile
    const all = [...files.values()].filter((each) => each.dataset === dataset && each.numbers), here = all.findIndex((each) => each.index === Number(fov));
    const go = (to) => (to ? h("a", { href: `#fov/${encodeURIComponent(dataset)}/${to.index}`, class: "step" }, to === all[here + 1] ? "next ›" : "‹ before") : null);
    const name = files.get(key).name;
    const count = pictures ? pictures.frames.length : 0;
    let pinned = -1, shown = 0, chosen = -1, other = -1, playing = 0, waits = "", token = 0;
    const zoom = { scale: 1, x: 0, y: 0 };

    // The viewer: three canvases, so that light is changed without drawing anew.
    const canvases = () => ["phase", "glow", "lines"].map((each) => h("canvas", { class: each, "aria-hidden": "true" }));
    const layers = canvases(), besides = canvases(), shape = pictures ? `aspect-ratio:${pictures.width}/${pictures.height};max-width:calc(76vh * ${pictures.width / pictures.height})` : null;
    const tip = h("div", { class: "tip", hidden: true });
    const stage = h("div", { class: "stage", tabindex: "0", role: "application", "aria-label": "Frames of this field of view. Arrow keys change frame and cell.", style: shape }, layers, tip);
    const twin = h("div", { class: "stage", "aria-hidden": "true", style: shape }, besides); // fluorescence, where it is shown beside phase
    const slider = h("input", { type: "range", min: 0, max: Math.max(count - 1, 0), value: 0, "aria-label": "Frame", oninput: () => show(Number(slider.value)) });
    const clock = h("output", { class: "clock" });
    const side = h("div", { class: "side" });
    const fluorescent = pictures ? pictures.channels.map((each, i) => [each, i]).filter(([each]) => each.kind === "fl") : [];
    const modes = pictures ? [["phase", pictures.channels[0].name || "phase"], ...fluorescent.map(([each, i]) => [`fl${i}`, each.name || `channel ${each.index}`]), ...(fluorescent.length && pictures.channels[0].kind === "pc" ? [["both", "Both"], ["beside", "Side by side"]] : [])] : [];
    if (!modes.some(([id]) => id === look.channel)) look.channel = (modes.find(([id]) => id === "both") ?? modes[modes.length - 1] ?? [""])[0];
    const toggle = (id, text) => h("label", { class: "switch" }, h("input", { type: "checkbox", checked: look[id], onchange: (event) => { look[id] = event.target.checked; draw(); }, onclick: (event) => event.detail && event.target.blur() }), text); // so that Space plays after a click
    const range = (id, text) => h("label", { class: "range" }, text, h("input", { type: "range", min: 0.3, max: 3, step: 0.05, value: look[id], oninput: (event) => { look[id] = Number(event.target.value); light(); } }));
    const tools = h("div", { class: "tools" },
      h("span", { class: "modes", role: "group", "aria-label": "Channel" }, modes.map(([id, text]) => button(text, () => { look.channel = id; mark(); draw(); }, { "data-mode": id }))),
      toggle("outlines", "outlines"), toggle("ids", "ids"), toggle("tails", "tails"),
      h("label", {}, "colour ", h("select", { onchange: (event) => { look.by = event.target.value; draw(); } }, [["verdict", "verdict"], ["cell", "cell"], ["confidence", "confidence"]].map(([id, text]) => h("option", { value: id, selected: look.by === id }, text)))),
      range("light", "light"), fluorescent.length ? range("shine", "glow") : null,
      button("whole frame", () => { Object.assign(zoom, { scale: 1, x: 0, y: 0 }); draw(); }));
    const play = button("▶", start, { title: "Play (Space)", "aria-label": "Play" });
    body.replaceChildren(
      h("div", { class: "title" }, h("h2", {}, `${dataset} · FOV ${fov}`, name && h("small", {}, ` ${name}`)), go(all[here - 1]), go(all[here + 1])),
      h("div", { class: "pair" },
        h("div", { class: "viewer" }, pictures && count ? [tools, h("div", { class: "shelf" }, stage, twin), h("div", { class: "time" }, play, slider, clock)] : h("p", { class: "trouble" }, trouble || "There are no pictures: browse.pictures is 0, or no frame was acquired.")),
        side));
    const mark = () => body.querySelectorAll("[data-mode]").forEach((each) => each.setAttribute("aria-pressed", each.dataset.mode === look.channel));
    function light() {
      layers[0].style.filter = `brightness(${look.light})`;
      for (const each of [layers[1], besides[0]]) each.style.filter = `brightness(${look.shine})`;
    }
    function rowAt(i, frame) {
      for (let row = data.first[i]; row < data.first[i + 1]; row++) if (data.frame[row] === frame) return row;
      return -1;
    }
    function colour(i, row) {
      if (look.by === "cell") return hue(data.id[i]);
      if (look.by === "confidence") return Number.isFinite(data.confidence[row]) ? cividis(data.confidence[row]) : "#999";
      return COLOURS[verdictOf(key, data, i)] || (row >= 0 && data.verdicts[data.verdict[row]][0] ? COLOURS.good : COLOURS.bad);
    }
    async function draw() {
      if (!count) return;
      const mine = ++token, frame = pictures.frames[shown], beside = look.channel === "beside";
      if (beside && !twin.isConnected) stage.after(twin);
      if (!beside) twin.remove();
      const base = look.channel.startsWith("fl") ? Number(look.channel.slice(2)) : 0;
      const [picture, glow, shapes] = await Promise.all([image(pictures, base, shown), ["both", "beside"].includes(look.channel) ? Promise.all(fluorescent.map(([, i]) => image(pictures, i, shown))) : [], outlines(pictures, shown)]);
      if (mine !== token || !stage.isConnected) return;
      paint(layers, picture, beside ? [] : glow, shapes, frame);
      if (beside) paint(besides, glow[0], [], shapes, frame);
    }
    function paint(layers, picture, glow, shapes, frame) {
      const box = stage.getBoundingClientRect(), ratio = window.devicePixelRatio || 1, fit = (box.width / pictures.width) * zoom.scale;
      layers.forEach((each) => {
        const [width, height] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
        if (each.width !== width || each.height !== height) { each.width = width; each.height = height; }
        const context = each.getContext("2d");
        context.setTransform(1, 0, 0, 1, 0, 0);
        context.globalCompositeOperation = "source-over";
        context.clearRect(0, 0, each.width, each.height);
        context.setTransform(fit * ratio, 0, 0, fit * ratio, -zoom.x * fit * ratio, -zoom.y * fit * ratio);
        context.imageSmoothingEnabled = fit * ratio < 4;
      });
      const [under, over, lines] = layers.map((each) => each.getContext("2d"));
      under.drawImage(picture, 0, 0);
      glow.forEach((each, k) => {
        const tinted = new OffscreenCanvas(pictures.width, pictures.height), inside = tinted.getContext("2d");
        inside.drawImage(each, 0, 0);
        inside.globalCompositeOperation = "multiply";
        inside.fillStyle = TINTS[k % TINTS.length];
        inside.fillRect(0, 0, pictures.width, pictures.height);
        over.globalCompositeOperation = "lighter";
        over.drawImage(tinted, 0, 0);
      });
      lines.lineJoin = "round";
      const thin = 1.4 / fit;
      if (look.outlines || chosen >= 0) {
        for (const shape of shapes) {
          const i = data.place.get(shape.id) ?? -1;
          const named = i === chosen || i === other;
          if (i < 0 || (!look.outlines && !named)) continue;
          lines.strokeStyle = named ? COLOURS.chosen : colour(i, rowAt(i, frame));
          lines.lineWidth = named ? 2.2 * thin : thin;
          lines.setLineDash(i === other || verdictOf(key, data, i) === "reject" ? [4 * thin, 3 * thin] : []);
          lines.stroke(shape.path);
        }
        lines.setLineDash([]);
      }
      if (look.tails) {
        for (let i = 0; i < data.cells; i++) {
          const row = rowAt(i, frame);
          if (row < 0) continue;
          lines.beginPath();
          for (let each = Math.max(data.first[i], row - 12); each <= row; each++) lines.lineTo(data.x[each] + 0.5, data.y[each] + 0.5);
          lines.strokeStyle = colour(i, row);
          lines.lineWidth = thin;
          lines.stroke();
        }
      }
      if (look.ids) {
        lines.font = `${12 / fit}px system-ui, sans-serif`;
        lines.textAlign = "center";
        lines.lineWidth = 3 / fit;
        lines.strokeStyle = "#000b";
        for (const shape of shapes) { // above the cell, so that it is not covered
          const x = (shape.box[0] + shape.box[2]) / 2, y = Math.max(shape.box[1] - 3 / fit, 12 / fit), i = data.place.get(shape.id) ?? -1;
          if (i < 0) continue;
          lines.strokeText(shape.id, x, y);
          lines.fillStyle = colour(i, rowAt(i, frame));
          lines.fillText(shape.id, x, y);
        }
      }
      scaleBar(lines, fit * ratio, ratio);
    }
    function scaleBar(context, perPixel, ratio) {
      if (!data.pixel_um) return;
      const perUm = (perPixel * data.scale) / data.pixel_um, target = (context.canvas.width * 0.2) / perUm, ten = 10 ** Math.floor(Math.log10(target));
      const um = [5, 2, 1].map((step) => step * ten).find((step) => step <= target);
      const width = um * perUm, x = context.canvas.width - width - 14 * ratio, y = context.canvas.height - 14 * ratio;
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.fillStyle = "#000a";
      context.fillRect(x - 6 * ratio, y - 20 * ratio, width + 12 * ratio, 28 * ratio);
      context.fillStyle = "#fff";
      context.fillRect(x, y, width, 3 * ratio);
      context.font = `${12 * ratio}px system-ui, sans-serif`;
      context.textAlign = "center";
      context.fillText(`${um} µm`, x + width / 2, y - 5 * ratio);
    }
    function show(i) {
      if (!count) return;
      shown = clamp(i, 0, count - 1);
      slider.value = shown;
      const frame = pictures.frames[shown];
      const lacking = pictures.channels.filter((each) => each.missing?.includes(frame)).map((each) => ` · ${each.name || `channel ${each.index}`} not acquired`);
      clock.textContent = `frame ${frame} · ${short(data.time[frame])} ${data.unit}${lacking.join("")}`;
      side.querySelectorAll(".now").forEach((each) => { const [x0, x1, t0, t1] = each.dataset.axis.split(" ").map(Number), x = x0 + ((x1 - x0) * (data.time[frame] - t0)) / (t1 - t0 || 1); each.setAttribute("x1", x); each.setAttribute("x2", x); });
      side.querySelectorAll(".thumbs button").forEach((each) => each.setAttribute("aria-current", Number(each.dataset.picture) === shown));
      draw();
    }
    function nearest(frame) {
      return count ? pictures.frames.reduce((best, each, i) => (Math.abs(each - frame) < Math.abs(pictures.frames[best] - frame) ? i : best), 0) : 0;
    }
    function start() {
      if (playing) { clearInterval(playing); playing = 0; } else playing = setInterval(() => show((shown + 1) % count), 220);
      play.textContent = playing ? "❚❚" : "▶";
    }
    leave = () => clearInterval(playing);
    function choose(i, quiet = false) {
      if (waits && i !== chosen) { leavePair(); say(""); } // the other cell was wanted for the one before
      chosen = i;
      history.replaceState(null, "", `#fov/${encodeURIComponent(dataset)}/${fov}${i >= 0 ? `/${data.id[i]}` : ""}`);
      if (i >= 0 && count) {
        const frames = [...data.frame.subarray(data.first[i], data.first[i + 1])];
        if (!frames.includes(pictures.frames[shown])) show(nearest(frames[frames.length >> 1]));
      }
      panel();
      if (!quiet) draw();
    }
    function panel() {
      side.replaceChildren(...(chosen < 0 ? [list()] : [card(chosen)]));
      show(shown);
    }
    function list() {
      const rows = Array.from({ length: data.cells }, (_, i) => summary(key, data, i));
      const listed = table(columnsOf(key, data.columns), (row) => choose(row.i));
      listed.show(rows);
      return h("div", { class: "card" }, h("h3", {}, plural(data.cells, "cell")), h("p", { class: "hint" }, "Click a cell in the frame, or here."), listed.element);
    }
    function card(i) {
      const row = summary(key, data, i), { first, last } = row, of = said(key, data, i), own = fits(Number(fov), data.id[i]);
      const daughters = [...data.id].filter((_, j) => data.parent[j] === data.id[i]);
      const link = (id) => (data.place.has(id) ? button(`cell ${id}`, () => choose(data.place.get(id)), { class: "as-text" }) : `cell ${id}`);
      const judge = (action, text, letter) => button([text, h("kbd", {}, letter)], () => act(action), { class: action, "aria-pressed": action in COLOURS ? verdictOf(key, data, i) === action : null });
      return h("div", { class: "card" },
        h("div", { class: "title" }, h("h3", {}, `Cell ${data.id[i]}`), h("span", { class: `badge ${row.verdict || (row.good ? "good" : "bad")}` }, row.verdict ? WORDS[row.verdict] : row.good ? `good in ${row.good} of ${row.n} frames` : "not good"), button("×", () => choose(-1), { "aria-label": "Back to the list", class: "close" })),
        h("div", { class: "judge" }, judge("accept", "Accept", "A"), judge("reject", "Reject", "R"), judge("comment", "Comment", "C"), judge("cut", "Cut", "X"), judge("link", "Link", "L"), judge("merge", "Merge", "M"), judge("split", "Divides", "S"), button(["Undo", h("kbd", {}, "U")], undo), button(["Beside", h("kbd", {}, "B")], pin, { "aria-pressed": pinned === i, title: "Keep this cell beside the next ones" })),
        pinned >= 0 && pinned !== i ? h("p", { class: "hint pinned" }, h("i"), "dashed, and in the lower pictures: ", link(data.id[pinned]), `, ${pinnedWords()}. `, button("let go", () => { pinned = -1; panel(); }, { class: "as-text" })) : null,
        of.length ? h("ul", { class: "told" }, of.map((each) => h("li", {}, `${WORDS[each.action]}${each.action === "cut" ? ` (frame ${each.frame})` : ""}${each.target_frame !== "" ? ` the cell at ${each.target_x}, ${each.target_y} in frame ${each.target_frame}` : ""}${each.reason ? `: ${each.reason}` : ""}`))) : null,
        data.columns.map((column) => chart(i, column, own.find((fit) => fit.column === column))),
        own.map(fitFacts),
        family(i),
        thumbs(i),
        pinned >= 0 && pinned !== i ? thumbs(pinned) : null,
        h("dl", { class: "facts" },
          h("dt", {}, "frames"), h("dd", {}, `${first} to ${last}, found in ${row.n}`),
          row.flags.length ? [h("dt", {}, "flags"), h("dd", {}, row.flags.map(([flag, rows]) => h("div", {}, h("b", {}, flag), ` ${index.rules[flag] ?? ""} (${plural(rows, "frame")})`)))] : null,
          Number.isFinite(row.confidence) ? [h("dt", {}, "weakest link"), h("dd", {}, `${Math.round(100 * row.confidence)} %, before frame ${row.weakest}`)] : null,
          data.cells > 3 && alike(i).length ? [h("dt", {}, "most alike"), h("dd", {}, alike(i).map((j, k) => [k ? ", " : "", link(data.id[j])]))] : null,
          data.parent[i] || daughters.length ? [h("dt", {}, "lineage"), h("dd", {}, data.parent[i] ? ["daughter of ", link(data.parent[i]), daughters.length ? "; " : ""] : "", daughters.length ? ["mother of ", ...daughters.flatMap((id, k) => [k ? ", " : "", link(id)])] : "")] : null));
    }
    function family(i) { // the cell's first ancestor and all that came of it, over time
      const children = (data.children ??= grouped(data.parent)), met = new Set(), members = [];
      let root = i, leaves = 0;
      while (data.place.has(data.parent[root]) && !met.has(root)) { met.add(root); root = data.place.get(data.parent[root]); }
      met.clear();
      const arrange = (j) => {
        met.add(j);
        const below = (children.get(data.id[j]) ?? []).filter((each) => !met.has(each)).map(arrange);
        const member = { j, below, y: below.length ? (below[0].y + below[below.length - 1].y) / 2 : 20 + 20 * leaves++ };
        members.push(member);
        return member;
      };
      arrange(root);
      if (members.length < 2) return null;
      const width = 420, height = 20 * leaves + 22, x0 = 8, x1 = width - 8, t0 = data.time[0], t1 = data.time[data.time.length - 1];
      const px = (row) => x0 + ((x1 - x0) * (data.time[data.frame[row]] - t0)) / (t1 - t0 || 1);
      const drawn = members.sort((a, b) => a.y - b.y).map(({ j, y, below }) => {
        const from = px(data.first[j]), to = px(data.first[j + 1] - 1), words = `cell ${data.id[j]}`;
        return svg("g", { class: j === i ? "member chosen" : "member", role: "button", tabindex: "0", "aria-label": words, onclick: () => choose(j), onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); event.stopPropagation(); choose(j); } } },
          ...below.map((each) => svg("path", { d: `M${to} ${y}V${each.y}H${px(data.first[each.j])}` })),
          svg("path", { d: `M${from} ${y}H${to}`, class: summary(key, data, j).good ? "life" : "life bad" }),
          svg("path", { d: `M${from} ${y - 6}H${Math.max(to, from + 24)}`, class: "reach" }),
          svg("text", { x: Math.min(from + 2, x1 - 24), y: y - 5 }, document.createTextNode(data.id[j])));
      });
      const made = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart family", role: "group", "aria-label": `Lineage: ${plural(members.length, "cell")}` },
        ...drawn,
        ...[t0, t1].map((t, k) => svg("text", { x: k ? x1 : x0, y: height - 4, "text-anchor": k ? "end" : "start" }, document.createTextNode(k ? `${short(t)} ${data.unit}` : short(t)))),
        svg("line", { class: "now", y1: 8, y2: height - 18, "data-axis": `${x0} ${x1} ${t0} ${t1}` }));
      return h("figure", {}, h("figcaption", {}, "Lineage over time: click a cell of it"), h("div", { class: "scroll" }, made));
    }
    function alike(i) { // cells with the nearest medians and lengths, each in robust units of the FOV
      data.scaled ??= [Float32Array.from({ length: data.cells }, (_, j) => data.first[j + 1] - data.first[j]), ...data.columns.map((column) => data.medians[column])].map((values) => {
        const middle = median(values), spread = 1.4826 * median(values.map((value) => Math.abs(value - middle))) || 1;
        return values.map((value) => (value - middle) / spread);
      });
      const away = (j) => Math.hypot(...data.scaled.map((values) => values[i] - values[j]));
      return Array.from({ length: data.cells }, (_, j) => [away(j), j]).filter(([far, j]) => j !== i && Number.isFinite(far)).sort((a, b) => a[0] - b[0]).slice(0, 5).map(([, j]) => j);
    }
    function pin() {
      if (chosen < 0) { say("Choose a cell first."); return; }
      pinned = pinned === chosen ? -1 : chosen;
      say(pinned < 0 ? "" : `Cell ${data.id[chosen]} stays beside the next cells.`);
      panel();
    }
    function pinnedWords() {
      const row = summary(key, data, pinned);
      return `frames ${row.first} to ${row.last}, ${row.verdict ? WORDS[row.verdict] : row.good ? `good in ${row.good}` : "not good"}`;
    }
    function fitFacts(fit) {
      const range = (each) => (each.low < each.high ? ` (${short(each.low)} to ${short(each.high)})` : each.low === each.high ? " (held)" : "");
      return h("div", { class: "fit" },
        h("h4", {}, `Fit of ${columnWords(key, fit.column)}: ${fit.model} `, h("span", { class: `badge ${fit.success ? "good" : "bad"}` }, fit.verdict.replaceAll(";", "; "))),
        h("dl", { class: "facts" }, fit.parameters.filter((each) => Number.isFinite(each.value) || !["sum", "product"].includes(each.name)).map((each) => [h("dt", {}, each.name), h("dd", {}, Number.isFinite(each.value) ? `${short(each.value)} ${each.unit}${range(each)}` : "not told")]), h("dt", {}, "R²"), h("dd", {}, short(fit.rSquared))),
        h("p", { class: "hint" }, `In brackets: 95 % intervals. ${fit.curve.some(Number.isFinite) ? "Thin line: the curve; bars below: trace minus curve." : "No curve is drawn, as its parameters are not told apart."}`));
    }
    function chart(i, column, fit) {
      const curve = fit ? fit.curve.filter(Number.isFinite) : [];
      const width = 420, height = curve.length ? 196 : 150, x0 = 52, x1 = width - 8, y0 = 126, y1 = 12;
      const values = data.values[column], from = data.first[i], to = data.first[i + 1];
      const own = [...values.subarray(from, to)].filter(Number.isFinite);
      const title = columnWords(key, column);
      if (!own.length) return h("p", { class: "hint" }, `${title}: no value.`);
      const perHour = { h: 1, min: 60, s: 3600 }[data.unit] ?? 1;
      const other = pinned >= 0 && pinned !== i ? [...values.subarray(data.first[pinned], data.first[pinned + 1])].filter(Number.isFinite) : [];
      let low = Math.min(...own, ...curve, ...other), high = Math.max(...own, ...curve, ...other);
      if (low === high) { low -= Math.abs(low) * 0.1 + 0.5; high += Math.abs(high) * 0.1 + 0.5; }
      const t0 = data.time[0], t1 = data.time[data.time.length - 1];
      const [p0, p1] = t1 > t0 ? [x0, x1] : [(x0 + x1) / 2, (x0 + x1) / 2]; // one time is in the middle
      const px = (t) => p0 + ((p1 - p0) * (t - t0)) / (t1 - t0 || 1), py = (value) => y0 + ((y1 - y0) * (value - low)) / (high - low);
      const places = (data.ranks ??= {})[column] ??= ranked(); // a channel that is seen in every n-th frame has whole lines
      function ranked() {
        const counts = new Int32Array(data.time.length).fill(1);
        data.frame.forEach((frame) => { counts[frame] = 0; });
        values.forEach((value, row) => { if (Number.isFinite(value)) counts[data.frame[row]] = 1; });
        let sum = 0;
        return counts.map((each) => (sum += each));
      }
      const path = (start, end, keepRow, up = py) => {
        let text = "", before = -2;
        for (let row = start; row < end; row++) {
          if (!Number.isFinite(values[row]) || !keepRow(row)) continue;
          const place = `${px(data.time[data.frame[row]]).toFixed(1)} ${up(values[row]).toFixed(1)}`;
          text += places[data.frame[row]] === before + 1 ? `L${place}` : `M${place}h0`; // which shows one place alone, too
          before = places[data.frame[row]];
        }
        return text;
      };
      const good = (row) => data.verdicts[data.verdict[row]][0];
      const others = (data.others ??= {})[column] ??= crowd(); // drawn once for all cells, in thousandths of their range
      function crowd() {
        const [least, most] = [Math.min, Math.max].map((end) => values.reduce((a, b) => (Number.isFinite(b) ? end(a, b) : a), own[0])), span = most - least || 1, some = [];
        for (let j = 0; j < data.cells; j += Math.ceil(data.cells / 60)) some.push(path(data.first[j], data.first[j + 1], good, (value) => (1000 * (value - least)) / span));
        return { least, span, d: some.join("") };
      }
      const stretch = ((y1 - y0) * others.span) / (high - low) / 1000;
      const line = path(from, to, () => true), alone = [...line.matchAll(/M(\S+) (\S+)h0(?!L)/g)];
      const dots = alone.map(([, x, y]) => svg("circle", { cx: x, cy: y, r: 2.6, class: "alone" }));
      for (let row = from; row < to; row++) if (Number.isFinite(values[row]) && !good(row)) dots.push(svg("circle", { cx: px(data.time[data.frame[row]]).toFixed(1), cy: py(values[row]).toFixed(1), r: 2.6, class: "bad" }));
      const at = (t) => { // the curve, between the places that are told
        const place = clamp(((t / perHour - fit.hours[0]) / (fit.hours[fit.hours.length - 1] - fit.hours[0] || 1)) * (fit.hours.length - 1), 0, fit.hours.length - 1), k = Math.min(Math.floor(place), fit.hours.length - 2);
        return fit.curve[k] + (fit.curve[k + 1] - fit.curve[k]) * (place - k);
      };
      const left = [];
      if (curve.length) {
        for (let row = from; row < to; row++) if (Number.isFinite(values[row]) && good(row)) left.push([data.time[data.frame[row]], values[row] - at(data.time[data.frame[row]])]);
      }
      const most = Math.max(...left.map(([, value]) => Math.abs(value)), 1e-30), ry = (value) => y0 + 36 - (16 * value) / most;
      const overlaid = !curve.length ? [] : [
        svg("path", { d: fit.curve.map((value, k) => (Number.isFinite(value) ? `${k && Number.isFinite(fit.curve[k - 1]) ? "L" : "M"}${px(fit.hours[k] * perHour).toFixed(1)} ${py(value).toFixed(1)}` : "")).join(""), class: "curve" }),
        svg("line", { x1: x0, x2: x1, y1: ry(0), y2: ry(0), class: "rule" }),
        svg("text", { x: x0 - 6, y: ry(0) + 4, "text-anchor": "end" }, document.createTextNode(`±${short(most)}`)),
        svg("path", { d: left.map(([t, value]) => `M${px(t).toFixed(1)} ${ry(0).toFixed(1)}V${ry(value).toFixed(1)}`).join(""), class: "left" }),
      ];
      const clip = `clip-${column.replace(/\W/g, "-")}`;
      const made = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img" },
        svg("title", {}, document.createTextNode(`${title}, cell ${data.id[i]}: ${short(low)} to ${short(high)}`)),
        svg("clipPath", { id: clip }, svg("rect", { x: x0, y: y1 - 4, width: x1 - x0 + 4, height: y0 - y1 + 8 })),
        [low, (low + high) / 2, high].map((value) => [svg("line", { x1: x0, x2: x1, y1: py(value), y2: py(value), class: "rule" }), svg("text", { x: x0 - 6, y: py(value) + 4, "text-anchor": "end" }, document.createTextNode(short(value)))]).flat(),
        t1 > t0 ? svg("text", { x: x0, y: height - 6 }, document.createTextNode(short(t0))) : null,
        svg("text", { x: p1, y: height - 6, "text-anchor": t1 > t0 ? "end" : "middle" }, document.createTextNode(`${short(t1)} ${data.unit}`)),
        svg("g", { "clip-path": `url(#${clip})` }, svg("path", { d: others.d, class: "others", transform: `matrix(1 0 0 ${stretch} 0 ${py(others.least)})` }), svg("path", { d: line, class: curve.length ? "own under" : "own" }), overlaid[0], other.length ? svg("path", { d: path(data.first[pinned], data.first[pinned + 1], () => true), class: "other" }) : null, dots),
        overlaid.slice(1),
        svg("line", { class: "now", y1, y2: y0, "data-axis": `${p0} ${p1} ${t0} ${t1}` }));
      made.addEventListener("click", (event) => {
        const box = made.getBoundingClientRect(), t = t0 + (((event.clientX - box.left) / box.width * width - x0) / (x1 - x0)) * (t1 - t0);
        show(nearest(data.time.reduce((best, each, k) => (Math.abs(each - t) < Math.abs(data.time[best] - t) ? k : best), 0)));
      });
      return h("figure", {}, h("figcaption", {}, title), made);
    }
    function thumbs(i) {
      const strip = h("div", { class: "thumbs" });
      if (!count) return strip;
      const rows = pictures.frames.map((frame, k) => [k, rowAt(i, frame)]).filter(([, row]) => row >= 0);
      const some = rows.filter((_, k) => k % Math.ceil(rows.length / 10) === 0);
      const size = 76, reach = 28; // pixels of the picture on each side of the cell
      some.forEach(async ([k, row]) => {
        const canvas = h("canvas", { width: size * 2, height: size * 2 });
        strip.append(button([canvas, h("small", {}, String(pictures.frames[k]))], () => show(k), { "data-picture": k, "aria-label": `frame ${pictures.frames[k]}` }));
        const base = look.channel.startsWith("fl") ? Number(look.channel.slice(2)) : 0;
        const [picture, shapes] = await Promise.all([image(pictures, base, k), outlines(pictures, k)]);
        const context = canvas.getContext("2d"), scale = size / reach;
        context.setTransform(scale, 0, 0, scale, size - data.x[row] * scale, size - data.y[row] * scale);
        context.drawImage(picture, 0, 0);
        for (const shape of shapes) if (shape.id === data.id[i]) { context.strokeStyle = colour(i, row); context.lineWidth = 2 / scale; context.stroke(shape.path); }
      });
      return strip;
    }
    function act(action) {
      if (chosen < 0) { say("Choose a cell first."); return; }
      const i = chosen;
      if (["link", "merge", "split"].includes(action)) {
        waits = action;
        keys.Enter = () => other >= 0 && pair(other);
        say(`Cell ${data.id[i]} ${WORDS[action]} … click the other cell, or find it with ↑ ↓ and press Enter; Esc leaves.`);
        return;
      }
      if (action === "comment") { comment(i); return; }
      const row = action === "cut" && count ? rowAt(i, pictures.frames[shown]) : -1;
      if (action === "cut" && (row < 0 || (row === data.first[i] && !data.parent[i]))) { say("Go to the frame that shall begin a new cell; not its first one, unless it is a daughter by mistake."); return; }
      correct(key, anchor(data, i, row), action);
      say(`Cell ${data.id[i]}: ${WORDS[action]}.`);
      panel();
    }
    function comment(i) {
      const text = h("input", { type: "text", "aria-label": "Comment", maxlength: 300 });
      const done = () => { if (text.value.trim()) { correct(key, anchor(data, i), "comment", { reason: text.value.trim() }); say("Comment kept."); } box.close(); };
      const box = h("dialog", {}, h("h2", {}, `Comment on cell ${data.id[i]}`), h("form", { onsubmit: (event) => { event.preventDefault(); done(); } }, text, h("div", {}, h("button", { type: "submit" }, "Keep"), button("Leave", () => box.close()))));
      box.addEventListener("close", () => { box.remove(); panel(); });
      root.append(box);
      box.showModal();
      text.focus();
    }
    function leavePair() {
      [waits, other] = ["", -1];
      delete keys.Enter;
      draw();
    }
    function step(by) { // to another cell, or where two are wanted to another second one
      if (!data.cells) return;
      if (!waits) { choose((chosen + by + data.cells) % data.cells); return; }
      do other = ((other < 0 ? chosen : other) + by + data.cells) % data.cells; while (other === chosen && data.cells > 1);
      if (count && rowAt(other, pictures.frames[shown]) < 0) show(nearest(data.frame[data.first[other]])); else draw();
      say(`Cell ${data.id[chosen]} ${WORDS[waits]} cell ${data.id[other]}? Enter takes it, ↑ ↓ go on, Esc leaves.`);
    }
    function enlarge(factor) { // about the chosen cell
      const scale = clamp(zoom.scale * factor, 1, 16), row = chosen >= 0 ? rowAt(chosen, pictures.frames[shown]) : -1;
      const about = (axis, size) => clamp((row >= 0 ? data[axis][row] : zoom[axis] + size / zoom.scale / 2) - size / scale / 2, 0, size * (1 - 1 / scale));
      Object.assign(zoom, { x: about("x", pictures.width), y: about("y", pictures.height), scale });
      draw();
    }
    function pair(j) {
      const i = chosen, action = waits;
      leavePair();
      if (i === j) { say("That is the same cell."); return; }
      const ends = (cell) => data.frame[data.first[cell + 1] - 1], begins = (cell) => data.frame[data.first[cell]];
      let [from, to] = [i, j];
      if (action === "link" && begins(j) < begins(i)) [from, to] = [j, i];
      if (action === "link" && begins(to) <= ends(from)) { say("Both are there at the same time: cut one of them first, or merge them."); return; }
      if (action === "split" && begins(to) <= begins(from)) { say("A daughter begins after its mother."); return; }
      const common = action === "merge" ? [...(pictures?.frames ?? []), ...data.frame.subarray(data.first[i], data.first[i + 1])].find((frame) => rowAt(i, frame) >= 0 && rowAt(j, frame) >= 0) : undefined;
      if (action === "merge" && common === undefined) { say("They are never there together: link them instead."); return; }
      const own = anchor(data, from, action === "merge" ? rowAt(i, common) : action === "link" ? data.first[from + 1] - 1 : -1);
      const other = anchor(data, to, action === "merge" ? rowAt(j, common) : data.first[to]);
      correct(key, own, action, { target_frame: other.frame, target_x: other.x, target_y: other.y });
      say(`Cell ${data.id[from]} ${WORDS[action]} cell ${data.id[to]}.`);
      panel();
    }
    function undo() {
      const { dataset: of, index: number } = files.get(key);
      const gone = kept.corrections.findLast((each) => each.dataset === of && each.fov === number);
      if (!gone) { say("There is nothing to undo in this FOV."); return; }
      remove(gone);
      say(`Undone: ${WORDS[gone.action]}.`);
      panel();
    }

    // Pointing, dragging, pinching and turning the wheel.
    const place = (event, pane = stage) => {
      const box = pane.getBoundingClientRect(), fit = (box.width / pictures.width) * zoom.scale;
      return [(event.clientX - box.left) / fit + zoom.x, (event.clientY - box.top) / fit + zoom.y];
    };
    async function cellAt(event, pane) {
      const [x, y] = place(event, pane), context = layers[2].getContext("2d");
      context.save();
      context.setTransform(1, 0, 0, 1, 0, 0);
      const found = (await outlines(pictures, shown)).filter((shape) => x >= shape.box[0] - 1 && x <= shape.box[2] + 2 && y >= shape.box[1] - 1 && y <= shape.box[3] + 2 && context.isPointInPath(shape.path, x, y));
      context.restore();
      return found.length ? data.place.get(found[0].id) ?? -1 : -1;
    }
    function zoomTo(scale, event, pane) {
      const [x, y] = place(event, pane), next = clamp(scale, 1, 16), part = zoom.scale / next;
      zoom.x = clamp(x - (x - zoom.x) * part, 0, pictures.width * (1 - 1 / next));
      zoom.y = clamp(y - (y - zoom.y) * part, 0, pictures.height * (1 - 1 / next));
      zoom.scale = next;
      draw();
    }
    if (count) {
      const down = new Map();
      let moved = false, gap = 0;
      for (const pane of [stage, twin]) {
        pane.addEventListener("wheel", (event) => { event.preventDefault(); zoomTo(zoom.scale * Math.exp(-event.deltaY / 300), event, pane); }, { passive: false });
        pane.addEventListener("pointerdown", (event) => { down.set(event.pointerId, event); moved = false; gap = 0; pane.setPointerCapture(event.pointerId); });
        pane.addEventListener("pointermove", async (event) => {
          const before = down.get(event.pointerId);
          if (!before) {
            const i = await cellAt(event, pane), box = pane.getBoundingClientRect();
            tip.hidden = i < 0;
            pane.append(tip);
            if (i >= 0) {
              tip.textContent = `cell ${data.id[i]}`;
              tip.style.left = `${clamp(event.clientX - box.left + 12, 0, box.width - 90)}px`;
              tip.style.top = `${event.clientY - box.top + 12}px`;
            }
            return;
          }
          if (Math.hypot(event.clientX - before.clientX, event.clientY - before.clientY) < (moved ? 0 : 4)) return;
          moved = true;
          down.set(event.pointerId, event);
          const box = pane.getBoundingClientRect(), fit = (box.width / pictures.width) * zoom.scale;
          if (down.size === 2) {
            const [a, b] = [...down.values()], now = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
            if (gap) zoomTo((zoom.scale * now) / gap, { clientX: (a.clientX + b.clientX) / 2, clientY: (a.clientY + b.clientY) / 2 }, pane);
            gap = now;
            return;
          }
          zoom.x = clamp(zoom.x - (event.clientX - before.clientX) / fit, 0, pictures.width * (1 - 1 / zoom.scale));
          zoom.y = clamp(zoom.y - (event.clientY - before.clientY) / fit, 0, pictures.height * (1 - 1 / zoom.scale));
          draw();
        });
        pane.addEventListener("pointerup", async (event) => {
          down.delete(event.pointerId);
          if (moved || down.size) return;
          const i = await cellAt(event, pane);
          if (!waits) choose(i); else if (i >= 0) pair(i);
        });
        pane.addEventListener("pointercancel", (event) => down.delete(event.pointerId));
        pane.addEventListener("pointerleave", () => { tip.hidden = true; });
      }
      const watcher = new ResizeObserver(() => draw());
      watcher.observe(stage);
      const stop = leave;
      leave = () => { stop(); watcher.disconnect(); };
    }
    const flip = (id) => () => { look[id] = !look[id]; body.querySelectorAll(".switch").forEach((each) => { if (each.textContent === id) each.firstChild.checked = look[id]; }); draw(); };
    keys = {
      a: () => act("accept"), r: () => act("reject"), c: () => act("comment"), x: () => act("cut"), l: () => act("link"), m: () => act("merge"), s: () => act("split"), u: undo, b: pin,
      ArrowLeft: () => show(shown - 1), ArrowRight: () => show(shown + 1), ArrowDown: () => step(1), ArrowUp: () => step(-1),
      "+": () => count && enlarge(1.4), "=": () => count && enlarge(1.4), "-": () => count && enlarge(1 / 1.4),
      " ": () => count && start(), o: flip("outlines"), i: flip("ids"), t: flip("tails"),
      n: async () => { // from the chosen cell on, then from the first
        const rows = await doubtful(() => {}), at = rows.findIndex((row) => row.key === key && row.i === chosen);
        const next = [...rows.slice(at + 1), ...rows.slice(0, Math.max(at, 0))].find((row) => !row.judged);
        if (next) location.hash = address(next); else say("No doubtful cell is left to judge.");
      },
      Escape: () => { if (waits) { leavePair(); say(""); } else if (chosen >= 0) choose(-1); else location.hash = "fields"; },
    };
    mark();
    light();
    const wanted = data.place.get(Number(cellText));
    if (frameText) show(nearest(Number(frameText)));
    choose(cellText && cellText !== "-" && wanted !== undefined ? wanted : -1);
    if (data.cells && chosen < 0) setTimeout(() => body.isConnected && card(0), 300); // what the first click needs is at hand then
  }
