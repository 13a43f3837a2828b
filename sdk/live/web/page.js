// The page asks for what it shows: of the cameras that are visible, at its own pace, nothing while it is hidden or paused.
"use strict";

const VIEW_MS = 200, FACES_MS = 500, RETRY_MS = 1000, TIMEOUT_MS = 5000, SPAN_MS = 10000;
const TREATMENTS = ["network", "reused", "small network", "bicubic", "skipped"];
const STATES = { live: ["●", "good"], ended: ["✓", "neutral"], connecting: ["…", "neutral"], frozen: ["‖", "bad"], offline: ["✕", "bad"] };
const VERDICTS = { ok: "good" };
const CAUSES = { consumer: "not processed in time", damaged: "damaged" };
const LATENCIES = { age: "arrival to result", queue: "queue", compute: "compute", camera_clock: "camera clock" };

const $ = (selector, root = document) => root.querySelector(selector);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const ms = (value) => (value == null ? "–" : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`);
const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
const sum = (values) => values.reduce((total, value) => total + value, 0);
const setText = (node, text) => { if (node.textContent !== text) node.textContent = text; };

let paused = false;
const cards = [];

class Card {
  constructor(index) {
    this.index = index;
    this.root = $("#camera").content.cloneNode(true).firstElementChild;
    this.canvas = $(".view canvas", this.root);
    this.faces = new Map(); // track id -> element
    this.visible = true;
    this.viewNumber = this.facesNumber = 0;
    this.facesTime = -Infinity;
    this.history = []; // [time, results, faces by treatment], for rates
    const enlarge = $(".enlarge", this.root);
    enlarge.addEventListener("click", () => {
      const wide = this.root.classList.toggle("wide-view");
      enlarge.setAttribute("aria-pressed", wide);
      setText(enlarge, wide ? "Reduce" : "Enlarge");
    });
    $("#cameras").append(this.root);
    new IntersectionObserver(([entry]) => { this.visible = entry.isIntersecting; }).observe(this.root);
  }

  // Queries for what the card shows and does not have yet.
  wants(now) {
    this.asksFaces = this.visible && now - this.facesTime >= FACES_MS;
    if (!this.visible) return [];
    const width = Math.round(this.canvas.clientWidth * Math.min(devicePixelRatio, 2));
    const wants = [`view=${this.index}.${this.viewNumber}.${width}`];
    if (this.asksFaces) wants.push(`faces=${this.index}.${this.facesNumber}`);
    return wants;
  }

  async draw(camera, frame, form, now) {
    this.drawFigures(camera, now);
    const view = form.get(`view-${this.index}`);
    if (view) {
      await this.drawView(view, frame);
      this.viewNumber = frame.number;
    }
    if (frame && this.asksFaces && this.facesNumber !== frame.number) {
      await this.drawFaces(frame, form);
      [this.facesNumber, this.facesTime] = [frame.number, now];
    }
  }

  async drawView(blob, frame) {
    const bitmap = await createImageBitmap(blob);
    if (this.canvas.width !== bitmap.width || this.canvas.height !== bitmap.height) {
      [this.canvas.width, this.canvas.height] = [bitmap.width, bitmap.height];
    }
    const context = this.canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    if ($("#boxes").checked) drawBoxes(context, frame, this.canvas);
    const faces = counted(frame.faces.length + frame.skipped.length, "face");
    this.canvas.setAttribute("aria-label", `Composite of camera ${frame.camera}, ${faces}`);
  }

  // Words and pictures of a face are of the same frame.
  async drawFaces(frame, form) {
    const seen = new Set(frame.faces.map((face) => face.track_id));
    for (const [track, node] of this.faces) if (!seen.has(track)) { node.remove(); this.faces.delete(track); }
    for (const face of frame.faces) await this.drawFace(face, form);
    $(".seen", this.root).hidden = false;
    $(".none", this.root).hidden = frame.faces.length + frame.skipped.length > 0;
    const skipped = new Map(); // reason -> tracks
    for (const { reason, track_id } of frame.skipped) skipped.set(reason, [...(skipped.get(reason) ?? []), `#${track_id}`]);
    $(".skipped", this.root).replaceChildren(...[...skipped].map(([reason, tracks]) => make("li", `${tracks.join(", ")} not upscaled: ${reason}`)));
  }

  async drawFace(face, form) {
    let node = this.faces.get(face.track_id);
    if (!node) {
      node = $("#face").content.cloneNode(true).firstElementChild;
      this.faces.set(face.track_id, node);
    }
    const [original, estimate] = ["original", "estimate"].map((kind) => form.get(`${kind}-${this.index}-${face.track_id}`));
    if (original) await Promise.all([paint($(".original", node), original), paint($(".result", node), estimate)]);
    describeFace(node, face);
    if (!node.isConnected) $(".faces", this.root).append(node);
  }

  drawFigures(camera, now) {
    const text = JSON.stringify(camera);
    if (text === this.text) return;
    this.text = text;
    const [sign, kind] = STATES[camera.state];
    setText($("h2", this.root), camera.name);
    const chip = $(".state", this.root);
    setText(chip, `${sign} ${camera.state}`);
    chip.className = `chip state ${kind}`;
    this.root.classList.toggle("stale", camera.state !== "live" && camera.state !== "ended");
    $(".why", this.root).hidden = !camera.why;
    setText($(".why", this.root), camera.why);
    const size = camera.size_wh ? `${camera.size_wh[0]}×${camera.size_wh[1]}` : "size unknown";
    const age = camera.newest_age_s == null ? "no frame yet" : `newest frame ${camera.newest_age_s.toFixed(1)} s ago`;
    setText($(".facts", this.root), [size, camera.fps == null ? "" : `${camera.fps} frames/s`, age, camera.reconnects ? `connected again ${camera.reconnects} ×` : ""].filter(Boolean).join(" · "));
    const latencies = Object.entries(camera.latencies_ms).filter(([, [p50]]) => p50 != null);
    fill($(".figures", this.root), latencies.flatMap(([name, [p50, p99]]) => {
      const value = make("dd", ms(p50));
      value.append(make("small", `p99 ${ms(p99)}`));
      return [make("dt", LATENCIES[name]), value];
    }));
    this.drawShares(camera, now);
    this.drawTable(camera);
  }

  // Faces of each treatment over the last seconds.
  recent(camera, now) {
    const counts = Object.fromEntries(TREATMENTS.map((name) => [name, 0]));
    for (const [treatment, , count] of camera.faces) counts[treatment] += count;
    this.history.push([now, camera.results, counts, sum(Object.values(camera.dropped))]);
    while (this.history.length > 2 && now - this.history[1][0] > SPAN_MS) this.history.shift();
    const [time, results, before, dropped] = this.history[0];
    const seconds = Math.max(0.001, (now - time) / 1000);
    this.rates = {
      results: (camera.results - results) / seconds,
      dropped: (sum(Object.values(camera.dropped)) - dropped) / seconds,
      faces: Object.fromEntries(TREATMENTS.map((name) => [name, (counts[name] - before[name]) / seconds])),
    };
    return this.rates.faces;
  }

  drawShares(camera, now) {
    const faces = this.recent(camera, now), total = sum(Object.values(faces));
    const shares = TREATMENTS.map((name) => [name, total ? faces[name] / total : 0]).filter(([, share]) => share > 0);
    const bar = $(".shares", this.root);
    bar.replaceChildren(...shares.map(([name, share]) => {
      const part = make("i", "");
      part.dataset.treatment = name;
      part.style.flexGrow = share;
      return part;
    }));
    const texts = shares.map(([name, share]) => [name, `${name} ${Math.round(100 * share)} %`]);
    bar.hidden = !shares.length;
    bar.setAttribute("aria-label", `Treatment of faces: ${texts.map(([, text]) => text).join(", ") || "none"}`);
    $(".legend", this.root).replaceChildren(...texts.map(([name, text]) => {
      const item = make("li", text);
      item.dataset.treatment = name;
      return item;
    }));
  }

  drawTable(camera) {
    if (!$("details", this.root).open) return;
    const rows = camera.faces.map(([treatment, reason, count]) => [treatment, reason, counted(count, "face")]);
    for (const [cause, count] of Object.entries(camera.dropped)) rows.push(["dropped", CAUSES[cause] ?? cause, counted(count, "frame")]);
    if (camera.damaged_packets) rows.push(["damaged", "", counted(camera.damaged_packets, "packet")]);
    for (const [stage, [p50, p99]] of Object.entries(camera.stages_ms)) rows.push(["stage", stage, `${ms(p50)}, p99 ${ms(p99)}`]);
    $("tbody", this.root).replaceChildren(...rows.map(([head, ...cells]) => {
      const row = make("tr", "");
      row.append(make("th", head), ...cells.map((cell) => make("td", cell)));
      row.firstChild.scope = "row";
      return row;
    }));
  }
}

