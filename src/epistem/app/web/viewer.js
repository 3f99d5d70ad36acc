// A micrograph with the objects found in it: look, zoom, pick, correct.

import { byScore, ellipse, extent, medianSize, prepared, rectangle } from "viewer_shapes";
import { css, LINES, paint, scoreColour, STATES } from "viewer_paint";
import { fitted, moved, showing, toImage, zoomed } from "viewer_view";
import { counted, drafted, hint, KEYS, told } from "viewer_words";
import { onKey } from "viewer_keys";
import { onDown, onMove, onUp } from "viewer_pointers";
import "viewer_style";

// After that long without a move the hand rests.
const REST_MS = 120;

export default {
  template: `
    <div class="epistem-viewer" :data-loads="loads" :data-shown="counts.shown" :data-total="counts.total"
         :data-chosen="chosen" :data-mode="mode">
      <div class="stage" ref="stage">
        <canvas ref="canvas" tabindex="0" role="application" :class="mode" :aria-label="label"
          @keydown="key" @pointerdown="down" @pointermove="move" @pointerup="up" @pointercancel="cancel"
          @wheel.prevent="wheel" @dblclick="double" @contextmenu.prevent></canvas>
        <div class="key" v-if="counts.total || pending">
          <template v-if="scored">
            <div>Score</div><div class="ramp" :style="{ background: gradient }"></div>
            <div class="ends"><span>0</span><span>0.5</span><span>1</span></div>
          </template>
          <div class="line" v-for="line in lines">
            <svg width="28" height="8"><path d="M2 4H26" stroke="white" :stroke-width="line.width"
              :stroke-dasharray="line.dash.join(' ')" :stroke-linecap="line.cap"/></svg>
            <span>{{ line.name }}</span>
          </div>
        </div>
        <div class="buttons">
          <button type="button" aria-label="Zoom in" @click="zoom(1.5)">+</button>
          <button type="button" aria-label="Zoom out" @click="zoom(1 / 1.5)">−</button>
          <button type="button" class="whole" aria-label="Whole image" @click="fit">Fit</button>
          <button type="button" aria-label="Keys" :aria-expanded="help" @click="help = !help">?</button>
        </div>
        <div class="help" v-if="help">
          <table><tr v-for="[name, does] in keys"><th scope="row">{{ name }}</th><td>{{ does }}</td></tr></table>
        </div>
        <div class="message" v-if="message" role="alert">{{ message }}</div>
      </div>
      <div class="status" aria-live="polite">{{ status }}</div>
    </div>`,
  props: {
    picture: String,
    objects: String,
    version: Number,
    threshold: Number,
    selected: Number,
    mode: String,
    ramp: Array,
    mostPoints: Number,
  },
  emits: ["pick", "edit", "region", "leave"],
  data: () => ({
    loads: 0,
    chosen: null,
    counts: { shown: 0, total: 0 },
    scored: false,
    unscored: false,
    pending: 0,
    help: false,
    message: "",
    status: "",
    size: "",
    keys: KEYS,
  }),
  computed: {
    label() {
      const keys = "N and P go through them, question mark lists the keys";
      return `Micrograph${this.size}: ${counted(this.counts)}. ${keys}.`;
    },
    // The kinds of line that are there; white stands for whatever colour the score gives.
    lines() {
      const { counts, pending, unscored } = this;
      const there = { ...counts, found: unscored, added: counts.added || pending };
      return STATES.filter((state) => there[state]).map((state) => ({
        ...LINES[state],
        name: state === "found" ? "no score" : state,
      }));
    },
    gradient() {
      return `linear-gradient(90deg, ${this.ramp.map((rgb) => css(rgb)).join(", ")})`;
    },
  },
  watch: {
    picture: "loadAll",
    objects: "loadObjects",
    version: "loadObjects",
    threshold: "sift",
    selected(id) {
      this.chosen = id ?? null;
      this.scene.chosen = this.chosen;
      this.tell();
    },
    mode() {
      this.forget();
    },
  },
  created() {
    // Not reactive: thousands of outlines, and the canvas is drawn on its own clock.
    this.scene = { dpr: 1, width: 0, height: 0, aspect: 1, all: [], shown: [], drafts: [], pending: [], asked: 0 };
    this.pointers = new Map();
  },
  mounted() {
    this.context = this.$refs.canvas.getContext("2d", { alpha: false });
    this.watcher = new ResizeObserver(() => this.resize());
    this.watcher.observe(this.$refs.stage);
    this.chosen = this.scene.chosen = this.selected ?? null;
    setTimeout(() => this.loadAll(), 0); // window.path_prefix is set when the app is mounted
  },
  unmounted() {
    this.watcher.disconnect();
    clearTimeout(this.rest);
    cancelAnimationFrame(this.frame);
    this.scene.picture?.close();
  },
  methods: {
    async loadAll() {
      const scene = this.scene;
      // What differs after the "?" is the same image drawn otherwise: the view stays where it is.
      const place = this.picture?.split("?")[0];
      if (place !== scene.place)
        Object.assign(scene, { place, picture: null, shape: null, view: null, aspect: 1, nm_per_px: null, all: [] });
      this.forget();
      this.sift();
      if (!this.picture) return;
      const wanted = this.picture;
      this.message = "Loading the picture…";
      try {
        const picture = await createImageBitmap(await (await this.fetched(wanted, "picture")).blob());
        if (wanted !== this.picture) return picture.close();
        scene.picture = picture;
        scene.shape ??= [picture.height, picture.width];
        this.message = "";
        this.arrange();
        await this.loadObjects();
      } catch (error) {
        if (wanted === this.picture) this.message = error.message;
      }
    },
    // An answer that was overtaken by a later question is dropped.
    async loadObjects() {
      const turn = ++this.scene.asked;
      try {
        const found = this.objects ? await (await this.fetched(this.objects, "objects")).json() : null;
        if (turn !== this.scene.asked) return;
        this.take(found);
      } catch (error) {
        if (turn === this.scene.asked) this.message = error.message;
      }
    },
    async fetched(url, what) {
      const answer = await fetch((window.path_prefix ?? "") + url, { cache: "no-store" }).catch(() => null);
      if (answer?.ok) return answer;
      const why = answer ? `the server says ${answer.status}` : "no connection";
      throw new Error(`The ${what} could not be loaded (${why}). Reload the page to try again.`);
    },
    take(found) {
      const scene = this.scene;
      if (found) {
        Object.assign(scene, { shape: found.shape, aspect: found.aspect, nm_per_px: found.nm_per_px });
        this.size = ` of ${found.shape[0]} × ${found.shape[1]} pixels`;
      }
      const all = (found?.objects ?? []).map((object) => prepared(object, scene.aspect));
      for (const object of all) object.colour = scoreColour(object.score, this.ramp);
      scene.all = byScore(all);
      scene.pending = [];
      this.pending = 0;
      this.message = "";
      this.sift();
      this.arrange();
      this.loads += 1;
    },
    // What a person confirmed or added is shown whatever its score.
    sift() {
      const scene = this.scene;
      const sure = (object) => object.score === null || ["confirmed", "added"].includes(object.state);
      scene.shown = scene.all.filter((object) => sure(object) || object.score >= this.threshold);
      scene.corners = scene.shown.flatMap((object) => object.rings).reduce((sum, ring) => sum + ring.length / 2, 0);
      const counts = { shown: scene.shown.length, total: scene.all.length };
      for (const state of STATES) counts[state] = scene.all.filter((object) => object.state === state).length;
      this.counts = counts;
      this.scored = scene.all.some((object) => object.score !== null);
      this.unscored = scene.all.some((object) => object.score === null && object.state !== "added");
      this.tell();
    },
    // The whole image first; later the view stays where it is.
    arrange() {
      const scene = this.scene;
      const as = `${scene.shape} ${scene.aspect}`;
      if (scene.shape && scene.width && (!scene.view || scene.arranged !== as)) {
        scene.view = fitted(scene);
        scene.arranged = as;
      }
      this.draw();
    },
    resize() {
      const { scene } = this;
      const [width, height] = [this.$refs.stage.clientWidth, this.$refs.stage.clientHeight];
      const whole = scene.view && scene.view.scale === fitted(scene).scale;
      const shift = [(width - scene.width) / 2, (height - scene.height) / 2];
      Object.assign(scene, { width, height, dpr: window.devicePixelRatio });
      this.$refs.canvas.width = Math.round(width * scene.dpr);
      this.$refs.canvas.height = Math.round(height * scene.dpr);
      if (scene.view) scene.view = whole ? fitted(scene) : moved(scene, ...shift);
      this.arrange();
    },
    draw() {
      cancelAnimationFrame(this.frame);
      this.frame = requestAnimationFrame(() => {
        if (window.devicePixelRatio !== this.scene.dpr) return this.resize();
        const scene = this.scene;
        scene.drafts = [...scene.pending, ...(scene.draft ? [scene.draft.ring] : [])];
        if (scene.view || !scene.shape) paint(this.context, scene);
        const { x, y, scale } = scene.view ?? {};
        this.$refs.canvas.dataset.view = JSON.stringify({ x, y, scale, aspect: scene.aspect });
      });
    },
    tell() {
      const { scene } = this;
      const chosen = scene.all.find((object) => object.id === this.chosen);
      const place = scene.shown.indexOf(chosen);
      if (scene.draft?.placed) this.status = drafted(extent(scene.draft.ring));
      else if (chosen) this.status = told(chosen, place < 0 ? null : place + 1, scene.shown.length);
      else this.status = `${counted(this.counts)}. ${hint(this.mode)}`;
      this.draw();
    },
    choose(id) {
      this.chosen = this.scene.chosen = id;
      this.tell();
      this.$emit("pick", { id });
    },
    // The next object after the selected one, seen large enough to judge it.
    step(by) {
      const { shown } = this.scene;
      if (!shown.length) return;
      const at = shown.findIndex((object) => object.id === this.chosen);
      const next = shown[at < 0 ? (by > 0 ? 0 : shown.length - 1) : (at + by + shown.length) % shown.length];
      this.scene.view = showing(this.scene, next.box, 40);
      this.choose(next.id);
    },
    zoom(factor, at = [this.scene.width / 2, this.scene.height / 2]) {
      if (!this.scene.view) return;
      this.scene.view = zoomed(this.scene, factor, at);
      this.stir();
    },
    pan(dx, dy) {
      if (!this.scene.view) return;
      this.scene.view = moved(this.scene, dx, dy);
      this.stir();
    },
    // Drawn while it moves, and again when it rests.
    stir() {
      this.scene.restsAt = performance.now() + REST_MS;
      clearTimeout(this.rest);
      this.rest = setTimeout(() => this.draw(), REST_MS + 10);
      this.draw();
    },
    fit() {
      if (!this.scene.view) return;
      this.scene.view = fitted(this.scene);
      this.draw();
    },
    // An outline at the centre, for the keys: as large as the objects are.
    place() {
      const { scene } = this;
      if (!scene.view) return;
      const size = (medianSize(scene.shown) ?? scene.width / scene.view.scale / 8) * (this.mode === "region" ? 4 : 1);
      const [x, y] = toImage(scene, [scene.width / 2, scene.height / 2]);
      this.shapeDraft({ x, y, wide: size, tall: size / scene.aspect });
    },
    shapeDraft(placed) {
      const { x, y, wide, tall } = placed;
      const ring = (this.mode === "region" ? rectangle : ellipse)(
        [x - wide / 2, y - tall / 2], [x + wide / 2, y + tall / 2], this.scene.shape);
      this.scene.draft = { ring, placed };
      this.tell();
    },
    forget() {
      this.scene.draft = null;
      this.gesture = null;
      this.tell();
    },
    // A ring that is drawn goes to the page; it stays in sight until the page has it.
    keep(ring) {
      if (this.mode === "region") {
        this.$emit("region", { ring });
      } else {
        this.scene.pending.push(ring);
        this.pending = this.scene.pending.length;
        this.$emit("edit", { op: "add", id: null, ring });
      }
      this.forget();
    },
    edit(op, id) {
      this.$emit("edit", { op, id, ring: null });
    },
    key(event) {
      onKey(this, event);
    },
    at(event) {
      const box = this.$refs.canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    },
    down(event) {
      onDown(this, event);
    },
    move(event) {
      onMove(this, event);
    },
    up(event) {
      onUp(this, event);
    },
    cancel(event) {
      this.pointers.delete(event.pointerId);
      this.forget();
    },
    wheel(event) {
      const lines = event.deltaMode === 1 ? 33 : 1;
      this.zoom(Math.exp(-Math.max(-240, Math.min(240, event.deltaY * lines)) * 0.0018), this.at(event));
    },
    // Elsewhere a second click is a second edit.
    double() {
      if (this.mode === "look") this.fit();
    },
  },
};
