// Writing in a room: the draft, answers and changes, and the names behind an @.

import { box, say } from "./chat-draw.js";
import { languageOf } from "./chat-language.js";

const form = box.querySelector(".chat-compose");
export const field = form?.elements.text;
const hint = box.querySelector("[data-draft-for]");
const length = box.querySelector("[data-length]");
const choices = box.querySelector("[data-names]");
const DRAFT = `draft:${say.me}:${say.room}`;
const ASK_MS = 150;
const NAME = /(?:^|[\s(])@([^\s@][^@\n]{0,39}|)$/u; // what is behind the caret's @

let draftFor = null; // {kind: "reply" | "edit", message}
let meant = new Map(); // name → id: whom I chose

// -- what is being written

export function prepare(kind, message) {
  const wasEdit = draftFor?.kind === "edit";
  draftFor = kind && { kind, message };
  hint.hidden = !kind;
  if (kind) hint.querySelector("[data-draft-text]").textContent = `${kind === "reply" ? say.replying : say.editing} ${message.body.text.slice(0, 120)}`;
  if (kind === "edit") {
    field.value = message.body.text;
    meant = new Map((message.body.mentions ?? []).map(({ id, name }) => [name, id]));
  } else if (wasEdit) field.value = localStorage.getItem(DRAFT) ?? "";
  grow();
  field.focus();
}

export function grow() {
  field.rows = Math.min(6, field.value.split("\n").length);
}

// `send(text, {language, reply_to, mentions})` and `edit(message, text)` say what was written; both may throw.
export function listen({ send, edit, typing, last }) {
  if (!form) return;
  const limit = field.maxLength;
  field.removeAttribute("maxlength"); // it counts otherwise, and cuts what is pasted without a word
  field.value ||= localStorage.getItem(DRAFT) ?? "";
  grow();
  const tooLong = () => {
    const count = [...field.value.trim()].length;
    length.hidden = count <= limit;
    length.textContent = count > limit ? say.tooLong.replace("{count}", count) : "";
    field.setAttribute("aria-invalid", String(count > limit));
    return count > limit;
  };
  tooLong();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const text = field.value;
    if (!text.trim() || tooLong()) return;
    const { kind, message } = draftFor ?? {};
    const mentions = [...meant].filter(([name]) => text.includes(`@${name}`)).map(([, id]) => id);
    close();
    field.value = "";
    meant = new Map();
    if (kind !== "edit") localStorage.removeItem(DRAFT);
    if (draftFor) prepare(null);
    grow();
    if (kind !== "edit") {
      const more = { language: languageOf(text), reply_to: kind === "reply" ? message.seq : undefined };
      return send(text, mentions.length ? { ...more, mentions } : more);
    }
    try {
      await edit(message, text);
    } catch {
      prepare("edit", { ...message, body: { ...message.body, text } }); // kept, to be tried again
    }
  });
  field.addEventListener("keydown", (event) => {
    if (choose(event)) return;
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      if (!field.readOnly) form.requestSubmit();
    } else if (event.key === "Escape" && draftFor) prepare(null);
    else if (event.key === "ArrowUp" && !field.value && last()) {
      event.preventDefault();
      prepare("edit", last());
    }
  });
  field.addEventListener("input", () => {
    grow();
    tooLong();
    if (draftFor?.kind !== "edit") localStorage.setItem(DRAFT, field.value);
    typing();
    lookForName();
  });
  field.addEventListener("blur", () => setTimeout(close, 200));
  hint.querySelector("[data-draft-cancel]").addEventListener("click", () => prepare(null));
  choices.addEventListener("click", (event) => {
    const item = event.target.closest("[role=option]");
    if (item) take(item);
  });
}

// -- names

let timer = 0;
let asked = "";
function lookForName() {
  clearTimeout(timer);
  const sought = NAME.exec(field.value.slice(0, field.selectionStart))?.[1];
  if (sought === undefined) return close();
  timer = setTimeout(() => offer(sought), ASK_MS);
  return undefined;
}

async function offer(sought) {
  asked = sought;
  const query = new URLSearchParams({ q: sought, limit: 8 });
  const answer = await fetch(`/api/v1/rooms/${say.room}/participants/?${query}`).catch(() => null);
  if (!answer?.ok || asked !== sought) return;
  const people = (await answer.json()).results.filter(({ id }) => id !== say.me);
  if (asked !== sought) return;
  choices.replaceChildren(
    ...people.map(({ id, name }, index) => {
      const item = Object.assign(document.createElement("li"), { id: `name-${index}`, textContent: name });
      item.setAttribute("role", "option");
      item.dataset.id = id;
      return item;
    }),
  );
  choices.hidden = !people.length;
  mark(choices.firstElementChild);
}

function mark(item) {
  for (const other of choices.children) other.setAttribute("aria-selected", String(other === item));
  if (item) field.setAttribute("aria-activedescendant", item.id);
  else field.removeAttribute("aria-activedescendant");
}

// Keys while names are offered. True: the key was for them.
function choose(event) {
  if (choices.hidden || event.isComposing) return false;
  const items = [...choices.children];
  const at = items.findIndex((item) => item.getAttribute("aria-selected") === "true");
  if (event.key === "ArrowDown") mark(items[(at + 1) % items.length]);
  else if (event.key === "ArrowUp") mark(items[(at - 1 + items.length) % items.length]);
  else if (event.key === "Enter" || event.key === "Tab") take(items[at]);
  else if (event.key === "Escape") close();
  else return false;
  event.preventDefault();
  return true;
}

function take(item) {
  const caret = field.selectionStart;
  const before = field.value.slice(0, caret);
  const begin = before.length - (NAME.exec(before)?.[1].length ?? 0);
  meant.set(item.textContent, item.dataset.id);
  field.setRangeText(`${item.textContent} `, begin, caret, "end");
  field.dispatchEvent(new Event("input"));
  close();
  field.focus();
}

function close() {
  clearTimeout(timer);
  asked = "";
  choices.hidden = true;
  mark(null);
}
