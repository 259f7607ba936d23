// The door's scanner. Reads tickets with the camera, keeps every scan in IndexedDB first, sends it when it can,
// and decides alone while there is no network: the signature is checked here, cards open only with the guest's QR.
//
// The browser's own BarcodeDetector where there is one; else the vendored reader, copied at set-up from
//   barcode-detector/dist/iife/ponyfill.js                                 → vendor/barcode-detector.js
//   barcode-detector/node_modules/zxing-wasm/dist/reader/zxing_reader.wasm → vendor/zxing_reader.wasm
// (a zxing-wasm at the top of node_modules may be another build and does not fit).
//
// On <body>: data-camera (on|off|none), data-engine (native|wasm|none), data-told (the last status), data-waiting.

const root = document.querySelector("[data-scanner]");
const $ = (name) => root.querySelector(`[data-${name}]`);
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const here = read("door-settings");
const words = read("door-words");
const body = document.body.dataset;

const ANSWER_MS = { yes: 1200, again: 2600, no: 2600 };
const SEND_MS = 2500; // nobody at a door waits longer: then this phone decides
const SAME_CODE_MS = 3500;
const TICK_MS = 5000;
const QUIET_TICKS = 6; // with a live socket and nothing waiting, look only so often
const CHUNK = 100;
const LOOK_MS = 90;
const UNDO_MS = 115_000;

const plural = new Intl.PluralRules(document.documentElement.lang || "en");
const number = (texts, n) => (texts[plural.select(n)] ?? texts.other).replace("{n}", n);
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
const clockOf = (moment) =>
  new Intl.DateTimeFormat(document.documentElement.lang || "en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: door.about?.timezone }).format(new Date(moment));

// -- what is kept: the queue of scans, and what the server told of this door

const database = new Promise((resolve, reject) => {
  const opening = indexedDB.open("door", 1);
  opening.onupgradeneeded = () => {
    opening.result.createObjectStore("queue", { keyPath: "n", autoIncrement: true });
    opening.result.createObjectStore("kept");
  };
  opening.onsuccess = () => resolve(opening.result);
  opening.onerror = () => reject(opening.error);
});

async function stored(name, mode, work) {
  const transaction = (await database).transaction(name, mode);
  const result = work(transaction.objectStore(name));
  await new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onabort = transaction.onerror = () => reject(transaction.error);
  });
  return result?.result;
}

const kept = (key) => stored("kept", "readonly", (store) => store.get(key));
const keep = (key, value) => stored("kept", "readwrite", (store) => store.put(value, key));
const enqueue = (...scans) =>
  stored("queue", "readwrite", (store) => {
    for (const scan of scans) store.add({ door: door.event, scan });
  });
const forget = (ids) =>
  stored("queue", "readwrite", (store) => {
    store.openCursor().onsuccess = ({ target: { result: cursor } }) => {
      if (!cursor) return;
      if (cursor.value.door === door.event && ids.has(cursor.value.scan.id)) cursor.delete();
      cursor.continue();
    };
  });
const queued = async () => (await stored("queue", "readonly", (store) => store.getAll())).filter((one) => one.door === door.event).map((one) => one.scan);

let door = { event: here.event ?? "", token: "", cursor: 0, scans: {}, cards: {}, keys: {}, min_serials: {}, counts: null, about: null, offset: null, rtt: 0, cards_since: "" };

const save = () => keep(door.event, door);

// -- the server

async function call(path, { body: content, headers = {}, timeout = 8000, method = content ? "POST" : "GET" } = {}) {
  const credentials = door.token ? { Authorization: `Bearer ${door.token}` } : { "X-CSRFToken": here.csrf ?? "" };
  const answer = await fetch(path, {
    method,
    headers: { ...credentials, ...(content && { "Content-Type": "application/json" }), Accept: "application/json", ...headers },
    body: content && JSON.stringify(content),
    signal: AbortSignal.timeout(timeout),
    credentials: door.token ? "omit" : "same-origin",
    cache: "no-store",
  });
  if ([401, 403, 404].includes(answer.status)) throw Object.assign(new Error(answer.status), { gone: true });
  if (answer.status === 304) return null;
  if (!answer.ok) throw new Error(answer.status);
  return Object.assign(await answer.json(), { tag: answer.headers.get("ETag") });
}

