// The administrators' page: shows what /admin/api says, and asks again every five seconds. Here: signing in, traffic,
// errors, dead letters. People and conversations are in admin_people.js, days, models and broadcasts in
// admin_service.js, the library in admin_library.js. The key is kept in sessionStorage alone: other tabs, later visits
// and other sites never have it.
"use strict";

const byId = (id) => document.getElementById(id);
const [login, board, keyBox, status, leave, language, figures, chart, processes, errors, letters] = [
  "login", "board", "key", "status", "leave", "language", "figures", "chart", "processes", "errors", "letters",
].map(byId);
const EVERY = 5000; // milliseconds
const SVG = "http://www.w3.org/2000/svg";

let tongue = sessionStorage.getItem("plm-language") || (navigator.language.startsWith("zh") ? "zh-CN" : "en");
let timer = 0;
let shown = null; // the last stats, to be written again in the other language

const word = (name) => STRINGS[tongue][name];

class Refused extends Error {}

// The service says why it refused in the language of the page.
const keyHeaders = () => ({ Authorization: `Bearer ${sessionStorage.getItem("plm-key")}`, "Accept-Language": tongue });

// A body is JSON, or a form with files.
async function ask(path, body, method = body ? "POST" : "GET") {
  const headers = keyHeaders();
  const form = body instanceof FormData;
  if (body && !form) headers["Content-Type"] = "application/json";
  const change = { method, body: body && (form ? body : JSON.stringify(body)) };
  const response = await fetch(`admin/api/${path}`, { headers, cache: "no-store", ...change });
  if (response.status === 401) throw new Refused(word("wrong"));
  if (response.status === 429) throw new Refused(word("slow"));
  if (response.status === 404) throw new Error(word("gone"));
  if (!response.ok) throw new Error(await reason(response));
  return response.json();
}

// Why the service refused, in its own words if it said so.
async function reason(response) {
  try {
    return (await response.json()).error.message || word("away");
  } catch {
    return word("away");
  }
}

function make(name, text = "", className = "") {
  const element = document.createElement(name);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}

function action(name, what, act) {
  const button = make("button", word(name), "act");
  button.type = "button";
  button.setAttribute("aria-label", `${word(name)}: ${what}`);
  button.addEventListener("click", act);
  return button;
}

const seconds = (value) => (value == null ? "–" : `${value.toFixed(value < 10 ? 2 : 0)} s`);
const clock = (time) => new Date(1000 * time).toLocaleString(tongue, { dateStyle: "short", timeStyle: "medium" });

function showFigures(stats) {
  const { totals, latency } = stats;
  const count = (name) => Math.round(totals[name] || 0).toLocaleString(tongue);
  const rows = [
    ["messages", count("messages")], ["answers", count("answers")], ["p50", seconds(latency["0.5"])],
    ["p95", seconds(latency["0.95"])], ["p99", seconds(latency["0.99"])], ["failed", count("failed")],
    ["late", count("deadline_misses")], ["retries", count("retries")], ["limited", count("limited")],
    ["blocked", count("blocked")], ["talks", stats.conversations.toLocaleString(tongue)],
    ["memory", `${(stats.redis.used_memory / 1e6).toFixed(1)} MB`],
  ];
  figures.replaceChildren(...rows.map(([name, value]) => {
    const row = make("div");
    if (name === "failed" && value !== "0") row.className = "wrong";
    row.append(make("dt", word(name)), make("dd", value));
    return row;
  }));
}

function showChart(minutes) {
  const most = Math.max(5, ...minutes.map((row) => row.messages || 0));
  const width = 600 / minutes.length;
  const bars = [];
  minutes.forEach((row, place) => {
    for (const name of ["messages", "failed"]) {
      const height = (130 * (row[name] || 0)) / most;
      if (!height) continue;
      const bar = document.createElementNS(SVG, "rect");
      const box = { x: place * width + 1, y: 140 - height, width: width - 2, height, class: name };
      for (const [key, value] of Object.entries(box)) bar.setAttribute(key, value);
      bars.push(bar);
    }
  });
  chart.replaceChildren(...bars);
  chart.setAttribute("aria-label", `${word("chart")}: ${minutes.map((row) => row.messages || 0).join(" ")}`);
}

