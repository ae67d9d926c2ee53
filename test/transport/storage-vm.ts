import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { AgentStorage } from '../../dom0-agent/transport/agent-storage.ts';
import { localProcess } from '../../dom0-agent/transport/local-process.ts';
import { TIME_LIMITS } from '../../dom0-agent/transport/time-limits.ts';
import type { TimeLimits } from '../../dom0-agent/transport/time-limits.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The built VM agent. */
export const agentProgram = path.join(root, 'dist/coffer-vm-agent');

/** Builds the VM agent, if its sources are newer. For `beforeAll`. */
export function buildAgent(): void {
  execFileSync(process.execPath, [path.join(root, 'tools/build/build.mjs'), 'coffer-vm-agent']);
}

/** A home directory that stands for a storage VM, with the folder `backups`. */
export class Home {
  readonly path = mkdtempSync(path.join(tmpdir(), 'coffer-home-'));
  readonly backups = path.join(this.path, 'backups');

  constructor() {
    mkdirSync(this.backups);
  }

  /** @param through a command that gives access to its directories */
  storage(limits: Partial<TimeLimits> = {}, through?: string): AgentStorage {
    const connect = localProcess(agentProgram, this.path);
    return new AgentStorage('sys-usb', connect, { ...TIME_LIMITS, ...limits }, through);
  }

  /** The names of the files in `backups`. */
  files(): string[] {
    return readdirSync(this.backups).sort();
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