let syncing = null;
let again = false;

// One at a time; asked for meanwhile, once more afterwards.
function sync() {
  if (syncing) again = true;
  syncing ??= follow()
    .then(() => reachable(true))
    .catch(unreachable)
    .finally(() => {
      syncing = null;
      if (again) {
        again = false;
        sync();
      }
    });
  return syncing;
}

async function follow() {
  const path = here.door ?? here.door_of.replace("{event}", door.event);
  for (let more = true; more; ) {
    const query = new URLSearchParams({ since: door.cursor, ...(door.cards_since && { cards_since: door.cards_since }) });
    const from = Date.now();
    const told = await call(`${path}?${query}`, { headers: door.tag ? { "If-None-Match": door.tag } : {} });
    if (!told) return;
    if (told.cursor < door.cursor) {
      Object.assign(door, { cursor: 0, scans: {} }); // the server was restored to an earlier day
      continue;
    }
    const to = Date.now();
    door.rtt = to - from;
    door.offset = Math.round(new Date(told.server_time).getTime() - (from + to) / 2);
    for (const scan of told.scans) door.scans[scan.id] = scan;
    for (const card of told.cards) door.cards[card.lookup] = card;
    const keys = Object.fromEntries(told.keys.map(({ id, key }) => [id, key]));
    const { cursor, min_serials, counts, event: about, tag } = told;
    Object.assign(door, { cursor, min_serials, counts, about, keys, tag });
    door.cards_since = new Date(new Date(told.server_time).getTime() - 60_000).toISOString();
    more = told.more;
  }
  await save();
  show();
}

function reachable(yes) {
  if (offline === yes) {
    offline = !yes;
    showQueue();
  }
}

function unreachable(wrong) {
  if (wrong.gone) say(words.gone);
  else reachable(false);
}

let offline = !navigator.onLine;
let sending = null;

// The queue, oldest first. A scan leaves it only when the server has answered it.
function flush() {
  sending ??= (async () => {
    for (let scans = await queued(); scans.length; scans = await queued()) {
      const results = await send(scans.slice(0, CHUNK), 15_000);
      for (const result of results.filter((one) => one.status === "recorded_conflict")) twice(result);
    }
    reachable(true);
    await sync();
  })()
    .catch(unreachable)
    .finally(() => {
      sending = null;
      showQueue();
    });
  return sending;
}

async function send(scans, timeout) {
  const content = { clock: { offset_ms: door.offset, rtt_ms: door.rtt }, scans };
  if (!door.token) Object.assign(content, { event: door.event, gate: here.gate });
  const { results } = await call(here.check_ins, { body: content, timeout });
  await forget(new Set(scans.map((scan) => scan.id)));
  return results;
}

// -- the ticket

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

function bytesOf(code) {
  const out = new Uint8Array((code.length * 5) >> 3);
  let bits = 0;
  let held = 0;
  let at = 0;
  for (const letter of code) {
    held = (held << 5) | ALPHABET.indexOf(letter);
    bits += 5;
    if (bits >= 8) out[at++] = (held >> (bits -= 8)) & 255;
    held &= (1 << bits) - 1;
  }
  return out;
}

function textOf(bytes) {
  let out = "";
  let bits = 0;
  let held = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    for (bits += 8; bits >= 5; ) out += ALPHABET[(held >> (bits -= 5)) & 31];
    held &= (1 << bits) - 1;
  }
  return bits ? out + ALPHABET[(held << (5 - bits)) & 31] : out;
}

const nameOf = (bytes) => textOf(bytes).toLowerCase();
const unbase64 = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
const joined = (...parts) => Uint8Array.from(parts.flatMap((part) => [...part]));

// What a code says, and what its signature opens; null for anything that is no code of ours.
async function ticketOf(text) {
  const code = text.trim().replace(/^.*#/s, "").toUpperCase();
  if (!/^[A-Z2-7]{144}$/.test(code)) return null;
  const bytes = bytesOf(code);
  const view = new DataView(bytes.buffer);
  if (view.getUint8(0) !== 1) return null;
  const signed = bytes.slice(0, 26);
  const signature = bytes.slice(26);
  const secret = await crypto.subtle.importKey("raw", signature, "HKDF", false, ["deriveBits"]);
  const info = joined(new TextEncoder().encode("ec card v1 "), bytes.slice(2, 10));
  const okm = new Uint8Array(await crypto.subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info }, secret, 384));
  return {
    key: view.getUint8(1),
    event: nameOf(bytes.slice(2, 10)),
    registration: nameOf(bytes.slice(10, 18)),
    serial: view.getUint16(18),
    slots: slotsIn(view.getUint16(20)),
    notAfter: view.getUint32(22) * 1000,
    signed,
    signature,
    text: textOf(signed),
    lookup: okm.slice(0, 16),
    cardKey: okm.slice(16),
  };
}

