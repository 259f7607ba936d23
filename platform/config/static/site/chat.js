// One room: a stretch of its messages without a gap, kept right by what comes in. It stands on site/live.js
// (window.circles) and takes all its texts from the template.

import { box, currentItem, draw, focusOn, idOf, isAtEnd, isMine, layout, locale, log, nodeOf, point, quietly, say, toEnd } from "./chat-draw.js";
import "./chat-list.js";
import { field, listen, prepare } from "./chat-write.js";

const { circles } = window;
const jump = box.querySelector("template[data-jump]").content.firstElementChild.cloneNode(true);
const firstUnread = box.querySelector("[data-first-unread]");
const names = new Intl.ListFormat(locale, { type: "conjunction" });
const NEAR = 400; // pixels before an edge at which more is fetched
const MAX_BEYOND = 300;

const messages = new Map(); // seq or, while it is on its way, key → message
const notes = new Map(); // joins and leaves, by seq
const changes = new Map(); // seq of a message → its changes since: history that was read before them may come after
const readBefore = Number(say.read);
const fresh = { after: readBefore, until: Number(say.head) }; // what came while nobody looked
// What is drawn: everything from `first` to `last`; older and newer ones exist or not. While newer ones exist, what
// comes in waits in `beyond`.
const stretch = { first: Infinity, last: 0, older: Boolean(say.more), newer: false, beyond: [], isBeyondLost: false };
let asking = false;

function show() {
  const rows = [...messages.values(), ...notes.values()].filter((row) => row.seq || !stretch.newer);
  rows.sort((a, b) => (a.seq ?? Infinity) - (b.seq ?? Infinity) || new Date(a.at) - new Date(b.at));
  layout(rows, fresh, jump.isConnected || stretch.newer || !isAtEnd() ? jump : null);
  firstUnread.hidden = !stretch.older || stretch.first <= readBefore + 1;
}

function redraw(message) {
  draw(message, messages.get(message.body?.reply_to));
}

// -- what happened

function take(entry) {
  const { kind, seq, body } = entry;
  if (kind === "message" && stretch.newer && seq > stretch.last) return later(entry);
  if (kind === "message") load(entry);
  else if (kind === "join" || kind === "leave") {
    if (stretch.newer) return undefined;
    const text = kind === "join" ? say.joined : say.left;
    notes.set(seq, { seq, at: entry.at, note: text.replace("{name}", entry.author?.name ?? say.nobody) });
  } else if (kind !== "hidden" && body?.seq) {
    changes.set(body.seq, [...(changes.get(body.seq) ?? []), entry]);
    change(entry, messages.get(body.seq) ?? stretch.beyond.find((one) => one.seq === body.seq));
  }
  if (!stretch.newer) stretch.last = Math.max(stretch.last, seq);
  return undefined;
}

function later(entry) {
  stretch.beyond.push(entry);
  if (stretch.beyond.length <= MAX_BEYOND) return;
  stretch.beyond = [];
  stretch.isBeyondLost = true;
}

// A message, or the stub of one from somebody of whom nothing is heard.
function load(entry) {
  const { seq, kind } = entry;
  stretch.first = Math.min(stretch.first, seq);
  if (kind === "hidden" || messages.get(seq)?.rev >= entry.rev) return;
  const isNewHere = messages.delete(entry.key) || messages.get(seq)?.isNewHere;
  const edited = entry.edited ?? (messages.get(seq)?.edited || false);
  messages.set(seq, { ...entry, isNewHere, edited });
  redraw(messages.get(seq));
  for (const one of changes.get(seq) ?? []) change(one, messages.get(seq));
}

function change({ kind, seq, body, author }, message) {
  if (!message || message.rev >= seq) return;
  message.rev = seq;
  if (kind === "delete") message.body = null;
  if (message.body && kind === "edit" && body.text !== null) {
    Object.assign(message, { body: { ...message.body, text: body.text, mentions: body.mentions ?? message.body.mentions }, edited: true });
  }
  if (message.body && kind === "reaction" && author) {
    const people = (message.body.reactions?.[body.emoji] ?? []).filter((id) => id !== author.id);
    message.body.reactions = { ...message.body.reactions, [body.emoji]: body.on ? [...people, author.id] : people };
  }
  if (!nodeOf(message)) return;
  redraw(message);
  for (const answer of messages.values()) if (answer.body?.reply_to === message.seq) redraw(answer);
}

