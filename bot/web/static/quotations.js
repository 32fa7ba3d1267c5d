// Quotations of an answer as cards: the words with their place, the passage around them, a button that copies them.
"use strict";

// Put a card in the place of each quotation of the answer; what does not stand in it as it is comes at the end.
function showQuotations(turn, citations) {
  const text = turn.querySelector(".text");
  let rest = text.textContent;
  const parts = [];
  const left = [];
  for (const citation of citations) {
    const words = `「${citation.quote}」`;
    const place = rest.indexOf(words);
    if (place < 0) {
      left.push(quotation(citation));
      continue;
    }
    parts.push(withoutPlace(rest.slice(0, place)), quotation(citation));
    rest = rest.slice(place + words.length);
  }
  parts.push(withoutPlace(rest), ...left);
  text.replaceChildren(...parts.filter(Boolean));
}

// The card names the place, so the text behind it need not.
const withoutPlace = (text) => text.replace(/^——《[^》]*》/, "").replace(/^\n+|\n+$/g, "");

function quotation(citation) {
  const card = document.getElementById("quotation").content.firstElementChild.cloneNode(true);
  const [words, passage, open, copy] = ["blockquote", ".passage", ".open", ".copy"].map((name) => card.querySelector(name));
  const place = citation.heading ? `《${citation.book}·${citation.heading.replaceAll("/", "·")}》` : `《${citation.book}》`;
  words.textContent = citation.quote;
  card.querySelector("cite").textContent = place;
  open.addEventListener("click", () => {
    const opens = passage.hidden;
    passage.hidden = !opens;
    words.hidden = opens;
    open.setAttribute("aria-expanded", opens);
    open.textContent = opens ? strings.close : strings.context;
    if (opens) fillPassage(passage, words, citation);
  });
  copy.addEventListener("click", async () => {
    await copyText(`「${citation.quote}」——${place}`);
    copy.textContent = strings.copied;
    setTimeout(() => { copy.textContent = strings.copy; }, 2000);
  });
  return card;
}

// Fetched each time it is opened: it may have been removed.
async function fillPassage(passage, words, { book, start, end }) {
  passage.classList.remove("failed");
  passage.textContent = strings.loading;
  try {
    const response = await fetch(`library/passage?${new URLSearchParams({ book, start, end })}`, { cache: "no-store" });
    if (!response.ok) throw new Error(await sentence(response));
    const found = await response.json();
    const mark = document.createElement("mark");
    mark.textContent = found.quote;
    passage.replaceChildren(found.before.trimStart(), mark, found.after.trimEnd());
    passage.scrollTop = Math.max(0, mark.offsetTop - passage.offsetTop - 40);
  } catch (error) {
    words.hidden = false;
    passage.classList.add("failed");
    passage.textContent = error instanceof TypeError ? strings.offline : error.message;
  }
}

// navigator.clipboard is missing on plain-http addresses other than localhost.
async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
