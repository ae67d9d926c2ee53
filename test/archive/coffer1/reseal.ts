import { formatHeader, parseHeader } from '../../../dom0-agent/archive/coffer1/coffer1-header.ts';
import { deriveRootKey } from '../../../dom0-agent/archive/coffer1/keys.ts';
import { openMember, sealMember } from '../../../dom0-agent/archive/coffer1/seal-member.ts';
import { unwrapSeriesKey } from '../../../dom0-agent/archive/coffer1/series-key.ts';
import { parseHeaderText } from '../../../dom0-agent/archive/untrusted-header.ts';
import { membersOf } from '../official-archives.ts';
import { tarOf } from '../tar/tar-of.ts';
import { PASSPHRASE } from './sample.ts';

/** Changes to the contents of members, by name. */
export type Lies = Readonly<Record<string, (plaintext: string) => string>>;

/**
 * An uncompressed archive of `sample.ts` with members changed by somebody who has the key, such as a compromised system.
 * The manifest describes the changed members, unless it is changed itself.
 */
export async function resealed(archive: Buffer, lies: Lies): Promise<Buffer> {
  const members = membersOf(archive);
  const header = parseHeader(parseHeaderText(members[0]?.content ?? Buffer.alloc(0)));
  const root = await deriveRootKey(Buffer.from(PASSPHRASE), header.kdfSalt, header.kdf);
  const seriesKey = unwrapSeriesKey(root, header.seriesId, header);
  if (seriesKey === undefined) throw new Error('another passphrase');
  const key = { root: seriesKey, backupId: header.backupId, encrypted: true };
  const head = formatHeader(header).toString();
  const newHead = Buffer.from(lies['backup-header']?.(head) ?? head);
  const headMac = await sealMember({ ...key, encrypted: false }, 'backup-header', newHead);
  const made: [string, Buffer][] = [
    ['backup-header', newHead],
    ['backup-header.hmac', Buffer.from(`${headMac}\n`)],
  ];
  const changed = new Map([['backup-header', `member backup-header ${newHead.length} ${headMac}`]]);
  for (let at = 2; at < members.length; at += 2) {
    const { name = '', content = Buffer.alloc(0) } = members[at] ?? {};
    const oldMac = (members[at + 1]?.content ?? Buffer.alloc(0)).toString().trim();
    let text = Buffer.concat([...(await openMember(key, name, content, oldMac))]).toString(
      'latin1',
    );
    if (name === 'manifest.000') {
      text = text.replace(/^member (\S+) .*$/gm, (line, of: string) => changed.get(of) ?? line);
    }
    const bytes = Buffer.from(lies[name]?.(text) ?? text, 'latin1');
    const mac = await sealMember(key, name, bytes);
    made.push([name, bytes], [`${name}.hmac`, Buffer.from(`${mac}\n`)]);
    changed.set(name, `member ${name} ${bytes.length} ${mac}`);
  }
  return tarOf(made);
}
