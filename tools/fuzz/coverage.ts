import { type Profiler, Session } from 'node:inspector';
import { promisify } from 'node:util';

/** How much of some source files has been executed. */
export interface Coverage {
  /** The share of the functions' characters, counted by blocks: from 0 to 1. */
  readonly code: number;
  /** The functions that never ran. */
  readonly missed: readonly string[];
}

/** Measures the coverage of this process from now on, with V8's own coverage (the Profiler domain of its inspector). */
export class CoverageMeter {
  readonly #session = new Session();

  constructor() {
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** Returns a function that tells the coverage of source files. Call this once: it ends the measurement. */
  async finish(): Promise<(sources: readonly string[]) => Coverage> {
    const take = promisify<Profiler.TakePreciseCoverageReturnType>((done) =>
      this.#session.post('Profiler.takePreciseCoverage', done),
    );
    const { result } = await take();
    this.#session.disconnect();
    return (sources) => {
      const scripts = result.filter(({ url }) => sources.some((part) => url.includes(part)));
      const blocks = scripts.map(({ functions }) => blocksOf(functions));
      const all = blocks.reduce((sum, { length }) => sum + length, 0);
      const ran = blocks.reduce((sum, block) => sum + block.filter((each) => each === 2).length, 0);
      const missed = scripts.flatMap(({ functions }) => functions.filter(isMissed));
      return {
        code: ran / Math.max(all, 1),
        missed: missed.map(({ functionName }) => functionName),
      };
    };
  }
}

/** For each character within a function, whether it ran: 1 no, 2 yes. Inner ranges come later and are more precise. */
function blocksOf([, ...functions]: readonly Profiler.FunctionCoverage[]): Uint8Array {
  // The first is the module itself, which runs when it is loaded.
  const ranges = functions.flatMap(({ ranges }) => ranges);
  const blocks = new Uint8Array(Math.max(0, ...ranges.map(({ endOffset }) => endOffset)));
  for (const { startOffset, endOffset, count } of ranges) {
    blocks.fill(count > 0 ? 2 : 1, startOffset, endOffset);
  }
  return blocks.filter((block) => block > 0);
}

/** The names of functions that esbuild adds. */
const OF_ESBUILD = /^(|<static_initializer>|dispose|E|fail)$/;

function isMissed({ functionName, ranges }: Profiler.FunctionCoverage): boolean {
  return !OF_ESBUILD.test(functionName) && ranges[0]?.count === 0;
}