const slotsIn = (bitmap) => [...Array(16).keys()].filter((slot) => (bitmap >> slot) & 1);

// true, false, or null when this browser or this door cannot tell.
async function isGenuine(ticket) {
  try {
    const raw = door.keys[ticket.key];
    if (!raw) return Object.keys(door.keys).length ? false : null;
    const key = await crypto.subtle.importKey("raw", unbase64(raw), { name: "Ed25519" }, false, ["verify"]);
    return await crypto.subtle.verify("Ed25519", key, ticket.signature, ticket.signed);
  } catch {
    return null;
  }
}

// The party on the card that only this ticket opens: {slot: name}. It stays in memory until the next scan.
async function cardOf(ticket) {
  const card = door.cards[btoa(String.fromCharCode(...ticket.lookup)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "")];
  if (!card) return {};
  try {
    const key = await crypto.subtle.importKey("raw", ticket.cardKey, "AES-GCM", false, ["decrypt"]);
    const opening = { name: "AES-GCM", iv: unbase64(card.nonce), additionalData: joined(ticket.lookup, ticket.signed.slice(0, 18)) };
    const plain = await crypto.subtle.decrypt(opening, key, unbase64(card.sealed));
    return Object.fromEntries(JSON.parse(new TextDecoder().decode(plain)).people);
  } catch {
    return {};
  }
}

// -- what this phone knows is true: the scans of the log and its own that wait, by the same rules as the server

async function insideNow(registration) {
  const waiting = (await queued()).filter((scan) => scan.decision !== "refused").map((scan) => ({
    ...scan,
    at: scan.scanned_at,
    gate: here.gate ?? door.name,
    registration: scan.registration,
  }));
  const undone = new Set(waiting.filter((scan) => scan.kind === "undo").map((scan) => scan.undoes));
  const all = [...Object.values(door.scans), ...waiting].filter(
    (scan) => scan.registration === registration && scan.kind !== "undo" && !scan.refused && !scan.undone && !undone.has(scan.id),
  );
  const inside = new Map();
  for (const scan of all.sort((a, b) => new Date(a.at) - new Date(b.at) || (a.id < b.id ? -1 : 1))) {
    for (const slot of scan.slots ?? []) {
      if (scan.kind === "out") inside.delete(slot);
      else if (!inside.has(slot)) inside.set(slot, scan);
    }
  }
  return inside;
}

// Without a network: the answer the server would give, as far as this phone can know it; null when it cannot.
async function decide(ticket, kind, wanted) {
  const genuine = await isGenuine(ticket);
  if (genuine === null || !door.about) return null;
  const now = Date.now() + (door.offset ?? 0);
  const no = (reason) => ({ status: "refused", reason, slots: [] });
  if (!genuine) return no("forged");
  if (ticket.event !== door.event) return no("wrong_event");
  if (ticket.serial < (door.min_serials[ticket.registration] ?? 1)) return no("revoked");
  if (kind === "in" && now < new Date(door.about.doors_at)) return no("not_yet");
  if (kind === "in" && (now > new Date(door.about.closes_at) || now > ticket.notAfter)) return no("too_late");
  const inside = await insideNow(ticket.registration);
  const names = await cardOf(ticket);
  const slots = (wanted ?? ticket.slots).map((slot) => {
    const name = names[slot] ?? "";
    const by = inside.get(slot);
    if (kind === "out") return { slot, name, status: by ? "left" : "not_inside" };
    return by ? { slot, name, status: "already_admitted", winner: { gate: by.gate, at: by.at } } : { slot, name, status: "admitted" };
  });
  const found = new Set(slots.map((slot) => slot.status));
  const status = found.size === 1 ? [...found][0] : kind === "out" ? "left" : "partly";
  return { status, slots, alone: true };
}

