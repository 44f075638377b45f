// A slider for each leading dimension, and the animation along one of them.

import {timeFirst} from './choices.js';

const SECONDS = 0.5; // between two steps of an animation, where they load as fast

/** The sliders. */
export class Steps {
  /**
   * @param {Element} element Where they stand.
   * @param {HTMLTemplateElement} template A slider.
   * @param {Object} callbacks `stepped(name, index)`: a slider was moved. `load(name, index)`: a promise that it can
   *     be shown at once. `failed(error)`: it cannot.
   */
  constructor(element, template, callbacks) {
    this.element = element;
    this.template = template;
    this.callbacks = callbacks;
    this.rows = new Map(); // by name of the dimension
    this.playing = null; // name of the dimension along which the animation runs
  }

  /**
   * Show the sliders of some dimensions.
   * @param {Array<{name: string, size: number}>} dimensions The dimensions.
   * @param {Map<string, number>} steps Where they stand.
   * @param {function(Object, number): string} label Text of a step.
   */
  show(dimensions, steps, label) {
    const names = dimensions.map(({name, size}) => `${name} ${size}`).join();
    if (names !== this.names) {
      this.names = names;
      this.stop();
      this.rows = new Map(timeFirst(dimensions).map((dimension) => [dimension.name, this.row(dimension)]));
      this.element.replaceChildren(...[...this.rows.values()].map(({element}) => element));
      this.element.hidden = !this.rows.size;
    }
    for (const dimension of dimensions) {
      const {slider, output} = this.rows.get(dimension.name);
      const index = steps.get(dimension.name) ?? 0;
      const text = label(dimension, index);
      slider.value = index;
      slider.setAttribute('aria-valuetext', text);
      output.textContent = text;
    }
  }

  row({name, size, long_name: title}) {
    const element = this.template.content.firstElementChild.cloneNode(true);
    const [slider, output, button] = ['input', 'output', '.play'].map((selector) => element.querySelector(selector));
    element.setAttribute('aria-label', title || name);
    element.querySelector('.name').textContent = output.dataset.name = title || name;
    slider.max = size - 1;
    const step = (index) => this.callbacks.stepped(name, index);
    slider.addEventListener('input', () => step(Number(slider.value)));
    slider.addEventListener('keydown', (event) => {
      if (event.key === ' ') {
        event.preventDefault();
        this.toggle(name);
      }
    });
    button.addEventListener('click', () => this.toggle(name));
    for (const [selector, by] of [['.previous', size - 1], ['.next', 1]]) {
      element.querySelector(selector).addEventListener('click', () => step((Number(slider.value) + by) % size));
    }
    return {element, slider, output, button, size};
  }

  toggle(name) {
    const isPlaying = this.playing === name;
    this.stop();
    if (!isPlaying) {
      this.play(name);
    }
  }

  stop() {
    this.playing = null;
    this.rows.forEach(({button}) => mark(button, false));
  }

  async play(name) {
    const row = this.rows.get(name);
    const run = (this.playing = name);
    mark(row.button, true);
    while (this.playing === run && this.rows.get(name) === row) {
      const from = Number(row.slider.value);
      const next = (from + 1) % row.size;
      const pause = new Promise((resolve) => setTimeout(resolve, 1000 * SECONDS));
      try {
        await this.callbacks.load(name, next);
      } catch (error) {
        this.stop();
        this.callbacks.failed(error);
      }
      await pause;
      // The slider may have been moved meanwhile: the animation goes on from there.
      if (this.playing === run && Number(row.slider.value) === from) {
        await this.callbacks.stepped(name, next);
      }
    }
  }
}

function mark(button, isPlaying) {
  button.setAttribute('aria-pressed', String(isPlaying));
  button.setAttribute('aria-label', isPlaying ? 'Pause' : 'Play');
}