function pending(message) {
  if ([...messages.values()].some((one) => one.seq && one.key === message.key)) return; // it was quicker than we
  const { text, reply_to, language } = message;
  messages.set(message.key, { key: message.key, at: message.at, body: { text, reply_to, language }, author: { id: say.me, name: "" }, failed: message.failed });
  redraw(messages.get(message.key));
}

function shown(work) {
  const wasAtEnd = isAtEnd() && !stretch.newer;
  work();
  show();
  if (wasAtEnd) {
    jump.remove();
    toEnd();
  }
  seen();
}

// Read is what was in view while the page was: up to the newest message above the lower edge.
function seen() {
  if (document.visibilityState !== "visible") return;
  const edge = log.getBoundingClientRect().bottom + 8;
  let item = log.lastElementChild;
  while (item && !(item.dataset.seq && item.getBoundingClientRect().bottom <= edge)) item = item.previousElementSibling;
  const heard = circles.room(say.room);
  // Before the line stands it is not known how many messages there are, but of what is drawn.
  if (!stretch.newer && isAtEnd() && heard?.seq) circles.read(say.room, heard.seq, Math.max(heard.n, item ? Number(item.dataset.n) : 0));
  // Above it may be what was never on the screen: then only who comes to the end has read it.
  else if (item && firstUnread.hidden) circles.read(say.room, Number(item.dataset.seq), Number(item.dataset.n));
}

const here = (hear) => (frame) => frame.room === say.room && hear(frame);
let queue = [];
circles.on("entry", here((entry) => {
  // A burst is drawn once.
  if (!queue.length) requestAnimationFrame(() => shown(() => queue.splice(0).forEach(take)));
  queue.push(entry);
}));
circles.on("reset", here(() => location.reload()));
// Somebody has gone for good, and their words with them: what is drawn here is no longer so.
circles.on("entry", here(({ kind }) => kind === "forget" && location.reload()));
circles.on("gone", here(() => {
  // What was half written can still be taken along.
  if (field?.value.trim()) {
    field.readOnly = true;
    box.querySelector(".chat-compose .button").remove();
  } else box.querySelector(".chat-compose")?.remove();
  nobodyTypes();
  box.querySelector("[data-here]").textContent = "";
  log.after(Object.assign(document.createElement("p"), { className: "chat-note", textContent: say.gone }));
}));
circles.on("failed", ({ key, detail }) => {
  const message = messages.get(key);
  if (message) shown(() => redraw(Object.assign(message, { failed: detail })));
});
// Another tab wrote here, tried again or gave up.
circles.on("outbox", ({ kept, gone }) => {
  if (kept?.room === say.room) shown(() => pending(kept));
  else if (messages.get(gone) && !messages.get(gone).seq) setTimeout(() => shown(() => messages.delete(gone)), 3000);
});

// -- who is here, who writes

const people = new Map();
const nameOf = (id) => people.get(id) ?? [...messages.values()].findLast(({ author }) => author?.id === id)?.author.name;
const writing = box.querySelector("[data-typing]");
let typingTimer = 0;
function nobodyTypes() {
  clearTimeout(typingTimer);
  writing.textContent = "";
}
circles.on("entry", here(({ kind }) => kind === "message" && nobodyTypes())); // what was typed has arrived
circles.on("typing", here(({ members }) => {
  const others = members.filter((id) => id !== say.me);
  if (!others.length) return;
  const known = others.map(nameOf).filter(Boolean);
  writing.textContent = others.length === 1 && known.length ? say.typingOne.replace("{name}", known[0]) : say.typingMore;
  clearTimeout(typingTimer);
  typingTimer = setTimeout(nobodyTypes, 4000);
}));
circles.on("presence", here(({ count, members }) => {
  people.clear();
  for (const { id, name } of members) people.set(id, name);
  const others = members.filter(({ id }) => id !== say.me).map(({ name }) => name);
  const spot = box.querySelector("[data-here]");
  const named = others.length === 1 ? say.hereOne : say.hereMore;
  spot.textContent = count > members.length || others.length > 5
    ? say.hereCount.replace("{count}", count)
    : others.length ? named.replace("{names}", names.format(others)).replace("{name}", others[0]) : "";
}));

