import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';

import { beforeAll, describe, expect, it } from 'vitest';

import type { AgentProcess } from '../../dom0-agent/transport/agent-connector.ts';
import { AgentStorage } from '../../dom0-agent/transport/agent-storage.ts';
import { qrexec } from '../../dom0-agent/transport/qrexec.ts';
import { NotOfferedError } from '../../dom0-agent/transport/storage-errors.ts';
import { openQubesdSystem } from '../../dom0-agent/qubes/admin-api/qubesd-system.ts';
import { RefusedError, StorageError } from '../../shared/errors.ts';
import { makeQrexecClient, type QrexecSettings } from '../qubesd/programs.ts';
import { makeScene, type Scene } from '../qubesd/scene.ts';
import { agentProgram, buildAgent } from './storage-vm.ts';

const never = new AbortController().signal;

/** sys-net is the storage VM; `service` is the script that runs there as coffer.Store. */
function storageVm(
  scene: Scene,
  service: string | undefined,
  faults: Partial<QrexecSettings> = {},
) {
  const services = join(scene.directory, 'qubes-rpc');
  const home = join(scene.directory, 'home');
  mkdirSync(services);
  mkdirSync(home);
  if (service !== undefined) {
    writeFileSync(join(services, 'coffer.Store'), `#!/bin/sh\n${service}\n`);
    chmodSync(join(services, 'coffer.Store'), 0o755);
  }
  const { socketPath } = scene.qubesd;
  const system = openQubesdSystem({ socketPath });
  const started: string[] = [];
  const connect = qrexec('sys-net', {
    program: makeQrexecClient(scene.directory, {
      socketPath,
      services: { 'sys-net': services },
      homes: { 'sys-net': home },
      ...faults,
    }),
    isRunning: (vm) => system.isRunning(vm),
    start: (vm) => system.start(vm),
    onStart: (vm) => started.push(vm),
  });
  return { connect, started, home };
}

async function endOf(agent: AgentProcess): Promise<Error | undefined> {
  agent.stdin.on('error', () => undefined);
  agent.stdin.end();
  agent.stdout.resume();
  return agent.explainExit?.(await agent.exited, agent.stderrTail.text);
}

it('qrexec starts a halted VM, reports that, and runs the service as its user', async () => {
  await using scene = await makeScene();
  const { connect, started, home } = storageVm(
    scene,
    'echo "$HOME|$QREXEC_REMOTE_DOMAIN|$QREXEC_SERVICE_FULL_NAME|$#"; echo words >&2',
  );
  const agent = await connect('Store', never);
  agent.stdin.end();
  expect(await text(agent.stdout)).toBe(`${home}|dom0|coffer.Store+|0\n`);
  expect(await agent.exited).toMatchObject({ exitStatus: 0, signal: '' });
  expect(agent.stderrTail.text).toBe('words');
  expect(agent.explainExit?.(await agent.exited, 'words')).toBeUndefined();
  expect(started).toEqual(['sys-net']);

  await endOf(await connect('Store', never));
  expect(started).toEqual(['sys-net']);
});

it('qrexec passes bytes unchanged in both directions', async () => {
  await using scene = await makeScene();
  const { connect } = storageVm(scene, 'exec cat');
  const agent = await connect('Store', never);
  const bytes = Buffer.alloc(3_000_001, 'all bytes \0\x01\xff', 'latin1');
  agent.stdin.end(bytes);
  expect((await buffer(agent.stdout)).equals(bytes)).toBe(true);
});

it('a call to a VM without the agent names the package to install', async () => {
  await using scene = await makeScene();
  const { connect } = storageVm(scene, undefined);
  const error = await endOf(await connect('Store', never));
  expect(error).toBeInstanceOf(RefusedError);
  expect(error?.message).toMatch(/not installed in sys-net: install the package qubes-coffer-vm/);
});

it('a call that deletes or assembles names the package qubes-coffer-vm-prune if it is missing', async () => {
  await using scene = await makeScene();
  const { connect } = storageVm(scene, undefined);
  for (const service of ['Delete', 'Assemble'] as const) {
    const error = await endOf(await connect(service, never));
    expect(error).toBeInstanceOf(NotOfferedError);
    expect(error?.message).toMatch(
      /sys-net cannot delete or assemble backups.*qubes-coffer-vm-prune/,
    );
  }
});