function lines(place, items) {
  place.replaceChildren(...(items.length ? items : [make("li", word("none"), "faint")]));
}

function showStats(stats) {
  shown = stats;
  showFigures(stats);
  showChart(stats.minutes);
  lines(processes, stats.processes.map((process) => {
    const item = make("li");
    item.append(make("b", process.name), make("span", `${word("model")}: ${process.model}`),
      make("span", `${word("running")}: ${process.running}`));
    if (process.fault) item.append(make("span", process.fault, "wrong"));
    return item;
  }));
  lines(errors, stats.errors.map((error) => {
    const item = make("li");
    item.append(make("time", clock(error.time), "faint"), make("span", error.message, "wrong"));
    return item;
  }));
}

function letter(row) {
  const item = make("li");
  const what = `${row.task} ${row.conversation}`;
  item.append(make("b", what), make("time", clock(Date.parse(row.died) / 1000), "faint"), make("span", row.error, "wrong"));
  for (const name of ["resend", "drop"]) {
    item.append(action(name, what, () => {
      if (name === "resend" || confirm(word("sure"))) settle(name, row.id);
    }));
  }
  return item;
}

// Not with every tick: each look at them is in the audit log.
async function showLetters() {
  lines(letters, (await ask("dead-letters")).dead_letters.map(letter));
}

async function settle(name, id) {
  const good = await guarded(() => ask(`dead-letters/${name}`, { id }));
  if (!login.hidden) return;
  if (good) await guarded(showLetters);
  byId("again").focus(); // the button that was pressed is gone
}

async function look() {
  showStats(await ask("stats"));
  await showBroadcasts();
}

async function lists() {
  await showConversations(false);
  await showDays();
  await showLetters();
  await showPeople();
  await showModels();
  await showLibrary();
  await showMarkedDown();
}

// Do something with the API; a refusal ends the visit, an absent service is said and tried again later.
async function guarded(action) {
  try {
    await action();
    status.textContent = "";
    return true;
  } catch (error) {
    if (error instanceof Refused) end();
    status.textContent = error instanceof TypeError ? word("away") : error.message;
    return false;
  }
}

async function tick() {
  clearTimeout(timer);
  if (!sessionStorage.getItem("plm-key")) return;
  if (!document.hidden) await guarded(look);
  if (sessionStorage.getItem("plm-key")) timer = setTimeout(tick, EVERY);
}

async function begin() {
  const good = await guarded(look);
  if (!good && !sessionStorage.getItem("plm-key")) return;
  login.hidden = true;
  board.hidden = leave.hidden = false;
  keyBox.value = "";
  timer = setTimeout(tick, EVERY);
  if (good) await guarded(lists);
}

function end() {
  sessionStorage.removeItem("plm-key");
  clearTimeout(timer);
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  const shownHere = [figures, chart, processes, errors, letters, ...peopleParts, ...serviceParts, ...libraryParts];
  for (const place of shownHere) place.replaceChildren();
  board.hidden = leave.hidden = true;
  login.hidden = false;
  keyBox.focus();
}

function speak() {
  document.documentElement.lang = tongue;
  document.title = `${document.body.dataset.title} · ${word("title")}`;
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = word(element.dataset.word);
  for (const element of document.querySelectorAll("[data-hint]")) element.placeholder = word(element.dataset.hint);
  language.textContent = word("other");
  language.lang = tongue === "en" ? "zh-CN" : "en";
}

login.addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("plm-key", keyBox.value.trim());
  begin();
});
byId("again").addEventListener("click", () => guarded(showLetters));
leave.addEventListener("click", () => {
  end();
  status.textContent = "";
});
language.addEventListener("click", () => {
  tongue = tongue === "en" ? "zh-CN" : "en";
  sessionStorage.setItem("plm-language", tongue);
  speak();
  if (board.hidden) return;
  if (shown) showStats(shown);
  guarded(async () => {
    await showBroadcasts();
    await lists();
  });
});
document.addEventListener("visibilitychange", tick);

// After the other scripts.
document.addEventListener("DOMContentLoaded", () => {
  speak();
  if (sessionStorage.getItem("plm-key")) begin();
  else keyBox.focus();
});
