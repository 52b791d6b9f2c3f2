"use strict";

// Has the form write texts: a character for each picture that the browser shows. `aft` and `call` are those of page.js.
async function startWriting(aft, call) {
  const form = document.getElementById("form"), text = document.getElementById("text");
  const button = form.querySelector("button"), speed = document.getElementById("speed");
  const { alphabet } = call("load_model", await fetchFile(aft, "model.safetensors"));
  const nextPicture = () => new Promise((done) => requestAnimationFrame(done));
  let isWriting = false, isStopped = false;

  async function write() {
    const { prompt, seed, temperature, count } = Object.fromEntries(new FormData(form));
    const start = prompt.replaceAll("\r\n", "\n");  // forms send lines so
    const stranger = [...start].find((character) => !alphabet.includes(character));
    if (stranger !== undefined) {
      throw new Error(`The network doesn't know the character “${stranger}”.`);
    }
    call("begin_text", start, Number(seed), Number(temperature));
    const head = document.createElement("b");
    head.textContent = start;
    text.replaceChildren(head, "");
    let written = 0, milliseconds = 0;
    while (!isStopped && written < count) {
      await nextPicture();
      const next = call("next_character");
      text.lastChild.appendData(next.character);
      milliseconds += next.milliseconds;
      ++written;
      speed.textContent = `${written} characters, ${Math.round(1000 * written / milliseconds)} per second of computing`;
    }
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (isWriting) {  // the button says Stop
      isStopped = true;
      return;
    }
    isWriting = true;
    isStopped = false;
    button.textContent = "Stop";
    speed.className = "";
    try {
      await write();
    } catch (problem) {
      speed.className = "wrong";
      speed.textContent = problem.message;
    }
    isWriting = false;
    button.textContent = "Write";
    form.dispatchEvent(new Event("written"));
  });
  button.disabled = false;
}
