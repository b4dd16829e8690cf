// The conversation: sends what the microphone hears, shows and plays what becomes known.

const MOST_TURNS = 20; // that are shown
const STRANGER = "someone I don't know yet";
const STAGES = [
  ["hear", "writing down your words"],
  ["recognise", "knowing your voice"],
  ["answer", "finding the answer"],
  ["speak", "making the first sound"],
];
const find = (selector) => element.querySelector(selector);
const button = find(".round");
const turns = find(".turns");

let key = null; // of the conversation under way
let microphone = null;
let waiting = []; // pieces that are not sent yet
let sending = false;
let shown = null; // the turn that is shown last, and its number
const player = new Player();

const status = (text, state = "") => {
  // During a conversation a screen reader would talk into the microphone.
  find(".status").setAttribute("aria-live", key ? "off" : "polite");
  find(".status").textContent = text;
  find(".call").dataset.state = state;
};

const made = (tag, name, text = "") => {
  const one = document.createElement(tag);
  one.className = name;
  one.textContent = text;
  return one;
};

const turn = (number) => {
  if (shown?.number === number) return shown;
  const item = made("li", "turn");
  shown = {
    number,
    who: made("span", "who", "You"),
    said: made("span", "said"),
    pending: made("span", "pending"),
    reply: made("p", "reply"),
  };
  const words = made("p", "words");
  words.append(shown.who, " ", shown.said, " ", shown.pending);
  item.append(words, shown.reply);
  shown.item = item;
  turns.append(item);
  while (turns.children.length > MOST_TURNS) turns.firstChild.remove();
  return shown;
};

const bar = (seconds, longest, label, kind) => {
  const row = made("div", `bar ${kind}`);
  const track = made("span", "track");
  const fill = made("span", "fill");
  fill.style.width = `${Math.max(1, (100 * seconds) / longest)}%`;
  track.append(fill);
  row.append(made("span", "what", label), track, made("span", "long", `${seconds.toFixed(2)} s`));
  return row;
};

const showTimes = (timings) => {
  const { silence = 0, wait } = timings;
  if (wait === undefined) return;
  const rows = STAGES.filter(([name]) => timings[name] !== undefined);
  const longest = Math.max(silence, wait, ...rows.map(([name]) => timings[name]));
  const box = find(".times");
  box.replaceChildren(
    made("h3", "", `The last turn: ${(silence + wait).toFixed(2)} s from your last word to my first`),
    bar(silence, longest, "silence, until I was sure you had finished", "waited"),
    bar(wait, longest, "from then to my first sound", "waited"),
    made("p", "hint", "The work, most of it done during the silence:"),
    ...rows.map(([name, label]) => bar(timings[name], longest, label, "worked")),
  );
};

const tell = {
  SpeechStarted: (e) => {
    turn(e.turn);
    status("I hear you", "hearing");
  },
  PartialText: (e) => {
    turn(e.turn).said.textContent = e.text;
    turn(e.turn).pending.textContent = e.pending;
  },
  FinalText: (e) => {
    turn(e.turn).said.textContent = e.text;
    turn(e.turn).pending.textContent = "";
    turn(e.turn).reply.textContent = ""; // of a guess that the turn had ended
    status("Thinking", "thinking");
  },
  SpeakerHeard: (e) => {
    turn(e.turn).who.textContent = e.name ?? STRANGER;
    turn(e.turn).who.classList.toggle("stranger", !e.name);
  },
  ReplyText: (e) => {
    const { reply } = turn(e.turn);
    reply.textContent = `${reply.textContent} ${e.text}`.trim();
  },
  ReplyAudio: (e) => {
    player.put(e.rate, e.pcm);
    status("Speaking. Just talk to interrupt", "speaking");
  },
  Ducked: () => player.loudness(SOFT),
  Resumed: () => player.loudness(1),
  Interrupted: (e) => {
    player.stop();
    turn(e.turn).reply.classList.add("cut");
  },
  TurnDone: (e) => {
    const last = turn(e.turn);
    if (!last.said.textContent) last.item.remove(), (shown = null);
    player.loudness(1);
    showTimes(e.timings);
    if (!e.interrupted) status("Listening", "listening");
  },
};

const send = async () => {
  if (sending) return;
  sending = true;
  while (key && waiting.length) {
    const pieces = waiting;
    waiting = [];
    const mine = key;
    const sent = server.hear({ key, rate: microphone.rate, pcm: toBase64(joined(pieces)) });
    const answer = await sent.catch(() => null);
    if (mine !== key) break; // it was ended meanwhile
    if (!answer || answer.error) {
      await hangUp(answer?.error ?? "the connection to the program is lost; reload the page when it runs again");
      break;
    }
    for (const event of answer.events) tell[event.kind]?.(event);
  }
  sending = false;
};

const wishes = () => ({
  respond: find("[name=respond]").value,
  url: find("[name=url]").value,
  model: find("[name=model]").value,
  only_enrolled: find("[name=only_enrolled]").checked,
});

// A button that is disabled would lose the keyboard's focus.
const wait = (until) => button.setAttribute("aria-disabled", until);

const label = (text, pressed) => {
  button.setAttribute("aria-pressed", pressed);
  button.querySelector(".label").textContent = text;
};

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1).replace(/\.?$/, ".");

const pickUp = async () => {
  player.open(22050); // now, while the click counts; the voice's own rate comes later
  wait(true);
  status("Getting ready. When the models still load, this takes a while", "thinking");
  const mine = (microphone = new Microphone());
  const give = (samples, level) => {
    find(".call").style.setProperty("--level", level.toFixed(2));
    if (key) waiting.push(samples), send();
  };
  try {
    await mine.open(give, () => hangUp("the microphone is gone; connect it and press Talk again"));
  } catch (e) {
    const why = { NotAllowedError: "the browser was not allowed to use the microphone; allow it and press Talk again", NotFoundError: "there is no microphone; connect one and press Talk again" };
    await hangUp(why[e.name] ?? e.message);
    return;
  }
  if (mine !== microphone) return; // it was lost meanwhile
  const answer = await server.begin(wishes());
  if (mine !== microphone) {
    if (answer?.key) await server.end(answer.key);
    return;
  }
  if (!answer || answer.error) {
    await hangUp(answer?.error ?? "the program does not answer; reload the page when it runs again");
    return;
  }
  turns.replaceChildren();
  find(".times").replaceChildren();
  shown = null;
  player.open(answer.rate);
  player.loudness(1);
  waiting = [];
  key = answer.key;
  wait(false);
  label("Stop", true);
  status("Listening", "listening");
};

const hangUp = async (why = "") => {
  const mine = key;
  key = null;
  waiting = [];
  microphone?.close();
  microphone = null;
  player.stop();
  wait(false);
  label("Talk", false);
  find(".call").style.removeProperty("--level");
  status(why ? sentence(why) : "Press Talk and speak. A voice answers.", why ? "fault" : "");
  if (mine) await server.end(mine);
};

button.addEventListener("click", () => {
  if (button.getAttribute("aria-disabled") !== "true") key ? hangUp() : pickUp();
});
find("[name=respond]").addEventListener("change", (e) => {
  find(".chat").hidden = e.target.value !== "chat";
});
