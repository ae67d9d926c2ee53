import { serveImage } from '../../../dom0-agent/qubes/pools/root-reader-server.ts';

/** Does what `coffer read-volume PATH LABEL [--unsearched]` does, for tests. */
const [path = '', label = '', unsearched] = process.argv.slice(2);
const known = unsearched === undefined ? undefined : [];
await serveImage(path, label, process.stdin, process.stdout, known);
process.stdin.destroy();
