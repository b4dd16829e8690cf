// Marks the words of the recording as it is heard; a press on a word or a time plays from there.

const player = () => document.querySelector("#recording audio");
let drawing = 0;

const mark = () => {
  const at = player()?.currentTime ?? -1;
  for (const word of element.querySelectorAll("span[data-start]")) {
    word.classList.toggle("now", +word.dataset.start <= at && at < +word.dataset.end);
  }
};

const follow = () => {
  cancelAnimationFrame(drawing);
  mark();
  if (player() && !player().paused) drawing = requestAnimationFrame(follow);
};

for (const event of ["play", "pause", "seeked", "timeupdate"]) {
  // Such events don't bubble; the player is made anew for each recording.
  document.addEventListener(event, (e) => e.target === player() && follow(), true);
}

element.addEventListener("click", (event) => {
  const from = event.target.closest("[data-start]");
  if (!from || !player()) return;
  player().currentTime = +from.dataset.start;
  player().play();
});
