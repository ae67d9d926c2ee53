// A way to a port that breaks: breaking-proxy.mjs PORT TIMES AFTER resets so many connections, each after so many bytes
// to the server. Tells its own port, and then `broken` for each that it broke.
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
