const byId = (id) => document.getElementById(id);
const count = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** Make an element whose text, or whose children, are given; text is never read as markup. */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

/** Text that somebody sent, kept from changing the direction of what stands around it. */
const sent = (text, className = "") => element("bdi", { className }, text);

const plural = (number, one, many) => `${number ? count.format(number) : "no"} ${number === 1 ? one : many}`;

// -- the list ---------------------------------------------------------------------------------

let latest = null;

const outcomeOf = ({ status }) => (status === 201 ? "stored" : status === null || status >= 500 ? "failed" : "refused");

function line(request) {
  const at = new Date(request.at * 1000);
  const stored = request.status === 201 ? "" : request.stored ? ", stored" : ", not stored";
  const struck = request.fault === null ? null : element("span", { className: "fault" }, `scripted: ${request.fault}${stored}`);
  const reason = request.reason === "" || request.fault !== null ? null : sent(request.reason, "reason");
  const link = element(
    "a",
    { href: `#${request.number}`, className: outcomeOf(request) },
    element("span", { className: "status" }, request.status === null ? "none" : String(request.status)),
    sent(request.contact ?? "no contact", request.contact === null ? "contact absent" : "contact"),
    element("time", { dateTime: at.toISOString() }, clock.format(at)),
    element("span", { className: "about" }, struck, reason, sent(request.what), sent(request.shop || "no shop")),
  );
  return element("li", {}, link);
}

/** Bring the list up to date, leaving alone the lines that stay. */
function showList(requests, isFirst) {
  const list = byId("requests");
  const there = new Map([...list.children].map((item) => [item.dataset.key, item]));
  const wanted = requests.map((request) => {
    // The whole of it: a sandbox that starts over gives the same numbers again.
    const key = JSON.stringify(request);
    if (there.has(key)) return there.get(key);
    const item = line(request);
    item.dataset.key = key;
    item.classList.toggle("new", !isFirst);
    return item;
  });
  for (const item of there.values()) if (!wanted.includes(item)) item.remove();
  wanted.forEach((item, index) => {
    if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null);
  });
  markChosen();
}

function markChosen() {
  for (const link of byId("requests").querySelectorAll("a")) {
    if (link.hash === location.hash) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

byId("requests").addEventListener("keydown", (event) => {
  const item = event.target.closest("li");
  const next = { ArrowDown: item?.nextElementSibling, ArrowUp: item?.previousElementSibling }[event.key];
  if (next) {
    event.preventDefault();
    next.firstElementChild.focus();
  }
});

function show(view) {
  const total = view.stored + view.refused;
  const limit = view.limit === null ? "limit off" : `limit ${count.format(view.limit[0])} points in ${count.format(view.limit[1])} s`;
  const waiting = view.faults.length;
  byId("summary").textContent = [
    `${count.format(view.stored)} stored`,
    `${count.format(view.refused)} refused`,
    limit,
    plural(waiting, "fault waits", "faults wait"),
  ].join(" · ");
  byId("summary").dataset.state = "live";
  byId("nothing").hidden = total > 0;
  byId("base-url").textContent = location.origin + view.path.replace(/\/[^/]*$/, "");
  if (latest === null) byId("kinds").append(...view.kinds.map(([value, about]) => element("option", { value }, about)));
  showList(view.requests, latest === null);
  byId("more").hidden = total <= view.requests.length;
  byId("more").textContent = `The newest ${view.requests.length} of ${count.format(total)}. All of them: /_sandbox/requests`;
  byId("waiting").replaceChildren(
    ...view.faults.map(({ fault, times, happened }) =>
      element("li", {}, element("code", {}, fault), ` · ${count.format(happened)} of ${times === null ? "any number" : count.format(times)} so far`),
    ),
  );
  byId("clear").disabled = waiting === 0;
  if (latest !== null && latest.generation !== view.generation && chosen()) location.hash = "";
  announce(view);
  latest = view;
}

// -- what a screen reader hears: one sentence, at most every five seconds ---------------------

const QUIET_MILLISECONDS = 5000;
let told = "";
let timer = null;

function announce(view) {
  const news = `${count.format(view.stored)} stored, ${count.format(view.refused)} refused`;
  if (latest === null) told = news;
  if (timer !== null || news === told) return;
  byId("news").textContent = told = news;
  timer = setTimeout(() => {
    timer = null;
    announce(latest);
  }, QUIET_MILLISECONDS);
}

// -- the stream -------------------------------------------------------------------------------

const AGAIN_MILLISECONDS = 1000;
let stream = null;

function connect() {
  const opened = new EventSource("/_sandbox/events");
  stream = opened;
  opened.onmessage = (event) => show(JSON.parse(event.data));
  opened.onerror = () => {
    byId("summary").dataset.state = "lost";
    byId("news").textContent = byId("summary").textContent = "The sandbox does not answer; trying again";
    // Some failures a browser does not try again by itself.
    if (opened.readyState === EventSource.CLOSED) {
      setTimeout(() => {
        if (stream === opened) connect();
      }, AGAIN_MILLISECONDS);
    }
  };
}

// Browsers keep some six connections to a host: a tab that is not looked at gives its own back.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    stream?.close();
    stream = null;
  } else if (stream === null) connect();
});

