// Without a WebSocket: some networks let none through. Then the same cursors and keys go over plain requests, every
// few seconds, until a socket opens after all.

const API = "/api/v1/rooms/";

// An answer's JSON. Throws {code, detail, retry_after?} for a "no", anything else when nothing came.
async function call(path, body) {
  const token = document.querySelector("[name=csrfmiddlewaretoken]")?.value ?? "";
  const options = body
    ? { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json", "X-CSRFToken": token } }
    : {};
  const answer = await fetch(API + path, { ...options, headers: { Accept: "application/json", ...options.headers } });
  const said = await answer.json();
  if (answer.ok) return said;
  const again = answer.status === 429 || answer.status >= 500;
  throw { code: said.code ?? String(answer.status), detail: said.detail ?? "", ...(again && { retry_after: Number(answer.headers.get("Retry-After")) || 3 }) };
}

// Where all my rooms stand, as a `welcome` frame has it.
export async function standing() {
  const rooms = {};
  let page = { next: `${API}?limit=100` };
  while (page.next) {
    const { pathname, search } = new URL(page.next, location.href);
    page = await call(pathname.slice(API.length) + search);
    for (const room of page.results) rooms[room.id] = room;
  }
  return rooms;
}

// What came after a seq, as a `sync` frame has it.
export async function entries(room, epoch, after) {
  const page = await call(`${room}/entries/?after=${after}`);
  return { type: "sync", room, epoch, after, entries: page.results, more: page.more };
}

// The verbs there are over plain requests: send and history. Answers as the socket's.
export async function ask({ type, room, ...frame }) {
  if (type === "history") {
    const asked = new URLSearchParams(Object.entries(frame).filter(([, value]) => value !== undefined));
    const page = await call(`${room}/history/?${asked}`);
    return { type, room, messages: page.results, [frame.after === undefined ? "start" : "end"]: !page.more };
  }
  if (type !== "send") throw new Error("not without a socket");
  const entry = await call(`${room}/entries/`, frame);
  return { type: "ok", room, seq: entry.seq, n: entry.n };
}
