// One WebSocket a tab carries everything live; where none opens, plain requests do. Loaded on every signed-in page.
//
// window.circles:
//   me                          my id
//   on(type, (frame) => …)      every frame of a type: entry, sync, history, ok, read, typing, head, gone, welcome …
//   watch(room, [epoch, seq])   hear a room from there on, without a gap or a double, over every reconnect
//   say(room, text, more)       queue a message: kept in IndexedDB until the server has it, sent again by its key
//   retry(key) drop(key) queued(room)
//   ask(frame)                  send edit, delete, react, history: a promise of its answer
//   on("outbox", …)             another tab queued a message ({kept}) or it is no longer waiting ({gone: key})
//   read(room, seq, n) typing(room)
// In the page: body[data-me], data-unread-room="<id>", data-mentions-room="<id>" and data-unread (badges that hide at
// 0, their number in [data-unread-number]; a muted room counts in data-unread only where somebody names me),
// data-live-topic="<topic>" (gets a DOM event `live`, detail.data; after a reconnect too, then without data),
// data-connection with data-offline, data-reconnecting, data-slowly, data-signed-out (the texts it shows).

import * as http from "./live-http.js";
import { alone, find, forget, keep, onChange, queued } from "./live-outbox.js";

const SUBPROTOCOL = "circles.v1";
const FINAL = new Set([4001, 4009, 4400, 4403, 4406]);
const ACK_EVERY = 32;
const ACK_MS = 5000;
const READ_MS = 3000;
const POLL_MS = 4000;
const POLL_AFTER = 3; // sockets that did not open, one after the other
const MAX_WAIT_MS = 8_000; // a person looks at the screen meanwhile; full jitter spreads the others

const listeners = new Map();
const rooms = new Map(); // id → {epoch, seq, head, n, read: [seq, n], mentions, muted, wanted, unacked}
const asked = new Map(); // ref → {resolve, reject}
const client = crypto.randomUUID();
let socket = null;
let welcomed = false;
let tries = 0;
let stopped = 0;
let refs = 0;
let lastHeard = 0;
let sending = null;
let isMore = false;
let polling = 0; // the timer of the next turn by plain requests, -1 within one
let isSoon = false; // the next turn is not to be waited for
let isSlow = false; // no socket opens, but plain requests come through

const on = (type, hear) => listeners.set(type, [...(listeners.get(type) ?? []), hear]);
const emit = (frame) => (listeners.get(frame.type) ?? []).forEach((hear) => hear(frame));
const room = (id) => {
  if (!rooms.has(id)) rooms.set(id, { epoch: 0, seq: 0, head: 0, n: 0, read: [0, 0], mentions: 0, muted: false, wanted: false, unacked: 0 });
  return rooms.get(id);
};

// -- the outbox

async function say(id, text, more = {}) {
  const message = { key: crypto.randomUUID(), room: id, text, ...more, at: Date.now(), me: circles.me, failed: "" };
  await keep(message);
  flush();
  return message;
}

async function retry(key) {
  const message = find(key);
  if (message) await keep({ ...message, failed: "" });
  flush();
}

// One at a time, oldest first: what was written first is said first.
function flush() {
  if (!welcomed && !isSlow) return;
  if (sending) isMore = true; // it may have looked for the last time already
  else sending = alone(flushAll).finally(flushed);
}

function flushed() {
  sending = null;
  if (isMore) flush();
}

async function flushAll() {
  isMore = false;
  while (welcomed || isSlow) {
    const message = (await queued()).find((one) => !one.failed);
    if (!message) return;
    if (message.me && message.me !== circles.me) {
      await forget(message.key); // somebody else used this browser
      continue;
    }
    const { key, room: id, text, reply_to, language, mentions } = message;
    try {
      const ok = await ask({ type: "send", room: id, key, text, reply_to, language, mentions });
      await forget(key);
      const here = room(id);
      if (here.read[1] === ok.n - 1) here.read = [ok.seq, ok.n];
      badges();
      emit({ type: "sent", key, ok });
      if (isSlow) pollSoon(); // over a socket its entry comes by itself
    } catch (error) {
      if (!error.code) return; // the line broke: again after the next welcome
      if (error.retry_after) {
        await new Promise((resolve) => setTimeout(resolve, error.retry_after * 1000));
        continue;
      }
      await keep({ ...message, failed: error.detail });
      emit({ type: "failed", key, detail: error.detail });
    }
  }
}

// -- the line

function put(frame) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
}

