// Days, models and broadcasts on the administrators' page.
"use strict";

const [days, dayChannel, models, broadcasts, broadcastForm] = [
  "days", "day-channel", "models", "broadcasts", "broadcast",
].map(byId);
const serviceParts = [days, dayChannel, models, broadcasts]; // emptied when the visit ends
const DAY_NAMES = ["people", "questions", "quoted", "abstained", "unsure", "failed", "emergencies", "limited", "up", "down"];
let dayRows = []; // as they came
let dayCount = 14;

// Days

async function showDays() {
  dayRows = (await ask(`days?days=${dayCount}`)).days;
  const chosen = dayChannel.value;
  const names = [...new Set(dayRows.flatMap((row) => Object.keys(row.channels)))].sort();
  dayChannel.replaceChildren(new Option(word("everyChannel"), ""), ...names.map((name) => new Option(name, name)));
  dayChannel.value = names.includes(chosen) ? chosen : "";
  fillDays();
}

function fillDays() {
  const head = make("tr");
  head.append(...[word("date"), ...DAY_NAMES.map((name) => word(`day_${name}`))].map((text) => {
    const cell = make("th", text);
    cell.scope = "col";
    return cell;
  }));
  const rows = dayRows.map(({ date, channels }) => {
    const counted = dayChannel.value ? [channels[dayChannel.value] || {}] : Object.values(channels);
    const row = make("tr");
    const day = make("th", date);
    day.scope = "row";
    row.append(day, ...DAY_NAMES.map((name) => {
      const count = counted.reduce((sum, one) => sum + (one[name] || 0), 0);
      return make("td", count ? count.toLocaleString(tongue) : "–", count && ["failed", "down"].includes(name) ? "wrong" : "");
    }));
    return row;
  });
  days.replaceChildren(head, ...rows);
}

dayChannel.addEventListener("change", fillDays);
byId("more-days").addEventListener("click", () => {
  dayCount = 90;
  guarded(showDays);
});

// Models

async function showModels() {
  const { models: rows, wanted } = await ask("models");
  lines(models, rows.map((row) => {
    const item = make("li");
    item.append(make("b", row.name, "grow"));
    if (row.loaded) item.append(make("span", word("loaded"), "good"));
    else item.append(action("load", row.name, () => loadModel(row.name)));
    if (row.name === wanted && !row.loaded) item.append(make("span", word("wanted"), "faint"));
    return item;
  }));
}

async function loadModel(name) {
  if (!confirm(`${name}\n${word("sureLoad")}`)) return;
  const good = await guarded(() => ask("models/load", { name }));
  if (!good) return;
  await guarded(async () => {
    await look();
    await showModels();
  });
}

// Broadcasts

const counts = (by) => Object.entries(by).map(([channel, count]) => `${channel} ${count}`).join(", ");

async function showBroadcasts() {
  const focused = document.activeElement?.getAttribute("aria-label");
  lines(broadcasts, (await ask("broadcasts")).broadcasts.map((row) => {
    const item = make("li");
    item.append(make("b", row.id), make("span", word(row.state === "running" ? "ongoing" : row.state)));
    for (const name of ["sent", "left", "failed"]) {
      item.append(make("span", `${word(name)}: ${row[name]}`, name === "failed" && row[name] ? "wrong" : "faint"));
    }
    item.append(make("time", clock(row.started || row.planned), "faint"));
    if (row.state === "planned") item.append(action("start", row.id, () => startBroadcast(row)));
    if (["planned", "running"].includes(row.state)) item.append(action("cancel", row.id, () => changeBroadcast(row.id, "cancel")));
    item.append(make("p", row.text, "found"));
    if (row.state === "planned") item.append(make("p", `${word("reached")}: ${counts(row.reached)} · ${word("missed")}: ${counts(row.not_reached)}`, "found faint"));
    return item;
  }));
  if (focused) broadcasts.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus(); // it is made anew every time
}

async function startBroadcast(row) {
  const people = Object.values(row.reached).reduce((sum, count) => sum + count, 0);
  if (confirm(`${row.text}\n\n${word("sureSend").replace("{people}", people)}`)) await changeBroadcast(row.id, "start");
}

async function changeBroadcast(id, what) {
  await guarded(async () => {
    await ask(`broadcasts/${id}/${what}`, {});
    await showBroadcasts();
  });
}

broadcastForm.addEventListener("submit", (event) => {
  event.preventDefault();
  guarded(async () => {
    await ask("broadcasts", { text: byId("notice").value, rate: Number(byId("pace").value) });
    broadcastForm.reset();
    await showBroadcasts();
  });
});
