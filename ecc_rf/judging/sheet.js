"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const KEY = "ecc_rf judging " + data.key;
const COLORS = { cell: "#4aa3e8", not: "#e0762f", unsure: "#a9b2b9" };
const HEIGHTS = { cell: 1, not: 0.45, unsure: 0.7 };
const PANEL_LINE = "#ffd24d";

// ---- the table -------------------------------------------------------------------------------------------------

function parseCsv(text) {
  const rows = [];
  let row = [], field = "", quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoted) {
      if (c === '"' && text[i + 1] === '"') { field += '"'; i++; }
      else if (c === '"') quoted = false;
      else field += c;
    } else if (c === '"') quoted = true;
    else if (c === ",") { row.push(field); field = ""; }
    else if (c === "\n") { row.push(field.replace(/\r$/, "")); rows.push(row); row = []; field = ""; }
    else field += c;
  }
  if (field || row.length) { row.push(field.replace(/\r$/, "")); rows.push(row); }
  return rows.filter((r) => r.length > 1 || r[0] !== "");
}

const quote = (field) => (/[",\n]/.test(field) ? '"' + field.replace(/"/g, '""') + '"' : field);
const [header, ...lines] = parseCsv(data.table);
const column = Object.fromEntries(header.map((name, i) => [name, i]));
const count = lines.length;

function asCsv() {
  const filled = lines.map((line, i) => line.map((f, c) => (c === column.judgement ? judgements[i] : f)));
  return [header, ...filled].map((row) => row.map(quote).join(",")).join("\n") + "\n";
}

// ---- what is kept ----------------------------------------------------------------------------------------------

let judgements = lines.map(() => "");
let history = [];
let current = 0;
let saved = true;
let kept = true;

function keep() {
  saved = false;
  try {
    localStorage.setItem(KEY, JSON.stringify({ judgements, current, history }));
  } catch {
    if (kept) tell("This browser keeps nothing for this page: download the table before you close it.");
    kept = false;
  }
}

function restore() {
  try {
    const before = JSON.parse(localStorage.getItem(KEY));
    if (!before || !Array.isArray(before.judgements) || before.judgements.length !== count) return;
    judgements = before.judgements.map((j) => (j in COLORS ? j : ""));
    history = (before.history || []).filter((step) => Number.isInteger(step.at) && step.at >= 0 && step.at < count);
    current = Math.min(Math.max(before.current | 0, 0), count - 1);
  } catch { /* nothing was kept, or this browser allows none */ }
}

function tell(text) {
  byId("message").textContent = text;
  byId("message").hidden = !text;
}

// ---- judging ---------------------------------------------------------------------------------------------------

function judge(judgement) {
  history.push({ at: current, before: judgements[current] });
  judgements[current] = judgement;
  tell("");
  const next = nextOpen(current);
  if (next >= 0) current = next;
  else if (current < count - 1 && history.length > count) current += 1; // going through all of them once more
  keep();
  show();
}

function nextOpen(from) {
  for (let step = 1; step <= count; step++) {
    const i = (from + step) % count;
    if (!judgements[i]) return i;
  }
  return -1;
}

function undo() {
  const step = history.pop();
  if (!step) return tell("There is nothing to take back.");
  judgements[step.at] = step.before;
  current = step.at;
  tell("");
  keep();
  show();
}

function go(to) {
  current = Math.min(Math.max(to, 0), count - 1);
  keep();
  show();
}

function toggle(id) {
  const pressed = byId(id).getAttribute("aria-pressed") !== "true";
  byId(id).setAttribute("aria-pressed", String(pressed));
  draw();
}

const isOn = (id) => byId(id).getAttribute("aria-pressed") === "true";

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([asCsv()], { type: "text/csv" }));
  link.download = "judged.csv";
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  saved = true;
  byId("save").classList.remove("due");
  tell("judged.csv was downloaded. ecc-rf train-objects takes it with --judged.");
}

function load(text) {
  const [names, ...rows] = parseCsv(text.replace(/^\uFEFF/, ""));
  const at = Object.fromEntries((names || []).map((name, i) => [name, i]));
  if (!("id" in at && "judgement" in at && "fingerprint" in at && "candidate" in at)) {
    return tell("This is no table of judgements.");
  }
  const known = new Map(lines.map((line, i) => [line[column.fingerprint] + "/" + line[column.candidate], i]));
  let found = 0, others = 0, unknown = 0;
  const loaded = judgements.slice();
  for (const row of rows) {
    const said = (row[at.judgement] || "").trim().toLowerCase();
    const i = known.get(row[at.fingerprint] + "/" + row[at.candidate]);
    if (i === undefined) others++;
    else if (said in COLORS) { loaded[i] = said; found++; }
    else if (said) unknown++;
  }
  if (!found) return tell("The table has no judgement of these candidates.");
  judgements = loaded;
  history = [];
  current = Math.max(0, nextOpen(count - 1));
  keep();
  show();
  tell(`${found} judgements were loaded` + (others ? `; ${others} lines are of other candidates` : "")
    + (unknown ? `; ${unknown} are neither cell, not nor unsure` : "") + ".");
}

