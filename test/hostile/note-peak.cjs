// Loaded into coffer by arena.ts: leaves the peak of its resident memory, in bytes, in a file. It is the
// kernel's own figure; that of getrusage would count the memory of whoever started coffer as well.
const { readFileSync, writeFileSync } = require('node:fs');

process.on('exit', () => {
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'));
  writeFileSync(process.env.COFFER_TEST_PEAK, String(kibibytes * 1024));
});