function ask(frame) {
  if (!welcomed) return isSlow ? http.ask(frame) : Promise.reject(new Error("no line"));
  const ref = ++refs;
  put({ ...frame, ref });
  return new Promise((resolve, reject) => asked.set(ref, { resolve, reject }));
}

function connect() {
  if (socket || stopped || !navigator.onLine) return show();
  const line = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/`, SUBPROTOCOL);
  socket = line;
  const tooLong = setTimeout(() => line.close(), 10_000);
  line.onopen = () => {
    const wanted = [...rooms].filter(([, one]) => one.wanted);
    const cursors = Object.fromEntries(wanted.filter(([, one]) => one.epoch).map(([id, one]) => [id, [one.epoch, one.seq]]));
    for (const [, one] of rooms) one.told = one.wanted;
    put({ type: "hello", v: 1, client, watch: wanted.map(([id]) => id), cursors });
  };
  line.onmessage = (event) => {
    lastHeard = Date.now();
    clearTimeout(tooLong);
    hear(JSON.parse(event.data));
  };
  line.onclose = (event) => {
    clearTimeout(tooLong);
    if (socket === line) broken(event.code);
  };
}

function broken(code) {
  socket = null;
  welcomed = false;
  const wait = comeBackIn ?? Math.random() * Math.min(MAX_WAIT_MS, 500 * 2 ** tries++); // full jitter
  comeBackIn = null;
  for (const { reject } of asked.values()) reject(new Error("no line"));
  asked.clear();
  if (FINAL.has(code)) stopped = code;
  if (code === 4001) signedOut();
  else setTimeout(connect, wait);
  if (tries >= POLL_AFTER) polling ||= setTimeout(poll);
  show();
}

let comeBackIn = null; // ms, when the server said goodbye and when to come again

// As long as no socket opens: the same by plain requests. What does not come through is asked for at the next turn.
async function poll() {
  if (welcomed || stopped) {
    polling = 0;
    isSlow = false;
    return;
  }
  polling = -1;
  isSoon = false;
  try {
    const found = await http.standing();
    isSlow = !welcomed;
    const wanted = [...rooms].filter(([id, one]) => one.wanted && found[id]);
    for (const [id, state] of Object.entries(found)) stand(id, state);
    for (const [id, one] of wanted) {
      if (one.epoch && one.epoch !== found[id].epoch) hearing.reset({ type: "reset", room: id, ...found[id] });
      while (!welcomed && one.seq < one.head) {
        const page = await http.entries(id, found[id].epoch, one.seq);
        if (!welcomed) hearing.sync({ ...page, more: false });
        if (!page.entries.length) break;
      }
    }
    badges();
    flush();
  } catch {
    isSlow = false;
  }
  show();
  polling = setTimeout(poll, isSoon ? 0 : POLL_MS * (0.5 + Math.random()));
}

function pollSoon() {
  isSoon = true;
  if (polling <= 0) return; // the turn that runs ends with the next one
  clearTimeout(polling);
  polling = setTimeout(poll);
}

function stand(id, { head, n, read, mentions, muted }) {
  Object.assign(room(id), { head, n, read, mentions: mentions ?? 0, muted: Boolean(muted) });
}

// The session has ended elsewhere: what stands on this page is no longer theirs to see. Once in half a minute at
// most, so that a disagreement between page and socket is no endless loop.
function signedOut() {
  if (Date.now() - Number(sessionStorage.getItem("signed-out") ?? 0) < 30_000) return;
  sessionStorage.setItem("signed-out", Date.now());
  location.reload();
}

// A laptop that slept believes in a dead line: ask, and hang up when nothing comes.
function probe() {
  if (stopped === 4009) stopped = 0;
  if (!socket) return connect();
  if (!welcomed || Date.now() - lastHeard < 10_000) return;
  const asked_at = Date.now();
  follow();
  setTimeout(() => {
    if (socket && lastHeard < asked_at) {
      const dead = socket;
      broken(1006);
      dead.close();
    }
  }, 5000);
}

// -- what comes in

function hear(frame) {
  if (frame.ref !== undefined && asked.has(frame.ref)) {
    const { resolve, reject } = asked.get(frame.ref);
    asked.delete(frame.ref);
    if (frame.type === "error") reject(frame);
    else resolve(frame);
  }
  (hearing[frame.type] ?? emit)(frame);
}

const hearing = {
  welcome(frame) {
    welcomed = true;
    tries = 0;
    isSlow = false;
    circles.me = frame.me;
    for (const [id, state] of Object.entries(frame.rooms)) stand(id, state);
    for (const [id, [seq, n]] of reads) {
      const here = room(id);
      // Only now is known how many messages there are up to the newest one.
      if (frame.rooms[id] && seq > here.read[0]) readUpTo(here, seq, seq >= here.head ? here.n : n);
    }
    const free = frame.limits.watch - [...rooms.values()].filter((one) => one.wanted).length;
    const others = Object.keys(frame.rooms).filter((id) => !room(id).wanted).slice(0, Math.max(0, free));
    const late = [...rooms].filter(([, one]) => one.wanted && !one.told); // asked for while the hello was on its way
    const add = [...others.map((id) => [id, null]), ...late.map(([id, one]) => [id, [one.epoch, one.seq]])];
    if (add.length) put({ type: "watch", add: Object.fromEntries(add) });
    emit(frame);
    badges();
    bell(frame.notifications);
    show();
    follow();
    tellReads();
    for (const one of document.querySelectorAll("[data-live-topic]")) one.dispatchEvent(new CustomEvent("live", { detail: {} }));
    flush();
  },
  entry(frame) {
    const here = room(frame.room);
    if (frame.seq <= here.seq) return;
    if (here.seq && frame.seq > here.seq + 1) return put({ type: "sync", room: frame.room, after: here.seq });
    took(here, frame.room, frame);
    badges();
  },
  sync(frame) {
    const here = room(frame.room);
    here.epoch = frame.epoch;
    if (frame.after > here.seq) return put({ type: "sync", room: frame.room, after: here.seq });
    for (const entry of frame.entries) if (entry.seq > here.seq) took(here, frame.room, entry);
    if (frame.more) put({ type: "sync", room: frame.room, after: here.seq });
    badges();
    emit(frame);
  },
  reset(frame) {
    const here = room(frame.room);
    if (frame.reason === "new" && here.wanted) return; // asked for before its page said from where: that is on its way
    const had = here.epoch;
    Object.assign(here, { epoch: frame.epoch, seq: frame.head, head: Math.max(here.head, frame.head) });
    emit(had ? frame : { ...frame, type: "begin" });
  },
  head(frame) {
    const here = room(frame.room);
    Object.assign(here, { head: frame.seq, n: frame.n });
    put({ type: "sync", room: frame.room, after: here.seq });
    badges();
  },
  read(frame) {
    const here = room(frame.room);
    if (frame.seq >= here.read[0]) here.read = [frame.seq, frame.n];
    if (here.read[0] >= here.head) here.mentions = 0;
    badges();
    emit(frame);
  },
  gone(frame) {
    rooms.delete(frame.room);
    badges();
    emit(frame);
  },
  error(frame) {
    // The server could not take in the whole line (its database is away): come again. Of one room it tells the head.
    if (frame.retry_after && frame.ref === undefined && !frame.room) socket?.close();
    emit(frame);
  },
  bye(frame) {
    comeBackIn = (frame.retry_after ?? 1) * 1000;
  },
  notification(frame) {
    bell(frame.unread);
    for (const list of document.querySelectorAll("[data-bell-list]")) list.dispatchEvent(new CustomEvent("live"));
    emit(frame);
  },
  live(frame) {
    for (const one of document.querySelectorAll(`[data-live-topic="${CSS.escape(frame.topic)}"]`)) {
      one.dispatchEvent(new CustomEvent("live", { detail: { data: frame.data } }));
    }
    emit(frame);
  },
};

function took(here, id, entry) {
  here.seq = entry.seq;
  here.head = Math.max(here.head, entry.seq);
  here.n = Math.max(here.n, entry.n);
  if (entry.author?.id === circles.me && here.read[1] === entry.n - 1) here.read = [entry.seq, entry.n];
  if (entry.kind === "message" && entry.seq > here.read[0] && entry.body?.mentions?.some(({ id: who }) => who === circles.me)) here.mentions++;
  if (++here.unacked >= ACK_EVERY) ack();
  emit({ ...entry, type: "entry", room: id });
}

function ack() {
  const behind = [...rooms].filter(([, one]) => one.unacked);
  if (!behind.length || !welcomed) return;
  put({ type: "ack", rooms: Object.fromEntries(behind.map(([id, one]) => [id, one.seq])) });
  for (const [, one] of behind) one.unacked = 0;
}

// -- what goes out now and then

// What was read and the server does not know yet: id → [seq, n]. A page that is left before its line stands keeps it
// for the next one.
const KEPT = `reads-${document.body?.dataset.me}`;
const reads = new Map(JSON.parse(sessionStorage.getItem(KEPT) ?? "[]"));
let readTimer = 0;
function read(id, seq, n) {
  const here = room(id);
  if (seq <= here.read[0]) return;
  readUpTo(here, seq, n ?? here.n);
  reads.set(id, here.read);
  badges();
  readTimer ||= setTimeout(tellReads, READ_MS);
}

function readUpTo(here, seq, n) {
  here.read = [seq, n];
  if (seq >= here.head) here.mentions = 0;
}

function tellReads() {
  clearTimeout(readTimer);
  readTimer = 0;
  if (!welcomed) return reads.size ? sessionStorage.setItem(KEPT, JSON.stringify([...reads])) : undefined;
  for (const [id, [seq]] of reads) put({ type: "read", room: id, seq });
  reads.clear();
  sessionStorage.removeItem(KEPT);
  return undefined;
}

let typed = 0;
function typing(id) {
  if (Date.now() - typed < 3000) return;
  typed = Date.now();
  put({ type: "typing", room: id });
}

function follow() {
  const topics = [...new Set([...document.querySelectorAll("[data-live-topic]")].map((one) => one.dataset.liveTopic))];
  if (welcomed) put({ type: "follow", ref: ++refs, topics: topics.slice(0, 16) });
}

function watch(id, cursor) {
  const here = room(id);
  Object.assign(here, { epoch: cursor[0], seq: cursor[1], wanted: true });
  if (welcomed) put({ type: "watch", add: { [id]: cursor } });
}

// -- what it shows

function badges() {
  let total = 0;
  for (const [id, here] of rooms) {
    const unread = Math.max(0, here.n - here.read[1]);
    total += here.muted ? Math.min(unread, here.mentions) : unread;
    for (const badge of document.querySelectorAll(`[data-mentions-room="${CSS.escape(id)}"]`)) count(badge, Math.min(unread, here.mentions));
    for (const badge of document.querySelectorAll(`[data-unread-room="${CSS.escape(id)}"]`)) count(badge, unread);
  }
  for (const badge of document.querySelectorAll("[data-unread], [data-unread-total]")) count(badge, total);
}

// data-bell: how many notifications are new; [data-one] beside the number says so in words, data-many of several.
function bell(unread) {
  for (const badge of document.querySelectorAll("[data-bell]")) {
    const words = badge.querySelector("[data-one]");
    const form = new Intl.PluralRules(document.documentElement.lang).select(unread) === "one" ? words.dataset.one : words.dataset.many;
    words.textContent = form.replace("%(n)s", unread);
    count(badge, unread);
  }
}

function count(badge, unread) {
  const number = badge.querySelector("[data-unread-number]") ?? badge;
  if (number.textContent !== String(unread)) number.textContent = unread;
  badge.hidden = !unread;
}

let showTimer = 0;
let lostAt = 0; // since when there is no line: each new try to connect must not begin the wait anew
function show() {
  clearTimeout(showTimer);
  const isFine = welcomed && navigator.onLine; // the browser knows before the line does
  lostAt = isFine ? 0 : lostAt || Date.now();
  const text = ({ dataset }) =>
    stopped === 4001 ? dataset.signedOut : !navigator.onLine ? dataset.offline : isSlow ? dataset.slowly : dataset.reconnecting;
  // A short cut needs no words.
  showTimer = setTimeout(
    () => {
      for (const box of document.querySelectorAll("[data-connection]")) {
        box.hidden = isFine;
        if (!isFine) (box.querySelector("[data-connection-text]") ?? box).textContent = text(box) ?? "";
      }
    },
    isFine || stopped ? 0 : Math.max(0, 2000 - (Date.now() - lostAt)),
  );
}

const circles = { me: document.body?.dataset.me ?? null, on, watch, say, retry, drop: forget, queued, ask, read, typing, room: (id) => rooms.get(id) };
window.circles = circles;
onChange((change) => emit({ type: "outbox", ...change }));

setInterval(ack, ACK_MS);
addEventListener("online", probe);
addEventListener("online", show);
addEventListener("offline", show);
addEventListener("pagehide", tellReads);
document.addEventListener("visibilitychange", () => (document.visibilityState === "visible" ? probe() : tellReads()));
document.addEventListener("htmx:afterSettle", follow);
document.addEventListener("DOMContentLoaded", connect); // when every module of the page has said what it watches and hears
