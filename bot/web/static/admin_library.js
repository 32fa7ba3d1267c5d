// The library's part of the administrators' page: sources, uploads, the hit test, pairs for what got no answer or a bad one.
"use strict";

const [library, libraryFault, tryForm, said, uploadForm, files, outcomes, sources, bundled, unanswered, pair, pairForm,
  markedDown] = [
  "library", "library-fault", "try", "said", "upload", "files", "outcomes", "sources", "bundled", "unanswered", "pair",
  "pair-form", "marked-down",
].map(byId);
const libraryParts = [said, outcomes, sources, bundled, unanswered, markedDown]; // emptied when the visit ends

const place = (row) => (row.heading ? `《${row.book}·${row.heading.replaceAll("/", "·")}》` : `《${row.book}》`);

async function showLibrary() {
  const held = await ask("library/sources");
  for (const id of ["library", "unanswered-part", "new-pair"]) byId(id).hidden = !held.present;
  if (!held.present) return;
  libraryFault.textContent = held.fault || "";
  const own = held.sources.filter((row) => row.origin !== "bundled");
  const books = held.sources.filter((row) => row.origin === "bundled");
  own.sort((one, other) => (other.added || 0) - (one.added || 0));
  lines(sources, own.map(sourceLine));
  lines(bundled, books.map(sourceLine));
  byId("bundled-count").textContent = `(${books.length})`;
  await showUnanswered();
}

function sourceLine(row) {
  const item = make("li", "", row.enabled ? "" : "off");
  const about = make("span", "", "grow");
  about.append(make("b", row.title), " ", make("span", [row.dynasty, row.author].filter(Boolean).join(" "), "faint"));
  item.append(about);
  if (row.file && row.origin !== "bundled" && !row.file.startsWith(row.title)) item.append(make("span", row.file, "faint"));
  if (row.pending) item.append(make("span", word("pending"), "faint"));
  else item.append(make("span", `${row.passages.toLocaleString(tongue)} ${word("passages")}`, "faint"));
  if (row.origin === "local") item.append(make("span", word("local"), "faint"));
  if (!row.enabled) item.append(make("span", word("disabled"), "wrong"));
  item.append(action(row.enabled ? "disable" : "enable", row.title, () => (
    changeSource(() => ask(`library/sources/${row.id}`, { enabled: !row.enabled }, "PATCH")))));
  if (row.origin !== "bundled") {
    item.append(action("remove", row.title, () => {
      if (confirm(`${row.title}\n${word("sureRemove")}`)) {
        changeSource(() => ask(`library/sources/${row.id}`, undefined, "DELETE"));
      }
    }));
  }
  return item;
}

async function changeSource(change) {
  let ready = true;
  const good = await guarded(async () => {
    ({ ready } = await change());
    await showLibrary();
  });
  if (good && !ready) status.textContent = word("later");
  if (!login.hidden) return;
  byId("library-again").focus(); // the button that was pressed is gone
}

// Uploads

function outcomeLine(row) {
  const item = make("li");
  const state = row.state === "failed" ? "rejected" : row.state;
  item.append(make("b", row.file), make("span", word(state), state === "rejected" ? "wrong" : "good"));
  if (row.title) item.append(make("span", `《${row.title}》`, "faint"));
  if (row.reason) item.append(make("span", row.reason, "wrong"));
  return item;
}

async function upload(list) {
  if (!list.length) {
    status.textContent = word("chooseFiles");
    return;
  }
  const button = uploadForm.querySelector("button");
  const form = new FormData();
  for (const file of list) form.append("file", file);
  button.disabled = true;
  lines(outcomes, [make("li", word("reading"), "faint")]);
  const good = await guarded(async () => {
    const result = await ask("library/sources", form);
    lines(outcomes, result.outcomes.map(outcomeLine));
    uploadForm.reset();
    await showLibrary();
  });
  if (!good) outcomes.replaceChildren(make("li", status.textContent, "wrong"));
  button.disabled = false;
}

