const byId = (id) => document.getElementById(id);
const form = byId("form");
const endpoint = form.dataset.basePath + form.dataset.path;
const baseUrl = location.origin + form.dataset.basePath;
const count = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** Make an element whose text, or whose children, are given; text is never read as markup. */
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** Text that somebody sent, kept from changing the direction of what stands around it. */
const sent = (text, className = "") => element("bdi", { className }, text === "" ? "(blank)" : text);

const plural = (number, one, many) => `${count.format(number)} ${number === 1 ? one : many}`;

/** The newest view, and the one that was last put into words; null before the first. */
let latest = null;
let told = null;

// -- what the sandbox holds -------------------------------------------------------------------

/** Bring a list up to date, leaving alone the items that stay. */
function reconcile(list, things, build) {
  const there = new Map([...list.children].map((item) => [item.dataset.key, item]));
  const wanted = things.map((thing) => {
    // The whole of it: a sandbox that begins anew may give the same ids and dates again.
    const key = JSON.stringify(thing);
    if (there.has(key)) return there.get(key);
    const item = build(thing);
    item.dataset.key = key;
    item.classList.toggle("new", told !== null);
    return item;
  });
  for (const item of there.values()) if (!wanted.includes(item)) item.remove();
  wanted.forEach((item, index) => {
    if (list.children[index] !== item) list.insertBefore(item, list.children[index] ?? null);
  });
}

function time(milliseconds) {
  const date = new Date(milliseconds);
  return element("time", { dateTime: date.toISOString() }, clock.format(date));
}

function waitingItem(waiting) {
  const wanted = element("span", { className: "what" });
  wanted.append("variant ", sent(waiting.variant), " of product ", sent(waiting.product));
  if (waiting.title) wanted.append(", ", sent(waiting.title));
  if (waiting.market !== null) wanted.append(", market ", sent(waiting.market));
  wanted.append(" · ", sent(waiting.shop));
  const channel = element("span", { className: "channel" }, sent(waiting.channel));
  channel.dataset.channel = waiting.channel;
  const who = element("span", { className: "who" }, sent(waiting.contact, "contact"));
  if (waiting.name !== null) who.append(" ", sent(waiting.name, "name"));
  return element(
    "li",
    { className: "entry" },
    channel,
    element("span", { className: "body" }, who, wanted),
    element(
      "span",
      { className: "aside" },
      time(Date.parse(waiting.at)),
      waiting.quantity === "1" ? null : element("span", { className: "quantity" }, "× ", sent(waiting.quantity)),
    ),
  );
}

function refusalItem(refusal) {
  const what = element("span", { className: "what" });
  const parts = [
    refusal.channel === null ? null : [sent(refusal.channel)],
    refusal.variant === null ? null : ["variant ", sent(refusal.variant)],
    refusal.product === null ? null : ["product ", sent(refusal.product)],
    refusal.what === `POST ${endpoint}` ? null : [sent(refusal.what)],
  ].filter((part) => part !== null);
  parts.forEach((part) => what.append(...part, " · "));
  what.append(refusal.shop === "" ? "no shop named" : sent(refusal.shop));
  const reasons = refusal.reasons.map((reason) => element("li", {}, sent(reason)));
  return element(
    "li",
    { className: "entry" },
    element("span", { className: "status" }, refusal.status === null ? "none" : String(refusal.status)),
    element(
      "span",
      { className: "body" },
      reasons.length
        ? element("ul", { className: "reasons" }, ...reasons)
        : element("span", { className: "reasons" }, refusal.status === null ? "The caller heard no answer." : "The answer gave no reason."),
      what,
    ),
    element("span", { className: "aside" }, time(refusal.at * 1000)),
  );
}

function showList(list, more, things, all, build) {
  reconcile(byId(list), things, build);
  byId(more).hidden = all <= things.length;
  byId(more).textContent = `The newest ${things.length} of ${count.format(all)}; ${count.format(all - things.length)} more are not shown.`;
}

