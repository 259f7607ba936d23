// The list of conversations beside a room and on its own page: last words, times and order follow what comes in.

const { circles } = window;
const list = document.querySelector(".chat-list");
const { again, you, removed, zone, language } = list?.dataset ?? {};
const clock = new Intl.DateTimeFormat(language === "en" ? "en-GB" : language, { timeZone: zone, hour: "2-digit", minute: "2-digit" });
const isShown = (badge) => badge && !badge.hidden;

// By what needs the reader, as the server sorts: their name, something new, nothing new, quiet ones.
function rank(row) {
  if (isShown(row.querySelector("[data-mentions-room]"))) return 0;
  if (row.matches(".chat-list__quiet")) return 3;
  return isShown(row.querySelector("[data-unread-room]")) ? 1 : 2;
}

const at = (row) => row.querySelector("time")?.dateTime ?? "";
let timer = 0;
function order() {
  clearTimeout(timer);
  timer = setTimeout(() => {
    if (list.contains(document.activeElement)) return; // what one is at stays where it is
    const rows = [...list.children];
    const sorted = rows.toSorted((a, b) => rank(a) - rank(b) || new Date(at(b) || 0) - new Date(at(a) || 0));
    if (sorted.some((row, place) => row !== rows[place])) list.append(...sorted);
  }, 300);
}

function draw(last, text) {
  const { who } = last.dataset;
  last.textContent = `${who ? `${who}: ` : ""}${text.slice(0, 80)}`;
}

const lastOf = (room) => list.querySelector(`[data-last-room="${CSS.escape(room)}"]`);

// What was said between the page and the line is in neither: the list is asked for once more.
let renewing = 0;
const strangers = new Set();
function renewIfBehind(room, head) {
  const last = lastOf(room);
  if (renewing || (last ? Number(last.dataset.head) >= head : strangers.has(room))) return;
  if (!last) strangers.add(room); // new since the page came; asked for once
  renewing = setTimeout(async () => {
    renewing = 0;
    const answer = await fetch(again, { redirect: "error" }).catch(() => null); // no line: the next welcome asks again
    const fresh = answer?.ok && new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(".chat-list");
    if (!fresh || list.contains(document.activeElement)) return;
    const here = list.querySelector("[aria-current]")?.getAttribute("href");
    list.replaceChildren(...fresh.children);
    if (here) list.querySelector(`a[href="${here}"]`)?.setAttribute("aria-current", "page");
  }, 300);
}

if (list) {
  circles.on("welcome", ({ rooms }) => Object.entries(rooms).forEach(([room, { head }]) => renewIfBehind(room, head)));
  circles.on("begin", ({ room, head }) => renewIfBehind(room, head));
  circles.on("entry", ({ kind, room, seq, author, body, at: when }) => {
    const last = lastOf(room);
    const row = last?.closest("li");
    if (!row) return renewIfBehind(room, seq);
    last.dataset.head = Math.max(seq, Number(last.dataset.head));
    if (kind === "message" && body) {
      const who = author?.id === circles.me ? you : last.dataset.direct === undefined ? author?.name : "";
      Object.assign(last.dataset, { seq, who: who ?? "" });
      draw(last, body.text);
      const spot = row.querySelector("time") ?? row.querySelector(".chat-list__line").appendChild(document.createElement("time"));
      Object.assign(spot, { dateTime: when, textContent: clock.format(new Date(when)) });
      order();
    } else if (String(body?.seq) === last.dataset.seq) {
      if (kind === "delete") last.textContent = removed;
      else if (kind === "edit" && body.text !== null) draw(last, body.text);
    }
    return undefined;
  });
}
