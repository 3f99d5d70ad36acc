// A place to drop files and folders on; each file is sent as it is, two at a time.

const AT_ONCE = 2;
const AGAIN = [0, 408, 429, 502, 503, 504]; // may go well the next time
const style = document.createElement("style");
style.textContent = `
.epistem-drop { width: 100%; font: 15px/1.4 system-ui, sans-serif; }
.epistem-drop .zone { border: 2px dashed currentColor; border-radius: 8px; padding: 20px 14px; text-align: center; }
.epistem-drop.over .zone { background: rgba(255, 176, 0, 0.2); border-style: solid; }
.epistem-drop button { font: inherit; color: inherit; background: none; border: 1px solid currentColor;
  border-radius: 5px; min-height: 40px; padding: 4px 14px; cursor: pointer; margin: 4px; }
.epistem-drop .zone .all { border: none; font-weight: 600; font-size: 16px; width: 100%; min-height: 48px;
  margin: 0; }
.epistem-drop button:hover { background: rgba(128, 128, 128, 0.18); }
.epistem-drop button:focus-visible { outline: 3px solid #b06f00; outline-offset: 2px; }
.epistem-drop .zone small { display: block; font-size: 13px; }
.epistem-drop input { display: none; }
.epistem-drop .sum { min-height: 1.4em; margin: 8px 2px 2px; }
.epistem-drop ul { list-style: none; margin: 0; padding: 0 2px; max-height: 15rem; overflow: auto; }
.epistem-drop li { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 0 12px; align-items: center;
  padding: 4px 0; border-bottom: 1px solid rgba(128, 128, 128, 0.3); }
.epistem-drop li .name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.epistem-drop li progress { grid-column: 1 / -1; width: 100%; height: 6px; }
.epistem-drop li .why { grid-column: 1 / -1; font-size: 14px; overflow-wrap: anywhere; }
.epistem-drop li.refused .name::before, .epistem-drop li.failed .name::before { content: "✕ "; }
`;
document.head.append(style);

