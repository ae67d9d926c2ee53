import { join } from 'node:path';

import { FailedError } from '../../../shared/errors.ts';
import { type Qube, type QubeClass, type Volume, volumeLabel } from '../qube.ts';

/**
 * Where things are in a folder system: as in `/var/lib/qubes` of a Qubes system with a file pool, and
 * next to that the homes, and a file for each VM that runs.
 */
export class FolderLayout {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  get qubesXml(): string {
    return join(this.directory, 'qubes.xml');
  }

  get dom0Homes(): string {
    return join(this.directory, 'dom0-home');
  }

  /** The home of a VM that can store backups. */
  homeOf(name: string): string {
    return join(this.directory, 'homes', name);
  }

  /** A VM runs when this file exists. */
  runningFileOf(name: string): string {
    return join(this.directory, 'running', name);
  }

  /** The directory of a VM's images, firewall.xml and notes.txt. */
  directoryOf(qube: Pick<Qube, 'name' | 'qubeClass'>): string {
    return join(this.directory, poolDirectoryOf(qube));
  }

  firewallXmlOf(qube: Qube): string {
    return join(this.directoryOf(qube), 'firewall.xml');
  }

  notesOf(qube: Qube): string {
    return join(this.directoryOf(qube), 'notes.txt');
  }

  /** Throws FailedError when the volume's id leads out of the folder system. */
  imageOf(qube: Qube, volume: Volume): string {
    const image = `${volume.vid}.img`;
    if (image.startsWith('/') || image.split('/').some((part) => part === '..' || part === '')) {
      throw new FailedError(
        `${volumeLabel(qube.name, volume.name)} has the id "${volume.vid}" in qubes.xml, ` +
          'which is not a path in the folder system',
      );
    }
    return join(this.directory, image);
  }
}

/** A VM's directory within the pool, the prefix of its volumes' ids: `appvms/work`. */
export function poolDirectoryOf(qube: {
  readonly name: string;
  readonly qubeClass: QubeClass;
}): string {
  return `${qube.qubeClass === 'TemplateVM' ? 'vm-templates' : 'appvms'}/${qube.name}`;
}