it('a call reports why the installed agent cannot be started', async () => {
  await using notExecutable = await makeScene();
  const { connect } = storageVm(notExecutable, 'true');
  chmodSync(join(notExecutable.directory, 'qubes-rpc/coffer.Store'), 0o644);
  const first = await endOf(await connect('Store', never));
  expect(first).toBeInstanceOf(RefusedError);
  expect(first?.message).toMatch(/sys-net cannot start coffer.Store.*not executable/);

  const reason = async (service: string) => {
    await using scene = await makeScene();
    return await endOf(await storageVm(scene, service).connect('Store', never));
  };
  const incomplete = await reason('exec /usr/bin/no-such-node');
  expect(incomplete).toBeInstanceOf(RefusedError);
  expect(incomplete?.message).toMatch(/a program is missing there.*no-such-node: not found/);

  const forbidden = await reason('exec /etc/passwd');
  expect(forbidden).toBeInstanceOf(RefusedError);
  expect(forbidden?.message).toMatch(/may not be run there.*Permission denied/);

  // An error of the VM's qrexec agent: `force-user` names a user who does not exist.
  const noUser = await reason('echo "qrexec-agent[7]: user x does not exist" >&2; exit 125');
  expect(noUser).toBeInstanceOf(RefusedError);
  expect(noUser?.message).toMatch(/cannot start coffer.Store.*user x does not exist/);
});

it('a call reports that the VM has shut down during it', async () => {
  const reason = async (service: string, faults?: Partial<QrexecSettings>) => {
    await using scene = await makeScene();
    return await endOf(await storageVm(scene, service, faults).connect('Store', never));
  };
  const gone = await reason('exec cat /dev/zero', { vmDiesAfter: 65_536 });
  expect(gone).toBeInstanceOf(StorageError);
  expect(gone?.message).toMatch(/the connection to sys-net was lost/);

  // qrexec's own message, with a date before it.
  const said =
    'qrexec-client[7]: process_io.c:39:handle_vchan_error: Error while vchan read, exiting';
  const within = await reason(`echo "2026-11-24 17:00:06.494 ${said}" >&2; exit 1`);
  expect(within?.message).toMatch(/the connection to sys-net was lost/);
});

it('a call distinguishes a refusal, an agent that is killed and one that fails', async () => {
  const reason = async (service: string, faults?: Partial<QrexecSettings>) => {
    await using scene = await makeScene();
    return await endOf(await storageVm(scene, service, faults).connect('Store', never));
  };
  const refused = await reason('true', { refuse: true });
  expect(refused).toBeInstanceOf(RefusedError);
  expect(refused?.message).toContain('sys-net refused the call coffer.Store');

  const killed = await reason('exec cat /dev/zero', { dieAfter: 65_536 });
  expect(killed).toBeInstanceOf(StorageError);
  expect(killed?.message).toContain('was killed (signal 9)');

  // An agent that fails has given the reason itself.
  expect(await reason('exit 4')).toBeUndefined();
});

it('a call reports why a VM does not start', async () => {
  await using scene = await makeScene();
  const { connect } = storageVm(scene, 'true');
  scene.qubesd.fault = ({ method }) =>
    method === 'admin.vm.Start'
      ? { kind: 'exception', type: 'QubesMemoryError', message: 'Not enough memory to start' }
      : undefined;
  const starting = connect('Store', never);
  await expect(starting).rejects.toThrow(StorageError);
  await expect(starting).rejects.toThrow(/sys-net does not start.*Not enough memory to start/);
});

it('a call to a VM that does not exist is refused', async () => {
  await using scene = await makeScene();
  const system = openQubesdSystem({ socketPath: scene.qubesd.socketPath });
  const connect = qrexec('nosuch', {
    isRunning: (vm) => system.isRunning(vm),
    start: (vm) => system.start(vm),
  });
  await expect(connect('Store', never)).rejects.toThrow(RefusedError);
  await expect(connect('Store', never)).rejects.toThrow(/No such domain: 'nosuch'/);
});

