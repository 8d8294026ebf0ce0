// Keeps every file of the page in the browser, so that the page works offline after the first visit.

importScripts("files.js"); // VERSION and FILES, written by build.py; any changed byte gives another version

self.addEventListener("install", (event) => {
  self.skipWaiting(); // else a new build, with a new model, waits until every tab is closed
  event.waitUntil(
    caches.open(VERSION).then((cache) => cache.addAll(FILES.map((file) => new Request(file, { cache: "no-cache" })))),
  );
});

self.addEventListener("activate", (event) => {
  const clean = async () => {
    for (const name of await caches.keys())
      if (name.startsWith("cxr-distill-") && name !== VERSION) await caches.delete(name);
    await self.clients.claim();
  };
  event.waitUntil(clean());
});

self.addEventListener("fetch", (event) => {
  const answer = async () => {
    const cache = await caches.open(VERSION);
    return (await cache.match(event.request, { ignoreSearch: true })) ?? fetch(event.request);
  };
  if (new URL(event.request.url).origin === self.location.origin) event.respondWith(answer());
});