uploadForm.addEventListener("submit", (event) => {
  event.preventDefault();
  upload(files.files);
});
for (const name of ["dragover", "dragleave", "drop"]) {
  uploadForm.addEventListener(name, (event) => {
    event.preventDefault();
    uploadForm.classList.toggle("over", name === "dragover");
    if (name === "drop") upload(event.dataTransfer.files);
  });
}

// Hit test

function answerPart({ answer, abstained, score, minimum }) {
  const part = make("div", "", abstained ? "said abstained" : "said");
  const head = make("p", "", "faint");
  head.append(make("b", word(abstained ? "abstained" : "answered")), ` · ${word("score")} ${score.toFixed(2)}`,
    ` · ${word("minimum")} ${minimum.toFixed(2)}`);
  part.append(head, make("p", answer, "text"));
  return part;
}

// In the language of the page: `heading = 桂枝汤 · text: 桂枝`.
const why = (text) => text.replace(/\b(title|heading|text|questions)(?= ?[=:])/g, (field) => word(`in_${field}`));

function hitLine(row) {
  const item = make("li");
  const head = make("p");
  head.append(make("b", place(row)), " ", make("span", `${word("score")} ${row.score.toFixed(1)}`, "faint"));
  item.append(head, make("p", `${word("why")}: ${why(row.why)}`, "faint"), make("p", row.text.trim(), "text"));
  return item;
}

async function tryQuestion() {
  await guarded(async () => {
    const { results, answer } = await ask("library/search", { query: byId("question").value.trim(), limit: 8 });
    const list = make("ol");
    list.append(...results.map(hitLine));
    said.replaceChildren(...(answer ? [answerPart(answer)] : []), make("h3", `${word("found")} (${results.length})`), list);
  });
}

tryForm.addEventListener("submit", (event) => {
  event.preventDefault();
  tryQuestion();
});

// What got no answer, and pairs that answer it

async function showUnanswered() {
  const { questions } = await ask("library/unanswered?limit=50");
  lines(unanswered, questions.map((row) => {
    const item = make("li");
    item.append(make("span", row.question, "grow"), make("span", `${row.people} ${word("people")}`, "faint"),
      make("time", clock(row.last), "faint"), action("answerIt", row.question, () => openPair(row.question)));
    return item;
  }));
}

// With the answer that it got, to be corrected.
async function showMarkedDown() {
  const { answers } = await ask("marked-down?limit=20");
  lines(markedDown, answers.map((row) => {
    const item = make("li");
    const about = make("div", "", "grow");
    about.append(make("p", row.question), make("p", row.answer, "found"));
    item.append(about, make("time", clock(row.time), "faint"));
    item.append(action("openTalk", row.question, () => open(row.conversation, row.message_id)));
    if (!library.hidden) item.append(action("answerIt", row.question, () => openPair(row.question, row.answer)));
    return item;
  }));
}

function openPair(question, answer = "") {
  byId("pair-questions").value = question ? `${question}\n` : "";
  byId("pair-answer").value = answer;
  byId("pair-status").textContent = "";
  pair.showModal();
  byId(question ? "pair-answer" : "pair-questions").focus();
}

pairForm.addEventListener("submit", async (event) => {
  event.preventDefault();
  const questions = byId("pair-questions").value.split("\n").map((line) => line.trim()).filter(Boolean);
  const answer = byId("pair-answer").value.trim();
  const good = await guarded(() => ask("library/pairs", { questions, answer }));
  if (!good) {
    byId("pair-status").textContent = status.textContent;
    return;
  }
  pair.close();
  await guarded(showLibrary);
});
byId("pair-close").addEventListener("click", () => pair.close());
byId("new-pair").addEventListener("click", () => openPair(""));
byId("library-again").addEventListener("click", () => guarded(showLibrary));
byId("better-again").addEventListener("click", () => guarded(async () => {
  await showMarkedDown();
  if (!library.hidden) await showUnanswered();
}));
