// The chat page: sends a question, shows the answer while it is written, and takes up an unfinished one after a
// reload. A question carries its own id, so sending it again attaches to the same answer and never asks twice.
"use strict";

const byId = (id) => document.getElementById(id);
const [log, scroll, welcome, form, box, send, stop, fresh, status] = [
  "log", "scroll", "welcome", "form", "text", "send", "stop", "fresh", "status",
].map(byId);

const strings = JSON.parse(document.body.dataset.strings); // in the language of the page
let running = null; // the AbortController of the answer on its way

// crypto.randomUUID is missing on plain-http addresses other than localhost.
const newId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

function post(path, body, signal) {
  const headers = { "Content-Type": "application/json" };
  return fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal });
}

// What went wrong, in a sentence: the server's own if it sent one.
async function sentence(response) {
  try {
    return (await response.json()).error || `${strings.wrong} (${response.status})`;
  } catch {
    return response.status >= 500 ? strings.busy : `${strings.wrong} (${response.status})`;
  }
}

function addTurn(role, text = "") {
  const turn = byId(`turn-${role}`).content.firstElementChild.cloneNode(true);
  turn.querySelector(".text").textContent = text;
  log.append(turn);
  welcome.hidden = true;
  return turn;
}

const atEnd = () => scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;

function toEnd() {
  scroll.scrollTop = scroll.scrollHeight;
}

function remark(turn, text, retry) {
  const line = document.createElement("p");
  line.className = retry ? "remark error" : "remark";
  line.append(text);
  if (retry) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = strings.retry;
    button.addEventListener("click", () => {
      if (running) return;
      line.remove();
      box.focus();
      retry();
    });
    line.append(button);
  }
  const stick = atEnd();
  turn.append(line);
  if (stick) toEnd();
}

// The lines of a response body, each a JSON object.
async function* objects(body) {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += decoder.decode(value, { stream: true });
    const lines = rest.split("\n");
    rest = lines.pop();
    for (const line of lines) if (line) yield JSON.parse(line);
  }
}

// Show the answer to question `id` in `turn` as it comes. Resolves when it is complete, else throws.
async function follow(turn, id, question, signal) {
  const response = await post("page/chat", { id, text: question }, signal);
  if (!response.ok) throw new Error(await sentence(response));
  const text = turn.querySelector(".text");
  for await (const part of objects(response.body)) {
    const stick = atEnd();
    if (part.error) throw new Error(part.error);
    if (part.restart) text.textContent = "";
    if (part.text) text.append(part.text);
    if (stick) toEnd();
    if (part.clear) clear(turn, part.clear);
    if (part.note) remark(turn, part.note);
    if (part.abstained) turn.classList.add("abstained");
    if (part.citations) showQuotations(turn, part.citations);
    if (stick) toEnd();
    if (part.done) return;
  }
  throw new Error(strings.lost);
}

// A command took back the whole talk, or its last question: what was shown of it goes, the command stays.
function clear(turn, what) {
  const before = [...log.children].slice(0, [...log.children].indexOf(turn) - 1);
  const gone = what === "talk" ? 0 : before.findLastIndex((one) => one.classList.contains("user"));
  for (const one of before.slice(Math.max(gone, 0))) one.remove();
}

async function answer(turn, id, question) {
  const control = new AbortController();
  running = { id, control };
  turn.querySelector(".text").textContent = "";
  turn.classList.remove("abstained");
  turn.setAttribute("aria-busy", "true");
  setBusy(true);
  try {
    await follow(turn, id, question, control.signal);
  } catch (error) {
    if (control.signal.aborted) remark(turn, strings.stopped);
    else remark(turn, error instanceof TypeError ? strings.lost : error.message, () => answer(turn, id, question));
  }
  turn.removeAttribute("aria-busy");
  running = null;
  setBusy(false);
}

function setBusy(busy) {
  send.hidden = fresh.disabled = busy;
  stop.hidden = !busy;
  update();
}

function update() {
  const stick = atEnd();
  send.disabled = !box.value.trim();
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight}px`;
  if (stick) toEnd();
}

function ask(question) {
  addTurn("user", question);
  const turn = addTurn("assistant");
  status.textContent = "";
  toEnd();
  return answer(turn, newId(), question);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const question = box.value.trim();
  if (!question || running) return;
  box.value = "";
  update();
  ask(question);
});

box.addEventListener("input", update);

// Enter sends, but not the Enter that picks a candidate in a Chinese input method (229: Safari's late one).
box.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  form.requestSubmit();
});

// The server ends the answer where it is; if it cannot be told, at least stop listening.
stop.addEventListener("click", async () => {
  if (!running) return;
  const { id, control } = running;
  try {
    const response = await post("page/stop", { id });
    if (!response.ok) control.abort();
  } catch {
    control.abort();
  }
});

fresh.addEventListener("click", async () => {
  fresh.disabled = true;
  try {
    const response = await post("page/new", { id: newId() });
    if (!response.ok) throw new Error(await sentence(response));
    log.replaceChildren();
    welcome.hidden = false;
    status.textContent = "";
  } catch (error) {
    status.textContent = error instanceof TypeError ? strings.offline : error.message;
  }
  fresh.disabled = false;
  box.focus();
});

for (const example of document.querySelectorAll(".example")) {
  example.addEventListener("click", () => running || ask(example.dataset.question));
}

// Questions that were not answered yet when the page was loaded, in their order.
async function takeUp() {
  for (const turn of log.querySelectorAll("[data-waiting]")) {
    const question = turn.querySelector(".text").textContent;
    const reply = addTurn("assistant");
    turn.after(reply);
    toEnd();
    await answer(reply, turn.dataset.waiting, question);
  }
}

for (const turn of log.querySelectorAll("[data-citations]")) {
  showQuotations(turn, JSON.parse(turn.dataset.citations));
}
update();
toEnd();
takeUp();
if (matchMedia("(pointer: fine)").matches) box.focus();