// -- one scan, from the code to the answer

let last = { text: "", at: 0 };
let latest = null; // the last admission: what undo and "not all are here" are about
let busy = false;

async function onCode(text) {
  const now = Date.now();
  if (text === last.text && now - last.at < SAME_CODE_MS) last.at = now; // still held before the camera
  if (busy || (text === last.text && last.at === now)) return;
  busy = true;
  try {
    await check(text);
  } finally {
    last = { text, at: Date.now() };
    busy = false;
  }
}

async function check(text) {
  const ticket = await ticketOf(text);
  if (!ticket) return answer({ status: "refused", reason: "unknown", slots: [] }, words.no_ticket);
  const kind = $("out").checked ? "out" : "in";
  await scanned(ticket, { kind });
}

const stamp = () => new Date().toISOString();
const undoing = (ticket, id) => ({ id: crypto.randomUUID(), kind: "undo", undoes: id, ticket: ticket.text, proof: textOf(ticket.lookup), scanned_at: stamp() });

async function scanned(ticket, { kind, slots }) {
  const proof = textOf(ticket.lookup);
  const scan = { id: crypto.randomUUID(), ticket: ticket.text, proof, kind, scanned_at: stamp(), ...(slots && { slots }) };
  await enqueue(scan);
  showQueue();
  let result = null;
  const tried = navigator.onLine;
  if (tried) {
    try {
      [result] = (await send([scan], SEND_MS)).slice(-1);
      reachable(true);
    } catch (wrong) {
      unreachable(wrong);
      if (wrong.gone) {
        await forget(new Set([scan.id]));
        return answer({ status: "refused", reason: "", slots: [] }, words.gone);
      }
    }
  }
  result ??= await alone(ticket, scan, tried);
  showQueue();
  if (!result) return answer({ status: "kept", slots: [] }, words.kept_why);
  remember(ticket, kind, result);
  answer(result, result.alone ? words.alone : "");
  if (!result.alone) sync();
}

// The first scan may have arrived although no answer came back: it is undone, and what really happened is told anew.
async function alone(ticket, first, tried) {
  const result = await decide(ticket, first.kind, first.slots);
  if (!result) return null;
  const admits = result.slots.filter((slot) => ["admitted", "left"].includes(slot.status)).map((slot) => slot.slot);
  const again = { ...first, id: crypto.randomUUID(), registration: ticket.registration };
  if (admits.length) Object.assign(again, { decision: "admitted", slots: admits });
  else Object.assign(again, { decision: "refused", reason: result.reason ?? "" });
  await enqueue(...(tried ? [undoing(ticket, first.id)] : []), again);
  await forget(new Set([first.id]));
  return { ...result, id: again.id };
}

function remember(ticket, kind, result) {
  const done = result.slots.filter((slot) => slot.status === "admitted");
  latest = kind === "in" && done.length ? { id: result.id, ticket, slots: done, at: Date.now() } : null;
  $("undo").hidden = !latest;
  $("some").hidden = !latest || done.length < 2;
}

async function undo() {
  if (!latest) return;
  const { id, ticket } = latest;
  latest = null;
  $("undo").hidden = $("some").hidden = true;
  await enqueue(undoing(ticket, id));
  showQueue();
  await flush();
  answer({ status: "undone", slots: [] });
}

// "Not all are here": the whole admission is taken back, and those who are here are let in.
async function onlySome() {
  const { id, ticket, slots } = latest;
  const list = $("people");
  list.replaceChildren(
    ...slots.map(({ slot, name }) => {
      const label = document.createElement("label");
      const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: true, value: slot });
      label.className = "check";
      label.append(box, Object.assign(document.createElement("span"), { textContent: name || `${words.guest} ${slot + 1}` }));
      return label;
    }),
  );
  const dialog = $("who");
  dialog.showModal();
  dialog.addEventListener(
    "close",
    async () => {
      last.at = Date.now(); // the code may still be in view: that is no new scan
      const here = [...list.querySelectorAll("input:checked")].map((box) => Number(box.value));
      if (dialog.returnValue !== "save" || here.length === slots.length) return;
      await enqueue(undoing(ticket, id));
      await flush();
      if (here.length) await scanned(ticket, { kind: "in", slots: here });
    },
    { once: true },
  );
}

