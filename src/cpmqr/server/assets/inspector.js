// The inspector: the last requests to this sandbox, from any client, as they come.

import * as api from "./api.js";
import { byId, h } from "./dom.js";
import { onLanguage, t } from "./i18n.js";
import { answerText, codePill, exchangeTabs, pretty, showIn } from "./steps.js";

const ASK_EVERY_MS = 1000;
const SHOWN_MAX = 200;

export function startInspector() {
  let entries = []; // newest first
  let open = null; // number of the request whose steps are shown
  let asking = false;

  async function refresh() {
    if (asking) return;
    asking = true;
    try {
      const { requests } = await api.requestsAfter(entries[0]?.number ?? 0);
      byId("live").classList.remove("off");
      if (requests.length) {
        entries = [...requests.reverse(), ...entries].slice(0, SHOWN_MAX);
        render(requests.length);
      }
    } catch {
      byId("live").classList.add("off");
    } finally {
      asking = false;
    }
  }

  function render(fresh = 0) {
    if (!entries.length) {
      showIn("inspector-list", h("p", { class: "quiet" }, t("empty_list")));
      return;
    }
    const heads = ["time", "code", "cause", "call", "from", "ms"];
    showIn("inspector-list", h("div", { class: "table-frame", tabindex: "0", role: "group", "aria-label": t("inspector") },
      h("table", {},
        h("thead", {}, h("tr", {}, heads.map((name) => h("th", { scope: "col", class: `col-${name}` }, t(name))))),
        h("tbody", {}, entries.flatMap((entry, index) => rows(entry, index < fresh))))));
  }

  function rows(entry, isFresh) {
    const isOpen = entry.number === open;
    const toggle = () => { open = isOpen ? null : entry.number; render(); focusOn(entry.number); };
    const row = h("tr", { class: `request${isFresh ? " fresh" : ""}${isOpen ? " open" : ""}`, onclick: toggle },
      h("td", { class: "col-time" }, clock(entry.at_s)),
      h("td", { class: "col-code" }, h("button", {
        type: "button",
        class: "row-button",
        dataset: { number: entry.number },
        "aria-expanded": String(isOpen),
        onclick: (event) => { event.stopPropagation(); toggle(); },
      }, codePill(entry.code, entry.http_status))),
      h("td", { class: "col-cause" }, entry.cause || h("span", { class: "quiet" }, entry.trace_no)),
      h("td", { class: "col-call" }, `${entry.method} ${shortPath(entry.path)}`),
      h("td", { class: "col-from", title: entry.agent }, `${entry.source} ${shortAgent(entry.agent)}`),
      h("td", { class: "col-ms" }, entry.ms.toFixed(entry.ms < 10 ? 1 : 0)));
    return isOpen ? [row, detailRow(entry.number)] : [row];
  }

  function detailRow(number) {
    const place = h("td", { colspan: "6" });
    api.requestDetail(number)
      .then((detail) => place.append(
        detail.steps.length ? "" : h("p", { class: "step-text" }, detail.text),
        exchangeTabs(detail, `${detail.method} ${detail.path} HTTP/1.1\n\n${pretty(detail.request.body)}`,
          answerText(detail.answer.http_status, detail.answer.body))))
      .catch(() => place.append(h("p", { class: "quiet" }, t("not_kept"))));
    return h("tr", { class: "detail" }, place);
  }

  const focusOn = (number) => document.querySelector(`[data-number="${number}"]`)?.focus();

  render();
  onLanguage(() => render());
  setInterval(() => { if (!document.hidden) refresh(); }, ASK_EVERY_MS);
  refresh();
  return { refresh };
}

function clock(atS) {
  const at = new Date(atS * 1000);
  const two = (number) => String(number).padStart(2, "0");
  const milliseconds = String(at.getMilliseconds()).padStart(3, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${milliseconds}`;
}

// A mapping value is 40 hex digits; eight tell it from the others here.
const shortPath = (path) => path.replace("/paygw/", "").replace(/([0-9A-F]{8})[0-9A-F]{32}/, "$1…");

// A browser's name for itself is a long story; one word of it says enough.
function shortAgent(agent) {
  const browser = agent.match(/(Firefox|Edg|Chrome|Safari)\/(\d+)/);
  return browser ? `${browser[1]} ${browser[2]}` : agent.split(" ")[0];
}
