#!/usr/bin/env node
/**
 * A double of /etc/qubes-rpc/admin.vm.volume.ImportWithSize: asks qubesd where the data goes, writes it
 * there, and reports the result to qubesd. Run through the script that `programs.ts` writes:
 *   import-service.mjs SOCKET FULL_AFTER VOLUME
 * FULL_AFTER is the number of bytes after which there is no space left; empty: never.
 */
import { open } from 'node:fs/promises';
import { connect } from 'node:net';
import { buffer } from 'node:stream/consumers';

const [socketPath, fullAfter, volume] = process.argv.slice(2);
const target = process.env.QREXEC_REQUESTED_TARGET;
const source = process.env.QREXEC_REMOTE_DOMAIN;

async function ask(method, payload) {
  const socket = connect({ path: socketPath, allowHalfOpen: true });
  socket.end(`${method}+${volume} ${source} name ${target}\0${payload}`);
  return await buffer(socket);
}

/** Standard input, read in pieces of the lengths that `take` asks for. */
async function* stdinPieces() {
  for await (const piece of process.stdin) yield piece;
}

const zeros = Buffer.alloc(65_536);
function isZeros(piece) {
  for (let at = 0; at < piece.length; at += zeros.length) {
    const part = piece.subarray(at, at + zeros.length);
    if (!part.equals(zeros.subarray(0, part.length))) return false;
  }
  return true;
}

const pieces = stdinPieces();
let left = Buffer.alloc(0);
async function more() {
  const next = await pieces.next();
  if (next.done) return false;
  left = left.length === 0 ? next.value : Buffer.concat([left, next.value]);
  return true;
}

let end = -1;
while ((end = left.indexOf('\n')) < 0 && left.length <= 21 && (await more()));
const sizeLine = left.subarray(0, Math.max(end, 0)).toString();
left = left.subarray(end + 1);

const begun = await ask('internal.vm.volume.ImportBegin', sizeLine);
if (begun.toString('latin1', 0, 2) !== '0\0') {
  process.stdout.write(begun, () => process.exit(1));
} else {
  const [size, path] = begun.toString('utf8', 2).split(' ');
  process.stdout.write(await ask('internal.vm.volume.ImportEnd', await copy(Number(size), path)));
  // A sender that still writes gets EPIPE, as with the real service.
  process.stdin.destroy();
}

async function copy(size, path) {
  const file = await open(path, 'r+');
  let copied = 0;
  try {
    while (copied < size && (left.length > 0 || (await more()))) {
      const piece = left.subarray(0, size - copied);
      if (fullAfter !== '' && copied + piece.length > Number(fullAfter)) {
        return 'fail\nerror copying data';
      }
      // As with dd conv=sparse, blocks of zeros become holes.
      if (!isZeros(piece)) await file.write(piece, 0, piece.length, copied);
      copied += piece.length;
      left = left.subarray(piece.length);
    }
  } finally {
    await file.close();
  }
  if (copied !== size) {
    return `fail\nnot enough data (copied ${copied} bytes, expected ${size} bytes)`;
  }
  if (left.length > 0 || (await more())) return `fail\ntoo much data (expected ${size} bytes)`;
  return 'ok';
}