// -- the answer: shape, colour, words, sound, a buzz

const SHAPE = { admitted: "yes", left: "yes", undone: "yes", partly: "again", already_admitted: "again", recorded_conflict: "again", not_inside: "again", kept: "again", refused: "no" };
const TUNE = { yes: [[880, 0.12]], again: [[520, 0.1], [520, 0.16]], no: [[180, 0.4]] };
const BUZZ = { yes: 60, again: [60, 60, 60], no: 350 };
let sound = null;
let hiding = 0;

function answer(result, note = "") {
  const shape = SHAPE[result.status] ?? "no";
  const screen = $("answer");
  const done = result.slots.filter((slot) => ["admitted", "left"].includes(slot.status));
  const who = (done.length ? done : result.slots).map((slot) => slot.name).filter(Boolean).join(", ");
  $("answer-title").textContent = titleOf(result, done.length);
  $("answer-who").textContent = who;
  $("answer-why").textContent = [whyOf(result), note].filter(Boolean).join(" ");
  for (const mark of screen.querySelectorAll("[data-shape]")) mark.hidden = mark.dataset.shape !== shape;
  screen.dataset.answer = shape;
  screen.hidden = false;
  body.told = result.status;
  $("last").textContent = [$("answer-title").textContent, who].filter(Boolean).join(": ");
  clearTimeout(hiding);
  hiding = setTimeout(() => (screen.hidden = true), ANSWER_MS[shape]);
  play(TUNE[shape]);
  if (navigator.userActivation?.hasBeenActive) navigator.vibrate?.(BUZZ[shape]); // browsers refuse it before a first tap
}

function titleOf({ status }, n) {
  if (status === "admitted") return number(words.admitted_n, n);
  if (status === "left") return number(words.left_n, n);
  if (status === "partly") return number(words.partly_n, n);
  return { already_admitted: words.already, recorded_conflict: words.twice, undone: words.undone, not_inside: words.not_inside, kept: words.kept }[status] ?? words.refused;
}

function whyOf({ status, reason, slots }) {
  const winner = slots.find((slot) => slot.winner)?.winner;
  if (winner) return fill(words.already_since, { time: clockOf(winner.at), gate: winner.gate });
  return status === "refused" && reason ? (words.reasons[reason] ?? words.reasons[""]) : "";
}

function play(notes) {
  if (!sound || sound.state !== "running") return;
  let at = sound.currentTime;
  for (const [pitch, length] of notes) {
    const tone = sound.createOscillator();
    const volume = sound.createGain();
    tone.frequency.value = pitch;
    volume.gain.setValueAtTime(0.25, at);
    volume.gain.exponentialRampToValueAtTime(0.001, at + length);
    tone.connect(volume).connect(sound.destination);
    tone.start(at);
    tone.stop(at + length);
    at += length + 0.05;
  }
}

// -- the desk: counter, queue, notes

function show() {
  $("inside").textContent = door.counts?.inside ?? "–";
  $("expected").textContent = door.counts ? fill(words.expected, door.counts) : "";
  if (!here.event && door.about) {
    $("title").textContent = door.about.title;
  }
  showQueue();
}

async function showQueue() {
  const n = (await queued()).length;
  const pill = $("queue");
  body.waiting = n;
  pill.hidden = !n && !offline;
  pill.classList.toggle("door__queue--waiting", n > 0 || offline);
  pill.textContent = [offline ? words.offline : "", n ? number(words.waiting_n, n) : ""].filter(Boolean).join(" · ");
}

function say(text) {
  $("note-text").textContent = text;
  $("note").hidden = !text;
}

function twice(result) {
  const item = document.createElement("li");
  const names = result.slots.map((slot) => slot.name).filter(Boolean).join(", ");
  item.textContent = [words.twice, names, whyOf(result)].filter(Boolean).join(" · ");
  $("twice").append(item);
  $("twice").hidden = false;
}

// -- the camera

