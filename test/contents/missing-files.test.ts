import { describe, expect, test } from 'vitest';
import { FilesSeen } from '../../dom0-agent/contents/archived-files.ts';
import type { BackupContents } from '../../dom0-agent/qubes/backup-contents.ts';
import { readR3QubesXml } from '../../dom0-agent/qubes/xml/read-r3-qubes-xml.ts';

const contents = readR3QubesXml(`<QubesVmCollection default_netvm="None">
  <QubesTemplateVm qid="1" name="debian" backup_content="True" backup_path="vm1"/>
  <QubesAppVm qid="5" name="work" template_qid="1" backup_content="True" backup_path="vm5"/>
  <QubesAppVm qid="6" name="box" template_qid="none" backup_content="True" backup_path="vm6"/>
  <QubesAdminVm qid="0" name="dom0" backup_content="True" backup_path="dom0-home/user"/>
</QubesVmCollection>`);
const whole = [
  'vm1/root.img',
  'vm1/private.img',
  'vm5/private.img',
  'vm5/firewall.xml',
  'vm6/root.img',
  'vm6/private.img',
  'dom0-home/user',
];

/** What is missing if only these files are in the backup. */
function missing(
  held: Pick<BackupContents, 'qubes' | 'dom0Home'>,
  ...paths: readonly string[]
): string[] {
  const seen = new FilesSeen(held);
  for (const path of paths) seen.note(path);
  return seen.missingOf(held);
}

describe('what is missing in a backup', () => {
  test('is nothing if everything is there', () => {
    expect(missing(contents, ...whole)).toEqual([]);
  });

  test.each(whole.filter((path) => path !== 'vm5/firewall.xml'))('is %s', (path) => {
    expect(missing(contents, ...whole.filter((each) => each !== path))).toEqual([path]);
  });

  test('is the directory of a VM without volumes if no file of it is there', () => {
    const qubes = contents.qubes
      .slice(1, 2)
      .map((each) => ({ ...each, qube: { ...each.qube, volumes: [] } }));
    const expected = { qubes, dom0Home: undefined };
    expect(missing(expected, 'vm5/empty')).toEqual([]);
    expect(missing(expected, 'vm55/empty')).toEqual(['vm5']);
  });
});
