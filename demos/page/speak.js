// Asks for a text piece by piece, plays it while it is made, and keeps it for saving.

const ENOUGH_S = 4; // of speech that waits to be played; then the next piece has time
const find = (selector) => element.querySelector(selector);
const say = (text) => (find(".status").textContent = text);
const pause = (s) => new Promise((done) => setTimeout(done, 1000 * s));
const player = new Player(() => finish());
let key = null;
let complete = true;

const wav = (rate, pieces) => {
  const samples = joined(pieces.map((pcm) => new Int16Array(Uint8Array.from(atob(pcm), (c) => c.charCodeAt(0)).buffer)));
  const head = new DataView(new ArrayBuffer(44));
  const text = (at, s) => [...s].forEach((c, i) => head.setUint8(at + i, c.charCodeAt(0)));
  text(0, "RIFF"), text(8, "WAVEfmt "), text(36, "data");
  head.setUint32(4, 36 + samples.byteLength, true), head.setUint32(16, 16, true);
  head.setUint16(20, 1, true), head.setUint16(22, 1, true); // integers, one channel
  head.setUint32(24, rate, true), head.setUint32(28, 2 * rate, true);
  head.setUint16(32, 2, true), head.setUint16(34, 16, true);
  head.setUint32(40, samples.byteLength, true);
  return new Blob([head, samples], { type: "audio/wav" });
};

const finish = () => {
  if (!complete || player.sounding.size) return;
  find(".stop").hidden = true;
  say("");
};

const stop = async () => {
  const mine = key;
  key = null;
  complete = true;
  player.stop();
  finish();
  if (mine) await server.end(mine);
};

const speak = async (wish) => {
  await stop();
  player.open(22050); // now, while the click counts
  find(".save").hidden = true;
  find(".stop").hidden = false;
  complete = false;
  say("Getting ready");
  const begun = await server.begin(wish);
  if (!begun || begun.error) return fail(begun);
  key = begun.key;
  const mine = key;
  const pieces = [];
  while (mine === key) {
    const piece = await server.more(mine);
    if (mine !== key) return;
    if (!piece || piece.error) return fail(piece);
    if (!piece.pcm) break;
    pieces.push(piece.pcm);
    player.put(begun.rate, piece.pcm);
    say("Speaking");
    while (mine === key && player.ahead > ENOUGH_S) await pause(0.1);
  }
  if (mine !== key) return;
  key = null;
  complete = true;
  URL.revokeObjectURL(find(".save").href);
  find(".save").href = URL.createObjectURL(wav(begun.rate, pieces));
  find(".save").hidden = false;
  finish();
};

const fail = async (answer) => {
  await stop();
  const why = answer?.error ?? "the program does not answer; reload the page when it runs again";
  say(why.charAt(0).toUpperCase() + why.slice(1).replace(/\.?$/, "."));
};

find(".stop").addEventListener("click", stop);
element.closest("#spoken").addEventListener("speak", (event) => speak(event.detail));
