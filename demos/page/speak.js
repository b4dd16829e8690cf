// Asks for a text piece by piece, plays it while it is made, and keeps it for saving.

const ENOUGH_S = 4; // of speech that waits to be played; then the next piece has time
const find = (selector) => element.querySelector(selector);
const say = (text) => (find(".status").textContent = text);
const pause = (s) => new Promise((done) => setTimeout(done, 1000 * s));
const player = new Player(() => finish());
let key = null; // of the text under way
let round = 0; // counts presses of Speak and Stop: what was begun in an earlier one is void
let complete = true;

const wav = (rate, samples) => {
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

const stop = () => {
  if (key) server.end(key);
  key = null;
  round += 1;
  complete = true;
  player.stop();
  finish();
};

const speak = async (wish) => {
  stop();
  const mine = round;
  player.open(22050); // now, while the click counts
  find(".save").hidden = true;
  find(".stop").hidden = false;
  complete = false;
  say("Getting ready");
  const begun = await server.begin(wish);
  if (mine !== round) {
    if (begun?.key) server.end(begun.key);
    return;
  }
  if (!begun || begun.error) return fail(begun);
  key = begun.key;
  const pieces = [];
  while (true) {
    const piece = await server.more(key);
    if (mine !== round) return;
    if (!piece || piece.error) return fail(piece);
    if (!piece.pcm) break;
    pieces.push(fromBase64(piece.pcm));
    player.put(begun.rate, piece.pcm);
    say("Speaking");
    while (player.ahead > ENOUGH_S) {
      await pause(0.1);
      if (mine !== round) return;
    }
  }
  key = null;
  complete = true;
  URL.revokeObjectURL(find(".save").href);
  find(".save").href = URL.createObjectURL(wav(begun.rate, joined(pieces)));
  find(".save").hidden = false;
  finish();
};

const fail = (answer) => {
  stop();
  const why = answer?.error ?? "the program does not answer; reload the page when it runs again";
  say(why.charAt(0).toUpperCase() + why.slice(1).replace(/\.?$/, "."));
};

find(".stop").addEventListener("click", stop);
element.closest("#spoken").addEventListener("speak", (event) => speak(event.detail));