// ---- drawing ---------------------------------------------------------------------------------------------------

const decoded = new Map();

function decode(i) { // the codes of a candidate's sections
  if (!decoded.has(i)) {
    decoded.set(i, Promise.all(data.images[i].sections.map(async (section) => {
      const image = new Image();
      image.src = section.png;
      await image.decode();
      const canvas = document.createElement("canvas");
      canvas.width = image.width;
      canvas.height = image.height;
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      return context.getImageData(0, 0, image.width, image.height);
    })));
    if (decoded.size > 12) decoded.delete(decoded.keys().next().value);
  }
  return decoded.get(i);
}

function shades(image) { // of each code, under the contrast that is chosen
  const [low, high] = image.range;
  const [black, white] = isOn("shared") ? image.shared : image.own;
  return Uint8ClampedArray.from({ length: 256 }, (_, code) => {
    const value = low + (high - low) * (code / 255) ** 2;
    return Math.round(255 * Math.min(Math.max((value - black) / (white - black), 0), 1));
  });
}

async function draw() {
  const shown = current;
  const image = data.images[shown];
  const codes = await decode(shown);
  if (shown !== current) return;
  const table = shades(image);
  for (const canvas of document.querySelectorAll("canvas[data-panel]")) {
    const k = Number(canvas.dataset.panel);
    drawPanel(canvas, codes[k], table, image.sections[k], image.sections[k % 3].lines, data.fields[k < 3 ? 0 : 1]);
  }
  document.body.dataset.drawn = String(shown + 1);
  decode((shown + 1) % count);
}

function drawPanel(canvas, codes, table, section, lines, field) {
  const edge = Math.round(canvas.clientWidth * (window.devicePixelRatio || 1));
  canvas.width = canvas.height = edge;
  const context = canvas.getContext("2d");
  const scale = edge / field; // pixels per µm
  const unit = edge / canvas.clientWidth;
  const gray = new ImageData(codes.width, codes.height);
  for (let i = 0; i < codes.data.length; i += 4) {
    gray.data[i] = gray.data[i + 1] = gray.data[i + 2] = table[codes.data[i]];
    gray.data[i + 3] = 255;
  }
  const small = document.createElement("canvas");
  small.width = codes.width;
  small.height = codes.height;
  small.getContext("2d").putImageData(gray, 0, 0);
  const [x, y, w, h] = section.place;
  outside(context, edge, unit);
  context.imageSmoothingEnabled = isOn("smooth");
  context.imageSmoothingQuality = "high";
  context.drawImage(small, edge / 2 + x * scale, edge / 2 + y * scale, w * scale, h * scale);
  if (isOn("outline") && lines) drawOutline(context, lines, edge, scale, unit);
  drawMarks(context, edge, unit);
  drawBar(context, edge, unit, scale, field);
}

function outside(context, edge, unit) { // what lies beyond the volume is hatched
  context.fillStyle = "#22272c";
  context.fillRect(0, 0, edge, edge);
  context.strokeStyle = "#39424a";
  context.lineWidth = unit;
  context.beginPath();
  for (let i = -edge; i < edge; i += 10 * unit) { context.moveTo(i, edge); context.lineTo(i + edge, 0); }
  context.stroke();
}

function drawOutline(context, lines, edge, scale, unit) {
  context.lineCap = "round";
  for (const [color, width] of [["rgb(0 0 0 / 70%)", 3.5], [PANEL_LINE, 1.5]]) {
    context.strokeStyle = color;
    context.lineWidth = width * unit;
    context.beginPath();
    for (let i = 0; i < lines.length; i += 4) {
      context.moveTo(edge / 2 + lines[i] * scale, edge / 2 + lines[i + 1] * scale);
      context.lineTo(edge / 2 + lines[i + 2] * scale, edge / 2 + lines[i + 3] * scale);
    }
    context.stroke();
  }
}

function drawMarks(context, edge, unit) { // where the candidate is; nothing near it is covered
  context.strokeStyle = "#4aa3e8";
  context.lineWidth = 2 * unit;
  const length = edge * 0.05;
  context.beginPath();
  for (const [a, b] of [[0, length], [edge - length, edge]]) {
    context.moveTo(edge / 2, a); context.lineTo(edge / 2, b);
    context.moveTo(a, edge / 2); context.lineTo(b, edge / 2);
  }
  context.stroke();
}

