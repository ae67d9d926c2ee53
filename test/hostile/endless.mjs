// Outputs the beginning of a backup, then members without end: `node endless.mjs BACKUP BEHIND KIND`. Run by coffer as
// `--command`. It ends when coffer stops reading, or by itself after 4 GiB.
import { readFileSync, writeSync } from 'node:fs';

const [file, behind, kind] = process.argv.slice(2);
const backup = readFileSync(file);
const MOST = 4 * 2 ** 30;

/** Where each member begins and ends. */
function* membersOf(archive) {
  for (let from = 0; from < archive.length;) {
    const name = archive.toString('latin1', from, from + 100).replace(/\0.*/s, '');
    const size = name === '' ? 0 : parseInt(archive.toString('latin1', from + 124, from + 135), 8);
    const to = from + 512 + Math.ceil(size / 512) * 512;
    if (name !== '') yield { name, from, to };
    from = to;
  }
}

/** A header like those of the backup, with another name and size. */
function header(name, size) {
  const block = Buffer.from(backup.subarray(0, 512));
  block.fill(0, 0, 100);
  block.write(name);
  block.write(size.toString(8).padStart(11, '0'), 124);
  block.fill(' ', 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  backup.copy(block, 148, 148, 156);
  block.write(sum.toString(8).padStart(6, '0'), 148);
  return block;
}

const mac = Buffer.alloc(512);
mac.write(`${'0123456789abcdef'.repeat(8)}\n`);
const opensslMac = Buffer.alloc(512);
opensslMac.write(`(stdin)= ${'0123456789abcdef'.repeat(8)}\n`);

const members = [...membersOf(backup)];
const last = members.findLast(({ name }) => name.startsWith(behind));
const directory = /^vm\d+/.exec(
  members.map(({ name }) => name).find((name) => /^vm\d/.test(name)),
)[0];
/** An authentic part, with its MAC if it has one. */
const authentic = members.filter(
  ({ name }) => name.startsWith('data.000') || name.startsWith(`${directory}/private.img.000`),
);
const repeated = Buffer.concat(authentic.map(({ from, to }) => backup.subarray(from, to)));

const number = (i) => String(i).padStart(3, '0');
const volumeParts = members.filter(({ name }) => /^data\.\d+$/.test(name)).length;
const pair = (name, text) => [
  header(name, 0),
  header(`${name}.hmac`, text === mac ? 129 : 138),
  text,
];
const KINDS = {
  // coffer-1 and formats 2, 3: empty parts, each with its MAC
  'files of nobody': (i) => pair(`zz/${'x'.repeat(70)}${i}.000`, mac),
  'parts of nobody': (i) => pair(`zz/${'x'.repeat(70)}.${number(i)}`, mac),
  'files of a VM': (i) => pair(`${directory}/${'x'.repeat(70)}${i}.000`, mac),
  'parts of a VM': (i) => pair(`${directory}/x.${number(i)}`, mac),
  'more list of VMs': (i) => pair(`qubes.xml.${number(i + 1)}`, mac),
  'the same part': () => [repeated],
  'parts of volumes': (i) => pair(`data.${number(volumeParts + i)}`, mac),
  'old files of a VM': (i) => pair(`${directory}/${'x'.repeat(70)}${i}.000`, opensslMac),
  // format 4
  'sealed files of nobody': (i) => [header(`zz/${'x'.repeat(70)}${i}.000.enc`, 0)],
  'sealed files of a VM': (i) => [header(`${directory}/${'x'.repeat(70)}${i}.000.enc`, 0)],
  'sealed parts of a VM': (i) => [header(`${directory}/x.${number(i)}.enc`, 0)],
  'more sealed list of VMs': (i) => [header(`qubes.xml.${number(i + 1)}.enc`, 0)],
  'large parts of nobody': (i) => [header(`zz/x.${number(i)}.enc`, 2 ** 20), Buffer.alloc(2 ** 20)],
  zeros: () => [Buffer.alloc(2 ** 16)],
};
const make = KINDS[kind];

function say(bytes) {
  for (let at = 0; at < bytes.length;) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      if (error.code !== 'EAGAIN') process.exit(0);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
    }
  }
}

say(backup.subarray(0, last.to));
for (let i = 0, said = 0; said < MOST;) {
  const batch = [];
  for (let length = 0; length < 2 ** 20; i++) {
    const pieces = make(i);
    batch.push(...pieces);
    length += pieces.reduce((sum, piece) => sum + piece.length, 0);
  }
  const bytes = Buffer.concat(batch);
  say(bytes);
  said += bytes.length;
}
