import type { Header } from '../archive/archive-header.ts';
import { readBackupQubesXml } from '../qubes/xml/backup-qubes-xml.ts';
import { readR3QubesXml } from '../qubes/xml/read-r3-qubes-xml.ts';
import type { BackupContents } from './contents.ts';

/** What a backup holds, from its authenticated qubes.xml. Throws DamagedError. */
export function readContents(qubesXml: string, { format }: Header): BackupContents {
  switch (format) {
    case 'coffer-1':
    case 'qubes-4':
      return readBackupQubesXml(qubesXml);
    case 'qubes-3':
    case 'qubes-2':
      return readR3QubesXml(qubesXml);
  }
}