function make(tag, text) {
  const node = document.createElement(tag);
  node.textContent = text;
  return node;
}

// A description list whose pairs stand in groups.
function fill(list, nodes) {
  const groups = [];
  for (let i = 0; i < nodes.length; i += 2) {
    const group = document.createElement("div");
    group.append(nodes[i], nodes[i + 1]);
    groups.push(group);
  }
  list.replaceChildren(...groups);
}

async function paint(canvas, blob) {
  const bitmap = await createImageBitmap(blob);
  if (canvas.width !== bitmap.width) [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
}

function drawBoxes(context, frame, canvas) {
  const scale = canvas.width / frame.size_wh[0], pixel = canvas.width / canvas.clientWidth;
  const style = getComputedStyle(document.documentElement);
  const boxes = [...frame.faces, ...frame.skipped.map((face) => ({ ...face, treatment: "skipped" }))];
  context.font = `600 ${12 * pixel}px system-ui, sans-serif`;
  context.lineWidth = 2 * pixel;
  for (const { box_xyxy, track_id, treatment, detected } of boxes) {
    const [x0, y0, x1, y1] = box_xyxy.map((value) => value * scale);
    context.strokeStyle = context.fillStyle = style.getPropertyValue(`--${treatment.replace(" ", "-")}`);
    context.setLineDash(detected === false ? [4 * pixel, 3 * pixel] : []); // a predicted position
    context.strokeRect(x0, y0, x1 - x0, y1 - y0);
    const label = `#${track_id}`, width = context.measureText(label).width + 6 * pixel, height = 16 * pixel;
    const top = y0 >= height ? y0 - height : y1, left = Math.max(0, Math.min(x0 - pixel, canvas.width - width));
    context.fillRect(left, top, width, height);
    context.fillStyle = "#000"; // legible on all treatments
    context.fillText(label, left + 3 * pixel, top + 12 * pixel);
  }
  context.setLineDash([]);
}

function describeFace(node, face) {
  const verdict = face.usability.verdict;
  setText($(".track", node), `#${face.track_id}`);
  setText($(".verdict", node), verdict === "ok" ? "usable" : verdict);
  $(".verdict", node).className = `chip verdict ${VERDICTS[verdict] ?? "bad"}`;
  setText($(".treatment", node), face.treatment);
  $(".treatment", node).dataset.treatment = face.treatment;
  setText($(".reason", node), face.reason);
  const side = Math.round(Math.max(face.box_xyxy[2] - face.box_xyxy[0], face.box_xyxy[3] - face.box_xyxy[1]));
  const consistency = face.consistency_db == null ? "" : ` · consistency ${face.consistency_db.toFixed(1)} dB`;
  const frames = face.frames > 1 ? ` · from ${face.frames} frames` : "";
  setText($(".measures", node), `${side} px${face.detected ? "" : ", position predicted"}${frames}${consistency}`);
  setText($(".estimate figcaption", node), face.treatment === "bicubic" ? "interpolated" : "estimate");
  const [original, result] = node.querySelectorAll("canvas");
  original.setAttribute("aria-label", `Track ${face.track_id}: pixels of the camera, ${side} px`);
  result.setAttribute("aria-label", `Track ${face.track_id}: upscaled, ${face.treatment}, ${verdict}`);
}

function drawSummary(state) {
  const { cameras } = state, good = cameras.filter((camera) => camera.healthy).length;
  const all = counted(cameras.length, "camera");
  const text = good === cameras.length ? `${all} ${cameras.every((c) => c.state === "ended") ? "ended" : "live"}` : `${good} of ${all} live`;
  setText($("#status"), text);
  document.title = `${text} · facesr-edge`;
  setText($("#model"), state.model || "–");
  figure("#age", ms(state.age_ms[0]));
  setText($("#age-99"), `p99 ${ms(state.age_ms[1])}, budget ${ms(state.budget_ms)}`);
  figure("#cycle", ms(state.cycle_ms[0]));
  const planned = state.cycle_budget_ms == null ? "" : `, planned ${ms(state.cycle_budget_ms)}`; // files take their time
  setText($("#cycle-99"), `p99 ${ms(state.cycle_ms[1])}${planned}`);
  const rates = cards.map((card) => card.rates).filter(Boolean);
  figure("#rate", `${sum(rates.map((rate) => rate.results)).toFixed(1)} /s`);
  setText($("#dropped"), `${sum(rates.map((rate) => rate.dropped)).toFixed(1)} frames/s dropped`);
  const faces = sum(rates.flatMap((rate) => Object.values(rate.faces)));
  figure("#faces", `${faces.toFixed(1)} /s`);
  const networks = sum(rates.map((rate) => rate.faces.network + rate.faces["small network"]));
  setText($("#network"), `${networks.toFixed(1)} /s by a network`);
  $("#outputs").hidden = !state.sinks.length;
  $("#sinks").replaceChildren(...state.sinks.map((sink) => make("li", sinkText(sink))));
  problem(state.scheduler && `Scheduler: ${state.scheduler}`);
}

function sinkText(sink) {
  const lost = ["dropped", "failed"].filter((key) => sink[key]).map((key) => `${sink[key]} ${key}`);
  return [`${sink.name}: ${sink.written} written`, ...lost, `${sink.queued} waiting`].join(", ") + (sink.error && ` · ${sink.error}`);
}

function figure(selector, text) {
  const [value, unit] = text.split(" ");
  const node = $(selector);
  node.replaceChildren(value);
  if (unit) node.append(make("small", unit));
}

function problem(text) {
  $("#problem").hidden = !text;
  setText($("#problem"), text || "");
}

async function update() {
  const now = performance.now();
  const wants = cards.flatMap((card) => card.wants(now)).join("&");
  const response = await fetch(`/updates?${wants}`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (response.status === 401) location.reload(); // to the form for the token
  if (!response.ok) throw new Error(`status ${response.status}`);
  const form = await response.formData();
  const state = JSON.parse(await form.get("state").text());
  while (cards.length < state.cameras.length) cards.push(new Card(cards.length));
  await Promise.all(state.cameras.map((camera, index) => cards[index].draw(camera, state.frames[index], form, now)));
  drawSummary(state);
}

async function loop() {
  for (;;) {
    const start = performance.now();
    let pause = VIEW_MS;
    if (!paused && !document.hidden) {
      try {
        await update();
        document.body.classList.remove("stale");
      } catch (error) {
        document.body.classList.add("stale");
        problem("No answer from facesr-edge: what you see is old. Trying again.");
        pause = RETRY_MS;
      }
    }
    await sleep(Math.max(20, pause - (performance.now() - start)));
  }
}

$("#pause").addEventListener("click", (event) => {
  paused = !paused;
  event.target.setAttribute("aria-pressed", paused);
  setText(event.target, paused ? "Resume" : "Pause");
});
history.replaceState(null, "", "/"); // a link with a token, opened where none is needed
loop();
