"use strict";
// The part of the report in which one looks at single cells. It loads what rule `browse` has written of an
// FOV when somebody asks for it, and keeps what a person says of cells until it is saved as corrections.csv.
const fovflow = (() => {
  const index = JSON.parse(document.getElementById("browse-index").textContent);
  const root = document.getElementById("browser");
  const report = [...document.body.children].filter((each) => each !== root && each.tagName !== "SCRIPT");
  const FIELDS = ["dataset", "fov", "frame", "x", "y", "action", "target_frame", "target_x", "target_y", "reason", "who", "when"];
  const WORDS = {
    accept: "accepted", reject: "rejected", comment: "comment", cut: "track cut here",
    link: "goes on as", merge: "is one cell with", split: "divides into",
  };
  const COLOURS = { good: "#56b4e9", bad: "#e69f00", accept: "#2fd6a3", reject: "#ff7f50", chosen: "#ffffff" };
  const TONES = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a8f00"];
  const TINTS = ["#35e07f", "#ff5c8a", "#58b7ff", "#ffc94d"];

  // ---- small helpers

  function h(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    set(made, attributes);
    made.append(...children.flat(3).filter((each) => each !== null && each !== undefined && each !== false));
    return made;
  }
  function svg(tag, attributes = {}, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    set(made, attributes);
    made.append(...children.flat().filter(Boolean));
    return made;
  }
  function set(element, attributes) {
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (name.startsWith("aria-") && value !== null) element.setAttribute(name, String(value));
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
    }
  }
  const button = (text, onclick, more = {}) => h("button", { type: "button", onclick, ...more }, text);
  const short = (value) => {
    if (!Number.isFinite(value)) return "–";
    const size = Math.abs(value);
    if (size >= 1e6 || (size < 1e-3 && size > 0)) return value.toExponential(2);
    return String(Number(value.toPrecision(size >= 1000 ? 4 : 3)));
  };
  const median = (values) => {
    const sorted = (Array.isArray(values) ? Float64Array.from(values) : values).filter(Number.isFinite).sort();
    return sorted.length ? (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2 : NaN;
  };
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const say = (text) => { document.getElementById("said").textContent = text; };
  const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
  function hue(id) { return `hsl(${Math.round(((id * 0.618033988749895) % 1) * 360)} 90% 65%)`; }
  function cividis(part) {
    const stops = [[0, 34, 78], [60, 77, 110], [124, 123, 120], [187, 175, 113], [254, 232, 56]];
    const place = clamp(part, 0, 1) * (stops.length - 1), i = Math.min(Math.floor(place), stops.length - 2);
    return `rgb(${stops[i].map((low, k) => Math.round(low + (stops[i + 1][k] - low) * (place - i))).join(" ")})`;
  }

  // ---- what was written of each FOV

  const waiting = new Map(), loaded = new Map(), files = new Map();
  for (const dataset of index.datasets) {
    for (const fov of dataset.fovs) files.set(`${dataset.name}/${fov.index}`, { ...fov, dataset: dataset.name, of: dataset });
  }
  function load(kind, key) {
    const name = `${kind} ${key}`;
    if (loaded.has(name)) return loaded.get(name);
    const inside = document.getElementById(name); // in a page that is one file
    const promise = (inside ? Promise.resolve(JSON.parse(inside.textContent)[2]) : new Promise((resolve, reject) => {
      if (!files.get(key)[kind]) { reject(new Error(`This single file has no ${kind} of this FOV: the report beside the results has them.`)); return; }
      waiting.set(name, resolve);
      const script = h("script", { src: files.get(key)[kind] });
      script.onerror = () => {
        loaded.delete(name);
        reject(new Error(`The file ${decodeURI(files.get(key)[kind])} is not beside this page. Copy the whole output folder, not the page alone.`));
      };
      script.onload = () => script.remove();
      document.head.append(script);
    })).then(kind === "numbers" ? unpack : (told) => ({ ...told, decoded: new Map(), shapes: new Map() }));
    loaded.set(name, promise);
    if (kind === "pictures") { // those of a few FOVs stay in memory
      const held = [...loaded.keys()].filter((each) => each.startsWith("pictures"));
      if (held.length > 4) loaded.delete(held[0]);
    }
    return promise;
  }
  async function inflate(text) {
    const plain = atob(text), bytes = new Uint8Array(plain.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = plain.charCodeAt(i);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).arrayBuffer();
  }
  function reader(buffer) { // arrays that stand one after the other
    let at = 0;
    const take = (count, size) => { at += count * size; return buffer.slice(at - count * size, at); };
    const steps = (total, begin) => { // told as changes within each cell
      const low = new Uint8Array(take(total, 1)), high = new Uint8Array(take(total, 1)), whole = new Int32Array(total);
      for (let i = 0; i + 1 < begin.length; i++) {
        let sum = 0;
        for (let row = begin[i]; row < begin[i + 1]; row++) {
          const code = low[row] | (high[row] << 8);
          whole[row] = sum += code & 1 ? -(code + 1) / 2 : code / 2;
        }
      }
      return whole;
    };
    return { take, steps };
  }
  async function unpack(told) {
    const { take, steps: changed } = reader(await inflate(told.data)), { cells: m, rows: n } = told;
    const id = new Uint32Array(take(m, 4)), count = new Uint16Array(take(m, 2)), parent = new Uint32Array(take(m, 4));
    const first = new Uint32Array(m + 1);
    count.forEach((each, i) => { first[i + 1] = first[i] + each; });
    const changes = (total = n, begin = first) => changed(total, begin);
    const frame = changes(), shown = new Set(told.shown), isShown = new Uint8Array(told.time.length), places = [], begin = new Uint32Array(m + 1);
    for (const each of shown) isShown[each] = 1;
    for (let i = 0; i < m; i++) {
      for (let row = first[i]; row < first[i + 1]; row++) if (row === first[i] || row === first[i + 1] - 1 || isShown[frame[row]]) places.push(row);
      begin[i + 1] = places.length;
    }
    const between = (values) => { // straight lines through the places that are told
      const whole = new Float32Array(n);
      places.forEach((row, k) => {
        whole[row] = values[k];
        const before = places[k - 1];
        for (let each = before + 1; k && each < row; each++) whole[each] = values[k - 1] + ((values[k] - values[k - 1]) * (each - before)) / (row - before);
      });
      return whole;
    };
    const xs = changes(places.length, begin), ys = changes(places.length, begin), verdict = changes();
    const codes = new Uint8Array(take(n, 1)), confidence = new Float32Array(n);
    for (let row = 0; row < n; row++) confidence[row] = codes[row] === 255 ? NaN : codes[row] / 20;
    const values = {}, medians = {}, bins = new Uint32Array(256);
    for (const column of told.columns) {
      const low = new Float32Array(take(m, 4)), high = new Float32Array(take(m, 4)), steps = changes();
      const found = new Float32Array(n), middle = new Float32Array(m);
      for (let i = 0; i < m; i++) {
        const value = (step) => low[i] + ((high[i] - low[i]) * (step - 1)) / 254;
        bins.fill(0);
        for (let row = first[i]; row < first[i + 1]; row++) {
          bins[steps[row]]++;
          found[row] = steps[row] ? value(steps[row]) : NaN;
        }
        const many = first[i + 1] - first[i] - bins[0], ranked = (rank) => { let step = 0; for (let seen = 0; seen <= rank;) seen += bins[++step]; return step; };
        middle[i] = many ? value((ranked((many - 1) >> 1) + ranked(many >> 1)) / 2) : NaN;
      }
      values[column] = found;
      medians[column] = middle;
    }
    const place = new Map();
    id.forEach((each, i) => place.set(each, i));
    delete told.data;
    let x, y, owner;
    return {
      ...told, id, parent, first, frame, verdict, confidence, values, medians, place, shownFrames: shown,
      startX: (i) => xs[begin[i]], startY: (i) => ys[begin[i]],
      get x() { return (x ??= between(xs)); }, // places of all rows are made when they are needed
      get y() { return (y ??= between(ys)); },
      get owner() {
        if (!owner) { owner = new Uint32Array(n); for (let i = 0; i < m; i++) owner.fill(i, first[i], first[i + 1]); }
        return owner;
      },
    };
  }
  const fitted = new Map(index.fits.map((told) => [told, null])); // tables of fits, unpacked when a cell of theirs is looked at
  async function unpackFits(told) {
    const m = told.cells, { take, steps } = reader(await inflate(told.data)), begin = Uint32Array.from({ length: m + 1 }, (_, i) => i * told.points);
    const floats = () => new Float32Array(take(m, 4));
    const fov = new Uint16Array(take(m, 2)), cell = new Uint32Array(take(m, 4)), success = new Uint8Array(take(m, 1)), code = new Uint16Array(take(m, 2)), rSquared = floats();
    const values = told.parameters.map(([name, unit]) => ({ name, unit, value: floats(), low: floats(), high: floats() }));
    const low = floats(), high = floats(), levels = steps(m * told.points, begin), rows = new Map();
    cell.forEach((id, i) => rows.set(`${fov[i]} ${id}`, i));
    const hours = Float64Array.from({ length: told.points }, (_, k) => told.span[0] + ((told.span[1] - told.span[0]) * k) / (told.points - 1));
    return (key) => { // the fit to a cell that is named by FOV and id
      if (!rows.has(key)) return null;
      const i = rows.get(key), curve = Array.from(levels.subarray(begin[i], begin[i + 1]), (step) => (step ? low[i] + ((high[i] - low[i]) * (step - 1)) / 254 : NaN));
      return {
        model: told.model, column: told.column, success: success[i] === 1, verdict: told.verdicts[code[i]], rSquared: rSquared[i], hours, curve,
        parameters: values.map((each) => ({ name: each.name, unit: each.unit, value: each.value[i], low: each.low[i], high: each.high[i] })),
      };
    };
  }
  async function fitsOf(dataset, fov) {
    const those = index.fits.filter((told) => told.dataset === dataset && (fov === undefined || told.fovs.includes(fov)));
    for (const told of those) if (!fitted.get(told)) fitted.set(told, unpackFits(told));
    const found = await Promise.all(those.map((told) => fitted.get(told)));
    return (of, id) => found.map((fit) => fit(`${of} ${id}`)).filter(Boolean);
  }
  async function image(pictures, channel, i) {
    const key = `${channel} ${i}`;
    if (!pictures.decoded.has(key)) {
      const made = new Image();
      made.src = `data:image/jpeg;base64,${pictures.images[channel][i]}`;
      pictures.decoded.set(key, made.decode().then(() => made));
    }
    return pictures.decoded.get(key);
  }
  async function outlines(pictures, i) {
    if (!pictures.shapes.has(i)) {
      pictures.shapes.set(i, inflate(pictures.outlines[i]).then((buffer) => {
        const view = new DataView(buffer), found = [];
        for (let at = 0; at < buffer.byteLength;) {
          const id = view.getUint16(at, true) | (view.getUint16(at + 2, true) << 16), count = view.getUint16(at + 4, true);
          let x = view.getUint16(at + 6, true), y = view.getUint16(at + 8, true);
          const path = new Path2D(), box = [x, y, x, y];
          path.moveTo(x + 0.5, y + 0.5);
          at += 10;
          for (let k = 1; k < count; k++, at += 2) {
            x += view.getInt8(at); y += view.getInt8(at + 1);
            path.lineTo(x + 0.5, y + 0.5);
            box[0] = Math.min(box[0], x); box[1] = Math.min(box[1], y); box[2] = Math.max(box[2], x); box[3] = Math.max(box[3], y);
          }
          path.closePath();
          found.push({ id, path, box });
        }
        return found;
      }));
    }
    return pictures.shapes.get(i);
  }

  // ---- what a person says of cells

  const STORE = `fovflow corrections ${location.pathname} ${index.datasets.map((each) => each.name).join(" ")}`;
  const kept = { corrections: [], who: "" };
  let version = 0;
  try { Object.assign(kept, JSON.parse(localStorage.getItem(STORE) || "{}")); } catch { /* a full or closed store */ }
  function keep() {
    version++;
    try { localStorage.setItem(STORE, JSON.stringify(kept)); } catch { say("The browser does not let this page keep anything: save corrections.csv before you close it."); }
    const count = document.getElementById("count");
    if (count) count.textContent = kept.corrections.length ? plural(kept.corrections.length, "correction") : "no corrections";
  }
  function anchor(data, i, row = -1) {
    let at = row >= 0 ? row : (data.first[i] + data.first[i + 1] - 1) >> 1;
    while (row < 0 && at > data.first[i] && !data.shownFrames.has(data.frame[at])) at--; // a place that is told exactly
    return { frame: data.frame[at], x: Number((data.x[at] / data.scale).toFixed(1)), y: Number((data.y[at] / data.scale).toFixed(1)) };
  }
  function correct(key, place, action, more = {}) {
    const { dataset, index: fov } = files.get(key);
    const whose = (each) => each.dataset === dataset && each.fov === fov && each.frame === place.frame && each.x === place.x && each.y === place.y;
    if (["accept", "reject", "comment"].includes(action)) {
      const alike = action === "comment" ? ["comment"] : ["accept", "reject"];
      kept.corrections = kept.corrections.filter((each) => !(whose(each) && alike.includes(each.action)));
    }
    kept.corrections.push({
      dataset, fov, ...place, action, target_frame: "", target_x: "", target_y: "", reason: "", ...more,
      who: kept.who, when: new Date().toISOString().slice(0, 19) + "Z",
    });
    keep();
  }
  function grouped(frames) {
    const found = new Map();
    frames.forEach((frame, row) => { if (found.has(frame)) found.get(frame).push(row); else found.set(frame, [row]); });
    return found;
  }
  function cellOf(data, each) {
    const seen = data.seen ??= new WeakMap();
    if (!seen.has(each)) {
      const rows = (data.byFrame ??= grouped(data.frame)).get(each.frame) ?? [];
      const away = (row) => Math.hypot(data.x[row] / data.scale - each.x, data.y[row] / data.scale - each.y);
      const row = rows.reduce((best, other) => (best < 0 || away(other) < away(best) ? other : best), -1);
      seen.set(each, row >= 0 && away(row) < 15 ? data.owner[row] : -1);
    }
    return seen.get(each);
  }
  function said(key, data, i) { // what was said of a cell: looked up once for each change
    if (data.said?.version !== version) {
      const { dataset, index: fov } = files.get(key), of = new Map();
      for (const each of kept.corrections) {
        if (each.dataset !== dataset || each.fov !== fov) continue;
        const cell = cellOf(data, each);
        if (of.has(cell)) of.get(cell).push(each); else of.set(cell, [each]);
      }
      data.said = { version, of };
    }
    return data.said.of.get(i) ?? [];
  }
  const verdictOf = (key, data, i) => said(key, data, i).findLast((each) => each.action === "accept" || each.action === "reject")?.action ?? "";
  function csv() {
    const cell = (value) => (/[",\n\r]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
    return [FIELDS, ...kept.corrections.map((each) => FIELDS.map((name) => cell(each[name] ?? "")))].map((row) => row.join(",")).join("\n") + "\n";
  }
  function parse(text) {
    const rows = [[""]];
    let quoted = false;
    for (let i = 0; i < text.length; i++) {
      const letter = text[i], row = rows[rows.length - 1];
      if (quoted && letter === '"' && text[i + 1] === '"') { row[row.length - 1] += '"'; i++; }
      else if (letter === '"') quoted = !quoted;
      else if (letter === "," && !quoted) row.push("");
      else if (letter === "\n" && !quoted) rows.push([""]);
      else if (letter !== "\r" || quoted) row[row.length - 1] += letter;
    }
    return rows.filter((row) => row.length > 1 || row[0]);
  }
  function read(text) {
    const [head, ...rows] = parse(text.replace(/^\ufeff/, ""));
    const missing = FIELDS.slice(0, 6).filter((name) => !head?.includes(name));
    if (missing.length) throw new Error(`This is no corrections.csv: it has no column ${missing.join(", ")}.`);
    const found = rows.map((row) => {
      const each = Object.fromEntries(FIELDS.map((name) => [name, row[head.indexOf(name)] ?? ""]));
      for (const name of ["fov", "frame", "x", "y", "target_frame", "target_x", "target_y"]) if (each[name] !== "") each[name] = Number(each[name]);
      return each;
    });
    const usable = found.filter((each) => each.action in WORDS && files.has(`${each.dataset}/${each.fov}`) && [each.frame, each.x, each.y].every(Number.isFinite));
    const known = new Set(kept.corrections.map((each) => JSON.stringify(FIELDS.map((name) => each[name]))));
    const fresh = usable.filter((each) => !known.has(JSON.stringify(FIELDS.map((name) => each[name]))));
    kept.corrections.push(...fresh);
    keep();
    return `${plural(fresh.length, "correction")} read, ${usable.length - fresh.length} known already${found.length > usable.length ? `, ${found.length - usable.length} of FOVs or actions that are not here left out` : ""}.`;
  }
  async function open(list) {
    const told = [];
    try { for (const file of list) told.push(read(await file.text())); } catch (error) { told.push(error.message); }
    route();
    say(told.join(" "));
  }
  function save() {
    const link = h("a", { href: URL.createObjectURL(new Blob([csv()], { type: "text/csv" })), download: "corrections.csv" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    say("corrections.csv was handed to the browser's downloads.");
  }

  // ---- the frame of all views

  let keys = {}, leave = () => {};
  const VIEWS = { fields: ["Fields", fields], fov: ["", one], ...(index.samples.length ? { conditions: ["Conditions", conditions] } : {}), cells: ["Cells", cells], review: ["Review", review], corrections: ["Corrections", corrections] };
  function route() {
    const [name, ...rest] = decodeURIComponent(location.hash.slice(1)).split("/");
    leave();
    leave = () => {};
    keys = {};
    const shown = name in VIEWS;
    root.hidden = !shown;
    report.forEach((each) => { each.hidden = shown; });
    document.body.classList.toggle("browsing", shown);
    if (!shown) return;
    const body = h("div", { class: "view", id: "view" });
    root.replaceChildren(
      h("div", { class: "top" },
        h("a", { href: "#", class: "back" }, "‹ Report"),
        h("div", { class: "tabs" }, Object.entries(VIEWS).filter(([, [title]]) => title).map(([id, [title]]) =>
          h("a", { href: `#${id}`, "aria-current": name === id || (name === "fov" && id === "fields") ? "page" : null }, title))),
        h("span", { id: "count", class: "count" }),
        button("Save", save, { title: "Download corrections.csv" }),
        button("?", help, { title: "Keys", "aria-label": "Keys" })),
      h("p", { id: "said", class: "said", role: "status", "aria-live": "polite" }),
      body);
    keep();
    Promise.resolve(VIEWS[name][1](body, rest)).catch((error) => body.replaceChildren(h("p", { class: "trouble", role: "alert" }, error.message)));
  }
  function help() {
    const rows = [["A", "accept the cell"], ["R", "reject it"], ["C", "comment"], ["X", "cut its track before this frame"], ["L", "it goes on as another cell: then click that one"], ["M", "it is one cell with another: then click that one"], ["S", "it divides into another: then click that one"], ["U", "undo"], ["← →", "frame before, after"], ["↑ ↓", "cell before, after"], ["Space", "play, stop"], ["O, I, T", "outlines, ids, tails"], ["N", "next of the review list"], ["Esc", "back"]];
    const box = h("dialog", { class: "keys" }, h("h2", {}, "Keys"), h("dl", {}, rows.map(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)])), button("Close", () => box.close(), { autofocus: true }));
    box.addEventListener("close", () => box.remove());
    root.append(box);
    box.showModal();
  }
  document.addEventListener("keydown", (event) => {
    if (root.hidden || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && event.target.type !== "range" && event.target.type !== "checkbox") return;
    if (event.target.type === "range" && event.key.startsWith("Arrow")) return;
    if (event.key === " " && /^(BUTTON|A)$/.test(event.target.tagName)) return;
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (act) { event.preventDefault(); act(); }
  });
  document.addEventListener("dragover", (event) => { if (!root.hidden) event.preventDefault(); });
  document.addEventListener("drop", (event) => { if (!root.hidden) { event.preventDefault(); open([...event.dataTransfer.files]); } });

  // ---- fields: all FOVs at a glance

  function fields(body) {
    for (const dataset of index.datasets) {
      const numbers = {
        "cells": (fov) => fov.cells, "good cells": (fov) => fov.good,
        "share of good cells (%)": (fov) => (fov.cells ? (100 * fov.good) / fov.cells : NaN),
        "median frames of a cell": (fov) => fov.median_frames, "flagged frames": (fov) => fov.flagged,
      };
      const grid = h("div", { class: "grid" }), words = h("p", { class: "hint" });
      const select = h("select", { onchange: paint }, Object.keys(numbers).map((name) => h("option", {}, name)));
      function paint() {
        const of = numbers[select.value], values = dataset.fovs.map(of), finite = values.filter(Number.isFinite);
        const low = Math.min(...finite), high = Math.max(...finite), middle = median(values);
        const spread = 1.4826 * median(values.map((value) => Math.abs(value - middle)));
        const odd = dataset.fovs.filter((fov, i) => spread > 0 && Math.abs(values[i] - middle) > 3.5 * spread);
        words.textContent = finite.length ? `${short(low)} to ${short(high)}, median ${short(middle)}.${odd.length ? ` Far from the others: FOV ${odd.map((fov) => fov.index).join(", ")}.` : ""}` : "No FOV is complete.";
        grid.replaceChildren(...dataset.fovs.map((fov, i) => {
          const part = high > low ? (values[i] - low) / (high - low) : 0.5, told = Number.isFinite(values[i]);
          const style = told ? `background:${cividis(part)};color:${part > 0.55 ? "#111" : "#fff"}` : null;
          const inside = [h("b", {}, String(fov.index)), h("span", {}, told ? short(values[i]) : fov.status), fov.name && h("small", {}, fov.name)];
          const title = `FOV ${fov.index}${fov.name ? `, ${fov.name}` : ""}: ${fov.status}`;
          return fov.numbers ? h("a", { href: `#fov/${encodeURIComponent(dataset.name)}/${fov.index}`, class: odd.includes(fov) ? "odd" : null, style, title }, inside) : h("div", { class: "gone", title }, inside);
        }));
      }
      body.append(h("section", {}, h("h2", {}, dataset.name), h("label", {}, "Colour: ", select), words, grid, heat(dataset)));
      paint();
    }
  }
  function heat(dataset) {
    const rows = dataset.fovs.filter((fov) => fov.objects?.length);
    if (!rows.length) return null;
    const frames = Math.max(...rows.map((fov) => fov.objects.length)), all = rows.flatMap((fov) => fov.objects.filter(Number.isFinite)), most = Math.max(1, ...all), least = Math.min(most - 1, ...all);
    const canvas = h("canvas", { width: frames, height: rows.length, class: "heat", role: "img", "aria-label": `Cells per frame, one row per FOV; at most ${most}`, style: `height:${clamp(rows.length * 10, 40, 420)}px` });
    const context = canvas.getContext("2d");
    rows.forEach((fov, y) => fov.objects.forEach((value, x) => { if (value !== null) { context.fillStyle = cividis((value - least) / (most - least)); context.fillRect(x, y, 1, 1); } }));
    const tip = h("p", { class: "hint" }, "Point at a place to read it.");
    const where = (event) => {
      const box = canvas.getBoundingClientRect();
      return [rows[clamp(Math.floor(((event.clientY - box.top) / box.height) * rows.length), 0, rows.length - 1)], clamp(Math.floor(((event.clientX - box.left) / box.width) * frames), 0, frames - 1)];
    };
    canvas.addEventListener("pointermove", (event) => { const [fov, t] = where(event); tip.textContent = `FOV ${fov.index}, frame ${t}: ${fov.objects[t] ?? "no"} cells`; });
    canvas.addEventListener("click", (event) => { const [fov, t] = where(event); if (fov.numbers) location.hash = `fov/${encodeURIComponent(dataset.name)}/${fov.index}/-/${t}`; });
    return h("div", {}, h("h3", {}, "Cells per frame"), h("p", { class: "hint" }, `One row per FOV, frames from left to right; dark: ${least} cells, bright: ${most}; frames that were not acquired are left out.`), canvas, tip);
  }

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
    let shown = 0, chosen = -1, playing = 0, waits = "", token = 0;
    const zoom = { scale: 1, x: 0, y: 0 };

    // The viewer: three canvases, so that light is changed without drawing anew.
    const layers = ["phase", "glow", "lines"].map((each) => h("canvas", { class: each, "aria-hidden": "true" }));
    const tip = h("div", { class: "tip", hidden: true });
    const stage = h("div", { class: "stage", tabindex: "0", role: "application", "aria-label": "Frames of this field of view. Arrow keys change frame and cell.", style: pictures ? `aspect-ratio:${pictures.width}/${pictures.height};max-width:calc(76vh * ${pictures.width / pictures.height})` : null }, layers, tip);
    const slider = h("input", { type: "range", min: 0, max: Math.max(count - 1, 0), value: 0, "aria-label": "Frame", oninput: () => show(Number(slider.value)) });
    const clock = h("output", { class: "clock" });
    const side = h("div", { class: "side" });
    const fluorescent = pictures ? pictures.channels.map((each, i) => [each, i]).filter(([each]) => each.kind === "fl") : [];
    const modes = pictures ? [["phase", pictures.channels[0].name || "phase"], ...fluorescent.map(([each, i]) => [`fl${i}`, each.name || `channel ${each.index}`]), ...(fluorescent.length && pictures.channels[0].kind === "pc" ? [["both", "Both"]] : [])] : [];
    if (!modes.some(([id]) => id === look.channel)) look.channel = modes.length ? modes[modes.length - 1][0] : "";
    const toggle = (id, text) => h("label", { class: "switch" }, h("input", { type: "checkbox", checked: look[id], onchange: (event) => { look[id] = event.target.checked; draw(); } }), text);
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
        h("div", { class: "viewer" }, pictures && count ? [tools, stage, h("div", { class: "time" }, play, slider, clock)] : h("p", { class: "trouble" }, trouble || "There are no pictures: browse.pictures is 0, or no frame was acquired.")),
        side));
    const mark = () => body.querySelectorAll("[data-mode]").forEach((each) => each.setAttribute("aria-pressed", each.dataset.mode === look.channel));
    function light() {
      layers[0].style.filter = `brightness(${look.light})`;
      layers[1].style.filter = `brightness(${look.shine})`;
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
      const mine = ++token, frame = pictures.frames[shown];
      const base = look.channel.startsWith("fl") ? Number(look.channel.slice(2)) : 0;
      const [picture, glow, shapes] = await Promise.all([image(pictures, base, shown), look.channel === "both" ? Promise.all(fluorescent.map(([, i]) => image(pictures, i, shown))) : [], outlines(pictures, shown)]);
      if (mine !== token || !stage.isConnected) return;
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
          if (i < 0 || (!look.outlines && i !== chosen)) continue;
          lines.strokeStyle = i === chosen ? COLOURS.chosen : colour(i, rowAt(i, frame));
          lines.lineWidth = i === chosen ? 2.2 * thin : thin;
          lines.setLineDash(verdictOf(key, data, i) === "reject" ? [4 * thin, 3 * thin] : []);
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
      clock.textContent = `frame ${frame} · ${short(data.time[frame])} ${data.unit}`;
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
      const listed = table(key, data.columns, (row) => choose(row.i));
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
        h("div", { class: "judge" }, judge("accept", "Accept", "A"), judge("reject", "Reject", "R"), judge("comment", "Comment", "C"), judge("cut", "Cut", "X"), judge("link", "Link", "L"), judge("merge", "Merge", "M"), judge("split", "Divides", "S"), button(["Undo", h("kbd", {}, "U")], undo)),
        of.length ? h("ul", { class: "told" }, of.map((each) => h("li", {}, `${WORDS[each.action]}${each.action === "cut" ? ` (frame ${each.frame})` : ""}${each.target_frame !== "" ? ` the cell at ${each.target_x}, ${each.target_y} in frame ${each.target_frame}` : ""}${each.reason ? `: ${each.reason}` : ""}`))) : null,
        data.columns.map((column) => chart(i, column, own.find((fit) => fit.column === column))),
        own.map(fitFacts),
        thumbs(i),
        h("dl", { class: "facts" },
          h("dt", {}, "frames"), h("dd", {}, `${first} to ${last}, found in ${row.n}`),
          row.flags.length ? [h("dt", {}, "flags"), h("dd", {}, row.flags.map(([flag, rows]) => h("div", {}, h("b", {}, flag), ` ${index.rules[flag] ?? ""} (${plural(rows, "frame")})`)))] : null,
          Number.isFinite(row.confidence) ? [h("dt", {}, "weakest link"), h("dd", {}, `${Math.round(100 * row.confidence)} %, before frame ${row.weakest}`)] : null,
          data.parent[i] || daughters.length ? [h("dt", {}, "lineage"), h("dd", {}, data.parent[i] ? ["daughter of ", link(data.parent[i]), daughters.length ? "; " : ""] : "", daughters.length ? ["mother of ", ...daughters.flatMap((id, k) => [k ? ", " : "", link(id)])] : "")] : null));
    }
    function fitFacts(fit) {
      const range = (each) => (each.low < each.high ? ` (${short(each.low)} to ${short(each.high)})` : each.low === each.high ? " (held)" : "");
      return h("div", { class: "fit" },
        h("h4", {}, `Fit of ${columnWords(key, fit.column)}: ${fit.model} `, h("span", { class: `badge ${fit.success ? "good" : "bad"}` }, fit.verdict)),
        h("dl", { class: "facts" }, fit.parameters.filter((each) => Number.isFinite(each.value) || !["sum", "product"].includes(each.name)).map((each) => [h("dt", {}, each.name), h("dd", {}, Number.isFinite(each.value) ? `${short(each.value)} ${each.unit}${range(each)}` : "not told")]), h("dt", {}, "R²"), h("dd", {}, short(fit.rSquared))),
        h("p", { class: "hint" }, "In brackets: 95 % intervals. Thin line: the curve; bars below: trace minus curve."));
    }
    function chart(i, column, fit) {
      const width = 420, height = fit ? 196 : 150, x0 = 52, x1 = width - 8, y0 = 126, y1 = 12;
      const values = data.values[column], from = data.first[i], to = data.first[i + 1];
      const own = [...values.subarray(from, to)].filter(Number.isFinite);
      const title = columnWords(key, column);
      if (!own.length) return h("p", { class: "hint" }, `${title}: no value.`);
      const perHour = { h: 1, min: 60, s: 3600 }[data.unit] ?? 1, curve = fit ? fit.curve.filter(Number.isFinite) : [];
      let low = Math.min(...own, ...curve), high = Math.max(...own, ...curve);
      if (low === high) { low -= Math.abs(low) * 0.1 + 0.5; high += Math.abs(high) * 0.1 + 0.5; }
      const t0 = data.time[0], t1 = data.time[data.time.length - 1];
      const px = (t) => x0 + ((x1 - x0) * (t - t0)) / (t1 - t0 || 1), py = (value) => y0 + ((y1 - y0) * (value - low)) / (high - low);
      const path = (start, end, keepRow, up = py) => {
        let text = "", before = -2;
        for (let row = start; row < end; row++) {
          if (!Number.isFinite(values[row]) || !keepRow(row)) continue;
          text += `${data.frame[row] === before + 1 ? "L" : "M"}${px(data.time[data.frame[row]]).toFixed(1)} ${up(values[row]).toFixed(1)}`;
          before = data.frame[row];
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
      const dots = [];
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
        [t0, t1].map((t, k) => svg("text", { x: px(t), y: height - 6, "text-anchor": k ? "end" : "start" }, document.createTextNode(k ? `${short(t)} ${data.unit}` : short(t)))),
        svg("g", { "clip-path": `url(#${clip})` }, svg("path", { d: others.d, class: "others", transform: `matrix(1 0 0 ${stretch} 0 ${py(others.least)})` }), svg("path", { d: path(from, to, () => true), class: fit ? "own under" : "own" }), overlaid[0], dots),
        overlaid.slice(1),
        svg("line", { class: "now", y1, y2: y0, "data-axis": `${x0} ${x1} ${t0} ${t1}` }));
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
        say(`Cell ${data.id[i]} ${WORDS[action]} … click the other cell, or press Esc.`);
        return;
      }
      if (action === "comment") { comment(i); return; }
      const row = action === "cut" && count ? rowAt(i, pictures.frames[shown]) : -1;
      if (action === "cut" && (row < 0 || row === data.first[i])) { say("Go to the frame that shall begin a new cell; not its first one."); return; }
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
    function pair(j) {
      const i = chosen, action = waits;
      waits = "";
      if (i === j) { say("That is the same cell."); return; }
      const ends = (cell) => data.frame[data.first[cell + 1] - 1], begins = (cell) => data.frame[data.first[cell]];
      let [from, to] = [i, j];
      if (action === "link" && begins(j) < begins(i)) [from, to] = [j, i];
      if (action === "link" && begins(to) <= ends(from)) { say("Both are there at the same time: cut one of them first, or merge them."); return; }
      if (action === "split" && begins(to) <= begins(from)) { say("A daughter begins after its mother."); return; }
      const common = action === "merge" ? [...pictures.frames, ...data.frame.subarray(data.first[i], data.first[i + 1])].find((frame) => rowAt(i, frame) >= 0 && rowAt(j, frame) >= 0) : undefined;
      if (action === "merge" && common === undefined) { say("They are never there together: link them instead."); return; }
      const own = anchor(data, from, action === "merge" ? rowAt(i, common) : action === "link" ? data.first[from + 1] - 1 : -1);
      const other = anchor(data, to, action === "merge" ? rowAt(j, common) : data.first[to]);
      correct(key, own, action, { target_frame: other.frame, target_x: other.x, target_y: other.y });
      say(`Cell ${data.id[from]} ${WORDS[action]} cell ${data.id[to]}.`);
      panel();
    }
    function undo() {
      const { dataset: of, index: number } = files.get(key);
      for (let k = kept.corrections.length - 1; k >= 0; k--) {
        if (kept.corrections[k].dataset === of && kept.corrections[k].fov === number) {
          const [gone] = kept.corrections.splice(k, 1);
          keep();
          say(`Undone: ${WORDS[gone.action]}.`);
          panel();
          return;
        }
      }
      say("There is nothing to undo in this FOV.");
    }

    // Pointing, dragging, pinching and turning the wheel.
    const place = (event) => {
      const box = stage.getBoundingClientRect(), fit = (box.width / pictures.width) * zoom.scale;
      return [(event.clientX - box.left) / fit + zoom.x, (event.clientY - box.top) / fit + zoom.y];
    };
    async function cellAt(event) {
      const [x, y] = place(event), context = layers[2].getContext("2d");
      context.save();
      context.setTransform(1, 0, 0, 1, 0, 0);
      const found = (await outlines(pictures, shown)).filter((shape) => x >= shape.box[0] - 1 && x <= shape.box[2] + 2 && y >= shape.box[1] - 1 && y <= shape.box[3] + 2 && context.isPointInPath(shape.path, x, y));
      context.restore();
      return found.length ? data.place.get(found[0].id) ?? -1 : -1;
    }
    function zoomTo(scale, event) {
      const [x, y] = place(event), next = clamp(scale, 1, 16), part = zoom.scale / next;
      zoom.x = clamp(x - (x - zoom.x) * part, 0, pictures.width * (1 - 1 / next));
      zoom.y = clamp(y - (y - zoom.y) * part, 0, pictures.height * (1 - 1 / next));
      zoom.scale = next;
      draw();
    }
    if (count) {
      const down = new Map();
      let moved = false, gap = 0;
      stage.addEventListener("wheel", (event) => { event.preventDefault(); zoomTo(zoom.scale * Math.exp(-event.deltaY / 300), event); }, { passive: false });
      stage.addEventListener("pointerdown", (event) => { down.set(event.pointerId, event); moved = false; gap = 0; stage.setPointerCapture(event.pointerId); });
      stage.addEventListener("pointermove", async (event) => {
        const before = down.get(event.pointerId);
        if (!before) {
          const i = await cellAt(event), box = stage.getBoundingClientRect();
          tip.hidden = i < 0;
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
        const box = stage.getBoundingClientRect(), fit = (box.width / pictures.width) * zoom.scale;
        if (down.size === 2) {
          const [a, b] = [...down.values()], now = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
          if (gap) zoomTo((zoom.scale * now) / gap, { clientX: (a.clientX + b.clientX) / 2, clientY: (a.clientY + b.clientY) / 2 });
          gap = now;
          return;
        }
        zoom.x = clamp(zoom.x - (event.clientX - before.clientX) / fit, 0, pictures.width * (1 - 1 / zoom.scale));
        zoom.y = clamp(zoom.y - (event.clientY - before.clientY) / fit, 0, pictures.height * (1 - 1 / zoom.scale));
        draw();
      });
      stage.addEventListener("pointerup", async (event) => {
        down.delete(event.pointerId);
        if (moved || down.size) return;
        const i = await cellAt(event);
        if (waits && i >= 0) pair(i); else choose(i);
      });
      stage.addEventListener("pointercancel", (event) => down.delete(event.pointerId));
      stage.addEventListener("pointerleave", () => { tip.hidden = true; });
      const watcher = new ResizeObserver(() => draw());
      watcher.observe(stage);
      const stop = leave;
      leave = () => { stop(); watcher.disconnect(); };
    }
    const flip = (id) => () => { look[id] = !look[id]; body.querySelectorAll(".switch").forEach((each) => { if (each.textContent === id) each.firstChild.checked = look[id]; }); draw(); };
    keys = {
      a: () => act("accept"), r: () => act("reject"), c: () => act("comment"), x: () => act("cut"), l: () => act("link"), m: () => act("merge"), s: () => act("split"), u: undo,
      ArrowLeft: () => show(shown - 1), ArrowRight: () => show(shown + 1), ArrowDown: () => choose((chosen + 1) % data.cells), ArrowUp: () => choose((chosen - 1 + data.cells) % data.cells),
      " ": () => count && start(), o: flip("outlines"), i: flip("ids"), t: flip("tails"),
      n: async () => { const next = (await doubtful(() => {})).find((row) => !row.verdict && !(row.key === key && row.i === chosen)); if (next) location.hash = address(next); },
      Escape: () => { if (waits) { waits = ""; say(""); } else if (chosen >= 0) choose(-1); else location.hash = "fields"; },
    };
    mark();
    light();
    const wanted = data.place.get(Number(cellText));
    if (frameText) show(nearest(Number(frameText)));
    choose(cellText && cellText !== "-" && wanted !== undefined ? wanted : -1);
  }

  // ---- cells of all FOVs

  function columnWords(key, column) {
    return files.get(key).of.columns[column] ?? column;
  }
  function address(row) {
    const { dataset, index: fov } = files.get(row.key);
    return `fov/${encodeURIComponent(dataset)}/${fov}/${row.id}`;
  }
  class Row { // a cell in lists; what people say of it may change
    constructor(key, data, i) {
      const from = data.first[i], to = data.first[i + 1], flags = new Map();
      const parsed = data.parsed ??= data.verdicts.map(([fine, text]) => [fine, text.split(";").filter(Boolean)]);
      let good = 0, weakest = -1;
      for (let row = from; row < to; row++) {
        const [fine, names] = parsed[data.verdict[row]];
        good += fine;
        for (const flag of names) flags.set(flag, (flags.get(flag) ?? 0) + 1);
        if (weakest < 0 ? data.confidence[row] >= 0 : data.confidence[row] < data.confidence[weakest]) weakest = row;
      }
      Object.assign(this, {
        key, data, i, id: data.id[i], n: to - from, first: data.frame[from], last: data.frame[to - 1], good, flags: [...flags], confidence: weakest < 0 ? NaN : data.confidence[weakest],
        weakest: weakest < 0 ? -1 : data.frame[weakest], whole: data.time.length, parent: data.parent[i], x: data.startX(i), y: data.startY(i),
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
  function table(key, columns, choose, more = []) { // its rows are made as they come into sight
    const heads = [...more, ["cell", (row) => row.id], ["frames", (row) => row.n], ["from", (row) => row.first], ["good", (row) => row.good], ...columns.map((column) => [columnWords(key, column), (row) => row[column]]), ["weakest link", (row) => row.confidence], ["flags", (row) => row.flags.map(([flag]) => flag).join(" ")], ["verdict", (row) => (row.verdict ? WORDS[row.verdict] : row.judged ? "corrected" : "")]];
    let by = -1, up = true, rows = [], sorted = [], made = 0;
    const body = h("tbody"), rest = h("div", { class: "rest" });
    const line = (row) => h("tr", { tabindex: "0", onclick: () => choose(row), onkeydown: (event) => { if (event.key === "Enter") choose(row); } }, heads.map(([, of]) => { const value = of(row); return h("td", { class: typeof value === "number" ? "num" : null }, typeof value === "number" ? short(value) : value); }));
    const grow = () => {
      body.append(...sorted.slice(made, made + 60).map(line));
      made = Math.min(made + 60, sorted.length);
      rest.hidden = made === sorted.length;
    };
    const fill = () => {
      const order = (a, b) => (typeof a === "string" ? a.localeCompare(b) : (Number.isNaN(a) ? Infinity : a) - (Number.isNaN(b) ? Infinity : b));
      sorted = by < 0 ? rows : rows.map((row) => [heads[by][1](row), row]).sort(([a], [b]) => (up ? order(a, b) : order(b, a))).map(([, row]) => row);
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
  const columnsOfAll = () => [...new Set(index.datasets.flatMap((dataset) => dataset.shown))];
  const keyOf = (column) => [...files.entries()].find(([, each]) => each.of.shown.includes(column))[0];
  async function numbersOfCells() { // what lists and plots can show of a cell, by its words
    const columns = columnsOfAll(), fits = new Map();
    for (const dataset of index.datasets) fits.set(dataset.name, await fitsOf(dataset.name));
    const named = [...new Set(index.fits.flatMap((told) => told.parameters.map(([name, unit]) => JSON.stringify([told.model, told.column, name, unit]))))].map((text) => JSON.parse(text));
    const fitOf = ([model, column, name]) => (row) => {
      const { dataset, index: fov } = files.get(row.key), fit = fits.get(dataset)(fov, row.id).find((each) => each.model === model && each.column === column);
      return fit?.success ? fit.parameters.find((each) => each.name === name)?.value ?? NaN : NaN;
    };
    return {
      frames: (row) => row.n, "good frames": (row) => row.good, "first frame": (row) => row.first, "weakest link": (row) => row.confidence, x: (row) => row.x, y: (row) => row.y,
      ...Object.fromEntries(columns.map((column) => [columnWords(keyOf(column), column), (row) => row[column]])),
      ...Object.fromEntries(named.map((each) => [`${each[2]}${each[3] && ` (${each[3]})`}, ${each[0]} of ${index.datasets[0].columns[each[1]] ?? each[1]}`, fitOf(each)])),
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
    const words = h("p", { class: "hint" }), listed = table(columns.length ? keyOf(columns[0]) : "", columns, (row) => { location.hash = address(row); }, ofAll());
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
      context.clearRect(0, 0, width, height);
      context.font = "22px system-ui, sans-serif";
      context.fillStyle = style.getPropertyValue("--soft");
      context.strokeStyle = style.getPropertyValue("--rule");
      context.strokeRect(110, 20, width - 120, height - 76);
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
      words.textContent = `${plural(caught.length, "cell")}${lasso.length > 2 ? " in the lasso; click the plot to let go" : ". Draw around points to choose them"}.`;
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
    const known = [...new Set(index.samples.map(key))], asNumber = known.every((name) => name !== "" && Number.isFinite(Number(name)));
    const order = asNumber ? known.sort((a, b) => a - b) : known, replicates = [...new Set(index.samples.map((each) => each.replicate || each.sample))];
    const which = h("select", { onchange: paint }, option(names));
    which.value = names[Math.min(5 + columnsOfAll().length, names.length - 1)];
    const canvas = h("canvas", { class: "scatter", role: "img", "aria-label": "Cells by condition; the list below has the same numbers", width: body.clientWidth < 600 ? 650 : 1300, height: 620 }), tip = h("p", { class: "hint" }, "Small: a cell. Large: the median of a replicate. Point at one to read it, click a cell to open it."), below = h("div");
    let spots = [];
    function paint() {
      const of = numbers[which.value], context = canvas.getContext("2d"), { width, height } = canvas, style = getComputedStyle(document.documentElement);
      const all = [...members.values()].flat().map(of).filter(Number.isFinite).sort((a, b) => a - b);
      const low = all[Math.floor(all.length * 0.005)] ?? 0, top = all[Math.ceil(all.length * 0.995) - 1] ?? 1, high = top > low ? top : low + 1;
      const py = (value) => height - 60 - ((height - 90) * (value - low)) / (high - low), wide = (width - 140) / order.length;
      context.clearRect(0, 0, width, height);
      context.font = "22px system-ui, sans-serif";
      context.fillStyle = style.getPropertyValue("--soft");
      context.strokeStyle = style.getPropertyValue("--rule");
      context.strokeRect(120, 15, width - 130, height - 70);
      context.textAlign = "right";
      [low, (low + high) / 2, high].forEach((value) => context.fillText(short(value), 112, py(value) + 8));
      context.textAlign = "center";
      order.forEach((name, k) => context.fillText(name, 120 + wide * (k + 0.5), height - 24, wide));
      spots = [];
      const large = [];
      for (const [sample, cells] of members) {
        const k = order.indexOf(key(sample)), r = replicates.indexOf(sample.replicate || sample.sample), values = cells.map(of), some = Math.max(1, Math.ceil(cells.length / 1500));
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
        const middle = median(values);
        if (Number.isFinite(middle)) large.push({ x: 120 + wide * (k + 0.5 + 0.5 * ((r + 0.5) / replicates.length - 0.5)), y: py(middle), r, words: `${sample.sample}: median ${short(middle)} of ${plural(values.filter(Number.isFinite).length, "cell")}` });
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
        const those = [...members].filter(([sample]) => key(sample) === name), middles = those.map(([, cells]) => median(cells.map(of)));
        return h("details", { open: order.length < 5 },
          h("summary", {}, h("b", {}, name), `: ${plural(those.length, "replicate")}, ${plural(those.reduce((sum, [, cells]) => sum + cells.length, 0), "good cell")}; median of the replicates ${short(median(middles))}`),
          h("ul", {}, those.map(([sample, cells], k) => h("li", {},
            h("a", { href: `#cells/${encodeURIComponent(sample.sample)}` }, sample.sample), `${sample.replicate && `, replicate ${sample.replicate}`}: median ${short(middles[k])}, ${plural(cells.length, "cell")}. FOVs `,
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
      h("h2", {}, "Conditions"), h("div", { class: "tools" }, h("label", {}, "number ", which), replicates.slice(0, 12).map((name, r) => h("span", { class: "key" }, h("i", { style: `background:${TONES[r % TONES.length]}` }), name))), canvas, tip, below);
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
    for (const pairs of byDataset.values()) {
      const middle = median(pairs.map(([row, value]) => (row.good ? value : NaN))), spread = 1.4826 * median(pairs.map(([row, value]) => (row.good ? Math.abs(value - middle) : NaN))) || 1;
      for (const [row, value] of pairs) {
        const share = row.good / row.n, odd = Math.min(Math.abs(value - middle) / spread, 5) / 5;
        const reasons = [];
        if (row.confidence < 0.8) reasons.push([1 - row.confidence, `a link of ${Math.round(100 * row.confidence)} % before frame ${row.weakest}`]);
        if (share > 0 && share < 1) reasons.push([1 - Math.abs(2 * share - 1), `good in ${Math.round(100 * share)} % of its frames`]);
        if (row.first > 0 && !row.parent && row.n > 2) reasons.push([0.35, `begins in frame ${row.first}, and not by a division`]);
        if (row.last < row.whole - 1 && row.n > 2) reasons.push([0.25, `ends in frame ${row.last}`]);
        if (odd > 0.7) reasons.push([odd * 0.6, "its value is far from the others'"]);
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

  // ---- corrections: what was said, to be saved and loaded

  function corrections(body) {
    const who = h("input", { type: "text", value: kept.who, maxlength: 80, placeholder: "your name", oninput: () => { kept.who = who.value; keep(); } });
    const choose = h("input", { type: "file", accept: ".csv,text/csv", onchange: () => open([...choose.files]) });
    body.append(
      h("h2", {}, plural(kept.corrections.length, "correction")),
      h("p", { class: "hint" }, "They are kept in this browser. Save them as corrections.csv, put that file beside the configuration, and name it there: ", h("code", {}, "corrections: config/corrections.csv"), ". The next run uses them, and makes only what depends on them."),
      h("div", { class: "tools" }, h("label", {}, "who ", who), button("Save corrections.csv", save), h("label", { class: "file" }, "Load a file, or drop it here ", choose)),
      kept.corrections.length ? h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Corrections" }, h("table", {}, h("thead", {}, h("tr", {}, [...FIELDS, ""].map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, kept.corrections.map((each, k) => h("tr", {}, FIELDS.map((name) => h("td", {}, String(each[name] ?? ""))), h("td", {}, button("remove", () => { kept.corrections.splice(k, 1); keep(); route(); }))))))) : h("p", {}, "Nothing was said of any cell yet."));
  }

  window.addEventListener("hashchange", route);
  const told = (kind) => (dataset, fov, content) => { const name = `${kind} ${dataset}/${fov}`; waiting.get(name)?.(content); waiting.delete(name); };
  route();
  return { numbers: told("numbers"), pictures: told("pictures") };
})();