function showRanking(list, ranking, all) {
  const items = ranking.top.map(([name, intents]) => {
    const bar = element("span", { className: "bar" });
    bar.style.inlineSize = `${(100 * intents) / ranking.top[0][1]}%`;
    return element("li", {}, sent(name), element("span", { className: "number" }, count.format(intents)), bar);
  });
  const rest = ranking.all - ranking.top.length;
  if (rest > 0) {
    const shown = ranking.top.reduce((sum, [, intents]) => sum + intents, 0);
    items.push(
      element("li", { className: "rest" }, `${count.format(rest)} more`, element("span", { className: "number" }, count.format(all - shown))),
    );
  }
  byId(list).replaceChildren(...items);
}

const BUDGETS_SHOWN = 6;
let budgets = [];
let secondsAhead = 0;

function budgetItem(budget, index) {
  const name = element("p", { className: "shop", id: `shop-${index}` }, budget.shop === "" ? "no shop named" : sent(budget.shop));
  const meter = element("div", { className: "meter", role: "meter", ariaValueMin: "0" }, element("span"));
  meter.setAttribute("aria-labelledby", name.id);
  return element("li", {}, name, meter, element("p", { className: "points" }));
}

/** Show what each shop has left; a window that has ended gives all points back. */
function showBudgets() {
  const now = Date.now() / 1000 + secondsAhead;
  const list = byId("budgets");
  byId("budget-nothing").hidden = budgets.length > 0;
  if (list.children.length !== budgets.length || budgets.some((budget, index) => list.children[index].dataset.shop !== budget.shop)) {
    list.replaceChildren(...budgets.map(budgetItem));
  }
  budgets.forEach((budget, index) => {
    const seconds = Math.ceil(budget.resets_at - now);
    const left = seconds > 0 ? budget.points_left : budget.points;
    const item = list.children[index];
    const meter = item.querySelector(".meter");
    const share = left / budget.points;
    item.dataset.shop = budget.shop;
    Object.assign(meter, { ariaValueMax: String(budget.points), ariaValueNow: String(left), ariaValueText: `${left} of ${budget.points} points left` });
    meter.dataset.left = share > 0.4 ? "many" : share > 0.15 ? "some" : "few";
    meter.firstElementChild.style.inlineSize = `${100 * share}%`;
    const when = left < budget.points ? `, all again in ${seconds} s` : "";
    item.querySelector(".points").textContent = `${count.format(left)} of ${count.format(budget.points)} points left${when}`;
  });
}

function show(view) {
  byId("stored").textContent = count.format(view.stored);
  byId("stored-word").textContent = view.stored === 1 ? "intent on the waitlist" : "intents on the waitlist";
  byId("refused-tally").textContent = count.format(view.refused);
  byId("waitlist-nothing").hidden = view.stored > 0;
  byId("refused-nothing").hidden = view.refused > 0;
  byId("counts-nothing").hidden = view.stored > 0;
  byId("rankings").hidden = view.stored === 0;
  byId("empty").disabled = view.stored === 0 && view.refused === 0 && view.budgets.length === 0;
  showList("waiting", "waiting-more", view.waiting, view.stored, waitingItem);
  showList("refusals", "refusals-more", view.refusals, view.refused, refusalItem);
  for (const ranking of ["channels", "shops", "products"]) showRanking(ranking, view[ranking], view.stored);
  budgets = [...view.budgets]
    .sort((one, other) => one.points_left - other.points_left)
    .slice(0, BUDGETS_SHOWN)
    .sort((one, other) => (one.shop < other.shop ? -1 : 1));
  byId("budgets-more").hidden = view.budgets.length === budgets.length;
  byId("budgets-more").textContent = `The ${BUDGETS_SHOWN} with the fewest points left, of the ${view.budgets.length} shops that asked last.`;
  secondsAhead = view.now - Date.now() / 1000;
  showBudgets();
}

// -- what a screen reader is told -------------------------------------------------------------

const QUIET_MILLISECONDS = 5000;
let quiet = false;

const summary = (view) =>
  `${plural(view.stored, "intent", "intents")} on the waitlist, ${plural(view.refused, "request", "requests")} refused.`;

