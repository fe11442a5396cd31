// Reads QRs: from the camera, frame by frame, and from pictures. ZXing comes from the gateway, and only when needed.

const FRAME_PAUSE_MS = 120;
const PIXELS_WIDE_MAX = 1280; // a larger frame only takes longer
const OPTIONS = { formats: ["QRCode"], maxNumberOfSymbols: 1, tryHarder: true };

let reader = null;

async function zxing() {
  reader ??= import("./vendor/zxing-wasm/reader/index.js").then((module) => {
    const address = new URL("./vendor/zxing-wasm/zxing_reader.wasm", import.meta.url).href;
    module.prepareZXingModule({ overrides: { locateFile: () => address } });
    return module;
  });
  return reader;
}

// Give the text of the first QR in a picture file; "" where there is none.
export async function readPicture(file) {
  const { readBarcodes } = await zxing();
  return (await readBarcodes(file, OPTIONS))[0]?.text ?? "";
}

// Look through the camera until a QR is seen; the answer has `stop`, and `text`, a promise ("" when it was stopped).
export async function lookThroughCamera(video) {
  const { readBarcodes } = await zxing();
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" }, audio: false });
  video.srcObject = stream;
  await video.play();
  let looking = true;
  const stop = () => {
    looking = false;
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
  };
  const look = async () => {
    const canvas = document.createElement("canvas");
    const context = canvas.getContext("2d", { willReadFrequently: true });
    while (looking) {
      const scale = Math.min(1, PIXELS_WIDE_MAX / (video.videoWidth || 1));
      canvas.width = video.videoWidth * scale;
      canvas.height = video.videoHeight * scale;
      if (canvas.width) {
        context.drawImage(video, 0, 0, canvas.width, canvas.height);
        const found = await readBarcodes(context.getImageData(0, 0, canvas.width, canvas.height), OPTIONS);
        if (looking && found[0]?.text) return found[0].text;
      }
      await new Promise((resolve) => setTimeout(resolve, FRAME_PAUSE_MS));
    }
    return "";
  };
  return { stop, text: look().finally(stop) };
}
