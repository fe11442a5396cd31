// The till: reads a QR by camera, picture or paste, explains it, and asks the authoriser's question.

import * as api from "./api.js";
import { byId, h } from "./dom.js";
import { hexView } from "./hexview.js";
import { onLanguage, t } from "./i18n.js";
import { lookThroughCamera, readPicture } from "./scan.js";
import { answerText, codePill, exchangeTabs, requestText, showIn } from "./steps.js";

export function startTill(onSent) {
  const till = { read, onUsed: () => {} };
  const notice = byId("till-notice");
  let payload = "";
  let explained = null;
  let attempts = [];
  let masked = true;
  let camera = null;

  async function read(text) {
    payload = text.trim();
    attempts = [];
    byId("paste").value = payload;
    if (!payload) return;
    try {
      explained = await api.explainPayload(payload);
    } catch {
      explained = null;
      say(t("unreachable"));
    }
    render();
  }

  function render() {
    if (!explained) {
      byId("till-result").replaceChildren();
      return;
    }
    const { decoded, hex } = explained;
    const errors = decoded.findings.filter((finding) => finding.level === "error").length;
    say(errors ? t("read_bad", { count: errors }) : t("read_ok", { bytes: decoded.length }));
    showIn("till-result", authoriseBox(), findingList(decoded.findings),
      h("div", { class: "pan-switch" }, h("button", {
        type: "button", class: "small", onclick: () => { masked = !masked; render(); },
      }, t(masked ? "show_pan" : "hide_pan"))),
      hexView(decoded, hex, masked));
  }

  function authoriseBox() {
    const button = h("button", { type: "button", class: "primary", id: "authorise" }, t("authorise"));
    button.addEventListener("click", () => authorise(button));
    return h("div", { class: "authorise" }, button,
      h("ol", { class: "attempts", role: "log", "aria-label": t("authorise") },
        attempts.map(attemptLine).reverse()));
  }

  async function authorise(button) {
    button.disabled = true;
    button.textContent = t("authorising");
    try {
      const { request } = await api.orderVerification(payload);
      const answer = await api.send(request);
      const { code, text, response } = api.verdict(answer);
      attempts.push({ number: attempts.length + 1, request, answer, code, text, response });
      if (code === "0000") till.onUsed(payload);
    } catch {
      say(t("unreachable"));
    }
    onSent();
    render();
    byId("authorise").focus();
  }

  function attemptLine(attempt) {
    const good = attempt.code === "0000";
    return h("li", { class: good ? "attempt good" : "attempt bad" },
      h("p", { class: "verdict" },
        h("span", { class: "verdict-mark", "aria-hidden": "true" }, good ? "✓" : "✕"),
        h("strong", {}, t(good ? "approved" : "refused")), " ",
        codePill(attempt.code, attempt.answer.status), " ",
        h("span", {}, good ? "" : attempt.text),
        h("span", { class: "quiet" }, ` · ${t("attempt", { number: attempt.number })}`)),
      h("details", {}, h("summary", {}, t("on_the_wire")),
        exchangeTabs(null, requestText(attempt.request), answerText(attempt.answer.status, attempt.answer.text))));
  }

  function findingList(findings) {
    if (!findings.length) return null;
    return h("ul", { class: "findings" }, findings.map((finding) =>
      h("li", { class: finding.level },
        h("span", { class: "pill" }, finding.level), " ", finding.text,
        h("span", { class: "quiet" }, finding.rule ? ` (${finding.rule})` : ""))));
  }

  async function scan() {
    if (camera) {
      camera.stop();
      return;
    }
    try {
      byId("viewfinder").hidden = false;
      say(t("looking"));
      camera = await lookThroughCamera(byId("video"));
      byId("camera").textContent = t("stop");
      const text = await camera.text;
      if (text) await read(text);
      else say("");
    } catch (error) {
      say(t("camera_denied", { why: error.message }));
    } finally {
      camera = null;
      byId("viewfinder").hidden = true;
      byId("camera").textContent = t("scan");
    }
  }

  async function readFile(file) {
    if (!file?.type.startsWith("image/")) return;
    const text = await readPicture(file).catch(() => "");
    if (text) await read(text);
    else say(t("no_qr_in_picture"));
  }

  function say(text) {
    notice.textContent = text;
  }

  function listen() {
    const card = byId("till");
    byId("camera").addEventListener("click", scan);
    byId("picture").addEventListener("click", () => byId("picture-file").click());
    byId("picture-file").addEventListener("change", (event) => readFile(event.target.files[0]));
    byId("paste-form").addEventListener("submit", (event) => {
      event.preventDefault();
      read(byId("paste").value);
    });
    card.addEventListener("paste", (event) => readFile(event.clipboardData.files[0]));
    card.addEventListener("dragover", (event) => { event.preventDefault(); card.classList.add("over"); });
    card.addEventListener("dragleave", () => card.classList.remove("over"));
    card.addEventListener("drop", (event) => {
      event.preventDefault();
      card.classList.remove("over");
      readFile(event.dataTransfer.files[0]);
    });
  }

  listen();
  onLanguage(() => { render(); if (camera) byId("camera").textContent = t("stop"); });
  return till;
}