/** Say what has changed, at most once in five seconds, in one sentence. */
function announce() {
  if (quiet) return;
  if (told !== null && (told.stored !== latest.stored || told.refused !== latest.refused)) {
    byId("news").textContent = summary(latest);
    quiet = true;
    setTimeout(() => {
      quiet = false;
      announce();
    }, QUIET_MILLISECONDS);
  }
  told = latest;
}

// -- the stream -------------------------------------------------------------------------------

const AGAIN_MILLISECONDS = 1000;
let stream = null;

function showLost() {
  const badge = byId("connection");
  if (badge.dataset.state === "live") byId("news").textContent = "The sandbox does not answer.";
  badge.dataset.state = "lost";
  badge.textContent = "No answer; trying again";
}

function showLive(view) {
  const badge = byId("connection");
  if (badge.dataset.state === "lost") {
    byId("news").textContent = `The sandbox is back: ${summary(view)}`;
    told = view;
  }
  badge.dataset.state = "live";
  badge.textContent = "Live";
}

function connect() {
  stream?.close();
  const opened = new EventSource("/_sandbox/events");
  stream = opened;
  opened.onmessage = (event) => {
    latest = JSON.parse(event.data);
    showLive(latest);
    show(latest);
    announce();
  };
  opened.onerror = () => {
    showLost();
    // Some failures a browser does not try again by itself.
    if (opened.readyState === EventSource.CLOSED) {
      setTimeout(() => {
        if (stream === opened) connect();
      }, AGAIN_MILLISECONDS);
    }
  };
}

// Browsers keep some six connections to a host: a tab that nobody sees gives its own back.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    stream?.close();
    stream = null;
  } else if (stream === null) connect();
});

// -- the form ---------------------------------------------------------------------------------

const CONTACTS = { email: "email", sms: "phone", push: "push" };

/** An integer where the text is one, however large; else the text as it is. */
const integerOr = (text) => (/^-?[0-9]{1,4000}$/.test(text) ? BigInt(text) : text);

function filledIn() {
  const given = new FormData(form);
  const text = (name) => (given.get(name) ?? "").trim();
  const channel = text("channel");
  const contact = CONTACTS[channel];
  const intent = {
    shopify_variant_id: integerOr(text("variant")),
    shopify_product_id: integerOr(text("product")),
    channel,
    quantity: integerOr(text("quantity")),
    source: "api",
  };
  const customer = {};
  if (text("market")) intent.shopify_market_id = integerOr(text("market"));
  if (text(contact)) customer[contact] = text(contact);
  if (text("name")) customer.name = text("name");
  if (text("country")) customer.country = text("country");
  if (given.has("accepts_marketing")) customer.accepts_marketing = true;
  return { shop: text("shop"), body: { intent, customer } };
}

/** Write code points that do not show, or that turn the text around them, as an escape. */
const visible = (text, escape) => text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (found) => escape(found.codePointAt(0)));

const jsonEscape = (code) =>
  String.fromCodePoint(code)
    .split("")
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .join("");

const pythonEscape = (code) => `\\U${code.toString(16).padStart(8, "0")}`;

const jsonString = (text) => visible(JSON.stringify(text), jsonEscape);

function jsonText(value) {
  if (typeof value === "bigint") return String(value);
  if (typeof value === "string") return jsonString(value);
  if (typeof value !== "object") return JSON.stringify(value);
  return `{${Object.entries(value).map(([name, inner]) => `${jsonString(name)}: ${jsonText(inner)}`).join(", ")}}`;
}

function pythonText(value) {
  if (typeof value === "bigint") return String(value);
  if (typeof value === "boolean") return value ? "True" : "False";
  return visible(JSON.stringify(value), pythonEscape);
}

/** A word for a POSIX shell; what cannot stand in it visibly is left out, as in any header. */
const shellWord = (text) => `'${visible(text, () => "").replaceAll("'", "'\\''")}'`;

function curlFor({ shop, body }) {
  return [
    `curl -i ${shellWord(location.origin + endpoint)}`,
    `-H ${shellWord("Content-Type: application/json")}`,
    `-H ${shellWord(`X-Shopify-Shop-Domain: ${shop}`)}`,
    `--data-raw ${shellWord(jsonText(body))}`,
  ].join(" \\\n  ");
}

