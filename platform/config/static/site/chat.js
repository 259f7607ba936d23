// One room: the messages, their state, and writing. It stands on site/live.js (window.circles) and takes all its
// texts from the template. People's words only ever become text nodes.

const { circles } = window;
const box = document.querySelector("[data-chat]");
const say = box.dataset;
const log = box.querySelector(".chat-log");
const form = box.querySelector(".chat-compose");
const field = form?.elements.text;
const skeleton = box.querySelector("template[data-message]").content.firstElementChild;
const jump = box.querySelector("template[data-jump]").content.firstElementChild.cloneNode(true);
const locale = say.language === "en" ? "en-GB" : say.language; // 19:00, as everywhere on the site
const timeZone = say.zone; // the member's own, as in mails and on every other page
const clock = new Intl.DateTimeFormat(locale, { timeZone, hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(locale, { timeZone, weekday: "long", day: "numeric", month: "long" });
const dayKey = new Intl.DateTimeFormat("en-CA", { timeZone }); // 2027-06-01
const full = new Intl.DateTimeFormat(locale, { timeZone, dateStyle: "full", timeStyle: "short" });
const GROUP_MS = 5 * 60_000;
const DRAFT = `draft:${say.me}:${say.room}`;

const messages = new Map(); // seq or, while it is on its way, key → message
const nodes = new Map(); // message id → its <li>
const notes = new Map(); // joins and leaves, by seq
const readBefore = Number(say.read);
let more = Boolean(say.more);
let asking = false;
let draftFor = null; // {do: "reply" | "edit", message}

const idOf = (message) => message.key ?? `seq-${message.seq}`;
const isMine = (message) => !message.seq || message.author?.id === say.me;
const isAtEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 60;
const toEnd = () => (log.scrollTop = log.scrollHeight);

// -- drawing

function draw(message) {
  let item = nodes.get(idOf(message));
  if (!item) {
    item = skeleton.cloneNode(true);
    item.dataset.id = idOf(message);
    item.top = [item.querySelector(".avatar"), item.querySelector(".chat-author")];
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
  const words = item.querySelector("[data-text]");
  if (words.dataset.words !== (message.body?.text ?? "\0")) {
    words.dataset.words = message.body?.text ?? "\0";
    words.replaceChildren(...(removed ? [say.removed] : linked(message.body.text)));
  }
  if (message.body?.language) item.querySelector(".chat-bubble").lang = message.body.language;
  drawQuote(item.querySelector(".chat-quote"), message.body?.reply_to);
  drawReactions(item.querySelector(".chat-reactions"), message.body?.reactions ?? {});
  drawState(item, message, mine);
  return item;
}

function drawAvatar(spot, author, name) {
  const words = name.replaceAll("-", " ").split(" ").filter((word) => /^[\p{L}\p{N}]/u.test(word));
  spot.textContent = (words.length > 1 ? [words[0], words.at(-1)] : words).map((word) => [...word][0]).join("").toUpperCase() || "·";
  // The same colour as on the server: the number behind the id, modulo six.
  const number = [...(author?.id ?? "")].reduce((sum, sign) => sum * 32n + BigInt("abcdefghijklmnopqrstuvwxyz234567".indexOf(sign)), 0n);
  spot.className = `avatar avatar--s avatar--c${(number >> 1n) % 6n}`;
}

// Addresses become links; everything else stays text.
function linked(text) {
  return text.split(/(https?:\/\/[^\s<>"']+[^\s<>"'.,:;!?)\]])/u).map((part, index) => {
    if (index % 2 === 0) return document.createTextNode(part);
    const link = document.createElement("a");
    Object.assign(link, { href: part, textContent: part, rel: "nofollow noopener noreferrer", target: "_blank" });
    return link;
  });
}

function drawQuote(quote, seq) {
  const target = messages.get(seq);
  quote.hidden = !seq;
  if (!seq) return;
  quote.href = `#m${seq}`;
  quote.textContent = target ? `${target.author?.name ?? say.nobody}: ${target.body?.text.slice(0, 120) ?? say.removed}` : "…";
}

function drawReactions(row, reactions) {
  const signs = Object.entries(reactions).filter(([, people]) => people.length);
  row.hidden = !signs.length;
  row.replaceChildren(
    ...signs.map(([emoji, people]) => {
      const button = document.createElement("button");
      button.type = "button";
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
  item.querySelector('[data-do="retry"]').hidden = !message.failed;
  item.querySelector(".chat-menu").hidden = !message.seq || !message.body || !form;
  for (const name of ["edit", "remove"]) item.querySelector(`[data-do="${name}"]`).hidden = !mine;
  const hide = item.querySelector('[data-do="hide"]'); // only for who looks after the room
  if (hide) hide.hidden = mine;
}

// Put every node in its place and touch none that is there already: a screen reader hears additions only.
function layout() {
  const rows = [...messages.values(), ...notes.values()].sort((a, b) => (a.seq ?? Infinity) - (b.seq ?? Infinity) || a.at - b.at);
  const wanted = [];
  let before = null;
  let isNewShown = false;
  for (const row of rows) {
    const at = new Date(row.at);
    const isNewDay = !before || dayKey.format(new Date(before.at)) !== dayKey.format(at);
    if (isNewDay) wanted.push(line(`day-${dayKey.format(at)}`, "chat-day", day.format(at)));
    if (!isNewShown && row.seq > readBefore && row.body !== undefined && !row.note && !isMine(row)) {
      wanted.push(line("new", "chat-new", say.new));
      isNewShown = true;
      before = null;
    }
    const item = row.note ? line(`note-${row.seq}`, "chat-note", row.note) : nodes.get(idOf(row));
    const isSame = before && !isNewDay && !before.note && before.author?.id === row.author?.id && at - new Date(before.at) < GROUP_MS;
    if (!row.note) {
      if (isSame) item.top.forEach((part) => part.remove());
      else if (!item.top[0].isConnected || item.firstElementChild !== item.top[0]) item.prepend(...item.top);
    }
    wanted.push(item);
    before = row;
  }
  if (jump.isConnected || !isAtEnd()) wanted.push(jump);
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

const lines = new Map();
function line(id, css, text) {
  if (!lines.has(id)) {
    const item = document.createElement("li");
    item.className = css;
    item.textContent = text;
    lines.set(id, item);
  }
  return lines.get(id);
}

// -- what happened

function take(entry) {
  const { kind, seq, body } = entry;
  if (kind === "message") {
    if (messages.get(seq)?.rev >= entry.rev) return;
    const isNewHere = messages.delete(entry.key) || messages.get(seq)?.isNewHere;
    messages.set(seq, { ...entry, isNewHere, edited: false });
    draw(messages.get(seq));
  } else if (kind === "join" || kind === "leave") {
    const text = kind === "join" ? say.joined : say.left;
    notes.set(seq, { seq, at: entry.at, note: text.replace("{name}", entry.author?.name ?? say.nobody) });
  } else change(entry, messages.get(body?.seq));
}

function change({ kind, seq, body, author }, message) {
  if (!message || message.rev >= seq) return;
  message.rev = seq;
  if (kind === "delete") message.body = null;
  if (!message.body) return draw(message);
  if (kind === "edit" && body.text !== null) Object.assign(message, { body: { ...message.body, text: body.text }, edited: true });
  if (kind === "reaction" && author) {
    const people = (message.body.reactions?.[body.emoji] ?? []).filter((id) => id !== author.id);
    message.body.reactions = { ...message.body.reactions, [body.emoji]: body.on ? [...people, author.id] : people };
  }
  draw(message);
}

function pending(message) {
  if ([...messages.values()].some((one) => one.seq && one.key === message.key)) return; // it was quicker than we
  const body = { text: message.text, reply_to: message.reply_to, language: message.language };
  messages.set(message.key, { key: message.key, at: message.at, body, author: { id: say.me, name: "" }, failed: message.failed });
  draw(messages.get(message.key));
}

function shown(work) {
  const wasAtEnd = isAtEnd();
  work();
  layout();
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
  if (isAtEnd() && circles.room(say.room)?.seq) circles.read(say.room, circles.room(say.room).seq);
  else if (item) circles.read(say.room, Number(item.dataset.seq), Number(item.dataset.n));
}

const here = (hear) => (frame) => frame.room === say.room && hear(frame);
let queue = [];
circles.on("entry", here((entry) => {
  // A burst is drawn once.
  if (!queue.length) requestAnimationFrame(() => shown(() => queue.splice(0).forEach(take)));
  queue.push(entry);
}));
circles.on("entry", ({ kind, room, body }) => {
  const last = document.querySelector(`[data-last-room="${CSS.escape(room)}"]`);
  if (last && kind === "message" && body) last.textContent = body.text.slice(0, 80);
});
circles.on("reset", here(() => location.reload()));
// Somebody has gone for good, and their words with them: what is drawn here is no longer so.
circles.on("entry", here(({ kind }) => kind === "forget" && location.reload()));
circles.on("gone", here(() => {
  form?.remove();
  log.after(line("gone", "chat-note", say.gone));
}));
circles.on("failed", ({ key, detail }) => {
  const message = messages.get(key);
  if (message) shown(() => draw(Object.assign(message, { failed: detail })));
});
let typingTimer = 0;
function nobodyTypes() {
  clearTimeout(typingTimer);
  const spot = box.querySelector("[data-typing]");
  spot.textContent = "";
  spot.classList.add("visually-hidden");
}
circles.on("entry", here(({ kind }) => kind === "message" && nobodyTypes())); // what was typed has arrived
circles.on("typing", here(({ members }) => {
  const others = members.filter((id) => id !== say.me);
  if (!others.length) return;
  const spot = box.querySelector("[data-typing]");
  const known = [...messages.values()].findLast((message) => message.author?.id === others[0]);
  spot.textContent = others.length === 1 && known ? say.typingOne.replace("{name}", known.author.name) : say.typingMore;
  spot.classList.remove("visually-hidden");
  clearTimeout(typingTimer);
  typingTimer = setTimeout(nobodyTypes, 4000);
}));

// Older messages as one scrolls up; what is looked at stays where it is.
async function older() {
  if (!more || asking || log.scrollTop > 400) return;
  asking = true;
  try {
    const first = Math.min(...[...messages.keys()].filter(Number.isInteger));
    const page = await circles.ask({ type: "history", room: say.room, before: first, limit: 50 });
    more = !page.start;
    const height = log.scrollHeight - log.scrollTop;
    page.messages.forEach(take);
    for (const message of messages.values()) if (message.body?.reply_to) draw(message);
    layout();
    log.scrollTop = log.scrollHeight - height;
  } catch {
    // no line: asked again when it is back
  }
  asking = false;
}

log.addEventListener("scroll", () => {
  older();
  if (isAtEnd()) jump.remove();
  else if (!jump.isConnected) log.append(jump);
  seen();
}, { passive: true });
jump.addEventListener("click", () => {
  toEnd();
  field?.focus();
});
document.addEventListener("visibilitychange", seen);

// -- writing

function prepare(kind, message) {
  draftFor = kind && { kind, message };
  const hint = box.querySelector("[data-draft-for]");
  hint.hidden = !kind;
  if (kind) hint.querySelector("[data-draft-text]").textContent = message.body.text.slice(0, 120);
  if (kind === "edit") field.value = message.body.text;
  grow();
  field.focus();
}

function grow() {
  field.rows = Math.min(6, field.value.split("\n").length);
}

async function act(kind, message, button) {
  const change = { room: say.room, key: crypto.randomUUID(), seq: message.seq };
  if (kind === "retry") {
    message.failed = "";
    shown(() => draw(message));
    return circles.retry(message.key);
  }
  if (kind === "reply" || kind === "edit") return prepare(kind, message);
  if (kind === "hide") return location.assign(`${location.pathname}${message.seq}/hide/`);
  if (kind === "remove") {
    if (confirm(say.askRemove)) await circles.ask({ type: "delete", ...change });
    return undefined;
  }
  const { emoji } = button.dataset;
  const on = !message.body.reactions?.[emoji]?.includes(say.me);
  return circles.ask({ type: "react", ...change, emoji, on });
}

log.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-do]");
  const item = button?.closest(".chat-message");
  const message = item && [...messages.values()].find((one) => idOf(one) === item.dataset.id);
  if (!message) return;
  button.closest("details")?.removeAttribute("open");
  try {
    await act(button.dataset.do, message, button);
  } catch (error) {
    item.querySelector("[data-state]").textContent = `${say.failed} ${error.detail ?? ""}`;
  }
});

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = field.value;
  if (!text.trim()) return;
  const { kind, message } = draftFor ?? {};
  field.value = "";
  localStorage.removeItem(DRAFT);
  if (draftFor) prepare(null);
  if (kind === "edit") {
    try {
      await circles.ask({ type: "edit", room: say.room, key: crypto.randomUUID(), seq: message.seq, text });
    } catch {
      field.value = text; // kept, to be tried again
      prepare("edit", { ...message, body: { ...message.body, text } });
    }
    return;
  }
  const sent = await circles.say(say.room, text, { language: form.elements.language.value, reply_to: kind === "reply" ? message.seq : undefined });
  shown(() => pending(sent));
  grow();
  toEnd();
});
field?.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    form.requestSubmit();
  } else if (event.key === "Escape" && draftFor) prepare(null);
});
field?.addEventListener("input", () => {
  grow();
  if (draftFor?.kind !== "edit") localStorage.setItem(DRAFT, field.value);
  circles.typing(say.room);
});
box.querySelector("[data-draft-cancel]")?.addEventListener("click", () => {
  if (draftFor?.kind === "edit") field.value = "";
  prepare(null);
});

// -- begin: with what the server has drawn

const first = JSON.parse(document.getElementById("chat-frames").textContent);
log.replaceChildren();
first.forEach(take);
for (const message of messages.values()) if (message.body?.reply_to) draw(message);
if (field && !field.value) field.value = localStorage.getItem(DRAFT) ?? "";
circles.watch(say.room, [Number(say.epoch), Number(say.head)]);
layout();
(log.querySelector(".chat-new") ?? log.lastElementChild)?.scrollIntoView({ block: "start" });
if (!log.querySelector(".chat-new")) toEnd();
jump.remove();
seen();
older();
circles.queued(say.room).then((waiting) => waiting.length && shown(() => waiting.forEach(pending)));
