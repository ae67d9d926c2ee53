import { constants } from 'node:os';

/** The state that coffer was started in. Node.js changes it, but the shell script that starts coffer records it. */
interface LaunchState {
  /** Whether a signal was ignored, as under nohup. */
  ignores(signal: NodeJS.Signals): boolean;
  /** Whether standard output was closed; Node.js has opened /dev/null in its place. */
  readonly closedOutput: boolean;
}

/** `<SigIgn of proc_pid_status(5)> <closed or empty>`: tools/build/start.sh. */
const noted = process.env['COFFER_LAUNCH_STATE'] ?? '';
// The programs that coffer starts must not see it.
delete process.env['COFFER_LAUNCH_STATE'];

const [ignored = '', output = ''] = noted.split(' ');
const mask = /^[0-9a-f]{1,16}$/.test(ignored) ? BigInt(`0x${ignored}`) : 0n;

export const launchState: LaunchState = {
  ignores: (signal) => ((mask >> BigInt(constants.signals[signal] - 1)) & 1n) === 1n,
  closedOutput: output === 'closed',
};