// -- to and fro: what is looked at stays where it is

async function history(asked) {
  const page = await circles.ask({ type: "history", room: say.room, limit: 50, ...asked });
  return { ...page, messages: page.messages.toReversed() };
}

async function once(work) {
  if (asking) return;
  asking = true;
  try {
    await work();
  } catch {
    // no line: asked again when it is back
  }
  asking = false;
}

const older = () => stretch.older && log.scrollTop < NEAR && once(async () => {
  const page = await history({ before: stretch.first });
  stretch.older = !page.start;
  const height = log.scrollHeight - log.scrollTop;
  quietly(() => {
    page.messages.forEach(load);
    for (const message of messages.values()) if (message.body?.reply_to) redraw(message);
    show();
  });
  log.scrollTop = log.scrollHeight - height;
});

const newer = () => stretch.newer && log.scrollHeight - log.scrollTop - log.clientHeight < NEAR && once(async () => {
  const page = await history({ after: stretch.last });
  const place = log.scrollTop;
  quietly(() => {
    follow(page);
    show();
  });
  log.scrollTop = place;
});

// The next messages; after the newest, what came in meanwhile.
function follow(page) {
  page.messages.forEach(load);
  stretch.last = Math.max(stretch.last, page.messages.at(-1)?.seq ?? 0);
  if (!page.end) return;
  stretch.newer = stretch.isBeyondLost;
  stretch.isBeyondLost = false;
  if (!stretch.newer) stretch.beyond.splice(0).forEach(take);
}

// Begin anew with another stretch.
function begin(first) {
  for (const [id, message] of messages) if (message.seq) messages.delete(id);
  notes.clear();
  Object.assign(stretch, { first, last: first, newer: true });
}

async function goTo(seq) {
  if (!messages.has(seq) && !(stretch.first <= seq && seq <= stretch.last)) {
    await once(async () => {
      const [before, after] = [await history({ before: seq + 1, limit: 25 }), await history({ after: seq, limit: 25 })];
      begin(Infinity);
      stretch.last = seq;
      stretch.older = !before.start;
      quietly(() => {
        before.messages.forEach(load);
        follow(after);
        for (const message of messages.values()) if (message.body?.reply_to) redraw(message);
        show();
      });
    });
  }
  const near = [...messages.values()].filter((one) => one.seq).sort((a, b) => a.seq - b.seq).find((one) => one.seq >= seq);
  if (near) point(nodeOf(near));
}

async function toNewest() {
  if (stretch.newer) {
    await once(async () => {
      const page = await history({});
      begin(Infinity);
      stretch.older = !page.start;
      quietly(() => {
        follow({ ...page, end: true });
        show();
      });
    });
  }
  jump.remove();
  toEnd();
  seen();
}

