// The messages of a room on the screen. What is drawn already is never drawn anew: a screen reader hears what is new.

import { words } from "./chat-words.js";

export const box = document.querySelector("[data-chat]");
export const say = box.dataset;
export const log = box.querySelector(".chat-log");
export const locale = say.language === "en" ? "en-GB" : say.language; // 19:00, as everywhere on the site
const frame = box.querySelector(".chat-frame");
const skeleton = box.querySelector("template[data-message]").content.firstElementChild;
const timeZone = say.zone; // the member's own, as in mails and on every other page
const clock = new Intl.DateTimeFormat(locale, { timeZone, hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(locale, { timeZone, weekday: "long", day: "numeric", month: "long" });
const dayKey = new Intl.DateTimeFormat("en-CA", { timeZone }); // 2027-06-01
const full = new Intl.DateTimeFormat(locale, { timeZone, dateStyle: "full", timeStyle: "short" });
const GROUP_MS = 5 * 60_000;

let current = null; // the message that the keyboard is at
const nodes = new Map(); // message id → its <li>
const lines = new Map(); // days, joins, "new": id → its <li>

export const idOf = (message) => message.key ?? `seq-${message.seq}`;
export const isMine = (message) => !message.seq || message.author?.id === say.me;
export const nodeOf = (message) => nodes.get(idOf(message));
export const isAtEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 60;
export const toEnd = () => (log.scrollTop = log.scrollHeight);

// A message's own node, in its present state. `target`: the message it answers, when that is known.
export function draw(message, target) {
  let item = nodes.get(idOf(message));
  if (!item) {
    item = skeleton.cloneNode(true);
    item.dataset.id = idOf(message);
    item.top = [item.querySelector(".avatar"), item.querySelector(".chat-author")];
    for (const button of item.querySelectorAll("button, summary, a")) button.tabIndex = -1; // until its message has the focus
    nodes.set(idOf(message), item);
  }
  const mine = isMine(message);
  const removed = message.seq && !message.body;
  item.classList.toggle("chat-message--mine", mine);
  item.classList.toggle("chat-message--removed", Boolean(removed));
  item.classList.toggle("chat-message--waiting", !message.seq);
  if (message.seq) Object.assign(item, { id: `m${message.seq}` }).dataset.seq = message.seq;
  item.dataset.n = message.n;
  const name = message.author?.name ?? (mine ? "" : say.nobody);
  item.top[1].textContent = name;
  drawAvatar(item.top[0], message.author, name);
  drawWords(item, message, removed);
  drawQuote(item.querySelector(".chat-quote"), message.body?.reply_to, target);
  drawReactions(item.querySelector(".chat-reactions"), message.body?.reactions ?? {});
  drawState(item, message, mine);
  return item;
}

function drawWords(item, { body }, removed) {
  const spot = item.querySelector("[data-text]");
  const named = (body?.mentions ?? []).map(({ id }) => id).join();
  const shown = JSON.stringify([body?.text ?? null, named]);
  item.classList.toggle("chat-message--names-me", named.includes(say.me));
  if (body?.language) item.querySelector(".chat-bubble").lang = body.language;
  else item.querySelector(".chat-bubble").removeAttribute("lang");
  if (spot.shown === shown) return;
  spot.shown = shown;
  spot.replaceChildren(...(removed ? [say.removed] : words(body.text, body.mentions, say.me)));
  for (const link of spot.querySelectorAll("a")) link.tabIndex = item === current ? 0 : -1;
}

function drawAvatar(spot, author, name) {
  const parts = name.replaceAll("-", " ").split(" ").filter((word) => /^[\p{L}\p{N}]/u.test(word));
  spot.textContent = (parts.length > 1 ? [parts[0], parts.at(-1)] : parts).map((word) => [...word][0]).join("").toUpperCase() || "·";
  // The same colour as on the server: the number behind the id, modulo six.
  const number = [...(author?.id ?? "")].reduce((sum, sign) => sum * 32n + BigInt("abcdefghijklmnopqrstuvwxyz234567".indexOf(sign)), 0n);
  spot.className = `avatar avatar--s avatar--c${(number >> 1n) % 6n}`;
}

function drawQuote(quote, seq, target) {
  quote.hidden = !seq;
  if (!seq) return;
  Object.assign(quote, { href: `#m${seq}` }).dataset.goto = seq;
  quote.textContent = target ? `${target.author?.name ?? say.nobody}: ${target.body?.text.slice(0, 120) ?? say.removed}` : say.quoted;
}

function drawReactions(row, reactions) {
  const signs = Object.entries(reactions).filter(([, people]) => people.length);
  row.hidden = !signs.length;
  row.replaceChildren(
    ...signs.map(([emoji, people]) => {
      const button = document.createElement("button");
      button.type = "button";
      button.tabIndex = -1;
      Object.assign(button.dataset, { do: "react", emoji });
      button.setAttribute("aria-pressed", String(people.includes(say.me)));
      button.textContent = `${emoji} ${people.length}`;
      return button;
    }),
  );
}

function drawState(item, message, mine) {
  const at = new Date(message.at);
  const time = item.querySelector("time");
  time.dateTime = at.toISOString();
  time.textContent = clock.format(at);
  time.title = full.format(at);
  const state = message.failed ? `${say.failed} ${message.failed}` : message.seq ? (message.isNewHere ? say.saved : "") : say.queued;
  item.querySelector("[data-state]").textContent = message.edited && message.body ? say.edited : state;
  for (const name of ["retry", "drop"]) item.querySelector(`.chat-state > [data-do="${name}"]`).hidden = !message.failed;
  item.querySelector(".chat-menu").hidden = !message.seq || !message.body;
  for (const action of item.querySelectorAll("[data-for]")) action.hidden = (action.dataset.for === "mine") !== mine;
  for (const action of item.querySelectorAll("a[data-do]")) action.href = `${location.pathname}${message.seq}/${action.dataset.do}/`;
}

// Put every node in its place and touch none that is there already. `fresh`: between which seqs lies what came while
// nobody looked; `jump`: shown at the end or null.
export function layout(rows, fresh, jump) {
  const wanted = [];
  let before = null;
  let isNewShown = false;
  for (const row of rows) {
    const at = new Date(row.at);
    const isNewDay = !before || dayKey.format(new Date(before.at)) !== dayKey.format(at);
    if (isNewDay) wanted.push(line(`day-${dayKey.format(at)}`, "chat-day", day.format(at)));
    if (!isNewShown && row.seq > fresh.after && row.seq <= fresh.until && !row.note && !isMine(row)) {
      wanted.push(line("new", "chat-new", say.new));
      isNewShown = true;
      before = null;
    }
    const item = row.note ? line(`note-${row.seq}`, "chat-note", row.note) : nodeOf(row);
    const isSame = before && !isNewDay && !before.note && before.author?.id === row.author?.id && at - new Date(before.at) < GROUP_MS;
    if (!row.note) {
      if (isSame) item.top.forEach((part) => part.remove());
      else if (!item.top[0].isConnected || item.firstElementChild !== item.top[0]) item.prepend(...item.top);
    }
    wanted.push(item);
    before = row;
  }
  if (jump) wanted.push(jump);
  let place = log.firstElementChild;
  for (const item of wanted) {
    if (item === place) place = place.nextElementSibling;
    else log.insertBefore(item, place);
  }
  while (place) {
    const next = place.nextElementSibling;
    place.remove();
    place = next;
  }
}

export function line(id, css, text) {
  if (!lines.has(id)) lines.set(id, Object.assign(document.createElement("li"), { className: css, textContent: text }));
  return lines.get(id);
}

// What is put in here is not read out: older messages are no news.
export function quietly(work) {
  frame.setAttribute("aria-live", "off");
  work();
  setTimeout(() => frame.removeAttribute("aria-live"), 1000);
}

// The message that the keyboard is at: only its buttons and links are in the way of Tab.
export function focusOn(item) {
  for (const button of current?.querySelectorAll("button, summary, a") ?? []) button.tabIndex = -1;
  current?.removeAttribute("tabindex");
  current = item;
  if (!item) return;
  item.tabIndex = -1;
  for (const button of item.querySelectorAll("button, summary, a")) button.tabIndex = 0;
}

export const currentItem = () => current;

// Show where somebody was brought to.
export function point(item) {
  item.scrollIntoView({ block: "center" });
  item.classList.remove("chat-message--found");
  requestAnimationFrame(() => item.classList.add("chat-message--found"));
  focusOn(item);
  item.focus({ preventScroll: true });
}
