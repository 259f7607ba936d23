// The outbox: what was written and is not yet known to the server. Kept in IndexedDB, so that it survives a closed
// tab; other tabs of the same browser are told of every change.

const database = new Promise((resolve, reject) => {
  const opening = indexedDB.open("circles", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("outbox", { keyPath: "key" });
  opening.onsuccess = () => resolve(opening.result);
  opening.onerror = () => reject(opening.error);
});
database.catch(() => {}); // a private window may refuse: then `memory` is all there is
const memory = new Map();
const others = new BroadcastChannel("circles-outbox");

async function stored(mode, work) {
  try {
    const store = (await database).transaction("outbox", mode).objectStore("outbox");
    const request = work(store);
    return await new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  } catch {
    return undefined;
  }
}

export async function keep(message) {
  memory.set(message.key, message);
  await stored("readwrite", (store) => store.put(message));
  others.postMessage({ kept: message });
}

export async function forget(key) {
  memory.delete(key);
  await stored("readwrite", (store) => store.delete(key));
  others.postMessage({ gone: key });
}

// What waits, the oldest first; of one room when it is named.
export async function queued(id) {
  const kept = await stored("readonly", (store) => store.getAll());
  if (kept) {
    memory.clear();
    for (const message of kept) memory.set(message.key, message);
  }
  return [...memory.values()].filter((message) => !id || message.room === id).sort((a, b) => a.at - b.at);
}

export const find = (key) => memory.get(key);

// `hear({kept: message} | {gone: key})`: what another tab did.
export function onChange(hear) {
  others.onmessage = ({ data }) => {
    if (data.kept) memory.set(data.kept.key, data.kept);
    else memory.delete(data.gone);
    hear(data);
  };
}

// One tab at a time sends, so that what was written first is said first.
export function alone(work) {
  return navigator.locks ? navigator.locks.request("circles-outbox", work) : work();
}
