// The chat page: sends a question, shows the answer while it is written, and takes up an unfinished one after a
// reload. A question carries its own id, so sending it again attaches to the same answer and never asks twice.
// Below an answer: copying it, asking again, thumbs up and down.
"use strict";

const byId = (id) => document.getElementById(id);
const [log, scroll, welcome, form, box, send, stop, fresh, status, count] = [
  "log", "scroll", "welcome", "form", "text", "send", "stop", "fresh", "status", "count",
].map(byId);

const strings = JSON.parse(document.body.dataset.strings); // in the language of the page
const longest = Number(document.body.dataset.longest); // characters of a question
const said = new WeakMap(); // the text of each finished answer, as it is copied
let talk = Number(document.body.dataset.talk); // the talk on the page: another tab may have gone on with another
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
  if (role === "assistant") setUpActions(turn);
  log.append(turn);
  welcome.hidden = true;
  return turn;
}

// Say something above the box, as a fault or not.
function tell(text, wrong = false) {
  status.textContent = text;
  status.classList.toggle("error", wrong);
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

// Show the answer to a question `{ id, text, instead }` in `turn` as it comes. Resolves when it is complete, else throws.
async function follow(turn, question, signal) {
  const response = await post("page/chat", { ...question, talk }, signal);
  if (response.status === 413) throw new TooLong(await sentence(response));
  if (!response.ok) throw new Error(await sentence(response));
  const text = turn.querySelector(".text");
  for await (const part of objects(response.body)) {
    const stick = atEnd();
    if (part.error) throw new Error(part.error);
    if (part.restart) text.textContent = "";
    if (part.text) text.append(part.text);
    if (stick) toEnd();
    if ("talk" in part) showTalk(part.talk);
    if (part.clear) clear(turn, part.clear);
    if (part.abstained) turn.classList.add("abstained");
    if (part.emergency) turn.dataset.emergency = part.emergency;
    if (part.done) {
      if (part.command && question.instead) throw new Refused(text.textContent);
      finish(turn, part.command ? "" : question.id, part.citations || []);
      if (stick) toEnd();
      return;
    }
  }
  throw new Error(strings.lost);
}

class TooLong extends Error {}
class Refused extends Error {} // instead of another answer

// The answer is complete: its quotations become cards, and it can be copied; with an id it can be rated, too.
function finish(turn, id, citations) {
  said.set(turn, turn.querySelector(".text").textContent);
  if (id) turn.dataset.id = id;
  showQuotations(turn, citations);
}

// A command took back the whole talk, or its last question: what was shown of it goes, the command stays.
function clear(turn, what) {
  const before = [...log.children].slice(0, [...log.children].indexOf(turn) - 1);
  const gone = what === "talk" ? 0 : before.findLastIndex((one) => one.classList.contains("user"));
  for (const one of before.slice(Math.max(gone, 0))) one.remove();
}

async function answer(turn, question) {
  const control = new AbortController();
  running = { id: question.id, control };
  turn.querySelector(".text").textContent = "";
  turn.classList.remove("abstained");
  turn.setAttribute("aria-busy", "true");
  setBusy(true);
  try {
    await follow(turn, question, control.signal);
  } catch (error) {
    if (control.signal.aborted) remark(turn, strings.stopped);
    else if (error instanceof TooLong) takeBack(turn, question.text, error.message);
    else if (error instanceof Refused) tell(error.message, true);
    else remark(turn, error instanceof TypeError ? strings.lost : error.message, () => answer(turn, question));
  }
  turn.removeAttribute("aria-busy");
  running = null;
  setBusy(false);
}

// The question was not taken: it goes back into the box, to be shortened.
function takeBack(turn, text, why) {
  turn.previousElementSibling?.remove();
  turn.remove();
  welcome.hidden = log.children.length > 0;
  box.value = text;
  tell(why, true);
  box.focus();
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
  const length = [...box.value.trim()].length;
  count.hidden = length < 0.8 * longest;
  count.classList.toggle("error", length > longest);
  count.textContent = strings.count.replace("{count}", length.toLocaleString()).replace("{most}", longest.toLocaleString());
  const long = length > longest ? strings.too_long.replace("{most}", longest.toLocaleString()) : "";
  if (long !== (status.dataset.long || "")) tell(status.dataset.long = long, true); // once, for a screen reader
  if (stick) toEnd();
}

function ask(text) {
  addTurn("user", text);
  const turn = addTurn("assistant");
  tell("");
  toEnd();
  return answer(turn, { id: newId(), text });
}

// The page as it is before the first question of a talk.
function begin(number) {
  showTalk(number);
  log.replaceChildren();
  welcome.hidden = false;
}

function showTalk(number) {
  talk = number;
  history.replaceState(null, "", location.pathname); // the address may name an earlier one
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
    begin((await response.json()).talk);
    tell("");
  } catch (error) {
    tell(error instanceof TypeError ? strings.offline : error.message, true);
  }
  fresh.disabled = false;
  box.focus();
});

