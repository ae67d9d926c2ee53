// Preloaded through NODE_OPTIONS: stops the clock at FIXED_CLOCK.
exports.clockAt = (text) => {
  const time = Date.parse(text);
  return class extends Date {
    constructor(...args) {
      super(...(args.length === 0 ? [time] : args));
    }

    static now() {
      return time;
    }
  };
};

if (process.env.FIXED_CLOCK !== undefined)
  globalThis.Date = exports.clockAt(process.env.FIXED_CLOCK);
