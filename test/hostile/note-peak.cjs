// Preloaded into coffer by arena.ts: writes the peak of its resident memory, in bytes, to a file. The figure is from
// /proc, because that of getrusage includes the memory of the process that started coffer.
const { readFileSync, writeFileSync } = require('node:fs');

process.on('exit', () => {
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'));
  writeFileSync(process.env.COFFER_TEST_PEAK, String(kibibytes * 1024));
});
