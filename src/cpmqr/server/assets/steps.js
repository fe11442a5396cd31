// The explanation of an exchange: what went over the wire, and each step of the gateway. Wallet and inspector share it.

import { byId, h, roving } from "./dom.js";
import { isKorean, t } from "./i18n.js";

const SECRET_CHARACTERS_SHOWN = 6;
const PREVIEW_CHARACTERS_MAX = 34;
let panels = 0;

// Calls of /v1 that only read or change something have no code of the catalogue: their status stands for it.
export const codePill = (code, status) =>
  h("span", { class: `pill ${code === "0000" || (!code && status < 400) ? "good" : "bad"}` }, code || `${status}`);

// The three views of an exchange as tabs. `request` and `answer` are text; `detail` comes from the inspector.
export function exchangeTabs(detail, request, answer, extra = []) {
  const views = [["request", () => wireText(request)], ["answer", () => wireText(answer)]];
  if (detail?.steps.length) views.unshift(["steps", () => stepList(detail.steps)]);
  const panelId = `panel-${++panels}`;
  const panel = h("div", { role: "tabpanel", id: panelId, class: "tab-panel", tabindex: "0" });
  const tabs = views.map(([name, view]) =>
    h("button", {
      type: "button",
      role: "tab",
      class: "tab",
      id: `${panelId}-${name}`,
      "aria-controls": panelId,
      onclick: () => show(name, view),
      onfocus: () => show(name, view),
    }, t(name)));
  function show(name, view) {
    for (const tab of tabs) tab.setAttribute("aria-selected", String(tab.id === `${panelId}-${name}`));
    panel.setAttribute("aria-labelledby", `${panelId}-${name}`);
    panel.replaceChildren(view());
  }
  roving(tabs);
  show(...views[0]);
  return h("div", { class: "exchange" },
    h("div", { class: "tab-row" }, h("div", { role: "tablist", "aria-label": t("on_the_wire") }, tabs), extra),
    panel);
}

// Each step is a line that opens; the one that refused is open, since it is what one looks for.
export function stepList(steps) {
  return h("ol", { class: "steps" }, steps.map((step) =>
    h("li", { class: step.passed ? "step passed" : "step stopped" },
      h("details", { open: !step.passed },
        h("summary", {},
          h("span", { class: "step-mark", "aria-hidden": "true" }, step.passed ? "✓" : "✕"),
          h("span", { class: "step-title" }, `${step.number} · ${isKorean() ? step.title_ko : step.title}`),
          h("span", { class: "step-preview" }, step.passed ? preview(step.facts ?? []) : codePill(step.code))),
        h("div", { class: "step-body" },
          step.text ? h("p", { class: "step-text" }, step.text) : null,
          factList(step.facts ?? []))))));
}

// What a closed line says: the first facts that are short.
const preview = (facts) =>
  facts.map(([, value]) => value).filter((value) => value.length <= PREVIEW_CHARACTERS_MAX).slice(0, 2).join(" · ");

function factList(facts) {
  if (!facts.length) return null;
  return h("dl", { class: "facts" }, facts.map(([name, value]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, value.includes("\n") ? h("pre", {}, value.trimEnd()) : value))));
}

const wireText = (text) => h("pre", { class: "wire-text" }, text);

export function requestText(request) {
  const headers = Object.entries(request.headers).map(([name, value]) =>
    `${name}: ${name === "Authorization" ? `${value.slice(0, SECRET_CHARACTERS_SHOWN)}…` : value}`);
  return [`${request.method} ${request.path} HTTP/1.1`, `Host: ${location.host}`, ...headers, "", request.body]
    .join("\n");
}

export const answerText = (status, text) => `HTTP/1.1 ${status}\n\n${pretty(text)}`;

export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

// The request as a line for a shell, with the sandbox's credential in it.
export function curlText(request) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const headers = Object.entries(request.headers).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`);
  const address = location.origin + request.path;
  return [`curl -sS ${quoted(address)}`, ...headers, `--data-raw ${quoted(request.body)}`].join(" \\\n  ");
}

export function copyButton(label, text) {
  const button = h("button", { type: "button", class: "small" }, t(label));
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text());
    button.textContent = t("copied");
    setTimeout(() => { button.textContent = t(label); }, 1500);
  });
  return button;
}

export const showIn = (id, ...children) => byId(id).replaceChildren(...children.filter(Boolean));