it('a call reports that the VM has shut down after its state was queried', async () => {
  await using scene = await makeScene();
  const { connect } = storageVm(scene, 'true');
  scene.qubesd.fault = ({ method, dest }) => {
    if (method === 'admin.vm.List' && dest === 'sys-net') {
      const sysNet = scene.qubesd.store.qubes.get('sys-net');
      if (sysNet) sysNet.state = 'Running';
    }
    if (method === 'admin.vm.CurrentState') {
      const sysNet = scene.qubesd.store.qubes.get('sys-net');
      if (sysNet) sysNet.state = 'Halted';
    }
    return undefined;
  };
  const error = await endOf(await connect('Store', never));
  expect(error?.message).toMatch(/qrexec cannot reach sys-net/);
});

it('a call ends when its AbortSignal fires', async () => {
  await using scene = await makeScene();
  const { connect } = storageVm(scene, 'exec sleep 60');
  const controller = new AbortController();
  const agent = await connect('Store', controller.signal);
  agent.stdin.on('error', () => undefined);
  controller.abort();
  expect((await agent.exited).signal).toBe('SIGKILL');
});

it('a call without qrexec-client names the missing program', async () => {
  const connect = qrexec('sys-net', {
    program: '/nowhere/qrexec-client',
    isRunning: () => Promise.resolve(true),
    start: () => Promise.resolve(),
  });
  await expect(connect('Store', never)).rejects.toThrow(/\/nowhere\/qrexec-client cannot be run/);
});

describe('the VM agent, called through qrexec,', () => {
  beforeAll(buildAgent);
  const runAgent = `exec '${process.execPath}' '${agentProgram}' Store`;
  const content = Buffer.alloc(2_000_000, 'sealed');

  async function store(
    scene: Scene,
    service: string | undefined,
    faults?: Partial<QrexecSettings>,
  ) {
    const { connect, home } = storageVm(scene, service, faults);
    const target = { directory: '.', fileName: 'backup' };
    const files = () => readdirSync(home);
    const storing = async () => {
      const storage = new AgentStorage('sys-net', connect);
      await using sink = await storage.openSink(target, content.length, never);
      await sink.write(content);
      return await sink.finish();
    };
    return await storing().then(
      (stored) => ({ stored, error: undefined, home, files: files() }),
      (error: unknown) => ({ stored: undefined, error, home, files: files() }),
    );
  }

  it('stores a file in the home of its user', async () => {
    await using scene = await makeScene();
    const { stored, error, home } = await store(scene, runAgent);
    expect(error).toBeUndefined();
    expect(stored?.bytes).toBe(content.length);
    expect(readFileSync(join(home, 'backup')).equals(content)).toBe(true);
  });

  it('is reported as missing, with the package to install', async () => {
    await using scene = await makeScene();
    const { error } = await store(scene, undefined);
    expect(error).toBeInstanceOf(RefusedError);
    expect(error).toHaveProperty('message', expect.stringContaining('qubes-coffer-vm'));
  });

  it('leaves no file if it is killed while it stores', async () => {
    await using scene = await makeScene();
    const { stored, error, files } = await store(scene, runAgent, { dieAfter: 1_000_000 });
    expect(stored).toBeUndefined();
    expect(error).toBeInstanceOf(StorageError);
    expect(error).toHaveProperty(
      'message',
      expect.stringMatching(/sys-net was killed \(signal 9\)/),
    );
    expect(files).not.toContain('backup');
  });

  it('is reported as killed, not as breaking the protocol, if it is killed while it sends', async () => {
    await using scene = await makeScene();
    // In the middle of a message.
    const { connect, home } = storageVm(scene, undefined, { dieAfter: 500_000 });
    const service = join(scene.directory, 'qubes-rpc/coffer.Fetch');
    writeFileSync(service, `#!/bin/sh\n${runAgent.replace('Store', 'Fetch')}\n`, { mode: 0o755 });
    writeFileSync(join(home, 'backup'), content);
    const storage = new AgentStorage('sys-net', connect);
    await using source = await storage.openSource({ file: 'backup' }, never);
    const reading = async () => {
      for await (const bytes of source.read()) expect(bytes.length).toBeGreaterThan(0);
    };
    await expect(reading()).rejects.toThrow(/sys-net was killed \(signal 9\)/);
  });

  it('has its error output shown without control characters if it fails', async () => {
    await using scene = await makeScene();
    const { error } = await store(scene, 'printf "no \\033[31mluck" >&2; exit 3');
    expect(error).toBeInstanceOf(StorageError);
    expect(error).toHaveProperty('message', expect.stringContaining('sys-net says: no ?[31mluck'));
  });
});