const LOOPBACK = /^(localhost|.*\.localhost|127\.[0-9.]+|\[::1\])$/;

function pythonFor({ shop, body: { intent, customer } }) {
  const plain = location.protocol === "http:" && !LOOPBACK.test(location.hostname);
  const fields = {
    variant: intent.shopify_variant_id,
    product: intent.shopify_product_id,
    channel: intent.channel,
    ...customer,
    // With the country code said to be one, subscribe has nothing to guess.
    ...(/^[0-9]+$/.test(customer.phone ?? "") ? { phone: `+${customer.phone}` } : {}),
    quantity: intent.quantity,
    ...("shopify_market_id" in intent ? { market: intent.shopify_market_id } : {}),
  };
  return [
    `from stoqapp import ${plain ? "HttpOptions, " : ""}Stoq, StoqError`,
    "",
    "try:",
    "    with Stoq(",
    `        ${pythonText(shop)},`,
    `        base_url=${pythonText(baseUrl)},`,
    ...(plain ? ["        http=HttpOptions(allow_http=True),"] : []),
    "    ) as stoq:",
    "        created = stoq.subscribe(",
    ...Object.entries(fields).map(([name, value]) => `            ${name}=${pythonText(value)},`),
    "        )",
    "    print(created.intents)",
    "except StoqError as error:",
    "    print(error)",
    "",
  ].join("\n");
}

function showRequest() {
  const filled = filledIn();
  const channel = filled.body.intent.channel;
  for (const field of form.querySelectorAll("[data-channel]")) field.hidden = field.dataset.channel !== channel;
  byId("curl").textContent = curlFor(filled);
  byId("python").textContent = pythonFor(filled);
}

const LONGEST_ANSWER = 4000;

function showAnswer(line, good, body) {
  byId("answer").hidden = false;
  byId("answer").dataset.good = String(good);
  byId("answer-line").textContent = line;
  byId("answer-body").hidden = body === "";
  byId("answer-body").textContent = body.length > LONGEST_ANSWER ? `${body.slice(0, LONGEST_ANSWER)}…` : body;
}

function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

const MEANINGS = { 201: "on the waitlist", 200: "processed with errors: not on the waitlist", 429: "no points left" };

async function send() {
  const { shop, body } = filledIn();
  let headers;
  try {
    headers = new Headers({ "Content-Type": "application/json", "X-Shopify-Shop-Domain": shop });
  } catch {
    showAnswer("Not sent: no header can hold the characters in the shop’s name.", false, "");
    return;
  }
  let answer;
  try {
    answer = await fetch(endpoint, { method: "POST", headers, body: jsonText(body) });
  } catch {
    showAnswer("No answer came back: whether the intent is on the waitlist, this browser cannot know.", false, "");
    return;
  }
  const meaning = MEANINGS[answer.status] ?? (answer.status < 500 ? "refused" : "the service failed");
  let text = "";
  try {
    text = indented(await answer.text());
  } catch {
    text = "(the body broke off)";
  }
  showAnswer(`${answer.status}: ${meaning}`, answer.status === 201, text);
}

async function copy(button) {
  const source = byId(button.dataset.copies);
  try {
    await navigator.clipboard.writeText(source.textContent);
    byId("copied").textContent = `Copied the ${source.id === "curl" ? "curl command" : "Python program"}.`;
  } catch {
    getSelection().selectAllChildren(source);
    byId("copied").textContent = "This browser does not let the page copy; the text is selected for you.";
  }
}

form.addEventListener("input", showRequest);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  void send();
});
for (const button of document.querySelectorAll("[data-copies]")) button.addEventListener("click", () => void copy(button));

byId("empty").addEventListener("click", () => byId("really").showModal());
byId("really-no").addEventListener("click", () => byId("really").close());
byId("really-yes").addEventListener("click", async () => {
  byId("really").close();
  try {
    await fetch("/_sandbox/reset", { method: "POST" });
  } catch {
    showLost();
  }
});

byId("base-url").textContent = baseUrl;
showRequest();
connect();
setInterval(showBudgets, 1000);
