// The page: it asks for jobs and usage every few seconds while somebody looks,
// and changes in the document only what has changed. Prompts, answers and names
// are hostile: they enter the document as text nodes, and nothing else does.
const every = 4000; // ms between two looks
const slowest = 30000; // ms, where the server can't be reached
const pageSize = 50;
const plotHeight = 216;

const state = { filter: "all", days: 14, by: "endpoint", pages: 1, selected: "" };
let rows = []; // as listed
let nextCursor = "";
let listing = null; // the last one
let usage = null;
let usageAt = 0;
let usageOf = "";
let failures = 0;
let signedOut = false;
let timer = 0;
let round = 0; // the newest look; what an older one brings is dropped
let open = null; // the job that the dialog shows

const $ = (id) => document.getElementById(id);
const el = (tag, className, text) => {
	const node = document.createElement(tag);
	if (className) node.className = className;
	if (text !== undefined) node.textContent = text;
	return node;
};
const svg = (tag, attributes, text) => {
	const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
	for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
	if (text !== undefined) node.textContent = text;
	return node;
};
// A node that is left alone keeps its selection.
const say = (node, text) => {
	if (node.textContent !== text) node.textContent = text;
};
const show = (node, yes) => {
	node.hidden = !yes;
};

// visible writes out the characters that would hide, reorder or imitate others.
const visible = (text) =>
	text
		.replace(/\r\n/g, "\n")
		.replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, (c) => (c === "\u007f" ? "\u2421" : String.fromCharCode(0x2400 + c.charCodeAt(0))))
		.replace(/[\u0080-\u009f\u00ad\u061c\u200b\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\udb40[\udc00-\udc7f]/g, (c) => `⟨U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
const line = (text) => visible(text.replace(/\s+/g, " "));

const nano = (usd) => Math.round(usd * 1e9); // sums are exact
const count = new Intl.NumberFormat("en-US");
const number = (n) => count.format(n);
const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
const many = (n, one, more = `${one}s`) => `${number(n)} ${n === 1 ? one : more}`;
const money = (n) => {
	const usd = n / 1e9;
	const digits = n === 0 || usd >= 1 ? 2 : usd >= 0.01 ? 4 : 6;
	return `$${usd.toFixed(digits)}`;
};
const size = (bytes) =>
	bytes < 1024 ? many(bytes, "byte") : bytes < 1 << 20 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / (1 << 20)).toFixed(1)} MiB`;
const span = (seconds) =>
	seconds < 10 ? `${seconds.toFixed(1)} s` : seconds < 60 ? `${Math.round(seconds)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
const ago = (at) => {
	const seconds = (Date.now() - new Date(at)) / 1000;
	if (seconds < 5) return "just now";
	if (seconds < 60) return `${Math.floor(seconds)} s ago`;
	if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
	if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
	return new Date(at).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
};
const full = (at) => new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
const dayName = (day, options) => new Date(`${day}T00:00:00Z`).toLocaleDateString("en-US", { timeZone: "UTC", ...options });

const states = { IN_QUEUE: "In queue", IN_PROGRESS: "Running", COMPLETED: "Completed", FAILED: "Failed", CANCELLED: "Cancelled", UNKNOWN: "Unknown" };
const ended = (job) => job.status !== "IN_QUEUE" && job.status !== "IN_PROGRESS";
const stateName = (job) => {
	if (job.cancel_requested) return "Cancelling";
	if (job.status === "IN_QUEUE" && job.queue_position > 0) return `In queue, ${number(job.queue_position)} ahead`;
	return states[job.status] ?? line(job.status);
};
const kinds = { "nvidia/nemotron-3-nano-omni": "text" };
const endpointName = (endpoint) => kinds[endpoint] ?? line(endpoint.replace(/^nvidia\/nemotron-3-nano-omni\//, ""));
const hostName = (host) => (host === "" ? "unnamed program" : line(host));

// get asks the server. It throws an Error with a status, 0 where there was no
// answer.
async function get(path) {
	let response;
	let body;
	try {
		response = await fetch(path, { headers: { Accept: "application/json" }, cache: "no-store", redirect: "error", signal: AbortSignal.timeout(20000) });
		body = await response.json();
	} catch (cause) {
		throw Object.assign(new Error("The server can't be reached.", { cause }), { status: response && !response.ok ? response.status : 0 });
	}
	if (!response.ok) throw Object.assign(new Error(body.error ?? `The server answered ${response.status}.`), { status: response.status });
	return body;
}

// --- looking again ---

async function look() {
	clearTimeout(timer);
	const mine = ++round;
	try {
		const asked = { filter: state.filter, pages: state.pages, days: state.days };
		const all = [];
		let last;
		for (let page = 0; page < asked.pages; page++) {
			const cursor = last ? `&cursor=${encodeURIComponent(last.next_cursor)}` : "";
			last = await get(`api/jobs?state=${asked.filter}&limit=${pageSize}${cursor}`);
			if (mine !== round) return;
			all.push(...last.jobs);
			if (!last.next_cursor) break;
		}
		// The sums change with the jobs; the ledger need not add them up otherwise.
		const of = `${asked.days} ${last.spent_today_usd} ${all.map((job) => job.id + job.status).join()}`;
		if (of !== usageOf || Date.now() - usageAt > 60000) {
			const got = await get(`api/usage?days=${asked.days}`);
			if (mine !== round) return;
			[usage, usageOf, usageAt] = [got, of, Date.now()];
		}
		[listing, rows, nextCursor] = [last, all, last.next_cursor ?? ""];
		failures = 0;
		signedOut = false;
		drawAll();
		if (open && !open.done) await loadJob(open.id);
	} catch (error) {
		if (mine !== round) return;
		failures++;
		drawTrouble(error);
	}
	if (mine === round) later();
}

function later() {
	clearTimeout(timer);
	if (document.hidden || signedOut) return;
	timer = setTimeout(look, failures ? Math.min(every * 2 ** (failures - 1), slowest) : every * state.pages);
}

document.addEventListener("visibilitychange", () => {
	if (document.hidden) clearTimeout(timer);
	else if (!signedOut) look();
});
$("notice-button").addEventListener("click", () => {
	if (signedOut) location.reload(); // the browser asks for the token again
	else look();
});

function drawTrouble(error) {
	signedOut = error.status === 401;
	const [title, text] = signedOut
		? ["The token is not accepted.", "Sign in again with the caller's name and the token."]
		: error.status === 0
			? ["The server can't be reached.", "The page tries again by itself."]
			: ["The server could not answer.", error.message];
	say($("notice-title"), title);
	say($("notice-text"), text);
	say($("notice-button"), signedOut ? "Sign in" : "Try again");
	show($("notice"), true);
	$("live").dataset.state = "lost";
	say($("live-text"), signedOut ? "Signed out" : "Not connected");
	$("main").setAttribute("aria-busy", "false");
	if (!listing) {
		say($("empty-title"), "Nothing to show yet");
		say($("empty-text"), "The jobs appear here once the server answers.");
	}
}

function drawAll() {
	show($("notice"), false);
	$("live").dataset.state = "live";
	say($("live-text"), "Live");
	$("main").setAttribute("aria-busy", "false");
	show($("who"), !!listing.caller);
	say($("who"), listing.caller ?? "");
	say($("version"), listing.version ? `nemotron-mcp ${listing.version}.` : "");
	drawJobs();
	drawSummary();
	drawPlot();
}

// --- the jobs ---

const drawn = new Map(); // id → its row's nodes

function makeRow(id) {
	const r = { tr: el("tr"), chip: el("span", "chip"), link: el("a"), about: el("div", "small"), time: el("time"), prompt: el("bdi") };
	r.link.href = `#/jobs/${encodeURIComponent(id)}`;
	r.link.append(r.prompt);
	const cell = (className, ...children) => {
		const td = el("td", className);
		td.append(...children);
		r.tr.append(td);
		return td;
	};
	cell("state", r.chip);
	cell("prompt", r.link, r.about);
	cell("when", r.time);
	[r.in, r.out, r.cost] = [cell("n in"), cell("n out"), cell("n cost")];
	return r;
}

function drawRow(r, job) {
	r.chip.dataset.status = job.cancel_requested ? "CANCELLED" : job.status;
	say(r.chip, job.status === "IN_QUEUE" && !job.cancel_requested ? "In queue" : stateName(job));
	say(r.prompt, job.prompt ? line(job.prompt) : "prompt not kept");
	r.prompt.classList.toggle("nothing", !job.prompt);
	const about = [hostName(job.host ?? ""), endpointName(job.endpoint)];
	if (job.error) about.push(line(job.error.code));
	say(r.about, about.join(" · "));
	r.time.dateTime = job.created_at;
	r.time.title = full(job.created_at);
	say(r.time, ago(job.created_at));
	say(r.in, job.usage ? number(job.usage.input_tokens) : "–");
	say(r.out, job.usage ? number(job.usage.output_tokens) : "–");
	say(r.cost, job.cost_usd === undefined ? "–" : `$${job.cost_usd.toFixed(6)}`);
}

function drawJobs() {
	const body = $("rows");
	const first = drawn.size === 0;
	const ids = new Set(rows.map((job) => job.id));
	for (const [id, r] of drawn) {
		if (ids.has(id)) continue;
		r.tr.remove();
		drawn.delete(id);
	}
	let at = body.firstElementChild;
	for (const job of rows) {
		let r = drawn.get(job.id);
		if (!r) {
			r = makeRow(job.id);
			if (!first) r.tr.className = "new";
			drawn.set(job.id, r);
		}
		drawRow(r, job);
		if (r.tr === at) at = at.nextElementSibling;
		else body.insertBefore(r.tr, at);
	}
	show($("job-table"), rows.length > 0);
	show($("empty"), rows.length === 0);
	show($("more"), nextCursor !== "");
	const [title, text] = {
		all: ["No jobs yet", "Ask your agent to delegate something to Nemotron: its jobs appear here."],
		running: ["Nothing is running", ""],
		finished: ["No job has ended yet", ""],
		unknown: ["No job is unknown", "Of each submission it is known whether fal took it."],
	}[state.filter];
	say($("empty-title"), title);
	say($("empty-text"), text);
}

$("more").addEventListener("click", () => {
	state.pages++;
	look();
});

// choose makes buttons a choice of one.
function choose(group, key, changed) {
	$(group).addEventListener("click", (event) => {
		const button = event.target.closest("button");
		if (!button) return;
		for (const other of $(group).children) other.setAttribute("aria-pressed", String(other === button));
		changed(button.dataset[key]);
	});
}
choose("states", "state", (filter) => {
	state.filter = filter;
	state.pages = 1;
	look();
});
choose("days", "days", (days) => {
	state.days = Number(days);
	look();
});
choose("by", "by", (by) => {
	state.by = by;
	if (usage) drawPlot();
});

// --- usage and cost ---

// daily sums the usage up by day, the oldest first, and by series within a day.
function daily() {
	const days = [];
	const end = new Date(`${usage.today}T00:00:00Z`);
	for (let i = usage.days - 1; i >= 0; i--) {
		const day = new Date(end - i * 86400000).toISOString().slice(0, 10);
		days.push({ day, jobs: 0, in: 0, out: 0, cost: 0, counted: 0, parts: new Map() });
	}
	const of = new Map(days.map((day) => [day.day, day]));
	for (const row of usage.rows) {
		const day = of.get(row.day);
		if (!day) continue;
		const key = state.by === "host" ? hostName(row.host) : endpointName(row.endpoint);
		day.jobs += row.jobs;
		day.in += row.input_tokens;
		day.out += row.output_tokens;
		day.cost += nano(row.cost_usd);
		day.counted += nano(row.counted_usd);
		day.parts.set(key, (day.parts.get(key) ?? 0) + nano(row.cost_usd));
	}
	return days;
}
const total = (days, what) => days.reduce((sum, day) => sum + day[what], 0);

function drawSummary() {
	const days = daily();
	const today = days.at(-1);
	const cap = nano(listing.day_cap_usd ?? 0);
	const counted = nano(listing.spent_today_usd);
	say($("today-cost"), money(today.cost));
	show($("today-meter"), cap > 0);
	if (cap > 0) {
		const meter = $("today-meter");
		meter.low = 0.75;
		meter.high = 0.9;
		meter.optimum = 0;
		meter.value = Math.min(counted / cap, 1);
	}
	const reserved = Math.max(counted - today.cost, 0);
	const notes = [];
	if (cap > 0) notes.push(`of ${money(cap)} a day`);
	if (reserved > 0) notes.push(`${money(reserved)} reserved`);
	say($("today-note"), notes.join(", ") || many(today.jobs, "job"));
	const [cost, jobs, tokensIn, tokensOut] = ["cost", "jobs", "in", "out"].map((what) => total(days, what));
	say($("period-title"), many(usage.days, "day"));
	say($("period-cost"), money(cost));
	say($("period-note"), `${money(Math.round(cost / usage.days))} a day on average`);
	say($("period-jobs"), number(jobs));
	say($("jobs-note"), `${number(today.jobs)} of them today`);
	say($("period-tokens"), short.format(tokensIn + tokensOut));
	$("period-tokens").title = `${number(tokensIn)} in, ${number(tokensOut)} out`;
	say($("tokens-note"), `${short.format(tokensIn)} in, ${short.format(tokensOut)} out`);
	drawDays(days);
}

function drawDays(days) {
	const cells = (day, name, tag) => {
		const tr = el("tr");
		const head = el("th", "", name);
		head.scope = "row";
		tr.append(tag === "th" ? head : el("td", "", name));
		for (const text of [number(day.jobs), number(day.in), number(day.out), `$${(day.cost / 1e9).toFixed(6)}`, `$${(day.counted / 1e9).toFixed(6)}`]) tr.append(el(tag, "n", text));
		return tr;
	};
	const busy = days.filter((day) => day.jobs > 0).reverse();
	$("day-rows").replaceChildren(...busy.map((day) => cells(day, day.day, "td")));
	const sum = { jobs: total(days, "jobs"), in: total(days, "in"), out: total(days, "out"), cost: total(days, "cost"), counted: total(days, "counted") };
	$("day-total").replaceChildren(cells(sum, "Total", "th"));
}

// step is a round number of billionths of a dollar, of which some are top.
function step(top, lines) {
	const rough = top / lines;
	const power = 10 ** Math.floor(Math.log10(rough));
	return power * ([1, 2, 2.5, 5, 10].find((n) => n * power >= rough) ?? 10);
}
const axis = (n, gap) => {
	const digits = (gap / 1e9).toFixed(9).replace(/.*\.|0+$/g, "").length;
	return `$${(n / 1e9).toFixed(digits === 1 ? 2 : digits)}`;
};

let plotOf = "";

function drawPlot() {
	const box = $("plot");
	const width = Math.max(Math.round(box.clientWidth), 260);
	const key = JSON.stringify([width, state.by, usage]);
	if (key === plotOf) return;
	plotOf = key;
	const days = daily();
	const cap = nano(usage.day_cap_usd ?? 0);
	const most = Math.max(...days.map((day) => Math.max(day.cost, day.counted)));
	const capFits = cap > 0 && (most === 0 || cap <= most * 4);
	const gap = step(Math.max(most, capFits ? cap : 0, 1000), 4);
	const lines = Math.ceil(Math.max(most, capFits ? cap * 1.04 : 0, 1) / gap);
	const labels = Array.from({ length: lines + 1 }, (_, i) => axis(i * gap, gap));
	const area = { left: Math.max(...labels.map((text) => text.length)) * 6.7 + 12, right: width - 4, top: 12, bottom: plotHeight - 26 };
	const y = (n) => area.bottom - (n / (lines * gap)) * (area.bottom - area.top);
	const slot = (area.right - area.left) / days.length;
	const bar = Math.min(Math.max(slot * 0.62, 3), 46);

	// The series in the order of their cost; the colours go round.
	const sums = new Map();
	for (const day of days) for (const [name, n] of day.parts) sums.set(name, (sums.get(name) ?? 0) + n);
	const series = [...sums].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
	const colour = new Map(series.map(([name], i) => [name, `s${Math.min(i, 6)}`]));

	const all = total(days, "cost");
	const root = svg("svg", {
		viewBox: `0 0 ${width} ${plotHeight}`, role: "img",
		"aria-label": `Cost per day over ${many(days.length, "day")} by ${state.by}: ${money(all)} in all. A table of the same follows.`,
	});
	labels.forEach((text, i) => {
		root.append(svg("line", { class: i ? "grid" : "base", x1: area.left, x2: area.right, y1: y(i * gap), y2: y(i * gap) }));
		root.append(svg("text", { x: area.left - 8, y: y(i * gap) + 4, "text-anchor": "end" }, text));
	});
	const labelled = Math.ceil(days.length / Math.max(Math.floor((area.right - area.left) / 58), 1));
	days.forEach((day, i) => {
		const left = area.left + i * slot;
		const x = left + (slot - bar) / 2;
		const g = svg("g", { class: "day", "data-day": day.day });
		g.append(svg("rect", { class: "back", x: left, y: area.top, width: slot, height: area.bottom - area.top, rx: 4 }));
		let top = 0;
		for (const [name] of series) {
			const n = day.parts.get(name) ?? 0;
			if (n === 0) continue;
			g.append(svg("rect", { class: `bar ${colour.get(name)}`, "data-nano": n, x, width: bar, y: y(top + n), height: Math.max(y(top) - y(top + n), 1) }));
			top += n;
		}
		if (day.counted > day.cost) {
			g.append(svg("rect", { class: "reserved", x: x + 0.5, width: bar - 1, y: y(day.counted), height: Math.max(y(day.cost) - y(day.counted), 1) }));
		}
		if ((days.length - 1 - i) % labelled === 0) {
			g.append(svg("text", { x: left + slot / 2, y: plotHeight - 8, "text-anchor": "middle" }, i === days.length - 1 ? "Today" : dayName(day.day, { month: "short", day: "numeric" })));
		}
		g.addEventListener("pointerenter", () => select(day.day));
		g.addEventListener("click", () => select(day.day));
		root.append(g);
	});
	if (capFits) {
		root.append(svg("line", { class: "cap", x1: area.left, x2: area.right, y1: y(cap), y2: y(cap) }));
		root.append(svg("text", { class: "cap-label", x: area.left + 6, y: y(cap) - 5 }, `cap ${money(cap)} a day`));
	}

	const select = (name) => {
		state.selected = name;
		for (const g of root.querySelectorAll(".day")) g.classList.toggle("on", g.dataset.day === name);
		const day = days.find((d) => d.day === name);
		say($("readout"), day ? tell(day, series) : "\u00a0");
	};
	root.addEventListener("pointerleave", () => select(""));
	box.replaceChildren(root);
	select(state.selected);
	drawLegend(series, colour, days, cap, capFits);
}

function tell(day, series) {
	const parts = [`${dayName(day.day, { weekday: "short", month: "short", day: "numeric" })}: ${money(day.cost)}`, many(day.jobs, "job")];
	for (const [name] of series) if (day.parts.get(name) && series.length > 1) parts.push(`${name} ${money(day.parts.get(name))}`);
	if (day.counted > day.cost) parts.push(`${money(day.counted - day.cost)} reserved`);
	return parts.join(" · ");
}

function drawLegend(series, colour, days, cap, capFits) {
	const entry = (className, name, text) => {
		const li = el("li");
		li.append(el("i", className), el("bdi", "", name), el("b", "", text));
		return li;
	};
	const list = series.map(([name, n]) => entry(colour.get(name), name, money(n)));
	const reserved = total(days, "counted") - total(days, "cost");
	if (reserved > 0) list.push(entry("reserved", "reserved, or unsure", money(reserved)));
	if (cap > 0 && !capFits) list.push(el("li", "small", `The cap of ${money(cap)} a day is far above the plot.`));
	if (list.length === 0) list.push(el("li", "small", "Nothing was spent on these days."));
	$("legend").replaceChildren(...list);
}

new ResizeObserver(() => usage && drawPlot()).observe($("plot"));

// --- one job ---

const dialog = $("dialog");

// route shows the job that the address names, so that it can be linked to and
// the browser's way back closes it.
function route() {
	const [, id] = location.hash.match(/^#\/jobs\/([\w-]+)$/) ?? [];
	if (!id) {
		open = null;
		if (dialog.open) dialog.close();
		return;
	}
	if (open?.id === id) return;
	open = { id, done: false, job: null, next: 0 };
	clearJob();
	const listed = rows.find((job) => job.id === id);
	if (listed) drawFacts(listed);
	if (!dialog.open) dialog.showModal();
	dialog.scrollTop = 0;
	loadJob(id).catch((error) => drawNoJob(id, error));
}
addEventListener("hashchange", route);
$("close").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()); // beside the sheet
dialog.addEventListener("close", () => {
	const id = open?.id;
	open = null;
	if (location.hash.startsWith("#/")) history.replaceState(null, "", location.pathname);
	drawn.get(id)?.link.focus({ preventScroll: true });
});

function clearJob() {
	$("dialog-chip").dataset.status = "";
	say($("dialog-chip"), "…");
	say($("dialog-title"), "Loading…");
	for (const id of ["failure", "reasoning", "answer-text", "answer-rest", "download", "logs"]) show($(id), false);
	for (const id of ["answer-text", "reasoning-text", "log-lines", "facts", "answer-size"]) $(id).replaceChildren();
	$("reasoning").open = false;
	say($("answer-note"), "Loading…");
	show($("answer-note"), true);
}

const jobPath = (id) => `api/jobs/${encodeURIComponent(id)}`;

async function loadJob(id) {
	const job = await get(jobPath(id));
	if (open?.id !== id) return;
	open.job = job;
	open.done = ended(job);
	drawFacts(job);
	drawAnswer(job);
}

function drawNoJob(id, error) {
	if (open?.id !== id || open.job) return;
	say($("dialog-chip"), "?");
	say($("dialog-title"), error.status === 404 ? "There is no such job" : "The job could not be read");
	say($("answer-note"), error.message);
	open.done = error.status === 404;
}

function drawFacts(job) {
	$("dialog-chip").dataset.status = job.cancel_requested ? "CANCELLED" : job.status;
	say($("dialog-chip"), stateName(job));
	const title = $("dialog-title");
	title.dir = "auto";
	say(title, job.prompt ? line(job.prompt) : "The prompt is not kept");
	show($("failure"), !!job.error);
	if (job.error) {
		say($("failure-code"), line(job.error.code));
		say($("failure-message"), line(job.error.message ?? ""));
		say($("failure-action"), line(job.error.action ?? ""));
	}
	const facts = [
		["Request", job.request_id ? line(job.request_id) : "not named by fal", "code"],
		["Asked by", hostName(job.host ?? "")],
		["Endpoint", line(job.endpoint)],
		["Created", full(job.created_at)],
		["Ended", job.ended_at && full(job.ended_at)],
		["Waited in the queue", job.queue_seconds && span(job.queue_seconds)],
		["Ran", job.inference_seconds && span(job.inference_seconds)],
		["Tokens", job.usage && `${number(job.usage.input_tokens)} in, ${number(job.usage.output_tokens)} out`],
		["Cost", job.cost_usd !== undefined && `about $${job.cost_usd.toFixed(6)}`],
		["Input", job.input_bytes !== undefined && `${size(job.input_bytes)} of text`],
		...(job.attachments ?? []).map((a) => [
			line(a.field),
			[line(a.path ?? ""), a.content_type && line(a.content_type), a.size_bytes ? size(a.size_bytes) : "fetched by fal"].filter(Boolean).join(" · "),
		]),
		["Finish reason", job.finish_reason && line(job.finish_reason)],
		["Told to the host", job.delivered !== undefined && (job.delivered ? "yes" : "not yet")],
		["Ledger's id", line(job.id), "code"],
	].filter(([, value]) => value);
	const list = $("facts");
	if (list.children.length !== facts.length * 2) {
		list.replaceChildren(...facts.flatMap(() => [el("dt"), el("dd")]));
	}
	facts.forEach(([name, value, className], i) => {
		say(list.children[2 * i], name);
		list.children[2 * i + 1].className = className ?? "";
		list.children[2 * i + 1].dir = "auto";
		say(list.children[2 * i + 1], value);
	});
}

function drawAnswer(job) {
	const has = job.output.bytes > 0;
	const why = job.not_kept
		? "Not kept: it was given to the host, and this server keeps metadata only."
		: !ended(job)
			? "The answer appears here when it is there."
			: job.status === "COMPLETED"
				? "The answer is empty."
				: "There is no answer.";
	say($("answer-note"), why);
	show($("answer-note"), !has);
	show($("answer-text"), has);
	show($("download"), has);
	$("download").href = `${jobPath(job.id)}/output`;
	open.next = job.output.next_offset ?? 0;
	say($("answer-text"), visible(job.output.text));
	show($("reasoning"), !!job.reasoning);
	if (job.reasoning) {
		say($("reasoning-text"), visible(job.reasoning.text));
		say($("reasoning-size"), job.reasoning.next_offset ? `(the first ${size(job.reasoning.next_offset)} of ${size(job.reasoning.bytes)}; a download has all)` : `(${size(job.reasoning.bytes)})`);
	}
	show($("logs"), !!job.logs);
	say($("log-lines"), (job.logs ?? []).map((entry) => visible(`${entry.timestamp ?? ""} ${entry.message}`.trim())).join("\n"));
	drawRest();
}

function drawRest() {
	const { bytes } = open.job.output;
	show($("answer-rest"), open.next > 0);
	say($("answer-size"), bytes === 0 ? "" : open.next ? `${size(open.next)} of ${size(bytes)}` : size(bytes));
	say($("answer-all"), `Show all ${size(bytes)}`);
}

// extend fetches further pieces of the answer while it is the one that is shown.
async function extend(all) {
	const shown = open;
	const busy = (yes) => ["answer-more", "answer-all"].forEach((id) => ($(id).disabled = yes));
	busy(true);
	try {
		do {
			const piece = await get(`${jobPath(shown.id)}?part=output&offset=${shown.next}&pieces=${all ? 16 : 1}`);
			if (open !== shown) break;
			shown.next = piece.next_offset ?? 0;
			$("answer-text").append(visible(piece.text)); // a text node
			drawRest();
		} while (all && shown.next);
	} catch (error) {
		drawTrouble(error);
	}
	busy(false);
}
$("answer-more").addEventListener("click", () => extend(false));
$("answer-all").addEventListener("click", () => extend(true));

look();
route();
