// The till: reads a QR by camera, picture or paste, explains it, and asks the authoriser's question.

import * as api from "./api.js";
import { byId, h } from "./dom.js";
import { hexView } from "./hexview.js";
import { onLanguage, t } from "./i18n.js";
import { lookThroughCamera, readPicture } from "./scan.js";
import { answerText, codePill, exchangeTabs, requestText, showIn } from "./steps.js";

// What a till would want to know of an approval, under the names of the answer's own members.
const APPROVAL_SHOWN = ["funding_ref", "requestor_id", "atc", "issued_at", "expires_at"];

export function startTill(onSent) {
  const till = { read, onUsed: () => {} };
  const notice = byId("till-notice");
  let payload = "";
  let explained = null;
  let attempts = [];
  let showPan = false;
  let camera = null;

  async function read(text) {
    payload = text.trim();
    attempts = [];
    showPan = false;
    byId("paste").value = payload;
    await explain();
  }

  async function explain() {
    explained = null;
    try {
      if (payload) explained = await api.explainPayload(payload, showPan);
    } catch {
      say(t("unreachable"));
    }
    render();
  }

  function render() {
    if (!explained) {
      showIn("till-result", h("p", { class: "empty" }, t("nothing_read")));
      return;
    }
    const { findings } = explained;
    const errors = findings.filter((finding) => finding.level === "error").length;
    say(errors
      ? t("read_bad", { count: errors })
      : t("read_ok", { bytes: explained.length, characters: explained.text_length }));
    const panSwitch = h("button", {
      type: "button", class: "small", "aria-pressed": String(showPan), onclick: switchPan,
    }, t("show_pan"));
    showIn("till-result", authoriseBox(), findingList(findings), hexView(explained, panSwitch));
  }

  function switchPan() {
    showPan = !showPan;
    explain();
  }

  function authoriseBox() {
    const button = h("button", { type: "button", class: "primary", id: "authorise" }, t("authorise"));
    button.addEventListener("click", () => authorise(button));
    return h("div", { class: "authorise" }, button,
      h("div", { role: "log", "aria-label": t("authorise") },
        h("ol", { class: "attempts" }, attempts.map(attemptLine).reverse())));
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
      good ? approvalFacts(attempt.response) : null,
      h("details", {}, h("summary", {}, t("on_the_wire")),
        exchangeTabs(null, requestText(attempt.request), answerText(attempt.answer.status, attempt.answer.text))));
  }

  const approvalFacts = (response) => h("dl", { class: "facts" },
    APPROVAL_SHOWN.filter((name) => response[name] !== undefined).map((name) =>
      h("div", {}, h("dt", {}, name), h("dd", {}, String(response[name])))));

  function findingList(findings) {
    if (!findings.length) return null;
    return h("ul", { class: "findings" }, findings.map((finding) =>
      h("li", { class: finding.level },
        h("span", { class: "pill" }, finding.level), " ", finding.text)));
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
  render();
  onLanguage(() => { render(); if (camera) byId("camera").textContent = t("stop"); });
  return till;
}
