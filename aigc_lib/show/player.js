// Frames, parts of one sprite or elements in one place, under one or two sliders, for every figure with the class `name`.
function player(name, cols, rows, interval) {
  for (const root of document.querySelectorAll(`.${name}:not([data-ready])`)) {
    root.dataset.ready = '1';
    const screen = root.querySelector('[role=img]');
    const sliders = [...root.querySelectorAll('input')];
    const button = root.querySelector('button');
    const labels = sliders.map(s => s.dataset.labels.split('|'));
    let timer = null;
    const show = () => {
      const at = sliders.reduce((sum, s) => sum * (+s.max + 1) + +s.value, 0);
      const x = at % cols, y = Math.floor(at / cols);
      const part = (i, n) => n > 1 ? 100 * i / (n - 1) : 0;
      screen.style.backgroundPosition = `${part(x, cols)}% ${part(y, rows)}%`;
      [...screen.children].forEach((frame, i) => {
        frame.style.visibility = i === at ? 'visible' : 'hidden';
      });
      sliders.forEach((s, i) => {
        s.nextElementSibling.textContent = labels[i][s.value];
        s.setAttribute('aria-valuetext', labels[i][s.value]);
      });
    };
    const move = (i, by) => {
      const s = sliders[i], n = +s.max + 1;
      s.value = (+s.value + by + n) % n;
      show();
    };
    const stop = () => {
      clearInterval(timer);
      timer = null;
      button.textContent = '\u25b6 Play';
    };
    const play = () => {
      timer = setInterval(() => move(sliders.length - 1, 1), interval);
      button.textContent = '\u25a0 Stop';
    };
    sliders.forEach(s => s.addEventListener('input', show));
    button.addEventListener('click', () => timer ? stop() : play());
    screen.addEventListener('keydown', e => {
      const last = sliders.length - 1;
      const keys = {
        ArrowLeft: [last, -1], ArrowRight: [last, 1],
        ArrowUp: [0, -1], ArrowDown: [0, 1],
      };
      if (e.key === ' ') { e.preventDefault(); button.click(); }
      if (keys[e.key]) { e.preventDefault(); move(...keys[e.key]); }
    });
    show();
  }
}