// -- the detail -------------------------------------------------------------------------------

const chosen = () => Number(/^#([1-9]\d*)$/.exec(location.hash)?.[1] ?? 0);

/** Indent JSON text, keeping each token as it is, numbers of any length too. */
function indented(text) {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  return text.replace(/"(?:[^"\\]|\\.)*"|[[{]\s*[\]}]|[[{\]},:]|\s+/g, (token) => {
    if (/^\s/.test(token)) return "";
    if (token === "{" || token === "[") return token + ((depth += 1), line());
    if (token === "}" || token === "]") return ((depth -= 1), line()) + token;
    return token === "," ? token + line() : token === ":" ? ": " : token;
  });
}

function part(title, text, ...more) {
  const pre = element("pre", { tabIndex: 0 }, text);
  pre.setAttribute("aria-label", title);
  const copy = element("button", { type: "button" }, "Copy");
  copy.setAttribute("aria-label", `Copy ${title}`);
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(pre);
      copy.textContent = "Selected";
    }
  });
  return element("section", {}, element("h3", {}, title, copy), pre, ...more);
}

function headersOf(headers) {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  const pre = element("pre", { tabIndex: 0 }, lines.join("\n"));
  return element("details", {}, element("summary", {}, plural(lines.length, "header", "headers")), pre);
}

async function showDetail(number) {
  const answer = await fetch(`/_sandbox/requests?after=${number - 1}&limit=1`);
  const [request] = await answer.json();
  if (request?.number !== number || chosen() !== number) return;
  const status = request.status === null ? "no answer received" : request.status;
  byId("detail-title").replaceChildren(sent(`${request.method} ${request.path}`), ` → ${status}`);
  const struck = request.fault === null ? "" : ` Scripted: ${request.fault}.`;
  const stored = request.intent === null ? "Nothing was stored." : `Stored as intent ${request.intent.id}.`;
  byId("outcome").textContent = `${new Date(request.at * 1000).toLocaleString()}. ${stored}${struck}`;
  if (request.headers === null) {
    byId("parts").replaceChildren(element("p", { className: "hint" }, "Bodies are kept of the newest 1,000 refused requests; this one is older."));
  } else {
    const body = (name) => request[name] ?? `(not UTF-8, base64) ${request[`${name}_base64`]}`;
    const again = element("button", { type: "button", hidden: typeof request.body !== "string" }, "Edit and send again");
    again.addEventListener("click", () => {
      byId("shop").value = request.headers["x-shopify-shop-domain"] ?? "";
      byId("body").value = indented(request.body);
      location.hash = "send";
    });
    byId("parts").replaceChildren(
      part("Request", indented(body("body")), headersOf(request.headers), again),
      part(request.status === null ? "Answer, which the caller did not receive" : "Answer", indented(body("answer")), headersOf(request.answer_headers)),
      part("As curl", request.curl),
      part("As Python", request.python),
    );
  }
  byId("detail-title").focus({ preventScroll: matchMedia("(min-width: 50rem)").matches });
}

function route() {
  const number = chosen();
  document.body.dataset.view = number ? "detail" : ["#send", "#fault"].includes(location.hash) ? "forms" : "list";
  markChosen();
  if (number) void showDetail(number);
  else byId({ "#send": "shop", "#fault": "kind" }[location.hash] ?? "list")?.focus();
}

addEventListener("hashchange", route);

// -- the forms --------------------------------------------------------------------------------

byId("send").addEventListener("submit", async (event) => {
  event.preventDefault();
  const before = latest?.requests[0]?.number ?? 0;
  byId("sent").textContent = "";
  try {
    const headers = { "Content-Type": "application/json", "X-Shopify-Shop-Domain": byId("shop").value };
    await fetch(latest.path, { method: "POST", headers, body: byId("body").value });
  } catch {
    byId("sent").textContent = "No answer came back, or the shop cannot stand in a header.";
  }
  const [request] = await (await fetch(`/_sandbox/requests?after=${before}`)).json();
  if (request) location.hash = request.number;
});

byId("fault").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await fetch("/_sandbox/faults", { method: "POST", body: JSON.stringify({ fault: byId("kind").value }) });
  byId("scripted").textContent = answer.ok ? "Scripted." : (await answer.json()).errors[0];
});

byId("clear").addEventListener("click", async () => {
  await fetch("/_sandbox/faults", { method: "DELETE" });
  byId("scripted").textContent = "Cleared.";
});

byId("reset").addEventListener("click", () => byId("really").showModal());
byId("really").addEventListener("close", () => {
  if (byId("really").returnValue === "yes") void fetch("/_sandbox/reset", { method: "POST" });
  byId("really").returnValue = "";
});

route();
connect();
