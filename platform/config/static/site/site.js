// Small things every page gains from script: light or dark, htmx where a page uses it, offline notice, service worker.
// Nothing here is needed to use the site.

const root = document.documentElement;
const YEAR_S = 31_536_000;

// Light, dark or as the device says. The server writes the cookie's value into <html>, so nothing flashes.
function themeSwitch(box) {
  const show = () => {
    for (const button of box.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeValue === (root.dataset.theme ?? "")));
    }
  };
  box.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const theme = button.dataset.themeValue;
    if (theme) root.dataset.theme = theme;
    else delete root.dataset.theme;
    const secure = location.protocol === "https:" ? "; secure" : "";
    document.cookie = `theme=${theme}; path=/; max-age=${theme ? YEAR_S : 0}; samesite=lax${secure}`;
    show();
  });
  show();
  box.hidden = false;
}

// htmx is fetched by pages that use it only: 16 kB others need not pay.
function htmxWhereUsed() {
  const link = document.querySelector('link[rel="htmx"]');
  if (!link || !document.querySelector("[hx-get],[hx-post],[hx-delete],[data-hx-get],[data-hx-post]")) return;
  const script = document.createElement("script");
  script.src = link.href;
  // Started between DOMContentLoaded and load, htmx would wait for the first of the two for ever.
  const start = () => document.head.append(script);
  if (document.readyState === "complete") start();
  else addEventListener("load", start);
  const trouble = document.querySelector("[data-trouble]");
  for (const name of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
    document.body.addEventListener(name, () => (trouble.hidden = false));
  }
  document.body.addEventListener("htmx:afterOnLoad", () => (trouble.hidden = true));
}

function offlineNotice(notice) {
  const show = () => (notice.hidden = navigator.onLine);
  addEventListener("online", show);
  addEventListener("offline", show);
  show();
}

// A second tap on "send" while the first is on its way changes nothing (the server would refuse it anyway).
function oneSubmitAtATime() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post" || event.defaultPrevented) return;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "1";
    setTimeout(() => delete form.dataset.sent, 8000);
  });
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });
}

// Signing out empties what this browser keeps. Scans or messages that still wait to be sent would be lost: ask first.
async function waiting(name, store) {
  const known = (await indexedDB.databases?.()) ?? [];
  if (!known.some((one) => one.name === name)) return 0;
  return new Promise((resolve) => {
    const opening = indexedDB.open(name);
    opening.onerror = () => resolve(0);
    opening.onsuccess = () => {
      const counting = opening.result.transaction(store).objectStore(store).count();
      counting.onsuccess = () => resolve(counting.result);
      counting.onerror = () => resolve(0);
    };
  });
}

function asksBeforeLosing(form) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const unsent = await Promise.all([waiting("door", "queue"), waiting("circles", "outbox")]).catch(() => [0]);
    if (unsent.some(Boolean) && !confirm(form.dataset.unsent)) return;
    sessionStorage.setItem("signed-out", Date.now()); // the line that now ends need not load this page again
    form.submit();
  });
}

// What is only to be carried elsewhere is copied by a tap.
function copies(button) {
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentElement.querySelector("input").value);
    button.textContent = button.dataset.copied;
  });
  button.hidden = false;
}

if (navigator.clipboard) for (const button of document.querySelectorAll("[data-copy]")) copies(button);
for (const form of document.querySelectorAll("form[data-unsent]")) asksBeforeLosing(form);
for (const box of document.querySelectorAll("[data-theme-switch]")) themeSwitch(box);
for (const notice of document.querySelectorAll("[data-offline]")) offlineNotice(notice);
document.querySelector("[data-focus]")?.focus();
htmxWhereUsed();
oneSubmitAtATime();
if ("serviceWorker" in navigator) navigator.serviceWorker.register("/sw.js").catch(() => {});
