// Loaded before coffer by NODE_OPTIONS: the clock stands at FIXED_CLOCK.
const time = Date.parse(process.env.FIXED_CLOCK);
globalThis.Date = class extends Date {
  constructor(...args) {
    super(...(args.length === 0 ? [time] : args));
  }

  static now() {
    return time;
  }
};