export default {
  template: `
    <div class="epistem-drop" :class="{ over }" @dragenter.prevent="over = true" @dragover.prevent="over = true"
         @dragleave="left" @drop.prevent="dropped">
      <div class="zone">
        <button type="button" class="all" @click="$refs.files.click()">{{ words }}</button>
        <button type="button" v-if="folders" @click="$refs.folder.click()">Choose a folder</button>
        <small v-if="maxBytes">Up to {{ size(maxBytes) }} each</small>
      </div>
      <input ref="files" type="file" multiple aria-hidden="true" tabindex="-1" @change="chosen" />
      <input ref="folder" type="file" webkitdirectory aria-hidden="true" tabindex="-1" @change="chosen" />
      <div class="sum" role="status">{{ summary }}</div>
      <ul v-if="open.length" aria-label="Files">
        <li v-for="row in open" :key="row.key" :class="row.state">
          <span class="name" :title="row.path">{{ row.path }}</span>
          <span v-if="row.state === 'sending'">{{ row.percent }} %</span>
          <span v-else-if="row.state !== 'failed'">{{ row.state }}</span>
          <button v-else type="button" :aria-label="'Try ' + row.path + ' again'" @click="again(row)">
            Try again</button>
          <progress v-if="row.state === 'sending'" max="100" :value="row.percent" :aria-label="row.path"></progress>
          <span v-if="row.why" class="why">{{ row.why }}</span>
        </li>
      </ul>
    </div>`,
  props: { url: String, maxBytes: Number, words: String, folders: Boolean },
  emits: ["done"],
  data: () => ({ over: false, rows: [], count: 0 }),
  computed: {
    open() {
      return this.rows.filter((row) => row.state !== "stored"); // the page lists those
    },
    summary() {
      const words = ["waiting", "sending", "stored", "refused", "failed"].map((state) => [
        this.rows.filter((row) => row.state === state).length,
        state,
      ]);
      return words.filter(([n]) => n).map(([n, state]) => `${n} ${state}`).join(", ");
    },
  },
  created() {
    this.files = new Map(); // not reactive: a File may be gigabytes
    this.requests = new Set();
  },
  unmounted() {
    for (const request of this.requests) request.abort();
  },
  methods: {
    size(bytes) {
      const [unit, one] = [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]].find(([, l]) => bytes >= l) ?? ["bytes", 1];
      return `${Number((bytes / one).toPrecision(3))} ${unit}`;
    },
    left(event) {
      if (!this.$el.contains(event.relatedTarget)) this.over = false;
    },
    chosen(event) {
      for (const file of event.target.files) this.add(file, file.webkitRelativePath || file.name);
      event.target.value = "";
    },
    async dropped(event) {
      this.over = false;
      // The list is empty after the first wait; take its entries before.
      const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
      const plain = entries.length ? [] : [...event.dataTransfer.files];
      for (const file of plain) this.add(file, file.name);
      for (const entry of entries) await this.walk(entry);
    },
    async walk(entry) {
      try {
        if (entry.isFile) {
          const file = await new Promise((done, fail) => entry.file(done, fail));
          this.add(file, entry.fullPath.replace(/^\//, ""));
          return;
        }
        const reader = entry.createReader();
        for (;;) {
          const some = await new Promise((done, fail) => reader.readEntries(done, fail));
          if (!some.length) return; // a hundred at a time, until none comes
          for (const child of some) await this.walk(child);
        }
      } catch {
        this.row(entry.name, "refused", "The browser could not read it.");
      }
    },
    row(path, state, why = "") {
      const row = { key: this.count++, path, state, why, percent: 0 };
      this.rows.push(row);
      return row;
    },
    add(file, path) {
      const within = path.includes("/");
      if (within && (file.name.startsWith(".") || file.name === "Thumbs.db")) return; // the file manager's own
      if (this.maxBytes && file.size > this.maxBytes) {
        const [given, most] = [file.size, this.maxBytes].map(this.size);
        this.row(path, "refused", `It has ${given}; files up to ${most} are taken.`);
      } else if (!file.size) {
        this.row(path, "refused", "The file is empty.");
      } else {
        this.files.set(this.row(path, "waiting").key, file);
        this.feed();
      }
    },
    again(row) {
      Object.assign(row, { state: "waiting", why: "", percent: 0 });
      this.feed();
    },
    feed() {
      for (const row of this.rows) {
        if (this.requests.size >= AT_ONCE) return;
        if (row.state === "waiting") this.send(row);
      }
    },
    send(row) {
      const file = this.files.get(row.key);
      const request = new XMLHttpRequest();
      this.requests.add(request);
      row.state = "sending";
      const url = (window.path_prefix ?? "") + this.url;
      request.open("PUT", `${url}${url.includes("?") ? "&" : "?"}name=${encodeURIComponent(file.name)}`);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.upload.onprogress = (event) => (row.percent = Math.floor((100 * event.loaded) / event.total));
      request.onload = () => this.answered(row, file, request);
      request.onerror = () => this.answered(row, file, request);
      request.onloadend = () => {
        this.requests.delete(request);
        this.feed();
      };
      request.send(file);
    },
    answered(row, file, request) {
      let answer = {};
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        // Not from epistem but from something between: the status has to do.
      }
      const { status } = request;
      if (status >= 200 && status < 300 && answer?.id !== undefined) {
        row.state = "stored";
        this.files.delete(row.key);
        this.$emit("done", { name: file.name, id: String(answer.id) });
        return;
      }
      row.state = AGAIN.includes(status) ? "failed" : "refused";
      row.why = typeof answer?.error === "string" ? answer.error : this.told(status, file);
    },
    told(status, file) {
      const limit = this.maxBytes ? `; files up to ${this.size(this.maxBytes)} are taken` : "";
      const known = {
        0: "The connection broke off. The file is still here; try again.",
        401: "This page is not signed in; open it with its token.",
        403: "This page may not store files; open it with its token.",
        413: `Too large with ${this.size(file.size)}${limit}.`,
        415: "This kind of file is not read.",
        429: "Too much at once; try again in a minute.",
        503: "The server is busy; try again in a minute.",
        507: "The server has no room left.",
      };
      return known[status] ?? `The server did not take it (status ${status}).`;
    },
  },
};
