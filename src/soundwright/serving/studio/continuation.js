// The sound that is continued: dropped or chosen as a file, or one of the server's own.

import {ask} from "/api.js";
import {find, icon} from "/elements.js";
import {say} from "/notices.js";
import {tell} from "/player.js";

export class Continuation {
  // `changed` is called with it or null, `failed` with an error.
  constructor({changed, failed}) {
    Object.assign(this, {changed, failed});
    this.given = null;
    this.allowed = true;
    find("continued-remove").append(icon("close"));
    find("continued-remove").addEventListener("click", () => { this.remove(); find("file").focus(); });
    find("file").addEventListener("change", () => {
      const [file] = find("file").files;
      find("file").value = "";
      if (file) this.upload(file);
    });
    this.listen();
  }

  // A file may be dropped anywhere on the page.
  listen() {
    let depth = 0;
    const mark = () => find("drop").classList.toggle("over", depth > 0 && this.allowed);
    const holdsFile = (event) => [...event.dataTransfer?.types ?? []].includes("Files");
    addEventListener("dragenter", (event) => { if (holdsFile(event)) { depth++; mark(); } });
    addEventListener("dragleave", (event) => { if (holdsFile(event)) { depth = Math.max(0, depth - 1); mark(); } });
    addEventListener("dragover", (event) => { if (holdsFile(event)) event.preventDefault(); });
    addEventListener("drop", (event) => {
      if (!holdsFile(event)) return;
      event.preventDefault();
      depth = 0;
      mark();
      if (this.allowed && event.dataTransfer.files[0]) this.upload(event.dataTransfer.files[0]);
    });
  }

  async upload(file) {
    this.failed(null);
    find("drop").classList.add("busy");
    find("drop").setAttribute("aria-busy", "true");
    try {
      const answer = await ask("/v1/audio/uploads", {
        method: "POST", body: file,
        headers: {"Content-Type": file.type.startsWith("audio/") ? file.type : "audio/wav", "X-Filename": encodeURIComponent(file.name)},
      });
      const {id, duration} = await answer.json();
      this.put({request: id, name: file.name, seconds: duration});
      say(`${file.name}, ${duration.toFixed(1)} seconds, will be continued.`);
    } catch (error) {
      error.field = "continue_from";
      this.failed(error);
    } finally {
      find("drop").classList.remove("busy");
      find("drop").removeAttribute("aria-busy");
    }
  }

  // `request` is what the server is asked, `seconds` may be unknown.
  put(given) {
    this.given = given;
    find("continued").hidden = !given;
    find("drop").classList.toggle("full", Boolean(given));
    if (given) {
      const length = given.seconds ? ` · ${tell(given.seconds)}` : "";
      find("continued").firstElementChild.textContent = `Continues ${given.name}${length}`;
    }
    this.changed(given);
  }

  remove() {
    this.failed(null);
    this.put(null);
  }

  allow(allowed) {
    this.allowed = allowed;
    find("drop").hidden = !allowed;
    if (!allowed && this.given) this.remove();
  }
}
