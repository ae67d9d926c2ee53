import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** What `loader: 'text'` is in tools/build/build.mjs. */
const textFiles = {
  name: 'text-files',
  transform: (code: string, id: string) =>
    /\.(sh|md)$/.test(id) ? `export default ${JSON.stringify(code)}` : undefined,
};

/** The files that take longest, of which a fresh clone knows nothing. */
const LONGEST = [
  'faults/series/series',
  'faults/faults',
  'terminal/wizard',
  'terminal/progress',
  'recovery/forgery',
  'destinations/destinations',
  'recovery/hostile-author',
  'gui/back-up',
  'hostile/forgery',
  'recovery/recover',
  'load/load',
  'cli/prune',
  'cli/qubesd-restore',
  'cli/adopt',
  'hostile/every-state',
  'terminal/prompts',
  'terminal/shown-text',
  'forget/prune',
  'recovery/series',
  'gui/backup-pages',
  'hostile/restore',
  'cli/passphrase',
  'cli/qubesd-backup',
  'cli/series-storage',
  'terminal/outputs',
  'archive/few-bytes',
  'hostile/store',
  'coffer1/round-trip',
  'qubes3/reader',
  'bench/slide',
  'recovery/damage',
  'recovery/odd-passphrases',
  'hostile/endless',
  'hostile/chain-directory',
  'cli/keep-sent',
  'hostile/chain-forgery',
];

/** Long files begin first: no core waits at the end for one that came late. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = LONGEST.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`));
      return at < 0 ? LONGEST.length : at;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

// Whoever has it set lets every Node.js that starts parse these certificates, which takes longer than the rest of its
// start; the tests start thousands, and none speaks to a network.
delete process.env['NODE_EXTRA_CA_CERTS'];

// The processes of the tests give memory back that they have freed. They start thousands of programs, each of which begins
// as a copy of its process, and that takes the longer the more memory it has. See test/memory-of-programs.ts.
process.env['MALLOC_ARENA_MAX'] = '1';
process.env['MALLOC_TRIM_THRESHOLD_'] = '131072';
process.env['MALLOC_MMAP_THRESHOLD_'] = '131072';

/** These replace a module, or measure the memory of what they load: they load all modules anew. */
const ALONE = [
  'test/archive/coffer1/damage.test.ts',
  'test/archive/few-bytes.test.ts',
  'test/hostile/every-path.test.ts',
  'test/restore/whole-directory.test.ts',
];

export default defineConfig({
  plugins: [textFiles],
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: 'together',
          include: ['test/**/*.test.ts', 'tools/**/*.test.ts'],
          exclude: ALONE,
        },
      },
      { extends: true, test: { name: 'alone', include: ALONE, isolate: true } },
    ],
    globalSetup: 'test/test-run.ts',
    setupFiles: 'test/memory-of-programs.ts',
    // Files run one after the other in the same few processes: starting one and loading all modules takes long. What a
    // project says of this is of no effect on its processes: only here.
    isolate: false,
    unstubEnvs: true,
    // Real programs run in these tests, and a machine that runs them may be busy.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    maxWorkers: availableParallelism(),
    minWorkers: 1,
    sequence: { sequencer: LongestFirst },
  },
});
