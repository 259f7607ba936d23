{% autoescape off %}// The service worker: an offline page, the site's own files, and the pages that must open without a network
// (a ticket that was opened before, the door). Everything else always comes from the server.
"use strict";

const FILES = "files-1";
const PAGES = "pages-1";
const OFFLINE = "/offline/";
const SHELL = [OFFLINE, "{% static 'site/site.css' %}", "{% static 'site/site.js' %}", "{% static 'site/mark.svg' %}"];
const KEPT = /^\/(registrations\/[a-z2-7]{13}\/|events\/[a-z2-7]{13}\/door\/|gate\/)$/;
const STATIC = "{% get_static_prefix %}";
const WAIT_MS = 6000;

self.addEventListener("install", (event) => {
  event.waitUntil(
    caches
      .open(FILES)
      .then((cache) => cache.addAll(SHELL))
      .then(() => self.skipWaiting()),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter((name) => name !== FILES && name !== PAGES).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

// Signing out, or in as somebody else, takes the kept pages away.
function forgetsPages(request, url) {
  return request.method === "POST" && (/^\/accounts\//.test(url.pathname) || url.pathname === "/demo/");
}

// The server first; a kept copy when it is away, broken, or slower than anybody at a door will wait.
async function keptPage(request) {
  const cache = await caches.open(PAGES);
  const kept = await cache.match(request, { ignoreSearch: true });
  const stop = new AbortController();
  const timer = kept && setTimeout(() => stop.abort(), WAIT_MS);
  try {
    const answer = await fetch(request, { signal: stop.signal });
    if (answer.ok && !answer.redirected) await cache.put(request, answer.clone());
    else if (answer.status === 403 || answer.status === 404) await cache.delete(request);
    return answer.status >= 500 && kept ? kept : answer;
  } catch {
    return kept || caches.match(OFFLINE);
  } finally {
    clearTimeout(timer);
  }
}

async function keep(request, answer) {
  if (answer.status === 200) await (await caches.open(FILES)).put(request, answer.clone());
  return answer;
}

// A hashed name never changes its content; a plain name (no collectstatic) is asked for each time.
async function file(request, url) {
  if (/\.[0-9a-f]{12}\./.test(url.pathname)) {
    return (await caches.match(request)) || keep(request, await fetch(request));
  }
  try {
    return await keep(request, await fetch(request));
  } catch {
    return (await caches.match(request)) || Response.error();
  }
}

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (url.origin !== self.location.origin) return;
  if (forgetsPages(request, url)) {
    event.waitUntil(caches.delete(PAGES));
    return;
  }
  if (request.method !== "GET") return;
  if (url.pathname.startsWith(STATIC)) event.respondWith(file(request, url));
  else if (request.mode === "navigate" && KEPT.test(url.pathname)) event.respondWith(keptPage(request));
  else if (request.mode === "navigate") event.respondWith(fetch(request).catch(() => caches.match(OFFLINE)));
});
{% endautoescape %}
