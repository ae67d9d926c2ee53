/** A way to call coffer, and what it does. */
export interface Example {
  readonly what: string;
  readonly command: string;
}

/** Of each command, for `--help` and the manual. */
export const EXAMPLES: Readonly<Record<string, readonly Example[]>> = {
  backup: [
    {
      what: "Back up two VMs and dom0's home to a directory in the home of sys-usb:",
      command: 'coffer backup -d sys-usb backups work personal dom0',
    },
    {
      what: "Back up dom0's configuration as well:",
      command: 'coffer backup -d sys-usb --dom0-path /etc/qubes --dom0-path /srv/salt backups',
    },
    {
      what: 'Back up the VMs that are backed up by default, except some, to a disk that is mounted in dom0:',
      command: "coffer backup -x untrusted -x 'test-*' /run/media/user/disk",
    },
    {
      what: 'Back up to a server that sys-net reaches by SSH, each time only what has changed:',
      command: 'coffer backup -d sys-net --through coffer-ssh backup@example.org:backups work',
    },
    {
      what: 'Back up to a cloud that rclone in sys-net knows, in the same way:',
      command: 'coffer backup -d sys-net --through coffer-rclone cloud:backups work',
    },
    {
      what: 'Give a whole backup to a command in sys-net, which reads it:',
      command: "coffer backup -d sys-net --command 'rclone rcat cloud:2026-11-23' work",
    },
  ],
  profiles: [
    {
      what: 'Show the profiles; write one, and use it:',
      command:
        'coffer profiles; coffer backup -d sys-usb backups @tag:weekly --save-profile weekly; coffer backup --profile weekly',
    },
  ],
  list: [
    {
      what: 'Show the backups on a disk; with the passphrase, also which VMs each of them holds:',
      command: 'coffer list -d sys-usb /run/media/user/disk',
    },
    {
      what: 'Show what is in one of them:',
      command: 'coffer list -d sys-usb /run/media/user/disk/qubes-backup-2026-11-23T120000',
    },
  ],
  prune: [
    {
      what: 'Forget by the rules of a profile, as its timer does after each backup:',
      command: 'coffer prune --profile weekly',
    },
    {
      what: 'Show which backups a prune would delete, if the last of seven days and of twelve months were kept:',
      command: 'coffer prune -d sys-usb backups --keep-daily 7 --keep-monthly 12 --dry-run',
    },
  ],
  copy: [
    {
      what: 'Copy the backups on a disk in sys-usb to a disk that is mounted in dom0, those that are not there yet:',
      command: 'coffer copy -d sys-usb /run/media/user/disk /run/media/user/second-disk',
    },
    {
      what: 'Copy them to another VM:',
      command: 'coffer copy -d sys-usb /run/media/user/disk --to sys-net backups',
    },
  ],
  verify: [
    {
      what: 'Check that a backup is whole and authentic:',
      command: 'coffer verify -d sys-usb backups/qubes-backup-2026-11-23T120000',
    },
    {
      what: 'Check the newest one that a server keeps:',
      command: 'coffer verify -d sys-net --through coffer-ssh backup@example.org:backups',
    },
  ],
  restore: [
    {
      what: 'Restore one VM, under a new name if its name is taken:',
      command:
        'coffer restore --rename-conflicting -d sys-usb backups/qubes-backup-2026-11-23T120000 work',
    },
    {
      what: 'Restore from a server, as it was on a day:',
      command:
        'coffer restore -d sys-net --through coffer-ssh backup@example.org:backups@2026-11-23 work',
    },
    {
      what: 'Restore all of a system that may have been compromised, with no setting that gives a VM influence:',
      command:
        'coffer restore --distrust-settings -d sys-usb backups/qubes-backup-2026-11-23T120000',
    },
  ],
  adopt: [
    {
      what: 'Go on from the backups on a disk after dom0 was installed anew:',
      command: 'coffer adopt -d sys-usb /run/media/user/disk',
    },
  ],
  passphrase: [
    {
      what: 'Change the passphrase of the backups that are made from now on:',
      command: 'coffer passphrase -d sys-usb backups',
    },
  ],
  status: [
    {
      what: 'Show when each VM was last backed up; the exit status is 1 if one was not in the last three days:',
      command: 'coffer status --due 3',
    },
  ],
  devices: [{ what: 'Show where a backup could go:', command: 'coffer devices' }],
  'passphrase-file': [
    {
      what: 'Make a file for -p, which only you can read:',
      command: 'coffer passphrase-file ~/backup.passphrase',
    },
  ],
  sandbox: [
    {
      what: 'Make a system to try coffer on, and back it up:',
      command: 'coffer sandbox my-qubes && coffer backup --system my-qubes -d sys-usb backups',
    },
  ],
};

/** For the end of a command's `--help`. */
export function formatExamples(examples: readonly Example[]): string {
  return ['\nExamples:', ...examples.map(({ what, command }) => `  ${what}\n    ${command}`)].join(
    '\n',
  );
}
