// A proxy to a port: breaking-proxy.mjs PORT TIMES AFTER resets its first TIMES connections, each after AFTER bytes to the
// server. Prints its own port, then `broken` for each connection that it has reset.
import { connect, createServer } from 'node:net';

const [port, times, after] = process.argv.slice(2).map(Number);
let left = times;

const server = createServer((client) => {
  const target = connect(port, '127.0.0.1');
  let passed = 0;
  for (const socket of [client, target]) {
    socket.on('error', () => undefined);
    socket.on('close', () => {
      client.destroy();
      target.destroy();
    });
  }
  client.on('data', ({ length }) => {
    passed += length;
    if (left === 0 || passed < after || client.destroyed) return;
    left--;
    console.log('broken');
    client.resetAndDestroy();
  });
  client.pipe(target).pipe(client);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