function drawBar(context, edge, unit, scale, field) {
  const length = [200, 100, 50, 20, 10, 5, 2, 1, 0.5].find((n) => n <= field * 0.3) || field * 0.25;
  const right = edge - 8 * unit, low = edge - 8 * unit, width = length * scale;
  context.font = `600 ${Math.max(11, Math.min(14, edge / unit / 18)) * unit}px system-ui, sans-serif`;
  context.textAlign = "right";
  const text = `${length} µm`;
  const room = Math.max(width, context.measureText(text).width) + 8 * unit;
  context.fillStyle = "rgb(0 0 0 / 65%)";
  context.fillRect(right - room + 4 * unit, low - 20 * unit, room, 24 * unit);
  context.fillStyle = "#fff";
  context.fillRect(right - width, low - 3 * unit, width, 3 * unit);
  context.fillText(text, right, low - 7 * unit);
}

function drawStrip() {
  const canvas = byId("strip");
  const unit = window.devicePixelRatio || 1;
  const width = (canvas.width = Math.round(canvas.clientWidth * unit));
  const height = (canvas.height = Math.round(canvas.clientHeight * unit));
  const context = canvas.getContext("2d");
  const step = width / count;
  judgements.forEach((judgement, i) => {
    const tall = judgement ? HEIGHTS[judgement] : 0.15;
    context.fillStyle = judgement ? COLORS[judgement] : "#59636b";
    context.fillRect(i * step, height * (1 - tall), Math.max(step - unit, step * 0.7), height * tall);
    if (i === current) {
      context.strokeStyle = "#fff";
      context.lineWidth = 2 * unit;
      context.strokeRect(i * step + unit, unit, Math.max(step - 2 * unit, 2 * unit), height - 2 * unit);
    }
  });
}

function show() {
  const of = (name) => judgements.filter((j) => j === name).length;
  const done = judgements.filter(Boolean).length;
  byId("counts").textContent =
    `${done} of ${count}: ${of("cell")} cells, ${of("not")} not, ${of("unsure")} unsure`;
  const line = lines[current];
  const [z, y, x] = ["z", "y", "x"].map((axis) => Math.round(Number(line[column[axis]])));
  byId("which").textContent = `Candidate ${current + 1} of ${count}, ${line[column.name]}, voxel z ${z}, y ${y}, x ${x}`
    + (judgements[current] ? ` – judged: ${judgements[current]}` : "");
  for (const button of document.querySelectorAll("[data-judgement]")) {
    button.setAttribute("aria-pressed", String(button.dataset.judgement === judgements[current]));
  }
  byId("undo").disabled = !history.length;
  if (done === count && !saved) {
    byId("save").classList.add("due");
    tell("All candidates are judged. Download the table.");
  }
  drawStrip();
  draw();
}

// ---- keys and clicks -------------------------------------------------------------------------------------------

const KEYS = {
  1: () => judge("cell"), c: () => judge("cell"), 2: () => judge("not"), n: () => judge("not"),
  3: () => judge("unsure"), u: () => judge("unsure"), z: undo, Backspace: undo,
  ArrowLeft: () => go(current - 1), ArrowRight: () => go(current + 1),
  ArrowDown: () => { const i = nextOpen(current); if (i >= 0) go(i); },
  o: () => toggle("outline"), s: () => toggle("shared"), i: () => toggle("smooth"), d: save,
};

document.addEventListener("keydown", (event) => {
  const plainUndo = event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && !event.shiftKey;
  if ((event.ctrlKey || event.metaKey || event.altKey) && !plainUndo) return;
  if (event.repeat && !event.key.startsWith("Arrow")) return; // a key held down judges one candidate
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
for (const button of document.querySelectorAll("[data-judgement]")) {
  button.addEventListener("click", () => judge(button.dataset.judgement));
}
for (const id of ["outline", "shared", "smooth"]) byId(id).addEventListener("click", () => toggle(id));
byId("previous").addEventListener("click", () => KEYS.ArrowLeft());
byId("next").addEventListener("click", () => KEYS.ArrowRight());
byId("open").addEventListener("click", () => KEYS.ArrowDown());
byId("undo").addEventListener("click", undo);
byId("save").addEventListener("click", save);
byId("load").addEventListener("click", () => byId("file").click());
byId("file").addEventListener("change", async () => {
  const [file] = byId("file").files;
  if (file) load(await file.text());
  byId("file").value = "";
});
byId("strip").addEventListener("click", (event) => {
  go(Math.floor((event.offsetX / byId("strip").clientWidth) * count));
});
window.addEventListener("resize", () => { drawStrip(); draw(); });
window.addEventListener("beforeunload", (event) => { if (!kept && !saved) event.preventDefault(); });

restore();
show();
