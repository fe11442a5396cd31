// The trigger board: every code of the catalogue, and a button that provokes it with real requests.

import * as api from "./api.js";
import { byId, h } from "./dom.js";
import { isKorean, onLanguage, t } from "./i18n.js";
import { showIn } from "./steps.js";

export function startTriggers(setup, onSent) {
  const results = new Map(); // code → what came back
  let running = false;

  function render() {
    const focused = document.activeElement?.closest?.("[data-code]")?.dataset.code;
    const families = Map.groupBy(setup.codes, (item) => item.code[0]);
    showIn("board", ...[...families].map(([family, items]) =>
      h("section", { class: "family", "aria-labelledby": `family-${family}` },
        h("h3", { id: `family-${family}` }, h("span", { class: "quiet" }, `${family}xxx `), t(`family_${family}`)),
        h("ul", { class: "triggers" }, items.map(trigger)))));
    const answered = [...results.values()];
    const good = answered.filter((result) => result.good).length;
    byId("try-all").textContent = running
      ? t("asking")
      : answered.length === setup.codes.length ? `${t("try_all")} · ${t("done", { good, count: answered.length })}` : t("try_all");
    byId("try-all").disabled = running;
    if (focused) document.querySelector(`[data-code="${focused}"] button`)?.focus();
  }

  function trigger(item) {
    const result = results.get(item.code);
    return h("li", { class: "trigger", dataset: { code: item.code } },
      h("span", { class: "trigger-code" }, item.code),
      h("div", { class: "trigger-what" },
        h("p", {}, isKorean() ? item.text : item.meaning, " ",
          h("span", { class: "quiet" }, t("http", { status: item.http_status }), retryHint(item))),
        h("p", { class: "quiet" }, isKorean() ? item.how_ko : item.how)),
      h("div", { class: "trigger-result", role: "status" }, result ? outcome(result) : ""),
      h("button", {
        type: "button",
        class: "small",
        "aria-label": `${t("try")} ${item.code}`,
        disabled: running,
        onclick: () => tryOne(item.code).then(render),
      }, t("try")));
  }

  const retryHint = (item) =>
    (item.retry && item.retry !== "no" ? ` · ${t("retry", { how: t(`retry_${item.retry}`) })}` : "");

  function outcome(result) {
    return [
      h("span", { class: `pill ${result.good ? "good" : "bad"}`, title: result.text },
        result.good ? `✓ ${result.code}` : `✕ ${result.code || result.status}`),
      h("span", { class: "quiet" }, `${result.ms.toFixed(0)} ms`),
    ];
  }

  async function tryOne(code) {
    const answers = [];
    let traceNo = "";
    let last = null;
    try {
      for (;;) {
        const following = await api.nextOfTrigger(code, traceNo, answers);
        if (!following.request) break;
        traceNo = following.trace_no;
        last = await api.send(following.request);
        answers.push({ http_status: last.status, body: last.text });
      }
      const verdict = api.verdict(last);
      results.set(code, { code: verdict.code, text: verdict.text, status: last.status, ms: last.ms, good: verdict.code === code });
    } catch (error) {
      results.set(code, { code: "", text: error.message, status: "–", ms: 0, good: false });
    }
    onSent();
  }

  byId("try-all").addEventListener("click", async () => {
    running = true;
    results.clear();
    for (const item of setup.codes) {
      render();
      await tryOne(item.code);
    }
    running = false;
    render();
  });
  onLanguage(render);
  render();
}
