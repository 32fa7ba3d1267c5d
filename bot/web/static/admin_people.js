// Conversations and people on the administrators' page: search, transcripts, blocks and quotas, export, erasure.
"use strict";

const [list, more, talk, turns, talkStatus, rules, person, quota] = [
  "conversations", "more", "talk", "turns", "talk-status", "rules", "person", "quota",
].map(byId);
const peopleParts = [list, turns, rules, talkStatus]; // emptied when the visit ends
let cursor = null; // where the list of conversations goes on
let opened = null; // the conversation in the dialog

const called = (row) => (row.name ? row.name[tongue] : `${row.channel} · ${row.user}`);

function conversation(row) {
  const item = make("li");
  const button = make("button", called(row));
  button.type = "button";
  button.title = row.id;
  button.addEventListener("click", () => open(row.id));
  if (row.emergency) item.append(make("b", word("emergency"), "badge"));
  item.append(button, make("span", `${row.turns} ${word("turns")}`, "faint"), make("time", clock(row.updated), "faint"));
  for (const one of row.found || []) {
    item.append(make("p", `${word(one.role === "user" ? "me" : "bot")}: ${one.text}`, "found"));
  }
  return item;
}

async function showConversations(goOn) {
  const query = new URLSearchParams({ limit: 20 });
  for (const [name, box] of [["user", "user"], ["text", "words"]]) {
    const given = byId(box).value.trim();
    if (given) query.set(name, given);
  }
  if (goOn && cursor) query.set("cursor", cursor);
  const said = await ask(`conversations?${query}`);
  const items = said.conversations.map(conversation);
  if (goOn) list.append(...items);
  else lines(list, items);
  cursor = said.cursor;
  more.hidden = !cursor;
}

byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  guarded(() => showConversations(false));
});
more.addEventListener("click", () => guarded(() => showConversations(true)));

// One conversation

// What an owner should look at: unsure, abstained, flagged, marked down.
const MARKS = { abstained: "", unsure: "warn", censored: "warn", caution: "bad", emergency: "bad", up: "good", down: "bad" };

function turnPart(turn) {
  const item = make("article", "", turn.role);
  const head = make("p", `${word(turn.role === "user" ? "me" : "bot")} · ${clock(turn.time)}`, "faint");
  for (const mark of [...(turn.marks || []), turn.feedback].filter((one) => one in MARKS)) {
    head.append(" ", make("b", word(`mark_${mark}`), `mark ${MARKS[mark]}`));
  }
  item.append(head, make("p", turn.content, "text"));
  return item;
}

async function open(id, messageId = "") {
  await guarded(async () => {
    opened = await ask(`conversations/${encodeURIComponent(id)}`);
    byId("talk-name").textContent = called(opened);
    byId("talk-id").textContent = opened.id;
    talkStatus.textContent = "";
    turns.replaceChildren(...opened.turns.map(turnPart));
    if (!talk.open) talk.showModal();
    const place = opened.turns.findLastIndex((turn) => turn.message_id === messageId);
    if (place < 0) turns.scrollTop = turns.scrollHeight;
    else turns.children[place].scrollIntoView({ block: "center" });
  });
}

byId("close").addEventListener("click", () => talk.close());
for (const button of talk.querySelectorAll("[data-talk]")) {
  button.addEventListener("click", async () => {
    if (await settlePerson(button.dataset.talk, opened, opened.id)) {
      talkStatus.textContent = word("saved");
      if (button.dataset.talk === "forget") talk.close();
    } else talkStatus.textContent = status.textContent;
  });
}

// People

const asked = () => ({ user: byId("person-user").value.trim(), channel: byId("person-channel").value.trim() });

// Do something about a user, or in one channel, or with one conversation; true when it is done.
async function settlePerson(what, { user, channel }, conversationId = "") {
  const whom = conversationId || [user, channel].filter(Boolean).join(" · ");
  if (what === "forget" && !confirm(`${whom}\n${word("sureForget")}`)) return false;
  return guarded(async () => {
    if (what === "export") await download(user);
    else if (what !== "forget") await ask(what, { user, channel });
    else if (conversationId) await ask(`conversations/${encodeURIComponent(conversationId)}`, undefined, "DELETE");
    else await ask(`conversations?${new URLSearchParams({ user })}`, undefined, "DELETE");
    await showPeople();
    if (what === "forget") await showConversations(false);
  });
}

// The whole of a user's conversations, as `plm admin export` writes them.
async function download(user) {
  const response = await fetch(`admin/api/export?${new URLSearchParams({ user })}`, { headers: keyHeaders() });
  if (!response.ok) throw new Error(await reason(response));
  const link = make("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = `${user.replace(/[^\w.-]+/g, "_")}.jsonl`;
  link.click();
  URL.revokeObjectURL(link.href);
}

async function showPeople() {
  lines(rules, (await ask("people")).people.map((rule) => {
    const item = make("li");
    const whom = `${rule.user || word("forgotten")} · ${rule.channel || word("everyChannel")}`;
    item.append(make("span", whom, "grow"), make("time", clock(rule.since), "faint"));
    if (rule.blocked) item.append(make("b", word("blocked"), "wrong"));
    if (rule.rate) item.append(make("span", rule.rate));
    if (!rule.user) return item; // erased: only a hash is left
    if (rule.blocked) item.append(action("unblock", whom, () => settlePerson("unblock", rule)));
    if (rule.rate) item.append(action("dropQuota", whom, () => guarded(() => setQuota(rule, ""))));
    return item;
  }));
}

async function setQuota({ user, channel }, rate) {
  await ask("quota", { user, channel, rate });
  await showPeople();
}

person.addEventListener("submit", (event) => {
  event.preventDefault();
  settlePerson("block", asked());
});
for (const button of person.querySelectorAll("[data-act]")) {
  button.addEventListener("click", () => person.reportValidity() && settlePerson(button.dataset.act, asked()));
}
quota.addEventListener("submit", (event) => {
  event.preventDefault();
  if (person.reportValidity()) guarded(() => setQuota(asked(), byId("rate").value.trim()));
});
