// What the page asks of the gateway. `send` is a wallet's or a till's request, as any other client would send it.

async function ask(path, order) {
  const response = await fetch(path, order === undefined ? {} : {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(order),
  });
  if (!response.ok) throw new Error(`${path}: HTTP ${response.status}`);
  return response;
}

const json = async (path, order) => (await ask(path, order)).json();

export const setup = () => json("/console/setup");
export const orderQr = (token, cryptoType) => json("/console/wallet", { token, crypto_type: cryptoType });
export const orderVerification = (payload) => json("/console/till", { payload });
export const nextOfTrigger = (code, traceNo, answers) =>
  json("/console/trigger", { code, trace_no: traceNo, answers });
export const explainPayload = (payload, showPan) => json("/console/payload", { payload, show_pan: showPan });
export const requestsAfter = (number) => json(`/console/requests?after=${number}`);
export const requestDetail = (number) => json(`/console/requests/${number}`);
export const requestOfTrace = (traceNo) => json(`/console/requests?trace_no=${encodeURIComponent(traceNo)}`);
export const drawQr = async (payload) => (await ask("/console/qr", { payload })).blob();

// Send a prepared request over the wire; gives what came back, whatever it was.
export async function send(request) {
  const started = performance.now();
  const response = await fetch(request.path, {
    method: request.method,
    headers: request.headers,
    body: request.body,
  });
  const text = await response.text();
  return { status: response.status, text, body: parsed(text), ms: performance.now() - started };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

// The code and text of an answer, of the PAYGW path or of /v1.
export function verdict(answer) {
  const response = answer.body.PAYGW?.RESPONSE ?? answer.body;
  return {
    code: response.rslt_cd ?? response.RSLT_CD ?? "",
    text: response.RSLT_MSG ?? [response.rslt_msg, response.detail].filter(Boolean).join(" · "),
    response,
  };
}