log.addEventListener("scroll", () => {
  older();
  newer();
  if (isAtEnd() && !stretch.newer) jump.remove();
  else if (!jump.isConnected) log.append(jump);
  seen();
}, { passive: true });
jump.addEventListener("click", async () => {
  await toNewest();
  field?.focus();
});
firstUnread.addEventListener("click", () => goTo(readBefore + 1));
addEventListener("hashchange", () => /^#m\d+$/.test(location.hash) && goTo(Number(location.hash.slice(2))));
document.addEventListener("visibilitychange", () => {
  const { seq, read } = circles.room(say.room);
  if (document.visibilityState === "visible") fresh.until = seq;
  else Object.assign(fresh, { after: read[0], until: Infinity });
  seen();
});

// -- what one does with a message

async function act(kind, message, button) {
  const asked = { room: say.room, key: crypto.randomUUID(), seq: message.seq };
  if (kind === "retry") {
    message.failed = "";
    shown(() => redraw(message));
    return circles.retry(message.key);
  }
  if (kind === "drop") {
    await circles.drop(message.key);
    if (field && !field.value) field.value = message.body.text;
    return shown(() => messages.delete(message.key));
  }
  if (kind === "reply" || kind === "edit") return prepare(kind, message);
  if (kind === "remove") {
    if (confirm(say.askRemove)) await circles.ask({ type: "delete", ...asked });
    return undefined;
  }
  const { emoji } = button.dataset;
  const on = !message.body.reactions?.[emoji]?.includes(say.me);
  return circles.ask({ type: "react", ...asked, emoji, on });
}

const messageOf = (item) => item && [...messages.values()].find((one) => idOf(one) === item.dataset.id);
log.addEventListener("click", async (event) => {
  const item = event.target.closest(".chat-message");
  if (item) focusOn(item);
  const quote = event.target.closest("[data-goto]");
  if (quote) {
    event.preventDefault();
    return goTo(Number(quote.dataset.goto));
  }
  const button = event.target.closest("button[data-do]");
  const message = button && messageOf(item);
  if (!message) return undefined;
  button.closest("details")?.removeAttribute("open");
  try {
    await act(button.dataset.do, message, button);
  } catch (error) {
    item.querySelector("[data-state]").textContent = `${say.failed} ${error.detail ?? say.offlineNow}`;
  }
  return undefined;
});

// A menu opens to where there is room, and closes when one goes on elsewhere.
log.addEventListener("toggle", ({ target }) => {
  if (!target.open) return;
  const [room, menu] = [log.getBoundingClientRect(), target.querySelector(".chat-actions")];
  target.classList.remove("chat-menu--end");
  target.classList.toggle("chat-menu--down", target.getBoundingClientRect().top - room.top < 280);
  target.classList.toggle("chat-menu--end", menu.getBoundingClientRect().right > room.right);
  for (const other of log.querySelectorAll(".chat-menu[open]")) other.open = other === target;
}, true);
document.addEventListener("click", ({ target }) => {
  for (const menu of log.querySelectorAll(".chat-menu[open]")) if (!menu.contains(target)) menu.open = false;
});

// Up and down from message to message; Enter opens what can be done with it, Escape closes it.
log.addEventListener("keydown", (event) => {
  const items = [...log.querySelectorAll(".chat-message")];
  const at = items.indexOf(currentItem());
  const next = { ArrowUp: at < 0 ? items.length - 1 : at - 1, ArrowDown: at + 1, Home: 0, End: items.length - 1 }[event.key];
  const menu = event.target.closest("details[open]");
  const isLink = event.target.matches(".chat-bubble a") && items[at]?.contains(event.target);
  if (event.key === "Escape" && menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  } else if (event.key === "Enter" && event.target === items[at]) items[at].querySelector(".chat-menu:not([hidden]) > summary")?.click();
  else if (next === undefined || (event.target !== log && event.target !== items[at] && !isLink)) return;
  else if (items[next]) {
    focusOn(items[next]);
    items[next].focus();
  }
  event.preventDefault();
});

listen({
  async send(text, more) {
    if (stretch.newer) await toNewest();
    const sent = await circles.say(say.room, text, more);
    shown(() => pending(sent));
    toEnd();
  },
  edit: (message, text) => circles.ask({ type: "edit", room: say.room, key: crypto.randomUUID(), seq: message.seq, text }),
  typing: () => circles.typing(say.room),
  last: () => [...messages.values()].filter((one) => one.seq && one.body && isMine(one)).sort((a, b) => a.seq - b.seq).at(-1),
});

// -- begin: with what the server has drawn

const first = JSON.parse(document.getElementById("chat-frames").textContent);
log.replaceChildren();
first.forEach(load);
stretch.last = Number(say.head);
for (const message of messages.values()) if (message.body?.reply_to) redraw(message);
circles.watch(say.room, [Number(say.epoch), Number(say.head)]);
show();
(log.querySelector(".chat-new") ?? log.lastElementChild)?.scrollIntoView({ block: "start" });
if (!log.querySelector(".chat-new")) toEnd();
if (isAtEnd()) jump.remove();
seen();
circles.on("welcome", () => setTimeout(older)); // a short page is filled as soon as there is somebody to ask
let wanted = /^#m\d+$/.test(location.hash) ? Number(location.hash.slice(2)) : 0;
circles.on("welcome", () => {
  if (wanted) goTo(wanted);
  wanted = 0;
});
circles.queued(say.room).then((waiting) => waiting.length && shown(() => waiting.forEach(pending)));