async function reader() {
  if ("BarcodeDetector" in window) {
    const formats = await window.BarcodeDetector.getSupportedFormats().catch(() => []);
    if (formats.includes("qr_code")) {
      body.engine = "native";
      return new window.BarcodeDetector({ formats: ["qr_code"] });
    }
  }
  try {
    await new Promise((resolve, reject) => {
      const script = Object.assign(document.createElement("script"), { src: root.dataset.reader, onload: resolve, onerror: reject });
      document.head.append(script);
    });
    const { BarcodeDetector, prepareZXingModule } = window.BarcodeDetectionAPI;
    prepareZXingModule({ overrides: { locateFile: (path, prefix) => (path.endsWith(".wasm") ? root.dataset.wasm : prefix + path) }, fireImmediately: true });
    body.engine = "wasm";
    return new BarcodeDetector({ formats: ["qr_code"] });
  } catch {
    body.engine = "none";
    return null;
  }
}

let looking = false;

async function camera() {
  const detector = await reader();
  if (!detector) return say(words.no_reader);
  const video = root.querySelector("video");
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: { facingMode: "environment", width: { ideal: 1280 } } });
    video.srcObject = stream;
    await video.play();
    torch(stream.getVideoTracks()[0]);
  } catch (wrong) {
    body.camera = wrong.name === "NotAllowedError" ? "off" : "none";
    return say(body.camera === "off" ? words.camera_off : words.camera_none);
  }
  body.camera = "on";
  $("camera").hidden = false;
  say("");
  if (!looking) look(video, detector);
}

async function look(video, detector) {
  looking = true;
  while (looking) {
    try {
      if (!document.hidden && video.readyState >= 2 && $("answer").hidden && !$("who").open) {
        const [found] = await detector.detect(video);
        if (found) await onCode(found.rawValue);
      }
    } catch {
      // a frame that could not be read: the next one comes at once
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

function torch(track) {
  if (!track?.getCapabilities?.().torch) return;
  const button = $("torch");
  button.hidden = false;
  button.onclick = async () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    await track.applyConstraints({ advanced: [{ torch: on }] });
    button.setAttribute("aria-pressed", on);
  };
}

async function awake() {
  if (!document.hidden) await navigator.wakeLock?.request("screen").catch(() => {});
}

// -- a phone without an account becomes a gate

async function pair() {
  const pairing = location.hash.slice(1);
  if (pairing) {
    say(words.pairing);
    history.replaceState(null, "", location.pathname); // it works once: a reload must not try it again
    let told;
    try {
      told = await call(here.gates, { body: { pairing } });
    } catch (wrong) {
      say(/^\d/.test(wrong.message) ? words.pairing_old : words.pairing_network);
      return false;
    }
    await keep("gate", told);
    await Promise.race([navigator.serviceWorker?.ready, new Promise((resolve) => setTimeout(resolve, 3000))]);
    location.reload(); // now through the service worker, which keeps the page for when there is no network
    return false;
  }
  const gate = await kept("gate");
  if (!gate) {
    say(words.pairing_none);
    return false;
  }
  Object.assign(door, (await kept(gate.event)) ?? {}, { event: gate.event, token: gate.token, name: gate.name });
  return true;
}

async function start() {
  if (here.event) Object.assign(door, (await kept(here.event)) ?? {}, { token: "" });
  else if (!(await pair())) return;
  $("desk").hidden = false;
  show();
  await Promise.all([camera(), flush()]);
}

root.addEventListener("click", () => {
  sound ??= new AudioContext();
  sound.resume();
  if (body.camera === "off") camera();
});
$("answer").addEventListener("click", () => ($("answer").hidden = true));
$("queue").addEventListener("click", flush);
$("undo").addEventListener("click", undo);
$("some").addEventListener("click", onlySome);
$("typed").addEventListener("submit", (event) => {
  event.preventDefault();
  last = { text: "", at: 0 };
  onCode(event.target.elements.code.value).then(() => event.target.reset());
});
$("live")?.addEventListener("live", sync);
addEventListener("online", flush);
addEventListener("offline", () => reachable(false));
document.addEventListener("visibilitychange", () => {
  awake();
  if (!document.hidden && door.event) flush();
});
let ticks = 0;
setInterval(() => {
  if (!door.event) return;
  ticks += 1;
  if (latest && Date.now() - latest.at > UNDO_MS) $("undo").hidden = $("some").hidden = true;
  const isQuiet = $("live") && body.waiting === "0" && !offline;
  if (!document.hidden && (!isQuiet || ticks % QUIET_TICKS === 0)) flush();
}, TICK_MS);

awake();
start();