for (const example of document.querySelectorAll(".example")) {
  example.addEventListener("click", () => running || ask(example.dataset.question));
}

// Below an answer

function setUpActions(turn) {
  const [copy, again, up, down] = [".copy-answer", ".again", ".up", ".down"].map((name) => turn.querySelector(`.actions ${name}`));
  copy.addEventListener("click", async () => {
    await copyText(said.get(turn));
    tell(strings.copied);
  });
  again.addEventListener("click", () => running || askAgain(turn));
  for (const [button, verdict] of [[up, "up"], [down, "down"]]) {
    button.addEventListener("click", () => rate(turn, turn.dataset.verdict === verdict ? "" : verdict));
  }
  showVerdict(turn, turn.dataset.verdict || "");
}

function showVerdict(turn, verdict) {
  turn.dataset.verdict = verdict;
  for (const name of ["up", "down"]) turn.querySelector(`.actions .${name}`).setAttribute("aria-pressed", verdict === name);
}

async function rate(turn, verdict) {
  const before = turn.dataset.verdict;
  showVerdict(turn, verdict);
  try {
    const response = await post("page/feedback", { id: turn.dataset.id, verdict });
    if (!response.ok) throw new Error(await sentence(response));
    tell(verdict ? strings.thanks : strings.taken_back);
  } catch (error) {
    showVerdict(turn, before);
    tell(error instanceof TypeError ? strings.offline : error.message, true);
  }
}

// Another answer in the place of the last one. If it is refused, the old one stays.
async function askAgain(turn) {
  const [id, old, verdict] = [turn.dataset.id, said.get(turn), turn.dataset.verdict];
  const content = [...turn.querySelector(".text").childNodes];
  const text = turn.previousElementSibling.querySelector(".text").textContent;
  const abstained = turn.classList.contains("abstained");
  tell("");
  showVerdict(turn, "");
  await answer(turn, { id: newId(), text, instead: id });
  if (turn.dataset.id !== id) {
    if (said.get(turn) === old) tell(strings.same);
  } else if (!turn.querySelector(".remark")) {
    turn.querySelector(".text").replaceChildren(...content);
    turn.classList.toggle("abstained", abstained);
    showVerdict(turn, verdict);
  }
}

// Questions that were not answered yet when the page was loaded, in their order.
async function takeUp() {
  for (const turn of log.querySelectorAll("[data-waiting]")) {
    const question = turn.querySelector(".text").textContent;
    const reply = addTurn("assistant");
    turn.after(reply);
    toEnd();
    await answer(reply, { id: turn.dataset.waiting, text: question });
  }
}

for (const turn of log.querySelectorAll(".turn.assistant")) {
  setUpActions(turn);
  finish(turn, turn.dataset.id, JSON.parse(turn.dataset.citations || "[]"));
}
update();
toEnd();
takeUp();
if (matchMedia("(pointer: fine)").matches) box.focus();
