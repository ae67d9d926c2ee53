import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** What `loader: 'text'` is in tools/build/build.mjs. */
const textFiles = {
  name: 'text-files',
  transform: (code: string, id: string) =>
    /\.(sh|md)$/.test(id) ? `export default ${JSON.stringify(code)}` : undefined,
};

export default defineConfig({
  plugins: [textFiles],
  test: {
    include: ['test/**/*.test.ts', 'tools/**/*.test.ts'],
    // Real programs run in these tests, and a machine that runs them may be busy.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    maxWorkers: availableParallelism(),
    minWorkers: 1,
  },
});
