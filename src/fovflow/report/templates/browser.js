"use strict";
// The part of the report in which one looks at single cells. It loads what rule `browse` has written of an
// FOV when somebody asks for it, and keeps what a person says of cells until it is saved as corrections.csv.
const fovflow = (() => {
  const index = JSON.parse(document.getElementById("browse-index").textContent);
  const root = document.getElementById("browser");
  const report = [...document.body.children].filter((each) => each !== root && each.tagName !== "SCRIPT");
  const FIELDS = ["dataset", "fov", "frame", "x", "y", "action", "target_frame", "target_x", "target_y", "reason", "who", "when"];
  const TARGET = FIELDS.slice(6, 9);
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
    if (Number.isInteger(value) && Math.abs(value) < 1e9) return String(value); // ids and counts
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
    const values = {}, medians = {}, bins = new Uint32Array(256), fine = told.verdicts.map(([good]) => good), sound = new Uint8Array(m);
    for (let i = 0; i < m; i++) for (let row = first[i]; row < first[i + 1]; row++) if (fine[verdict[row]]) sound[i] = 1;
    for (const column of told.columns) {
      const low = new Float32Array(take(m, 4)), high = new Float32Array(take(m, 4)), steps = changes();
      const found = new Float32Array(n), middle = new Float32Array(m);
      for (let i = 0; i < m; i++) {
        const value = (step) => low[i] + ((high[i] - low[i]) * (step - 1)) / 254;
        bins.fill(0);
        let many = 0; // of the good rows, or of all where none is good
        for (let row = first[i]; row < first[i + 1]; row++) {
          found[row] = steps[row] ? value(steps[row]) : NaN;
          if (steps[row] && (!sound[i] || fine[verdict[row]])) { bins[steps[row]]++; many++; }
        }
        const ranked = (rank) => { let step = 0; for (let seen = 0; seen <= rank;) seen += bins[++step]; return step; };
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

  const STORE = `fovflow corrections ${location.pathname}`; // a further dataset takes nothing away
  const kept = { corrections: [], who: "" };
  let version = 0, stored = true;
  function recall() { // what another window of this page has kept meanwhile is kept on
    version++;
    try { if (stored) Object.assign(kept, JSON.parse(localStorage.getItem(STORE) || "{}")); } catch { stored = false; } // it is closed
  }
  recall();
  function change(edit) {
    recall();
    edit();
    version++;
    try { localStorage.setItem(STORE, JSON.stringify(kept)); stored = true; } catch { stored = false; }
    counted();
  }
  function counted() {
    const count = document.getElementById("count");
    if (!count) return;
    count.textContent = `${kept.corrections.length ? plural(kept.corrections.length, "correction") : "no corrections"}${stored ? "" : ": this browser does not keep them, save them before you close the page"}`;
    count.classList.toggle("failed", !stored);
  }
  function anchor(data, i, row = -1) {
    let at = row >= 0 ? row : (data.first[i] + data.first[i + 1] - 1) >> 1;
    while (row < 0 && at > data.first[i] && !data.shownFrames.has(data.frame[at])) at--; // a place that is told exactly
    return { frame: data.frame[at], x: Number((data.x[at] / data.scale).toFixed(1)), y: Number((data.y[at] / data.scale).toFixed(1)) };
  }
  function correct(key, place, action, more = {}) {
    const { dataset, index: fov } = files.get(key);
    const whose = (each) => each.dataset === dataset && each.fov === fov && each.frame === place.frame && each.x === place.x && each.y === place.y;
    const made = { dataset, fov, ...place, action, target_frame: "", target_x: "", target_y: "", reason: "", ...more };
    const alike = ["accept", "reject"].includes(action) ? ["accept", "reject"] : [action];
    const again = (each) => whose(each) && alike.includes(each.action) && TARGET.every((name) => each[name] === made[name]);
    change(() => {
      kept.corrections = kept.corrections.filter((each) => !again(each));
      kept.corrections.push({ ...made, who: kept.who, when: new Date().toISOString().slice(0, 19) + "Z" });
    });
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
      const beside = (row) => [data.x[row] / data.scale - each.x, data.y[row] / data.scale - each.y], away = (row) => Math.hypot(...beside(row));
      const reached = rows.filter((row) => Math.max(...beside(row).map(Math.abs)) <= 12 + (data.reach?.[data.owner[row]] ?? 3)); // as the pipeline finds it
      const row = reached.reduce((best, other) => (best < 0 || away(other) < away(best) ? other : best), -1);
      seen.set(each, row >= 0 ? data.owner[row] : -1);
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
  const line = (each) => JSON.stringify(FIELDS.map((name) => each[name] ?? ""));
  function remove(gone) {
    change(() => {
      const k = kept.corrections.findLastIndex((each) => line(each) === line(gone));
      if (k >= 0) kept.corrections.splice(k, 1);
    });
  }
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
      each.action = each.action.trim().toLowerCase(); // as the pipeline reads it
      return each;
    });
    const usable = found.filter((each) => each.action in WORDS && files.has(`${each.dataset}/${each.fov}`) && [each.frame, each.x, each.y].every(Number.isFinite));
    let fresh = [];
    change(() => {
      const known = new Set(kept.corrections.map(line));
      fresh = usable.filter((each) => !known.has(line(each)));
      kept.corrections.push(...fresh);
    });
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
    const [name, ...rest] = location.hash.slice(1).split("/").map((part) => { try { return decodeURIComponent(part); } catch { return part; } });
    leave();
    leave = () => {};
    keys = {};
    const shown = Object.hasOwn(VIEWS, name);
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
    counted();
    Promise.resolve(VIEWS[name][1](body, rest)).catch((error) => body.replaceChildren(h("p", { class: "trouble", role: "alert" }, error.message)));
  }
  function help() {
    const rows = [["A", "accept the cell"], ["R", "reject it"], ["C", "comment"], ["X", "cut its track before this frame"], ["L", "it goes on as another cell: then click that one, or ↑ ↓ and Enter"], ["M", "it is one cell with another: likewise"], ["S", "it divides into another: likewise"], ["U", "undo"], ["B", "keep the cell beside the next ones"], ["← →", "frame before, after"], ["↑ ↓", "cell before, after"], ["Space", "play, stop"], ["O, I, T", "outlines, ids, tails"], ["+ −", "larger, smaller"], ["N", "next of the review list"], ["Esc", "back"]];
    const box = h("dialog", { class: "keys" }, h("h2", {}, "Keys"), h("dl", {}, rows.map(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)])), button("Close", () => box.close(), { autofocus: true }));
    box.addEventListener("close", () => box.remove());
    root.append(box);
    box.showModal();
  }
  document.addEventListener("keydown", (event) => {
    if (root.hidden || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && event.target.type !== "range" && event.target.type !== "checkbox") return;
    if (event.target.type === "range" && event.key.startsWith("Arrow")) return;
    if (event.key === " " && (/^(BUTTON|A)$/.test(event.target.tagName) || event.target.type === "checkbox")) return;
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
        ...Object.fromEntries([...new Set(dataset.fovs.flatMap((fov) => Object.keys(fov.levels)))].map((name) => [name, (fov) => fov.levels[name]])),
      };
      const conditionOf = (fov) => index.samples.find((each) => each.dataset === dataset.name && each.fovs.includes(fov.index))?.condition ?? "";
      const conditions = [...new Set(dataset.fovs.map(conditionOf))].filter(Boolean).sort();
      const grid = h("div", { class: "grid" }), words = h("p", { class: "hint" });
      const select = h("select", { onchange: paint }, [...Object.keys(numbers), ...(conditions.length ? ["condition"] : [])].map((name) => h("option", {}, name)));
      const tile = (fov, value, style, odd) => {
        const inside = [h("b", {}, String(fov.index)), h("span", {}, value || fov.status), fov.name && h("small", {}, fov.name)], title = `FOV ${fov.index}${fov.name ? `, ${fov.name}` : ""}: ${fov.status}`;
        return fov.numbers ? h("a", { href: `#fov/${encodeURIComponent(dataset.name)}/${fov.index}`, class: odd ? "odd" : null, style, title }, inside) : h("div", { class: "gone", title }, inside);
      };
      function paint() {
        if (select.value === "condition") {
          words.textContent = `${plural(conditions.length, "condition")}: ${conditions.join(", ")}.${dataset.fovs.every(conditionOf) ? "" : " –: in no sample with a condition, or without a good cell."}`;
          grid.replaceChildren(...dataset.fovs.map((fov) => tile(fov, conditionOf(fov) || "–", conditionOf(fov) ? `border:3px solid ${TONES[conditions.indexOf(conditionOf(fov)) % TONES.length]}` : null, false)));
          return;
        }
        const of = numbers[select.value], values = dataset.fovs.map((fov) => of(fov) ?? NaN), finite = values.filter(Number.isFinite);
        const low = Math.min(...finite), high = Math.max(...finite), middle = median(values);
        const spread = 1.4826 * median(values.map((value) => Math.abs(value - middle))) || (high - low) / 20; // more than half may be the same
        const odd = dataset.fovs.filter((fov, i) => spread > 0 && Math.abs(values[i] - middle) > 3.5 * spread);
        words.textContent = finite.length ? `${short(low)} to ${short(high)}, median ${short(middle)}.${odd.length ? ` Far from the others: FOV ${odd.map((fov) => fov.index).join(", ")}.` : ""}` : "No FOV is complete.";
        grid.replaceChildren(...dataset.fovs.map((fov, i) => {
          const part = high > low ? (values[i] - low) / (high - low) : 0.5, told = Number.isFinite(values[i]);
          const style = told ? `background:${cividis(part)};color:${part > 0.55 ? "#111" : "#fff"}` : null;
          return tile(fov, told ? short(values[i]) : "", style, odd.includes(fov));
        }));
      }
      body.append(h("section", {}, h("h2", {}, dataset.name), h("label", {}, "Colour: ", select), words, grid, heat(dataset)));
      paint();
    }
  }
  function heat(dataset) {
    const rows = dataset.fovs.filter((fov) => fov.objects?.length);
    if (!rows.length) return null;
    const ends = (end, start, lists) => lists.reduce((found, values) => values.reduce((a, b) => (b === null ? a : end(a, b)), found), start); // of more numbers than a call can take
    const frames = ends(Math.max, 0, [rows.map((fov) => fov.objects.length)]), all = rows.map((fov) => fov.objects), most = ends(Math.max, 0, all), least = ends(Math.min, most, all);
    const canvas = h("canvas", { width: frames, height: rows.length, class: "heat", role: "img", "aria-label": `Cells per frame, one row per FOV; at most ${most}`, style: `height:${clamp(rows.length * 10, 40, 420)}px` });
    const context = canvas.getContext("2d");
    rows.forEach((fov, y) => fov.objects.forEach((value, x) => { if (value !== null) { context.fillStyle = cividis(most > least ? (value - least) / (most - least) : 0.5); context.fillRect(x, y, 1, 1); } }));
    const tip = h("p", { class: "hint" }, "Point at a place to read it.");
    const odd = rows.flatMap((fov) => { // places far from the rest of their FOV
      const middle = median(fov.objects.map((value) => value ?? NaN)), spread = Math.max(1.4826 * median(fov.objects.map((value) => Math.abs((value ?? NaN) - middle))), 0.05 * middle, 1);
      return fov.objects.map((value, t) => [value === null ? 0 : Math.abs(value - middle) / spread, fov, t, middle]).filter(([far]) => far > 5);
    }).sort((a, b) => b[0] - a[0]);
    const far = odd.length ? h("p", { class: "hint" }, "Far from the rest of their FOV: ", odd.slice(0, 6).map(([, fov, t, middle], k) => [k ? "; " : "", h("a", { href: `#fov/${encodeURIComponent(dataset.name)}/${fov.index}/-/${t}` }, `FOV ${fov.index}, frame ${t}`), `: ${fov.objects[t]} cells (median ${short(middle)})`]), odd.length > 6 ? `; and ${odd.length - 6} more.` : ".") : null;
    const where = (event) => {
      const box = canvas.getBoundingClientRect();
      return [rows[clamp(Math.floor(((event.clientY - box.top) / box.height) * rows.length), 0, rows.length - 1)], clamp(Math.floor(((event.clientX - box.left) / box.width) * frames), 0, frames - 1)];
    };
    canvas.addEventListener("pointermove", (event) => { const [fov, t] = where(event); tip.textContent = `FOV ${fov.index}, frame ${t}: ${Number.isFinite(fov.objects[t]) ? plural(fov.objects[t], "cell") : "not acquired"}`; });
    canvas.addEventListener("click", (event) => { const [fov, t] = where(event); if (fov.numbers) location.hash = `fov/${encodeURIComponent(dataset.name)}/${fov.index}/-/${t}`; });
    return h("div", {}, h("h3", {}, "Cells per frame"), h("p", { class: "hint" }, `One row per FOV, frames from left to right; ${most > least ? `dark: ${plural(least, "cell")}, bright: ${most}` : `${plural(most, "cell")} in each`}; frames that were not acquired are left out.`), canvas, tip, far);
  }

  // PARTS: browser_fov.js, browser_lists.js

  // ---- corrections: what was said, to be saved and loaded

  function corrections(body) {
    const who = h("input", { type: "text", value: kept.who, maxlength: 80, placeholder: "your name", oninput: () => change(() => { kept.who = who.value; }) });
    const choose = h("input", { type: "file", accept: ".csv,text/csv", onchange: () => open([...choose.files]) });
    const unmet = [...files.values()].flatMap((fov) => fov.unmet.map((words) => h("li", {}, h("a", { href: `#fov/${encodeURIComponent(fov.dataset)}/${fov.index}` }, `${fov.dataset}, FOV ${fov.index}`), h("span", {}, words))));
    body.append(
      h("h2", {}, plural(kept.corrections.length, "correction")),
      h("p", { class: "hint" }, "They are kept in this browser. Save them as corrections.csv, put that file beside the configuration, and name it there: ", h("code", {}, "corrections: config/corrections.csv"), ". The next run uses them, and makes only what depends on them. Where there is such a file already, of another browser or person, load it first: its lines are in the new one then."),
      h("div", { class: "tools" }, h("label", {}, "who ", who), button("Save corrections.csv", save), h("label", { class: "file" }, "Load a file, or drop it here ", choose)),
      ...(unmet.length ? [h("h3", {}, "Not followed by the last run"), h("ul", { class: "review" }, unmet)] : []),
      kept.corrections.length ? h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Corrections" }, h("table", {}, h("thead", {}, h("tr", {}, [...FIELDS, ""].map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, kept.corrections.map((each) => h("tr", {}, FIELDS.map((name) => h("td", {}, String(each[name] ?? ""))), h("td", {}, button("remove", () => { remove(each); route(); }))))))) : h("p", {}, "Nothing was said of any cell yet."));
  }

  window.addEventListener("hashchange", route);
  window.addEventListener("storage", (event) => {
    if (event.key !== STORE) return;
    recall();
    counted();
    if (["#corrections", "#review"].includes(location.hash)) route();
  });
  const told = (kind) => (dataset, fov, content) => { const name = `${kind} ${dataset}/${fov}`; waiting.get(name)?.(content); waiting.delete(name); };
  route();
  return { numbers: told("numbers"), pictures: told("pictures") };
})();
