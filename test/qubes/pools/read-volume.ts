import { serveImage } from '../../../dom0-agent/qubes/pools/root-reader-server.ts';

/** What `coffer read-volume PATH LABEL` does, for tests. */
const [path = '', label = ''] = process.argv.slice(2);
await serveImage(path, label, process.stdin, process.stdout);
process.stdin.destroy();
