// The menu of the chat page: earlier talks, help, export, and being forgotten. Language and theme are plain links.
"use strict";

const [menu, talks, talksStatus] = ["menu", "talks", "talks-status"].map(byId);
const LANGUAGE = document.documentElement.lang;

byId("open-menu").addEventListener("click", () => {
  menu.showModal();
  for (const link of menu.querySelectorAll(".choices a")) link.search = new URLSearchParams({ ...choice(link), talk });
  showTalks();
});
byId("close-menu").addEventListener("click", () => menu.close());
menu.addEventListener("click", (event) => { // beside it
  if (event.target === menu) menu.close();
});

const choice = (link) => Object.fromEntries([...new URLSearchParams(link.search)].filter(([name]) => name !== "talk"));

// Read from the server each time: what was erased elsewhere must not stand here.
async function showTalks() {
  try {
    const response = await fetch("page/talks", { cache: "no-store" });
    if (!response.ok) throw new Error(await sentence(response));
    const rows = (await response.json()).talks;
    talks.replaceChildren(...rows.map(talkLine));
    talksStatus.textContent = rows.length ? "" : strings.no_talks;
  } catch (error) {
    talksStatus.textContent = error instanceof TypeError ? strings.offline : error.message;
  }
}

function talkLine(row) {
  const item = byId("talk").content.firstElementChild.cloneNode(true);
  const [link, name, when, erase] = [".open", ".name", ".when", ".erase"].map((part) => item.querySelector(part));
  link.href = `?talk=${row.talk}`;
  if (row.talk === talk) link.setAttribute("aria-current", "page");
  name.textContent = row.title;
  when.textContent = new Date(1000 * row.time).toLocaleDateString(LANGUAGE, { month: "short", day: "numeric" });
  erase.setAttribute("aria-label", `${strings.erase}: ${row.title}`);
  erase.addEventListener("click", () => eraseTalk(row));
  return item;
}

async function eraseTalk(row) {
  if (!confirm(`${row.title}\n${strings.sure_erase}`)) return;
  const erased = await change("page/erase", { talk: row.talk });
  if (!erased) return;
  if (row.talk === talk) begin(erased.talk);
  await showTalks();
  byId("close-menu").focus(); // the button that was pressed is gone
}

byId("forget").addEventListener("click", async () => {
  if (!confirm(strings.sure_forget) || !(await change("page/forget", {}))) return;
  menu.close();
  begin(0);
  tell(strings.forgotten);
});

async function change(path, body) {
  try {
    const response = await post(path, { id: newId(), ...body });
    if (!response.ok) throw new Error(await sentence(response));
    return await response.json();
  } catch (error) {
    talksStatus.textContent = error instanceof TypeError ? strings.offline : error.message;
    return null;
  }
}

byId("help").addEventListener("click", () => {
  menu.close();
  if (!running) ask(strings.help_command);
});
