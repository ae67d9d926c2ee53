import { describe, expect, it } from 'vitest';
import { domainOf, originOf } from '../../dom0-agent/backup/volume-identity.ts';
import type { Qube, Volume } from '../../dom0-agent/qubes/qube.ts';
import { qube } from '../restore/planning.ts';

const UUID = '95834ea7-e5da-439f-b3ab-935c91121d26';

const volume = (name: string): Volume => ({
  ...{ name, size: 1, usage: undefined, pool: 'lvm', vid: '', saveOnStop: true },
});

const work = (rest: Partial<Qube> = {}): Qube => qube('work', {}, { uuid: UUID, ...rest });

describe('a volume', () => {
  it('is identified by the uuid of its VM, and so remains the same if the VM is renamed', () => {
    expect(originOf(work(), volume('private'))).toBe(`${UUID}/private`);
    expect(originOf(work({ name: 'play' }), volume('private'))).toBe(`${UUID}/private`);
  });

  it('is identified by the name of its VM if the system has no uuids', () => {
    expect(originOf(work({ uuid: undefined }), volume('private'))).toBe('work/private');
  });

  it.each(['TemplateVM', 'StandaloneVM'] as const)(
    'is compared with all root volumes if it is the root volume of a %s, and otherwise only with itself',
    (qubeClass) => {
      expect(domainOf(work({ qubeClass }), volume('root'), 'domain')).toBe('roots');
      expect(domainOf(work({ qubeClass }), volume('private'), 'domain')).toBe(`${UUID}/private`);
    },
  );

  it('is compared with all volumes in a series that deduplicates across all of them', () => {
    expect(domainOf(work(), volume('private'), 'all')).toBe('all');
  });

  it.each(['AppVM', 'DispVM'] as const)('of a %s is only compared with itself', (qubeClass) => {
    expect(domainOf(work({ qubeClass }), volume('root'), 'domain')).toBe(`${UUID}/root`);
    expect(domainOf(work({ qubeClass }), volume('private'), 'domain')).toBe(`${UUID}/private`);
  });
});
