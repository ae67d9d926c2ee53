/** A way to call coffer, and what it does. */
export interface Example {
  readonly what: string;
  readonly command: string;
}

/** The examples for each command, in `--help` and in the manual. */
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
      what: 'Back up the VMs that are backed up by default, except some, to a disk mounted in dom0:',
      command: "coffer backup -x untrusted -x 'test-*' /run/media/user/disk",
    },
    {
      what: 'Back up only what has changed to a server that sys-net reaches by SSH:',
      command: 'coffer backup -d sys-net --through coffer-ssh backup@example.org:backups work',
    },
    {
      what: 'The same to a cloud that rclone in sys-net is configured for:',
      command: 'coffer backup -d sys-net --through coffer-rclone cloud:backups work',
    },
    {
      what: 'Send a full backup to a command in sys-net:',
      command: "coffer backup -d sys-net --command 'rclone rcat cloud:2026-11-23' work",
    },
  ],
  profiles: [
    {
      what: 'List the profiles; save one, and use it:',
      command:
        'coffer profiles; coffer backup -d sys-usb backups @tag:weekly --save-profile weekly; coffer backup --profile weekly',
    },
  ],
  list: [
    {
      what: 'List the backups on a disk and, with the passphrase, the VMs in each of them:',
      command: 'coffer list -d sys-usb /run/media/user/disk',
    },
    {
      what: 'Show what is in one of them:',
      command: 'coffer list -d sys-usb /run/media/user/disk/qubes-backup-2026-11-23T120000',
    },
  ],
  prune: [
    {
      what: 'Delete old backups by the rules of a profile, as its timer does after each backup:',
      command: 'coffer prune --profile weekly',
    },
    {
      what: 'Show what would be deleted if the last backups of seven days and of twelve months were kept:',
      command: 'coffer prune -d sys-usb backups --keep-daily 7 --keep-monthly 12 --dry-run',
    },
  ],
  copy: [
    {
      what: 'Copy the backups that are not there yet from a disk in sys-usb to a disk mounted in dom0:',
      command: 'coffer copy -d sys-usb /run/media/user/disk /run/media/user/second-disk',
    },
    {
      what: 'Copy them to another VM:',
      command: 'coffer copy -d sys-usb /run/media/user/disk --to sys-net backups',
    },
  ],
  verify: [
    {
      what: 'Check that a backup is complete and authentic:',
      command: 'coffer verify -d sys-usb backups/qubes-backup-2026-11-23T120000',
    },
    {
      what: 'Check the newest backup on a server:',
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
      what: 'Restore from a server, as of a certain day:',
      command:
        'coffer restore -d sys-net --through coffer-ssh backup@example.org:backups@2026-11-23 work',
    },
    {
      what: 'Restore everything from a system that may be compromised, without settings that could give a VM influence:',
      command:
        'coffer restore --distrust-settings -d sys-usb backups/qubes-backup-2026-11-23T120000',
    },
  ],
  adopt: [
    {
      what: 'Continue from the backups on a disk after dom0 was reinstalled:',
      command: 'coffer adopt -d sys-usb /run/media/user/disk',
    },
  ],
  passphrase: [
    {
      what: 'Change the passphrase for backups made from now on:',
      command: 'coffer passphrase -d sys-usb backups',
    },
  ],
  status: [
    {
      what: 'Show when each VM was last backed up; the exit status is 1 if one was not backed up in the last three days:',
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
      what: 'Make a sample system to try coffer with, and back it up:',
      command: 'coffer sandbox my-qubes && coffer backup --system my-qubes -d sys-usb backups',
    },
  ],
};

/** The text at the end of a command's `--help`. */
export function formatExamples(examples: readonly Example[]): string {
  return ['\nExamples:', ...examples.map(({ what, command }) => `  ${what}\n    ${command}`)].join(
    '\n',
  );
}
