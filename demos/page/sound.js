// A microphone that gives pieces of 16-bit samples, and a player that puts pieces of a reply in a row.

const PIECE_S = 0.1; // of the microphone's pieces
const AHEAD_S = 0.05; // between getting a piece of the reply and its first sample
const SOFT = 0.2; // of the reply while somebody seems to speak

const toBase64 = (samples) => {
  const bytes = new Uint8Array(samples.buffer);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) {
    text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  }
  return btoa(text);
};

const fromBase64 = (text) => {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Int16Array(bytes.buffer);
};

const joined = (pieces) => {
  const all = new Int16Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
};

// Runs beside the page: gathers blocks of 128 samples into pieces.
const WORKLET = `registerProcessor("pieces", class extends AudioWorkletProcessor {
  constructor() { super(); this.size = Math.round(${PIECE_S} * sampleRate); this.piece = []; }
  process(inputs) {
    const heard = inputs[0][0];
    if (heard) for (const v of heard) this.piece.push(32767 * Math.max(-1, Math.min(1, v)));
    if (this.piece.length >= this.size) {
      this.port.postMessage(Int16Array.from(this.piece, Math.round));
      this.piece = [];
    }
    return true;
  }
});`;

class Microphone {
  // Calls give(samples, level) for each piece, level is 0 to 1; and lost() when there is no more.
  async open(give, lost) {
    if (!navigator.mediaDevices) throw new Error("this page may not use a microphone: open it on 127.0.0.1, localhost or over https");
    this.stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    });
    this.context = new AudioContext();
    this.rate = this.context.sampleRate;
    const code = URL.createObjectURL(new Blob([WORKLET], { type: "text/javascript" }));
    await this.context.audioWorklet.addModule(code);
    URL.revokeObjectURL(code);
    const node = new AudioWorkletNode(this.context, "pieces");
    node.port.onmessage = (message) => {
      let sum = 0;
      for (const v of message.data) sum += v * v;
      const decibels = 10 * Math.log10(sum / message.data.length / 32767 ** 2 + 1e-9);
      give(message.data, Math.max(0, Math.min(1, 1 + decibels / 60)));
    };
    this.context.createMediaStreamSource(this.stream).connect(node);
    node.connect(this.context.destination); // silence: some browsers run only what is connected
    await this.context.resume();
    const [track] = this.stream.getAudioTracks();
    if (track.readyState === "ended") lost();
    track.onended = lost; // not called by close()
  }

  close() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.context?.close();
    this.stream = this.context = null;
  }
}

class Player {
  constructor(onEmpty = () => {}) {
    this.sounding = new Set();
    this.next = 0; // the context's second at which the next piece begins
    this.onEmpty = onEmpty;
  }

  // To be called in answer to a click: browsers let only such pages sound.
  open(rate) {
    if (this.context?.sampleRate !== rate) {
      this.context?.close();
      this.context = new AudioContext({ sampleRate: rate });
      this.gain = this.context.createGain();
      this.gain.connect(this.context.destination);
      this.next = 0;
    }
    this.context.resume();
  }

  put(rate, pcm) {
    this.open(rate);
    const samples = Float32Array.from(fromBase64(pcm), (v) => v / 32767);
    if (!samples.length) return;
    const buffer = this.context.createBuffer(1, samples.length, rate);
    buffer.copyToChannel(samples, 0);
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.gain);
    this.next = Math.max(this.next, this.context.currentTime + AHEAD_S);
    source.start(this.next);
    this.next += buffer.duration;
    this.sounding.add(source);
    source.onended = () => {
      this.sounding.delete(source);
      if (!this.sounding.size) this.onEmpty();
    };
  }

  get ahead() {
    return this.context ? Math.max(0, this.next - this.context.currentTime) : 0;
  }

  loudness(gain) {
    this.gain?.gain.setTargetAtTime(gain, this.context.currentTime, 0.01);
  }

  stop() {
    for (const source of this.sounding) {
      source.onended = null;
      source.stop();
    }
    this.sounding.clear();
    this.next = 0;
    this.loudness(1);
  }
}
